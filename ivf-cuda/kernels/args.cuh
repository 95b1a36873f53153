// The parameters of the kernels. src/kernels.rs has the same structures, and a test compares their
// sizes. A pointer takes 8 bytes, and so do two numbers of 32 bits: there is no padding.
#pragma once
#include "platform.cuh"

// Lists in blocks, as the CPU has them: the planes of a block, then the ids of its codes (int64),
// then a Terms of each code.
//
//   block   | plane 0 | plane 1 | ids | terms |
//   blocks  | list 0: address, address | list 1: address | ...
//   first   | 0 | 2 | 3 | ...                                    nlist + 1
struct Lists {
    const uint64_t* blocks;  // addresses of the blocks
    const uint32_t* first;   // number of the first block of each list
    const uint32_t* lens;    // number of codes of each list
    uint32_t nlist;
    uint32_t block_len;  // codes of a block: a multiple of 32
    uint32_t plane1;     // offset of the second plane in a block
    uint32_t ids;        // offset of the ids
    uint32_t terms;      // offset of the terms
    uint32_t pad;
};

// The trained state of a codec. What a codec does not use is null.
struct Codec {
    const float* steps;      // SQ: a step for each dimension
    const float* rows;       // SQ: the bases of each list; PQ: what residuals of each list are of
    const float* codebooks;  // PQ: 2^bits centroids of each subquantizer, row after row
    const uint32_t* ends;    // PQ: the end of each subquantizer's dimensions
    uint32_t row_stride;     // dim if each list has a row, and 0 if one serves all
    uint32_t dim;
    uint32_t subquantizers;
    uint32_t bits;     // PQ: bits of a number
    uint32_t tables;   // PQ: 1 if lookup tables fit the shared memory
    uint32_t coarse;   // 1 if a distance begins with the coarse distance
};

// A result that may be among the nearest.
struct Candidate {
    float distance;
    uint32_t list;
    uint32_t offset;
    float coarse;
    int64_t id;
};

// The candidates of each query: `capacity` places.
struct Candidates {
    Candidate* items;
    uint32_t* counts;      // number of candidates that were found, also beyond the capacity
    uint32_t* settled;     // number of candidates, from the first on, whose distances are exact
    float* thresholds;     // candidates with a greater distance are not wanted
    uint32_t* most;        // one number: the largest count
    uint32_t capacity;
    uint32_t pad;
};

// A list to scan for a query, from `start` to `end`.
struct Task {
    uint32_t list;
    uint32_t start;
    uint32_t end;
    float coarse;
};

// Which tasks a round scans: those of the probes `first` to `end` of each query, as far as they lie
// in the window of offsets.
struct Round {
    const Task* tasks;  // `nprobe` tasks of each query
    uint32_t nprobe;
    uint32_t queries;
    uint32_t first;
    uint32_t end;
    uint32_t window_start;
    uint32_t window_end;
};

// Exact distances, query by query.
struct ScanArgs {
    Lists lists;
    Codec codec;
    Candidates out;
    Round round;
    const float* queries;
    const uint32_t* mask;  // a bit for each code that may be found, 32 codes in a word; or null
};

// The tasks of a round in the order of their lists.
struct Pairs {
    uint32_t* counts;       // tasks of each list; zero between rounds
    uint32_t* cursors;      // tasks of each list that have a place
    uint32_t* starts;       // nlist + 1: place of the first task of each list in `order`
    uint32_t* item_starts;  // nlist + 1: number of the first item of each list
    uint32_t* order;        // numbers of tasks
    uint32_t tile;          // most tasks of an item
    uint32_t pad;
};

struct PairsArgs {
    Pairs pairs;
    Round round;
    uint32_t nlist;
    uint32_t pad;
};

// Bounds of distances by products of matrices, list by list.
struct TileArgs {
    ScanArgs scan;
    Pairs pairs;
    uint32_t padded_dim;  // a multiple of 16
    float slack;          // relative error of the products
};

struct SelectArgs {
    Candidates candidates;
    uint32_t queries;
    uint32_t k;
};

// Sorts the candidates of each query, and copies the first `k`.
struct SortArgs {
    Candidates candidates;
    Candidate* out;  // k places for each query
    uint32_t queries;
    uint32_t k;
};

// Copies the candidates of each query to where those of the query before end.
struct GatherArgs {
    Candidates candidates;
    const uint64_t* starts;
    Candidate* out;
};

// Makes tasks of the nearest centroids.
struct TasksArgs {
    const Candidate* nearest;  // nprobe of each query
    const uint32_t* counts;
    const uint32_t* lens;
    Task* tasks;
    uint64_t* totals;  // lists and codes
    uint32_t queries;
    uint32_t nprobe;
};

struct TermsArgs {
    Lists lists;
    Codec codec;
    const uint32_t* block_lists;  // list of each block
    const uint32_t* chosen;       // numbers of the blocks whose terms are made
    uint32_t blocks;
    uint32_t pad;
};

struct NearestArgs {
    const float* points;
    const float* centroids;
    uint32_t* numbers;
    float* distances;
    uint32_t count;
    uint32_t k;
    uint32_t dim;
    uint32_t pad;
};

struct MembersArgs {
    const uint32_t* numbers;  // centroid of each point
    uint32_t* counts;         // points of each centroid; zero before and after each kernel but the first
    uint32_t* cursors;        // points of each centroid that have a place
    uint32_t* starts;         // k + 1
    uint32_t* members;        // points, by centroid
    uint32_t count;
    uint32_t k;
};

struct SumsArgs {
    const float* points;
    const uint32_t* starts;
    const uint32_t* members;
    double* sums;
    uint32_t k;
    uint32_t dim;
};
