//! Searches whose results are not selected on the device: all within a radius, or very many.

use super::rounds::{RoundPlan, Rounds};
use super::stage::{Shape, Stage};
use super::{Searcher, failed, push, tasks_of};
use crate::device::RoomGuard;
use crate::driver::DevicePtr;
use crate::error::CudaError;
use ivf_core::Sink;
use ivf_core::accelerator::PlannedScan;
use ivf_core::error::SearchError;
use std::ops::Range;

/// Number of candidates for which a query has room, if it scans as many codes.
const ROOM: usize = 1 << 14;

impl Searcher<'_> {
    /// Scans a plan for queries with the same filter, and pushes everything within the thresholds.
    pub(super) fn drain(
        &self,
        scan: &PlannedScan<'_>,
        queries: Range<usize>,
        sinks: &mut [Sink],
    ) -> Result<(), SearchError> {
        let nprobe = queries.clone().map(|query| scan.probes(query).len()).max().unwrap_or(0);
        let most = queries.clone().map(|query| super::planned(scan, query)).max().unwrap_or(0);
        let capacity = most.next_multiple_of(32).min(ROOM) + 1;
        let shape = Shape::unselected(self.lists, nprobe, capacity).masked(self.lists, scan.selection.is_some());
        let mut room = self.device.room().map_err(failed)?;
        for batch in self.batches(queries.len(), &[shape], &mut room).map_err(failed)? {
            scan.check_cancel()?;
            let batch = queries.start + batch.start..queries.start + batch.end;
            let (tasks, longest) = tasks_of(scan, batch.clone(), nprobe);
            let mask = self.mask(scan, batch.clone())?;
            let rows = scan.queries.slice(batch.clone());
            let sinks = &mut sinks[batch];
            let mut drain = || -> Result<(), CudaError> {
                let base = room.take(shape.bytes(rows.len()))?;
                let mut stage = Stage::new(base, &shape, self.lists, rows.len());
                stage.begin(&room, rows, &thresholds(sinks))?;
                stage.write_tasks(&room, &tasks)?;
                let mask = stage.write_mask(&room, mask.as_deref())?;
                if self.drain_round(&room, &stage, &Rounds::one(nprobe, longest), mask, sinks)? {
                    return Ok(());
                }
                for round in &Rounds::safe(nprobe, longest, shape.window()).0 {
                    stage.clear(&room)?;
                    stage.write_thresholds(&room, &thresholds(sinks))?;
                    if !self.drain_round(&room, &stage, round, mask, sinks)? {
                        return Err(super::overflow());
                    }
                }
                Ok(())
            };
            drain().map_err(failed)?;
        }
        Ok(())
    }

    /// Scans a round and pushes its candidates. Returns false, and pushes nothing, if some were
    /// lost.
    fn drain_round(
        &self,
        room: &RoomGuard,
        stage: &Stage<'_>,
        round: &RoundPlan,
        mask: DevicePtr,
        sinks: &mut [Sink],
    ) -> Result<bool, CudaError> {
        let mut launches = Vec::new();
        stage.add_round(&mut launches, self.device, round, mask);
        room.device().driver().launch(room.stream(), &launches)?;
        let counts = stage.read_counts(room)?;
        if counts.iter().any(|&count| count as usize > stage.capacity()) {
            return Ok(false);
        }
        let candidates = stage.read_all(room, &counts)?;
        let mut rest = &candidates[..];
        for (sink, count) in sinks.iter_mut().zip(counts) {
            let (own, left) = rest.split_at(count as usize);
            push(sink, own);
            rest = left;
        }
        Ok(true)
    }
}

fn thresholds(sinks: &[Sink]) -> Vec<f32> {
    sinks.iter().map(Sink::threshold).collect()
}
