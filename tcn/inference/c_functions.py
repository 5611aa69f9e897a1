"""The functions that every C file of a net begins with; compilers vectorize them."""

FUNCTIONS = """\
#ifdef __cplusplus
#define PRE_RESTRICT __restrict /* as compilers of C++ write it */
#else
#define PRE_RESTRICT restrict
#endif

/* y += w * x, of eight numbers at a time */
#if defined(__GNUC__)
typedef float PRE_vector __attribute__((vector_size(32)));
#define PRE_ADD(y, w, x) ((y) += (w) * (x))
#else
typedef struct { float lane[8]; } PRE_vector;
#define PRE_ADD(y, w, x) \\
    do { for (int o = 0; o < 8; ++o) (y).lane[o] += (w).lane[o] * (x); } while (0)
#endif

static inline uint32_t PRE_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float PRE_float(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
static inline float PRE_least(float x, float bound) { return x < bound ? bound : x; }
static inline float PRE_most(float x, float bound) { return x > bound ? bound : x; }

/* e^x from e^-87 to e^87, beyond which it stays. x = n ln 2 + r; 1 + r + r^2 p(r), times 2^n.
   Compared are integers: where floats are, compilers fear a trap and do not vectorize. Rounded is
   by a conversion: a large number added and taken away again is nothing to -ffast-math. */
static inline float PRE_exp(float x)
{
    const uint32_t sign = 0x80000000u, most = 0x42ae0000u; /* 87 */
    uint32_t size = PRE_bits(x) & ~sign;
    float given = x - x; /* NaN stays NaN */
    x = PRE_float((PRE_bits(x) & sign) | (size < most ? size : most));
    float half = PRE_float((PRE_bits(x) & sign) | 0x3f000000u);
    int32_t power = (int32_t)(x * 1.44269504f + half);
    float n = (float)power;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = r * 1.38144672e-3f + 8.36878084e-3f;
    p = p * r + 4.16683927e-2f;
    p = p * r + 1.66665196e-1f;
    p = p * r + 0.49999994f;
    p = p * (r * r) + r + 1.0f;
    return p * PRE_float((uint32_t)(power + 127) << 23) + given;
}

static inline float PRE_sigmoid(float x) { return 1.0f / (PRE_exp(-x) + 1.0f); }

/* x p(x^2) / q(x^2); from 9.02 on the result stays, which is 1 to 3e-7 */
static inline float PRE_tanh(float x)
{
    const uint32_t sign = 0x80000000u, most = 0x411051ecu; /* 9.02 */
    uint32_t size = PRE_bits(x) & ~sign;
    float given = x - x; /* NaN stays NaN */
    x = PRE_float((PRE_bits(x) & sign) | (size < most ? size : most));
    float square = x * x;
    float p = square * 1.3319121e-8f + 2.058352e-5f;
    float q = square * 7.76204052e-7f + 3.28309683e-4f;
    p = p * square + 3.49403706e-3f;
    q = q * square + 2.58710829e-2f;
    p = p * square + 1.33797201e-1f;
    q = q * square + 4.67130353e-1f;
    p = p * square + 9.99999979e-1f;
    q = q * square + 1.0f;
    return x * p / q + given;
}

static inline float PRE_expm1(float x) /* x <= 0 */
{
    float t = PRE_tanh(0.5f * x);
    return 2.0f * t / (1.0f - t);
}

/* Abramowitz & Stegun 1964, formula 7.1.26 */
static inline float PRE_erf(float x)
{
    float size = fabsf(x);
    float t = 1.0f / (0.3275911f * size + 1.0f);
    float p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float positive = 1.0f - p * t * PRE_exp(-size * size);
    return copysignf(positive, x);
}

static inline float PRE_relu(float x) { return PRE_least(x, 0.0f); }
static inline float PRE_leaky_relu(float x, float slope) { return x < 0 ? x * slope : x; }
static inline float PRE_elu(float x, float scale, float alpha, float rate)
{
    return scale * (x > 0 ? x : alpha * PRE_expm1(rate * PRE_most(x, 0.0f)));
}
static inline float PRE_gelu(float x) { return 0.5f * x * (1.0f + PRE_erf(x * 0.70710678f)); }
static inline float PRE_silu(float x) { return PRE_least(x, -100.0f) * PRE_sigmoid(x); }
static inline float PRE_mish(float x)
{
    float e = PRE_exp(PRE_most(x, 20.0f));
    float n = e * (e + 2.0f);
    return PRE_least(x, -100.0f) * (n / (n + 2.0f));
}
static inline float PRE_softsign(float x) { return x / (1.0f + fabsf(x)); }
static inline float PRE_clamp(float x, float low, float high)
{
    return PRE_most(PRE_least(x, low), high);
}
static inline float PRE_hard_sigmoid(float x) { return PRE_clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f; }
static inline float PRE_hard_swish(float x) { return x * PRE_hard_sigmoid(x); }
static inline float PRE_fast_tanh(float x)
{
    x = PRE_clamp(x, -1e8f, 1e8f); /* beyond, the ratio stays */
    float size = fabsf(x), square = x * x;
    float above = 2.45550751f * (1.0f + size) + (0.893229854f + 0.821226667f * size) * square;
    float below = fabsf(x + 0.814642735f * x * size);
    return x * above / (2.44506635f + (2.44506635f + square) * below);
}
"""
"""``PRE`` stands for the prefix of the file. The polynomials are those of the native kernels."""
