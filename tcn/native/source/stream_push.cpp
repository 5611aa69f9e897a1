#include "stream_push.h"

#include "denormals.h"
#include "instruction_set.h"
#include "planar_push.h"

#define KERNELS "stream_kernels.h"
#include "for_each_instruction_set.h"

namespace {

Refusal check_tokens(const Push& push, int64_t vocabulary) {
    const int64_t* tokens = static_cast<const int64_t*>(push.x);
    for (int64_t i = 0; i < push.rows * push.time; ++i)
        if (tokens[i] < 0 || tokens[i] >= vocabulary) return TOKEN_OUT_OF_RANGE;
    return NONE;
}

}  // namespace

Refusal check_push(const Rows& rows, const Push& push) {
    const Interface& places = rows.program.places;
    int64_t values;
    const int64_t widest = std::max({places.in_channels, places.out_channels, places.condition_channels, int64_t{8}});
    if (!push.x || !push.y || push.time < 1 || __builtin_mul_overflow(push.rows, push.time, &values) ||
        __builtin_mul_overflow(values, 8 * widest, &values))
        return MISFIT;  // such arrays cannot be
    const bool conditioned = places.condition_channels > 0;
    if (conditioned && (!push.condition || (push.condition_time != 1 && push.condition_time != push.time)))
        return MISFIT;
    return places.vocabulary ? check_tokens(push, places.vocabulary) : NONE;
}

bool all_finite(const float* values, size_t count) {
    uint32_t found = 0;  // whether an exponent is all ones
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits;
        std::memcpy(&bits, values + i, sizeof(bits));
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !found;
}

namespace {

// Some rows and steps of a push.
struct Part {
    int64_t row;
    int rows;
    int64_t start;
    int steps;
};

void put_in(const Part& part, const float* x, int channels, int64_t time, bool same_at_every_step, float* place,
            size_t frame_size) {
    for (int row = 0; row < part.rows; ++row)
        for (int step = 0; step < part.steps; ++step, place += frame_size) {
            const float* from = x + (part.row + row) * channels * time + (same_at_every_step ? 0 : part.start + step);
            for (int c = 0; c < channels; ++c) place[c] = from[c * time];
        }
}

void take_out(const Part& part, const float* place, size_t frame_size, int channels, int64_t time, float* y) {
    for (int row = 0; row < part.rows; ++row)
        for (int step = 0; step < part.steps; ++step, place += frame_size) {
            float* to = y + (part.row + row) * channels * time + part.start + step;
            for (int c = 0; c < channels; ++c) to[c * time] = place[c];
        }
}

void advance(const Rows& rows, const Push& push, const Part& part, const Workspace& workspace) {
    const Program& program = rows.program;
    const Interface& places = program.places;
    RowMemory memory[BLOCK_ITEMS];  // without values: of one row, only the first is touched
    const int64_t* tokens[BLOCK_ITEMS];
    for (int row = 0; row < part.rows; ++row) {
        memory[row] = rows.row(row_at(push.index, part.row + row));
        tokens[row] = static_cast<const int64_t*>(push.x) + (part.row + row) * push.time + part.start;
    }
    for (int row = part.rows - 2; row >= 0; --row)
        if (memory[row + 1].shared == memory[row].shared && memory[row + 1].row == memory[row].row + 1)
            memory[row].side_by_side = memory[row + 1].side_by_side + 1;
    float* frames = workspace.frames.floats();
    const size_t size = program.frame_size;
    if (!places.vocabulary)
        put_in(part, static_cast<const float*>(push.x), places.in_channels, push.time, false, frames + places.input,
               size);
    if (places.condition_channels)
        put_in(part, push.condition, places.condition_channels, push.condition_time, push.condition_time == 1,
               frames + places.condition, size);
    const Block block{part.rows, part.steps, push.rows, memory, frames, size, tokens, workspace.listed()};
    DISPATCH(execute, program.instructions.data(), static_cast<int>(program.instructions.size()), block);
    take_out(part, frames + places.output, size, places.out_channels, push.time, push.y);
}

// Rows that pass through the net together. Sizes differ only in multiples of eight rows, of which every kernel's
// tiles are divisors, so that results do not depend on the number of threads.
int64_t rows_together(const Push& push, int threads) {
    const int64_t most = BLOCK_ITEMS / std::min<int64_t>(push.time, BLOCK_STEPS);
    if (most < 8) return most;
    return std::min<int64_t>(share(share(push.rows, threads), 8) * 8, most / 8 * 8);
}

}  // namespace

int threads_worth(const Rows& rows, int64_t count, int64_t time, int threads) {
    // Multiplications below which a second thread costs more than it brings.
    constexpr double WORTH_A_THREAD = 2e6;
    const double most = 1 + rows.program.work * static_cast<double>(count) * static_cast<double>(time) / WORTH_A_THREAD;
    return most < threads ? static_cast<int>(most) : std::max(threads, 1);
}

void advance_all(Rows& rows, const Push& push, int most_threads) {
    int threads = static_cast<int>(std::min<int64_t>(threads_worth(rows, push.rows, push.time, most_threads), push.rows));
    while (rows.workspaces.size() < static_cast<size_t>(threads))
        rows.workspaces.push_back(std::make_unique<Workspace>(rows.program));
    if (choose_planar(rows, push)) return advance_planar(rows, push, threads);
    const int64_t together = rows_together(push, threads);
    const int64_t groups = share(push.rows, together);
    threads = static_cast<int>(std::min<int64_t>(threads, groups));
    const auto run_group = [&](int64_t group, const Workspace& workspace) {
        const FlushDenormals flush;
        const int64_t first = group * together;
        const int count = static_cast<int>(std::min(together, push.rows - first));
        for (int64_t start = 0; start < push.time; start += BLOCK_STEPS) {
            const int steps = static_cast<int>(std::min<int64_t>(BLOCK_STEPS, push.time - start));
            advance(rows, push, Part{first, count, start, steps}, workspace);
        }
    };
    if (threads == 1) {
        for (int64_t group = 0; group < groups; ++group) run_group(group, *rows.workspaces[0]);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread)
        for (int64_t group = thread; group < groups; group += threads)
            run_group(group, *rows.workspaces[thread]);
}
