#include "stream_check.h"

namespace {

void require(bool fits) {
    if (!fits) throw Misfit{};
}

int32_t within(int64_t value, int64_t least, int64_t most) {
    require(value >= least && value <= most);
    return static_cast<int32_t>(value);
}

// The place of a value of so many channels.
int32_t place(int64_t offset, int64_t channels, const Interface& interface) {
    return within(offset, 0, interface.frame_size - channels);
}

bool has_epilogue(int64_t kind) {
    return kind == CONVOLUTION || kind == DEPTHWISE || kind == POINTWISE || kind == SCALE;
}

bool convolves(int64_t kind) { return kind == CONVOLUTION || kind == DEPTHWISE; }

Activation checked_activation(const GivenActivation& given) {
    const int32_t function = within(given.function, IDENTITY, FAST_TANH);
    return {static_cast<Function>(function), {given.parameters[0], given.parameters[1], given.parameters[2]}};
}

// How many weights the sizes ask for; 0 where there are none.
int64_t weights_of(const Instruction& op) {
    const int64_t outputs = op.out_channels;
    switch (op.kind) {
        case CONVOLUTION:
        case DEPTHWISE: return outputs * (op.in_channels / op.groups) * op.kernel_size;
        case EMBED: return outputs * op.in_channels;
        case SCALE:
        case LAYER_NORM:
        case RMS_NORM:
        case CUMULATIVE_NORM: return outputs;
        default: return 0;
    }
}

void check_weights(const Operation& given, const Instruction& op) {
    int64_t most;  // three numbers up to 2^30 may be too much for 64 bits
    require(!__builtin_mul_overflow(int64_t{op.in_channels} * op.out_channels, int64_t{op.kernel_size}, &most));
    const int64_t weights = weights_of(op);
    require(given.weights == weights && (given.weight != nullptr) == (weights > 0));
    const bool biased = convolves(op.kind) || op.kind == SCALE || op.kind == LAYER_NORM || op.kind == CUMULATIVE_NORM;
    require(given.bias ? biased && given.biases == op.out_channels : given.biases == 0);
}

void check_convolution(const Operation& given, Instruction& op) {
    op.kernel_size = within(given.kernel_size, 1, LARGEST_KERNEL);
    op.shift = within(given.shift, 0, 1);
    op.groups = within(given.groups, 1, LARGEST);
    require(given.dilation >= 1);
    // With one tap there is nothing between taps, however large the dilation.
    op.dilation = op.kernel_size == 1 ? 1 : within(given.dilation, 1, (LARGEST - BLOCK_STEPS - 1) / (op.kernel_size - 1));
    require(op.in_channels % op.groups == 0 && op.out_channels % op.groups == 0);
    require(op.kind != DEPTHWISE || (op.groups == op.in_channels && op.groups == op.out_channels));
}

void check_places(const Operation& given, const Interface& interface, Instruction& op) {
    if (op.kind != EMBED) op.source = place(given.source, op.in_channels, interface);
    if (op.kind != REMEMBER) op.target = place(given.target, op.out_channels, interface);
    const bool needed = op.kind == MULTIPLY || op.kind == MODULATE;
    if (needed || (has_epilogue(op.kind) && given.other != -1))
        op.other = place(given.other, (op.kind == MODULATE ? 2 : 1) * op.out_channels, interface);
    else
        require(given.other == -1);
}

}  // namespace

Instruction checked(const Operation& given, const Interface& interface) {
    Instruction op{};
    op.kind = static_cast<Kind>(within(given.kind, CONVOLUTION, REMEMBER));
    op.source = op.other = op.target = -1;
    op.in_channels = within(given.in_channels, 1, LARGEST);
    op.out_channels = within(given.out_channels, 1, LARGEST);
    op.kernel_size = op.dilation = op.groups = 1;
    op.epsilon = given.epsilon;
    op.activation = checked_activation(given.activation);
    op.after = checked_activation(given.after);
    op.weight = given.weight;
    op.bias = given.bias;
    if (convolves(op.kind))
        check_convolution(given, op);
    else if (op.kind == EMBED)
        require(interface.vocabulary == op.in_channels);
    else
        require(op.in_channels == (op.kind == GATE ? 2 : 1) * int64_t{op.out_channels});
    check_places(given, interface, op);
    check_weights(given, op);
    return op;
}

void check_interface(const Interface& interface) {
    within(interface.frame_size, 1, LARGEST);
    within(interface.vocabulary, 0, LARGEST);
    within(interface.out_channels, 1, LARGEST);
    place(interface.output, interface.out_channels, interface);
    within(interface.in_channels, 1, LARGEST);  // of tokens too: a push counts with them
    if (!interface.vocabulary) place(interface.input, interface.in_channels, interface);
    if (within(interface.condition_channels, 0, LARGEST))
        place(interface.condition, interface.condition_channels, interface);
}
