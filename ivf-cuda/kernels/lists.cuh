// Access to lists and to the candidates of a query.
#pragma once
#include "codecs.cuh"

// 32 codes of a list: a block, and the slot of the first of them.
struct Group {
    const uint8_t* block;
    uint32_t slot;
    uint32_t word;  // number of the word of a mask
};

// Group `g` of a list.
DEVICE Group group_of(const Lists& lists, uint32_t list, uint32_t g) {
    const uint32_t groups = lists.block_len / LANES, first = lists.first[list];
    Group group;
    group.block = reinterpret_cast<const uint8_t*>(lists.blocks[first + g / groups]);
    group.slot = g % groups * LANES;
    group.word = first * groups + g;
    return group;
}

DEVICE int64_t id_of(const Lists& lists, const Group& group, uint32_t lane) {
    return reinterpret_cast<const int64_t*>(group.block + lists.ids)[group.slot + lane];
}

// Appends a candidate if there is room. The count goes on either way.
DEVICE void put(const Candidates& out, uint32_t query, uint32_t place, const Candidate& candidate) {
    if (place < out.capacity) {
        out.items[static_cast<uint64_t>(query) * out.capacity + place] = candidate;
    }
}

// Appends the candidates of the lanes that have one. All lanes of a warp call it.
DEVICE void push_warp(const Candidates& out, uint32_t query, bool has, const Candidate& candidate) {
    const uint32_t lanes = __ballot_sync(ALL, has);
    if (lanes == 0) {
        return;
    }
    uint32_t place = 0;
    if (lane_of() == 0) {
        place = atomicAdd(&out.counts[query], static_cast<uint32_t>(__popc(lanes)));
    }
    place = __shfl_sync(ALL, place, 0);
    if (has) {
        put(out, query, place + static_cast<uint32_t>(__popc(lanes & ((1u << lane_of()) - 1))), candidate);
    }
}

// What a round scans of a task: offsets from `start` to `end`.
struct Span {
    uint32_t start;
    uint32_t end;
};

DEVICE Span span_of(const Round& round, const Task& task) {
    return Span{max(task.start, round.window_start), min(task.end, round.window_end)};
}
