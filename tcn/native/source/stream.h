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
// Of a net whose weights exceed the second-level cache, each single step would read all of them anew. There a dilated
// convolution adds up the products of the past taps for several steps *ahead* at once: with dilation d, the next d
// steps' past is known already. Each of these steps then adds the product of the present alone:
//
//      step            0                1     2     3     4                ...      dilation 4, kernel size 2
//      weights read    past, present    present ...       past, present
//      sums ahead      4 -> 3           2     1     0     4 -> 3

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
};

struct Activation {
    Function function;
    float parameters[3];
};

// As it is handed over by tcn/native/stream.py; places are offsets in the frame, -1 if there is none.
struct Operation {
    Kind kind;
    int32_t source;
    int32_t other;
    int32_t target;
    int32_t in_channels;
    int32_t out_channels;
    int32_t kernel_size;
    int32_t dilation;
    int32_t shift;  // 1 if the present is excluded
    int32_t groups;
    float epsilon;
    // The epilogue of CONVOLUTION, DEPTHWISE, POINTWISE and SCALE: after(activation(value) + other).
    Activation activation;
    Activation after;
    const float* weight;
    const float* bias;
};

// An operation with its weights packed and its place in the rows' memory.
struct Instruction : Operation {
    int32_t capacity;  // positions in the ring; 0 if there is none
    int32_t head;      // index into the table of heads
    size_t memory;     // offset in bytes, times the rows that lie together
    size_t kept_size;  // in bytes, of what is no ring
    int32_t ahead;     // steps for which past taps are added up at once; 0 if they are not
    int32_t left;      // index into the table of heads: of the sums ahead, how many are still to be used
    size_t sums;       // offset of the sums ahead as of `memory`
};

// Where what is remembered of a row lies.
struct RowMemory {
    std::byte* shared;  // by `rows` rows, of which this is number `row`
    int rows;
    int row;
    int side_by_side = 1;  // of the rows of a block from this one on

    // The position in the ring that is written next.
    int32_t& head(const Instruction& op) const {
        return reinterpret_cast<int32_t*>(shared)[op.head * rows + row];
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
