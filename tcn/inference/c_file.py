"""A streaming net as one file of C11 that needs nothing but ``libm``.

``net.c`` defines, with the name of the file in front::

    typedef struct { ... } net_state;                                 // all that a stream keeps
    void net_init(net_state *s);                                      // before the first step
    void net_reset(net_state *s);                                     // begins anew
    void net_condition(net_state *s, const float *condition);         // of a net that has one
    void net_process(net_state *s, const float *in, float *out, size_t n);
    size_t net_size(void);                                            // bytes of a state

``in`` holds ``n`` steps of ``NET_IN`` numbers, ``out`` room for ``n`` steps of ``NET_OUT``; any
``n``, and every call goes on where the last one ended. Nothing is allocated and nothing is shared:
each thread may have states of its own. ``net.h`` holds the same as ``static inline`` functions, to
be included, by C++ too. ``-ffast-math`` does no harm, but that NaN may be lost. Before the first
step there are zeros at every layer, as ``forward`` pads; a :class:`tcn.models.Capture` begins in
silence, which ``init`` and ``reset`` let pass: a copy of a state that was just begun is quicker.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tcn.inference.c_check import compare, compiler_command
from tcn.inference.c_source import prefix_of, source
from tcn.inference.compile import begin
from tcn.inference.translation import Declined, Misfit, translate
from tcn.layers import SequenceModule
from tcn.native.stream import Builder, Written
from tcn.saving.files import replacing

SUFFIXES = ("c", "h")


def write(net: SequenceModule, path: Path, *, header: bool = False) -> Path:
    """Writes the file, compiles it and compares its outputs with those of the net.

    Args:
        net: a copy in evaluation mode, float32, on the CPU.
        path: the file, whose name is the prefix of every name in it.
        header: whether its functions are ``static inline``.

    Raises:
        RuntimeError: there is no C compiler, it refuses the file, or the file computes something
            else.
        ValueError: the net does not stream, or has a layer that has no form in C.
    """
    compiler_command()  # before anything is written
    prefix = prefix_of(path)
    found = _operations(net)
    with replacing(path) as file:
        silent = getattr(net, "silent_steps", 0)
        text = source(found, prefix, header=header, silent=silent)
        file.write_text(text, encoding="utf-8")
        compare(net, found, file, prefix, header=header)
    return path


def _operations(net: SequenceModule) -> Written:
    """What the net computes, operation by operation.

    Raises:
        ValueError: it has no form in C.
    """
    cure = "write an .onnx or a .pt2 file instead"
    wrong = [n for n, part in net.state_dict().items() if not _usual(part)]
    if wrong:
        part = net.state_dict()[wrong[0]]
        raise ValueError(
            f"net: {wrong[0]} is {part.dtype}{'' if _finite(part) else ' and not finite'}; a C "
            "file holds finite numbers of float32: call net.float()"
        )
    obstacles = net.streaming_obstacles()
    if obstacles or net.ndim != 1 or net.latency:
        why = obstacles[0] if obstacles else "it has two axes or looks ahead"
        raise ValueError(f"net: {type(net).__name__} has no form in C: {why}; {cure}")
    builder = Builder(recurrence=True)
    try:
        output = translate(builder, net, begin(builder, net))[0]
    except (Declined, Misfit) as reason:
        raise ValueError(f"net: {reason}, so it has none in C; {cure}") from None
    found = builder.written(output)
    if found.vocabulary:
        raise ValueError(f"net: {type(net).__name__} reads tokens, which has no form in C; {cure}")
    return found


def _usual(part: Tensor) -> bool:
    return not part.is_floating_point() or (part.dtype == torch.float32 and _finite(part))


def _finite(part: Tensor) -> bool:
    return bool(part.isfinite().all())
