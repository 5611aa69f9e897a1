// Dropout alone, for tcn/native/operators.py; behind a convolution it is part of convolution.cpp.

#include <algorithm>
#include <cstring>

#include "calling.h"
#include "convolution.h"
#include "instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KERNELS "dropout_kernels.h"
#include "for_each_instruction_set.h"

namespace {

template <typename Element>
Outcome drop(const Element* x, Element* y, int64_t size, const Dropping& dropping, int64_t threads) {
    constexpr int64_t PIECE = 4096;
    const bool given = size == 0 || (x && y);
    if (!given || !within(size, 0, MOST) || !threads_fit(threads) || !dropping.fits()) return Outcome::OUT_OF_RANGE;
    return finish_call([&] {
        share_out((size + PIECE - 1) / PIECE, threads, [&](int64_t piece) {
            const int64_t from = piece * PIECE;
            DISPATCH(drop_row, x, y, from, std::min(size, from + PIECE), dropping);
        });
    });
}

}  // namespace

EXPORT Outcome tcn_dropout(const float* x, float* y, int64_t size, const Dropping* dropping, int64_t threads) {
    return drop(x, y, size, *dropping, threads);
}

EXPORT Outcome tcn_dropout_bfloat16(const uint16_t* x, uint16_t* y, int64_t size, const Dropping* dropping,
                                    int64_t threads) {
    return drop(x, y, size, *dropping, threads);
}
