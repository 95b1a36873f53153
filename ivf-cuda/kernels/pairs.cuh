// Tasks: from the nearest centroids, and in the order of their lists.
#pragma once
#include "lists.cuh"

constexpr uint32_t PAIRS_THREADS = 256;

// Makes a task of each of the nearest centroids: the whole list.
KERNEL(make_tasks, TasksArgs, PAIRS_THREADS) {
    const uint32_t all = args.queries * args.nprobe;
    uint64_t lists = 0, codes = 0;
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += gridDim.x * blockDim.x) {
        Task task = {0, 0, 0, 0};
        if (i % args.nprobe < args.counts[i / args.nprobe]) {
            const Candidate nearest = args.nearest[i];
            task.list = static_cast<uint32_t>(nearest.id);
            task.end = args.lens[task.list];
            task.coarse = nearest.distance;
        }
        lists += task.end > 0;
        codes += task.end;
        args.tasks[i] = task;
    }
    for (uint32_t step = LANES / 2; step > 0; step /= 2) {
        lists += __shfl_down_sync(ALL, lists, step);
        codes += __shfl_down_sync(ALL, codes, step);
    }
    if (lane_of() == 0 && lists > 0) {
        atomicAdd(reinterpret_cast<unsigned long long*>(&args.totals[0]), static_cast<unsigned long long>(lists));
        atomicAdd(reinterpret_cast<unsigned long long*>(&args.totals[1]), static_cast<unsigned long long>(codes));
    }
}

// Number of the task with number `i` among those of a round.
DEVICE uint64_t task_number(const Round& round, uint32_t i) {
    const uint32_t probes = round.end - round.first;
    return static_cast<uint64_t>(i / probes) * round.nprobe + round.first + i % probes;
}

DEVICE bool is_scanned(const Round& round, const Task& task) {
    const Span span = span_of(round, task);
    return span.start < span.end;
}

// Counts the tasks of each list. The counts are zero before.
KERNEL(count_pairs, PairsArgs, PAIRS_THREADS) {
    const uint32_t all = args.round.queries * (args.round.end - args.round.first);
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += gridDim.x * blockDim.x) {
        const Task task = args.round.tasks[task_number(args.round, i)];
        if (is_scanned(args.round, task)) {
            atomicAdd(&args.pairs.counts[task.list], 1u);
        }
    }
}

// Adds up numbers: returns the sum of those of the threads before this one. `room` has a place for
// each warp, and its total is written to `total`. All threads of the block call it.
DEVICE uint32_t exclusive_sum(uint32_t number, uint32_t* room, uint32_t* total) {
    uint32_t sum = number;
    for (uint32_t step = 1; step < LANES; step *= 2) {
        const uint32_t before = __shfl_up_sync(ALL, sum, step);
        if (lane_of() >= step) {
            sum += before;
        }
    }
    if (lane_of() == LANES - 1) {
        room[warp_of()] = sum;
    }
    __syncthreads();
    uint32_t before = 0, all = 0;
    for (uint32_t w = 0; w < warps(); w++) {
        before += w < warp_of() ? room[w] : 0;
        all += room[w];
    }
    __syncthreads();
    *total = all;
    return before + sum - number;
}

// Turns counts into starts, with one block of threads: of tasks, and of items of at most `tile`
// tasks. Counts and cursors are zero afterwards.
DEVICE void scan_counts(uint32_t* counts, uint32_t* cursors, uint32_t* starts, uint32_t* item_starts, uint32_t tile,
                        uint32_t lists, uint32_t* room) {
    uint32_t tasks = 0, items = 0;
    for (uint32_t first = 0; first < lists; first += blockDim.x) {
        const uint32_t list = first + threadIdx.x;
        const uint32_t count = list < lists ? counts[list] : 0;
        uint32_t total = 0;
        const uint32_t start = exclusive_sum(count, room, &total);
        if (list < lists) {
            starts[list] = tasks + start;
            counts[list] = 0;
            cursors[list] = 0;
        }
        tasks += total;
        if (item_starts) {
            const uint32_t item = exclusive_sum((count + tile - 1) / tile, room, &total);
            if (list < lists) {
                item_starts[list] = items + item;
            }
            items += total;
        }
    }
    if (threadIdx.x == 0) {
        starts[lists] = tasks;
        if (item_starts) {
            item_starts[lists] = items;
        }
    }
}

KERNEL(start_pairs, PairsArgs, PAIRS_THREADS) {
    uint32_t* room = reinterpret_cast<uint32_t*>(shared_memory());
    const Pairs& pairs = args.pairs;
    scan_counts(pairs.counts, pairs.cursors, pairs.starts, pairs.item_starts, pairs.tile, args.nlist, room);
}

// Writes the numbers of the tasks in the order of their lists. The order within a list is
// arbitrary, and no result depends on it.
KERNEL(order_pairs, PairsArgs, PAIRS_THREADS) {
    const uint32_t all = args.round.queries * (args.round.end - args.round.first);
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += gridDim.x * blockDim.x) {
        const uint64_t number = task_number(args.round, i);
        const Task task = args.round.tasks[number];
        if (is_scanned(args.round, task)) {
            const uint32_t place = atomicAdd(&args.pairs.cursors[task.list], 1u);
            args.pairs.order[args.pairs.starts[task.list] + place] = static_cast<uint32_t>(number);
        }
    }
}
