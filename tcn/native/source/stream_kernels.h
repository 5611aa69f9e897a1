// The operations of a stream on a block of items; compiled once per instruction set.

#include "vector.h"

#include "activations.h"

static constexpr int VECTORS = PANEL / LANES;  // per panel

// What lets the tile below fill the registers without spilling them: 32 of 16 lanes, 16 of the others.
static constexpr int TILE_ITEMS = LANES == 16 ? 8 : LANES == 8 ? 4 : 2;
static constexpr int TILE_PANELS = LANES == 16 ? 2 : 1;

template <typename First, typename Then>
static void finish_items(const Instruction& op, const Block& block, First first, Then then) {
    float* frame = block.frames;
    for (int item = 0; item < block.rows * block.steps; ++item, frame += block.frame_size) {
        for (int c = 0; c < op.out_channels; c += LANES) {
            float* place = frame + op.target + c;
            Vector x = first(load(place));
            if (op.other >= 0) x += load(frame + op.other + c);
            store(place, then(x));
        }
    }
}

static bool only_cuts(const Activation& how) { return how.function == IDENTITY || how.function == RELU; }

static float lowest(const Activation& how) { return how.function == RELU ? 0.0f : -__builtin_inff(); }

// after(activation(target) + other), in place, of every item.
static void finish(const Instruction& op, const Block& block) {
    if (op.activation.function == IDENTITY && op.other < 0 && op.after.function == IDENTITY) return;
    if (only_cuts(op.activation) && only_cuts(op.after)) {  // most nets: worth a loop without a choice in it
        const float first = lowest(op.activation), then = lowest(op.after);
        finish_items(op, block, [=](Vector x) { return at_least(x, first); },
                     [=](Vector x) { return at_least(x, then); });
    } else {
        finish_items(op, block, [&](Vector x) { return activate(op.activation, x); },
                     [&](Vector x) { return activate(op.after, x); });
    }
}

// ---------------------------------------------------------------------------------------------------- convolution

// The weights of one group of channels, or of some of its taps.
struct Group {
    const float* weight;
    size_t panel_stride;
    size_t tap_stride;
    int taps;
    int channels;
    int panels;
    int first_channel;  // of the inputs
    // What the products are added to, (panel, PANEL) of each item: the bias (stride 0) or sums of other taps.
    const float* initial;
    size_t initial_stride;
    int listed;  // items whose inputs are listed, see list_taps
    bool half;   // whether the weights have 16 bits, those of two panels in one word
};

// Vector number v of the weights of one channel, of panels that follow each other.
template <bool HALF>
INLINE Vector load_weight(const float* weight, size_t panel_stride, int v) {
    if (!HALF) return load(weight + v / VECTORS * panel_stride + v % VECTORS * LANES);
    const Integers words = reinterpret_cast<Integers>(load(weight + v % VECTORS * LANES));
    return reinterpret_cast<Vector>(v < VECTORS ? words & static_cast<int>(0xffff0000u) : words << 16);
}

// y = initial + weight x for ITEMS items and PANELS panels of outputs; x[tap * listed + i] points to item i's inputs.
template <int ITEMS, int PANELS, bool HALF = false>
static void multiply_tile(const Group& group, int panel, const float* const* x, float* y, size_t y_stride) {
    constexpr int WIDTH = PANELS * VECTORS;
    // Each sum waits for the one before: at least eight of them under way keep the multipliers busy.
    constexpr int PARTS = ITEMS * WIDTH < 8 ? 8 / (ITEMS * WIDTH) : 1;
    const float* initial = group.initial + panel * PANEL;
    Vector sums[PARTS][ITEMS][WIDTH];
    for (int part = 0; part < PARTS; ++part)
        for (int i = 0; i < ITEMS; ++i)
            for (int v = 0; v < WIDTH; ++v)
                sums[part][i][v] = part ? Vector{} : load(initial + i * group.initial_stride + v * LANES);
    for (int tap = 0; tap < group.taps; ++tap, x += group.listed) {
        const float* weight = group.weight + panel / (HALF ? 2 : 1) * group.panel_stride + tap * group.tap_stride;
        const float* from[ITEMS];
        for (int i = 0; i < ITEMS; ++i) from[i] = x[i] + group.first_channel;
        int c = 0;
        for (; c + PARTS <= group.channels; c += PARTS)
            for (int part = 0; part < PARTS; ++part, weight += PANEL)
                for (int i = 0; i < ITEMS; ++i)
                    for (int v = 0; v < WIDTH; ++v)
                        sums[part][i][v] +=
                            broadcast(from[i][c + part]) * load_weight<HALF>(weight, group.panel_stride, v);
        for (; c < group.channels; ++c, weight += PANEL)
            for (int i = 0; i < ITEMS; ++i)
                for (int v = 0; v < WIDTH; ++v)
                    sums[0][i][v] += broadcast(from[i][c]) * load_weight<HALF>(weight, group.panel_stride, v);
    }
    for (int i = 0; i < ITEMS; ++i)
        for (int v = 0; v < WIDTH; ++v) {
            Vector total = sums[0][i][v];
            for (int part = 1; part < PARTS; ++part) total += sums[part][i][v];
            store(y + i * y_stride + panel * PANEL + v * LANES, total);
        }
}

template <int ITEMS>
static void multiply_items(const Group& group, const float* const* x, float* y, size_t y_stride) {
    int panel = 0;
    for (; group.half && panel < group.panels; panel += 2) multiply_tile<ITEMS, 2, true>(group, panel, x, y, y_stride);
    for (; panel + TILE_PANELS <= group.panels; panel += TILE_PANELS)
        multiply_tile<ITEMS, TILE_PANELS>(group, panel, x, y, y_stride);
    for (; panel < group.panels; ++panel) multiply_tile<ITEMS, 1>(group, panel, x, y, y_stride);
}

// Any number of items up to TILE_ITEMS.
static void multiply(Group group, int items, const float* const* x, float* y, size_t y_stride) {
    if (items == TILE_ITEMS) {
        multiply_items<TILE_ITEMS>(group, x, y, y_stride);
        return;
    }
    const auto done = [&](int count) {
        items -= count, x += count, y += count * y_stride, group.initial += count * group.initial_stride;
    };
    for (; items >= 2; done(2)) multiply_items<2>(group, x, y, y_stride);
    if (items) multiply_items<1>(group, x, y, y_stride);
}

// Writes no further than the last value: beside it lies another row's.
INLINE void copy_channels(float* to, const float* from, int channels) {
    if (channels < LANES) {
        for (int c = 0; c < channels; ++c) to[c] = from[c];
        return;
    }
    for (int c = 0; c + LANES < channels; c += LANES) store(to + c, load(from + c));
    store(to + channels - LANES, load(from + channels - LANES));
}

// Lists where the inputs under the first `taps` taps lie, the oldest first, of some steps of rows that lie side by side
// and whose rings stand alike: list[tap * listed + item] with item = row * steps + step. Of the first step, the present
// is at `head`.
static void list_taps(const Instruction& op, const RowMemory& first, int head, int taps, int rows, int steps,
                      const float** list, int listed) {
    const int span = (op.kernel_size - 1) * op.dilation + op.shift;
    const float* ring = first.ring(op);
    const size_t stride = first.stride(op), channels = op.in_channels;
    for (int step = 0; step < steps; ++step) {
        int position = head < span ? head - span + op.capacity : head - span;
        for (int tap = 0; tap < taps; ++tap) {
            const float* input = ring + position * stride;
            const float** to = list + tap * listed + step;
            if (steps == 1)  // side by side: the compiler writes many at once
                for (int row = 0; row < rows; ++row) to[row] = input + row * channels;
            else
                for (int row = 0; row < rows; ++row) to[row * steps] = input + row * channels;
            position += op.dilation;
            if (position >= op.capacity) position -= op.capacity;
        }
        if (++head == op.capacity) head = 0;
    }
}

// Puts an item's inputs into the row's ring.
INLINE void remember_step(const Instruction& op, const RowMemory& memory, const float* frame) {
    int32_t& head = memory.head(op);
    copy_channels(memory.ring(op) + head * memory.stride(op), frame + op.source, op.in_channels);
    if (++head == op.capacity) head = 0, memory.filled(op) = 1;
}

// How many rows from the first on lie side by side with their rings standing alike.
static int rows_alike(const Instruction& op, const RowMemory& first) {
    const int32_t* heads = &first.head(op);
    int count = 1;
    while (count < first.side_by_side && heads[count] == heads[0]) ++count;
    return count;
}

// The same as remember_step() of rows that are alike.
static void remember_rows(const Instruction& op, const RowMemory& first, int rows, const float* frame,
                          size_t frame_size) {
    int32_t* heads = &first.head(op);
    float* to = first.ring(op) + heads[0] * first.stride(op);
    for (int row = 0; row < rows; ++row, to += op.in_channels, frame += frame_size)
        copy_channels(to, frame + op.source, op.in_channels);
    const int32_t next = heads[0] + 1 == op.capacity ? 0 : heads[0] + 1;
    for (int row = 0; row < rows; ++row) heads[row] = next;
    for (int row = 0; next == 0 && row < rows; ++row) (&first.filled(op))[row] = 1;
}

// Puts the block's inputs into the rings and lists, per tap and item, where they lie.
static void remember_inputs(const Instruction& op, const Block& block) {
    const int items = block.rows * block.steps;
    const float* frame = block.frames;
    for (int row = 0, alike; row < block.rows; row += alike) {
        const RowMemory& first = block.memory[row];
        alike = rows_alike(op, first);
        list_taps(op, first, first.head(op), op.kernel_size, alike, block.steps, block.inputs + row * block.steps,
                  items);
        for (int step = 0; step < block.steps; ++step)
            remember_rows(op, first, alike, frame + step * block.frame_size, block.steps * block.frame_size);
        frame += alike * block.steps * block.frame_size;
    }
}

// A convolution that sees the present alone reads its inputs where they are.
static void list_inputs(const Instruction& op, const Block& block) {
    for (int item = 0; item < block.rows * block.steps; ++item)
        block.inputs[item] = block.frames + item * block.frame_size + op.source;
}

// The rings of many rows lie outside the second-level cache: those of some items are asked for while others are
// multiplied, into the second level (2), since the first is full of weights. One line in two: the other comes along.
static void prefetch(const Instruction& op, const float* const* inputs, int listed, int items) {
    for (int tap = 0; tap < op.kernel_size; ++tap, inputs += listed)
        for (int i = 0; i < items; ++i)
            for (int c = 0; c < op.in_channels; c += 2 * PANEL) __builtin_prefetch(inputs[i] + c, 0, 2);
}

// With all taps, and the bias to add to.
static Group group_of(const Instruction& op, int index, int listed) {
    const int channels = op.in_channels / op.groups, panels = (op.out_channels / op.groups + PANEL - 1) / PANEL;
    const PanelStrides strides = panel_strides(op);
    return {op.weight + index * strides.group,
            strides.panel,
            strides.tap,
            op.kernel_size,
            channels,
            panels,
            index * channels,
            op.bias + static_cast<size_t>(index) * panels * PANEL,
            0,
            listed,
            op.half};
}

// The products of the past taps for the row's next steps, which begin at the ring's head.
static void add_up_ahead(const Instruction& op, const RowMemory& memory, const float** inputs) {
    Group past = group_of(op, 0, STEPS_AHEAD);
    past.taps -= 1;
    const size_t width = past.panels * PANEL;
    const int head = memory.head(op);
    // Until a time that is another one for each operation: work that all did at once would make that step slow.
    const int begin = (head + op.left) % op.ahead;
    list_taps(op, memory, head, past.taps, 1, op.ahead - begin, inputs, STEPS_AHEAD);
    for (int step = begin; step < op.ahead; step += TILE_ITEMS, inputs += TILE_ITEMS)
        multiply(past, smaller(TILE_ITEMS, op.ahead - step), inputs, memory.sums(op) + step * width, width);
    memory.left(op) = op.ahead - begin;
}

// One step of each row: the present alone, on top of the sums ahead.
static void convolve_present(const Instruction& op, const Block& block) {
    Group present = group_of(op, 0, block.rows);
    const size_t width = present.panels * PANEL;
    for (int row = 0; row < block.rows; ++row) {
        const RowMemory& memory = block.memory[row];
        float* frame = block.frames + row * block.frame_size;
        if (memory.left(op) == 0) add_up_ahead(op, memory, block.inputs);
        const float* sums = memory.sums(op) + (op.ahead - memory.left(op)--) * width;
        copy_channels(frame + op.target, sums, width);
        remember_step(op, memory, frame);
    }
    list_inputs(op, block);
    present.weight += (present.taps - 1) * present.tap_stride;
    present.taps = 1;
    present.initial = block.frames + op.target;
    present.initial_stride = block.frame_size;
    multiply(present, block.rows, block.inputs, block.frames + op.target, block.frame_size);
}

// Any items; what was added up ahead for their rows is of no use any more.
static void convolve_all_taps(const Instruction& op, const Block& block) {
    const int items = block.rows * block.steps, outputs = op.out_channels / op.groups;
    if (op.capacity)
        remember_inputs(op, block);
    else
        list_inputs(op, block);
    for (int row = 0; op.ahead && row < block.rows; ++row) block.memory[row].left(op) = 0;
    for (int first = 0; first < items; first += TILE_ITEMS) {
        const float* const* inputs = block.inputs + first;
        float* y = block.frames + first * block.frame_size + op.target;
        const int left = items - first - TILE_ITEMS;
        if (op.capacity && left > 0) prefetch(op, inputs + TILE_ITEMS, items, smaller(TILE_ITEMS, left));
        // The last panel of a group may reach into the next group's outputs, which are written after it.
        for (int g = 0; g < op.groups; ++g)
            multiply(group_of(op, g, items), smaller(TILE_ITEMS, items - first), inputs, y + g * outputs,
                     block.frame_size);
    }
}

static void convolve(const Instruction& op, const Block& block) {
    // Each row's sums ahead are a pass over the weights of its own: with more rows, one pass for all costs less.
    if (block.steps == 1 && block.pushed_rows < op.ahead)
        convolve_present(op, block);
    else
        convolve_all_taps(op, block);
    finish(op, block);
}

static void convolve_depthwise(const Instruction& op, const Block& block) {
    const int taps = op.kernel_size, width = (op.in_channels + PANEL - 1) / PANEL * PANEL;
    remember_inputs(op, block);
    const int items = block.rows * block.steps;
    for (int item = 0; item < items; ++item) {
        const float* const* input = block.inputs + item;
        float* y = block.frames + item * block.frame_size + op.target;
        for (int c = 0; c < op.in_channels; c += LANES) {
            Vector total = load(op.bias + c);
            for (int tap = 0; tap < taps; ++tap)
                total += load(op.weight + static_cast<size_t>(tap) * width + c) * load(input[tap * items] + c);
            store(y + c, total);
        }
    }
    finish(op, block);
}

// ------------------------------------------------------------------------------------ operations on an item alone

static void point(const Instruction& op, float* frame) {
    for (int c = 0; c < op.out_channels; c += LANES) store(frame + op.target + c, load(frame + op.source + c));
}

static void multiply_values(const Instruction& op, float* frame) {
    for (int c = 0; c < op.out_channels; c += LANES)
        store(frame + op.target + c, load(frame + op.source + c) * load(frame + op.other + c));
}

static void gate(const Instruction& op, float* frame) {
    const float* signal = frame + op.source;
    for (int c = 0; c < op.out_channels; c += LANES)
        store(frame + op.target + c,
              activate(op.activation, load(signal + c)) * sigmoid(load(signal + op.out_channels + c)));
}

static void modulate(const Instruction& op, float* frame) {
    const float* scale = frame + op.other;
    for (int c = 0; c < op.out_channels; c += LANES)
        store(frame + op.target + c,
              load(frame + op.source + c) * (1.0f + load(scale + c)) + load(scale + op.out_channels + c));
}

static void scale(const Instruction& op, float* frame) {
    for (int c = 0; c < op.out_channels; c += LANES)
        store(frame + op.target + c, load(frame + op.source + c) * load(op.weight + c) + load(op.bias + c));
}

// The sum of (x - center)^2.
static float squares(const float* x, int channels, float center) {
    Vector total{};
    int c = 0;
    for (; c + LANES <= channels; c += LANES) {
        const Vector difference = load(x + c) - center;
        total += difference * difference;
    }
    float rest = 0;
    for (; c < channels; ++c) rest += (x[c] - center) * (x[c] - center);
    return sum(total) + rest;
}

static float mean(const float* x, int channels) {
    Vector total{};
    int c = 0;
    for (; c + LANES <= channels; c += LANES) total += load(x + c);
    float rest = 0;
    for (; c < channels; ++c) rest += x[c];
    return (sum(total) + rest) / static_cast<float>(channels);
}

static void standardize(const Instruction& op, float* frame, float center, float factor) {
    for (int c = 0; c < op.out_channels; c += LANES)
        store(frame + op.target + c,
              (load(frame + op.source + c) - center) * factor * load(op.weight + c) + load(op.bias + c));
}

static void normalize(const Instruction& op, float* frame) {
    const float* x = frame + op.source;
    const int channels = op.out_channels;
    const float center = op.kind == LAYER_NORM ? mean(x, channels) : 0.0f;
    const float variance = squares(x, channels, center) / static_cast<float>(channels);
    standardize(op, frame, center, 1.0f / __builtin_sqrtf(variance + op.epsilon));
}

// ------------------------------------------------------------------------------ operations that remember of a row

// Sum, sum of squares and count of all values so far, in that order.
static void normalize_cumulatively(const Instruction& op, float* frame, const RowMemory& memory) {
    double* total = reinterpret_cast<double*>(memory.kept(op));
    const float* x = frame + op.source;
    double sums[2] = {0, 0};
    for (int c = 0; c < op.out_channels; ++c) {
        sums[0] += x[c];
        sums[1] += static_cast<double>(x[c]) * x[c];
    }
    total[0] += sums[0];
    total[1] += sums[1];
    total[2] += op.out_channels;
    const double center = total[0] / total[2];
    const double difference = total[1] / total[2] - center * center;
    const double variance = difference < 0 ? 0 : difference;  // NaN stays
    standardize(op, frame, static_cast<float>(center),
                static_cast<float>(1 / __builtin_sqrt(variance + static_cast<double>(op.epsilon))));
}

// The sum of each channel so far, and the count behind them.
static void average(const Instruction& op, float* frame, const RowMemory& memory) {
    double* total = reinterpret_cast<double*>(memory.kept(op));
    const double count = total[op.out_channels] += 1;
    for (int c = 0; c < op.out_channels; ++c) {
        total[c] += frame[op.source + c];
        frame[op.target + c] = static_cast<float>(total[c] / count);
    }
}

static void remember(const Instruction& op, const float* frame, const RowMemory& memory) {
    __builtin_memcpy(memory.kept(op), frame + op.source, op.in_channels * sizeof(float));
}

// -------------------------------------------------------------------------------------------------------- dispatch

static void execute_items(const Instruction& op, const Block& block) {
    float* frame = block.frames;
    for (int row = 0; row < block.rows; ++row) {
        const RowMemory& memory = block.memory[row];
        for (int step = 0; step < block.steps; ++step, frame += block.frame_size) {
            switch (op.kind) {
                case POINTWISE: point(op, frame); break;
                case MULTIPLY: multiply_values(op, frame); break;
                case GATE: gate(op, frame); break;
                case MODULATE: modulate(op, frame); break;
                case SCALE: scale(op, frame); break;
                case LAYER_NORM:
                case RMS_NORM: normalize(op, frame); break;
                case CUMULATIVE_NORM: normalize_cumulatively(op, frame, memory); break;
                case RUNNING_MEAN: average(op, frame, memory); break;
                case EMBED:
                    __builtin_memcpy(frame + op.target, op.weight + block.tokens[row][step] * op.out_channels,
                                     op.out_channels * sizeof(float));
                    break;
                case REMEMBER: remember(op, frame, memory); break;
                default: break;
            }
        }
    }
    if (op.kind == POINTWISE || op.kind == SCALE) finish(op, block);
}

static void execute(const Instruction* operations, int count, const Block& block) {
    for (const Instruction* op = operations; op != operations + count; ++op) {
        if (op->kind == CONVOLUTION)
            convolve(*op, block);
        else if (op->kind == DEPTHWISE)
            convolve_depthwise(*op, block);
        else
            execute_items(*op, block);
    }
}
