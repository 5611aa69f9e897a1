"""Convolutions as C: packed weights, remembered inputs, and sums of several steps at a time."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

import torch
from torch import Tensor

from tcn.inference.c_pieces import WIDTH, Piece, Places, epilogue, numbers
from tcn.native.operations import Operation

TILE = 8
"""Steps whose sums are added up side by side: as many as fill the registers of most processors."""


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
    size = f"{channels} * sizeof(float)"
    piece.fields += [f"float past{number}[{length * channels}];", f"int now{number};"]
    piece.begin.append(f"{now} = {context};")
    piece.block.append(f"""\
if ({now} + steps > {length}) {{
    memmove({past}, {past} + ({now} - {context}) * {channels}, {context} * {size});
    {now} = {context};
}}
for (int t = 0; t < steps; ++t)
    memcpy({past} + ({now} + t) * {channels}, {x} + t * {stride}, {size});
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
    sizes = _Sizes(op, name, name.rpartition("_")[0], ins, outs, panels, context, stride, target)
    return [
        f"/* {said}{f', {op.dilation} steps apart' if op.kernel_size > 1 else ''} */",
        numbers(f"{name}_weight", weight),
        numbers(f"{name}_bias", biases),
        f"""\
static void {name}(const float *restrict x, float *restrict y, int steps)
{{
    int t = 0;
    for (; t + {TILE} <= steps; t += {TILE}) {{
{indent(_tile(sizes, TILE), "        ")}
    }}
    for (; t < steps; ++t) {{
{indent(_tile(sizes, 1), "        ")}
    }}
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


def _tile(z: _Sizes, steps: int) -> str:
    """Sums of some steps, a panel of outputs at a time."""
    op, vector, every = z.op, f"{z.prefix}_vector", range(steps)
    channel, place = f"p * {WIDTH}", ""
    if op.groups > 1:
        channel = f"p / {z.panels} * {z.outs} + p % {z.panels} * {WIDTH}"
        place = f" + p / {z.panels} * {z.ins}"
    sums = " ".join(f"{z.prefix}_ADD(a{j}, v, from[{j * z.stride}]);" for j in every)
    stores = " ".join(f"memcpy(to + {j * z.target}, &a{j}, size);" for j in every)
    # The last panel of a group must not write over what another group has written.
    rest = z.outs - (z.panels - 1) * WIDTH
    size = f"{WIDTH} * sizeof(float)"
    if op.groups > 1 and rest != WIDTH:
        size = f"(p % {z.panels} == {z.panels - 1} ? {rest} : {WIDTH}) * sizeof(float)"
    return f"""\
for (int p = 0; p < {op.groups * z.panels}; ++p) {{
    const float *w = {z.name}_weight + p * {op.kernel_size * z.ins * WIDTH};
    float *to = y + t * {z.target} + {channel};
    {vector} {", ".join(f"a{j}" for j in every)}, v;
    memcpy(&a0, {z.name}_bias + p * {WIDTH}, sizeof a0);
    {" ".join(f"a{j} = a0;" for j in every[1:])}
    for (int k = 0; k < {op.kernel_size}; ++k) {{
        const float *from = x + (t + k * {op.dilation} - {z.context}) * {z.stride}{place};
        for (int i = 0; i < {z.ins}; ++i, ++from, w += {WIDTH}) {{
            memcpy(&v, w, sizeof v);
            {sums}
        }}
    }}
    size_t size = {size};
    {stores}
}}"""


def _depthwise(
    op: Operation, name: str, bias: Tensor, context: int, stride: int, target: int
) -> list[str]:
    assert op.weight is not None
    channels, taps = op.out_channels, op.kernel_size
    return [
        f"/* {channels} channels, each of its own, {taps} taps, {op.dilation} steps apart */",
        numbers(f"{name}_weight", op.weight.detach()[:, 0].t()),
        numbers(f"{name}_bias", bias),
        f"""\
static void {name}(const float *restrict x, float *restrict y, int steps)
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
