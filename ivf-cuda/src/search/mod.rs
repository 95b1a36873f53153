//! Searches on a device.
//!
//! A search runs in rounds. Each round pushes the candidates of some probes that are within the
//! threshold of their query, and then selects the k nearest, which lowers the threshold:
//!
//! ```text
//! round 0        the first codes of the nearest list   exact distances (scan)
//! rounds 1 ...   the rest of it, 3 lists, 12 lists...  the same, or, if queries share the lists,
//!                                                      bounds by matrix products (tile), and
//!                                                      exact distances of what passes (rescore)
//! ```
//!
//! All kernels of a search are one sequence ([`stage`]). If more candidates were found than there
//! is room for, the queries are searched again in rounds that cannot overflow. Results equal those
//! of the CPU, bit for bit.

mod drain;
mod rounds;
mod stage;

use crate::device::{Device, RoomGuard};
use crate::driver::DevicePtr;
use crate::error::CudaError;
use crate::kernels::{Candidate, Task};
use crate::mirror::Mirror;
use ivf_core::accelerator::{PlannedScan, ScanCounts};
use ivf_core::error::SearchError;
use ivf_core::{Id, Location, Neighbor, Probes, Rows, Sink};
use rounds::Rounds;
use stage::{Shape, Stage};
use std::ops::Range;

/// Largest number of results of a query that are selected on the device. For more, the sinks
/// select.
const MOST_SELECTED: usize = 1 << 16;

/// Largest number of queries of a batch.
const MOST_QUERIES: usize = 1 << 14;

/// An error of the device, as a search returns it.
pub(crate) fn failed(error: CudaError) -> SearchError {
    SearchError::Device(Box::new(error))
}

/// The lists and the centroids of an index on a device.
#[derive(Clone, Copy)]
pub(crate) struct Searcher<'a> {
    pub(crate) device: &'a Device,
    pub(crate) lists: &'a Mirror,
    /// The centroids, as one list, if the device has them.
    pub(crate) centroids: Option<&'a Mirror>,
}

/// What a search of a batch found, query after query.
struct Found {
    counts: Vec<u32>,
    /// `k` places for each query.
    candidates: Vec<Candidate>,
    k: usize,
    /// Lists and codes that were scanned, if the device planned the search.
    totals: [u64; 2],
}

impl Found {
    fn row(&self, query: usize) -> &[Candidate] {
        &self.candidates[query * self.k..][..self.counts[query] as usize]
    }
}

/// Pushes candidates into the sink of their query.
fn push(sink: &mut Sink, candidates: &[Candidate]) {
    for found in candidates {
        let location = Location::new(found.list, found.offset);
        sink.push(Neighbor { distance: found.distance, id: Id(found.id), location });
    }
}

impl Searcher<'_> {
    /// Returns the `nprobe` nearest lists of each row, or `None` if the device has no centroids.
    pub(crate) fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, CudaError> {
        let Some(centroids) = self.centroids else { return Ok(None) };
        let nprobe = nprobe.min(centroids.len_of(0) as usize);
        if nprobe == 0 || nprobe > MOST_SELECTED {
            return Ok(None);
        }
        let (mut lists, mut distances) = (Vec::new(), Vec::new());
        let mut room = self.device.room()?;
        let shape = Shape::of_centroids(centroids, nprobe);
        for batch in self.batches(rows.len(), &[shape], &mut room)? {
            let queries = rows.slice(batch);
            let found = self.nearest_centroids(&mut room, centroids, queries, nprobe)?;
            for query in 0..queries.len() {
                let row = found.row(query);
                let missing = nprobe - row.len();
                lists.extend(row.iter().map(|near| Some(ivf_core::ListNo(near.id as u32))));
                distances.extend(row.iter().map(|near| near.distance));
                lists.extend(std::iter::repeat_n(None, missing));
                distances.extend(std::iter::repeat_n(f32::INFINITY, missing));
            }
        }
        // There is a list and a distance for each place.
        Ok(Probes::new(nprobe, lists, distances).ok())
    }

    /// Searches the `nprobe` nearest lists of each query, or returns `None` if the device has no
    /// centroids, or more results are wanted than it selects.
    pub(crate) fn search(
        &self,
        queries: Rows<'_, f32>,
        nprobe: usize,
        sinks: &mut [Sink],
    ) -> Result<Option<ScanCounts>, CudaError> {
        let Some(centroids) = self.centroids else { return Ok(None) };
        let nprobe = nprobe.min(centroids.len_of(0) as usize);
        let Some(k) = sinks.first().map(Sink::k).filter(|&k| k <= MOST_SELECTED) else { return Ok(None) };
        if nprobe == 0 || nprobe > MOST_SELECTED || k == 0 {
            return Ok(None);
        }
        let mut counts = ScanCounts::default();
        let mut room = self.device.room()?;
        let shapes = [Shape::of_centroids(centroids, nprobe), Shape::of_lists(self.lists, nprobe, k)];
        for batch in self.batches(queries.len(), &shapes, &mut room)? {
            let (rows, sinks) = (queries.slice(batch.clone()), &mut sinks[batch]);
            let found = self.nearest_codes(&mut room, centroids, rows, nprobe, k, sinks)?;
            (0..rows.len()).for_each(|query| push(&mut sinks[query], found.row(query)));
            counts.lists += found.totals[0];
            counts.codes += found.totals[1];
        }
        Ok(Some(counts))
    }

    /// Cuts queries into batches that fit the room.
    fn batches(&self, queries: usize, shapes: &[Shape], room: &mut RoomGuard) -> Result<Vec<Range<usize>>, CudaError> {
        let most = self.device.room_bytes()?;
        let bytes = |queries: usize| shapes.iter().map(|shape| shape.bytes(queries)).sum::<u64>();
        let (mut low, mut high) = (1, queries.clamp(1, MOST_QUERIES));
        while low < high {
            let middle = (low + high).div_ceil(2);
            if bytes(middle) <= most {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        // Batches of about the same size.
        let count = queries.div_ceil(low);
        let each = queries.div_ceil(count.max(1)).max(1);
        room.take(bytes(each.min(queries.max(1))))?;
        Ok((0..queries).step_by(each).map(|start| start..queries.min(start + each)).collect())
    }

    fn nearest_centroids(
        &self,
        room: &mut RoomGuard,
        centroids: &Mirror,
        queries: Rows<'_, f32>,
        nprobe: usize,
    ) -> Result<Found, CudaError> {
        let shape = Shape::of_centroids(centroids, nprobe);
        let base = room.take(shape.bytes(queries.len()))?;
        let thresholds = vec![f32::INFINITY; queries.len()];
        for rounds in Rounds::attempts(&shape, centroids.longest()) {
            let mut stage = Stage::new(base, &shape, centroids, queries.len());
            stage.begin(room, queries, &thresholds)?;
            stage.write_tasks(room, &vec![whole(centroids); queries.len()])?;
            let mut launches = Vec::new();
            stage.add_search(&mut launches, self.device, &rounds, DevicePtr(0));
            room.device().driver().launch(room.stream(), &launches)?;
            if let Some(found) = stage.read(room)? {
                return Ok(found);
            }
        }
        Err(overflow())
    }

    fn nearest_codes(
        &self,
        room: &mut RoomGuard,
        centroids: &Mirror,
        queries: Rows<'_, f32>,
        nprobe: usize,
        k: usize,
        sinks: &[Sink],
    ) -> Result<Found, CudaError> {
        let shapes = [Shape::of_centroids(centroids, nprobe), Shape::of_lists(self.lists, nprobe, k)];
        let sizes = shapes.each_ref().map(|shape| shape.bytes(queries.len()));
        let base = room.take(sizes[0] + sizes[1])?;
        let infinite = vec![f32::INFINITY; queries.len()];
        let thresholds: Vec<f32> = sinks.iter().map(Sink::threshold).collect();
        let coarse = Rounds::attempts(&shapes[0], centroids.longest());
        let fine = Rounds::attempts(&shapes[1], self.lists.longest());
        for (coarse, fine) in coarse.into_iter().zip(fine) {
            let mut near = Stage::new(base, &shapes[0], centroids, queries.len());
            let mut codes = Stage::new(base.plus(sizes[0] as usize), &shapes[1], self.lists, queries.len());
            near.begin(room, queries, &infinite)?;
            near.write_tasks(room, &vec![whole(centroids); queries.len()])?;
            codes.begin(room, queries, &thresholds)?;
            let mut launches = Vec::new();
            near.add_search(&mut launches, self.device, &coarse, DevicePtr(0));
            codes.add_tasks(&mut launches, &near, self.lists);
            codes.add_search(&mut launches, self.device, &fine, DevicePtr(0));
            room.device().driver().launch(room.stream(), &launches)?;
            if near.has_overflowed(room)? {
                continue;
            }
            if let Some(found) = codes.read(room)? {
                return Ok(found);
            }
        }
        Err(overflow())
    }

    /// Scans a plan for its queries.
    pub(crate) fn scan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        let own = scan.selection.is_some_and(|selection| !selection.is_common());
        // Queries with filters of their own are scanned one by one.
        let each = if own { 1 } else { scan.queries.len().max(1) };
        for start in (0..scan.queries.len()).step_by(each) {
            let batch = start..scan.queries.len().min(start + each);
            let most = batch.clone().map(|query| planned(scan, query)).max().unwrap_or(0);
            let k = sinks[start].k().min(most);
            if most == 0 {
                continue;
            }
            if k > MOST_SELECTED {
                self.drain(scan, batch, sinks)?;
            } else if k > 0 {
                self.scan_nearest(scan, batch, k, sinks)?;
            }
        }
        Ok(())
    }

    /// Scans a plan for queries with the same filter, and selects the `k` nearest on the device.
    fn scan_nearest(
        &self,
        scan: &PlannedScan<'_>,
        queries: Range<usize>,
        k: usize,
        sinks: &mut [Sink],
    ) -> Result<(), SearchError> {
        let nprobe = queries.clone().map(|query| scan.probes(query).len()).max().unwrap_or(0);
        let shape = Shape::of_lists(self.lists, nprobe, k).masked(self.lists, scan.selection.is_some());
        let mut room = self.device.room().map_err(failed)?;
        for batch in self.batches(queries.len(), &[shape], &mut room).map_err(failed)? {
            scan.check_cancel()?;
            let batch = queries.start + batch.start..queries.start + batch.end;
            let (tasks, longest) = tasks_of(scan, batch.clone(), nprobe);
            let mask = self.mask(scan, batch.clone())?;
            let rows = scan.queries.slice(batch.clone());
            let thresholds: Vec<f32> = sinks[batch.clone()].iter().map(Sink::threshold).collect();
            let mut search = || -> Result<Found, CudaError> {
                let base = room.take(shape.bytes(rows.len()))?;
                for rounds in Rounds::attempts(&shape, longest) {
                    let mut stage = Stage::new(base, &shape, self.lists, rows.len());
                    stage.begin(&room, rows, &thresholds)?;
                    stage.write_tasks(&room, &tasks)?;
                    let mask = stage.write_mask(&room, mask.as_deref())?;
                    let mut launches = Vec::new();
                    stage.add_search(&mut launches, self.device, &rounds, mask);
                    room.device().driver().launch(room.stream(), &launches)?;
                    if let Some(found) = stage.read(&room)? {
                        return Ok(found);
                    }
                }
                Err(overflow())
            };
            let found = search().map_err(failed)?;
            for (query, sink) in sinks[batch].iter_mut().enumerate() {
                push(sink, found.row(query));
            }
        }
        Ok(())
    }

    /// Returns a bit for each code that the filter of these queries selects, as far as they probe
    /// it; `None` without a filter.
    fn mask(&self, scan: &PlannedScan<'_>, queries: Range<usize>) -> Result<Option<Vec<u32>>, SearchError> {
        if scan.selection.is_none() {
            return Ok(None);
        }
        let first = self.lists.first_words();
        let mut words = vec![0_u32; first[self.lists.nlist()]];
        let mut known = vec![false; self.lists.nlist()];
        for query in queries {
            for probe in scan.probes(query) {
                let list = probe.list.index();
                if std::mem::replace(&mut known[list], true) {
                    continue;
                }
                let own = &mut words[first[list]..first[list + 1]];
                match scan.select(query, probe.list)? {
                    None => own.fill(u32::MAX),
                    Some(mask) => {
                        for (i, word) in own.iter_mut().enumerate().take(mask.len().div_ceil(32)) {
                            let bits = (mask.len() - i * 32).min(32);
                            *word = mask.bits(i * 32, bits) as u32;
                        }
                    }
                }
            }
        }
        Ok(Some(words))
    }
}

/// Returns the number of codes that a query scans.
fn planned(scan: &PlannedScan<'_>, query: usize) -> usize {
    scan.probes(query).iter().map(|probe| probe.codes as usize).sum()
}

/// Returns the tasks of queries, `nprobe` each, and the length of the longest.
fn tasks_of(scan: &PlannedScan<'_>, queries: Range<usize>, nprobe: usize) -> (Vec<Task>, u32) {
    let none = Task { list: 0, start: 0, end: 0, coarse: 0.0 };
    let mut tasks = Vec::with_capacity(queries.len() * nprobe);
    for query in queries {
        let row = scan.probes(query);
        tasks.extend(row.iter().map(|probe| Task {
            list: probe.list.0,
            start: 0,
            end: probe.codes,
            coarse: probe.coarse_distance,
        }));
        tasks.extend(std::iter::repeat_n(none, nprobe - row.len()));
    }
    let longest = tasks.iter().map(|task| task.end).max().unwrap_or(0);
    (tasks, longest)
}

/// A task that scans the only list of a mirror.
fn whole(mirror: &Mirror) -> Task {
    Task { list: 0, start: 0, end: mirror.len_of(0), coarse: 0.0 }
}

/// The error for more candidates than rounds that cannot overflow can find: a defect.
fn overflow() -> CudaError {
    CudaError::Kernels("more candidates than a round can have".to_owned())
}
