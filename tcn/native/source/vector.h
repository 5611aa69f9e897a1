// A vector register of floats and the functions that nets are made of, in the vector extensions of GCC and Clang.
//
// Included once per instruction set, inside its namespace (see for_each_instruction_set.h): no include guard, and
// everything is static, so that each file that includes it has its own copy. LANES is the number of floats.
//
// Errors stay below 4e-7 of 1 + |result| for every activation made of these, and relative to the result alone for tanh
// and e^x - 1 (tests/native/test_stream.py measures both). NaN stays NaN.

#define INLINE static inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int Integers __attribute__((vector_size(4 * LANES)));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE Vector load(const float* from) { return *reinterpret_cast<const Anywhere*>(from); }

INLINE void store(float* to, Vector x) { *reinterpret_cast<Anywhere*>(to) = x; }

INLINE Vector broadcast(float x) { return x - Vector{}; }  // a subtraction of 0 is no operation at all

INLINE int smaller(int a, int b) { return a < b ? a : b; }

INLINE float sum(Vector x) {
    float total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += x[lane];
    return total;
}

// Where a bound is NaN or x is, the result is x.
INLINE Vector at_least(Vector x, float bound) { return x < bound ? broadcast(bound) : x; }
INLINE Vector at_most(Vector x, float bound) { return x > bound ? broadcast(bound) : x; }
INLINE Vector clamp(Vector x, float low, float high) { return at_most(at_least(x, low), high); }

INLINE Vector absolute(Vector x) { return x < 0 ? -x : x; }

// e^x, saturating at the smallest normal number and at e^88 = 1.65e38 instead of 0 and infinity.
INLINE Vector exponential(Vector x) {
    x = clamp(x, -87.33f, 88.0f);
    // x = n ln 2 + r with |r| <= ln(2) / 2; adding 1.5 * 2^23 rounds to an integer n and leaves it in the low bits.
    const float shifter = 12582912.0f;
    const Vector shifted = x * 1.44269504f + shifter;
    const Vector n = shifted - shifter;
    const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact times n
    // 1 + r + r^2 p(r) with the p of degree 4 whose largest relative error on the interval is smallest, 3e-9.
    Vector p = r * 1.38144672e-3f + 8.36878084e-3f;
    p = p * r + 4.16683927e-2f;
    p = p * r + 1.66665196e-1f;
    p = p * r + 0.49999994f;
    p = p * (r * r) + r + 1.0f;
    const Integers exponent = (reinterpret_cast<Integers>(shifted) - 0x4b400000 + 127) << 23;
    return p * reinterpret_cast<Vector>(exponent);
}

INLINE Vector sigmoid(Vector x) { return 1.0f / (exponential(-x) + 1.0f); }

// a / b, where both are far from the ends of the range of numbers.
INLINE Vector quotient(Vector a, Vector b) {
#if LANES == 16  // where a division takes as long as sixteen multiplications
    const Vector inverse = _mm512_maskz_rcp14_ps(0xffff, b);
    const Vector near = a * inverse;
    return near + (a - near * b) * inverse;
#else
    return a / b;
#endif
}

// Hyperbolic: x p(x^2) / q(x^2), both of degree 4 and together with the smallest largest relative error up to 9.02,
// beyond which the result is 1 in float32; 2e-8 of fit, 3e-7 with rounding.
INLINE Vector tangent(Vector x) {
    x = clamp(x, -9.02f, 9.02f);
    const Vector square = x * x;
    Vector p = square * 1.3319121e-8f + 2.058352e-5f;
    Vector q = square * 7.76204052e-7f + 3.28309683e-4f;
    p = p * square + 3.49403706e-3f;
    q = q * square + 2.58710829e-2f;
    p = p * square + 1.33797201e-1f;
    q = q * square + 4.67130353e-1f;
    p = p * square + 9.99999979e-1f;
    q = q * square + 1.0f;
    return quotient(x * p, q);
}

// e^x - 1 without cancellation near 0, for x <= 0.
INLINE Vector exponential_minus_one(Vector x) {
    const Vector t = tangent(0.5f * x);
    return 2.0f * t / (1.0f - t);
}

// Source: Abramowitz & Stegun 1964, formula 7.1.26.
INLINE Vector error_function(Vector x) {
    const Vector size = absolute(x);
    const Vector t = 1.0f / (0.3275911f * size + 1.0f);
    Vector p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Vector positive = 1.0f - p * t * exponential(-size * size);
    return x < 0 ? -positive : positive;
}
