// The operations of a stream on a block of one row's steps in planar form (planar.h); compiled once per instruction
// set.

#include "vector.h"

#include "activations.h"

#define INLINED __attribute__((always_inline))

// A place of the frame, planar.
INLINE float* plane(const PlanarBlock& block, int place) {
    return block.frame + static_cast<size_t>(place) * PLANAR_STEPS;
}

// Calls `work` with where each vector of so many channels begins.
template <typename Work>
INLINE void each_vector(const PlanarBlock& block, int channels, const Work& work) {
    const int width = block.width;
    if (width == PLANAR_STEPS) {
        for (int at = 0; at < channels * PLANAR_STEPS; at += LANES) work(at);
        return;
    }
    for (int c = 0; c < channels; ++c)
        for (int step = 0; step < width; step += LANES) work(c * PLANAR_STEPS + step);
}

// ------------------------------------------------------------------------------------------------------- epilogue

template <Function FUNCTION>
static void apply_function(const Activation& given, const PlanarBlock& block, int channels, float* x,
                           const float* other) {
    const Activation how{FUNCTION, {given.parameters[0], given.parameters[1], given.parameters[2]}};
    if (other)
        each_vector(block, channels,
                    [&](int at) INLINED { store(x + at, activate(how, load(x + at) + load(other + at))); });
    else
        each_vector(block, channels, [&](int at) INLINED { store(x + at, activate(how, load(x + at))); });
}

// x = how(x + other), in place; without `other` if it is null. The choice is made once, outside of the loop.
static void apply(const Activation& how, const PlanarBlock& block, int channels, float* x, const float* other) {
    switch (how.function) {
#define APPLY(function) \
    case function: return apply_function<function>(how, block, channels, x, other)
        APPLY(RELU);
        APPLY(LEAKY_RELU);
        APPLY(ELU);
        APPLY(GELU);
        APPLY(SILU);
        APPLY(MISH);
        APPLY(TANH);
        APPLY(SIGMOID);
        APPLY(SOFTSIGN);
        APPLY(CLAMP);
        APPLY(HARD_SIGMOID);
        APPLY(HARD_SWISH);
        APPLY(FAST_TANH);
#undef APPLY
        default:
            if (other) apply_function<IDENTITY>(how, block, channels, x, other);
    }
}

// after(activation(target) + other), in place; of a convolution whose sums have begun with `other` without it.
static void finish_planar(const Instruction& op, const PlanarBlock& block, bool with_other) {
    float* x = plane(block, op.target);
    if (op.activation.function != IDENTITY) apply(op.activation, block, op.out_channels, x, nullptr);
    const float* other = with_other && op.other >= 0 ? plane(block, op.other) : nullptr;
    apply(op.after, block, op.out_channels, x, other);
}

// ---------------------------------------------------------------------------------------------------- convolution

// Puts the block's inputs into the ring, and returns where: the position of the first step.
static int remember_planar(const PlanarInstruction& p, const PlanarBlock& block) {
    int32_t& head = block.memory.head(p);
    const int begin = head, width = block.width, end = begin + width, channels = p.op.in_channels;
    const size_t stride = p.line;
    const float* from = plane(block, p.op.source);
    float* const line = block.memory.ring(p);
    float* to = line + begin;
    for (int c = 0; c < channels; ++c, from += PLANAR_STEPS, to += stride)
        for (int step = 0; step < width; step += LANES) store(to + step, load(from + step));
    const int over = end - p.capacity, repeated = smaller(end, PLANAR_STEPS) - begin;
    for (int c = 0; over > 0 && c < channels; ++c)
        __builtin_memcpy(line + c * stride, line + c * stride + p.capacity, over * sizeof(float));
    for (int c = 0; repeated > 0 && c < channels; ++c)
        __builtin_memcpy(line + c * stride + p.capacity + begin, line + c * stride + begin, repeated * sizeof(float));
    head = begin + block.steps < p.capacity ? begin + block.steps : begin + block.steps - p.capacity;
    return begin;
}

// Where a convolution's inputs are at the block's first step.
struct Lines {
    const float* begin;
    const int32_t* places;  // of each group's lines behind `begin`, tap by tap, the oldest first
};

static Lines lines_of(const PlanarInstruction& p, const PlanarBlock& block) {
    if (!p.capacity) return {plane(block, p.op.source), p.places};
    const Instruction& op = p.op;
    const int groups = op.groups, inputs = p.inputs, taps = op.kernel_size, dilation = op.dilation;
    // The oldest tap's position; that of taps before the ring's beginning is behind its end.
    const int oldest = remember_planar(p, block) - (taps - 1) * dilation - op.shift;
    int before = 0;
    while (before < taps && oldest + before * dilation < 0) ++before;
    const int terms = taps * inputs, first = before * inputs, capacity = p.capacity;
    const int32_t* from = p.places;
    int32_t* to = block.places;
    for (int group = 0; group < groups; ++group, from += terms, to += terms) {
        for (int i = 0; i < first; ++i) to[i] = from[i] + oldest + capacity;
        for (int i = first; i < terms; ++i) to[i] = from[i] + oldest;
    }
    return {block.memory.ring(p), block.places};
}

// The weights of some outputs and what they are multiplied by.
struct Products {
    const float* weight;
    Lines lines;
    int terms;
    const float* added;  // further lines, PLANAR_STEPS apart
    int added_terms;

    // How far it is from the weights of some outputs to those of the next.
    size_t tile_size(int outputs) const { return static_cast<size_t>(outputs) * (1 + terms + added_terms); }
};

// What is done to the sums before they are stored: nothing, or a negative one is multiplied by `slope`.
struct Ending {
    const float* other;  // added first, planar; null if nothing is
    bool leaks;
    float slope;
};

template <int NUMBER>
struct Index {
    constexpr operator int() const { return NUMBER; }
};

// Calls `work` with 0 to COUNT - 1. A loop would do, but compilers unroll it too late to keep arrays in registers.
template <int COUNT, typename Work>
INLINE void each(const Work& work) {
    if constexpr (COUNT > 0) {
        each<COUNT - 1>(work);
        work(Index<COUNT - 1>{});
    }
}

// The sums of TILES times so many outputs, of so many vectors of steps from `first` on.
template <int OUTPUTS, int TILES, int VECTORS>
static void multiply_lines(const Products& products, int first, const Ending& ending, float* target) {
    Vector sums[TILES][OUTPUTS][VECTORS];
    const float* weight = products.weight;
    const size_t tile = products.tile_size(OUTPUTS);
    const auto each_sum = [&](const auto& work) INLINED {
        each<TILES>([&](auto t) INLINED {
            each<OUTPUTS>([&](auto o) INLINED {
                each<VECTORS>([&](auto v) INLINED { work(t, o, v, sums[t][o][v]); });
            });
        });
    };
    const auto add_line = [&](const float* line) INLINED {
        Vector x[VECTORS];
        each<VECTORS>([&](auto v) INLINED { x[v] = load(line + v * LANES); });
        each_sum([&](auto t, auto o, auto v, Vector& y) INLINED { y += broadcast(weight[t * tile + o]) * x[v]; });
        weight += OUTPUTS;
    };
    each_sum([&](auto t, auto o, auto, Vector& y) INLINED { y = broadcast(weight[t * tile + o]); });
    weight += OUTPUTS;
    const float *begin = products.lines.begin + first, *added = products.added + first;
    const int32_t* places = products.lines.places;
    for (int term = 0, terms = products.terms; term < terms; ++term) add_line(begin + places[term]);
    for (int term = 0, terms = products.added_terms; term < terms; ++term, added += PLANAR_STEPS) add_line(added);
    const float* other = ending.other ? ending.other + first : nullptr;
    const bool leaks = ending.leaks;
    const float slope = ending.slope;
    target += first;
    each_sum([&](auto t, auto o, auto v, Vector& y) INLINED {
        const int at = (t * OUTPUTS + o) * PLANAR_STEPS + v * LANES;
        if (other) y += load(other + at);
        if (leaks) y = y < 0 ? y * slope : y;
        store(target + at, y);
    });
}

// The same for all outputs of a group: as many at once as there are registers for.
template <int VECTORS>
static void multiply_outputs(Products products, int outputs, int first, Ending ending, float* target) {
    constexpr int SUMS = LANES == 16 ? 16 : 8, TILES = SUMS / (PLANAR_OUTPUTS * VECTORS);
    const auto done = [&](int count, int tiles) {
        outputs -= count * tiles;
        products.weight += tiles * products.tile_size(count);
        target += count * tiles * PLANAR_STEPS;
        if (ending.other) ending.other += count * tiles * PLANAR_STEPS;
    };
    for (; outputs >= TILES * PLANAR_OUTPUTS; done(PLANAR_OUTPUTS, TILES))
        multiply_lines<PLANAR_OUTPUTS, TILES, VECTORS>(products, first, ending, target);
    for (; outputs >= PLANAR_OUTPUTS; done(PLANAR_OUTPUTS, 1))
        multiply_lines<PLANAR_OUTPUTS, 1, VECTORS>(products, first, ending, target);
    switch (outputs) {
        case 3: multiply_lines<3, 1, VECTORS>(products, first, ending, target); break;
        case 2: multiply_lines<2, 1, VECTORS>(products, first, ending, target); break;
        case 1: multiply_lines<1, 1, VECTORS>(products, first, ending, target);
    }
}

static void convolve_planar(const PlanarInstruction& p, const PlanarBlock& block) {
    constexpr int MOST = LANES == 16 ? 4 : 2;  // vectors at once
    const Instruction& op = p.op;
    const int groups = op.groups, terms = op.kernel_size * p.inputs, width = block.width;
    Products products{p.weight, lines_of(p, block), terms, plane(block, p.added_source), p.added_channels};
    // What is done to the sums while they are in registers.
    const bool adds = op.activation.function == IDENTITY;
    const bool leaks = adds && op.after.function == LEAKY_RELU;
    Ending ending{adds && op.other >= 0 ? plane(block, op.other) : nullptr, leaks, op.after.parameters[0]};
    float* target = plane(block, op.target);
    for (int group = 0; group < groups; ++group) {
        int first = 0;
        for (; first + MOST * LANES <= width; first += MOST * LANES)
            multiply_outputs<MOST>(products, p.outputs, first, ending, target);
        for (; MOST > 2 && first + 2 * LANES <= width; first += 2 * LANES)
            multiply_outputs<2>(products, p.outputs, first, ending, target);
        for (; first < width; first += LANES) multiply_outputs<1>(products, p.outputs, first, ending, target);
        products.weight += products.tile_size(p.outputs);
        products.lines.places += terms;
        target += p.outputs * PLANAR_STEPS;
        if (ending.other) ending.other += p.outputs * PLANAR_STEPS;
    }
    if (!leaks) finish_planar(op, block, !adds);
}

static void convolve_depthwise_planar(const PlanarInstruction& p, const PlanarBlock& block) {
    const Instruction& op = p.op;
    const int taps = op.kernel_size, width = block.width, stride = (op.in_channels + PANEL - 1) / PANEL * PANEL;
    const Lines lines = lines_of(p, block);
    float* target = plane(block, op.target);
    for (int c = 0; c < op.in_channels; ++c, target += PLANAR_STEPS)
        for (int step = 0; step < width; step += LANES) {
            Vector total = broadcast(op.bias[c]);
            for (int tap = 0; tap < taps; ++tap)
                total += broadcast(op.weight[static_cast<size_t>(tap) * stride + c]) * 
                         load(lines.begin + lines.places[c * taps + tap] + step);
            store(target + step, total);
        }
    finish_planar(op, block, true);
}

// ------------------------------------------------------------------------------------- operations on a step alone

static void point_planar(const Instruction& op, const PlanarBlock& block) {
    float* y = plane(block, op.target);
    const float* x = plane(block, op.source);
    if (op.activation.function == IDENTITY && op.other >= 0) {
        const float* other = plane(block, op.other);
        each_vector(block, op.out_channels, [&](int at) INLINED { store(y + at, load(x + at) + load(other + at)); });
        finish_planar(op, block, false);
    } else {
        each_vector(block, op.out_channels, [&](int at) INLINED { store(y + at, load(x + at)); });
        finish_planar(op, block, true);
    }
}

static void multiply_planar(const Instruction& op, const PlanarBlock& block) {
    float* y = plane(block, op.target);
    const float *x = plane(block, op.source), *other = plane(block, op.other);
    each_vector(block, op.out_channels, [&](int at) INLINED { store(y + at, load(x + at) * load(other + at)); });
}

static void gate_planar(const Instruction& op, const PlanarBlock& block) {
    float* y = plane(block, op.target);
    const float *x = plane(block, op.source), *gate = plane(block, op.source + op.out_channels);
    each_vector(block, op.out_channels, [&](int at) INLINED {
        store(y + at, activate(op.activation, load(x + at)) * sigmoid(load(gate + at)));
    });
}

static void modulate_planar(const Instruction& op, const PlanarBlock& block) {
    float* y = plane(block, op.target);
    const float *x = plane(block, op.source), *scale = plane(block, op.other);
    const float* shift = plane(block, op.other + op.out_channels);
    each_vector(block, op.out_channels, [&](int at) INLINED {
        store(y + at, load(x + at) * (1.0f + load(scale + at)) + load(shift + at));
    });
}

static void scale_planar(const Instruction& op, const PlanarBlock& block) {
    float* y = plane(block, op.target);
    const float* x = plane(block, op.source);
    for (int c = 0; c < op.out_channels; ++c, x += PLANAR_STEPS, y += PLANAR_STEPS)
        for (int step = 0; step < block.width; step += LANES)
            store(y + step, load(x + step) * op.weight[c] + op.bias[c]);
    finish_planar(op, block, true);
}

INLINE Vector square_root(Vector x) {
    for (int lane = 0; lane < LANES; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
}

static void normalize_planar(const Instruction& op, const PlanarBlock& block) {
    const float count = static_cast<float>(op.out_channels);
    for (int step = 0; step < block.width; step += LANES) {
        const float* x = plane(block, op.source) + step;
        float* y = plane(block, op.target) + step;
        Vector center{}, squares{};
        for (int c = 0; op.kind == LAYER_NORM && c < op.out_channels; ++c) center += load(x + c * PLANAR_STEPS);
        center = center / count;
        for (int c = 0; c < op.out_channels; ++c) {
            const Vector difference = load(x + c * PLANAR_STEPS) - center;
            squares += difference * difference;
        }
        const Vector factor = 1.0f / square_root(squares / count + op.epsilon);
        for (int c = 0; c < op.out_channels; ++c)
            store(y + c * PLANAR_STEPS,
                  (load(x + c * PLANAR_STEPS) - center) * factor * op.weight[c] + op.bias[c]);
    }
}

// ------------------------------------------------------------------- operations that take one step after the other

static void normalize_cumulatively_planar(const Instruction& op, const PlanarBlock& block) {
    double* total = reinterpret_cast<double*>(block.kept.kept(op));
    for (int step = 0; step < block.steps; ++step) {
        const float* x = plane(block, op.source) + step;
        float* y = plane(block, op.target) + step;
        double sums[2] = {0, 0};
        for (int c = 0; c < op.out_channels; ++c) {
            const double value = x[c * PLANAR_STEPS];
            sums[0] += value;
            sums[1] += value * value;
        }
        total[0] += sums[0];
        total[1] += sums[1];
        total[2] += op.out_channels;
        const double center = total[0] / total[2], difference = total[1] / total[2] - center * center;
        const double variance = difference < 0 ? 0 : difference;  // NaN stays
        const float mean = static_cast<float>(center);
        const float factor = static_cast<float>(1 / __builtin_sqrt(variance + static_cast<double>(op.epsilon)));
        for (int c = 0; c < op.out_channels; ++c)
            y[c * PLANAR_STEPS] = (x[c * PLANAR_STEPS] - mean) * factor * op.weight[c] + op.bias[c];
    }
}

static void average_planar(const Instruction& op, const PlanarBlock& block) {
    double* total = reinterpret_cast<double*>(block.kept.kept(op));
    for (int step = 0; step < block.steps; ++step) {
        const float* x = plane(block, op.source) + step;
        float* y = plane(block, op.target) + step;
        const double count = total[op.out_channels] += 1;
        for (int c = 0; c < op.out_channels; ++c) {
            total[c] += x[c * PLANAR_STEPS];
            y[c * PLANAR_STEPS] = static_cast<float>(total[c] / count);
        }
    }
}

static void embed_planar(const Instruction& op, const PlanarBlock& block) {
    for (int step = 0; step < block.steps; ++step) {
        const float* line = op.weight + block.tokens[step] * op.out_channels;
        float* y = plane(block, op.target) + step;
        for (int c = 0; c < op.out_channels; ++c) y[c * PLANAR_STEPS] = line[c];
    }
}

static void remember_latest_planar(const Instruction& op, const PlanarBlock& block) {
    const float* x = plane(block, op.source) + block.steps - 1;
    float* latest = reinterpret_cast<float*>(block.kept.kept(op));
    for (int c = 0; c < op.in_channels; ++c) latest[c] = x[c * PLANAR_STEPS];
}

// ------------------------------------------------------------------------------------------------------- beginning

// Gives each channel of each ring a past that has been constant.
static void fill_rings(const PlanarInstruction* instructions, int count, const PlanarMemory& memory,
                       const float* levels) {
    for (const PlanarInstruction* p = instructions; p != instructions + count; ++p) {
        if (!p->capacity) continue;
        const int context = (p->op.kernel_size - 1) * p->op.dilation + p->op.shift, channels = p->op.in_channels;
        const size_t stride = p->line;
        float* line = memory.ring(*p);
        for (int c = 0; c < channels; ++c, line += stride) {
            const Vector level = broadcast(*levels++);
            for (int step = 0; step < context; step += LANES) store(line + step, level);
        }
        memory.head(*p) = context;
    }
}

// -------------------------------------------------------------------------------------------------------- dispatch

static void execute_planar(const PlanarInstruction* instructions, int count, PlanarBlock block) {
    block.width = (block.steps + LANES - 1) / LANES * LANES;
    for (const PlanarInstruction* p = instructions; p != instructions + count; ++p) {
        const Instruction& op = p->op;
        switch (op.kind) {
            case CONVOLUTION: convolve_planar(*p, block); break;
            case DEPTHWISE: convolve_depthwise_planar(*p, block); break;
            case POINTWISE: point_planar(op, block); break;
            case MULTIPLY: multiply_planar(op, block); break;
            case GATE: gate_planar(op, block); break;
            case MODULATE: modulate_planar(op, block); break;
            case SCALE: scale_planar(op, block); break;
            case LAYER_NORM:
            case RMS_NORM: normalize_planar(op, block); break;
            case CUMULATIVE_NORM: normalize_cumulatively_planar(op, block); break;
            case RUNNING_MEAN: average_planar(op, block); break;
            case EMBED: embed_planar(op, block); break;
            case REMEMBER: remember_latest_planar(op, block); break;
        }
    }
}

#undef INLINED
