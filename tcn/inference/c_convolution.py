"""Convolutions as C: packed weights, remembered inputs, and sums of several steps at a time."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

import torch
from torch import Tensor

from tcn.inference.c_pieces import WIDTH, Piece, Places, epilogue, numbers
from tcn.native.operations import Operation

TILE = 8
"""Sums that are added up side by side: as many as fill the registers of most processors."""


def convolution(op: Operation, number: int, places: Places) -> Piece:
    """The piece of a convolution, the ``number``-th operation of the net."""
    name, piece = f"{places.prefix}_{number}", Piece()
    assert op.source is not None
    assert op.target is not None
    assert op.weight is not None
    context = (op.kernel_size - 1) * op.dilation + op.shift
    stride = op.in_channels if context else places.stride(op.source)
    bias = torch.zeros(op.out_channels) if op.bias is None else op.bias
    kind = _depthwise if op.kind == "depthwise" else _dense
    piece.constants = kind(op, name, bias, context, stride, places.stride(op.target))
    x, y = places.at(op.source), places.at(op.target)
    if context:
        x = _remembered(piece, op, number, context, places)
    piece.block.append(f"{name}({x}, {y}, steps);")
    epilogue(piece, op, name, places)
    return piece


def _remembered(piece: Piece, op: Operation, number: int, context: int, places: Places) -> str:
    """Keeps the latest inputs in one stretch, moved to the front when its end is reached."""
    assert op.source is not None
    channels, length = op.in_channels, 2 * context + places.steps
    past, now = f"s->past{number}", f"s->now{number}"
    x, stride = places.at(op.source), places.stride(op.source)
    size, to = f"{channels} * sizeof(float)", f"{past} + {now} * {channels}"
    copied = f"""\
for (int t = 0; t < steps; ++t)
    memcpy({to} + t * {channels}, {x} + t * {stride}, {size});"""
    if stride == channels:
        copied = f"memcpy({to}, {x}, (size_t)steps * {size});"
    piece.fields += [f"float past{number}[{length * channels}];", f"int now{number};"]
    piece.begin.append(f"{now} = {context};")
    piece.block.append(f"""\
if ({now} + steps > {length}) {{
    memmove({past}, {past} + ({now} - {context}) * {channels}, {context} * {size});
    {now} = {context};
}}
{copied}
{now} += steps;""")
    return f"{past} + ({now} - steps) * {channels}"


def _dense(
    op: Operation, name: str, bias: Tensor, context: int, stride: int, target: int
) -> list[str]:
    """Weights panel by panel, and the function that multiplies."""
    assert op.weight is not None
    outs, ins = op.out_channels // op.groups, op.in_channels // op.groups
    panels = -(-outs // WIDTH)
    weight = op.weight.new_zeros(op.groups, panels * WIDTH, ins, op.kernel_size)
    weight[:, :outs] = op.weight.detach().view(op.groups, outs, ins, op.kernel_size)
    weight = weight.view(op.groups, panels, WIDTH, ins, op.kernel_size).permute(0, 1, 4, 3, 2)
    biases = bias.new_zeros(op.groups, panels * WIDTH)
    biases[:, :outs] = bias.detach().view(op.groups, outs)
    said = f"{op.in_channels} to {op.out_channels} channels, {op.kernel_size} taps"
    restrict = f"{name.rpartition('_')[0]}_RESTRICT"
    sizes = _Sizes(op, name, name.rpartition("_")[0], ins, outs, panels, context, stride, target)
    return [
        f"/* {said}{f', {op.dilation} steps apart' if op.kernel_size > 1 else ''} */",
        numbers(f"{name}_weight", weight),
        numbers(f"{name}_bias", biases),
        f"""\
static void {name}(const float *{restrict} x, float *{restrict} y, int steps)
{{
{indent(_sums(sizes), "    ")}
}}
""",
    ]


@dataclass(frozen=True)
class _Sizes:
    op: Operation
    name: str
    prefix: str
    ins: int
    outs: int
    panels: int
    context: int
    stride: int
    target: int


def _sums(z: _Sizes) -> str:
    """Panels two by two, which read each input once for both, and then what is left of them.

    Of groups each panel is alone: the next one may read other channels.
    """
    panels = z.op.groups * z.panels
    pairs = panels // 2 * 2 if z.op.groups == 1 else 0
    parts = [(0, pairs, 2), (pairs, panels, 1)]
    return "\n".join(
        f"""\
for (int p = {first}; p < {last}; p += {together}) {{
    int t = 0;
    for (; t + {TILE // together} <= steps; t += {TILE // together}) {{
{indent(_tile(z, TILE // together, together), "        ")}
    }}
    for (; t < steps; ++t) {{
{indent(_tile(z, 1, together), "        ")}
    }}
}}"""
        for first, last, together in parts
        if last > first
    )


def _tile(z: _Sizes, steps: int, together: int) -> str:
    """Sums of some steps, of a panel of outputs or of two."""
    op, prefix, size = z.op, z.prefix, f"{WIDTH} * sizeof(float)"
    channel, place = f"p * {WIDTH}", ""
    if op.groups > 1:
        channel = f"p / {z.panels} * {z.outs} + p % {z.panels} * {WIDTH}"
        place = f" + p / {z.panels} * {z.ins}"
        # The last panel of a group must not write over what another group has written.
        rest = z.outs - (z.panels - 1) * WIDTH
        if rest != WIDTH:
            size = f"(p % {z.panels} == {z.panels - 1} ? {rest} : {WIDTH}) * sizeof(float)"
    panels, length = range(together), op.kernel_size * z.ins * WIDTH
    sums = [(f"a{i}_{j}", i, j) for i in panels for j in range(steps)]
    begun = "\n".join(
        f"memcpy(&a{i}_0, {z.name}_bias + (p + {i}) * {WIDTH}, sizeof a{i}_0);" for i in panels
    )
    copied = " ".join(f"{name} = a{i}_0;" for name, i, j in sums if j)
    weights = " ".join(f"memcpy(&v{i}, w + {i * length}, sizeof v{i});" for i in panels)
    added = " ".join(f"{prefix}_ADD({name}, v{i}, from[{j * z.stride}]);" for name, i, j in sums)
    stored = " ".join(
        f"memcpy(to + {j * z.target + i * WIDTH}, &{name}, size);" for name, i, j in sums
    )
    variables = ", ".join([name for name, _, _ in sums] + [f"v{i}" for i in panels])
    return f"""\
const float *w = {z.name}_weight + p * {length};
float *to = y + t * {z.target} + {channel};
{prefix}_vector {variables};
{begun}
{copied}
for (int k = 0; k < {op.kernel_size}; ++k) {{
    const float *from = x + (t + k * {op.dilation} - {z.context}) * {z.stride}{place};
    for (int i = 0; i < {z.ins}; ++i, ++from, w += {WIDTH}) {{
        {weights}
        {added}
    }}
}}
size_t size = {size};
{stored}"""


def _depthwise(
    op: Operation, name: str, bias: Tensor, context: int, stride: int, target: int
) -> list[str]:
    assert op.weight is not None
    channels, taps = op.out_channels, op.kernel_size
    restrict = f"{name.rpartition('_')[0]}_RESTRICT"
    return [
        f"/* {channels} channels, each of its own, {taps} taps, {op.dilation} steps apart */",
        numbers(f"{name}_weight", op.weight.detach()[:, 0].t()),
        numbers(f"{name}_bias", bias),
        f"""\
static void {name}(const float *{restrict} x, float *{restrict} y, int steps)
{{
    for (int t = 0; t < steps; ++t) {{
        for (int c = 0; c < {channels}; ++c) y[t * {target} + c] = {name}_bias[c];
        for (int k = 0; k < {op.kernel_size}; ++k) {{
            const float *from = x + (t + k * {op.dilation} - {context}) * {stride};
            for (int c = 0; c < {channels}; ++c)
                y[t * {target} + c] += {name}_weight[k * {channels} + c] * from[c];
        }}
    }}
}}
""",
    ]
