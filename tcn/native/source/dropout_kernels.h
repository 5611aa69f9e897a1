// Dropout alone, of float32 and bfloat16; compiled once per instruction set.

#include "vector.h"
#include "partial.h"
#include "dropping.h"

// bfloat16 is the upper half of a float; what a float loses is rounded to the nearest, ties to even.
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

INLINE void copy_halves(void* to, const void* from, int64_t count) {
    if (count >= LANES) std::memcpy(to, from, sizeof(Halves));  // of a known size: one instruction
    else std::memcpy(to, from, sizeof(uint16_t) * count);
}

INLINE Vector load(const uint16_t* from, int64_t count) {
    Halves halves{};
    copy_halves(&halves, from, count);
    return reinterpret_cast<Vector>(__builtin_convertvector(halves, Bits) << 16);
}

INLINE void store(uint16_t* to, Vector values, int64_t count) {
    const Bits bits = reinterpret_cast<Bits>(values);
    const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const Halves halves = __builtin_convertvector(values == values ? rounded : bits >> 16 | 0x40, Halves);
    copy_halves(to, &halves, count);
}

// Elements [from, to) of a tensor.
template <typename Element>
static void drop_row(const Element* x, Element* y, int64_t from, int64_t to, const Dropping& dropping) {
    for (; from < to; from += LANES)
        store(y + from, drop(load(x + from, to - from), dropping, from), to - from);
}
