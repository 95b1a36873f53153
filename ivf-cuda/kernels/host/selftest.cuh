// Kernels that test the shim; tests/emulator.rs launches them and knows the results. They run on
// the GPU as well, but for selftest_fault, of which the emulator reports each fault.
#pragma once
#include "../platform.cuh"

constexpr uint32_t SELFTEST_THREADS = 1024;

struct SelfTestArgs {
    uint32_t* out;
    const void* in;
    uint32_t number;
    uint32_t pad;
};

// Passes numbers around a ring of threads, `number` times.
KERNEL(selftest_ring, SelfTestArgs, SELFTEST_THREADS) {
    uint32_t* ring = reinterpret_cast<uint32_t*>(shared_memory());
    uint32_t mine = threadIdx.x;
    for (uint32_t i = 0; i < args.number; i++) {
        ring[threadIdx.x] = mine;
        __syncthreads();
        mine = ring[(threadIdx.x + 1) % blockDim.x];
        __syncthreads();
    }
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = mine;
}

// Writes the order in which threads run, before a barrier, between two collectives, and after it.
KERNEL(selftest_order, SelfTestArgs, SELFTEST_THREADS) {
    const uint32_t thread = (blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x;
    for (uint32_t i = 0; i < 4; i++) {
        args.out[1 + atomicAdd(&args.out[0], 1u)] = thread;
        if (i % 2) {
            __syncthreads();
        } else {
            __syncwarp();
        }
    }
}

constexpr uint32_t SELFTEST_WARP = 25;

// Collectives of a warp: 25 numbers of each thread.
KERNEL(selftest_warp, SelfTestArgs, SELFTEST_THREADS) {
    const uint32_t lane = lane_of();
    const uint32_t x = threadIdx.x * 3 + 1;
    uint32_t* out = args.out + threadIdx.x * SELFTEST_WARP;
    out[0] = __shfl_sync(ALL, x, lane + 5);
    out[1] = __shfl_sync(ALL, x, 3, 8);
    out[2] = __shfl_xor_sync(ALL, x, 17);
    out[3] = __shfl_xor_sync(ALL, x, 9, 8);
    out[4] = __shfl_up_sync(ALL, x, 3);
    out[5] = __shfl_up_sync(ALL, x, 3, 8);
    out[6] = __shfl_down_sync(ALL, x, 3);
    out[7] = __shfl_down_sync(ALL, x, 3, 8);
    const unsigned long long wide = __shfl_xor_sync(ALL, static_cast<unsigned long long>(x) << 33, 1);
    out[8] = static_cast<uint32_t>(wide >> 33);
    out[9] = __float_as_uint(__shfl_down_sync(ALL, static_cast<float>(x), 1));
    out[10] = __ballot_sync(ALL, x % 2 == 0);
    out[11] = static_cast<uint32_t>(__any_sync(ALL, lane == 7));
    out[12] = static_cast<uint32_t>(__any_sync(ALL, lane > 31));
    out[13] = static_cast<uint32_t>(__all_sync(ALL, lane < 32));
    out[14] = static_cast<uint32_t>(__all_sync(ALL, lane < 31));
    out[15] = __match_any_sync(ALL, x % 5);
    // Two groups of lanes, each with collectives of its own.
    uint32_t sum = x;
    const uint32_t odd = 0xaaaaaaaau;
    if (lane % 2) {
        for (uint32_t step = 2; step < LANES; step *= 2) {
            sum += __shfl_xor_sync(odd, sum, step);
        }
        out[16] = sum;
        out[17] = __ballot_sync(odd, lane > 16);
    } else {
        out[16] = __shfl_sync(~odd, x, 30);
        out[17] = 0;
    }
    // The lanes with the same number have a mask.
    const uint32_t peers = __match_any_sync(ALL, lane / 3);
    const uint32_t leader = static_cast<uint32_t>(__ffs(static_cast<int>(peers))) - 1;
    out[18] = __shfl_sync(peers, x, leader);
    out[19] = __reduce_add_sync(ALL, x);
    out[20] = __reduce_min_sync(peers, x);
    out[21] = __reduce_max_sync(peers, x);
    out[22] = static_cast<uint32_t>(__popc(peers));
    __syncwarp(peers);
    out[23] = static_cast<uint32_t>(__clz(static_cast<int>(x)));
    // Lane 0 meets lane 2 first, and then lane 1, which may have waited for it.
    out[24] = x;
    if (lane == 0) {
        out[24] = __shfl_sync(3u, __shfl_sync(5u, x, 2), 0);
    } else if (lane == 1) {
        out[24] = __shfl_sync(3u, x, 0);
    } else if (lane == 2) {
        out[24] = __shfl_sync(5u, x, 0);
    }
}

// Atomic operations of all threads, on ten words. The words are 0 before.
KERNEL(selftest_atomics, SelfTestArgs, SELFTEST_THREADS) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&args.out[0], i);
    atomicAdd(reinterpret_cast<unsigned long long*>(args.out + 2), static_cast<unsigned long long>(i) << 30);
    atomicAdd(reinterpret_cast<float*>(args.out + 4), 1.0f);
    atomicMax(&args.out[5], i * 7 % 1000);
    atomicMin(&args.out[6], 5000 - i);  // 0 stays
    uint32_t old = args.out[7], seen;
    do {
        seen = old;
        old = atomicCAS(&args.out[7], seen, seen ^ (i + 1));
    } while (old != seen);
    atomicAdd(&args.out[8], atomicExch(&args.out[9], 1u));
}

// Loads four matrices of shared memory, 32 rows of 16 bytes from `in`: 8 words of each lane.
KERNEL(selftest_ldmatrix, SelfTestArgs, LANES) {
    uint4* rows = reinterpret_cast<uint4*>(shared_memory());
    rows[threadIdx.x] = static_cast<const uint4*>(args.in)[threadIdx.x];
    __syncthreads();
    uint32_t plain[4], transposed[4];
    ldmatrix_x4(plain, rows + threadIdx.x);
    ldmatrix_x4_trans(transposed, rows + threadIdx.x);
    for (uint32_t i = 0; i < 4; i++) {
        args.out[threadIdx.x * 8 + i] = plain[i];
        args.out[threadIdx.x * 8 + 4 + i] = transposed[i];
    }
}

// Multiplies the matrices A (16 x 16) and B (16 x 8) of bf16, row after row in `in`, and adds the
// product to the 16 x 8 floats in `out`. With number = 1, fragments come by ldmatrix.
KERNEL(selftest_mma, SelfTestArgs, LANES) {
    uint16_t* a = reinterpret_cast<uint16_t*>(shared_memory());
    uint16_t* b = a + 256;
    for (uint32_t i = threadIdx.x; i < 384; i += LANES) {
        a[i] = static_cast<const uint16_t*>(args.in)[i];
    }
    __syncthreads();
    const uint32_t lane = threadIdx.x, g = lane / 4, t = lane % 4 * 2;
    uint32_t left[4], right[2];
    if (args.number) {
        ldmatrix_x4(left, a + lane % 16 * 16 + lane / 16 * 8);
        uint32_t both[4];
        ldmatrix_x4_trans(both, b + lane % 16 * 8);
        right[0] = both[0];
        right[1] = both[1];
    } else {
        for (uint32_t i = 0; i < 4; i++) {
            const uint16_t* at = a + (g + i % 2 * 8) * 16 + t + i / 2 * 8;
            left[i] = at[0] | static_cast<uint32_t>(at[1]) << 16;
        }
        for (uint32_t i = 0; i < 2; i++) {
            const uint16_t* at = b + (t + i * 8) * 8 + g;
            right[i] = at[0] | static_cast<uint32_t>(at[8]) << 16;
        }
    }
    float* d = reinterpret_cast<float*>(args.out);
    float sums[4];
    for (uint32_t i = 0; i < 4; i++) {
        sums[i] = d[(g + i / 2 * 8) * 8 + t + i % 2];
    }
    mma_bf16(sums, left, right);
    for (uint32_t i = 0; i < 4; i++) {
        d[(g + i / 2 * 8) * 8 + t + i % 2] = sums[i];
    }
}

// Converts all halves and bf16 to floats, and back: three words of each. 65536 threads.
KERNEL(selftest_convert, SelfTestArgs, SELFTEST_THREADS) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    const uint16_t bits = static_cast<uint16_t>(i);
    args.out[i * 3] = __float_as_uint(half_to_float(bits));
    args.out[i * 3 + 1] = __float_as_uint(bf16_to_float(bits));
    args.out[i * 3 + 2] = float_to_bf16(__uint_as_float(static_cast<const uint32_t*>(args.in)[i]));
}

// Counts the bytes of shared memory that are not 0xcd, and overwrites them.
KERNEL(selftest_poison, SelfTestArgs, SELFTEST_THREADS) {
    for (uint32_t i = threadIdx.x; i < args.number; i += blockDim.x) {
        atomicAdd(&args.out[0], static_cast<uint32_t>(shared_memory()[i] != 0xcd));
        shared_memory()[i] = 0;
    }
}

// A thread writes its number: for the time that a launch takes.
KERNEL(selftest_little, SelfTestArgs, SELFTEST_THREADS) {
    args.out[threadIdx.x] = blockIdx.x;
}

#ifdef IVF_HOST
// Faults, each of which the emulator reports. `out` has 64 words, and the shared memory 1024 bytes.
KERNEL(selftest_fault, SelfTestArgs, SELFTEST_THREADS) {
    uint32_t r[4];
    const uint32_t i = threadIdx.x;
    switch (args.number) {
        case 0: args.out[i == 40 ? 64 : 0] = 1; break;                                   // past the memory
        case 1: shared_memory()[i == 3 ? 1024 : 0] = 1; break;                           // past shared memory
        case 2: if (i >= 32) { __syncthreads(); } break;                                 // a barrier that some left
        case 3: if (i >= 32) { __syncthreads(); } else if (i) { __syncwarp(); } else { __syncthreads(); } break;
        case 4: if (i < 16) { __syncthreads(); } else {                                  // two barriers
            __syncthreads();
        } break;
        case 5: if (i % 32 != 9) { __ballot_sync(ALL, 1); } break;                       // lane 9 ended
        case 6: __ballot_sync(ALL << 1, 1); break;                                       // not its own lane
        case 7: if (i % 2) { __shfl_sync(0xaaaaaaaau, i, 0); } break;                    // a lane outside of the mask
        case 8: ldmatrix_x4(r, shared_memory() + 8); break;                              // not aligned
        case 9: ldmatrix_x4(r, shared_memory() + 1024 - (i == 31 ? 0 : 16)); break;      // not in shared memory
        case 10: if (i % 2) { __ballot_sync(ALL, 1); } else { __any_sync(ALL, 1); } break;  // different collectives
        case 11: while (atomicAdd(&args.out[0], 0u) == 0) {} break;                      // for ever
        case 12: args.out[0] = *reinterpret_cast<const uint32_t*>(reinterpret_cast<const char*>(args.out) + 2); break;
        case 13: args.out[0] = 1u << (args.number + 19 + i); break;                      // a shift of 32 bits
        default: break;
    }
}
#endif
