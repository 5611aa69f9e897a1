// The planar form of a program: for chunks of many steps, above all where there are few channels.
//
// stream_kernels.h computes channels side by side in a vector, which leaves lanes empty where there are fewer of them.
// Here the steps of a channel lie side by side, and no lane is empty whatever the number of channels:
//
//      value       channel 0: step 0, step 1, ... step 63       one row, so many steps at a time
//                  channel 1: step 0, step 1, ... step 63
//                  ...
//
// The past of a row is planar too. A ring has a line per channel, whose first PLANAR_STEPS steps stand once more behind
// its end, so that as many steps can be read from any position on:
//
//      line        0 1 2 ... 63 64 65 ... capacity - 1 | 0 1 2 ... 63
//
// A row's rings are in one form or the other at a time (planar_rows.h); what else is remembered is common to both.

#pragma once

#include <memory>
#include <vector>

#include "stream.h"
#include "stream_memory.h"

// Steps of a row at a time: enough to reuse weights, few enough for all values to stay in the first-level cache.
constexpr int PLANAR_STEPS = 64;
// The widest vector: a block is computed in whole vectors, the last of which may reach beyond the block's last step.
constexpr int PLANAR_LANES = 16;
// Outputs that are computed together, at most: with as many vectors of steps they fill the registers.
constexpr int PLANAR_OUTPUTS = 4;
// Products that are added up in an output, and weights of a program, at most. With more, channels fill the lanes.
constexpr int64_t PLANAR_TERMS = 4096;
constexpr double PLANAR_WEIGHTS = 1 << 18;
// Floats in a row's rings, at most: unlike those of the other form they are there from the beginning.
constexpr double PLANAR_MEMORY = 1 << 20;
// Values of a step, at most: with more, a block of them would leave the second-level cache.
constexpr int64_t PLANAR_FRAME = 1 << 13;

// An instruction of which, if it is a convolution, the weights are packed anew.
struct PlanarInstruction {
    Instruction op;
    int32_t inputs;          // of a group
    int32_t outputs;         // of a group
    const float* weight;     // per group and at most PLANAR_OUTPUTS of its outputs: biases, then (terms, outputs)
    const int32_t* places;   // per group and tap, the lines of its inputs, behind the ring's or source's first
    int32_t added_source;    // what a convolution over the present alone reads that is added to this one; 0 if none is
    int32_t added_channels;
    int32_t capacity;        // positions in the ring, without those that stand once more; 0 if there is none
    int32_t head;            // index into the table of heads
    size_t line;             // from one channel's line to the next, in floats
    size_t ring;             // offset of the ring in the row's memory, in floats
};

struct PlanarProgram {
    // Of a program's instructions, whose weights have been packed.
    PlanarProgram(const std::vector<Instruction>& instructions, const Interface& places);

    // Whether it is worth while, and every size is within bounds.
    static bool suits(const std::vector<Instruction>& instructions, const Interface& places);

    std::vector<PlanarInstruction> instructions;
    std::vector<int32_t> numbers;  // of each given instruction that has a ring, where it is in `instructions`
    bool narrow = true;  // whether no convolution fills the lanes with its outputs
    int32_t most_places = 1;  // of an instruction
    size_t row_size = 0;     // in floats
    std::unique_ptr<Memory> weights;

private:
    void place_rings();
    void list_places();

    std::vector<int32_t> places_;
};

// The rings of one row.
struct PlanarMemory {
    float* floats;

    // The position in the ring that is written next.
    int32_t& head(const PlanarInstruction& p) const { return reinterpret_cast<int32_t*>(floats)[p.head]; }
    float* ring(const PlanarInstruction& p) const { return floats + p.ring; }
};

// Some steps of a row on their way through the instructions.
struct PlanarBlock {
    int steps;
    int width;            // those computed: whole vectors
    float* frame;         // (frame_size, PLANAR_STEPS)
    int32_t* places;      // room for the places of a convolution's input lines
    PlanarMemory memory;
    RowMemory kept;         // what is remembered besides the rings
    const int64_t* tokens;  // from the block's first step on
};
