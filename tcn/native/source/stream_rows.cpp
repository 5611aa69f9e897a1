#include "stream_rows.h"

Rows::Rows(std::shared_ptr<const Program> given, int64_t count)
    : owned(std::move(given)),
      program(*owned),
      count(count),
      together(share(count, share(count, ROWS_TOGETHER))),
      piece_size(odd_lines(checked_product(together, program.row_size))),
      memory(checked_product(share(count, together), piece_size)),
      named(checked_product(count, sizeof(uint64_t))) {}

Refusal check_rows(Rows& rows, const int64_t* index, int64_t count) {
    if (count < 1 || count > rows.count) return MISFIT;
    if (!index) return NONE;
    ++rows.pushes;
    uint64_t* named = reinterpret_cast<uint64_t*>(rows.named.bytes());
    for (int64_t i = 0; i < count; ++i) {
        if (index[i] < 0 || index[i] >= rows.count) return ROW_OUT_OF_RANGE;
        if (named[index[i]] == rows.pushes) return ROW_TWICE;
        named[index[i]] = rows.pushes;
    }
    return NONE;
}

namespace {

// Positions of a ring that may hold something other than zeros: the first so many.
int32_t used(const Instruction& op, const RowMemory& memory) {
    if (!op.capacity) return 0;
    return memory.filled(op) ? op.capacity : memory.head(op);
}

// Calls `visit` with every piece of a row's memory that holds something, before or after the call, and its size, always in
// the same order: a ring's head first, since it says how much of the ring is used.
template <typename Visit>
void visit_memory(const Program& program, const RowMemory& memory, const Visit& visit) {
    for (const Instruction& op : program.instructions) {
        const int32_t before = used(op, memory);
        if (op.capacity) visit(&memory.head(op), sizeof(int32_t));
        if (op.capacity) visit(&memory.filled(op), sizeof(int32_t));
        for (int32_t position = 0, count = std::max(before, used(op, memory)); position < count; ++position)
            visit(memory.ring(op) + position * memory.stride(op), op.in_channels * sizeof(float));
        if (op.kept_size) visit(memory.kept(op), op.kept_size);
        if (op.ahead) visit(&memory.left(op), sizeof(int32_t));
        if (op.ahead) visit(memory.sums(op), sizeof(float) * RowMemory::sums_size(op));
    }
}

}  // namespace

void exchange_ring(const Instruction& op, const RowMemory& memory, float* data, size_t stride, bool into_row) {
    const int context = context_of(op);
    int32_t& head = memory.head(op);
    if (into_row && op.ahead) memory.left(op) = 0;
    if (into_row) head = context, memory.filled(op) = 1;  // positions 0 to context - 1, and context < capacity
    for (int step = 0; step < context; ++step) {
        float* here = memory.ring(op) + (head - context + step + op.capacity) % op.capacity * memory.stride(op);
        for (int c = 0; c < op.in_channels; ++c) {
            float& there = data[c * stride + step];
            (into_row ? here[c] : there) = into_row ? there : here[c];
        }
    }
}

bool is_empty(const Instruction& op, const RowMemory& memory) { return used(op, memory) == 0; }

void clear_ring(const Instruction& op, const RowMemory& memory) {
    for (int32_t position = 0, count = used(op, memory); position < count; ++position)
        std::memset(memory.ring(op) + position * memory.stride(op), 0, op.in_channels * sizeof(float));
    memory.head(op) = memory.filled(op) = 0;
}

void reset_row(const Rows& rows, int64_t index) {
    visit_memory(rows.program, rows.row(index), [](void* piece, size_t size) { std::memset(piece, 0, size); });
    if (rows.planar) rows.planar->leave(index);
}

RowCopy::RowCopy(const Rows& rows, int64_t index, bool brief) {
    visit_memory(rows.program, rows.row(index), [this](const void* piece, size_t size) {
        const std::byte* from = static_cast<const std::byte*>(piece);
        bytes_.insert(bytes_.end(), from, from + size);
    });
    is_planar_ = rows.planar && rows.planar->has(index);
    if (!is_planar_) return;
    if (brief) levels_ = levels_of(rows, index);
    if (!levels_.empty()) return;
    const float* from = rows.planar->row(index).floats;
    planar_.assign(from, from + rows.program.planar->row_size);
}

void RowCopy::put(Rows& rows, int64_t index) const {
    if (is_planar()) need_planar(rows);  // first: it may find no memory
    reset_row(rows, index);
    const std::byte* at = bytes_.data();
    visit_memory(rows.program, rows.row(index), [&at](void* piece, size_t size) {
        if (size == 0) return;  // nothing is remembered, and there may be no address of it
        std::memcpy(piece, at, size);
        at += size;
    });
    if (!is_planar()) return;
    if (!levels_.empty())
        fill_levels(rows, index, levels_.data());
    else if (!planar_.empty())  // there are programs without rings
        std::memcpy(rows.planar->row(index).floats, planar_.data(), planar_.size() * sizeof(float));
    rows.planar->enter(index);
}

void keep_beginning(Rows& rows, int64_t index) { rows.beginning = std::make_unique<RowCopy>(rows, index, true); }

void begin_row(Rows& rows, int64_t index) {
    rows.beginning->put(rows, index);
    if (!rows.planar || rows.beginning->is_planar()) return;
    make_planar(rows, index);  // where rows have been before
    keep_beginning(rows, index);
}

void copy_rows(Rows& rows, const int64_t* source, const int64_t* target, int64_t count) {
    std::vector<RowCopy> copies;  // first: a source may be another's target
    for (int64_t i = 0; i < count; ++i) copies.emplace_back(rows, source[i]);
    for (int64_t i = 0; i < count; ++i) copies[i].put(rows, target[i]);
}

size_t state_size(const Instruction& op) {
    return op.capacity ? sizeof(float) * op.in_channels * context_of(op) : op.kept_size;
}

void exchange(const Rows& rows, int64_t operation, int64_t index, std::byte* data, bool into_row) {
    const Instruction& op = rows.program.instructions[operation];
    const RowMemory memory = rows.row(index);
    if (op.capacity && rows.planar && rows.planar->has(index))
        exchange_planar(rows, operation, index, reinterpret_cast<float*>(data), into_row);
    else if (op.capacity)
        exchange_ring(op, memory, reinterpret_cast<float*>(data), context_of(op), into_row);
    else if (op.kept_size)
        std::memcpy(into_row ? memory.kept(op) : data, into_row ? data : memory.kept(op), op.kept_size);
}
