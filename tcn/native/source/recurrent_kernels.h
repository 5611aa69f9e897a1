// One step of a recurrent layer for some rows of a batch; compiled once per instruction set.

#include "vector.h"
#include "partial.h"

// What fills the registers without spilling: 24 sums of 32 registers, or 12 of 16.
static constexpr int TILE_ROWS = LANES == 16 ? 8 : 4;
static constexpr int TILE_VECTORS = 3;
static_assert(PANEL % (TILE_VECTORS * LANES) == 0, "tiles divide a panel");

// ------------------------------------------------------------------------------------------------------ product

// Weights that are fetched while others are in use, `stride` floats further with each row of the weight. A few rows of
// x do not hide the time it takes, and their tiles leave it out.
struct Ahead {
    const float* weight;
    int64_t stride;
};

// y[r][n] += sum over k < depth of x[r][k] weight[k][n] for ROWS rows and `width` columns, at most those of the tile.
template <int ROWS, int VECTORS>
static void multiply_tile(const float* const* x, const float* weight, int64_t depth, float* const* y, int64_t column,
                          int64_t width, Ahead ahead) {
    // Each sum waits for the one before: at least eight of them under way keep the multipliers busy.
    constexpr int PARTS = ROWS * VECTORS < 8 ? 8 / (ROWS * VECTORS) : 1;
    Vector sums[PARTS][ROWS][VECTORS] = {};
    const float* from[ROWS];
    for (int r = 0; r < ROWS; ++r) from[r] = x[r];
    const auto add = [&](int part, int64_t k) __attribute__((always_inline)) {
        Vector columns[VECTORS];
        if constexpr (ROWS > TILE_ROWS / 2) __builtin_prefetch(ahead.weight + k * ahead.stride, 0, 2);
        for (int v = 0; v < VECTORS; ++v) columns[v] = load(weight + k * PANEL + v * LANES);
        for (int r = 0; r < ROWS; ++r) {
            const Vector factor = broadcast(from[r][k]);
            for (int v = 0; v < VECTORS; ++v) sums[part][r][v] += factor * columns[v];
        }
    };
    int64_t k = 0;
    for (; k + PARTS <= depth; k += PARTS)
        for (int part = 0; part < PARTS; ++part) add(part, k + part);
    for (; k < depth; ++k) add(0, k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 3
        for (int v = 0; v < VECTORS; ++v) {
            Vector total = sums[0][r][v];
#pragma GCC unroll 8
            for (int part = 1; part < PARTS; ++part) total += sums[part][r][v];
            float* to = y[r] + column + v * LANES;
            const int64_t count = v + 1 < VECTORS ? LANES : width - v * LANES;
            store(to, load(to, count) + total, count);
        }
}

// The first of as many pieces of at most `most` as it takes, all as equal as possible.
INLINE int64_t share(int64_t size, int64_t most) {
    const int64_t pieces = (size + most - 1) / most;
    return (size + pieces - 1) / pieces;
}

typedef void (*Tile)(const float* const*, const float*, int64_t, float* const*, int64_t, int64_t, Ahead);

template <int ROWS, int VECTORS>
static Tile find_tile(int64_t rows, int64_t vectors) {
    if constexpr (ROWS > 1)
        if (rows < ROWS) return find_tile<ROWS - 1, VECTORS>(rows, vectors);
    if constexpr (VECTORS > 1)
        if (vectors < VECTORS) return find_tile<ROWS, VECTORS - 1>(rows, vectors);
    return multiply_tile<ROWS, VECTORS>;
}

// y[r] += x[r] weight for `rows` rows: (depth) times (depth, columns), the weight in panels. A panel is taken in parts
// that stay in the second cache while all rows pass, and the tiles of one part share out the fetching of the next.
static void multiply(const float* const* x, const float* weight, int64_t depth, float* const* y, int64_t columns,
                     int64_t rows) {
    if (rows == 0) return;
    constexpr int64_t WIDTH = TILE_VECTORS * LANES, MOST_DEPTH = 512;
    const int64_t row_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const float* from[TILE_ROWS];
    for (int64_t k = 0, size; k < depth; k += size) {
        size = share(depth - k, MOST_DEPTH);
        for (int64_t column = 0; column < columns; column += WIDTH) {
            const float* part = weight + column / PANEL * PANEL * depth + k * PANEL + column % PANEL;
            const int64_t left = columns - column, width = left < WIDTH ? left : WIDTH;
            Ahead ahead{part + depth * PANEL, PANEL / row_tiles};
            for (int64_t r = 0, count; r < rows; r += count, ahead.weight += size * ahead.stride) {
                count = share(rows - r, TILE_ROWS);
                for (int64_t i = 0; i < count; ++i) from[i] = x[r + i] + k;
                const Tile tile = find_tile<TILE_ROWS, TILE_VECTORS>(count, (width + LANES - 1) / LANES);
                tile(from, part, size, y + r, column, width, ahead);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------------- gates

// f(i, count) for every vector of a row, `count` of whose lanes are in it.
template <typename Function>
INLINE void for_each_vector(int64_t size, Function f) {
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) f(i, LANES);
    if (i < size) f(i, size - i);
}

// In each of these `g` is one row of the gates, h and c its states before and after the step.

static void lstm_gates(int64_t size, float* g, const float* c_before, float* c, float* h) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vector in = sigmoid(load(g + i, count)), forget = sigmoid(load(g + size + i, count));
        const Vector cell = tangent(load(g + 2 * size + i, count)), out = sigmoid(load(g + 3 * size + i, count));
        store(g + i, in, count), store(g + size + i, forget, count);
        store(g + 2 * size + i, cell, count), store(g + 3 * size + i, out, count);
        const Vector sum = forget * load(c_before + i, count) + in * cell;
        store(c + i, sum, count);
        store(h + i, out * tangent(sum), count);
    });
}

static void gru_gates(int64_t size, float* g, const float* h_before, float* h) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vector reset = sigmoid(load(g + size + i, count)), update = sigmoid(load(g + 2 * size + i, count));
        const Vector fresh = tangent(load(g + i, count) + reset * load(g + 3 * size + i, count));
        store(g + i, fresh, count), store(g + size + i, reset, count), store(g + 2 * size + i, update, count);
        store(h + i, fresh + update * (load(h_before + i, count) - fresh), count);
    });
}

static void rnn_gates(int64_t size, const float* g, float* h) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        store(h + i, tangent(load(g + i, count)), count);
    });
}

// Backward: `d` is the row of the gates' gradient; dh and dc go in as gradients of the states after the step and come
// out as the share of those before it that does not pass through the recurrent weights.

static void lstm_gradient(int64_t size, const float* g, const float* c_before, const float* c, float* d, float* dh,
                          float* dc) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vector in = load(g + i, count), forget = load(g + size + i, count);
        const Vector cell = load(g + 2 * size + i, count), out = load(g + 3 * size + i, count);
        const Vector bent = tangent(load(c + i, count)), of_h = load(dh + i, count);
        const Vector of_c = load(dc + i, count) + of_h * out * (1.0f - bent * bent);
        store(d + i, of_c * cell * in * (1.0f - in), count);
        store(d + size + i, of_c * load(c_before + i, count) * forget * (1.0f - forget), count);
        store(d + 2 * size + i, of_c * in * (1.0f - cell * cell), count);
        store(d + 3 * size + i, of_h * bent * out * (1.0f - out), count);
        store(dc + i, of_c * forget, count);
        store(dh + i, Vector{}, count);
    });
}

static void gru_gradient(int64_t size, const float* g, const float* h_before, float* d, float* dh) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vector fresh = load(g + i, count), reset = load(g + size + i, count);
        const Vector update = load(g + 2 * size + i, count), of_h = load(dh + i, count);
        const Vector of_fresh = of_h * (1.0f - update) * (1.0f - fresh * fresh);
        store(d + i, of_fresh, count);
        store(d + size + i, of_fresh * load(g + 3 * size + i, count) * reset * (1.0f - reset), count);
        store(d + 2 * size + i, of_h * (load(h_before + i, count) - fresh) * update * (1.0f - update), count);
        store(d + 3 * size + i, of_fresh * reset, count);
        store(dh + i, of_h * update, count);
    });
}

static void rnn_gradient(int64_t size, const float* h, float* d, float* dh) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vector after = load(h + i, count);
        store(d + i, load(dh + i, count) * (1.0f - after * after), count);
        store(dh + i, Vector{}, count);
    });
}

static void add_row(int64_t size, const float* from, float* to) {
    for_each_vector(size, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        store(to + i, load(to + i, count) + load(from + i, count), count);
    });
}
