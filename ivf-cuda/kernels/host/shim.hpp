// What kernels need of CUDA, for the emulator (main.cpp), which runs them on the CPU.
//
// The threads of a block are fibers of one thread of the CPU, so an atomic operation is a plain
// one. A collective of a warp makes only the lanes in its mask wait, and __syncthreads the whole
// block. What CUDA leaves undefined is an error here where it can be seen: a lane that ended, or
// that is not in the mask, a matrix outside the shared memory, an address that is not aligned.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __device__
#define __host__
#define __global__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// A kernel: a function of its arguments, which the emulator finds by its name. CUDA passes at most
// 4096 bytes to a kernel.
#define KERNEL(name, Args, THREADS)                                                             \
    static_assert(sizeof(Args) <= 4096 && std::is_trivially_copyable<Args>::value, "a plain, small structure"); \
    static void name(const Args& args);                                                         \
    static const emulator::Kernel name##_kernel(                                                \
        #name, sizeof(Args), THREADS, [](const void* args) { name(*static_cast<const Args*>(args)); }); \
    static void name([[maybe_unused]] const Args& args)

#define EMULATOR_VECTORS(type, base, align2, align4)                                            \
    struct __align__(align2) type##2 { base x, y; };                                            \
    struct type##3 { base x, y, z; };                                                           \
    struct __align__(align4) type##4 { base x, y, z, w; };                                      \
    inline type##2 make_##type##2(base x, base y) { return {x, y}; }                            \
    inline type##3 make_##type##3(base x, base y, base z) { return {x, y, z}; }                 \
    inline type##4 make_##type##4(base x, base y, base z, base w) { return {x, y, z, w}; }
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(uint, unsigned, 8, 16)
EMULATOR_VECTORS(ushort, unsigned short, 4, 8)
EMULATOR_VECTORS(uchar, unsigned char, 2, 4)

// Set by the emulator before it resumes a thread.
inline uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

struct Kernel {
    const char* name;
    size_t args_size;
    uint32_t most_threads;
    void (*body)(const void* args);
    Kernel* next;

    static inline Kernel* all = nullptr;

    Kernel(const char* name, size_t args_size, uint32_t most_threads, void (*body)(const void*))
        : name(name), args_size(args_size), most_threads(most_threads), body(body), next(all) {
        all = this;
    }
};

// The dynamic shared memory of the block that runs.
inline unsigned char* shared = nullptr;
inline size_t shared_size = 0;

// Where a kernel calls a collective.
struct Site {
    const char* file;
    int line;

    const char* name() const {
        const char* slash = std::strrchr(file, '/');
        return slash ? slash + 1 : file;
    }
};

// A lane that waits in a collective, until all lanes in its mask have come. `complete` does the
// work for all of them; it gets them by their numbers.
struct Wait {
    const char* name;
    uint32_t mask;
    Site site;
    void (*complete)(Wait* const* lanes, uint32_t mask);
};

// These are functions of main.cpp.
void meet(Wait& wait);
void barrier(Site site);
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

inline uint32_t lane() {
    return threadIdx.x % 32;
}

template <class To, class From>
To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

// Collectives in which a lane has a number, and gets one.
struct Exchange : Wait {
    uint64_t value;
    uint32_t from;
    uint64_t result;
};

template <class F>
void for_each_lane(uint32_t mask, F f) {
    for (uint32_t lane = 0; lane < 32; lane++) {
        if (mask >> lane & 1) {
            f(lane);
        }
    }
}

inline void complete_shuffle(Wait* const* lanes, uint32_t mask) {
    for_each_lane(mask, [&](uint32_t lane) {
        Exchange& mine = *static_cast<Exchange*>(lanes[lane]);
        if (!(mask >> mine.from & 1)) {
            fail("%s at %s:%d: lane %u reads lane %u, which is not in the mask 0x%08x", mine.name, mine.site.name(),
                 mine.site.line, lane, mine.from, mask);
        }
        mine.result = static_cast<Exchange*>(lanes[mine.from])->value;
    });
}

inline void complete_match(Wait* const* lanes, uint32_t mask) {
    for_each_lane(mask, [&](uint32_t lane) {
        Exchange& mine = *static_cast<Exchange*>(lanes[lane]);
        mine.result = 0;
        for_each_lane(mask, [&](uint32_t other) {
            mine.result |= uint64_t(static_cast<Exchange*>(lanes[other])->value == mine.value) << other;
        });
    });
}

// A collective whose result is the same for all lanes: F folds the numbers.
template <class F>
void complete_fold(Wait* const* lanes, uint32_t mask) {
    uint64_t result = F::START;
    for_each_lane(mask, [&](uint32_t lane) {
        result = F::fold(result, static_cast<Exchange*>(lanes[lane])->value, lane);
    });
    for_each_lane(mask, [&](uint32_t lane) { static_cast<Exchange*>(lanes[lane])->result = result; });
}

struct Ballot {
    static constexpr uint64_t START = 0;
    static uint64_t fold(uint64_t all, uint64_t one, uint32_t lane) { return all | one << lane; }
};
struct Sum {
    static constexpr uint64_t START = 0;
    static uint64_t fold(uint64_t all, uint64_t one, uint32_t) { return all + one; }
};
struct Least {
    static constexpr uint64_t START = ~0ull;
    static uint64_t fold(uint64_t all, uint64_t one, uint32_t) { return one < all ? one : all; }
};
struct Most {
    static constexpr uint64_t START = 0;
    static uint64_t fold(uint64_t all, uint64_t one, uint32_t) { return one > all ? one : all; }
};

inline uint64_t exchange(const char* name, uint32_t mask, Site site, void (*complete)(Wait* const*, uint32_t),
                         uint64_t value, uint32_t from = 0) {
    Exchange wait;
    static_cast<Wait&>(wait) = Wait{name, mask, site, complete};
    wait.value = value;
    wait.from = from;
    wait.result = 0;
    meet(wait);
    return wait.result;
}

template <class F>
uint32_t fold(const char* name, uint32_t mask, Site site, uint64_t value) {
    return static_cast<uint32_t>(exchange(name, mask, site, complete_fold<F>, value));
}

// Shorter types become int, as they do in CUDA.
template <class T>
auto shuffle(const char* name, uint32_t mask, T given, uint32_t from, Site site) -> decltype(+given) {
    using Value = decltype(+given);
    static_assert(sizeof(Value) == 4 || sizeof(Value) == 8, "32 or 64 bits");
    using Bits = typename std::conditional<sizeof(Value) == 4, uint32_t, uint64_t>::type;
    const uint64_t bits = bits_of<Bits>(+given);
    return bits_of<Value>(static_cast<Bits>(exchange(name, mask, site, complete_shuffle, bits, from)));
}

// Matrices: the lanes give addresses, of shared memory or of their registers.
struct Load : Wait {
    const void* row;
    uint32_t* to;
};

template <bool TRANSPOSED>
void complete_load(Wait* const* lanes, uint32_t) {
    uint16_t matrix[4][8][8];
    for (uint32_t lane = 0; lane < 32; lane++) {
        const Load& mine = *static_cast<Load*>(lanes[lane]);
        const unsigned char* row = static_cast<const unsigned char*>(mine.row);
        if (row < shared || size_t(row - shared) + 16 > shared_size) {
            fail("%s at %s:%d: the row of lane %u is not in shared memory: offset %td of %zu", mine.name,
                 mine.site.name(), mine.site.line, lane, row - shared, shared_size);
        }
        if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
            fail("%s at %s:%d: the row of lane %u is not aligned to 16 bytes: offset %td", mine.name, mine.site.name(),
                 mine.site.line, lane, row - shared);
        }
        std::memcpy(matrix[lane / 8][lane % 8], row, 16);
    }
    for (uint32_t lane = 0; lane < 32; lane++) {
        const uint32_t row = lane / 4, column = lane % 4 * 2;
        for (uint32_t m = 0; m < 4; m++) {
            const uint32_t left = TRANSPOSED ? matrix[m][column][row] : matrix[m][row][column];
            const uint32_t right = TRANSPOSED ? matrix[m][column + 1][row] : matrix[m][row][column + 1];
            static_cast<Load*>(lanes[lane])->to[m] = left | right << 16;
        }
    }
}

struct Multiply : Wait {
    float* d;
    const uint32_t* a;
    const uint32_t* b;
};

// Adds products to a sum as tensor cores do: all addends are cut off after the 24th bit of the
// largest one, and so is the sum. Kernels that bound their rounding errors are tested with large
// ones.
inline float add_products(float sum, const float* a, const float* b, uint32_t count) {
    double terms[9], largest = 0, plain = 0;
    for (uint32_t i = 0; i <= count; i++) {
        terms[i] = i < count ? double(a[i]) * double(b[i]) : double(sum);
        largest = std::fmax(largest, std::fabs(terms[i]));
        plain += terms[i];
    }
    if (!std::isfinite(plain) || largest == 0) {
        return static_cast<float>(plain);
    }
    const int exponent = std::ilogb(largest) - 23;
    const double scale = std::ldexp(1.0, -exponent);
    int64_t total = 0;
    for (uint32_t i = 0; i <= count; i++) {
        total += static_cast<int64_t>(terms[i] * scale);
    }
    const double exact = std::ldexp(static_cast<double>(total), exponent);
    const float rounded = static_cast<float>(exact);
    const bool is_away = std::isfinite(rounded) && std::fabs(double(rounded)) > std::fabs(exact);
    return is_away ? std::nextafter(rounded, 0.0f) : rounded;
}

// Lane 4 g + t has, in pairs of columns or of depths (2 t, 2 t + 1):
//
//   a   row g   | row g + 8   | row g, columns + 8 | row g + 8, columns + 8
//   b   column g, depths 2 t  | depths 2 t + 8
//   d   row g (2 numbers)     | row g + 8 (2 numbers)
inline void complete_multiply(Wait* const* lanes, uint32_t) {
    float a[16][16], b[8][16];  // b by columns
    for (uint32_t lane = 0; lane < 32; lane++) {
        const Multiply& mine = *static_cast<Multiply*>(lanes[lane]);
        const uint32_t g = lane / 4, t = lane % 4 * 2;
        for (uint32_t i = 0; i < 8; i++) {
            const uint32_t bits = mine.a[i / 2] >> (i % 2 * 16) << 16;
            a[g + i / 2 % 2 * 8][t + i % 2 + i / 4 * 8] = bits_of<float>(bits);
        }
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t bits = mine.b[i / 2] >> (i % 2 * 16) << 16;
            b[g][t + i % 2 + i / 2 * 8] = bits_of<float>(bits);
        }
    }
    for (uint32_t lane = 0; lane < 32; lane++) {
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float& d = static_cast<Multiply*>(lanes[lane])->d[i];
            d = add_products(add_products(d, a[row], b[column], 8), a[row] + 8, b[column] + 8, 8);
        }
    }
}

template <class T>
T exchange_at(T* at, T value) {
    const T old = *at;
    *at = value;
    return old;
}

}  // namespace emulator

inline unsigned char* shared_memory() {
    return emulator::shared;
}

// A collective takes the place of its call for messages, after the parameters that it has in CUDA.
#define EMULATOR_SITE int line = __builtin_LINE(), const char *file = __builtin_FILE()
#define EMULATOR_HERE (emulator::Site{file, line})

inline void __syncthreads(EMULATOR_SITE) {
    emulator::barrier(EMULATOR_HERE);
}

inline void __syncwarp(uint32_t mask = ~0u, EMULATOR_SITE) {
    emulator::exchange("__syncwarp", mask, EMULATOR_HERE, [](emulator::Wait* const*, uint32_t) {}, 0);
}

template <class T>
auto __shfl_sync(uint32_t mask, T value, uint32_t from, uint32_t width = 32, EMULATOR_SITE) -> decltype(+value) {
    const uint32_t first = emulator::lane() & ~(width - 1);
    return emulator::shuffle("__shfl_sync", mask, value, first | (from & (width - 1)), EMULATOR_HERE);
}

template <class T>
auto __shfl_xor_sync(uint32_t mask, T value, uint32_t bits, uint32_t width = 32, EMULATOR_SITE) -> decltype(+value) {
    const uint32_t lane = emulator::lane(), from = lane ^ bits;
    return emulator::shuffle("__shfl_xor_sync", mask, value, from > (lane | (width - 1)) ? lane : from, EMULATOR_HERE);
}

template <class T>
auto __shfl_up_sync(uint32_t mask, T value, uint32_t step, uint32_t width = 32, EMULATOR_SITE) -> decltype(+value) {
    const uint32_t lane = emulator::lane();
    const bool is_out = step > (lane & (width - 1));
    return emulator::shuffle("__shfl_up_sync", mask, value, is_out ? lane : lane - step, EMULATOR_HERE);
}

template <class T>
auto __shfl_down_sync(uint32_t mask, T value, uint32_t step, uint32_t width = 32, EMULATOR_SITE) -> decltype(+value) {
    const uint32_t lane = emulator::lane();
    const bool is_out = step > width - 1 - (lane & (width - 1));
    return emulator::shuffle("__shfl_down_sync", mask, value, is_out ? lane : lane + step, EMULATOR_HERE);
}

inline uint32_t __ballot_sync(uint32_t mask, int is_so, EMULATOR_SITE) {
    return emulator::fold<emulator::Ballot>("__ballot_sync", mask, EMULATOR_HERE, is_so != 0);
}

inline int __any_sync(uint32_t mask, int is_so, EMULATOR_SITE) {
    return int(emulator::fold<emulator::Most>("__any_sync", mask, EMULATOR_HERE, is_so != 0));
}

inline int __all_sync(uint32_t mask, int is_so, EMULATOR_SITE) {
    return int(emulator::fold<emulator::Least>("__all_sync", mask, EMULATOR_HERE, is_so != 0));
}

template <class T>
uint32_t __match_any_sync(uint32_t mask, T value, EMULATOR_SITE) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "32 or 64 bits");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(value));
    return uint32_t(emulator::exchange("__match_any_sync", mask, EMULATOR_HERE, emulator::complete_match, bits));
}

inline uint32_t __reduce_add_sync(uint32_t mask, uint32_t value, EMULATOR_SITE) {
    return emulator::fold<emulator::Sum>("__reduce_add_sync", mask, EMULATOR_HERE, value);
}

inline uint32_t __reduce_min_sync(uint32_t mask, uint32_t value, EMULATOR_SITE) {
    return emulator::fold<emulator::Least>("__reduce_min_sync", mask, EMULATOR_HERE, value);
}

inline uint32_t __reduce_max_sync(uint32_t mask, uint32_t value, EMULATOR_SITE) {
    return emulator::fold<emulator::Most>("__reduce_max_sync", mask, EMULATOR_HERE, value);
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, EMULATOR_SITE) {
    emulator::Load wait;
    static_cast<emulator::Wait&>(wait) = {"ldmatrix_x4", ~0u, EMULATOR_HERE, emulator::complete_load<false>};
    wait.row = row;
    wait.to = r;
    emulator::meet(wait);
}

inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, EMULATOR_SITE) {
    emulator::Load wait;
    static_cast<emulator::Wait&>(wait) = {"ldmatrix_x4_trans", ~0u, EMULATOR_HERE, emulator::complete_load<true>};
    wait.row = row;
    wait.to = r;
    emulator::meet(wait);
}

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMULATOR_SITE) {
    emulator::Multiply wait;
    static_cast<emulator::Wait&>(wait) = {"mma_bf16", ~0u, EMULATOR_HERE, emulator::complete_multiply};
    wait.d = d;
    wait.a = a;
    wait.b = b;
    emulator::meet(wait);
}

inline void copy_async_16(void* to, const void* from) {
    const unsigned char* place = static_cast<unsigned char*>(to);
    if (place < emulator::shared || size_t(place - emulator::shared) + 16 > emulator::shared_size) {
        emulator::fail("copy_async_16: not in shared memory: offset %td of %zu", place - emulator::shared,
                       emulator::shared_size);
    }
    if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
        emulator::fail("copy_async_16: not aligned to 16 bytes: to %p, from %p", to, from);
    }
    std::memcpy(to, from, 16);
}

inline void copy_async_commit() {}

template <int N>
void copy_async_wait() {}

#undef EMULATOR_SITE
#undef EMULATOR_HERE

// Atomic operations, for the types for which CUDA has them. `unsigned long` is the uint64_t of
// Linux, which is `unsigned long long` on the device.
#define EMULATOR_ATOMICS(T)                                                                     \
    inline T atomicMin(T* at, T value) { return emulator::exchange_at(at, value < *at ? value : *at); } \
    inline T atomicMax(T* at, T value) { return emulator::exchange_at(at, value > *at ? value : *at); } \
    inline T atomicAnd(T* at, T value) { return emulator::exchange_at(at, *at & value); }    \
    inline T atomicOr(T* at, T value) { return emulator::exchange_at(at, *at | value); }     \
    inline T atomicExch(T* at, T value) { return emulator::exchange_at(at, value); }            \
    inline T atomicCAS(T* at, T old, T value) { return emulator::exchange_at(at, *at == old ? value : *at); }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long)
EMULATOR_ATOMICS(unsigned long long)

inline int atomicAdd(int* at, int value) {
    return emulator::exchange_at(at, int(unsigned(*at) + unsigned(value)));
}
#define EMULATOR_ADD(T) \
    inline T atomicAdd(T* at, T value) { return emulator::exchange_at(at, *at + value); }
EMULATOR_ADD(unsigned)
EMULATOR_ADD(unsigned long)
EMULATOR_ADD(unsigned long long)
EMULATOR_ADD(float)
EMULATOR_ADD(double)

inline float atomicExch(float* at, float value) { return emulator::exchange_at(at, value); }
inline unsigned atomicSub(unsigned* at, unsigned value) { return emulator::exchange_at(at, *at - value); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __ldg(const T* at) {
    return *at;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }

inline uint32_t __float_as_uint(float x) { return emulator::bits_of<uint32_t>(x); }
inline int __float_as_int(float x) { return emulator::bits_of<int>(x); }
inline float __uint_as_float(uint32_t bits) { return emulator::bits_of<float>(bits); }
inline float __int_as_float(int bits) { return emulator::bits_of<float>(bits); }

// Conversions saturate, and a NaN becomes 0.
inline uint32_t __float2uint_rz(float x) {
    return !(x > 0) ? 0u : x >= 4294967296.0f ? ~0u : static_cast<uint32_t>(x);
}
inline int __float2int_rz(float x) {
    return x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : static_cast<int>(x);
}
inline uint32_t __float2uint_rn(float x) { return __float2uint_rz(std::nearbyint(x)); }
inline int __float2int_rn(float x) { return __float2int_rz(std::nearbyint(x)); }
inline float __uint2float_rn(uint32_t x) { return static_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }

// As in CUDA: a mixed pair has the type that arithmetic gives it, and of a NaN and a number, the
// number is taken.
template <class A, class B, class T = typename std::common_type<A, B>::type,
          typename std::enable_if<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, int>::type = 0>
T min(A a, B b) {
    return T(b) < T(a) || T(a) != T(a) ? T(b) : T(a);
}

template <class A, class B, class T = typename std::common_type<A, B>::type,
          typename std::enable_if<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, int>::type = 0>
T max(A a, B b) {
    return T(b) > T(a) || T(a) != T(a) ? T(b) : T(a);
}

inline float half_to_float(uint16_t bits) {
    const uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    if (exponent == 0) {
        return __uint_as_float(sign | __float_as_uint(static_cast<float>(fraction) * 0x1p-24f));
    }
    if (exponent == 31) {
        return __uint_as_float(sign | 0x7f800000 | (fraction ? 0x400000 | fraction << 13 : 0));
    }
    return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

inline float bf16_to_float(uint16_t bits) {
    return __uint_as_float(uint32_t(bits) << 16);
}

inline uint16_t float_to_bf16(float x) {
    const uint32_t bits = __float_as_uint(x);
    return x != x ? 0x7fff : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
