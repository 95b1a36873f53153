//! A device in plain Rust, which counts its calls.

use ivf::accelerator::{AcceleratedParts, Accelerator, PlannedScan, ScanCounts};
use ivf::error::SearchError;
use ivf::extend::{Limits, ScanRange, SearchPlan};
use ivf::mask::Mask;
use ivf::{Index, Probes, Rows, SearchParams, Settings, Sink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Numbers of calls, and what the device cannot do.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) assign: AtomicUsize,
    pub(crate) scan: AtomicUsize,
    pub(crate) search: AtomicUsize,
    /// Number of masks that scans have asked for.
    pub(crate) masks: AtomicUsize,
    pub(crate) cannot_assign: AtomicBool,
    pub(crate) fails: AtomicBool,
}

impl Calls {
    /// Returns the numbers of assignments, scans and searches since the last call.
    pub(crate) fn taken(&self) -> [usize; 3] {
        [&self.assign, &self.scan, &self.search].map(|calls| calls.swap(0, Ordering::Relaxed))
    }

    fn count(&self, calls: &AtomicUsize) -> Result<(), SearchError> {
        calls.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) { Err(SearchError::Device("no power".into())) } else { Ok(()) }
    }
}

/// Scans the lists of an index with its scanners.
#[derive(Debug)]
pub(crate) struct Device {
    parts: AcceleratedParts,
    calls: Arc<Calls>,
}

/// Lets a device search the index.
pub(crate) fn accelerate(index: &mut dyn Index) -> Arc<Calls> {
    let calls = Arc::new(Calls::default());
    let ability = index.as_accelerate_mut().expect("it has lists");
    let parts = ability.accelerated().expect("it is trained");
    let device = Device { parts, calls: calls.clone() };
    ability.set_accelerator(Some(Arc::new(device))).expect("it is trained");
    calls
}

/// Returns whether a device searches the index.
pub(crate) fn is_accelerated(index: &dyn Index) -> bool {
    index.as_accelerate().is_some_and(|ability| ability.accelerator().is_some())
}

impl Device {
    fn probes(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, SearchError> {
        if self.calls.cannot_assign.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.parts.quantizer.assign(rows, nprobe, &SearchParams::new()).map(Some)
    }

    fn scan_plan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        assert_eq!(scan.queries.len(), sinks.len());
        let AcceleratedParts { bound, lists, .. } = &self.parts;
        let mut scanner = bound.scanner(&Settings::new());
        let common = scan.selection.is_some_and(|selection| selection.is_common());
        for (query, sink) in sinks.iter_mut().enumerate() {
            scan.check_cancel()?;
            scanner.set_query(scan.queries.row(query));
            scanner.set_probes(scan.probes(query));
            for probe in scan.probes(query) {
                scanner.set_list(probe.list, probe.coarse_distance);
                let entries = lists.list(probe.list)?;
                let selected = scan.select(query, probe.list)?;
                if common {
                    assert_eq!(selected, scan.select(0, probe.list)?, "one filter for all queries");
                }
                if let Some(selected) = &selected {
                    assert_eq!(selected.len(), entries.len(), "a bit for each entry");
                    self.calls.masks.fetch_add(1, Ordering::Relaxed);
                }
                let planned = 0..probe.codes as usize;
                for range in ScanRange::of_list(probe.list, &entries, lists.layout(), planned) {
                    let (first, len) = (range.first_offset(), range.segment().len());
                    let own = selected.as_ref().map(|mask| Mask::from_fn(len, |slot| mask.get(first + slot)));
                    scanner.scan(&range.masked(own.as_ref()), sink);
                }
            }
        }
        Ok(())
    }
}

impl Accelerator for Device {
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, SearchError> {
        self.calls.count(&self.calls.assign)?;
        self.probes(rows, nprobe)
    }

    fn scan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        self.calls.count(&self.calls.scan)?;
        self.scan_plan(scan, sinks)
    }

    fn search(
        &self,
        queries: Rows<'_, f32>,
        nprobe: usize,
        sinks: &mut [Sink],
    ) -> Result<Option<ScanCounts>, SearchError> {
        self.calls.count(&self.calls.search)?;
        let Some(probes) = self.probes(queries, nprobe)? else { return Ok(None) };
        let lists = &self.parts.lists;
        let list_len = |list| Ok(lists.list_len(list)?);
        let plan = SearchPlan::new(&probes, lists.nlist(), |_| Limits::default(), list_len)?;
        self.scan_plan(&PlannedScan::new(queries, &plan, 0), sinks)?;
        Ok(Some(ScanCounts { lists: plan.probes().len() as u64, codes: plan.codes() }))
    }
}
