// Selection of the k nearest candidates of each query, and sorting.
#pragma once
#include "lists.cuh"

constexpr uint32_t SELECT_THREADS = 256;

// Candidates are ordered by distance, id and location: five words, the highest first.
constexpr uint32_t WORDS = 5;

// Floats as numbers in the same order. Both zeros are equal.
DEVICE uint32_t ordered(float x) {
    const uint32_t bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

DEVICE float from_ordered(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key ^ 0x80000000u : ~key);
}

DEVICE uint32_t word_of(const Candidate& item, uint32_t word) {
    switch (word) {
        case 0: return ordered(item.distance);
        case 1: return static_cast<uint32_t>(static_cast<uint64_t>(item.id) >> 32) ^ 0x80000000u;
        case 2: return static_cast<uint32_t>(item.id);
        case 3: return item.list;
        default: return item.offset;
    }
}

// Compares all words before `word`, and the upper bits of it, with a prefix: -1, 0 or 1.
DEVICE int32_t compare_prefix(const Candidate& item, const uint32_t* prefix, uint32_t word, uint32_t shift) {
    for (uint32_t w = 0; w < word; w++) {
        const uint32_t mine = word_of(item, w);
        if (mine != prefix[w]) {
            return mine < prefix[w] ? -1 : 1;
        }
    }
    if (shift >= 32) {
        return 0;
    }
    const uint32_t mine = word_of(item, word) >> shift, other = prefix[word] >> shift;
    return mine == other ? 0 : mine < other ? -1 : 1;
}

DEVICE bool is_number(float x) {
    return x == x;
}

// The state of a selection in shared memory.
struct Selection {
    uint32_t histogram[256];
    uint32_t warp_counts[SELECT_THREADS / LANES];
    uint32_t prefix[WORDS];
    uint32_t valid;
    uint32_t left;
    uint32_t word;
    uint32_t shift;
    uint32_t done;
    uint32_t kept;
    uint32_t farthest;
};

// Finds the prefix that separates the k smallest candidates, a digit of 8 bits after the other. At
// the end, the candidates that compare as at most the prefix are exactly k.
DEVICE void find_prefix(Selection& s, const Candidate* items, uint32_t count, uint32_t k) {
    if (threadIdx.x == 0) {
        s.left = k;
        s.done = 0;
    }
    if (threadIdx.x < WORDS) {
        s.prefix[threadIdx.x] = 0;
    }
    for (uint32_t digit = 0; digit < 4 * WORDS; digit++) {
        const uint32_t word = digit / 4, shift = 24 - digit % 4 * 8;
        s.histogram[threadIdx.x] = 0;
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
            const Candidate item = items[i];
            if (is_number(item.distance) && compare_prefix(item, s.prefix, word, shift + 8) == 0) {
                atomicAdd(&s.histogram[word_of(item, word) >> shift & 255], 1u);
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            uint32_t bucket = 0;
            while (s.histogram[bucket] < s.left) {
                s.left -= s.histogram[bucket];
                bucket++;
            }
            s.prefix[word] |= bucket << shift;
            s.word = word;
            s.shift = shift;
            s.done = s.histogram[bucket] == s.left;
        }
        __syncthreads();
        if (s.done) {
            return;
        }
    }
}

// Keeps the k nearest candidates of a query, in no order, and lowers its threshold.
KERNEL(select_nearest, SelectArgs, SELECT_THREADS) {
    Selection& s = *reinterpret_cast<Selection*>(shared_memory());
    const Candidates& candidates = args.candidates;
    const uint32_t query = blockIdx.x;
    const uint32_t found = candidates.counts[query], count = min(found, candidates.capacity);
    Candidate* items = candidates.items + static_cast<uint64_t>(query) * candidates.capacity;
    if (threadIdx.x == 0) {
        atomicMax(candidates.most, found);
        s.valid = 0;
        s.kept = 0;
        s.farthest = 0;
    }
    __syncthreads();
    uint32_t valid = 0;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        valid += is_number(items[i].distance);
    }
    atomicAdd(&s.valid, valid);
    __syncthreads();
    const bool is_cut = s.valid > args.k;
    if (is_cut) {
        find_prefix(s, items, count, args.k);
    }
    // Moves the kept ones to the front. What a step reads is read before anything is written there.
    for (uint32_t start = 0; start < count; start += blockDim.x) {
        const uint32_t i = start + threadIdx.x;
        Candidate item;
        bool keeps = false;
        if (i < count) {
            item = items[i];
            keeps = is_number(item.distance) && (!is_cut || compare_prefix(item, s.prefix, s.word, s.shift) <= 0);
        }
        const uint32_t lanes = __ballot_sync(ALL, keeps);
        if (lane_of() == 0) {
            s.warp_counts[warp_of()] = static_cast<uint32_t>(__popc(lanes));
        }
        __syncthreads();
        uint32_t place = s.kept + static_cast<uint32_t>(__popc(lanes & ((1u << lane_of()) - 1)));
        for (uint32_t w = 0; w < warp_of(); w++) {
            place += s.warp_counts[w];
        }
        if (keeps) {
            items[place] = item;
            atomicMax(&s.farthest, ordered(item.distance));
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (uint32_t w = 0; w < warps(); w++) {
                s.kept += s.warp_counts[w];
            }
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        candidates.counts[query] = s.kept;
        candidates.settled[query] = s.kept;
        if (s.kept == args.k) {
            candidates.thresholds[query] = fminf(candidates.thresholds[query], from_ordered(s.farthest));
        }
    }
}

DEVICE bool is_less(const Candidate& a, const Candidate& b) {
    for (uint32_t word = 0; word < WORDS; word++) {
        const uint32_t x = word_of(a, word), y = word_of(b, word);
        if (x != y) {
            return x < y;
        }
    }
    return false;
}

DEVICE bool is_less(uint32_t a, uint32_t b) {
    return a < b;
}

// Sorts items by one block of threads: a bitonic sorter whose exchanges all put the smaller one
// first, so that places past the end never have to be filled (Batcher, "Sorting networks and their
// applications", 1968).
template <class T>
__device__ __forceinline__ void sort_items(T* items, uint32_t count) {
    uint32_t size = 1;
    while (size < count) {
        size *= 2;
    }
    for (uint32_t width = 2; width <= size; width *= 2) {
        for (uint32_t step = width / 2; step > 0; step /= 2) {
            for (uint32_t i = threadIdx.x; i < size / 2; i += blockDim.x) {
                // The first step of a width compares with the mirrored place.
                const uint32_t low = i / step * 2 * step + i % step;
                const uint32_t high = step == width / 2 ? i / step * 2 * step + width - 1 - i % step : low + step;
                if (high < count && is_less(items[high], items[low])) {
                    const T item = items[low];
                    items[low] = items[high];
                    items[high] = item;
                }
            }
            __syncthreads();
        }
    }
}

// Sorts the candidates of a query, and copies the first k.
KERNEL(sort_nearest, SortArgs, SELECT_THREADS) {
    const Candidates& candidates = args.candidates;
    const uint32_t query = blockIdx.x, count = min(candidates.counts[query], candidates.capacity);
    Candidate* items = candidates.items + static_cast<uint64_t>(query) * candidates.capacity;
    sort_items(items, count);
    for (uint32_t i = threadIdx.x; i < min(count, args.k); i += blockDim.x) {
        args.out[static_cast<uint64_t>(query) * args.k + i] = items[i];
    }
}

// Copies all candidates of each query.
KERNEL(gather_candidates, GatherArgs, SELECT_THREADS) {
    const uint32_t query = blockIdx.x, count = min(args.candidates.counts[query], args.candidates.capacity);
    const Candidate* items = args.candidates.items + static_cast<uint64_t>(query) * args.candidates.capacity;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        args.out[args.starts[query] + i] = items[i];
    }
}
