//! A search of one set of lists: its memory on the device, and its kernels.

use super::Found;
use super::rounds::{RoundPlan, Rounds};
use crate::device::{Device, RoomGuard};
use crate::driver::{DevicePtr, Launch};
use crate::error::CudaError;
use crate::kernels::{
    Candidate, Candidates, GatherArgs, Pairs, PairsArgs, Round, ScanArgs, SelectArgs, SortArgs, Task, TasksArgs,
    TileArgs, launch, shared,
};
use crate::mirror::Mirror;
use ivf_core::{Metric, Rows};

/// Number of candidates, beside the `k` nearest, for which a query has room at least.
const SPARE: usize = 1536;

/// Minimum average number of queries per list for which bounds are computed list by list.
const QUERIES_PER_LIST: usize = 4;

/// Blocks of threads for each multiprocessor with which small kernels and tiles are launched.
const BLOCKS_PER_MULTIPROCESSOR: usize = 4;

/// Alignment of arrays in a room.
const ALIGN: u64 = 256;

/// Dimensions of the codes of a tile that are in shared memory at a time, bytes of a row of 32
/// codes there, and numbers past the end of a query (`kernels/tile.cuh`).
const TILE_CHUNK: usize = 64;
const TILE_CODE_ROW: usize = 80;
const TILE_QUERY_PAD: usize = 8;
const TILE_QUERY: usize = 32;

/// The sizes of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    dim: usize,
    nlist: usize,
    pub(super) nprobe: usize,
    pub(super) k: usize,
    capacity: usize,
    /// Words of the mask of a filter.
    mask: usize,
}

impl Shape {
    /// A search of lists for the `k` nearest codes.
    pub(super) fn of_lists(mirror: &Mirror, nprobe: usize, k: usize) -> Self {
        let capacity = k + k.max(SPARE).next_multiple_of(32);
        Self { dim: mirror.codec.dim, nlist: mirror.nlist(), nprobe, k, capacity, mask: 0 }
    }

    /// A search of centroids, all in one list, for the `nprobe` nearest.
    pub(super) fn of_centroids(centroids: &Mirror, nprobe: usize) -> Self {
        Self::of_lists(centroids, 1, nprobe)
    }

    /// Returns the sizes of a search without selection. A query keeps up to `capacity` candidates.
    pub(super) fn unselected(mirror: &Mirror, nprobe: usize, capacity: usize) -> Self {
        Self { capacity, ..Self::of_lists(mirror, nprobe, 1) }
    }

    /// The same with a filter.
    pub(super) fn masked(self, mirror: &Mirror, is_masked: bool) -> Self {
        // Only filters pay for the pass over the lists.
        Self { mask: if is_masked { mirror.mask_words() } else { 0 }, ..self }
    }

    /// Returns the number of codes that a round of one list can scan without losing a candidate.
    pub(super) fn window(&self) -> u32 {
        (self.capacity - self.k) as u32 / 32 * 32
    }

    /// Returns the memory that a search of `queries` queries takes, in bytes.
    pub(super) fn bytes(&self, queries: usize) -> u64 {
        let mut layout = Layout { at: 0 };
        self.place(&mut layout, queries);
        layout.at
    }

    fn place(&self, layout: &mut Layout, queries: usize) -> Places {
        let tasks = queries * self.nprobe;
        Places {
            zeroed: layout.take::<u32>(0),
            totals: layout.take::<u64>(2),
            most: layout.take::<u32>(1),
            counts: layout.take::<u32>(queries),
            settled: layout.take::<u32>(queries),
            pair_counts: layout.take::<u32>(self.nlist),
            cursors: layout.take::<u32>(self.nlist),
            zeroed_end: layout.take::<u32>(0),
            thresholds: layout.take::<f32>(queries),
            starts: layout.take::<u32>(self.nlist + 1),
            item_starts: layout.take::<u32>(self.nlist + 1),
            order: layout.take::<u32>(tasks),
            tasks: layout.take::<Task>(tasks),
            queries: layout.take::<f32>(queries * self.dim),
            mask: layout.take::<u32>(self.mask),
            items: layout.take::<Candidate>(queries * self.capacity),
            out: layout.take::<Candidate>(queries * self.k),
        }
    }
}

/// Hands out addresses one after the other.
struct Layout {
    at: u64,
}

impl Layout {
    fn take<T>(&mut self, count: usize) -> u64 {
        let at = self.at;
        self.at = (at + (count * size_of::<T>()) as u64).next_multiple_of(ALIGN);
        at
    }
}

/// Offsets of the arrays of a search.
struct Places {
    zeroed: u64,
    totals: u64,
    most: u64,
    counts: u64,
    settled: u64,
    pair_counts: u64,
    cursors: u64,
    zeroed_end: u64,
    thresholds: u64,
    starts: u64,
    item_starts: u64,
    order: u64,
    tasks: u64,
    queries: u64,
    mask: u64,
    items: u64,
    out: u64,
}

/// A search of some queries in the memory of a room.
pub(super) struct Stage<'a> {
    base: DevicePtr,
    places: Places,
    shape: Shape,
    mirror: &'a Mirror,
    queries: usize,
}

impl<'a> Stage<'a> {
    /// Creates a search in the memory at `base`, which is as large as [`Shape::bytes`] says.
    pub(super) fn new(base: DevicePtr, shape: &Shape, mirror: &'a Mirror, queries: usize) -> Self {
        let places = shape.place(&mut Layout { at: 0 }, queries);
        Self { base, places, shape: *shape, mirror, queries }
    }

    fn at(&self, place: u64) -> DevicePtr {
        self.base.plus(place as usize)
    }

    /// Writes the queries and their thresholds, and sets all counts to zero.
    pub(super) fn begin(
        &mut self,
        room: &RoomGuard,
        queries: Rows<'_, f32>,
        thresholds: &[f32],
    ) -> Result<(), CudaError> {
        let driver = room.device().driver();
        self.clear(room)?;
        driver.write(room.stream(), self.at(self.places.queries), bytemuck::cast_slice(queries.as_slice()))?;
        driver.write(room.stream(), self.at(self.places.thresholds), bytemuck::cast_slice(thresholds))
    }

    /// Sets all counts to zero.
    pub(super) fn clear(&self, room: &RoomGuard) -> Result<(), CudaError> {
        let bytes = self.places.zeroed_end - self.places.zeroed;
        room.device().driver().fill(room.stream(), self.at(self.places.zeroed), 0, bytes as usize)
    }

    /// Writes the thresholds of the queries.
    pub(super) fn write_thresholds(&self, room: &RoomGuard, thresholds: &[f32]) -> Result<(), CudaError> {
        let to = self.at(self.places.thresholds);
        room.device().driver().write(room.stream(), to, bytemuck::cast_slice(thresholds))
    }

    /// Writes the tasks: `nprobe` of each query.
    pub(super) fn write_tasks(&self, room: &RoomGuard, tasks: &[Task]) -> Result<(), CudaError> {
        room.device().driver().write(room.stream(), self.at(self.places.tasks), bytemuck::cast_slice(tasks))
    }

    /// Writes the mask of a filter, and returns its address.
    pub(super) fn write_mask(&self, room: &RoomGuard, mask: Option<&[u32]>) -> Result<DevicePtr, CudaError> {
        let Some(mask) = mask.filter(|mask| !mask.is_empty()) else { return Ok(DevicePtr(0)) };
        let to = self.at(self.places.mask);
        room.device().driver().write(room.stream(), to, bytemuck::cast_slice(mask))?;
        Ok(to)
    }

    /// Returns the number of candidates for which a query has room.
    pub(super) fn capacity(&self) -> usize {
        self.shape.capacity
    }

    fn candidates(&self) -> Candidates {
        Candidates {
            items: self.at(self.places.items),
            counts: self.at(self.places.counts),
            settled: self.at(self.places.settled),
            thresholds: self.at(self.places.thresholds),
            most: self.at(self.places.most),
            capacity: self.shape.capacity as u32,
            pad: 0,
        }
    }

    /// Adds the kernel that makes tasks of the nearest centroids that another search found.
    pub(super) fn add_tasks(&self, launches: &mut Vec<Launch>, near: &Stage<'_>, lists: &Mirror) {
        let args = TasksArgs {
            nearest: near.at(near.places.out),
            counts: near.at(near.places.counts),
            lens: lists.lists().lens,
            tasks: self.at(self.places.tasks),
            totals: self.at(self.places.totals),
            queries: self.queries as u32,
            nprobe: self.shape.nprobe as u32,
        };
        let blocks = (self.queries * self.shape.nprobe).div_ceil(256).min(1024);
        launches.push(launch("make_tasks", [blocks, 1], 0, &args));
    }

    /// Adds the kernels of all rounds, and those that sort the results.
    pub(super) fn add_search(&self, launches: &mut Vec<Launch>, device: &Device, rounds: &Rounds, mask: DevicePtr) {
        let candidates = self.candidates();
        let select = SelectArgs { candidates, queries: self.queries as u32, k: self.shape.k as u32 };
        for round in &rounds.0 {
            self.add_round(launches, device, round, mask);
            launches.push(launch("select_nearest", [self.queries, 1], shared::SELECT, &select));
        }
        let out = self.at(self.places.out);
        let sort = SortArgs { candidates, out, queries: self.queries as u32, k: self.shape.k as u32 };
        launches.push(launch("sort_nearest", [self.queries, 1], 0, &sort));
    }

    /// Adds the kernels of a round.
    pub(super) fn add_round(&self, launches: &mut Vec<Launch>, device: &Device, plan: &RoundPlan, mask: DevicePtr) {
        let codec = &self.mirror.codec;
        let tasks = self.queries * (plan.end - plan.first);
        let multiprocessors = device.info().multiprocessors.max(1) as usize;
        let round = Round {
            tasks: self.at(self.places.tasks),
            nprobe: self.shape.nprobe as u32,
            queries: self.queries as u32,
            first: plan.first as u32,
            end: plan.end as u32,
            window_start: plan.window.0,
            window_end: plan.window.1,
        };
        let args = ScanArgs {
            lists: self.mirror.lists(),
            codec: codec.args(),
            out: self.candidates(),
            round,
            queries: self.at(self.places.queries),
            mask,
        };
        let tile = self.tile(device).filter(|_| plan.may_bound && tasks >= QUERIES_PER_LIST * self.shape.nlist);
        let small = tasks.div_ceil(256).clamp(1, multiprocessors * BLOCKS_PER_MULTIPROCESSOR);
        let Some((which, rows, shared)) = tile else {
            // Long lists are shared by several blocks of threads if there are few tasks.
            let groups = (plan.window.1.saturating_sub(plan.window.0) as usize).div_ceil(128).max(1);
            let shares =
                (multiprocessors * BLOCKS_PER_MULTIPROCESSOR).div_ceil(tasks.max(1)).clamp(1, groups.min(1024));
            launches.push(launch(codec.kernels.scan, [tasks, shares], codec.table_bytes, &args));
            return;
        };
        let pairs = Pairs {
            counts: self.at(self.places.pair_counts),
            cursors: self.at(self.places.cursors),
            starts: self.at(self.places.starts),
            item_starts: self.at(self.places.item_starts),
            order: self.at(self.places.order),
            tile: rows as u32,
            pad: 0,
        };
        let of_pairs = PairsArgs { pairs, round, nlist: self.shape.nlist as u32, pad: 0 };
        launches.push(launch("count_pairs", [small, 1], 0, &of_pairs));
        launches.push(launch("start_pairs", [1, 1], shared::START, &of_pairs));
        launches.push(launch("order_pairs", [small, 1], 0, &of_pairs));
        let padded_dim = codec.dim.next_multiple_of(16);
        let of_tile =
            TileArgs { scan: args, pairs, padded_dim: padded_dim as u32, slack: slack(codec.metric, codec.dim) };
        let items = self.shape.nlist + tasks.div_ceil(rows);
        let blocks = items.min(multiprocessors * BLOCKS_PER_MULTIPROCESSOR);
        launches.push(launch(codec.kernels.tiles[which], [blocks, 1], shared, &of_tile));
        launches.push(launch(codec.kernels.rescore, [self.queries, 1], 0, &args));
    }

    /// Returns the kernel for bounds, the number of queries that it takes at a time, and its shared
    /// memory; `None` if no queries fit it.
    fn tile(&self, device: &Device) -> Option<(usize, usize, usize)> {
        let row = self.mirror.codec.dim.next_multiple_of(16) + TILE_QUERY_PAD;
        let bytes = |rows: usize| rows * (TILE_QUERY + 2 * row * 2) + TILE_CHUNK * TILE_CODE_ROW;
        let fits = [64, 32].into_iter().enumerate().find(|&(_, rows)| bytes(rows) <= device.info().shared_memory);
        fits.map(|(which, rows)| (which, rows, bytes(rows)))
    }

    /// Returns whether a query had more candidates than there is room for.
    pub(super) fn has_overflowed(&self, room: &RoomGuard) -> Result<bool, CudaError> {
        let mut most = [0_u32];
        let from = self.at(self.places.most);
        room.device().driver().read(room.stream(), from, bytemuck::cast_slice_mut(&mut most))?;
        Ok(most[0] as usize > self.shape.capacity)
    }

    /// Reads the results, or returns `None` if candidates were lost.
    pub(super) fn read(&self, room: &RoomGuard) -> Result<Option<Found>, CudaError> {
        if self.has_overflowed(room)? {
            return Ok(None);
        }
        let (driver, stream) = (room.device().driver(), room.stream());
        let (mut totals, mut counts) = ([0_u64; 2], vec![0_u32; self.queries]);
        driver.read(stream, self.at(self.places.totals), bytemuck::cast_slice_mut(&mut totals))?;
        driver.read(stream, self.at(self.places.counts), bytemuck::cast_slice_mut(&mut counts))?;
        let k = self.shape.k;
        let mut candidates = vec![bytemuck::Zeroable::zeroed(); self.queries * k];
        driver.read(stream, self.at(self.places.out), bytemuck::cast_slice_mut::<Candidate, u8>(&mut candidates))?;
        counts.iter_mut().for_each(|count| *count = (*count).min(k as u32));
        Ok(Some(Found { counts, candidates, k, totals }))
    }

    /// Reads the number of candidates that each query found.
    pub(super) fn read_counts(&self, room: &RoomGuard) -> Result<Vec<u32>, CudaError> {
        let mut counts = vec![0_u32; self.queries];
        let from = self.at(self.places.counts);
        room.device().driver().read(room.stream(), from, bytemuck::cast_slice_mut(&mut counts))?;
        Ok(counts)
    }

    /// Reads all candidates, of so many for each query.
    pub(super) fn read_all(&self, room: &RoomGuard, counts: &[u32]) -> Result<Vec<Candidate>, CudaError> {
        let (mut sum, mut starts) = (0_u64, Vec::with_capacity(counts.len()));
        for &count in counts {
            starts.push(sum);
            sum += u64::from(count);
        }
        let mut candidates = vec![bytemuck::Zeroable::zeroed(); sum as usize];
        if sum == 0 {
            return Ok(candidates);
        }
        let (device, stream) = (room.device(), room.stream());
        let at = device.upload(stream, &starts, "results")?;
        let out = device.alloc(sum * size_of::<Candidate>() as u64, "results")?;
        let args = GatherArgs { candidates: self.candidates(), starts: at.at(), out: out.at() };
        device.driver().launch(stream, &[launch("gather_candidates", [self.queries, 1], 0, &args)])?;
        device.driver().read(stream, out.at(), bytemuck::cast_slice_mut::<Candidate, u8>(&mut candidates))?;
        Ok(candidates)
    }
}

/// Returns the relative error of a bound by products: that of the rounded query (2^-16), of the
/// sums of the matrix units (2 dim additions, 2^-22 each at most), of the exact fold, and of the
/// norms.
/// `kernels/tile.cuh` says what it is relative to.
fn slack(metric: Metric, dim: usize) -> f32 {
    let each = if metric == Metric::L2 { 3 } else { 5 };
    (each * dim + 512) as f32 * (1.0 / (1 << 23) as f32)
}
