// Operations as they come from outside: what is checked of them before a pointer is followed or a number made narrower.

#pragma once

#include <cstdint>

#include "stream.h"

// Thrown where an operation or the interface does not fit; the C interface makes a Refusal of it.
struct Misfit {};

// Sizes up to this and their sums fit into 32 bits with a sign, which the kernels count in.
constexpr int64_t LARGEST = int64_t{1} << 30;
// The inputs under the taps are listed for BLOCK_ITEMS items at once.
constexpr int64_t LARGEST_KERNEL = LARGEST / BLOCK_ITEMS;

// The operation in the kernels' own numbers; its weights are still those handed over.
//
// Throws Misfit if a number is out of range, a value lies outside of the frame, or there are more or fewer weights than
// the sizes say.
Instruction checked(const Operation& given, const Interface& interface);

// Throws Misfit if what a program reads and returns lies outside of the frame.
void check_interface(const Interface& interface);

// How many steps before the present a convolution sees.
inline int context_of(const Instruction& op) {
    const bool remembers = op.kind == CONVOLUTION || op.kind == DEPTHWISE;
    return remembers ? (op.kernel_size - 1) * op.dilation + op.shift : 0;
}
