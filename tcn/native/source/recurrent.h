// Recurrent layers over the steps of a sequence: what tcn/native/recurrent.py hands to recurrent.cpp.

#pragma once

#include <cstdint>

enum Cell { LSTM = 0, GRU = 1, RNN = 2 };

// Columns of the packed weights that stand together, a multiple of every register.
constexpr int64_t PANEL = 48;

// A piece of a sequence, time before batch. `row` counts the floats of one step of one row of the batch:
//
//            row   slots                                 those with recurrent weights
//   LSTM      4H   input, forget, cell, output           all
//   GRU       4H   new (input), reset, update,           all but the first
//                  new (recurrent)
//   RNN        H   the state itself                      all
//
// The recurrent weights come as panels of PANEL columns, each (rows of the product's left side, PANEL), zeros behind
// the last column. A step whose mask is 0 leaves its row of the state as it was.
struct Piece {
    int64_t cell;
    int64_t steps;
    int64_t batch;
    int64_t hidden;
    const float* weight;
    const uint8_t* mask;  // (steps, batch), or null: no step is masked
    const float* state;   // (batch, hidden), before the first step
    const float* memory;  // the same of an LSTM's cell
    float* gates;         // (steps, batch, row): the share of the inputs, then the activations; backward only read
    float* states;        // (steps, batch, hidden), after each step; of an RNN they may take the place of the gates
    float* memories;      // the same of an LSTM's cell
};

struct Gradients {
    const float* states;  // (steps, batch, hidden), of the states after each step
    float* gates;         // (steps, batch, row), before the activations
    float* state;         // (batch, hidden): of the state after the last step in, of that before the first one out
    float* memory;        // the same of an LSTM's cell
};
