// The rows of a program in planar form: which of them are, and how they come from one form to the other.

#pragma once

#include <vector>

#include "planar.h"

struct Rows;

// Short pushes after a long one for which a row stays planar: coming from one form to the other takes as long as some
// pushes.
constexpr uint8_t PATIENCE = 8;

// What is remembered of rows in planar form.
struct PlanarRows {
    PlanarRows(const PlanarProgram& program, int64_t count)
        : row_size(program.row_size),
          memory(checked_product(checked_product(count, row_size), sizeof(float))),
          patience(count, 0) {}

    PlanarMemory row(int64_t index) const { return {memory.floats() + index * row_size}; }
    // Whether the row is planar now.
    bool has(int64_t index) const { return patience[index] > 0; }
    void enter(int64_t index) { patience[index] = PATIENCE; }
    void leave(int64_t index) { patience[index] = 0; }

    const size_t row_size;  // in floats
    const Memory memory;
    std::vector<uint8_t> patience;  // short pushes after which a row is planar no more; 0 if it is not
};

// Throws std::bad_alloc where there is no memory for rows in planar form.
void need_planar(Rows& rows);

// Brings rows, of which there are planar ones, into one form or the other.
void make_planar(Rows& rows, int64_t index);
void make_interleaved(Rows& rows, int64_t index);

// The value that each channel of each ring has had at every step that is remembered; none if one has had several.
std::vector<float> levels_of(const Rows& rows, int64_t index);

// Makes these the past of a row.
void fill_levels(const Rows& rows, int64_t index, const float* levels);

// Copies the latest inputs of a convolution, (in_channels, context), to or from a row that is planar.
void exchange_planar(const Rows& rows, int64_t operation, int64_t index, float* data, bool into_row);
