// Dilated convolution in one dimension for few channels, forward and both gradients, for tcn/native/operators.py.
//
// Threads share the batch. Each adds up its own part of the weight gradient, and the parts are added in the order of
// the threads, so that results depend on the number of threads alone.

#include "convolution.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "calling.h"
#include "denormals.h"
#include "filters.h"
#include "instruction_set.h"
#include "scratch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KERNELS "convolution_kernels.h"
#include "for_each_instruction_set.h"

namespace {

int64_t floor_divide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Floats from one row to the next; an odd number of cache lines, so that rows do not compete for the same ones.
int64_t row_length(int64_t steps) { return (round_up(steps + 2 * MARGIN, 2 * CACHE_LINE)) + CACHE_LINE; }

// Phases that have steps: a stride beyond the sequence makes no further ones.
int64_t phases(const Shape& s) { return std::max<int64_t>(1, std::min(s.stride, s.in_steps)); }

int64_t phase_steps(const Shape& s, int64_t phase) { return (s.in_steps - phase + s.stride - 1) / s.stride; }

// The phase of the input that a tap reads, and how many of its steps behind the output's.
std::pair<int64_t, int64_t> phase_and_shift(const Shape& s, int64_t tap) {
    const int64_t position = tap * s.dilation - s.left_zeros, shift = floor_divide(position, s.stride);
    return {position - shift * s.stride, shift};
}

// A short sequence alone in its row costs as much as a vector register or a tile is wide, and its margins besides.
Layout layout_of(const Shape& s, int64_t examples) {
    constexpr int64_t SHORT = 64, NEAR = 16, ROW = 512;
    const int64_t steps = std::max(phase_steps(s, 0), s.out_steps);
    const int64_t back = -phase_and_shift(s, 0).second, ahead = phase_and_shift(s, s.kernel_size - 1).second;
    const int64_t pitch = std::max(phase_steps(s, 0) + back, s.out_steps + ahead);
    if (steps > SHORT || pitch > steps + NEAR) return {1, 0};
    const int64_t rows = (examples * pitch + ROW - 1) / ROW, together = rows > 0 ? (examples + rows - 1) / rows : 0;
    if (together < 2) return {1, 0};
    return {together, std::max(pitch, steps)};
}

struct Taps {
    std::vector<Tap> forward;                // what output t reads
    std::vector<std::vector<Tap>> backward;  // per phase: which outputs read input u of that phase

    // Taps that read a phase without steps, which is nothing but zeros, are left out.
    Taps(const Shape& s, const Layout& layout) : backward(phases(s)) {
        for (int64_t k = 0; k < s.kernel_size; ++k) {
            const auto [phase, shift] = phase_and_shift(s, k);
            if (phase >= phases(s)) continue;
            forward.push_back({phase, shift, layout.steps(phase_steps(s, phase)), k});
            backward[phase].insert(backward[phase].begin(), {0, -shift, layout.steps(s.out_steps), k});
        }
    }
};

void pack_weight(const float* weight, int64_t outer, int64_t inner, const Pass& pass, float* packed) {
    DISPATCH(pack, weight, outer, inner, pass, packed);
}

Pass forward_pass(const Shape& s, const Layout& layout, const Taps& taps, const float* weight,
                  std::vector<float>& packed) {
    packed.resize(s.out_channels * s.in_channels * s.kernel_size);
    const int64_t steps = layout.steps(s.out_steps), count = static_cast<int64_t>(taps.forward.size());
    const Pass pass{s.in_channels, s.out_channels, count, taps.forward.data(), packed.data(),
                    row_length(layout.steps(phase_steps(s, 0))), steps, steps};
    pack_weight(weight, s.in_channels * s.kernel_size, s.kernel_size, pass, packed.data());
    return pass;
}

bool in_place_gradient(const Shape& s, const Layout& layout) { return s.stride == 1 && layout.together == 1; }

// Floats from one channel to the next where the phases of a channel's gradient stand one behind the other.
int64_t phase_row(const Shape& s, const Layout& layout) {
    return round_up(layout.steps(phase_steps(s, 0)), CACHE_LINE);
}

// One pass per phase, since the steps of a phase are read by the same taps.
std::vector<Pass> backward_passes(const Shape& s, const Layout& layout, const Taps& taps, const float* weight,
                                  std::vector<float>& packed) {
    packed.resize(s.out_channels * s.in_channels * s.kernel_size);
    std::vector<Pass> passes;
    const bool in_place = in_place_gradient(s, layout);
    float* to = packed.data();
    for (int64_t phase = 0; phase < phases(s); ++phase) {
        const std::vector<Tap>& tap = taps.backward[phase];
        const int64_t count = static_cast<int64_t>(tap.size());
        passes.push_back({s.out_channels, s.in_channels, count, tap.data(), to, row_length(layout.steps(s.out_steps)),
                          layout.steps(phase_steps(s, phase)), in_place ? s.in_steps : phases(s) * phase_row(s, layout)});
        pack_weight(weight, s.kernel_size, s.in_channels * s.kernel_size, passes.back(), to);
        to += s.out_channels * s.in_channels * count;
    }
    return passes;
}

// The rows of `count` examples of x from this one on, phase after phase.
void fill_rows(const Shape& s, const Layout& layout, const float* x, int64_t count, int64_t row, float* rows) {
    for (int64_t phase = 0; phase < phases(s); ++phase) {
        const Examples examples{count, phase_steps(s, phase), s.in_channels * s.in_steps};
        for (int64_t c = 0; c < s.in_channels; ++c, rows += row)
            DISPATCH(fill_row, x + c * s.in_steps + phase, s.stride, examples, layout, row, rows);
    }
}

void convolve_rows(const Pass& pass, const float* rows, const Finish& finish, int64_t example, float* out) {
    DISPATCH(convolve, pass, rows, finish, example, out);
}

// What follows the convolution for `count` examples side by side, from `example` on.
void finish_rows(const Shape& s, const Layout& layout, const float* rows, const Finish& finish, int64_t example,
                 int64_t count, float* y) {
    const Examples examples{count, s.out_steps, s.out_channels * s.out_steps};
    y += example * examples.stride;
    for (int64_t o = 0; o < s.out_channels; ++o, rows += layout.steps(s.out_steps), y += s.out_steps)
        DISPATCH(finish_row, rows, finish, layout, examples, {s.out_channels, s.out_steps, example, o, 0}, y);
}

struct Backward {
    const Shape& shape;
    const Layout& layout;
    const Finish& finish;
    const Taps& taps;
    const std::vector<Pass>& passes;  // for the gradient of x
    const float *x, *y, *gradient;
    float *gradient_x, *gradient_shortcut;  // null: not asked for
    bool of_weight;                         // asked for

    // Whether the gradient of x is written where it is wanted, without a detour over phases.
    bool in_place() const { return in_place_gradient(shape, layout); }

    // The examples [begin, end); what is summed over them is added to `weight_sum` and `bias_sum`.
    void run(int64_t begin, int64_t end, float* weight_sum, float* bias_sum) const {
        if (begin == end) return;
        const Shape& s = shape;
        Block block{};
        block.x_row = row_length(layout.steps(phase_steps(s, 0)));
        block.gradient_row = row_length(layout.steps(s.out_steps));
        block.x_group = phases(s) * s.in_channels * block.x_row;
        block.gradient_group = s.out_channels * block.gradient_row;
        block.last_step = layout.steps(s.out_steps);
        // Some rows are taken together: adding up the lanes of the sums then costs little.
        const int64_t most = std::max<int64_t>(1, 1024 / std::max<int64_t>(block.last_step, 1));
        const int64_t phases_size = in_place() ? 0 : phases(s) * s.in_channels * phase_row(s, layout);
        float* rows = scratch(most * (block.gradient_group + block.x_group) + phases_size);
        float* x_rows = rows + most * block.gradient_group;
        block.x = x_rows, block.gradient = rows;
        while (begin < end) {
            for (block.groups = 0; block.groups < most && begin < end; ++block.groups) {
                const int64_t count = std::min(layout.together, end - begin);
                float* gradient_rows = rows + block.groups * block.gradient_group;
                finish_gradient(begin, count, block.gradient_row, gradient_rows, bias_sum);
                input_gradient(begin, count, gradient_rows, x_rows + most * block.x_group);
                if (of_weight)
                    fill_rows(s, layout, x + begin * s.in_channels * s.in_steps, count, block.x_row,
                              x_rows + block.groups * block.x_group);
                begin += count;
            }
            if (of_weight) DISPATCH(add_weight_gradient, s, taps.forward, block, weight_sum);
        }
    }

    void finish_gradient(int64_t example, int64_t count, int64_t row, float* rows, float* bias_sum) const {
        const Examples examples{count, shape.out_steps, shape.out_channels * shape.out_steps};
        for (int64_t o = 0; o < shape.out_channels; ++o, rows += row) {
            const int64_t at = (example * shape.out_channels + o) * shape.out_steps;
            const uint8_t* kept = finish.kept;
            if (kept) kept += (example * shape.out_channels + o) * kept_bytes(shape.out_steps);
            bias_sum[o] += DISPATCH(gradient_row, gradient + at, y + at, finish, kept, examples, layout, row, rows,
                                    gradient_shortcut ? gradient_shortcut + at : nullptr);
        }
    }

    void input_gradient(int64_t example, int64_t count, const float* rows, float* merged) const {
        float* to = gradient_x + example * shape.in_channels * shape.in_steps;
        const int64_t row = phase_row(shape, layout);
        for (size_t phase = 0; phase < passes.size(); ++phase)
            convolve_rows(passes[phase], rows, Finish{}, example, (in_place() ? to : merged) + phase * row);
        if (in_place() || passes.empty()) return;
        for (int64_t e = 0; e < count; ++e)
            for (int64_t c = 0; c < shape.in_channels; ++c, to += shape.in_steps)
                DISPATCH(merge_phases, merged + c * static_cast<int64_t>(passes.size()) * row + e * layout.pitch, row,
                         shape.stride, shape.in_steps, to);
    }
};

void forward(const Shape& s, const Finish& finish, const float* x, const Filters& filters, float* y, int64_t threads) {
    const Layout layout = layout_of(s, (s.batch + threads - 1) / threads);
    const Taps taps(s, layout);
    std::vector<float> packed;
    const Pass pass = forward_pass(s, layout, taps, filters.data(), packed);
    const int64_t rows_size = phases(s) * s.in_channels * pass.row;
    const int64_t outputs_size = layout.together == 1 ? 0 : s.out_channels * pass.out_row;
    share_out((s.batch + layout.together - 1) / layout.together, threads, [&](int64_t group) {
        const FlushDenormals flush;
        const int64_t example = group * layout.together, count = std::min(layout.together, s.batch - example);
        float* rows = scratch(rows_size + outputs_size);
        fill_rows(s, layout, x + example * s.in_channels * s.in_steps, count, pass.row, rows);
        if (layout.together == 1) {
            convolve_rows(pass, rows, finish, example, y + example * s.out_channels * s.out_steps);
        } else {
            Finish bias{};
            bias.bias = finish.bias;
            convolve_rows(pass, rows, bias, example, rows + rows_size);
            finish_rows(s, layout, rows + rows_size, finish, example, count, y);
        }
    });
}

// Where the gradients go; null: not asked for.
struct Wanted {
    float *x, *weight, *size, *bias, *shortcut;

    bool filters() const { return weight || size; }
};

void backward(const Shape& s, const Finish& finish, const float* x, const Filters& filters, const float* y,
              const float* gradient, const Wanted& of, int64_t threads) {
    const Layout layout = layout_of(s, (s.batch + threads - 1) / threads);
    const Taps taps(s, layout);
    std::vector<float> packed;
    const std::vector<Pass> passes =
        of.x ? backward_passes(s, layout, taps, filters.data(), packed) : std::vector<Pass>();
    const Backward work{s, layout, finish, taps, passes, x, y, gradient, of.x, of.shortcut, of.filters()};
    const int64_t weights = s.out_channels * s.in_channels * s.kernel_size, sums = weights + s.out_channels;
    std::vector<float> part(threads * sums, 0.0f);
    share_out(threads, threads, [&](int64_t i) {
        const FlushDenormals flush;
        float* sum = part.data() + i * sums;
        work.run(s.batch * i / threads, s.batch * (i + 1) / threads, sum, sum + weights);
    });
    for (int64_t thread = 1; thread < threads; ++thread)
        for (int64_t i = 0; i < sums; ++i) part[i] += part[thread * sums + i];
    if (of.filters()) filters.gradients(part.data(), of.weight, of.size);
    if (of.bias) std::copy_n(part.data() + weights, s.out_channels, of.bias);
}

bool shape_fits(const Shape& s) {
    for (const int64_t positive : {s.in_channels, s.out_channels, s.kernel_size, s.out_steps, s.dilation, s.stride})
        if (!within(positive, 1, MOST)) return false;
    return within(s.batch, 0, MOST) && within(s.in_steps, 0, MOST) && within(s.left_zeros, -MOST, MOST) &&
           product_fits({s.batch, s.in_channels, s.in_steps}) && product_fits({s.batch, s.out_channels, s.out_steps}) &&
           product_fits({s.in_channels, s.in_steps + 1}) && product_fits({s.out_channels, s.out_steps}) &&
           product_fits({s.out_channels, s.in_channels, s.kernel_size}) && product_fits({s.kernel_size, s.dilation}) &&
           product_fits({s.out_steps, s.stride});
}

}  // namespace

// `size` of each filter, or null if the weight is taken as it is.
EXPORT Outcome tcn_convolve(const Shape* shape, const Finish* finish, const float* x, const float* weight,
                            const float* size, float* y, int64_t threads) {
    if (!shape_fits(*shape) || !finish->dropping.fits() || !threads_fit(threads)) return Outcome::OUT_OF_RANGE;
    const bool reads = shape->batch && shape->in_steps;
    if (!weight || (!x && reads) || (!y && shape->batch)) return Outcome::OUT_OF_RANGE;
    return finish_call([&] { forward(*shape, *finish, x, Filters(*shape, weight, size), y, threads); });
}

// `finish` without dropout but for its scale: what was dropped shows in y, or in `kept`, without which there has been no
// shortcut. Gradients whose pointer is null are not computed.
EXPORT Outcome tcn_convolve_backward(const Shape* shape, const Finish* finish, const float* x, const float* weight,
                                     const float* size, const float* y, const float* gradient, float* gradient_x,
                                     float* gradient_weight, float* gradient_size, float* gradient_bias,
                                     float* gradient_shortcut, int64_t threads) {
    if (!shape_fits(*shape) || !threads_fit(threads)) return Outcome::OUT_OF_RANGE;
    const bool reads = shape->batch && shape->in_steps;
    if (!weight || (!x && reads) || ((!y || !gradient) && shape->batch)) return Outcome::OUT_OF_RANGE;
    if ((gradient_size && !size) || (finish->kept && !finish->relu) || (gradient_shortcut && !finish->kept))
        return Outcome::OUT_OF_RANGE;
    const Wanted wanted{gradient_x, gradient_weight, gradient_size, gradient_bias, gradient_shortcut};
    return finish_call(
        [&] { backward(*shape, *finish, x, Filters(*shape, weight, size), y, gradient, wanted, threads); });
}
