// Programs of operations and the rows that stream through them: weights packed once, no allocation per push.

#include "stream.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "denormals.h"
#include "instruction_set.h"

#define KERNELS "stream_kernels.h"
#include "for_each_instruction_set.h"

namespace {

constexpr size_t LINE = 64;
constexpr size_t HUGE_PAGE = size_t{1} << 21;
// Kernels read and write whole vectors, up to this much beyond the last value.
constexpr size_t SLACK = 4 * LINE;

// So many that `parts` times as many are enough.
int64_t share(int64_t count, int64_t parts) { return (count + parts - 1) / parts; }

size_t round_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// A multiple of LINE that is odd: places at this distance are spread over all sets of a cache.
size_t odd_lines(size_t size) { return (round_up(size, LINE) / LINE | 1) * LINE; }

// Zeros, aligned to lines; large ones on huge pages, since rings are read at addresses far apart.
class Memory {
public:
    explicit Memory(size_t size) {
        const size_t unit = size >= HUGE_PAGE ? HUGE_PAGE : LINE;
        size = round_up(size + SLACK, unit);
        data_.reset(static_cast<std::byte*>(std::aligned_alloc(unit, size)));
        if (!data_) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (unit == HUGE_PAGE) madvise(data_.get(), size, MADV_HUGEPAGE);
#endif
        std::memset(data_.get(), 0, size);
    }
    std::byte* bytes() const { return data_.get(); }
    float* floats() const { return reinterpret_cast<float*>(data_.get()); }

private:
    struct Free {
        void operator()(std::byte* data) const { std::free(data); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

int panels(int channels) { return (channels + PANEL - 1) / PANEL; }

// ---------------------------------------------------------------------------------------------------------- weights

size_t weight_size(const Operation& op) {
    const size_t taps = op.kernel_size, group = op.in_channels / op.groups;
    switch (op.kind) {
        case CONVOLUTION: return op.groups * panels(op.out_channels / op.groups) * PANEL * taps * group;
        case DEPTHWISE: return taps * panels(op.out_channels) * PANEL;
        case EMBED: return round_up(static_cast<size_t>(op.in_channels) * op.out_channels, PANEL);
        default: return op.weight ? panels(op.out_channels) * PANEL : 0;
    }
}

// Groups whose panels are kept apart; a depthwise convolution's channels stand side by side.
int groups_of(const Operation& op) { return op.kind == CONVOLUTION ? op.groups : 1; }

size_t bias_size(const Operation& op) {
    return groups_of(op) * panels(op.out_channels / groups_of(op)) * PANEL;
}

// (out, in / groups, taps) to (group, tap, panel, in / groups, PANEL); what fills up the last panel is 0.
void pack_convolution(const Operation& op, float* to) {
    const int group_in = op.in_channels / op.groups, group_out = op.out_channels / op.groups;
    for (int group = 0; group < op.groups; ++group)
        for (int tap = 0; tap < op.kernel_size; ++tap)
            for (int panel = 0; panel < panels(group_out); ++panel)
                for (int in = 0; in < group_in; ++in)
                    for (int lane = 0; lane < PANEL; ++lane, ++to) {
                        const int out = panel * PANEL + lane;
                        if (out >= group_out) continue;
                        const size_t filter = static_cast<size_t>(group) * group_out + out;
                        *to = op.weight[(filter * group_in + in) * op.kernel_size + tap];
                    }
}

void pack_weight(const Operation& op, float* to) {
    if (op.kind == CONVOLUTION) {
        pack_convolution(op, to);
    } else if (op.kind == DEPTHWISE) {
        for (int c = 0; c < op.out_channels; ++c)
            for (int tap = 0; tap < op.kernel_size; ++tap)
                to[tap * panels(op.out_channels) * PANEL + c] = op.weight[c * op.kernel_size + tap];
    } else {
        const size_t count = static_cast<size_t>(op.kind == EMBED ? op.in_channels : 1) * op.out_channels;
        std::memcpy(to, op.weight, count * sizeof(float));
    }
}

void pack_bias(const Operation& op, float* to) {
    if (!op.bias) return;
    const int group_out = op.out_channels / groups_of(op);
    for (int group = 0; group < groups_of(op); ++group)
        std::memcpy(to + group * panels(group_out) * PANEL, op.bias + group * group_out, group_out * sizeof(float));
}

// ---------------------------------------------------------------------------------------------------------- program

int context_of(const Operation& op) {
    const bool remembers = op.kind == CONVOLUTION || op.kind == DEPTHWISE;
    return remembers ? (op.kernel_size - 1) * op.dilation + op.shift : 0;
}

// Bytes that an operation remembers of a row, rings aside.
size_t kept_size(const Operation& op) {
    switch (op.kind) {
        case CUMULATIVE_NORM: return 3 * sizeof(double);
        case RUNNING_MEAN: return (op.out_channels + 1) * sizeof(double);
        case REMEMBER: return op.in_channels * sizeof(float);
        default: return 0;
    }
}

// As it is handed over by tcn/native/stream.py; places are offsets in the frame.
struct Interface {
    int32_t frame_size;
    int32_t input;
    int32_t in_channels;
    int32_t output;
    int32_t out_channels;
    int32_t condition;
    int32_t condition_channels;  // 0 if the net is not conditioned
    int32_t vocabulary;          // 0 if the input is not tokens
    int32_t ahead;               // whether past taps are added up ahead, see stream.h
};

// For how many steps past taps are added up ahead: as many as are known, if they are more than one.
int steps_ahead(const Operation& op) {
    const bool possible = op.kind == CONVOLUTION && op.kernel_size > 1 && op.groups == 1 && op.shift == 0;
    return possible && op.dilation > 1 ? std::min(op.dilation, STEPS_AHEAD) : 0;
}

struct Program {
    Program(const Operation* operations, int count, const Interface& interface);

    Interface places;
    size_t frame_size;  // in floats
    int32_t taps = 1;   // the most of any convolution
    size_t row_size = 0;     // in bytes, what is remembered of a row
    double work = 0;         // multiplications per item
    std::vector<Instruction> instructions;
    std::unique_ptr<Memory> weights;
};

Program::Program(const Operation* operations, int count, const Interface& interface)
    : places(interface), frame_size(odd_lines(interface.frame_size * sizeof(float) + SLACK) / sizeof(float)) {
    size_t floats = 0;
    int heads = 0;
    for (int i = 0; i < count; ++i) {
        Instruction op{};
        static_cast<Operation&>(op) = operations[i];
        const int context = context_of(op);
        if (op.kind == DEPTHWISE || context) {
            op.capacity = context + BLOCK_STEPS;
            op.head = heads++;
        }
        op.ahead = interface.ahead ? steps_ahead(op) : 0;
        if (op.ahead) op.left = heads++;
        taps = std::max(taps, op.kernel_size);
        const size_t size = weight_size(op);
        work += op.kind == EMBED ? 0 : static_cast<double>(size);
        floats += size + bias_size(op);
        instructions.push_back(op);
    }
    row_size = round_up(heads * sizeof(int32_t), LINE);
    weights = std::make_unique<Memory>(floats * sizeof(float));
    float* to = weights->floats();
    for (Instruction& op : instructions) {
        op.memory = row_size;
        op.kept_size = kept_size(op);
        row_size += round_up(op.kept_size + sizeof(float) * op.capacity * op.in_channels, LINE);
        op.sums = row_size;
        row_size += round_up(sizeof(float) * RowMemory::sums_size(op), LINE);
        const size_t size = weight_size(op), biases = bias_size(op);
        if (op.weight) pack_weight(op, to);
        op.weight = to;
        to += size;
        pack_bias(op, to);
        op.bias = to;
        to += biases;
    }
}

// ------------------------------------------------------------------------------------------------------------- rows

// What a block needs besides the rows' memory.
struct Workspace {
    explicit Workspace(const Program& program)
        : frames(BLOCK_ITEMS * program.frame_size * sizeof(float)), inputs(BLOCK_ITEMS * program.taps) {}

    Memory frames;
    std::vector<const float*> inputs;
};

struct Rows {
    Rows(const Program& program, int64_t count)
        : program(program),
          count(count),
          together(share(count, share(count, ROWS_TOGETHER))),
          piece_size(odd_lines(together * program.row_size)),
          memory(share(count, together) * piece_size),
          seen(count, 0) {}

    RowMemory row(int64_t index) const {
        return {memory.bytes() + index / together * piece_size, static_cast<int>(together),
                static_cast<int>(index % together)};
    }

    const Program& program;
    int64_t count;
    int64_t together;  // rows that share a piece of memory
    size_t piece_size;
    Memory memory;
    std::vector<std::unique_ptr<Workspace>> workspaces;  // one per thread
    std::vector<uint64_t> seen;  // the push in which a row was last named
    uint64_t pushes = 0;
};

enum Refusal : int { NONE, ROW_OUT_OF_RANGE, ROW_TWICE, TOKEN_OUT_OF_RANGE, NO_MEMORY };

struct Push {
    const void* x;  // (rows, in_channels, time) float, or (rows, time) int64 tokens
    const float* condition;  // (rows, condition_channels, condition_time)
    int64_t condition_time;  // 1 if it is that of every step
    const int64_t* index;    // the rows that advance; null: all of them
    int64_t rows;
    int64_t time;
    float* y;  // (rows, out_channels, time)
};

int64_t row_at(const int64_t* index, int64_t i) { return index ? index[i] : i; }

int check_rows(Rows& rows, const int64_t* index, int64_t count) {
    if (!index) return NONE;
    ++rows.pushes;
    for (int64_t i = 0; i < count; ++i) {
        if (index[i] < 0 || index[i] >= rows.count) return ROW_OUT_OF_RANGE;
        if (rows.seen[index[i]] == rows.pushes) return ROW_TWICE;
        rows.seen[index[i]] = rows.pushes;
    }
    return NONE;
}

int check_tokens(const Push& push, int64_t vocabulary) {
    const int64_t* tokens = static_cast<const int64_t*>(push.x);
    for (int64_t i = 0; vocabulary && i < push.rows * push.time; ++i)
        if (tokens[i] < 0 || tokens[i] >= vocabulary) return TOKEN_OUT_OF_RANGE;
    return NONE;
}

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

void advance(const Rows& rows, const Push& push, const Part& part, Workspace& workspace) {
    const Program& program = rows.program;
    const Interface& places = program.places;
    RowMemory memory[BLOCK_ITEMS];
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
    const Block block{part.rows, part.steps, push.rows, memory, frames, size, tokens, workspace.inputs.data()};
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

void advance_all(Rows& rows, const Push& push, int threads) {
    const int64_t together = rows_together(push, threads);
    const int64_t groups = share(push.rows, together);
    while (rows.workspaces.size() < static_cast<size_t>(threads))
        rows.workspaces.push_back(std::make_unique<Workspace>(rows.program));
    const auto run_group = [&](int64_t group, Workspace& workspace) {
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

// Multiplications below which a second thread costs more than it brings.
constexpr double WORTH_A_THREAD = 2e6;

int threads_worth(const Rows& rows, const Push& push, int threads) {
    const double work = rows.program.work * static_cast<double>(push.rows * push.time);
    const double most = 1 + work / WORTH_A_THREAD;
    return most < threads ? static_cast<int>(most) : threads;
}

// The first of the largest sums; NaN is larger than any number, as PyTorch has it.
int64_t likeliest(const float* logits, const float* noise, int64_t count) {
    int64_t best = 0;
    float most = logits[0] + noise[0];
    for (int64_t token = 1; token < count && !std::isnan(most); ++token) {
        const float value = logits[token] + noise[token];
        if (value > most || std::isnan(value)) best = token, most = value;
    }
    return best;
}

// The latest inputs of a convolution, (in_channels, context), to or from the row's ring.
void exchange_ring(const Instruction& op, const RowMemory& memory, float* data, bool into_row) {
    const int context = context_of(op);
    int32_t& head = memory.head(op);
    if (into_row && op.ahead) memory.left(op) = 0;
    if (into_row) head = context;  // positions 0 to context - 1, and context < capacity
    for (int step = 0; step < context; ++step) {
        float* here = memory.ring(op) + (head - context + step + op.capacity) % op.capacity * memory.stride(op);
        for (int c = 0; c < op.in_channels; ++c) {
            float& there = data[c * context + step];
            (into_row ? here[c] : there) = into_row ? there : here[c];
        }
    }
}

// Calls `visit` with every piece of a row's memory and its size, always in the same order.
template <typename Visit>
void visit_memory(const Program& program, const RowMemory& memory, const Visit& visit) {
    for (const Instruction& op : program.instructions) {
        if (op.capacity) visit(&memory.head(op), sizeof(int32_t));
        for (int position = 0; position < op.capacity; ++position)
            visit(memory.ring(op) + position * memory.stride(op), op.in_channels * sizeof(float));
        visit(memory.kept(op), op.kept_size);
        if (op.ahead) visit(&memory.left(op), sizeof(int32_t));
        visit(memory.sums(op), sizeof(float) * RowMemory::sums_size(op));
    }
}

void reset_row(const Program& program, const RowMemory& memory) {
    visit_memory(program, memory, [](void* piece, size_t size) { std::memset(piece, 0, size); });
}

void copy_rows(const Rows& rows, const int64_t* source, const int64_t* target, int64_t count) {
    std::vector<std::byte> copies(rows.program.row_size * count);  // first: a source may be another's target
    std::byte* at = copies.data();
    for (int64_t i = 0; i < count; ++i)
        visit_memory(rows.program, rows.row(source[i]), [&at](const void* piece, size_t size) {
            std::memcpy(at, piece, size);
            at += size;
        });
    at = copies.data();
    for (int64_t i = 0; i < count; ++i)
        visit_memory(rows.program, rows.row(target[i]), [&at](void* piece, size_t size) {
            std::memcpy(piece, at, size);
            at += size;
        });
}

}  // namespace

// ------------------------------------------------------------------------------------------- what Python calls

EXPORT Program* tcn_stream_program(const Operation* operations, int count, const Interface* interface) try {
    return new Program(operations, count, *interface);
} catch (const std::bad_alloc&) {
    return nullptr;
}

EXPORT void tcn_stream_delete_program(Program* program) { delete program; }

// Must be deleted before the program is.
EXPORT Rows* tcn_stream_rows(const Program* program, int64_t count) try {
    return new Rows(*program, count);
} catch (const std::bad_alloc&) {
    return nullptr;
}

EXPORT void tcn_stream_delete_rows(Rows* rows) { delete rows; }

EXPORT int tcn_stream_push(Rows* rows, const void* x, const float* condition, int64_t condition_time,
                           const int64_t* index, int64_t count, int64_t time, float* y, int threads) try {
    const Push push{x, condition, condition_time, index, count, time, y};
    if (const int refusal = check_rows(*rows, index, count)) return refusal;
    if (const int refusal = check_tokens(push, rows->program.places.vocabulary)) return refusal;
    advance_all(*rows, push, threads_worth(*rows, push, threads));
    return NONE;
} catch (const std::bad_alloc&) {
    return NO_MEMORY;
}

// Advances all rows over steps of which each draws the next one's token: the largest of logit and noise.
EXPORT int tcn_stream_sample(Rows* rows, const int64_t* tokens, const float* condition, const float* noise,
                             int64_t steps, int64_t* samples, int threads) try {
    const int64_t count = rows->count, vocabulary = rows->program.places.vocabulary;
    std::vector<int64_t> inputs(tokens, tokens + count);
    std::vector<float> logits(count * vocabulary);
    const Push push{inputs.data(), condition, 1, nullptr, count, 1, logits.data()};
    if (const int refusal = check_tokens(push, vocabulary)) return refusal;
    for (int64_t step = 0; step < steps; ++step) {
        advance_all(*rows, push, threads_worth(*rows, push, threads));
        for (int64_t row = 0; row < count; ++row, noise += vocabulary)
            samples[row * steps + step] = inputs[row] = likeliest(&logits[row * vocabulary], noise, vocabulary);
    }
    return NONE;
} catch (const std::bad_alloc&) {
    return NO_MEMORY;
}

// Copies what one operation remembers of some rows, (count, ...) as PyTorch holds it, out of them or into them.
EXPORT int tcn_stream_exchange(Rows* rows, int operation, const int64_t* index, int64_t count, void* data,
                               int into_rows) {
    if (const int refusal = check_rows(*rows, index, count)) return refusal;
    const Instruction& op = rows->program.instructions[operation];
    std::byte* at = static_cast<std::byte*>(data);
    for (int64_t i = 0; i < count; ++i) {
        const RowMemory memory = rows->row(row_at(index, i));
        if (op.capacity) {
            exchange_ring(op, memory, reinterpret_cast<float*>(at), into_rows);
            at += sizeof(float) * op.in_channels * context_of(op);
        } else {
            std::memcpy(into_rows ? memory.kept(op) : at, into_rows ? at : memory.kept(op), op.kept_size);
            at += op.kept_size;
        }
    }
    return NONE;
}

EXPORT int tcn_stream_reset(Rows* rows, const int64_t* index, int64_t count) {
    if (const int refusal = check_rows(*rows, index, count)) return refusal;
    for (int64_t i = 0; i < count; ++i) reset_row(rows->program, rows->row(row_at(index, i)));
    return NONE;
}

EXPORT int tcn_stream_copy(Rows* rows, const int64_t* source, const int64_t* target, int64_t count) try {
    for (int64_t i = 0; i < count; ++i)
        if (source[i] < 0 || source[i] >= rows->count) return ROW_OUT_OF_RANGE;
    if (const int refusal = check_rows(*rows, target, count)) return refusal;
    copy_rows(*rows, source, target, count);
    return NONE;
} catch (const std::bad_alloc&) {
    return NO_MEMORY;
}
