#include "planar_push.h"

#include "denormals.h"
#include "instruction_set.h"

#define KERNELS "planar_kernels.h"
#include "for_each_instruction_set.h"

namespace {

void put_in(const float* x, int channels, int64_t time, int64_t start, int steps, float* to) {
    for (int c = 0; c < channels; ++c, x += time, to += PLANAR_STEPS)
        std::memcpy(to, x + start, steps * sizeof(float));
}

// A condition that is the same at every step.
void repeat(const float* condition, int channels, float* to) {
    for (int c = 0; c < channels; ++c, to += PLANAR_STEPS) std::fill(to, to + PLANAR_STEPS, condition[c]);
}

void advance_row(const Rows& rows, const Push& push, int64_t number, const Workspace& workspace) {
    const Program& program = rows.program;
    const Interface& places = program.places;
    const int64_t row = row_at(push.index, number);
    float* frame = workspace.planes->floats();
    const auto plane = [frame](int64_t place) { return frame + place * PLANAR_STEPS; };
    const float* x =
        places.vocabulary ? nullptr : static_cast<const float*>(push.x) + number * places.in_channels * push.time;
    const int64_t* tokens = places.vocabulary ? static_cast<const int64_t*>(push.x) + number * push.time : nullptr;
    const float* condition = push.condition + number * places.condition_channels * push.condition_time;
    float* y = push.y + number * places.out_channels * push.time;
    for (int64_t start = 0; start < push.time; start += PLANAR_STEPS) {
        const int steps = static_cast<int>(std::min<int64_t>(PLANAR_STEPS, push.time - start));
        if (x) put_in(x, places.in_channels, push.time, start, steps, plane(places.input));
        if (places.condition_channels && push.condition_time == 1)
            repeat(condition, places.condition_channels, plane(places.condition));
        else if (places.condition_channels)
            put_in(condition, places.condition_channels, push.time, start, steps, plane(places.condition));
        const PlanarBlock block{steps,           0,
                                frame,           reinterpret_cast<int32_t*>(workspace.places->bytes()),
                                rows.planar->row(row), rows.row(row),
                                tokens ? tokens + start : nullptr};
        DISPATCH(execute_planar, program.planar->instructions.data(),
                 static_cast<int>(program.planar->instructions.size()), block);
        const float* from = plane(places.output);
        for (int c = 0; c < places.out_channels; ++c, from += PLANAR_STEPS)
            std::memcpy(y + c * push.time + start, from, steps * sizeof(float));
    }
}

// Steps of a push from which on the planar form is faster (measured). Where channels fill the lanes too it saves memory
// accesses at the most, and costs more of them where the rows' rings do not stay in the cache.
int64_t shortest(const PlanarProgram& program, const Push& push) {
    if (program.narrow) return push.rows == 1 ? 8 : 16;
    return push.rows == 1 ? PLANAR_STEPS : INT64_MAX;
}

// Whether all rows of a push that is shorter are planar and may stay so.
bool stays_planar(Rows& rows, const Push& push) {
    bool all = true;
    for (int64_t i = 0; i < push.rows; ++i) all = all && rows.planar->patience[row_at(push.index, i)] > 1;
    for (int64_t i = 0; i < push.rows; ++i) {
        const int64_t row = row_at(push.index, i);
        if (all)
            --rows.planar->patience[row];
        else if (rows.planar->has(row))
            make_interleaved(rows, row);
    }
    return all;
}

}  // namespace

bool choose_planar(Rows& rows, const Push& push) {
    if (!rows.program.planar) return false;
    if (push.time < shortest(*rows.program.planar, push)) return rows.planar && stays_planar(rows, push);
    try {
        need_planar(rows);
    } catch (const std::bad_alloc&) {
        return false;  // the other form takes less memory, and only what is used of it
    }
    for (int64_t i = 0; i < push.rows; ++i) {
        const int64_t row = row_at(push.index, i);
        if (!rows.planar->has(row)) make_planar(rows, row);
        rows.planar->enter(row);
    }
    return true;
}

void advance_planar(Rows& rows, const Push& push, int threads) {
    const auto run = [&](int64_t first, int64_t step, const Workspace& workspace) {
        const FlushDenormals flush;
        for (int64_t number = first; number < push.rows; number += step) advance_row(rows, push, number, workspace);
    };
    if (threads == 1) {
        run(0, 1, *rows.workspaces[0]);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) run(thread, threads, *rows.workspaces[thread]);
}

void fill_levels(const Rows& rows, int64_t index, const float* levels) {
    const std::vector<PlanarInstruction>& instructions = rows.program.planar->instructions;
    DISPATCH(fill_rings, instructions.data(), static_cast<int>(instructions.size()), rows.planar->row(index), levels);
}
