// Memory of programs and rows, whose sizes come from outside and are checked before anything is allocated.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

constexpr size_t LINE = 64;
constexpr size_t HUGE_PAGE = size_t{1} << 21;
// Kernels read and write whole vectors, up to this much beyond the last value.
constexpr size_t SLACK = 4 * LINE;

inline size_t checked_product(size_t a, size_t b) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) throw std::bad_alloc();
    return product;
}

inline size_t checked_sum(size_t a, size_t b) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) throw std::bad_alloc();
    return sum;
}

inline size_t round_up(size_t size, size_t unit) { return checked_sum(size, unit - 1) / unit * unit; }

// A multiple of LINE that is odd: places at this distance are spread over all sets of a cache.
inline size_t odd_lines(size_t size) { return checked_product(round_up(size, LINE) / LINE | 1, LINE); }

// What the machine has: zeros that nobody has touched take no memory, so that the system would promise far more, and
// end the process when it is used.
inline size_t largest_size() {
#if defined(__linux__)
    static const size_t size = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return size;
#else
    return SIZE_MAX / 2;
#endif
}

// Zeros, aligned to lines; large ones on huge pages, since rings are read at addresses far apart, and not touched before
// they are used.
class Memory {
public:
    explicit Memory(size_t size) {
        if (size > largest_size()) throw std::bad_alloc();
        size = round_up(size + SLACK, LINE);
#if defined(__linux__)
        if (size >= HUGE_PAGE / 2) {
            map(size);
            return;
        }
#endif
        data_ = static_cast<std::byte*>(std::aligned_alloc(LINE, size));
        if (!data_) throw std::bad_alloc();
        std::memset(data_, 0, size);
    }
    ~Memory() {
#if defined(__linux__)
        if (mapped_) {
            munmap(mapped_, mapped_size_);
            return;
        }
#endif
        std::free(data_);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::byte* bytes() const { return data_; }
    float* floats() const { return reinterpret_cast<float*>(data_); }

private:
#if defined(__linux__)
    void map(size_t size) {
        mapped_size_ = round_up(size, HUGE_PAGE) + HUGE_PAGE;  // of which a part before and behind is left over
        void* const mapped = mmap(nullptr, mapped_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) throw std::bad_alloc();
        mapped_ = mapped;
        data_ = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<size_t>(mapped), HUGE_PAGE));
#if defined(MADV_HUGEPAGE)
        madvise(data_, round_up(size, HUGE_PAGE), MADV_HUGEPAGE);
#endif
    }
#endif

    std::byte* data_ = nullptr;
    void* mapped_ = nullptr;
    size_t mapped_size_ = 0;
};
