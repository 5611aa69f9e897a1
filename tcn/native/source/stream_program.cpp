#include "stream_program.h"

namespace {

uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

// Whether every weight of a convolution is a number of bfloat16, and its panels come in pairs.
bool fits_half(const Instruction& op) {
    if (op.kind != CONVOLUTION || op.groups > 1 || panels(op.out_channels) % 2) return false;
    const size_t count = size_t{1} * op.out_channels * op.in_channels * op.kernel_size;
    return std::all_of(op.weight, op.weight + count, [](float weight) { return !(bits_of(weight) & 0xffffu); });
}

// In floats; the weights exist, so that only what fills up the panels can make this exceed 64 bits.
size_t weight_size(const Instruction& op) {
    const size_t taps = op.kernel_size, group = op.in_channels / op.groups;
    const size_t width = size_t{1} * panels(op.out_channels) * PANEL;
    switch (op.kind) {
        case CONVOLUTION: {
            const size_t outputs = checked_product(op.groups, size_t{1} * panels(op.out_channels / op.groups) * PANEL);
            return checked_product(checked_product(outputs, taps), group) / (op.half ? 2 : 1);
        }
        case DEPTHWISE: return checked_product(taps, width);
        case EMBED: return round_up(checked_product(op.in_channels, op.out_channels), PANEL);
        default: return op.weight ? width : 0;
    }
}

// Groups whose panels are kept apart; a depthwise convolution's channels stand side by side.
int groups_of(const Instruction& op) { return op.kind == CONVOLUTION ? op.groups : 1; }

size_t bias_size(const Instruction& op) {
    return checked_product(groups_of(op), size_t{1} * panels(op.out_channels / groups_of(op)) * PANEL);
}

// (out, in / groups, taps) to panels of outputs, (in / groups, PANEL) of each group, panel and tap, in the order in which
// a step reads them; what fills up the last panel is 0.
void pack_convolution(const Instruction& op, float* to) {
    const int group_in = op.in_channels / op.groups, group_out = op.out_channels / op.groups;
    const PanelStrides strides = panel_strides(op);
    for (int group = 0; group < op.groups; ++group)
        for (int out = 0; out < group_out; ++out)
            for (int tap = 0; tap < op.kernel_size; ++tap) {
                const size_t filter = static_cast<size_t>(group) * group_out + out;
                float* panel = to + group * strides.group + out / PANEL * strides.panel + tap * strides.tap;
                for (int in = 0; in < group_in; ++in)
                    panel[in * PANEL + out % PANEL] = op.weight[(filter * group_in + in) * op.kernel_size + tap];
            }
}

// The same with two panels in each word.
void pack_half(const Instruction& op, float* to) {
    const PanelStrides strides = panel_strides(op);
    uint32_t* words = reinterpret_cast<uint32_t*>(to);
    for (int out = 0; out < op.out_channels; ++out)
        for (int tap = 0; tap < op.kernel_size; ++tap) {
            const bool upper = out / PANEL % 2 == 0;
            uint32_t* panel = words + out / PANEL / 2 * strides.panel + tap * strides.tap;
            for (int in = 0; in < op.in_channels; ++in) {
                const float weight = op.weight[(size_t{1} * out * op.in_channels + in) * op.kernel_size + tap];
                const uint32_t kept = bits_of(weight);
                panel[in * PANEL + out % PANEL] |= upper ? kept : kept >> 16;
            }
        }
}

void pack_weight(const Instruction& op, float* to) {
    if (op.half) {
        pack_half(op, to);
    } else if (op.kind == CONVOLUTION) {
        pack_convolution(op, to);
    } else if (op.kind == DEPTHWISE) {
        const size_t width = size_t{1} * panels(op.out_channels) * PANEL;
        for (size_t c = 0; c < static_cast<size_t>(op.out_channels); ++c)
            for (int tap = 0; tap < op.kernel_size; ++tap) to[tap * width + c] = op.weight[c * op.kernel_size + tap];
    } else {
        const size_t count = static_cast<size_t>(op.kind == EMBED ? op.in_channels : 1) * op.out_channels;
        std::memcpy(to, op.weight, count * sizeof(float));
    }
}

void pack_bias(const Instruction& op, float* to) {
    if (!op.bias) return;
    const int group_out = op.out_channels / groups_of(op);
    for (int group = 0; group < groups_of(op); ++group)
        std::memcpy(to + size_t{1} * group * panels(group_out) * PANEL, op.bias + size_t{1} * group * group_out,
                    group_out * sizeof(float));
}

// Bytes that an operation remembers of a row, rings aside.
size_t kept_size(const Instruction& op) {
    switch (op.kind) {
        case CUMULATIVE_NORM: return 3 * sizeof(double);
        case RUNNING_MEAN: return (op.out_channels + size_t{1}) * sizeof(double);
        case REMEMBER: return op.in_channels * sizeof(float);
        default: return 0;
    }
}

// For how many steps past taps are added up ahead: as many as are known, if they are more than one.
int steps_ahead(const Instruction& op) {
    const bool possible = op.kind == CONVOLUTION && op.kernel_size > 1 && op.groups == 1 && op.shift == 0;
    return possible && op.dilation > 1 ? std::min(op.dilation, STEPS_AHEAD) : 0;
}

}  // namespace

Program::Program(const Operation* operations, int64_t count, const Interface& interface) : places(interface) {
    check(operations, count);
    pack();
    if (PlanarProgram::suits(instructions, places)) planar = std::make_unique<PlanarProgram>(instructions, places);
}

// Everything in its place, before anything is read from where the weights are.
void Program::check(const Operation* operations, int64_t count) {
    check_interface(places);
    frame_size = odd_lines(places.frame_size * sizeof(float) + SLACK) / sizeof(float);
    instructions.reserve(checked_product(count, sizeof(Instruction)) / sizeof(Instruction));
    int heads = 0;
    for (int64_t i = 0; i < count; ++i) {
        Instruction op = checked(operations[i], places);
        const int context = context_of(op);
        if (op.kind == DEPTHWISE || context) {
            op.capacity = context + BLOCK_STEPS;
            op.head = heads;
            heads += 2;
        }
        op.ahead = places.ahead ? steps_ahead(op) : 0;
        op.half = places.ahead && fits_half(op);
        if (op.ahead) op.left = heads++;
        op.kept_size = kept_size(op);
        taps = std::max(taps, op.kernel_size);
        instructions.push_back(op);
    }
    row_size = round_up(heads * sizeof(int32_t), LINE);
    for (Instruction& op : instructions) {
        const size_t ring = checked_product(checked_product(sizeof(float), op.capacity), op.in_channels);
        op.memory = row_size;
        row_size = checked_sum(row_size, round_up(checked_sum(op.kept_size, ring), LINE));
        op.sums = row_size;
        row_size = checked_sum(row_size, round_up(sizeof(float) * RowMemory::sums_size(op), LINE));
    }
}

void Program::pack() {
    size_t floats = 0;
    for (const Instruction& op : instructions) {
        const size_t size = weight_size(op);
        work += op.kind == EMBED ? 0 : static_cast<double>(size) * (op.half ? 2 : 1);
        floats = checked_sum(floats, checked_sum(size, bias_size(op)));
    }
    weights = std::make_unique<Memory>(checked_product(floats, sizeof(float)));
    float* to = weights->floats();
    for (Instruction& op : instructions) {
        const size_t size = weight_size(op), biases = bias_size(op);
        if (op.weight) pack_weight(op, to);
        op.weight = to;
        to += size;
        pack_bias(op, to);
        op.bias = to;
        to += biases;
    }
}
