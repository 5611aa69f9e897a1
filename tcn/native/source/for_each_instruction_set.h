// Compiles the file named by KERNELS once per instruction set, each copy in a namespace of its own.
//
// The kernels see LANES, the number of floats in a vector register. Everything that is not a kernel (the standard
// library above all) has to be included before this file: code that is compiled for AVX-512 must not be shared with
// machines that lack it.

#if defined(__x86_64__)

#include <immintrin.h>

namespace baseline {
#define LANES 4
#include KERNELS
#undef LANES
}  // namespace baseline

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define LANES 8
#include KERNELS
#undef LANES
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#endif
namespace avx512 {
#define LANES 16
#include KERNELS
#undef LANES
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

// Calls `function` of the namespace that suits the machine.
#define DISPATCH(function, ...)                                              \
    (instruction_set() == AVX512 ? avx512::function(__VA_ARGS__)             \
     : instruction_set() == AVX2 ? avx2::function(__VA_ARGS__)               \
                                 : baseline::function(__VA_ARGS__))

#else  // ARM and others: what the compiler assumes of every machine of the kind (NEON on 64-bit ARM).

namespace baseline {
#define LANES 4
#include KERNELS
#undef LANES
}  // namespace baseline

#define DISPATCH(function, ...) baseline::function(__VA_ARGS__)

#endif
