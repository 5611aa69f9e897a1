// Vectors at the end of a row, of which only some lanes are in it. Behind vector.h, likewise once per instruction set; a
// file that includes it has included <immintrin.h> where there is AVX-512.

// The first `count` lanes, zeros in the others; nothing beyond them is touched.
INLINE Vector load(const float* from, int64_t count) {
    if (count >= LANES) return load(from);
    if (count <= 0) return Vector{};
#if LANES == 16
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#else
    Vector values{};
    for (int64_t i = 0; i < count; ++i) values[i] = from[i];
    return values;
#endif
}

INLINE void store(float* to, Vector values, int64_t count) {
    if (count >= LANES) return store(to, values);
    if (count <= 0) return;
#if LANES == 16
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), values);
#else
    for (int64_t i = 0; i < count; ++i) to[i] = values[i];
#endif
}
