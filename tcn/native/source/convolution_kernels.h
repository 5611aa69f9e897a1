// Direct convolution of few channels, vectorized over time: forward, input gradient and weight gradient.
//
//              time ->
//   y[o]   ########################     a tile of a few output channels by a few vectors stays in registers while
//   y[o+1] ########################     every input channel and tap adds one product to each of them
//   y[o+2] ########################
//
// Taps that lie wholly in the zeros beside a sequence are skipped: under a large dilation that is most of them.

#include "vector.h"
#include "partial.h"
#include "dropping.h"
#include "kept.h"

// Sizes of the tiles, so that sums, one column and a broadcast fit the registers: 32 of them, or 16.
#if LANES == 16 || defined(__aarch64__)
constexpr int64_t TILE_CHANNELS = 9, TILE_VECTORS = 3, GRADIENT_CHANNELS = 5;
#else
constexpr int64_t TILE_CHANNELS = 6, TILE_VECTORS = 2, GRADIENT_CHANNELS = 3;
#endif

// Lane i becomes lane from[i] of `a` and `b`, counted through both.
INLINE Vector shuffle(Vector a, Vector b, Integers from) {
#if defined(__clang__)
    Vector result;
    for (int i = 0; i < LANES; ++i) result[i] = from[i] < LANES ? a[from[i]] : b[from[i] - LANES];
    return result;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

// The same as load() of every `step`-th element.
INLINE Vector load_spaced(const float* from, int64_t step, int64_t count) {
    if (step == 1) return load(from, count);
    if (step == 2) {
        Integers even;
        for (int i = 0; i < LANES; ++i) even[i] = 2 * i;
        const int64_t elements = 2 * count - 1;
        return shuffle(load(from, elements), load(from + LANES, elements - LANES), even);
    }
    Vector values{};
    for (int64_t i = 0; i < LANES && i < count; ++i) values[i] = from[i * step];
    return values;
}

// Not a number stays what it is, as in PyTorch.
INLINE Vector relu(Vector x) { return x < 0.0f ? Vector{} : x; }

// ------------------------------------------------------------------------------------------------- convolution

// Channels [done, done + size) of the output form a tile; the tiles are as equal as possible.
static int64_t tile_channels(int64_t channels, int64_t done, int64_t most) {
    const int64_t left = channels - done, tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

// One tile's part of pack(); returns where the next one begins.
template <int CHANNELS>
static float* pack_tile(int64_t channels, const float* weight, int64_t outer_stride, int64_t inner_stride,
                        const Pass& pass, float* packed) {
    if constexpr (CHANNELS > 1)
        if (channels < CHANNELS)
            return pack_tile<CHANNELS - 1>(channels, weight, outer_stride, inner_stride, pass, packed);
    for (int64_t inner = 0; inner < pass.in_channels; ++inner, weight += inner_stride)
        for (int64_t k = 0; k < pass.taps; ++k, packed += CHANNELS) {
            const float* from = weight + pass.tap[k].index;
#pragma GCC unroll 9
            for (int i = 0; i < CHANNELS; ++i) packed[i] = from[i * outer_stride];
        }
    return packed;
}

// weight[outer][inner][tap] to tile after tile, each [inner][tap][channels of the tile], in the order they are read.
static void pack(const float* weight, int64_t outer_stride, int64_t inner_stride, const Pass& pass, float* packed) {
    for (int64_t outer = 0, size; outer < pass.out_channels; outer += size) {
        size = tile_channels(pass.out_channels, outer, TILE_CHANNELS);
        packed = pack_tile<TILE_CHANNELS>(size, weight + outer * outer_stride, outer_stride, inner_stride, pass, packed);
    }
}

// Where a tile lies: channel and step of its corner, and which taps see more than zeros from there.
struct Corner {
    int64_t example, channel, step, first_tap, last_tap;
};

static Corner corner(const Pass& pass, int64_t example, int64_t channel, int64_t step) {
    Corner at{example, channel, step, 0, pass.taps};
    const auto before = [&](const Tap& tap) { return step + tap.shift + TILE_VECTORS * LANES <= 0; };
    const auto behind = [&](const Tap& tap) { return step + tap.shift >= tap.length; };
    while (at.first_tap < at.last_tap && before(pass.tap[at.first_tap])) ++at.first_tap;
    while (at.first_tap < at.last_tap && behind(pass.tap[at.last_tap - 1])) --at.last_tap;
    return at;
}

// A vector of outputs on its way into memory; with KEEP the bits of what passes are written too.
template <bool KEEP>
INLINE Vector finished(Vector y, const Finish& finish, const Place& at) {
    if (finish.relu) y = relu(y);
    const int64_t row = at.example * at.channels + at.channel;
    if (finish.dropping.below) y = drop(y, finish.dropping, row * at.steps + at.step);
    if (!finish.shortcut) return y;
    if (KEEP) store_kept(finish.kept + row * kept_bytes(at.steps), y <= 0.0f, at.step, at.steps);
    const int64_t* strides = finish.shortcut_strides;
    const float* from = finish.shortcut + at.example * strides[0] + at.channel * strides[1] + at.step * strides[2];
    return relu(y + load_spaced(from, strides[2], at.steps - at.step));
}

// Whole vectors with no more than a ReLU behind them: most of what is stored, and all of the gradients.
template <int CHANNELS, int VECTORS>
INLINE void store_plain(Vector (&sum)[CHANNELS][VECTORS], int64_t row, bool positive, float* out) {
#pragma GCC unroll 9
    for (int m = 0; m < CHANNELS; ++m, out += row)
#pragma GCC unroll 4
        for (int n = 0; n < VECTORS; ++n) store(out + n * LANES, positive ? relu(sum[m][n]) : sum[m][n]);
}

template <bool KEEP, int CHANNELS, int VECTORS>
static void store_tile(Vector (&sum)[CHANNELS][VECTORS], const Pass& pass, const Finish& finish, const Corner& at,
                       float* out) {
    for (int m = 0; m < CHANNELS; ++m) {
        const int64_t channel = at.channel + m;
        for (int n = 0; n < VECTORS; ++n) {
            const int64_t step = at.step + n * LANES;
            const Place place{pass.out_channels, pass.steps, at.example, channel, step};
            store(out + channel * pass.out_row + step, finished<KEEP>(sum[m][n], finish, place), pass.steps - step);
        }
    }
}

template <int CHANNELS, int VECTORS>
static void tile(const Pass& pass, const float* rows, const float* weight, const Finish& finish, const Corner& at,
                 float* out) {
    Vector sum[CHANNELS][VECTORS];
#pragma GCC unroll 9
    for (int m = 0; m < CHANNELS; ++m)
#pragma GCC unroll 4
        for (int n = 0; n < VECTORS; ++n) sum[m][n] = broadcast(finish.bias ? finish.bias[at.channel + m] : 0.0f);
    for (int64_t c = 0; c < pass.in_channels; ++c) {
        const float* w = weight + (c * pass.taps + at.first_tap) * CHANNELS;
        for (int64_t k = at.first_tap; k < at.last_tap; ++k, w += CHANNELS) {
            const Tap& tap = pass.tap[k];
            const float* from =
                rows + (tap.phase * pass.in_channels + c) * pass.row + MARGIN + at.step + tap.shift;
            Vector x[VECTORS];
#pragma GCC unroll 4
            for (int n = 0; n < VECTORS; ++n) x[n] = load(from + n * LANES);
#pragma GCC unroll 9
            for (int m = 0; m < CHANNELS; ++m)
#pragma GCC unroll 4
                for (int n = 0; n < VECTORS; ++n) sum[m][n] += x[n] * w[m];
        }
    }
    if (!finish.dropping.below && !finish.shortcut && at.step + VECTORS * LANES <= pass.steps) {
        float* to = out + at.channel * pass.out_row + at.step;
        if (finish.relu) store_plain(sum, pass.out_row, true, to);
        else store_plain(sum, pass.out_row, false, to);
    } else if (finish.shortcut && finish.kept) store_tile<true>(sum, pass, finish, at, out);
    else store_tile<false>(sum, pass, finish, at, out);
}

typedef void (*Tile)(const Pass&, const float*, const float*, const Finish&, const Corner&, float*);

template <int CHANNELS, int VECTORS>
static Tile find_tile(int64_t channels, int64_t vectors) {
    if constexpr (CHANNELS > 1)
        if (channels < CHANNELS) return find_tile<CHANNELS - 1, VECTORS>(channels, vectors);
    if constexpr (VECTORS > 1)
        if (vectors < VECTORS) return find_tile<CHANNELS, VECTORS - 1>(channels, vectors);
    return tile<CHANNELS, VECTORS>;
}

// One example from its rows.
static void convolve(const Pass& pass, const float* rows, const Finish& finish, int64_t example, float* out) {
    const int64_t width = TILE_VECTORS * LANES;
    for (int64_t step = 0; step < pass.steps; step += width) {
        const int64_t left = (pass.steps - step + LANES - 1) / LANES;
        const int64_t vectors = left < TILE_VECTORS ? left : TILE_VECTORS;
        Corner at = corner(pass, example, 0, step);
        const float* weight = pass.weight;
        for (int64_t size; at.channel < pass.out_channels; at.channel += size) {
            size = tile_channels(pass.out_channels, at.channel, TILE_CHANNELS);
            find_tile<TILE_CHANNELS, TILE_VECTORS>(size, vectors)(pass, rows, weight, finish, at, out);
            weight += size * pass.in_channels * pass.taps;
        }
    }
}

// --------------------------------------------------------------------------------------------- weight gradient

// Adds up the lanes of every sum: pairs of vectors are folded into one, half by half, and land in bit-reversed order.
template <int COUNT, int HALF>
INLINE void fold(Vector* sums) {
    if constexpr (HALF > 0) {
        Integers low, high;
        for (int i = 0; i < LANES; ++i) {
            const int within = i % (2 * HALF), start = i - within;
            low[i] = within < HALF ? i : LANES + start + within - HALF;
            high[i] = low[i] + HALF;
        }
#pragma GCC unroll 16
        for (int i = 0; i < (COUNT + 1) / 2; ++i) {
            const Vector a = sums[2 * i], b = 2 * i + 1 < COUNT ? sums[2 * i + 1] : Vector{};
            sums[i] = shuffle(a, b, low) + shuffle(a, b, high);
        }
        fold<(COUNT + 1) / 2, HALF / 2>(sums);
    }
}

INLINE int folded_lane(int index) {
    int lane = 0;
    for (int bit = 1; bit < LANES; bit *= 2) lane = 2 * lane + (index & bit ? 1 : 0);
    return lane;
}

// sum[m][n] = sum over examples and steps of gradient[m][t] * x[n][t], where x already points to the tap's step 0.
template <int OUT, int IN>
static void gradient_tile(const Block& block, const float* gradient, const float* x, float* to, int64_t out_stride,
                          int64_t in_stride) {
    Vector sum[OUT * IN] = {};
    for (int64_t group = 0; group < block.groups; ++group) {
        const float* g = gradient + group * block.gradient_group;
        const float* from = x + group * block.x_group;
        for (int64_t t = block.first_step; t < block.last_step; t += LANES) {
            Vector row[OUT];
#pragma GCC unroll 9
            for (int m = 0; m < OUT; ++m) row[m] = load(g + m * block.gradient_row + t);
#pragma GCC unroll 9
            for (int n = 0; n < IN; ++n) {
                const Vector column = load(from + n * block.x_row + t);
#pragma GCC unroll 9
                for (int m = 0; m < OUT; ++m) sum[m * IN + n] += row[m] * column;
            }
        }
    }
    fold<OUT * IN, LANES / 2>(sum);
#pragma GCC unroll 32
    for (int i = 0; i < OUT * IN; ++i)
        to[i / IN * out_stride + i % IN * in_stride] += sum[i / LANES][folded_lane(i % LANES)];
}

typedef void (*GradientTile)(const Block&, const float*, const float*, float*, int64_t, int64_t);

template <int OUT, int IN>
static GradientTile find_gradient_tile(int64_t out, int64_t in) {
    if constexpr (OUT > 1)
        if (out < OUT) return find_gradient_tile<OUT - 1, IN>(out, in);
    if constexpr (IN > 1)
        if (in < IN) return find_gradient_tile<OUT, IN - 1>(out, in);
    return gradient_tile<OUT, IN>;
}

// Adds one block's part to gradient_weight (out_channels, in_channels, kernel_size).
static void add_weight_gradient(const Shape& shape, const std::vector<Tap>& taps, Block block, float* gradient_weight) {
    constexpr int64_t MOST = GRADIENT_CHANNELS, AT_ONCE = 1024;  // steps whose rows stay in the innermost cache
    const int64_t first = block.first_step, last = block.last_step;
    for (int64_t from = first; from < last; from += AT_ONCE)
        for (int64_t o = 0, out; o < shape.out_channels; o += out) {
            out = tile_channels(shape.out_channels, o, MOST);
            for (int64_t c = 0, in; c < shape.in_channels; c += in) {
                in = tile_channels(shape.in_channels, c, MOST);
                const GradientTile add = find_gradient_tile<MOST, MOST>(out, in);
                for (const Tap& tap : taps) {
                    const int64_t begin = -tap.shift > from ? -tap.shift : from;
                    const int64_t end = from + AT_ONCE < last ? from + AT_ONCE : last;
                    block.first_step = begin / LANES * LANES;
                    block.last_step = tap.length - tap.shift < end ? tap.length - tap.shift : end;
                    if (begin >= block.last_step) continue;  // the tap sees zeros alone, and its rows lie anywhere
                    const float* g = block.gradient + o * block.gradient_row + MARGIN;
                    const float* x =
                        block.x + (tap.phase * shape.in_channels + c) * block.x_row + MARGIN + tap.shift;
                    float* to = gradient_weight + (o * shape.in_channels + c) * shape.kernel_size + tap.index;
                    add(block, g, x, to, shape.in_channels * shape.kernel_size, shape.kernel_size);
                }
            }
        }
}

#include "convolution_rows.h"
