// k-means: the nearest centroid of each point, and the sums of the points of each centroid.
#pragma once
#include "pairs.cuh"
#include "select.cuh"

constexpr uint32_t NEAREST_THREADS = 256;

// A block of threads compares TILE points with all centroids, TILE at a time. A thread has 4 x 4 of
// the pairs, whose sums run over the dimensions in order.
constexpr uint32_t TILE = 64;
constexpr uint32_t EACH = 4;
constexpr uint32_t ACROSS = TILE / EACH;
constexpr uint32_t DEPTH = 16;

// Writes TILE rows from `first` on to `to`, dimension after dimension, DEPTH of them from `d` on.
DEVICE void stage_rows(float* to, const float* rows, uint32_t first, uint32_t count, uint32_t dim, uint32_t d) {
    for (uint32_t i = threadIdx.x; i < TILE * DEPTH; i += blockDim.x) {
        const uint32_t row = i / DEPTH, at = i % DEPTH;
        const bool is_there = first + row < count && d + at < dim;
        to[at * (TILE + 1) + row] = is_there ? rows[static_cast<uint64_t>(first + row) * dim + d + at] : 0.0f;
    }
}

template <class Metric>
__device__ __forceinline__ void find_nearest(const NearestArgs& args, float* shared) {
    float* points = shared;
    float* centroids = shared + DEPTH * (TILE + 1);
    const uint32_t column = threadIdx.x % ACROSS, row = threadIdx.x / ACROSS, first = blockIdx.x * TILE;
    float nearest[EACH];
    uint32_t numbers[EACH];
    for (uint32_t i = 0; i < EACH; i++) {
        nearest[i] = infinity();
        numbers[i] = ALL;
    }
    for (uint32_t start = 0; start < args.k; start += TILE) {
        float sums[EACH][EACH] = {};
        for (uint32_t d = 0; d < args.dim; d += DEPTH) {
            __syncthreads();
            stage_rows(points, args.points, first, args.count, args.dim, d);
            stage_rows(centroids, args.centroids, start, args.k, args.dim, d);
            __syncthreads();
            const uint32_t depth = min(DEPTH, args.dim - d);
            for (uint32_t at = 0; at < depth; at++) {
                float x[EACH], c[EACH];
                for (uint32_t i = 0; i < EACH; i++) {
                    x[i] = points[at * (TILE + 1) + row * EACH + i];
                    c[i] = centroids[at * (TILE + 1) + column + ACROSS * i];
                }
                for (uint32_t i = 0; i < EACH; i++) {
                    for (uint32_t j = 0; j < EACH; j++) {
                        sums[i][j] = Metric::step(sums[i][j], x[i], c[j]);
                    }
                }
            }
        }
        for (uint32_t j = 0; j < EACH; j++) {
            const uint32_t number = start + column + ACROSS * j;
            for (uint32_t i = 0; i < EACH; i++) {
                // Numbers rise, so the first of equally near centroids stays.
                if (number < args.k && sums[i][j] < nearest[i]) {
                    nearest[i] = sums[i][j];
                    numbers[i] = number;
                }
            }
        }
    }
    // The threads of a row of pairs are half a warp.
    for (uint32_t step = ACROSS / 2; step > 0; step /= 2) {
        for (uint32_t i = 0; i < EACH; i++) {
            const float distance = __shfl_xor_sync(ALL, nearest[i], step);
            const uint32_t number = __shfl_xor_sync(ALL, numbers[i], step);
            if (distance < nearest[i] || (distance == nearest[i] && number < numbers[i])) {
                nearest[i] = distance;
                numbers[i] = number;
            }
        }
    }
    for (uint32_t i = 0; i < EACH; i++) {
        const uint32_t point = first + row * EACH + i;
        if (column == 0 && point < args.count) {
            // If all distances overflow, any centroid is as near.
            args.numbers[point] = numbers[i] == ALL ? 0 : numbers[i];
            args.distances[point] = nearest[i];
        }
    }
}

KERNEL(nearest_l2, NearestArgs, NEAREST_THREADS) {
    find_nearest<L2>(args, reinterpret_cast<float*>(shared_memory()));
}

KERNEL(nearest_ip, NearestArgs, NEAREST_THREADS) {
    find_nearest<InnerProduct>(args, reinterpret_cast<float*>(shared_memory()));
}

// Counts the points of each centroid. The counts are zero before.
KERNEL(count_members, MembersArgs, PAIRS_THREADS) {
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < args.count; i += gridDim.x * blockDim.x) {
        atomicAdd(&args.counts[args.numbers[i]], 1u);
    }
}

KERNEL(start_members, MembersArgs, PAIRS_THREADS) {
    uint32_t* room = reinterpret_cast<uint32_t*>(shared_memory());
    scan_counts(args.counts, args.cursors, args.starts, nullptr, 1, args.k, room);
}

KERNEL(place_members, MembersArgs, PAIRS_THREADS) {
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < args.count; i += gridDim.x * blockDim.x) {
        const uint32_t number = args.numbers[i];
        args.members[args.starts[number] + atomicAdd(&args.cursors[number], 1u)] = i;
    }
}

// Sorts the points of each centroid, so that their sum does not depend on the order in which
// threads placed them.
KERNEL(sort_members, MembersArgs, PAIRS_THREADS) {
    for (uint32_t c = blockIdx.x; c < args.k; c += gridDim.x) {
        sort_items(args.members + args.starts[c], args.starts[c + 1] - args.starts[c]);
    }
}

// Adds the points of each centroid, in order, to its sum.
KERNEL(add_members, SumsArgs, PAIRS_THREADS) {
    const uint32_t c = blockIdx.x, d = blockIdx.y * blockDim.x + threadIdx.x;
    if (d >= args.dim) {
        return;
    }
    double sum = args.sums[static_cast<uint64_t>(c) * args.dim + d];
    for (uint32_t i = args.starts[c]; i < args.starts[c + 1]; i++) {
        sum += static_cast<double>(args.points[static_cast<uint64_t>(args.members[i]) * args.dim + d]);
    }
    args.sums[static_cast<uint64_t>(c) * args.dim + d] = sum;
}
