// The terms of the codes of a block.
#pragma once
#include "lists.cuh"

constexpr uint32_t BLOCKS_THREADS = 128;

// What bounds of distances need of a code, made when it comes to the device: the squared norm of
// the decoded vector x, an upper bound of its distance from the vector that the matrix units get
// (x rounded to bf16), and one of the norm of all that x is computed from. The bounds are bf16.
struct Terms {
    float square;
    uint16_t error;
    uint16_t magnitude;
};

// The least bf16 that is not below a number from 0 on.
DEVICE uint16_t round_up(float x) {
    return static_cast<uint16_t>((__float_as_uint(x) + 0xffffu) >> 16);
}

// Relative margin for the roundings in the sums of squares below, for any dimension that floats can
// still add up: they are compared with nothing smaller.
constexpr float MARGIN = 1.0f + 1.0f / 512;

template <class C>
__device__ __forceinline__ void make_terms(const TermsArgs& args) {
    const uint32_t groups = args.lists.block_len / LANES;
    const uint32_t all = args.blocks * groups;
    for (uint32_t g = blockIdx.x * warps() + warp_of(); g < all; g += gridDim.x * warps()) {
        const uint32_t number = args.chosen[g / groups];
        const uint8_t* block = reinterpret_cast<const uint8_t*>(args.lists.blocks[number]);
        const uint32_t slot = g % groups * LANES + lane_of();
        const auto values = C::Values::make(args.lists, args.codec, args.block_lists[number]);
        float square = 0, error = 0, magnitude = 0;
        for (uint32_t d = 0; d < args.codec.dim; d++) {
            const float x = values.value(block, slot, d), size = values.magnitude(block, slot, d);
            const float e = x - bf16_to_float(float_to_bf16(x));
            square = fmaf(x, x, square);
            error = fmaf(e, e, error);
            magnitude = fmaf(size, size, magnitude);
        }
        Terms terms;
        terms.square = square;
        terms.error = round_up(__fsqrt_rn(error) * MARGIN);
        terms.magnitude = round_up(__fsqrt_rn(magnitude) * MARGIN);
        reinterpret_cast<Terms*>(const_cast<uint8_t*>(block) + args.lists.terms)[slot] = terms;
    }
}

#define TERMS_KERNELS(name)                        \
    KERNEL(terms_##name, TermsArgs, BLOCKS_THREADS) { \
        make_terms<name>(args);                    \
    }
FOR_EACH_CODEC(TERMS_KERNELS)
