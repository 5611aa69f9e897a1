// What the kernels of the convolution are told about their work: plain data, the same for every instruction set.

#pragma once

#include <cstdint>

// x (batch, in_channels, in_steps) and weight (out_channels, in_channels, kernel_size) to
// y (batch, out_channels, out_steps), where y[t] sees x[t * stride + k * dilation - left_zeros].
struct Shape {
    int64_t batch, in_channels, out_channels, kernel_size, in_steps, out_steps, dilation, stride, left_zeros;
};

// Rows are a copy of one example with MARGIN zeros before and after every channel, so that a vector may hang over
// either end. With a stride there are as many copies: every stride-th step from step 0 on, from step 1 on, ... (the
// "phases"). In its phase each tap reads neighboring steps, and a strided convolution is like any other.
constexpr int64_t MARGIN = 48;

// Short sequences lie side by side in a row, `pitch` steps apart: no tap reaches from one into the next.
//
//   | margin | example 0 | zeros | example 1 | zeros | example 2 | zeros | margin |
struct Layout {
    int64_t together, pitch;  // examples in a row; if it is one alone, there is no pitch

    int64_t steps(int64_t of_one) const { return together == 1 ? of_one : together * pitch; }
};

// The examples of a row: `count` steps of each, one example every `stride` floats.
struct Examples {
    int64_t number, count, stride;
};

// Where an output stands: of `steps` in each channel.
struct Place {
    int64_t channels, steps, example, channel, step;
};

// One tap of the kernel: output t reads step t + shift of a phase that has `length` steps.
struct Tap {
    int64_t phase, shift, length, index;
};

// One convolution from rows: a forward pass, or the gradient of one phase of the input.
struct Pass {
    int64_t in_channels, out_channels;
    int64_t taps;
    const Tap* tap;          // the shifts ascend
    const float* weight;     // packed, see pack()
    int64_t row;             // floats from one row to the next
    int64_t steps;           // outputs per channel
    int64_t out_row;         // floats from one channel of the output to the next
};

// Which values are dropped: those whose random number is below a limit.
struct Dropping {
    int64_t below;  // of 2^31 equally likely numbers; 0: no dropout
    float scale;    // of what is not dropped
    uint64_t seed;

    bool fits() const { return 0 <= below && below <= INT32_MAX; }
};

// What is done to an output before it is stored: relu(convolution + bias), dropout, relu(that + shortcut).
struct Finish {
    const float* bias;            // null: none
    int64_t relu;
    const float* shortcut;        // null: none
    int64_t shortcut_strides[3];  // floats per example, channel and step
    Dropping dropping;
    // One bit per value in front of the shortcut, whether ReLU and dropout let it pass: the sum does not show it where
    // it rounds the value away. (batch, out_channels, bytes of out_steps bits), the first step the lowest bit of its
    // byte, zeros behind the last one; written going forward, read going backward. Null: nobody will ask.
    uint8_t* kept;
};

constexpr int64_t kept_bytes(int64_t steps) { return (steps + 7) >> 3; }

// Rows of several examples, or groups of those side by side, one behind the other: for the weight gradient.
struct Block {
    const float *x, *gradient;                // rows
    int64_t groups, x_group, gradient_group;  // floats from one group to the next
    int64_t x_row, gradient_row;
    int64_t first_step, last_step;                  // of the gradient
};
