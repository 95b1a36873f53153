// Exact distances, query by query: a block of threads scans a list, or its share of it, for one
// query, and pushes what is within the threshold.
#pragma once
#include "lists.cuh"

constexpr uint32_t SCAN_THREADS = 128;

// The shared memory is the codec's, for its tables.
template <class C>
__device__ __forceinline__ void scan_lists(const ScanArgs& args, unsigned char* shared) {
    const Round& round = args.round;
    const uint32_t probes = round.end - round.first;
    const uint32_t query = blockIdx.x / probes;
    const Task task = round.tasks[static_cast<uint64_t>(query) * round.nprobe + round.first + blockIdx.x % probes];
    const Span span = span_of(round, task);
    if (span.start >= span.end) {
        return;
    }
    const float* vector = args.queries + static_cast<uint64_t>(query) * args.codec.dim;
    const typename C::Exact codec(args.lists, args.codec, vector, task.list, task.coarse, shared);
    const float threshold = args.out.thresholds[query];
    const uint32_t stride = warps() * gridDim.y;
    for (uint32_t g = span.start / LANES + blockIdx.y * warps() + warp_of(); g * LANES < span.end; g += stride) {
        const Group group = group_of(args.lists, task.list, g);
        const uint32_t offset = g * LANES + lane_of();
        const bool is_scanned = offset >= span.start && offset < span.end;
        const bool is_selected = !args.mask || (args.mask[group.word] >> lane_of() & 1);
        Candidate found;
        found.distance = codec.distance(group.block, group.slot + lane_of());
        found.list = task.list;
        found.offset = offset;
        found.coarse = task.coarse;
        const bool has = is_scanned && is_selected && found.distance <= threshold;
        found.id = has ? id_of(args.lists, group, lane_of()) : 0;
        push_warp(args.out, query, has, found);
    }
}

// Replaces the bounds of candidates by exact distances. One that is too far, or whose distance is
// not a number, gets a NaN, and is dropped when candidates are selected.
template <class C>
__device__ __forceinline__ void rescore_candidates(const ScanArgs& args) {
    const uint32_t query = blockIdx.x;
    const uint32_t count = min(args.out.counts[query], args.out.capacity);
    const float threshold = args.out.thresholds[query];
    const float* vector = args.queries + static_cast<uint64_t>(query) * args.codec.dim;
    Candidate* items = args.out.items + static_cast<uint64_t>(query) * args.out.capacity;
    const uint32_t first = args.out.settled[query] + blockIdx.y * blockDim.x + threadIdx.x;
    for (uint32_t i = first; i < count; i += blockDim.x * gridDim.y) {
        const Candidate item = items[i];
        const typename C::Exact codec(args.lists, args.codec, vector, item.list, item.coarse, nullptr);
        const Group group = group_of(args.lists, item.list, item.offset / LANES);
        const float distance = codec.distance(group.block, group.slot + item.offset % LANES);
        items[i].distance = distance <= threshold ? distance : __uint_as_float(0x7fc00000u);
    }
}

#define SCAN_KERNELS(name)                                                    \
    KERNEL(scan_##name, ScanArgs, SCAN_THREADS) {                             \
        scan_lists<name>(args, shared_memory());                              \
    }                                                                         \
    KERNEL(rescore_##name, ScanArgs, SCAN_THREADS) {                          \
        rescore_candidates<name>(args);                                       \
    }
FOR_EACH_CODEC(SCAN_KERNELS)
