// Lower bounds of distances, list by list, by products of matrices.
//
// A block of threads takes an item: a list, and up to 16 x ROWS queries that probe it. It keeps the
// queries in shared memory, each as the sum of two bf16, and multiplies them with the codes of the
// list, 32 at a time, decoded and rounded to bf16. With q the query, x the decoded vector, u the
// rounded one:
//
//   |q - x|^2  =  |q|^2 + |x|^2 - 2 q x
//   q x        =  q u + q (x - u),  with  |q (x - u)| <= |q| |x - u|
//
// The squared norm of x and a bound of |x - u| are stored (Terms). So the bound below is at most
// the exact distance, with all rounding errors (slack). A code whose bound is within the threshold of a
// query becomes a candidate; its exact distance comes afterwards (rescore_candidates).
#pragma once
#include "blocks.cuh"

constexpr uint32_t TILE_THREADS = 128;

// Dimensions of the codes that are in shared memory at a time.
constexpr uint32_t CHUNK = 64;

// Length of a row of 32 codes, in numbers of 16 bits: rows of 80 bytes, so that the eight rows of a
// matrix lie in different banks.
constexpr uint32_t CODE_ROW = LANES + 8;

// Numbers past the end of a query's row, for the same reason.
constexpr uint32_t QUERY_PAD = 8;

// What a query of an item needs.
struct TileQuery {
    uint32_t query;
    uint32_t start;
    uint32_t end;
    float coarse;
    float threshold;
    float square;
    float norm;
    uint32_t pad;
};

// The list with item `item`: the last one that starts at or before it.
DEVICE uint32_t list_of(const uint32_t* item_starts, uint32_t nlist, uint32_t item) {
    uint32_t low = 0, high = nlist - 1;
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;
        if (item_starts[middle] <= item) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// Loads the queries of an item: their tasks, norms and coordinates.
template <uint32_t ROWS>
__device__ __forceinline__ void load_queries(const TileArgs& args, uint32_t list, uint32_t item, TileQuery* queries,
                                             uint16_t* upper, uint16_t* lower) {
    const Pairs& pairs = args.pairs;
    const uint32_t dim = args.scan.codec.dim, row_len = args.padded_dim + QUERY_PAD;
    const uint32_t first = pairs.starts[list] + (item - pairs.item_starts[list]) * pairs.tile;
    for (uint32_t row = warp_of(); row < 16 * ROWS; row += warps()) {
        const bool is_there = first + row < pairs.starts[list + 1];
        const uint32_t number = is_there ? pairs.order[first + row] : 0;
        const uint32_t query = number / args.scan.round.nprobe;
        const float* vector = args.scan.queries + static_cast<uint64_t>(query) * dim;
        float square = 0;
        for (uint32_t d = lane_of(); d < args.padded_dim; d += LANES) {
            const float x = is_there && d < dim ? vector[d] : 0.0f;
            const uint16_t high = float_to_bf16(x);
            upper[row * row_len + d] = high;
            lower[row * row_len + d] = float_to_bf16(x - bf16_to_float(high));
            square = fmaf(x, x, square);
        }
        for (uint32_t step = LANES / 2; step > 0; step /= 2) {
            square += __shfl_xor_sync(ALL, square, step);
        }
        if (lane_of() == 0) {
            TileQuery one = {0, 0, 0, 0, 0, 0, 0, 0};
            if (is_there) {
                const Task task = args.scan.round.tasks[number];
                const Span span = span_of(args.scan.round, task);
                one.query = query;
                one.start = span.start;
                one.end = span.end;
                one.coarse = args.scan.codec.coarse ? task.coarse : 0.0f;
                one.threshold = args.scan.out.thresholds[query];
                one.square = square;
                one.norm = __fsqrt_rn(square) * MARGIN;
            }
            queries[row] = one;
        }
    }
}

// Decodes dimensions `from` to `from + CHUNK` of 32 codes, dimension after dimension.
template <class C>
__device__ __forceinline__ void stage_codes(const TileArgs& args, uint32_t list, const Group& group, uint32_t from,
                                            uint16_t* codes) {
    const auto values = C::Values::make(args.scan.lists, args.scan.codec, list);
    const uint32_t end = min(CHUNK, args.padded_dim - from);
    for (uint32_t d = warp_of(); d < end; d += warps()) {
        const bool is_there = from + d < args.scan.codec.dim;
        const float x = is_there ? values.value(group.block, group.slot + lane_of(), from + d) : 0.0f;
        codes[d * CODE_ROW + lane_of()] = float_to_bf16(x);
    }
}

// The lower bound of a distance, from a product of query and code.
template <class Metric>
__device__ __forceinline__ float bound_of(const TileQuery& query, const Terms& terms, float product, float slack) {
    const float error = query.norm * bf16_to_float(terms.error);
    const float magnitude = bf16_to_float(terms.magnitude);
    if (Metric::PRODUCT) {
        const float sizes = fmaf(query.norm, magnitude, fabsf(query.coarse));
        return (query.coarse - product) - (error + slack * sizes);
    }
    const float sizes = query.norm + magnitude;
    return (query.square + terms.square - 2 * product) - (2 * error + slack * sizes * sizes);
}

// ROWS is 4 or 2. With 4, each warp has 16 queries and 32 codes. With 2, it has 16 queries and half
// of the codes.
template <class C, uint32_t ROWS>
__device__ __forceinline__ void scan_tiles(const TileArgs& args, unsigned char* shared) {
    constexpr uint32_t COLUMNS = ROWS;  // matrices of 8 codes that a warp has
    const uint32_t row_len = args.padded_dim + QUERY_PAD;
    TileQuery* queries = reinterpret_cast<TileQuery*>(shared);
    uint16_t* upper = reinterpret_cast<uint16_t*>(queries + 16 * ROWS);
    uint16_t* lower = upper + 16 * ROWS * row_len;
    uint16_t* codes = lower + 16 * ROWS * row_len;
    const Lists& lists = args.scan.lists;
    const uint32_t items = args.pairs.item_starts[lists.nlist];
    const uint32_t row = warp_of() % ROWS * 16, column = warp_of() / ROWS * COLUMNS * 8, lane = lane_of();
    for (uint32_t item = blockIdx.x; item < items; item += gridDim.x) {
        const uint32_t list = list_of(args.pairs.item_starts, lists.nlist, item);
        __syncthreads();
        load_queries<ROWS>(args, list, item, queries, upper, lower);
        __syncthreads();
        uint32_t start = ALL, end = 0;
        for (uint32_t i = 0; i < 16 * ROWS; i++) {
            start = queries[i].end > queries[i].start ? min(start, queries[i].start) : start;
            end = max(end, queries[i].end);
        }
#pragma unroll 1
        for (uint32_t g = start / LANES; g * LANES < end; g++) {
            const Group group = group_of(lists, list, g);
            float sums[COLUMNS][4] = {};
#pragma unroll 1
            for (uint32_t from = 0; from < args.padded_dim; from += CHUNK) {
                __syncthreads();
                stage_codes<C>(args, list, group, from, codes);
                __syncthreads();
                const uint32_t depth = min(CHUNK, args.padded_dim - from);
#pragma unroll 1
                for (uint32_t d = 0; d < depth; d += 16) {
                    // Lanes 0 to 15 address the upper half of the columns, 16 to 31 the lower one.
                    const uint32_t at = (row + lane % 16) * row_len + from + d + lane / 16 * 8;
                    uint32_t high[4], low[4];
                    ldmatrix_x4(high, upper + at);
                    ldmatrix_x4(low, lower + at);
                    for (uint32_t c = 0; c < COLUMNS; c += 2) {
                        uint32_t both[4];
                        ldmatrix_x4_trans(both, codes + (d + lane % 16) * CODE_ROW + column + (c + lane / 16) * 8);
                        const uint32_t left[2] = {both[0], both[1]}, right[2] = {both[2], both[3]};
                        mma_bf16(sums[c], high, left);
                        mma_bf16(sums[c], low, left);
                        mma_bf16(sums[c + 1], high, right);
                        mma_bf16(sums[c + 1], low, right);
                    }
                }
            }
            const uint32_t mask = args.scan.mask ? args.scan.mask[group.word] : ALL;
            const Terms* terms = reinterpret_cast<const Terms*>(group.block + lists.terms) + group.slot;
            for (uint32_t c = 0; c < COLUMNS; c++) {
                for (uint32_t i = 0; i < 4; i++) {
                    const uint32_t code = column + c * 8 + lane % 4 * 2 + i % 2, offset = g * LANES + code;
                    const TileQuery& query = queries[row + lane / 4 + i / 2 * 8];
                    if (offset < query.start || offset >= query.end || !(mask >> code & 1)) {
                        continue;
                    }
                    const float bound = bound_of<typename C::Metric>(query, terms[code], sums[c][i], args.slack);
                    // A bound that is not a number says nothing: the exact distance decides.
                    if (!(bound > query.threshold)) {
                        Candidate found;
                        found.distance = bound;
                        found.list = list;
                        found.offset = offset;
                        found.coarse = query.coarse;
                        found.id = id_of(lists, group, code);
                        put(args.scan.out, query.query, atomicAdd(&args.scan.out.counts[query.query], 1u), found);
                    }
                }
            }
        }
    }
}

#define TILE_KERNELS(name)                                  \
    KERNEL(tile64_##name, TileArgs, TILE_THREADS) {         \
        scan_tiles<name, 4>(args, shared_memory());         \
    }                                                       \
    KERNEL(tile32_##name, TileArgs, TILE_THREADS) {         \
        scan_tiles<name, 2>(args, shared_memory());         \
    }
FOR_EACH_CODEC(TILE_KERNELS)
