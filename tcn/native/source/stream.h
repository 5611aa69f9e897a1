// A causal net as a list of operations, and the state of the rows that stream through it.
//
// An *item* is one time step of one row. Each item has a *frame*: the values that the operations read and write, one
// after the other, `frame_size` floats. A block of items passes through the first operation, then all of it through
// the second, and so on, so that weights are read once per block:
//
//      row 0 step 0   [ input | value | value | ... | output ]
//      row 0 step 1   [ input | value | value | ... | output ]       operation by operation, all items each
//      row 1 step 0   [ input | value | value | ... | output ]
//
// What an operation remembers of a row is a *ring* (the latest inputs of a convolution), sums or values. Up to
// ROWS_TOGETHER rows share a piece of memory, in which what one operation remembers of them lies side by side: rows
// that advance together then find their inputs on the same cache lines (a quarter less time with 64 rows).
//
//      ring        position 0: row 0, row 1, ... row 63     each of them in_channels floats
//                  position 1: row 0, row 1, ... row 63
//                  ...
//
// Of a net of few channels, a row that is pushed many steps at once has its rings in another form, see planar.h.
//
// Of a net whose weights exceed the second-level cache, each single step would read all of them anew. There a dilated
// convolution adds up the products of the past taps for several steps *ahead* at once: with dilation d, the next d
// steps' past is known already. Each of these steps then adds the product of the present alone:
//
//      step            0                1     2     3     4                ...      dilation 4, kernel size 2
//      weights read    past, present    present ...       past, present
//      sums ahead      4 -> 3           2     1     0     4 -> 3

// Where all weights of such a net's convolution are numbers of bfloat16, the upper half of a float, they are kept with
// 16 bits: nothing is rounded, and half as much is read. In one word lie those of two panels:
//
//      word            upper half: panel 0, output 3    lower half: panel 1, output 3

#pragma once

#include <cstddef>
#include <cstdint>

// Outputs are computed in panels of this many channels, whatever the vector length: one cache line.
constexpr int PANEL = 16;
// Steps of a row that are computed at a time; rings hold that much more than the convolution's context.
constexpr int BLOCK_STEPS = 16;
// Items at a time: enough to reuse weights, few enough for their frames to stay in cache.
constexpr int BLOCK_ITEMS = 64;
// Steps for which past taps are added up ahead, at most: what a tile of the widest vectors holds.
constexpr int STEPS_AHEAD = 8;
// Rows that share a piece of memory, at most.
constexpr int ROWS_TOGETHER = BLOCK_ITEMS;

enum Kind : int32_t {
    CONVOLUTION,
    DEPTHWISE,        // as many groups as channels
    POINTWISE,        // nothing but the epilogue
    MULTIPLY,         // source * other
    GATE,             // activation(first half) * sigmoid(second half)
    MODULATE,         // source * (1 + first half of other) + second half of other
    SCALE,            // source * weight + bias
    LAYER_NORM,       // over the channels of the item
    RMS_NORM,         // likewise, without subtracting the mean
    CUMULATIVE_NORM,  // over the channels of all items of the row so far
    RUNNING_MEAN,     // of each channel over all items of the row so far
    EMBED,            // a line of a table, chosen by the item's token
    REMEMBER,         // keeps the row's latest value in its state
};

enum Function : int32_t {
    IDENTITY,
    RELU,
    LEAKY_RELU,  // slope
    ELU,         // scale, alpha, rate: scale * (x or alpha * (e^(rate x) - 1))
    GELU,
    SILU,
    MISH,
    TANH,
    SIGMOID,
    SOFTSIGN,
    CLAMP,         // low, high
    HARD_SIGMOID,
    HARD_SWISH,
    FAST_TANH,
};

struct Activation {
    Function function;
    float parameters[3];
};

// As tcn/native/stream.py hands it over. Whole numbers are 64 bits wide, so that none can wrap on the way; each is
// checked before it is made narrower (stream_check.h).
struct GivenActivation {
    int64_t function;
    float parameters[3];
};

// Likewise. Places are offsets in the frame, in floats, -1 if there is none.
struct Operation {
    int64_t kind;
    int64_t source;
    int64_t other;
    int64_t target;
    int64_t in_channels;
    int64_t out_channels;
    int64_t kernel_size;
    int64_t dilation;
    int64_t shift;  // 1 if the present is excluded
    int64_t groups;
    float epsilon;
    // The epilogue of CONVOLUTION, DEPTHWISE, POINTWISE and SCALE: after(activation(value) + other).
    GivenActivation activation;
    GivenActivation after;
    const float* weight;
    int64_t weights;  // how many there are
    const float* bias;
    int64_t biases;
};

// Likewise: what a program reads and returns.
struct Interface {
    int64_t frame_size;
    int64_t input;
    int64_t in_channels;
    int64_t output;
    int64_t out_channels;
    int64_t condition;
    int64_t condition_channels;  // 0 if the net is not conditioned
    int64_t vocabulary;          // 0 if the input is not tokens
    int64_t ahead;               // whether past taps are added up ahead
};

// Why something was refused; nothing has happened then. The order is that of tcn/native/stream.py.
enum Refusal : int {
    NONE,
    ROW_OUT_OF_RANGE,
    ROW_TWICE,
    TOKEN_OUT_OF_RANGE,
    NO_MEMORY,
    MISFIT,      // an argument that does not fit the program
    IN_USE,      // by another thread
    NOT_FINITE,  // NaN or infinity where there must be none
};

// An operation that has been checked, with its weights packed and its place in the rows' memory.
struct Instruction {
    Kind kind;
    int32_t source;
    int32_t other;
    int32_t target;
    int32_t in_channels;
    int32_t out_channels;
    int32_t kernel_size;
    int32_t dilation;
    int32_t shift;
    int32_t groups;
    float epsilon;
    Activation activation;
    Activation after;
    const float* weight;
    const float* bias;
    int32_t capacity;  // positions in the ring; 0 if there is none
    int32_t head;      // index into the table of heads, behind which stands whether the ring has been filled
    size_t memory;     // offset in bytes, times the rows that lie together
    size_t kept_size;  // in bytes, of what is no ring
    int32_t ahead;     // steps for which past taps are added up at once; 0 if they are not
    int32_t left;      // index into the table of heads: of the sums ahead, how many are still to be used
    size_t sums;       // offset of the sums ahead as of `memory`
    bool half;         // whether the weights are kept with 16 bits each
};

// How far it is, in floats, from the weights of one group, panel of outputs or tap, (in / groups, PANEL), to the next.
// Of weights with 16 bits, two panels lie in the place of one.
struct PanelStrides {
    size_t group;
    size_t panel;
    size_t tap;
};

// In the order in which a step reads them: all taps of a panel; where past taps are added up ahead, all panels of the
// present tap.
inline PanelStrides panel_strides(const Instruction& op) {
    const size_t size = static_cast<size_t>(op.in_channels / op.groups) * PANEL, taps = op.kernel_size;
    const size_t panels = (op.out_channels / op.groups + PANEL - 1) / PANEL / (op.half ? 2 : 1);
    if (op.ahead) return {taps * panels * size, size, panels * size};
    return {taps * panels * size, taps * size, size};
}

// Where what is remembered of a row lies.
struct RowMemory {
    std::byte* shared;  // by `rows` rows, of which this is number `row`
    int rows;
    int row;
    int side_by_side;  // of the rows of a block from this one on

    // The position in the ring that is written next.
    int32_t& head(const Instruction& op) const {
        return reinterpret_cast<int32_t*>(shared)[op.head * rows + row];
    }
    // Whether every position may hold something: before that, those from the head on are zeros.
    int32_t& filled(const Instruction& op) const {
        return reinterpret_cast<int32_t*>(shared)[(op.head + 1) * rows + row];
    }
    float* ring(const Instruction& op) const {
        return reinterpret_cast<float*>(shared + op.memory * rows) + static_cast<size_t>(row) * op.in_channels;
    }
    // From one position of the ring to the next, in floats.
    size_t stride(const Instruction& op) const { return static_cast<size_t>(rows) * op.in_channels; }

    // The sums ahead: `ahead` times all panels of outputs.
    int32_t& left(const Instruction& op) const {
        return reinterpret_cast<int32_t*>(shared)[op.left * rows + row];
    }
    float* sums(const Instruction& op) const {
        return reinterpret_cast<float*>(shared + op.sums * rows) + row * sums_size(op);
    }
    static size_t sums_size(const Instruction& op) {
        return static_cast<size_t>(op.ahead) * ((op.out_channels + PANEL - 1) / PANEL * PANEL);
    }

    std::byte* kept(const Instruction& op) const { return shared + op.memory * rows + row * op.kept_size; }
};

// Some items on their way through the operations.
struct Block {
    int rows;
    int steps;
    int64_t pushed_rows;  // of all blocks that are computed at once, by whatever number of threads
    const RowMemory* memory;      // of each row
    float* frames;                // (rows, steps, frame_size)
    size_t frame_size;
    const int64_t* const* tokens;  // of each row, from the block's first step on
    const float** inputs;          // room for a pointer per tap and item
};
