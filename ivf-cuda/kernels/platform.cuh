// What a kernel needs of its platform. With IVF_HOST, kernels are compiled for the CPU, where tests
// run them (host/shim.hpp). Otherwise NVRTC compiles them, without any header of CUDA.
#pragma once

#ifdef IVF_HOST
#include "host/shim.hpp"
#else

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;

// A kernel with one parameter: a structure of args.cuh. THREADS is the number of threads of a block
// with which it is launched. Two such blocks fit a multiprocessor.
#define KERNEL(name, Args, THREADS) \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(const __grid_constant__ Args args)

// The dynamic shared memory of the block.
__device__ __forceinline__ unsigned char* shared_memory() {
    extern __shared__ uint4 dynamic_shared_memory[];
    return reinterpret_cast<unsigned char*>(dynamic_shared_memory);
}

__device__ __forceinline__ float half_to_float(uint16_t bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ __forceinline__ float bf16_to_float(uint16_t bits) {
    return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

// Rounds to the nearest bf16, and to even between two.
__device__ __forceinline__ uint16_t float_to_bf16(float x) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Loads four 8 x 8 matrices of 16-bit numbers from shared memory. Lanes 8 i to 8 i + 7 give the
// addresses of the rows of matrix i, 16 bytes each. A lane gets two neighbours of each matrix: of
// row lane / 4, columns 2 (lane % 4) and the next; transposed, of column lane / 4.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// Adds the product of a 16 x 16 and a 16 x 8 matrix of bf16 to a 16 x 8 matrix of floats.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif

#define DEVICE static __device__ __forceinline__

// Number of lanes of a warp, and of codes that a warp scans at a time.
constexpr uint32_t LANES = 32;

// All lanes of a warp.
constexpr uint32_t ALL = 0xffffffffu;

DEVICE uint32_t lane_of() {
    return threadIdx.x % LANES;
}

DEVICE uint32_t warp_of() {
    return threadIdx.x / LANES;
}

DEVICE uint32_t warps() {
    return blockDim.x / LANES;
}

DEVICE float infinity() {
    return __uint_as_float(0x7f800000u);
}
