// Memory for the rows of a convolution.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

constexpr int64_t CACHE_LINE = 16;  // floats

inline int64_t round_up(int64_t number, int64_t to) { return (number + to - 1) / to * to; }

// Memory that is kept from call to call, one piece per thread: asking for it anew costs more than small convolutions.
inline float* scratch(int64_t floats) {
    struct Free {
        void operator()(float* memory) const { std::free(memory); }
    };
    thread_local std::unique_ptr<float, Free> memory;
    thread_local int64_t size = 0;
    if (floats > size) {
        memory.reset();  // first: what has too little room is of no use any more
        size = 0;
        const int64_t wanted = round_up(floats, CACHE_LINE);
        memory.reset(static_cast<float*>(std::aligned_alloc(CACHE_LINE * sizeof(float), wanted * sizeof(float))));
        if (!memory) throw std::bad_alloc();
        size = wanted;
    }
    return memory.get();
}
