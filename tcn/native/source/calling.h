// How a call from Python ends, and how its work is shared out.
//
// Nothing may be thrown across the border to Python, nor out of a parallel region: either would end the process.

#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <new>

// As tcn/native/library.py reads it.
enum class Outcome : int { DONE = 0, OUT_OF_RANGE = 1, NO_MEMORY = 2 };

// Of sizes and of their products: what follows from them then fits 64 bits with room to spare.
constexpr int64_t MOST = int64_t{1} << 40;
// More than any machine has cores: OpenMP ends the process where it cannot start as many as it is asked for.
constexpr int64_t MOST_THREADS = 1024;

inline bool within(int64_t number, int64_t least, int64_t most) { return least <= number && number <= most; }

// Whether a product of numbers that are not negative is within bounds.
inline bool product_fits(std::initializer_list<int64_t> numbers) {
    int64_t product = 1;
    for (const int64_t number : numbers)
        if (__builtin_mul_overflow(product, number, &product) || !within(product, 0, MOST)) return false;
    return true;
}

inline bool threads_fit(int64_t threads) { return within(threads, 1, MOST_THREADS); }

template <typename Work>
Outcome finish_call(const Work& work) noexcept {
    try {
        work();
        return Outcome::DONE;
    } catch (...) {  // nothing here throws but what finds no memory
        return Outcome::NO_MEMORY;
    }
}

// Calls `work` with 0 to pieces - 1, an equal share by each thread.
template <typename Work>
void share_out(int64_t pieces, int64_t threads, const Work& work) {
    std::atomic<bool> failed{false};
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(static)
    for (int64_t piece = 0; piece < pieces; ++piece) try {
            work(piece);
        } catch (...) {
            failed = true;
        }
    if (failed) throw std::bad_alloc();
}
