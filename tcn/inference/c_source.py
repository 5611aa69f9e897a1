"""The text of a C file: head, functions, operations, state, and what others call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from tcn.inference.c_functions import FUNCTIONS
from tcn.inference.c_operations import written
from tcn.inference.c_pieces import Piece, Places
from tcn.native.operations import place
from tcn.native.stream import Written

BLOCK = 64
"""Steps that pass through an operation before the next one."""
_WORDS = (
    " auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main "
)


def prefix_of(path: Path) -> str:
    """The name of a file as one that C knows: what is no letter or digit becomes ``_``."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", path.stem)
    return name if re.match("[A-Za-z]", name) and f" {name} " not in _WORDS else f"net_{name}"


def source(net: Written, prefix: str, *, header: bool, silent: int = 0) -> str:
    """The text of the file.

    Args:
        net: what it computes.
        prefix: of every name.
        header: whether its functions are ``static inline``.
        silent: steps of silence before the first one.
    """
    inputs = [value for value in (net.input, net.condition) if value is not None]
    offsets, frame = place(net.operations, inputs, net.output)
    places = Places(prefix, offsets, BLOCK)
    pieces = [written(op, number, places) for number, op in enumerate(net.operations)]
    kind = "static inline " if header else ""
    return "\n".join([
        _head(net, prefix),
        FUNCTIONS.replace("PRE", prefix),
        *(text for piece in pieces for text in piece.constants),
        _state(net, prefix, pieces, frame),
        _block(net, prefix, pieces, places),
        _interface(net, prefix, pieces, kind, silent),
        f"\n#endif /* {prefix.upper()}_NET */\n",
    ])  # fmt: skip


def _head(net: Written, prefix: str) -> str:
    assert net.input is not None
    name = prefix.upper()
    conditioned = (
        "" if net.condition is None else f"#define {name}_CONDITION {net.condition.channels}\n"
    )
    return f"""\
/* A net written by tcn. C11, needs libm alone.

     static {prefix}_state s;
     {prefix}_init(&s);
     {prefix}_process(&s, in, out, n);    n steps of {name}_IN floats to n steps of {name}_OUT

   Nothing is allocated; each stream has a state of its own. */

#ifndef {name}_NET
#define {name}_NET

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define {name}_IN {net.input.channels}
#define {name}_OUT {net.output.channels}
{conditioned}"""


def _state(net: Written, prefix: str, pieces: Sequence[Piece], frame: int) -> str:
    fields = [f"float scratch[{frame * BLOCK}];"]
    fields += [text for piece in pieces for text in piece.fields]
    if net.condition is not None:
        fields.append(f"float condition[{net.condition.channels}];")
    return f"typedef struct {{\n{indent(chr(10).join(fields), '    ')}\n}} {prefix}_state;\n"


def _block(net: Written, prefix: str, pieces: Sequence[Piece], places: Places) -> str:
    """The function that takes some steps through all operations."""
    assert net.input is not None
    taken = [(net.input, "in", f"t * {net.input.channels} + ")]
    taken += [] if net.condition is None else [(net.condition, "s->condition", "")]
    copies = [
        f"for (int t = 0; t < steps; ++t)\n"
        f"    memcpy({places.at(value)} + t * {places.stride(value)}, {given} + {step}0, "
        f"{value.channels} * sizeof(float));"
        for value, given, step in taken
    ]
    last = net.output
    statements = [*copies, *(text for piece in pieces for text in piece.block)]
    statements.append(
        f"for (int t = 0; t < steps; ++t)\n"
        f"    memcpy(out + t * {last.channels}, {places.at(last)} + t * {places.stride(last)}, "
        f"{last.channels} * sizeof(float));"
    )
    return f"""\
static void {prefix}_block({prefix}_state *s, const float *in, float *out, int steps)
{{
{indent(chr(10).join(statements), "    ")}
}}
"""


def _interface(net: Written, prefix: str, pieces: Sequence[Piece], kind: str, silent: int) -> str:
    assert net.input is not None
    begin = [text for piece in pieces for text in piece.begin]
    if silent:
        begin.append(
            f"static const float silence[{BLOCK * net.input.channels}] = {{0}};\n"
            f"float out[{BLOCK * net.output.channels}];\n"
            f"for (int left = {silent}; left > 0; left -= {BLOCK})\n"
            f"    {prefix}_block(s, silence, out, left < {BLOCK} ? left : {BLOCK});"
        )
    kept = f"s->condition, {prefix.upper()}_CONDITION * sizeof(float)"
    keep = give = ""
    if net.condition is not None:
        count = f"{prefix.upper()}_CONDITION"
        keep = f"    float condition[{count}];\n    memcpy(condition, {kept});\n"
        give = f"    memcpy(s->condition, condition, {count} * sizeof(float));\n"
    text = f"""\
{kind}size_t {prefix}_size(void);
{kind}void {prefix}_init({prefix}_state *s);
{kind}void {prefix}_reset({prefix}_state *s);
{kind}void {prefix}_process({prefix}_state *s, const float *in, float *out, size_t n);

{kind}size_t {prefix}_size(void) {{ return sizeof({prefix}_state); }}

{kind}void {prefix}_init({prefix}_state *s)
{{
    memset(s, 0, sizeof *s);
{indent(chr(10).join(begin), "    ")}
}}

{kind}void {prefix}_reset({prefix}_state *s) /* a condition stays */
{{
{keep}    {prefix}_init(s);
{give}}}

{kind}void {prefix}_process({prefix}_state *s, const float *in, float *out, size_t n)
{{
    while (n > 0) {{
        int steps = n < {BLOCK} ? (int)n : {BLOCK};
        {prefix}_block(s, in, out, steps);
        in += steps * {net.input.channels};
        out += steps * {net.output.channels};
        n -= (size_t)steps;
    }}
}}"""
    if net.condition is not None:
        text += f"""

{kind}void {prefix}_condition({prefix}_state *s, const float *condition);
{kind}void {prefix}_condition({prefix}_state *s, const float *condition)
{{
    memcpy(s->condition, condition, {prefix.upper()}_CONDITION * sizeof(float));
}}"""
    return text
