"""The streams' part of the fuzz: random programs, hostile rows, tokens and chunks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tcn.native.stream import Builder

ACTIVATIONS = (
    ("relu",), ("elu", 1.0, 1.0, 1.0), ("gelu",), ("silu",), ("tanh",), ("sigmoid",), ("softsign",),
    ("leaky_relu", 0.1), ("mish",), ("clamp", -1.0, 1.0),
)  # fmt: skip


def program(draw: Any) -> Any:
    """A net of a few operations."""
    builder, slots = Builder(), []
    vocabulary = draw.pick(0, 0, 7)
    channels = draw.integer(1, 20)
    x = builder.embed(torch.randn(7, channels)) if vocabulary else builder.input(channels)
    for _ in range(draw.integer(1, 4)):
        x, slot = operation(draw, builder, x)
        slots += [] if slot is None else [slot]
    if vocabulary:
        x = builder.linear(x, torch.randn(7, x.channels))
    return builder.build(x, tuple(slots))


def operation(draw: Any, builder: Builder, x: Any) -> tuple[Any, Any]:
    channels, kind = x.channels, draw.integer(0, 8)
    if kind <= 2:
        outputs, groups = draw.integer(1, 20), 1
        if draw.chance(0.3):
            outputs = groups = channels
        weight = torch.randn(outputs, channels // groups, draw.integer(1, 4))
        bias = draw.pick(None, torch.randn(outputs))
        numbers = {"dilation": draw.integer(1, 9), "shift": draw.integer(0, 1), "groups": groups}
        return builder.convolve(x, weight, bias, **numbers)
    scale, shift = torch.randn(channels), torch.randn(channels)
    if kind == 3:
        return builder.cumulative_norm(builder.share(x), scale, shift, 1e-5)
    if kind == 4:
        return builder.running_mean(builder.share(x))
    if kind == 5:
        return builder.layer_norm(builder.share(x), scale, shift, 1e-5), None
    if kind == 6:
        return builder.add(
            builder.linear(builder.share(x), torch.randn(channels, channels)), x
        ), None
    if kind == 7:
        begin = draw.integer(0, channels - 1)
        return builder.part(x, begin, draw.integer(1, channels - begin)), None
    name, *parameters = draw.pick(*ACTIVATIONS)
    return builder.activate(x, name, *parameters), None


def chunk(draw: Any, net: Any, rows: int) -> Tensor:
    """An input that fits, or nearly."""
    time = draw.integer(1, 40)
    if draw.chance(0.1):
        rows, time = draw.pick((rows + 1, time), (rows, 0), (0, time))
    if net.vocabulary:
        low, high = draw.pick(*[(0, 7)] * 9, (-1, 8), (2**40, 2**40 + 1))
        return torch.randint(low, high, (rows, time))
    x = torch.randn(rows, net.in_channels, time)
    return draw.pick(*[x] * 5, x * 1e30, x * 1e-40, x + torch.nan, x.double(), x.transpose(0, 2))


def index(draw: Any, count: int) -> Tensor | None:
    """Rows that exist, or not."""
    if draw.chance(0.4):
        return None
    some = torch.randperm(count)[: draw.integer(1, count)]
    hostile = torch.tensor([draw.pick(-1, count, 2**31, 2**32, 2**62)])
    if draw.chance(0.9):
        return some
    return draw.pick(torch.cat([some, some[:1]]), hostile, some.int())


def fuzz(_: Any, draw: Any) -> bool:
    """A program, rows of it and some calls; whether none of them was refused."""
    torch.manual_seed(draw.integer(0, 2**30))
    net = program(draw)
    rows = net.rows(draw.integer(1, 70))
    refused = 0
    for _ in range(4):
        named = index(draw, rows.count)
        length = rows.count if named is None else len(named)
        try:
            one_call(draw, net, rows, named, length)
        except (ValueError, TypeError, MemoryError):
            refused += 1
    return refused == 0


def one_call(draw: Any, net: Any, rows: Any, named: Tensor | None, length: int) -> None:
    kind = draw.integer(0, 10)
    if kind <= 5:
        rows.push(chunk(draw, net, length), named)
    elif kind == 6:
        rows.reset(named)
    elif kind == 7:
        rows.set_state(rows.get_state(named), named)
    elif kind == 8:
        target = index(draw, rows.count)
        rows.copy_rows(*(torch.arange(rows.count) if t is None else t for t in (named, target)))
    elif kind == 10:
        rows.keep_beginning(draw.integer(0, rows.count))
        rows.begin(named)
    elif kind == 9 and net.vocabulary:
        tokens = torch.randint(0, draw.pick(7, 7, 9), (rows.count,))
        rows.sample(tokens, torch.randn(draw.integer(0, 5), rows.count, 7))
    elif kind == 9:
        levels = net.out_channels
        tokens = torch.randint(0, draw.pick(levels, levels, levels + 2), (rows.count,))
        noise = torch.randn(draw.integer(0, 5), rows.count, levels, dtype=torch.float64)
        rows.sample(tokens, noise, None, torch.randn(levels))
