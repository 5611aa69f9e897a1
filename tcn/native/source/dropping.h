// Which values dropout leaves out. Behind vector.h, likewise once per instruction set.

typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));

// Evenly distributed numbers below 2^31, one per element: a hash (the multipliers are those of C. Wellons' lowbias32)
// of the element's index and both halves of the seed.
INLINE Integers random_numbers(uint64_t seed, uint64_t index) {
    Bits x;
    for (int64_t i = 0; i < LANES; ++i) x[i] = static_cast<uint32_t>(i);
    x += static_cast<uint32_t>(index) + static_cast<uint32_t>(seed);
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= (x >> 15) ^ static_cast<uint32_t>((seed >> 32) + (index >> 32));
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return reinterpret_cast<Integers>(x >> 1);
}

INLINE Vector drop(Vector x, const Dropping& dropping, uint64_t index) {
    const Integers dropped = random_numbers(dropping.seed, index) < static_cast<int32_t>(dropping.below);
    return dropped ? Vector{} : x * dropping.scale;
}
