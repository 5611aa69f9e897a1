// Rows of the convolution, filled and read. Behind the tiles of convolution_kernels.h, likewise once per instruction set.

// One channel with its margins, every `step`-th element of `from`.
static void fill_row(const float* from, int64_t step, const Examples& examples, const Layout& layout, int64_t row,
                     float* to) {
    for (int64_t i = 0; i < MARGIN; i += LANES) store(to + i, Vector{});
    to += MARGIN;
    int64_t left = row - MARGIN;
    for (int64_t e = 1; e <= examples.number; ++e) {
        const int64_t width = e < examples.number ? layout.pitch : left;
        // The last vector may reach into the next example's place, which is filled after it.
        for (int64_t i = 0; i < width; i += LANES) store(to + i, load_spaced(from + i * step, step, examples.count - i));
        from += examples.stride, to += layout.pitch, left -= layout.pitch;
    }
}

// What follows the convolution, for one channel of examples side by side in `row`.
template <bool KEEP>
static void finish_row_as(const float* row, const Finish& finish, const Layout& layout, const Examples& examples,
                          Place at, float* y) {
    for (int64_t e = 0; e < examples.number; ++e, ++at.example) {
        for (at.step = 0; at.step < at.steps; at.step += LANES) {
            const int64_t count = at.steps - at.step;
            store(y + at.step, finished<KEEP>(load(row + at.step, count), finish, at), count);
        }
        row += layout.pitch, y += examples.stride;
    }
}

static void finish_row(const float* row, const Finish& finish, const Layout& layout, const Examples& examples,
                       const Place& at, float* y) {
    if (finish.shortcut && finish.kept) finish_row_as<true>(row, finish, layout, examples, at, y);
    else finish_row_as<false>(row, finish, layout, examples, at, y);
}

// The phases of a row, the counterpart of fill_row().
static void merge_phases(const float* phases, int64_t phase_row, int64_t stride, int64_t count, float* to) {
    if (stride == 1) {
        for (int64_t i = 0; i < count; i += LANES) store(to + i, load(phases + i, count - i), count - i);
    } else if (stride == 2) {
        const float* second = phases + phase_row;
        for (int64_t i = 0; i < count / 2; ++i) to[2 * i] = phases[i], to[2 * i + 1] = second[i];
        if (count % 2) to[count - 1] = phases[count / 2];
    } else {
        for (int64_t phase = 0; phase < stride && phase < count; ++phase)
            for (int64_t i = phase; i < count; i += stride) to[i] = phases[phase * phase_row + i / stride];
    }
}

// The gradient before `finish` from the one behind it, for one channel of a row's examples; returns its sum over all.
// Without a shortcut the outputs that are zero show where nothing passes, with one the bits in `kept`.
static float gradient_row(const float* gradient, const float* y, const Finish& finish, const uint8_t* kept,
                          const Examples& examples, const Layout& layout, int64_t row, float* to, float* to_shortcut) {
    for (int64_t i = 0; i < MARGIN; i += LANES) store(to + i, Vector{});
    to += MARGIN;
    Vector total{};
    int64_t left = row - MARGIN;
    const int64_t channels = examples.stride / examples.count;
    for (int64_t e = 1; e <= examples.number; ++e) {
        int64_t t = 0;
        for (; t < examples.count; t += LANES) {
            const int64_t count = examples.count - t;
            Vector g = load(gradient + t, count);
            if (finish.relu) {
                g = load(y + t, count) <= 0.0f ? Vector{} : g;
                if (to_shortcut) store(to_shortcut + t, g, count);
                if (kept) g = load_kept(kept, t, examples.count) ? g : Vector{};
                g *= finish.dropping.scale;
            }
            total += g;
            store(to + t, g);
        }
        const int64_t width = e < examples.number ? layout.pitch : left;
        for (; t < width; t += LANES) store(to + t, Vector{});
        gradient += examples.stride, y += examples.stride, to += layout.pitch, left -= layout.pitch;
        if (kept) kept += channels * kept_bytes(examples.count);
        if (to_shortcut) to_shortcut += examples.stride;
    }
    return sum(total);
}
