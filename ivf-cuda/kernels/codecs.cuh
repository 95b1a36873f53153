// How codes are read. A codec has
//
//   value(block, slot, d)       a coordinate of the decoded vector
//   magnitude(block, slot, d)   at least the size of everything that a coordinate is computed from
//   distance(block, slot)       the exact distance from the query
//
// Distances are the folds of the CPU, with the same operations in the same order, so they are the
// same to the last bit. The translation unit is compiled without contraction to fused operations;
// those that the CPU fuses are written as fmaf.
#pragma once
#include "args.cuh"

struct L2 {
    static constexpr bool PRODUCT = false;
    DEVICE float step(float sum, float q, float x) {
        const float d = q - x;
        return fmaf(d, d, sum);
    }
};

struct InnerProduct {
    static constexpr bool PRODUCT = true;
    DEVICE float step(float sum, float q, float x) {
        return fmaf(-q, x, sum);
    }
};

// Vectors of floats in halves: the rounded upper halves in plane 0, the lower ones in plane 1.
struct FlatValues {
    const Codec& codec;
    uint32_t plane1;

    DEVICE FlatValues make(const Lists& lists, const Codec& codec, uint32_t) {
        return FlatValues{codec, lists.plane1};
    }

    __device__ __forceinline__ float value(const uint8_t* block, uint32_t slot, uint32_t d) const {
        const uint32_t at = d * LANES + slot;
        const uint32_t upper = reinterpret_cast<const uint16_t*>(block)[at];
        const uint16_t lower = reinterpret_cast<const uint16_t*>(block + plane1)[at];
        const int32_t signed_lower = static_cast<int32_t>(lower) - ((lower & 0x8000u) ? 0x10000 : 0);
        return __uint_as_float((upper << 16) + static_cast<uint32_t>(signed_lower));
    }

    __device__ __forceinline__ float magnitude(const uint8_t* block, uint32_t slot, uint32_t d) const {
        return fabsf(value(block, slot, d));
    }
};

// Scalar quantizers: a coordinate is number * step + base, fused.
template <class Numbers>
struct SqValues {
    const float* steps;
    const float* bases;

    DEVICE SqValues make(const Lists&, const Codec& codec, uint32_t list) {
        return SqValues{codec.steps, codec.rows + static_cast<uint64_t>(list) * codec.row_stride};
    }

    __device__ __forceinline__ float value(const uint8_t* block, uint32_t slot, uint32_t d) const {
        return fmaf(Numbers::get(block, slot, d), steps[d], bases[d]);
    }

    __device__ __forceinline__ float magnitude(const uint8_t* block, uint32_t slot, uint32_t d) const {
        return fabsf(Numbers::get(block, slot, d) * steps[d]) + fabsf(bases[d]);
    }
};

// Whole numbers of some bits. The words of 4 bytes of a code lie 32 codes apart.
template <uint32_t BITS>
struct WholeNumbers {
    DEVICE float get(const uint8_t* block, uint32_t slot, uint32_t d) {
        const uint32_t* words = reinterpret_cast<const uint32_t*>(block);
        const uint32_t first = d * BITS / 32, shift = d * BITS % 32;
        uint32_t number = words[first * LANES + slot] >> shift;
        if (32 % BITS != 0 && shift + BITS > 32) {
            number |= words[(first + 1) * LANES + slot] << (32 - shift);
        }
        return static_cast<float>(number & ((1u << BITS) - 1));
    }
};

// Floats of 16 bits, dimension after dimension.
struct HalfNumbers {
    DEVICE float get(const uint8_t* block, uint32_t slot, uint32_t d) {
        return half_to_float(reinterpret_cast<const uint16_t*>(block)[d * LANES + slot]);
    }
};

struct Bf16Numbers {
    DEVICE float get(const uint8_t* block, uint32_t slot, uint32_t d) {
        return bf16_to_float(reinterpret_cast<const uint16_t*>(block)[d * LANES + slot]);
    }
};

// A codec whose distance is the fold over the coordinates of the decoded vector.
template <class Values, class Metric>
struct VectorCodec {
    Values values;
    const float* query;
    uint32_t dim;

    // Begins to scan a list for a query. All threads of the block call it.
    __device__ __forceinline__ VectorCodec(const Lists& lists, const Codec& codec, const float* query, uint32_t list,
                                           float, unsigned char*)
        : values(Values::make(lists, codec, list)), query(query), dim(codec.dim) {}

    __device__ __forceinline__ float distance(const uint8_t* block, uint32_t slot) const {
        float sum = 0;
        for (uint32_t d = 0; d < dim; d++) {
            sum = Metric::step(sum, query[d], values.value(block, slot, d));
        }
        return sum;
    }
};

// Numbers of product quantizers: bytes, or half bytes with the lower first. A block has 64 codes.
constexpr uint32_t PQ_BLOCK = 64;

template <uint32_t K>
DEVICE uint32_t pq_number(const uint8_t* block, uint32_t slot, uint32_t m, uint32_t bits) {
    uint32_t number;
    if (K == 256) {
        number = block[m * PQ_BLOCK + slot];
    } else {
        number = block[m / 2 * PQ_BLOCK + slot] >> (m % 2 * 4);
    }
    return number & ((1u << bits) - 1);
}

// Adds the entries of a code in the order of the CPU: one sum for bytes, four for half bytes.
template <uint32_t K>
struct PqSum {
    float sums[K == 16 ? 4 : 1];

    __device__ __forceinline__ explicit PqSum(float start) {
        sums[0] = start;
        for (uint32_t i = 1; i < (K == 16 ? 4 : 1); i++) {
            sums[i] = 0;
        }
    }

    __device__ __forceinline__ void add(uint32_t m, float entry) {
        if (K == 16) {
            // The index is not known when this is compiled, but the array must be in registers.
            for (uint32_t i = 0; i < 4; i++) {
                if (m % 4 == i) {
                    sums[i] += entry;
                }
            }
        } else {
            sums[0] += entry;
        }
    }

    __device__ __forceinline__ float total() const {
        if (K == 16) {
            return (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
        return sums[0];
    }
};

// Decoded vectors of a product quantizer. For the inner product, what residuals are of is part of
// the coarse distance, and not of the vector.
template <uint32_t K, class Metric>
struct PqValues {
    const Codec& codec;
    const float* row;

    DEVICE PqValues make(const Lists&, const Codec& codec, uint32_t list) {
        const float* rows = Metric::PRODUCT ? nullptr : codec.rows;
        return PqValues{codec, rows ? rows + static_cast<uint64_t>(list) * codec.row_stride : nullptr};
    }

    // The subquantizer of dimension d: the number of ends that are at most d.
    __device__ __forceinline__ uint32_t subquantizer(uint32_t d) const {
        uint32_t low = 0, high = codec.subquantizers - 1;
        while (low < high) {
            const uint32_t middle = (low + high) / 2;
            if (codec.ends[middle] <= d) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    __device__ __forceinline__ float centroid(const uint8_t* block, uint32_t slot, uint32_t d) const {
        const uint32_t m = subquantizer(d);
        const uint32_t start = m ? codec.ends[m - 1] : 0;
        const uint32_t number = pq_number<K>(block, slot, m, codec.bits);
        return codec.codebooks[(static_cast<uint64_t>(start) << codec.bits) + number * (codec.ends[m] - start) + (d - start)];
    }

    __device__ __forceinline__ float value(const uint8_t* block, uint32_t slot, uint32_t d) const {
        const float y = centroid(block, slot, d);
        return row ? row[d] + y : y;
    }

    __device__ __forceinline__ float magnitude(const uint8_t* block, uint32_t slot, uint32_t d) const {
        const float y = fabsf(centroid(block, slot, d));
        return row ? fabsf(row[d]) + y : y;
    }
};

// A product quantizer: a distance is a sum of one entry for each subquantizer.
template <uint32_t K, class Metric>
struct PqCodec {
    const Codec& codec;
    const float* query;
    const float* row;
    const float* table;
    float start;

    // Makes the tables in `shared` if there is room for them: subquantizers x K floats.
    __device__ __forceinline__ PqCodec(const Lists&, const Codec& codec, const float* query, uint32_t list, float coarse,
                                       unsigned char* shared)
        : codec(codec), query(query), row(nullptr), table(nullptr), start(codec.coarse ? coarse : 0.0f) {
        if (!Metric::PRODUCT && codec.rows) {
            row = codec.rows + static_cast<uint64_t>(list) * codec.row_stride;
        }
        if (codec.tables && shared) {
            float* entries = reinterpret_cast<float*>(shared);
            const uint32_t centroids = 1u << codec.bits;
            for (uint32_t i = threadIdx.x; i < codec.subquantizers * centroids; i += blockDim.x) {
                entries[i] = entry(i / centroids, i % centroids);
            }
            __syncthreads();
            table = entries;
        }
    }

    __device__ __forceinline__ float entry(uint32_t m, uint32_t number) const {
        const uint32_t from = m ? codec.ends[m - 1] : 0, to = codec.ends[m];
        const float* y = codec.codebooks + (static_cast<uint64_t>(from) << codec.bits) + number * (to - from);
        float sum = 0;
        for (uint32_t d = from; d < to; d++) {
            sum = Metric::step(sum, row ? query[d] - row[d] : query[d], y[d - from]);
        }
        return sum;
    }

    __device__ __forceinline__ float distance(const uint8_t* block, uint32_t slot) const {
        PqSum<K> sum(start);
        for (uint32_t m = 0; m < codec.subquantizers; m++) {
            const uint32_t number = pq_number<K>(block, slot, m, codec.bits);
            sum.add(m, table ? table[(m << codec.bits) + number] : entry(m, number));
        }
        return sum.total();
    }
};

// A codec of vectors, and one of product quantizers, with a metric.
template <class V, class M>
struct Vectors {
    using Values = V;
    using Exact = VectorCodec<V, M>;
    using Metric = M;
};

template <uint32_t K, class M>
struct Products {
    using Values = PqValues<K, M>;
    using Exact = PqCodec<K, M>;
    using Metric = M;
};

// The codecs by the names that their kernels have (src/codec has the same).
using flat_l2 = Vectors<FlatValues, L2>;
using flat_ip = Vectors<FlatValues, InnerProduct>;
using sq4_l2 = Vectors<SqValues<WholeNumbers<4>>, L2>;
using sq4_ip = Vectors<SqValues<WholeNumbers<4>>, InnerProduct>;
using sq6_l2 = Vectors<SqValues<WholeNumbers<6>>, L2>;
using sq6_ip = Vectors<SqValues<WholeNumbers<6>>, InnerProduct>;
using sq8_l2 = Vectors<SqValues<WholeNumbers<8>>, L2>;
using sq8_ip = Vectors<SqValues<WholeNumbers<8>>, InnerProduct>;
using sqfp16_l2 = Vectors<SqValues<HalfNumbers>, L2>;
using sqfp16_ip = Vectors<SqValues<HalfNumbers>, InnerProduct>;
using sqbf16_l2 = Vectors<SqValues<Bf16Numbers>, L2>;
using sqbf16_ip = Vectors<SqValues<Bf16Numbers>, InnerProduct>;
using pq8_l2 = Products<256, L2>;
using pq8_ip = Products<256, InnerProduct>;
using pq4_l2 = Products<16, L2>;
using pq4_ip = Products<16, InnerProduct>;

// Makes something for each codec.
#define FOR_EACH_CODEC(X)                                                                      \
    X(flat_l2) X(flat_ip) X(sq4_l2) X(sq4_ip) X(sq6_l2) X(sq6_ip) X(sq8_l2) X(sq8_ip)          \
    X(sqfp16_l2) X(sqfp16_ip) X(sqbf16_l2) X(sqbf16_ip) X(pq8_l2) X(pq8_ip) X(pq4_l2) X(pq4_ip)
