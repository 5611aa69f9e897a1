// A program: operations in the kernels' form, their weights packed in one block in the order they are read.

#pragma once

#include <memory>
#include <vector>

#include "planar.h"
#include "stream.h"
#include "stream_check.h"
#include "stream_memory.h"

struct Program {
    // Throws Misfit for operations that do not fit, std::bad_alloc where there is no memory for the weights.
    Program(const Operation* operations, int64_t count, const Interface& interface);

    Interface places;
    size_t frame_size;    // in floats
    int32_t taps = 1;     // the most of any convolution
    size_t row_size = 0;  // in bytes, what is remembered of a row
    double work = 0;      // multiplications per item
    std::vector<Instruction> instructions;
    std::unique_ptr<Memory> weights;
    std::unique_ptr<PlanarProgram> planar;  // null where that is not worth while
    std::shared_ptr<const Program> self;  // held from outside until the program is deleted; by rows for themselves

private:
    void check(const Operation* operations, int64_t count);
    void pack();
};

// What the two share: a product of sizes of the machine's memory is checked, see stream_memory.h.
inline int panels(int channels) { return (channels + PANEL - 1) / PANEL; }
