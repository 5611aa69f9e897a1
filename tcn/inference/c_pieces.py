"""What an operation of a net adds to a C file, and how its numbers and values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import indent

import torch
from torch import Tensor

from tcn.native.operations import Activation, Operation, Value

LARGEST = torch.finfo(torch.float32).max
WIDTH = 8
"""Numbers that are one vector."""


@dataclass
class Piece:
    """What an operation adds to the file.

    Attributes:
        constants: definitions and functions at the level of the file.
        fields: members of the state.
        begin: statements that begin anew; ``s`` is the state, all zeros.
        block: statements that take ``steps`` steps.
    """

    constants: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    begin: list[str] = field(default_factory=list)
    block: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Places:
    """Where values lie.

    Attributes:
        prefix: of every name.
        offsets: of a value in the scratch, in floats per step of a block.
        steps: of a block.
    """

    prefix: str
    offsets: Mapping[Value | None, int]
    steps: int

    def stride(self, value: Value) -> int:
        """Floats from one step to the next."""
        return padded(value.placed.channels)

    def at(self, value: Value) -> str:
        """The first step."""
        return f"s->scratch + {self.offsets[value.placed] * self.steps + value.begin}"


def padded(channels: int) -> int:
    """To whole vectors."""
    return -(-channels // WIDTH) * WIDTH


def numbers(name: str, values: Tensor) -> str:
    """An array of constants, each exact."""
    flat = values.detach().to(torch.float32).flatten().tolist()
    said = [constant(value) for value in flat]
    lines = [", ".join(said[i : i + 8]) for i in range(0, len(said), 8)]
    return f"static const float {name}[{len(said)}] = {{\n    " + ",\n    ".join(lines) + "\n};"


def constant(value: float) -> str:
    """A number as it is written in C, exact in float32."""
    if math.isinf(value) or abs(value) > LARGEST:
        return "INFINITY" if value > 0 else "-INFINITY"
    said = f"{value:.9g}"
    return f"{said if any(c in said for c in '.e') else said + '.0'}f"


def activated(how: Activation, x: str, prefix: str) -> str:
    """The expression of an activation of ``x``."""
    given = [x, *map(constant, how.parameters)]
    return x if how.function == "identity" else f"{prefix}_{how.function}({', '.join(given)})"


def epilogue(piece: Piece, op: Operation, name: str, places: Places) -> None:
    """``after(activation(y) + other)``, in place."""
    assert op.target is not None
    said = activated(op.activation, "v", places.prefix)
    lines = [] if said == "v" else [f"v = {said};"]
    if op.other is not None:
        lines.append(f"v += z[t * {places.stride(op.other)} + c];")
    said = activated(op.after, "v", places.prefix)
    lines += [] if said == "v" else [f"v = {said};"]
    if lines:
        place = f"y[t * {places.stride(op.target)} + c]"
        lines = [f"float v = {place};", *lines, f"{place} = v;"]
        each(piece, op, f"{name}_then", places, lines, {"z": op.other})


def each(
    piece: Piece,
    op: Operation,
    name: str,
    places: Places,
    lines: Sequence[str],
    reads: Mapping[str, Value | None],
) -> None:
    """Some lines for every channel ``c`` of every step ``t`` of the target ``y``.

    In a function of its own, for only of arguments compilers believe that they do not overlap.
    """
    assert op.target is not None
    restrict = f"{places.prefix}_RESTRICT"
    given = {name: value for name, value in reads.items() if value is not None}
    arguments = "".join(f"const float *{restrict} {each}, " for each in given)
    loop = _one_after_the_other(op, places, lines, [op.target, *given.values()])
    if loop is None:
        loop = f"""\
for (int t = 0; t < steps; ++t)
    for (int c = 0; c < {op.out_channels}; ++c) {{
{indent(chr(10).join(lines), "        ")}
    }}"""
    piece.constants.append(f"""\
static void {name}(float *{restrict} y, {arguments}int steps)
{{
{indent(loop, "    ")}
}}
""")
    values = ", ".join(map(places.at, [op.target, *given.values()]))
    piece.block.append(f"{name}({values}, steps);")


def _one_after_the_other(
    op: Operation, places: Places, lines: Sequence[str], values: Sequence[Value]
) -> str | None:
    """The same as one loop, which fills vectors of any width; None where channels differ.

    It runs over what pads the channels to whole vectors, too, which is finite and never read.
    """
    stride = padded(op.out_channels)
    if any(places.stride(value) != stride or value.begin for value in values):
        return None
    said = [line.replace(f"t * {stride} + c", "i") for line in lines]
    if any("c]" in line for line in said):
        return None
    body = indent("\n".join(said), "    ")
    return f"for (int i = 0; i < steps * {stride}; ++i) {{\n{body}\n}}"
