// Dilated convolution in one dimension for few channels, forward and both gradients, for tcn/native/operators.py.
//
// Threads share the batch. Each adds up its own part of the weight gradient, and the parts are added in the order of
// the threads, so that results depend on the number of threads alone.

#include "convolution.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "denormals.h"
#include "instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KERNELS "convolution_kernels.h"
#include "for_each_instruction_set.h"

namespace {

constexpr int64_t CACHE_LINE = 16;  // floats

int64_t round_up(int64_t number, int64_t to) { return (number + to - 1) / to * to; }
int64_t floor_divide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Floats from one row to the next; an odd number of cache lines, so that rows do not compete for the same ones.
int64_t row_length(int64_t steps) { return (round_up(steps + 2 * MARGIN, 2 * CACHE_LINE)) + CACHE_LINE; }

// Memory that is kept from call to call, one piece per thread: asking for it anew costs more than small convolutions.
float* scratch(int64_t floats) {
    struct Free {
        void operator()(float* memory) const { std::free(memory); }
    };
    thread_local std::unique_ptr<float, Free> memory;
    thread_local int64_t size = 0;
    if (floats > size) {
        size = round_up(floats, CACHE_LINE);
        memory.reset(static_cast<float*>(std::aligned_alloc(CACHE_LINE * sizeof(float), size * sizeof(float))));
    }
    return memory.get();
}

struct Taps {
    std::vector<Tap> forward;                // what output t reads
    std::vector<std::vector<Tap>> backward;  // per phase: which outputs read input u of that phase

    explicit Taps(const Shape& s) : backward(s.stride) {
        for (int64_t k = 0; k < s.kernel_size; ++k) {
            const int64_t position = k * s.dilation - s.left_zeros;
            const int64_t shift = floor_divide(position, s.stride), phase = position - shift * s.stride;
            forward.push_back({phase, shift, phase_steps(s, phase), k});
            backward[phase].insert(backward[phase].begin(), {0, -shift, s.out_steps, k});
        }
    }

    static int64_t phase_steps(const Shape& s, int64_t phase) { return (s.in_steps - phase + s.stride - 1) / s.stride; }
};

void pack_weight(const float* weight, int64_t outer, int64_t inner, const Pass& pass, float* packed) {
    DISPATCH(pack, weight, outer, inner, pass, packed);
}

Pass forward_pass(const Shape& s, const Taps& taps, const float* weight, std::vector<float>& packed) {
    packed.resize(s.out_channels * s.in_channels * s.kernel_size);
    const Pass pass{s.in_channels,          s.out_channels, s.kernel_size, taps.forward.data(), packed.data(),
                    row_length(Taps::phase_steps(s, 0)), s.out_steps, s.out_steps};
    pack_weight(weight, s.in_channels * s.kernel_size, s.kernel_size, pass, packed.data());
    return pass;
}

// Floats from one channel to the next where the phases of a channel's gradient stand one behind the other.
int64_t phase_row(const Shape& s) { return round_up(Taps::phase_steps(s, 0), CACHE_LINE); }
int64_t gradient_phases_row(const Shape& s) { return s.stride * phase_row(s); }

// One pass per phase, since the steps of a phase are read by the same taps.
std::vector<Pass> backward_passes(const Shape& s, const Taps& taps, const float* weight, std::vector<float>& packed) {
    packed.resize(s.out_channels * s.in_channels * s.kernel_size);
    std::vector<Pass> passes;
    float* to = packed.data();
    for (int64_t phase = 0; phase < s.stride; ++phase) {
        const std::vector<Tap>& tap = taps.backward[phase];
        const int64_t count = static_cast<int64_t>(tap.size());
        passes.push_back({s.out_channels, s.in_channels, count, tap.data(), to, row_length(s.out_steps),
                          Taps::phase_steps(s, phase), s.stride == 1 ? s.in_steps : gradient_phases_row(s)});
        pack_weight(weight, s.kernel_size, s.in_channels * s.kernel_size, passes.back(), to);
        to += s.out_channels * s.in_channels * count;
    }
    return passes;
}

// The rows of one example of x, phase after phase.
void fill_rows(const Shape& s, const float* x, int64_t row, float* rows) {
    for (int64_t phase = 0; phase < s.stride; ++phase)
        for (int64_t c = 0; c < s.in_channels; ++c, rows += row)
            DISPATCH(fill_row, x + c * s.in_steps + phase, s.stride, Taps::phase_steps(s, phase), row, rows);
}

void convolve_rows(const Pass& pass, const float* rows, const Finish& finish, int64_t example, float* out) {
    DISPATCH(convolve, pass, rows, finish, example, out);
}

struct Backward {
    const Shape& shape;
    const Finish& finish;
    const Taps& taps;
    const std::vector<Pass>& passes;  // for the gradient of x
    const float *x, *y, *gradient;
    float *gradient_x, *gradient_weight, *gradient_bias, *gradient_shortcut;  // null: not asked for

    // The examples [begin, end); what is summed over them is added to `weight_sum` and `bias_sum`.
    void run(int64_t begin, int64_t end, float* weight_sum, float* bias_sum) const {
        const Shape& s = shape;
        Block block{};
        block.x_row = row_length(Taps::phase_steps(s, 0));
        block.gradient_row = row_length(s.out_steps);
        block.x_example = s.stride * s.in_channels * block.x_row;
        block.gradient_example = s.out_channels * block.gradient_row;
        block.last_step = s.out_steps;
        // Short sequences are taken together: adding up the lanes of the sums then costs little.
        const int64_t together = std::max<int64_t>(1, 1024 / std::max<int64_t>(s.out_steps, 1));
        const int64_t phases_size = s.stride == 1 ? 0 : s.in_channels * gradient_phases_row(s);
        float* rows = scratch(together * (block.gradient_example + block.x_example) + phases_size);
        float* x_rows = rows + together * block.gradient_example;
        block.x = x_rows, block.gradient = rows;
        for (; begin < end; begin += block.examples) {
            block.examples = std::min(together, end - begin);
            for (int64_t i = 0; i < block.examples; ++i) {
                finish_gradient(begin + i, block.gradient_row, rows + i * block.gradient_example, bias_sum);
                input_gradient(begin + i, rows + i * block.gradient_example, x_rows + together * block.x_example);
                const float* example = x + (begin + i) * s.in_channels * s.in_steps;
                if (gradient_weight) fill_rows(s, example, block.x_row, x_rows + i * block.x_example);
            }
            if (gradient_weight) DISPATCH(add_weight_gradient, s, taps.forward.data(), block, weight_sum);
        }
    }

    void finish_gradient(int64_t example, int64_t row, float* rows, float* bias_sum) const {
        for (int64_t o = 0; o < shape.out_channels; ++o, rows += row) {
            const int64_t at = (example * shape.out_channels + o) * shape.out_steps;
            const float* shortcut = finish.shortcut;
            if (shortcut) shortcut += example * finish.shortcut_strides[0] + o * finish.shortcut_strides[1];
            bias_sum[o] += DISPATCH(gradient_row, gradient + at, y + at, finish, shortcut, shape.out_steps, row, rows,
                                    gradient_shortcut ? gradient_shortcut + at : nullptr);
        }
    }

    void input_gradient(int64_t example, const float* rows, float* phases) const {
        float* to = gradient_x + example * shape.in_channels * shape.in_steps;
        float* out = shape.stride == 1 ? to : phases;
        for (size_t phase = 0; phase < passes.size(); ++phase)
            convolve_rows(passes[phase], rows, Finish{}, example, out + phase * phase_row(shape));
        if (out == to || passes.empty()) return;
        for (int64_t c = 0; c < shape.in_channels; ++c)
            DISPATCH(merge_phases, out + c * gradient_phases_row(shape), phase_row(shape), shape.stride, shape.in_steps,
                     to + c * shape.in_steps);
    }
};

}  // namespace

EXPORT void tcn_convolve(const Shape* shape, const Finish* finish, const float* x, const float* weight, float* y,
                         int threads) {
    const Shape& s = *shape;
    const Taps taps(s);
    std::vector<float> packed;
    const Pass pass = forward_pass(s, taps, weight, packed);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t example = 0; example < s.batch; ++example) {
        const FlushDenormals flush;
        float* rows = scratch(s.stride * s.in_channels * pass.row);
        fill_rows(s, x + example * s.in_channels * s.in_steps, pass.row, rows);
        convolve_rows(pass, rows, *finish, example, y + example * s.out_channels * s.out_steps);
    }
}

// `finish` without dropout: what was dropped shows in y. Gradients whose pointer is null are not computed.
EXPORT void tcn_convolve_backward(const Shape* shape, const Finish* finish, const float* x, const float* weight,
                                  const float* y, const float* gradient, float* gradient_x, float* gradient_weight,
                                  float* gradient_bias, float* gradient_shortcut, int threads) {
    const Shape& s = *shape;
    const Taps taps(s);
    std::vector<float> packed;
    const std::vector<Pass> passes =
        gradient_x ? backward_passes(s, taps, weight, packed) : std::vector<Pass>();
    const Backward backward{s, *finish, taps, passes, x, y, gradient, gradient_x, gradient_weight, gradient_bias,
                            gradient_shortcut};
    const int64_t weights = s.out_channels * s.in_channels * s.kernel_size, sums = weights + s.out_channels;
    std::vector<float> part(threads * sums, 0.0f);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < threads; ++i) {
        const FlushDenormals flush;
        float* sum = part.data() + i * sums;
        backward.run(s.batch * i / threads, s.batch * (i + 1) / threads, sum, sum + weights);
    }
    const auto add_up = [&](float* to, int64_t from, int64_t count) {
        for (int64_t i = 0; to && i < count; ++i) {
            to[i] = 0.0f;
            for (int64_t thread = 0; thread < threads; ++thread) to[i] += part[thread * sums + from + i];
        }
    };
    add_up(gradient_weight, 0, weights);
    add_up(gradient_bias, weights, s.out_channels);
}

EXPORT void tcn_dropout(const float* x, float* y, int64_t size, int64_t drop_below, float scale, uint64_t seed,
                        int threads) {
    constexpr int64_t PIECE = 4096;
    Finish finish{};
    finish.drop_below = drop_below, finish.scale = scale, finish.seed = seed;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t from = 0; from < size; from += PIECE)
        DISPATCH(drop_row, x, y, from, std::min(size, from + PIECE), finish);
}
