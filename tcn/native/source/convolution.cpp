// Dilated convolution in one dimension for few channels, forward and both gradients, for tcn/native/operators.py.
//
// Threads share the batch. Each adds up its own part of the weight gradient, and the parts are added in the order of
// the threads, so that results depend on the number of threads alone.

#include "convolution.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
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
    const int64_t rows = (examples * pitch + ROW - 1) / ROW, together = rows ? (examples + rows - 1) / rows : 0;
    if (steps > SHORT || pitch > steps + NEAR || together < 2) return {1, 0};
    return {together, std::max(pitch, steps)};
}

struct Taps {
    std::vector<Tap> forward;                // what output t reads
    std::vector<std::vector<Tap>> backward;  // per phase: which outputs read input u of that phase

    Taps(const Shape& s, const Layout& layout) : backward(s.stride) {
        for (int64_t k = 0; k < s.kernel_size; ++k) {
            const auto [phase, shift] = phase_and_shift(s, k);
            forward.push_back({phase, shift, layout.steps(phase_steps(s, phase)), k});
            backward[phase].insert(backward[phase].begin(), {0, -shift, layout.steps(s.out_steps), k});
        }
    }
};

// The filters that convolve: as they are, or each scaled to a size of its own (weight norm, Salimans and Kingma 2016).
class Filters {
   public:
    Filters(const Shape& s, const float* weight, const float* size)
        : count_(s.out_channels), length_(s.in_channels * s.kernel_size), given_(weight), size_(size) {
        if (!size) return;
        norm_.resize(count_);
        scaled_.resize(count_ * length_);
        for (int64_t o = 0; o < count_; ++o) {
            norm_[o] = std::sqrt(product(weight + o * length_, weight + o * length_));
            const float factor = static_cast<float>(size[o] / norm_[o]);
            for (int64_t i = 0; i < length_; ++i) scaled_[o * length_ + i] = weight[o * length_ + i] * factor;
        }
    }

    const float* data() const { return size_ ? scaled_.data() : given_; }

    // From the gradient of what convolves those of what was given; null is not asked for.
    void gradients(const float* gradient, float* of_given, float* of_size) const {
        for (int64_t o = 0; o < count_; ++o, gradient += length_) {
            if (!size_) {
                if (of_given) std::copy(gradient, gradient + length_, of_given + o * length_);
                continue;
            }
            const float* given = given_ + o * length_;
            const double along = product(gradient, given) / norm_[o];  // of the direction
            if (of_size) of_size[o] = static_cast<float>(along);
            const float factor = static_cast<float>(size_[o] / norm_[o]), back = static_cast<float>(along / norm_[o]);
            for (int64_t i = 0; of_given && i < length_; ++i)
                of_given[o * length_ + i] = factor * (gradient[i] - given[i] * back);
        }
    }

   private:
    double product(const float* a, const float* b) const {
        double sums[4] = {};  // side by side, since each waits for the one before
        for (int64_t i = 0; i < length_; ++i) sums[i % 4] += static_cast<double>(a[i]) * b[i];
        return sums[0] + sums[1] + (sums[2] + sums[3]);
    }

    int64_t count_, length_;
    const float *given_, *size_;
    std::vector<double> norm_;
    std::vector<float> scaled_;
};

void pack_weight(const float* weight, int64_t outer, int64_t inner, const Pass& pass, float* packed) {
    DISPATCH(pack, weight, outer, inner, pass, packed);
}

Pass forward_pass(const Shape& s, const Layout& layout, const Taps& taps, const float* weight,
                  std::vector<float>& packed) {
    packed.resize(s.out_channels * s.in_channels * s.kernel_size);
    const int64_t steps = layout.steps(s.out_steps);
    const Pass pass{s.in_channels, s.out_channels, s.kernel_size, taps.forward.data(), packed.data(),
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
    for (int64_t phase = 0; phase < s.stride; ++phase) {
        const std::vector<Tap>& tap = taps.backward[phase];
        const int64_t count = static_cast<int64_t>(tap.size());
        passes.push_back({s.out_channels, s.in_channels, count, tap.data(), to, row_length(layout.steps(s.out_steps)),
                          layout.steps(phase_steps(s, phase)), in_place ? s.in_steps : s.stride * phase_row(s, layout)});
        pack_weight(weight, s.kernel_size, s.in_channels * s.kernel_size, passes.back(), to);
        to += s.out_channels * s.in_channels * count;
    }
    return passes;
}

// The rows of `count` examples of x from this one on, phase after phase.
void fill_rows(const Shape& s, const Layout& layout, const float* x, int64_t count, int64_t row, float* rows) {
    for (int64_t phase = 0; phase < s.stride; ++phase) {
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
        const Shape& s = shape;
        Block block{};
        block.x_row = row_length(layout.steps(phase_steps(s, 0)));
        block.gradient_row = row_length(layout.steps(s.out_steps));
        block.x_group = s.stride * s.in_channels * block.x_row;
        block.gradient_group = s.out_channels * block.gradient_row;
        block.last_step = layout.steps(s.out_steps);
        // Some rows are taken together: adding up the lanes of the sums then costs little.
        const int64_t most = std::max<int64_t>(1, 1024 / std::max<int64_t>(block.last_step, 1));
        const int64_t phases_size = in_place() ? 0 : s.stride * s.in_channels * phase_row(s, layout);
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
            if (of_weight) DISPATCH(add_weight_gradient, s, taps.forward.data(), block, weight_sum);
        }
    }

    void finish_gradient(int64_t example, int64_t count, int64_t row, float* rows, float* bias_sum) const {
        const Examples examples{count, shape.out_steps, shape.out_channels * shape.out_steps};
        for (int64_t o = 0; o < shape.out_channels; ++o, rows += row) {
            const int64_t at = (example * shape.out_channels + o) * shape.out_steps;
            const float* shortcut = finish.shortcut;
            if (shortcut) shortcut += example * finish.shortcut_strides[0] + o * finish.shortcut_strides[1];
            bias_sum[o] += DISPATCH(gradient_row, gradient + at, y + at, finish, shortcut, examples, layout, row, rows,
                                    gradient_shortcut ? gradient_shortcut + at : nullptr);
        }
    }

    void input_gradient(int64_t example, int64_t count, const float* rows, float* phases) const {
        float* to = gradient_x + example * shape.in_channels * shape.in_steps;
        const int64_t row = phase_row(shape, layout);
        for (size_t phase = 0; phase < passes.size(); ++phase)
            convolve_rows(passes[phase], rows, Finish{}, example, (in_place() ? to : phases) + phase * row);
        if (in_place() || passes.empty()) return;
        for (int64_t e = 0; e < count; ++e)
            for (int64_t c = 0; c < shape.in_channels; ++c, to += shape.in_steps)
                DISPATCH(merge_phases, phases + c * shape.stride * row + e * layout.pitch, row, shape.stride,
                         shape.in_steps, to);
    }
};

template <typename Element>
void drop(const Element* x, Element* y, int64_t size, int64_t drop_below, float scale, uint64_t seed, int threads) {
    constexpr int64_t PIECE = 4096;
    Finish finish{};
    finish.drop_below = drop_below, finish.scale = scale, finish.seed = seed;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t from = 0; from < size; from += PIECE)
        DISPATCH(drop_row, x, y, from, std::min(size, from + PIECE), finish);
}

}  // namespace

// `size` of each filter, or null if the weight is taken as it is.
EXPORT void tcn_convolve(const Shape* shape, const Finish* finish, const float* x, const float* weight,
                         const float* size, float* y, int threads) {
    const Shape& s = *shape;
    const Layout layout = layout_of(s, (s.batch + threads - 1) / threads);
    const Taps taps(s, layout);
    std::vector<float> packed;
    const Pass pass = forward_pass(s, layout, taps, Filters(s, weight, size).data(), packed);
    const int64_t rows_size = s.stride * s.in_channels * pass.row;
    const int64_t outputs_size = layout.together == 1 ? 0 : s.out_channels * pass.out_row;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t example = 0; example < s.batch; example += layout.together) {
        const FlushDenormals flush;
        const int64_t count = std::min(layout.together, s.batch - example);
        float* rows = scratch(rows_size + outputs_size);
        fill_rows(s, layout, x + example * s.in_channels * s.in_steps, count, pass.row, rows);
        if (layout.together == 1) {
            convolve_rows(pass, rows, *finish, example, y + example * s.out_channels * s.out_steps);
        } else {
            Finish bias{};
            bias.bias = finish->bias;
            convolve_rows(pass, rows, bias, example, rows + rows_size);
            finish_rows(s, layout, rows + rows_size, *finish, example, count, y);
        }
    }
}

// `finish` without dropout: what was dropped shows in y. Gradients whose pointer is null are not computed.
EXPORT void tcn_convolve_backward(const Shape* shape, const Finish* finish, const float* x, const float* weight,
                                  const float* size, const float* y, const float* gradient, float* gradient_x,
                                  float* gradient_weight, float* gradient_size, float* gradient_bias,
                                  float* gradient_shortcut, int threads) {
    const Shape& s = *shape;
    const Layout layout = layout_of(s, (s.batch + threads - 1) / threads);
    const Taps taps(s, layout);
    const Filters filters(s, weight, size);
    const bool of_weight = gradient_weight || gradient_size;
    std::vector<float> packed;
    const std::vector<Pass> passes =
        gradient_x ? backward_passes(s, layout, taps, filters.data(), packed) : std::vector<Pass>();
    const Backward backward{s, layout, *finish, taps, passes, x, y, gradient, gradient_x, gradient_shortcut, of_weight};
    const int64_t weights = s.out_channels * s.in_channels * s.kernel_size, sums = weights + s.out_channels;
    std::vector<float> part(threads * sums, 0.0f);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < threads; ++i) {
        const FlushDenormals flush;
        float* sum = part.data() + i * sums;
        backward.run(s.batch * i / threads, s.batch * (i + 1) / threads, sum, sum + weights);
    }
    for (int64_t thread = 1; thread < threads; ++thread)
        for (int64_t i = 0; i < sums; ++i) part[i] += part[thread * sums + i];
    if (of_weight) filters.gradients(part.data(), gradient_weight, gradient_size);
    if (gradient_bias) std::copy_n(part.data() + weights, s.out_channels, gradient_bias);
}

EXPORT void tcn_dropout(const float* x, float* y, int64_t size, int64_t drop_below, float scale, uint64_t seed,
                        int threads) {
    drop(x, y, size, drop_below, scale, seed, threads);
}

EXPORT void tcn_dropout_bfloat16(const uint16_t* x, uint16_t* y, int64_t size, int64_t drop_below, float scale,
                                 uint64_t seed, int threads) {
    drop(x, y, size, drop_below, scale, seed, threads);
}
