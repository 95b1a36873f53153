//! The kernels: their sources, and their parameters as `kernels/args.cuh` declares them.

use crate::driver::{DevicePtr, Launch};
use bytemuck::{Pod, Zeroable};

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../kernels/", $name)))),*]
    };
}

/// The files of the kernels, by name. `all.cuh` includes the others.
pub(crate) const SOURCES: &[(&str, &str)] = sources![
    "all.cuh",
    "args.cuh",
    "blocks.cuh",
    "codecs.cuh",
    "kmeans.cuh",
    "lists.cuh",
    "pairs.cuh",
    "platform.cuh",
    "scan.cuh",
    "select.cuh",
    "tile.cuh",
];

/// A kernel and the number of threads in a block with which it is launched. Only its own structure
/// of parameters can be launched.
pub(crate) trait Args: Pod {
    /// Number of threads of a block.
    const THREADS: u32;
}

/// Returns the launch of a kernel.
pub(crate) fn launch<A: Args>(kernel: &'static str, grid: [usize; 2], shared: usize, args: &A) -> Launch {
    // A grid beyond 2^31 - 1 would be refused; the engine cuts its batches far below.
    let grid = grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
    Launch { kernel, grid, threads: A::THREADS, shared, args: bytemuck::bytes_of(args).to_vec() }
}

macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident $(($threads:literal))? { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Pod, Zeroable)]
        #[repr(C)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }
        $(impl Args for $name {
            const THREADS: u32 = $threads;
        })?
    )*};
}

structures! {
    Lists { blocks: DevicePtr, first: DevicePtr, lens: DevicePtr, nlist: u32, block_len: u32, plane1: u32, ids: u32, terms: u32, pad: u32, }
    Codec {
        steps: DevicePtr, rows: DevicePtr, codebooks: DevicePtr, ends: DevicePtr,
        row_stride: u32, dim: u32, subquantizers: u32, bits: u32, tables: u32, coarse: u32,
    }
    Candidate { distance: f32, list: u32, offset: u32, coarse: f32, id: i64, }
    Candidates { items: DevicePtr, counts: DevicePtr, settled: DevicePtr, thresholds: DevicePtr, most: DevicePtr, capacity: u32, pad: u32, }
    Task { list: u32, start: u32, end: u32, coarse: f32, }
    Round { tasks: DevicePtr, nprobe: u32, queries: u32, first: u32, end: u32, window_start: u32, window_end: u32, }
    ScanArgs (128) { lists: Lists, codec: Codec, out: Candidates, round: Round, queries: DevicePtr, mask: DevicePtr, }
    Pairs { counts: DevicePtr, cursors: DevicePtr, starts: DevicePtr, item_starts: DevicePtr, order: DevicePtr, tile: u32, pad: u32, }
    PairsArgs (256) { pairs: Pairs, round: Round, nlist: u32, pad: u32, }
    TileArgs (128) { scan: ScanArgs, pairs: Pairs, padded_dim: u32, slack: f32, }
    SelectArgs (256) { candidates: Candidates, queries: u32, k: u32, }
    SortArgs (256) { candidates: Candidates, out: DevicePtr, queries: u32, k: u32, }
    GatherArgs (256) { candidates: Candidates, starts: DevicePtr, out: DevicePtr, }
    TasksArgs (256) { nearest: DevicePtr, counts: DevicePtr, lens: DevicePtr, tasks: DevicePtr, totals: DevicePtr, queries: u32, nprobe: u32, }
    TermsArgs (128) { lists: Lists, codec: Codec, block_lists: DevicePtr, chosen: DevicePtr, blocks: u32, pad: u32, }
    NearestArgs (256) { points: DevicePtr, centroids: DevicePtr, numbers: DevicePtr, distances: DevicePtr, count: u32, k: u32, dim: u32, pad: u32, }
    MembersArgs (256) { numbers: DevicePtr, counts: DevicePtr, cursors: DevicePtr, starts: DevicePtr, members: DevicePtr, count: u32, k: u32, }
    SumsArgs (256) { points: DevicePtr, starts: DevicePtr, members: DevicePtr, sums: DevicePtr, k: u32, dim: u32, }
}

/// The kernels of a codec and a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodecKernels {
    pub(crate) scan: &'static str,
    pub(crate) rescore: &'static str,
    pub(crate) terms: &'static str,
    /// With up to 64 queries at a time, and with up to 32.
    pub(crate) tiles: [&'static str; 2],
}

macro_rules! of_codec {
    ($name:literal) => {
        CodecKernels {
            scan: concat!("scan_", $name),
            rescore: concat!("rescore_", $name),
            terms: concat!("terms_", $name),
            tiles: [concat!("tile64_", $name), concat!("tile32_", $name)],
        }
    };
}

macro_rules! codecs {
    ($($constant:ident: $l2:literal, $ip:literal;)*) => {
        /// The kernels of each codec, for L2 and for the inner product.
        impl CodecKernels {
            $(pub(crate) const $constant: [Self; 2] = [of_codec!($l2), of_codec!($ip)];)*
        }
    };
}

codecs! {
    FLAT: "flat_l2", "flat_ip";
    SQ4: "sq4_l2", "sq4_ip";
    SQ6: "sq6_l2", "sq6_ip";
    SQ8: "sq8_l2", "sq8_ip";
    SQ_FP16: "sqfp16_l2", "sqfp16_ip";
    SQ_BF16: "sqbf16_l2", "sqbf16_ip";
    PQ8: "pq8_l2", "pq8_ip";
    PQ4: "pq4_l2", "pq4_ip";
}

/// Bytes of dynamic shared memory of the kernels whose need is fixed.
pub(crate) mod shared {
    /// `select_nearest`: the struct `Selection`.
    pub(crate) const SELECT: usize = (256 + 8 + 5 + 7) * 4;
    /// `start_pairs` and `start_members`: a number for each warp.
    pub(crate) const START: usize = 32;
    /// `nearest_l2` and `nearest_ip`: two tiles.
    pub(crate) const NEAREST: usize = 2 * 16 * (64 + 1) * 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_all_files_of_the_kernels() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".cuh"))
            .collect();
        files.sort();
        assert_eq!(files, SOURCES.iter().map(|source| source.0).collect::<Vec<_>>());
    }
}
