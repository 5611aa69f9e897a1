#include "planar_rows.h"

#include "stream_rows.h"

void need_planar(Rows& rows) {
    if (!rows.planar) rows.planar = std::make_unique<PlanarRows>(*rows.program.planar, rows.count);
}

void exchange_planar(const Rows& rows, int64_t operation, int64_t index, float* data, bool into_row) {
    const PlanarInstruction& p = rows.program.planar->instructions[rows.program.planar->numbers[operation]];
    const PlanarMemory memory = rows.planar->row(index);
    const int context = context_of(p.op);
    if (context == 0) return;
    int32_t& head = memory.head(p);
    float* line = memory.ring(p);
    if (into_row) head = context;
    const int begin = head < context ? head - context + p.capacity : head - context;
    const int first = std::min(context, p.capacity - begin);
    for (int c = 0; c < p.op.in_channels; ++c, line += p.line, data += context) {
        float *here = line + begin, *there = data;
        std::memcpy(into_row ? here : there, into_row ? there : here, first * sizeof(float));
        here = line, there = data + first;
        std::memcpy(into_row ? here : there, into_row ? there : here, (context - first) * sizeof(float));
    }
}

void make_planar(Rows& rows, int64_t index) {
    const Program& program = rows.program;
    const RowMemory from = rows.row(index);
    const PlanarMemory to = rows.planar->row(index);
    for (size_t i = 0; i < program.instructions.size(); ++i) {
        const Instruction& op = program.instructions[i];
        const PlanarInstruction& p = program.planar->instructions[program.planar->numbers[i]];
        if (!op.capacity || !p.capacity) continue;
        float* ring = to.ring(p);
        if (is_empty(op, from)) {
            std::memset(ring, 0, p.line * op.in_channels * sizeof(float));
        } else {
            exchange_ring(op, from, ring, p.line, false);
            clear_ring(op, from);
        }
        to.head(p) = context_of(op);
    }
    rows.planar->enter(index);
}

void make_interleaved(Rows& rows, int64_t index) {
    const Program& program = rows.program;
    std::vector<float> latest;
    for (size_t i = 0; i < program.instructions.size(); ++i) {
        const Instruction& op = program.instructions[i];
        const size_t context = context_of(op);
        if (!op.capacity || !context) continue;
        latest.resize(context * op.in_channels);
        exchange_planar(rows, static_cast<int64_t>(i), index, latest.data(), false);
        exchange_ring(op, rows.row(index), latest.data(), context, true);
    }
    rows.planar->leave(index);
}

std::vector<float> levels_of(const Rows& rows, int64_t index) {
    std::vector<float> levels, latest;
    const std::vector<Instruction>& instructions = rows.program.instructions;
    for (size_t i = 0; i < instructions.size(); ++i) {
        const size_t context = context_of(instructions[i]);
        if (!context) continue;
        latest.resize(context * instructions[i].in_channels);
        exchange_planar(rows, static_cast<int64_t>(i), index, latest.data(), false);
        for (auto at = latest.begin(); at != latest.end(); at += static_cast<std::ptrdiff_t>(context)) {
            const float level = *at;
            const auto end = at + static_cast<std::ptrdiff_t>(context);
            if (!std::all_of(at, end, [=](float x) { return x == level; })) return {};
            levels.push_back(level);
        }
    }
    return levels;
}
