// Activations of a vector. Behind vector.h, likewise once per instruction set; a file that includes it has included
// stream.h, which names them.

INLINE Vector activate(const Activation& how, Vector x) {
    const float* p = how.parameters;
    switch (how.function) {
        case RELU: return at_least(x, 0.0f);
        case LEAKY_RELU: return x < 0 ? x * p[0] : x;
        case ELU: return p[0] * (x > 0 ? x : p[1] * exponential_minus_one(p[2] * at_most(x, 0.0f)));
        case GELU: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
        // Where the sigmoid is as good as 0, its smallest value must not be multiplied by a huge x.
        case SILU: return at_least(x, -100.0f) * sigmoid(x);
        case MISH: {  // tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2), 1 in float32 from x = 20 on
            const Vector e = exponential(at_most(x, 20.0f));
            const Vector n = e * (e + 2.0f);
            return at_least(x, -100.0f) * (n / (n + 2.0f));
        }
        case TANH: return tangent(x);
        case SIGMOID: return sigmoid(x);
        case SOFTSIGN: return x / (1.0f + absolute(x));
        case CLAMP: return clamp(x, p[0], p[1]);
        case HARD_SIGMOID: return clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
        case FAST_TANH: {  // beyond the bounds nothing changes but the size of what is divided
            x = clamp(x, -1e8f, 1e8f);
            const Vector size = absolute(x), square = x * x;
            const Vector above = 2.45550751f * (1.0f + size) + (0.893229854f + 0.821226667f * size) * square;
            const Vector below = absolute(x + 0.814642735f * x * size);
            return x * above / (2.44506635f + (2.44506635f + square) * below);
        }
        case HARD_SWISH: return x * (clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f);
        default: return x;
    }
}
