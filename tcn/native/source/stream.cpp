// What Python calls. Nothing is thrown out of here, and every argument that can be checked is.

#include <cmath>
#include <utility>

#include "instruction_set.h"
#include "stream_push.h"

namespace {

// The first of the largest sums; NaN is larger than any number, as PyTorch has it.
template <typename Noise>
int64_t likeliest(const float* logits, const Noise* noise, int64_t count) {
    int64_t best = 0;
    Noise most = logits[0] + noise[0];
    for (int64_t token = 1; token < count && !std::isnan(most); ++token) {
        const Noise value = logits[token] + noise[token];
        if (value > most || std::isnan(value)) best = token, most = value;
    }
    return best;
}

// What `work` returns, and what it throws as a Refusal.
template <typename Work>
int refusal_of(const Work& work) {
    try {
        return work();
    } catch (const Misfit&) {
        return MISFIT;
    } catch (...) {  // std::bad_alloc, or a size beyond what the standard library takes
        return NO_MEMORY;
    }
}

// The same while no other thread uses the rows.
template <typename Work>
int refusal_in_turn(Rows* rows, const Work& work) {
    if (!rows) return MISFIT;
    const Turn turn(*rows);
    return turn.taken() ? refusal_of(work) : IN_USE;
}

}  // namespace

// Writes the program to `program`; the weights are copied.
EXPORT int tcn_stream_program(const Operation* operations, int64_t count, const Interface* interface,
                              Program** program) {
    if (!operations || count < 0 || !interface || !program) return MISFIT;
    return refusal_of([&] {
        const auto built = std::make_shared<Program>(operations, count, *interface);
        built->self = built;
        *program = built.get();
        return NONE;
    });
}

// It lives on as long as rows of it do.
EXPORT void tcn_stream_delete_program(Program* program) {
    if (program) const auto last = std::move(program->self);
}

// Writes `count` fresh rows to `rows`.
EXPORT int tcn_stream_rows(const Program* program, int64_t count, Rows** rows) {
    if (!program || count < 1 || !rows) return MISFIT;
    return refusal_of([&] {
        *rows = new Rows(program->self, count);
        return NONE;
    });
}

// Not while another thread uses them.
EXPORT void tcn_stream_delete_rows(Rows* rows) { delete rows; }

EXPORT int tcn_stream_push(Rows* rows, const void* x, const float* condition, int64_t condition_time,
                           const int64_t* index, int64_t count, int64_t time, float* y, int threads) {
    return refusal_in_turn(rows, [&]() -> int {
        const Push push{x, condition, condition_time, index, count, time, y};
        if (const int refusal = check_rows(*rows, index, count)) return refusal;
        if (const int refusal = check_push(*rows, push)) return refusal;
        advance_all(*rows, push, threads);
        return NONE;
    });
}

// The same for all rows of a net without a condition, in one thread, if no value is NaN or infinite.
EXPORT int tcn_stream_push_finite(Rows* rows, const void* x, int64_t time, float* y) {
    return refusal_in_turn(rows, [&]() -> int {
        const Push push{x, nullptr, 1, nullptr, rows->count, time, y};
        if (const int refusal = check_push(*rows, push)) return refusal;
        const Interface& places = rows->program.places;
        const size_t values = rows->count * time * places.in_channels;
        if (!places.vocabulary && !all_finite(static_cast<const float*>(x), values)) return NOT_FINITE;
        advance_all(*rows, push, 1);
        return NONE;
    });
}

// How many of `threads` threads a push of all rows over so many steps is worth.
EXPORT int tcn_stream_threads(const Rows* rows, int64_t time, int threads) {
    return rows && time > 0 ? threads_worth(*rows, rows->count, time, threads) : 1;
}

// Advances all rows over steps of which each draws the next one's token: the largest of logit and noise.
EXPORT int tcn_stream_sample(Rows* rows, const int64_t* tokens, const float* condition, const float* noise,
                             int64_t steps, int64_t* samples, int threads) {
    return refusal_in_turn(rows, [&]() -> int {
        const Interface& places = rows->program.places;
        const int64_t count = rows->count, vocabulary = places.vocabulary;
        if (!vocabulary || places.out_channels != vocabulary || steps < 0 || !tokens) return MISFIT;
        if (steps && (!noise || !samples)) return MISFIT;
        std::vector<int64_t> inputs(tokens, tokens + count);
        std::vector<float> logits(checked_product(count, vocabulary));
        const Push push{inputs.data(), condition, 1, nullptr, count, 1, logits.data()};
        if (const int refusal = check_push(*rows, push)) return refusal;
        for (int64_t step = 0; step < steps; ++step) {
            advance_all(*rows, push, threads);
            for (int64_t row = 0; row < count; ++row, noise += vocabulary)
                samples[row * steps + step] = inputs[row] = likeliest(&logits[row * vocabulary], noise, vocabulary);
        }
        return NONE;
    });
}

// The same of a net of one input channel, whose input is the value of the token; the noise has 64 bits.
EXPORT int tcn_stream_sample_values(Rows* rows, const int64_t* tokens, const float* condition, const double* noise,
                                    int64_t steps, int64_t* samples, int threads, const float* values) {
    return refusal_in_turn(rows, [&]() -> int {
        const Interface& places = rows->program.places;
        const int64_t count = rows->count, levels = places.out_channels;
        if (places.vocabulary || places.in_channels != 1 || steps < 0 || !tokens || !values) return MISFIT;
        if (steps && (!noise || !samples)) return MISFIT;
        std::vector<float> inputs(count), logits(checked_product(count, levels));
        for (int64_t row = 0; row < count; ++row) {
            if (tokens[row] < 0 || tokens[row] >= levels) return TOKEN_OUT_OF_RANGE;
            inputs[row] = values[tokens[row]];
        }
        const Push push{inputs.data(), condition, 1, nullptr, count, 1, logits.data()};
        if (const int refusal = check_push(*rows, push)) return refusal;
        for (int64_t step = 0; step < steps; ++step) {
            advance_all(*rows, push, threads);
            for (int64_t row = 0; row < count; ++row, noise += levels) {
                const int64_t token = likeliest(&logits[row * levels], noise, levels);
                samples[row * steps + step] = token;
                inputs[row] = values[token];
            }
        }
        return NONE;
    });
}

// Copies what one operation remembers of some rows, (count, ...) as PyTorch holds it, out of them or into them; `size` is
// that of `data` in bytes.
EXPORT int tcn_stream_exchange(Rows* rows, int64_t operation, const int64_t* index, int64_t count, void* data,
                               int64_t size, int into_rows) {
    return refusal_in_turn(rows, [&]() -> int {
        const std::vector<Instruction>& instructions = rows->program.instructions;
        if (operation < 0 || operation >= static_cast<int64_t>(instructions.size()) || !data) return MISFIT;
        if (const int refusal = check_rows(*rows, index, count)) return refusal;
        const size_t of_one = state_size(instructions[operation]);
        if (size < 0 || static_cast<size_t>(size) != checked_product(of_one, count)) return MISFIT;
        std::byte* at = static_cast<std::byte*>(data);
        for (int64_t i = 0; i < count; ++i, at += of_one) exchange(*rows, operation, row_at(index, i), at, into_rows);
        return NONE;
    });
}

EXPORT int tcn_stream_reset(Rows* rows, const int64_t* index, int64_t count) {
    return refusal_in_turn(rows, [&]() -> int {
        if (const int refusal = check_rows(*rows, index, count)) return refusal;
        for (int64_t i = 0; i < count; ++i) reset_row(*rows, row_at(index, i));
        return NONE;
    });
}

// What rows begin with from then on where they are told to: the state that this one has now.
EXPORT int tcn_stream_keep_beginning(Rows* rows, int64_t row) {
    return refusal_in_turn(rows, [&]() -> int {
        if (row < 0 || row >= rows->count) return ROW_OUT_OF_RANGE;
        keep_beginning(*rows, row);
        return NONE;
    });
}

EXPORT int tcn_stream_begin(Rows* rows, const int64_t* index, int64_t count) {
    return refusal_in_turn(rows, [&]() -> int {
        if (!rows->beginning) return MISFIT;
        if (const int refusal = check_rows(*rows, index, count)) return refusal;
        for (int64_t i = 0; i < count; ++i) begin_row(*rows, row_at(index, i));
        return NONE;
    });
}

EXPORT int tcn_stream_copy(Rows* rows, const int64_t* source, const int64_t* target, int64_t count) {
    return refusal_in_turn(rows, [&]() -> int {
        if (!source || !target) return MISFIT;
        if (const int refusal = check_rows(*rows, target, count)) return refusal;
        for (int64_t i = 0; i < count; ++i)
            if (source[i] < 0 || source[i] >= rows->count) return ROW_OUT_OF_RANGE;
        copy_rows(*rows, source, target, count);
        return NONE;
    });
}
