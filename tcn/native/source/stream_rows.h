// What is remembered of the rows of a program, and what may be done to it between pushes.

#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "planar_rows.h"
#include "stream_memory.h"
#include "stream_program.h"

// So many that `parts` times as many are enough.
inline int64_t share(int64_t count, int64_t parts) { return count / parts + (count % parts != 0); }

// What a block needs besides the rows' memory.
struct Workspace {
    explicit Workspace(const Program& program)
        : frames(checked_product(BLOCK_ITEMS * sizeof(float), program.frame_size)),
          inputs(checked_product(BLOCK_ITEMS * sizeof(float*), program.taps)) {
        if (!program.planar) return;
        planes = std::make_unique<Memory>(PLANAR_STEPS * sizeof(float) * program.places.frame_size);
        places = std::make_unique<Memory>(sizeof(int32_t) * program.planar->most_places);
    }

    const float** listed() const { return reinterpret_cast<const float**>(inputs.bytes()); }

    Memory frames;
    Memory inputs;
    std::unique_ptr<Memory> planes;
    std::unique_ptr<Memory> places;
};

struct Rows;

// What is remembered of a row, in whichever form it is.
class RowCopy {
public:
    // A brief one takes longer to make, and less to put where every channel has been constant, as in silence.
    RowCopy(const Rows& rows, int64_t index, bool brief = false);

    void put(Rows& rows, int64_t index) const;
    bool is_planar() const { return is_planar_; }

private:
    std::vector<std::byte> bytes_;
    bool is_planar_;
    std::vector<float> planar_;  // the whole planar row; empty if there are levels
    std::vector<float> levels_;  // see levels_of
};

struct Rows {
    Rows(std::shared_ptr<const Program> program, int64_t count);

    RowMemory row(int64_t index) const {
        return {memory.bytes() + index / together * piece_size, static_cast<int>(together),
                static_cast<int>(index % together), 1};
    }

    const std::shared_ptr<const Program> owned;
    const Program& program;
    const int64_t count;
    const int64_t together;  // rows that share a piece of memory
    const size_t piece_size;
    const Memory memory;
    std::vector<std::unique_ptr<Workspace>> workspaces;  // one per thread
    const Memory named;  // of each row the push in which it was last named
    uint64_t pushes = 0;
    std::unique_ptr<PlanarRows> planar;  // null until a row has been planar
    std::unique_ptr<RowCopy> beginning;  // what rows begin with; null if that has not been said
    std::atomic<bool> in_use{false};
};

// The right to use some rows, of one thread at a time. It is not waited for: which of two steps of a row came first is
// for the caller to say.
class Turn {
public:
    explicit Turn(Rows& rows) : rows_(rows), taken_(!rows.in_use.exchange(true, std::memory_order_acquire)) {}
    ~Turn() {
        if (taken_) rows_.in_use.store(false, std::memory_order_release);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    bool taken() const { return taken_; }

private:
    Rows& rows_;
    const bool taken_;
};

// Number i of those named; all of them in order if none is.
inline int64_t row_at(const int64_t* index, int64_t i) { return index ? index[i] : i; }

// Whether there are so many rows, each of them named once.
Refusal check_rows(Rows& rows, const int64_t* index, int64_t count);

// Begins a row anew: zeros before the first step of every layer.
void reset_row(const Rows& rows, int64_t index);

// Keeps a copy of a row's state, for rows to begin with.
void keep_beginning(Rows& rows, int64_t index);

// Gives a row the state that has been kept, in the form in which rows have been before.
void begin_row(Rows& rows, int64_t index);

// Gives each target the state of the source beside it, as it was before any of them was written.
void copy_rows(Rows& rows, const int64_t* source, const int64_t* target, int64_t count);

// In bytes, what one operation remembers of a row, as PyTorch holds it.
size_t state_size(const Instruction& op);

// Copies what operation number `operation` remembers of a row to or from `data`.
void exchange(const Rows& rows, int64_t operation, int64_t index, std::byte* data, bool into_row);

// Copies the latest inputs of a convolution, the last of them `context` steps before the head, to or from the row's
// interleaved ring; each channel's lie `stride` floats behind those of the one before.
void exchange_ring(const Instruction& op, const RowMemory& memory, float* data, size_t stride, bool into_row);

// Whether an interleaved ring holds nothing but zeros.
bool is_empty(const Instruction& op, const RowMemory& memory);

// Makes it zeros.
void clear_ring(const Instruction& op, const RowMemory& memory);
