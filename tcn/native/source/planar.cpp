#include "planar.h"

#include "stream_check.h"

namespace {

// Some adjacent channels of a frame.
struct Range {
    int64_t begin;
    int64_t end;

    bool meets(const Range& other) const { return begin < other.end && other.begin < end; }
    bool covers(const Range& other) const { return begin <= other.begin && other.end <= end; }
};

Range read_first(const Instruction& op) {
    return op.kind == EMBED ? Range{0, 0} : Range{op.source, int64_t{op.source} + op.in_channels};
}

Range read_second(const Instruction& op) {
    if (op.other < 0) return {0, 0};
    return {op.other, op.other + (op.kind == MODULATE ? int64_t{2} : int64_t{1}) * op.out_channels};
}

Range written(const Instruction& op) {
    return op.kind == REMEMBER ? Range{0, 0} : Range{op.target, int64_t{op.target} + op.out_channels};
}

bool reads(const Instruction& op, const Range& range) {
    return read_first(op).meets(range) || read_second(op).meets(range);
}

// Whether a value that is there before instruction `from` is read by that one or a later one, or is the output.
bool read_later(const std::vector<Instruction>& instructions, size_t from, const Range& value,
                const Interface& places) {
    for (; from < instructions.size(); ++from) {
        if (reads(instructions[from], value)) return true;
        if (written(instructions[from]).covers(value)) return false;
    }
    return value.meets({places.output, places.output + places.out_channels});
}

bool is_plain(const Activation& how) { return how.function == IDENTITY; }

// Whether instruction `index` is a convolution over the present alone that does nothing but add to the next one, and so
// can be added up along with it.
bool adds_to_next(const std::vector<Instruction>& instructions, size_t index, const Interface& places) {
    if (index + 1 >= instructions.size()) return false;
    const Instruction &op = instructions[index], &next = instructions[index + 1];
    const Range value = written(op);
    return op.kind == CONVOLUTION && op.groups == 1 && op.kernel_size == 1 && op.shift == 0 && op.other < 0 &&
           is_plain(op.activation) && is_plain(op.after) && next.kind == CONVOLUTION && next.groups == 1 &&
           is_plain(next.activation) && next.other == op.target && next.out_channels == op.out_channels &&
           !read_first(next).meets(value) && !written(next).meets(read_first(op)) &&
           (written(next).covers(value) || !read_later(instructions, index + 2, value, places));
}

bool convolves(const Instruction& op) { return op.kind == CONVOLUTION || op.kind == DEPTHWISE; }

int64_t terms_of(const Instruction& op) { return int64_t{op.kernel_size} * (op.in_channels / op.groups); }

// The weight of an output of a group, as it has been packed for the other form.
float weight_at(const Instruction& op, int group, int output, int tap, int input) {
    const PanelStrides strides = panel_strides(op);
    return op.weight[group * strides.group + output / PANEL * strides.panel + tap * strides.tap + input * PANEL +
                     output % PANEL];
}

float bias_at(const Instruction& op, int group, int output) {
    const int outputs = op.out_channels / op.groups;
    return op.bias[size_t{1} * group * ((outputs + PANEL - 1) / PANEL * PANEL) + output];
}

// The convolution's weights, and those of another that is added to it if there is one; returns where they end.
float* pack_together(const PlanarInstruction& p, const Instruction* added, float* to) {
    const Instruction& op = p.op;
    const int outputs = p.outputs, inputs = p.inputs;
    for (int group = 0; group < op.groups; ++group)
        for (int first = 0; first < outputs; first += PLANAR_OUTPUTS) {
            const int last = std::min(first + PLANAR_OUTPUTS, outputs);
            for (int out = first; out < last; ++out)
                *to++ = bias_at(op, group, out) + (added ? bias_at(*added, 0, out) : 0.0f);
            for (int tap = 0; tap < op.kernel_size; ++tap)
                for (int in = 0; in < inputs; ++in)
                    for (int out = first; out < last; ++out) *to++ = weight_at(op, group, out, tap, in);
            for (int in = 0; added && in < added->in_channels; ++in)
                for (int out = first; out < last; ++out) *to++ = weight_at(*added, 0, out, 0, in);
        }
    return to;
}

size_t packed_size(const PlanarInstruction& p) { return p.op.out_channels * (1 + terms_of(p.op) + p.added_channels); }

}  // namespace

bool PlanarProgram::suits(const std::vector<Instruction>& instructions, const Interface& places) {
    if (places.ahead) return false;
    double weights = 0, remembered = 0;
    for (const Instruction& op : instructions) {
        if (!convolves(op)) continue;
        if (terms_of(op) * op.groups > PLANAR_TERMS) return false;
        weights += static_cast<double>(terms_of(op)) * op.out_channels;
        remembered += static_cast<double>(context_of(op) + 3 * PLANAR_STEPS) * op.in_channels;
    }
    return weights > 0 && weights <= PLANAR_WEIGHTS && remembered <= PLANAR_MEMORY &&
           places.frame_size <= PLANAR_FRAME;
}

PlanarProgram::PlanarProgram(const std::vector<Instruction>& given, const Interface& places) {
    std::vector<const Instruction*> added;
    for (size_t index = 0; index < given.size(); ++index) {
        const bool both = adds_to_next(given, index, places);
        PlanarInstruction p{};
        p.op = given[index + both];
        p.inputs = p.op.in_channels / p.op.groups;
        p.outputs = p.op.out_channels / p.op.groups;
        if (both) {
            p.op.other = -1;
            p.added_source = given[index].source;
            p.added_channels = given[index].in_channels;
        }
        added.push_back(both ? &given[index] : nullptr);
        numbers.insert(numbers.end(), 1 + both, static_cast<int32_t>(instructions.size()));
        narrow = narrow && (!convolves(p.op) || p.op.out_channels <= PANEL);
        instructions.push_back(p);
        index += both;
    }
    place_rings();
    list_places();
    size_t floats = 0;
    for (const PlanarInstruction& p : instructions)
        if (p.op.kind == CONVOLUTION) floats += packed_size(p);
    weights = std::make_unique<Memory>(checked_product(floats, sizeof(float)));
    float* to = weights->floats();
    for (size_t index = 0; index < instructions.size(); ++index) {
        if (instructions[index].op.kind != CONVOLUTION) continue;
        instructions[index].weight = to;
        to = pack_together(instructions[index], added[index], to);
    }
}

void PlanarProgram::place_rings() {
    int32_t heads = 0;
    for (PlanarInstruction& p : instructions) {
        if (!convolves(p.op) || !context_of(p.op)) continue;
        p.head = heads++;
        // A block's last vector may reach that far beyond what must be kept.
        p.capacity = static_cast<int32_t>(round_up(context_of(p.op) + PLANAR_STEPS + PLANAR_LANES, PLANAR_LANES));
        p.line = odd_lines((size_t{1} * p.capacity + PLANAR_STEPS) * sizeof(float)) / sizeof(float);
    }
    row_size = round_up(heads * sizeof(int32_t), LINE) / sizeof(float);
    for (PlanarInstruction& p : instructions) {
        p.ring = row_size;
        if (p.capacity) row_size += p.line * p.op.in_channels;
    }
}

void PlanarProgram::list_places() {
    for (const PlanarInstruction& p : instructions) {
        if (!convolves(p.op)) continue;
        const int groups = p.op.groups, inputs = p.inputs;
        const auto line = static_cast<int32_t>(p.capacity ? p.line : size_t{PLANAR_STEPS});
        for (int group = 0; group < groups; ++group)
            for (int tap = 0; tap < p.op.kernel_size; ++tap)
                for (int in = 0; in < inputs; ++in)
                    places_.push_back((group * inputs + in) * line + tap * p.op.dilation);
        most_places = std::max(most_places, p.op.kernel_size * p.op.in_channels);
    }
    const int32_t* at = places_.data();
    for (PlanarInstruction& p : instructions) {
        if (!convolves(p.op)) continue;
        p.places = at;
        at += size_t{1} * p.op.kernel_size * p.op.in_channels;
    }
}
