// One bit per value that ReLU and dropout let pass (see Finish). Behind vector.h, likewise once per instruction set; a
// file that includes it has included <immintrin.h> on x86.

// Of each lane, which is 0 or -1, one bit; the first lane's is the lowest.
INLINE uint32_t bits_of(Integers lanes) {
#if defined(__x86_64__) && LANES == 16
    return _mm512_movepi32_mask(reinterpret_cast<__m512i>(lanes));
#elif defined(__x86_64__) && LANES == 8
    return _mm256_movemask_ps(reinterpret_cast<__m256>(lanes));
#elif defined(__x86_64__)
    return _mm_movemask_ps(reinterpret_cast<__m128>(lanes));
#else
    uint32_t bits = 0;
    for (int i = 0; i < LANES; ++i) bits |= (lanes[i] & 1u) << i;
    return bits;
#endif
}

// From `step` on, a multiple of LANES, the lanes that are not `stopped`; a row is written from its first step on.
INLINE void store_kept(uint8_t* row, Integers stopped, int64_t step, int64_t steps) {
    const int64_t left = steps - step;
    if (left <= 0) return;
    uint32_t bits = ~bits_of(stopped);
    if (left < LANES) bits &= (1u << left) - 1;
    else if (LANES == 4) bits &= 15;
    uint8_t* to = row + static_cast<uint64_t>(step) / 8;  // of an unsigned number: a shift alone
    if (LANES == 4) *to = static_cast<uint8_t>(step % 8 ? *to | bits << 4 : bits);
    else *to = static_cast<uint8_t>(bits);
    if (LANES == 16 && left > 8) to[1] = static_cast<uint8_t>(bits >> 8);
}

// The other way round: -1 in the lanes that were kept.
INLINE Integers load_kept(const uint8_t* row, int64_t step, int64_t steps) {
    const uint8_t* from = row + static_cast<uint64_t>(step) / 8;
    uint32_t bits = *from;
    if (LANES == 4) bits >>= step % 8;
    if (LANES == 16 && steps - step > 8) bits |= static_cast<uint32_t>(from[1]) << 8;
    Integers lane;
    for (int i = 0; i < LANES; ++i) lane[i] = 1 << i;
    return (static_cast<int>(bits) & lane) != 0;
}
