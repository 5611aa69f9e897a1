// A push: rows through the program, chunk by chunk.

#pragma once

#include "stream_rows.h"

struct Push {
    const void* x;  // (rows, in_channels, time) float, or (rows, time) int64 tokens
    const float* condition;  // (rows, condition_channels, condition_time)
    int64_t condition_time;  // 1 if it is that of every step
    const int64_t* index;    // the rows that advance; null: all of them
    int64_t rows;
    int64_t time;
    float* y;  // (rows, out_channels, time)
};

// Whether the program can take it, as far as numbers say.
Refusal check_push(const Rows& rows, const Push& push);

// Whether every value is neither NaN nor infinite.
bool all_finite(const float* values, size_t count);

// How many threads so many rows and steps are worth, at most `threads`.
int threads_worth(const Rows& rows, int64_t count, int64_t time, int threads);

// Throws std::bad_alloc where there is no memory for a thread's values, before anything has advanced.
void advance_all(Rows& rows, const Push& push, int most_threads);
