"""One operation of a net as C: its constants, its part of the state, what it does to a block.

The text of an operation knows nothing but numbers, all of them constants for the compiler. Values
lie in the scratch of the state, step after step, each a whole number of vectors wide.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import indent

from tcn.inference.c_convolution import convolution
from tcn.inference.c_pieces import Piece, Places, activated, constant, each, epilogue, numbers
from tcn.native.operations import Operation


def written(operation: Operation, number: int, places: Places) -> Piece:
    """The piece of an operation, the ``number``-th of the net."""
    return _WRITERS[operation.kind](operation, number, places)


def _simple(expression: str) -> Callable[[Operation, int, Places], Piece]:
    """An operation that is one expression of ``x`` and ``z``, the source and the other value."""

    def write(op: Operation, number: int, places: Places) -> Piece:
        assert op.source is not None
        assert op.target is not None
        piece, name = Piece(), f"{places.prefix}_{number}"
        for what, tensor in (("weight", op.weight), ("bias", op.bias)):
            if tensor is not None:
                piece.constants.append(numbers(f"{name}_{what}", tensor))
        stride = places.stride(op.source)
        other = 0 if op.other is None else places.stride(op.other)
        x = f"x[t * {stride} + c]"
        said = expression.format(
            x=x,
            half=f"x[t * {stride} + {op.out_channels} + c]",
            z=f"z[t * {other} + c]",
            far=f"z[t * {other} + {op.out_channels} + c]",
            name=name,
            prefix=places.prefix,
            active=activated(op.activation, x, places.prefix),
        )
        lines = [f"y[t * {places.stride(op.target)} + c] = {said};"]
        reads = {"x": op.source, "z": op.other if "z[" in said else None}
        each(piece, op, name, places, lines, reads)
        if op.kind in ("pointwise", "scale"):
            epilogue(piece, op, name, places)
        return piece

    return write


# ------------------------------------------------------------------------------- norms


def _norm(op: Operation, number: int, places: Places) -> Piece:
    """Over the channels of a step; of all steps so far for the cumulative one."""
    assert op.source is not None
    assert op.target is not None
    assert op.weight is not None
    name, piece, n = f"{places.prefix}_{number}", Piece(), op.out_channels
    piece.constants.append(numbers(f"{name}_weight", op.weight))
    if op.bias is not None:
        piece.constants.append(numbers(f"{name}_bias", op.bias))
    shift = "" if op.bias is None else f" + {name}_bias[c]"
    epsilon = constant(op.epsilon)
    if op.kind == "cumulative_norm":
        piece.fields.append(f"double sums{number}[3];")
        moments = f"""\
double *sums = s->sums{number};
for (int c = 0; c < {n}; ++c) {{
    sums[0] += x[c];
    sums[1] += (double)x[c] * x[c];
}}
sums[2] += {n};
double mean = sums[0] / sums[2], variance = sums[1] / sums[2] - mean * mean;
variance = (variance < 0 ? 0 : variance) + {op.epsilon!r};
float center = (float)mean, factor = (float)(1.0 / sqrt(variance));"""
    else:
        mean = f"for (int c = 0; c < {n}; ++c) center += x[c];\ncenter /= {n};"
        moments = f"""\
float center = 0, variance = 0;
{mean if op.kind == "layer_norm" else ""}
for (int c = 0; c < {n}; ++c) variance += (x[c] - center) * (x[c] - center);
float factor = 1.0f / sqrtf(variance / {n} + {epsilon});"""
    piece.block.append(f"""\
for (int t = 0; t < steps; ++t) {{
    const float *x = {places.at(op.source)} + t * {places.stride(op.source)};
    float *y = {places.at(op.target)} + t * {places.stride(op.target)};
{indent(moments, "    ")}
    for (int c = 0; c < {n}; ++c) y[c] = (x[c] - center) * factor * {name}_weight[c]{shift};
}}""")
    return piece


def _running_mean(op: Operation, number: int, places: Places) -> Piece:
    assert op.source is not None
    assert op.target is not None
    n, x, y = op.out_channels, places.at(op.source), places.at(op.target)
    return Piece(
        fields=[f"double sums{number}[{n + 1}];"],
        block=[
            f"""\
for (int t = 0; t < steps; ++t) {{
    const float *x = {x} + t * {places.stride(op.source)};
    float *y = {y} + t * {places.stride(op.target)};
    double *sums = s->sums{number}, count = sums[{n}] += 1;
    for (int c = 0; c < {n}; ++c) {{
        sums[c] += x[c];
        y[c] = (float)(sums[c] / count);
    }}
}}"""
        ],
    )


def _remember(op: Operation, number: int, places: Places) -> Piece:
    """The caller keeps the latest output itself."""
    return Piece()


# ------------------------------------------------------------------------------- cells


_CELLS = {
    "lstm": (4, """\
float input = {p}_sigmoid(g[j]), forget = {p}_sigmoid(g[{n} + j]);
cell[j] = forget * cell[j] + input * {p}_tanh(g[2 * {n} + j]);
h[j] = {p}_sigmoid(g[3 * {n} + j]) * {p}_tanh(cell[j]);"""),
    "gru": (3, """\
float reset = {p}_sigmoid(x[j] + g[j]), update = {p}_sigmoid(x[{n} + j] + g[{n} + j]);
float new = {p}_tanh(x[2 * {n} + j] + reset * g[2 * {n} + j]);
h[j] = (1.0f - update) * new + update * h[j];"""),
    "rnn": (1, "h[j] = {p}_tanh(g[j]);"),
}  # fmt: skip
"""Gates, and what they do to the hidden value; those of PyTorch, in its order."""


def _cell(op: Operation, number: int, places: Places) -> Piece:
    assert op.source is not None
    assert op.target is not None
    assert op.weight is not None
    assert op.bias is not None
    name, n = f"{places.prefix}_{number}", op.out_channels
    gates, text = _CELLS[op.kind]
    added = "" if op.kind == "gru" else "x[o] + "
    fields = [f"float hidden{number}[{n}];"]
    fields += [f"float cell{number}[{n}];"] if op.kind == "lstm" else []
    cell = f"float *cell = s->cell{number};" if op.kind == "lstm" else ""
    constants = [
        numbers(f"{name}_weight", op.weight.detach().t()),
        numbers(f"{name}_bias", op.bias),
    ]
    begin = []
    if op.start is not None:
        for part, start in zip(("hidden", "cell"), op.start, strict=False):
            constants.append(numbers(f"{name}_{part}", start))
            field = f"s->{part}{number}"
            begin.append(f"memcpy({field}, {name}_{part}, sizeof {field});")
    return Piece(
        constants=constants,
        fields=fields,
        begin=begin,
        block=[
            f"""\
for (int t = 0; t < steps; ++t) {{
    const float *x = {places.at(op.source)} + t * {places.stride(op.source)};
    float g[{gates * n}], *h = s->hidden{number};
    {cell}
    for (int o = 0; o < {gates * n}; ++o) g[o] = {added}{name}_bias[o];
    for (int i = 0; i < {n}; ++i)
        for (int o = 0; o < {gates * n}; ++o) g[o] += {name}_weight[i * {gates * n} + o] * h[i];
    for (int j = 0; j < {n}; ++j) {{
{indent(text.format(p=places.prefix, n=n), "        ")}
    }}
    memcpy({places.at(op.target)} + t * {places.stride(op.target)}, h, {n} * sizeof(float));
}}"""
        ],
    )


_WRITERS: dict[str, Callable[[Operation, int, Places], Piece]] = {
    "convolution": convolution,
    "depthwise": convolution,
    "pointwise": _simple("{x}"),
    "multiply": _simple("{x} * {z}"),
    "gate": _simple("{active} * {prefix}_sigmoid({half})"),
    "modulate": _simple("{x} * (1.0f + {z}) + {far}"),
    "scale": _simple("{x} * {name}_weight[c] + {name}_bias[c]"),
    "layer_norm": _norm,
    "rms_norm": _norm,
    "cumulative_norm": _norm,
    "running_mean": _running_mean,
    "remember": _remember,
    "lstm": _cell,
    "gru": _cell,
    "rnn": _cell,
}
