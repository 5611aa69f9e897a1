// Recurrent layers on float32 sequences, forward and backward, for tcn/native/recurrent.py.
//
// Only what has to wait for the step before is here: the product with the recurrent weights and the gates. The rows of
// a batch know nothing of each other, so that each thread takes some of them through all steps without waiting.

#include "recurrent.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "calling.h"
#include "denormals.h"
#include "instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KERNELS "recurrent_kernels.h"
#include "for_each_instruction_set.h"

namespace {

// Floats of the gates of one row of one step, and where those with recurrent weights begin.
struct Layout {
    int64_t row, first;

    explicit Layout(const Piece& p) : row((p.cell == RNN ? 1 : 4) * p.hidden), first(p.cell == GRU ? p.hidden : 0) {}
};

// The rows [begin, end) of the batch.
class Rows {
public:
    Rows(const Piece& piece, int64_t begin, int64_t end)
        : p_(piece), layout_(piece), begin_(begin), end_(end), x_(end - begin), y_(end - begin) {}

    void forward() {
        const FlushDenormals flush;
        for (int64_t step = 0; step < p_.steps; ++step) {
            int64_t count = 0;
            for (int64_t i = begin_; i < end_; ++i)
                if (valid(step, i))
                    x_[count] = before(p_.state, p_.states, step, i), y_[count++] = gates(step, i) + layout_.first;
            DISPATCH(multiply, x_.data(), p_.weight, p_.hidden, y_.data(), layout_.row - layout_.first, count);
            for (int64_t i = begin_; i < end_; ++i) valid(step, i) ? activate(step, i) : keep(step, i);
        }
    }

    void backward(const Gradients& of) {
        const FlushDenormals flush;
        for (int64_t step = p_.steps - 1; step >= 0; --step) {
            int64_t count = 0;
            for (int64_t i = begin_; i < end_; ++i) {
                float* of_gates = of.gates + (step * p_.batch + i) * layout_.row;
                float* of_state = of.state + i * p_.hidden;
                DISPATCH(add_row, p_.hidden, after(of.states, step, i), of_state);
                if (valid(step, i)) {
                    derive(step, i, of_gates, of_state, of.memory);
                    x_[count] = of_gates + layout_.first, y_[count++] = of_state;
                } else {
                    std::fill_n(of_gates, layout_.row, 0.0f);
                }
            }
            DISPATCH(multiply, x_.data(), p_.weight, layout_.row - layout_.first, y_.data(), p_.hidden, count);
        }
    }

private:
    bool valid(int64_t step, int64_t i) const { return !p_.mask || p_.mask[step * p_.batch + i]; }
    float* gates(int64_t step, int64_t i) const { return p_.gates + (step * p_.batch + i) * layout_.row; }

    template <typename Float>
    Float* after(Float* all, int64_t step, int64_t i) const {
        return all + (step * p_.batch + i) * p_.hidden;
    }

    const float* before(const float* first, const float* all, int64_t step, int64_t i) const {
        return step ? after(all, step - 1, i) : first + i * p_.hidden;
    }

    void activate(int64_t step, int64_t i) const {
        float *g = gates(step, i), *state = after(p_.states, step, i);
        if (p_.cell == LSTM)
            DISPATCH(lstm_gates, p_.hidden, g, before(p_.memory, p_.memories, step, i), after(p_.memories, step, i),
                     state);
        if (p_.cell == GRU) DISPATCH(gru_gates, p_.hidden, g, before(p_.state, p_.states, step, i), state);
        if (p_.cell == RNN) DISPATCH(rnn_gates, p_.hidden, g, state);
    }

    void keep(int64_t step, int64_t i) const {
        std::copy_n(before(p_.state, p_.states, step, i), p_.hidden, after(p_.states, step, i));
        if (p_.cell == LSTM)
            std::copy_n(before(p_.memory, p_.memories, step, i), p_.hidden, after(p_.memories, step, i));
    }

    void derive(int64_t step, int64_t i, float* of_gates, float* of_state, float* of_memory) const {
        if (p_.cell == LSTM)
            DISPATCH(lstm_gradient, p_.hidden, gates(step, i), before(p_.memory, p_.memories, step, i), after(p_.memories, step, i),
                     of_gates, of_state, of_memory + i * p_.hidden);
        if (p_.cell == GRU)
            DISPATCH(gru_gradient, p_.hidden, gates(step, i), before(p_.state, p_.states, step, i), of_gates, of_state);
        if (p_.cell == RNN) DISPATCH(rnn_gradient, p_.hidden, after(p_.states, step, i), of_gates, of_state);
    }

    const Piece& p_;
    const Layout layout_;
    const int64_t begin_, end_;
    std::vector<const float*> x_;  // the left sides of the products
    std::vector<float*> y_;        // what they are added to
};

// Calls `run` with the rows of each thread.
template <typename Function>
Outcome share_rows(int64_t batch, int64_t threads, const Function& run) {
    return finish_call([&] {
        share_out(threads, threads,
                  [&](int64_t i) { run(batch * i / threads, batch * (i + 1) / threads); });
    });
}

bool fits(const Piece& p) {
    return within(p.cell, LSTM, RNN) && within(p.hidden, 1, MOST) && within(p.steps, 0, MOST) &&
           within(p.batch, 0, MOST) && product_fits({p.steps, p.batch, 4, p.hidden}) &&
           product_fits({p.batch, 4, p.hidden}) && product_fits({p.hidden, 4, p.hidden});
}

bool given(const Piece& p) {
    const bool remembers = p.cell != LSTM || (p.memory && p.memories);
    return p.weight && p.state && p.states && remembers;
}

}  // namespace

// The products around the loop are PyTorch's, and as slow over such numbers as the loop would be. On (1), and back to
// what was before (0), for the calling thread.
EXPORT void tcn_flush_denormals(int64_t on) {
    thread_local std::optional<FlushDenormals> flush;
    if (on)
        flush.emplace();
    else
        flush.reset();
}

EXPORT Outcome tcn_recur(const Piece* piece, int64_t threads) {
    if (!fits(*piece) || !threads_fit(threads)) return Outcome::OUT_OF_RANGE;
    if (piece->steps == 0 || piece->batch == 0) return Outcome::DONE;
    if (!given(*piece) || !piece->gates) return Outcome::OUT_OF_RANGE;
    return share_rows(piece->batch, threads,
                      [=](int64_t begin, int64_t end) { Rows(*piece, begin, end).forward(); });
}

EXPORT Outcome tcn_recur_backward(const Piece* piece, const Gradients* gradients, int64_t threads) {
    if (!fits(*piece) || !threads_fit(threads)) return Outcome::OUT_OF_RANGE;
    if (piece->steps == 0 || piece->batch == 0) return Outcome::DONE;
    const bool remembers = piece->cell != LSTM || gradients->memory;
    const bool wanted = gradients->states && gradients->gates && gradients->state && remembers;
    if (!given(*piece) || !wanted || (piece->cell != RNN && !piece->gates)) return Outcome::OUT_OF_RANGE;
    return share_rows(piece->batch, threads,
                      [=](int64_t begin, int64_t end) { Rows(*piece, begin, end).backward(*gradients); });
}
