"""Whether a file computes what the net that it was written from computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tcn.inference.graph import Graph
from tcn.layers import SequenceModule

Run = Callable[[Sequence[Tensor]], list[Tensor]]
"""The function that a file holds."""

TOLERANCES = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 8e-2,
}
"""Largest difference allowed between file and net, by dtype, relative to outputs above 1.

In half precision about ten roundings, which a file makes at other places than the net.
"""


def compare(graph: Graph, run: Run) -> None:
    """Runs the file on sizes that it was not traced with.

    Raises:
        RuntimeError: if it differs from the net.
    """
    pairs = _streamed if graph.streaming else _whole
    for found, expected, what in pairs(graph, run):
        if found.shape != expected.shape:
            raise RuntimeError(
                f"export: {what} gives shape {tuple(found.shape)}, the net "
                f"{tuple(expected.shape)}; nothing was written"
            )
        difference = _largest(found.double() - expected.double())
        tolerance = TOLERANCES.get(expected.dtype, TOLERANCES[torch.float32])
        if not difference <= tolerance * max(1.0, _largest(expected)):
            raise RuntimeError(
                f"export: {what} differs from the net by {difference:.2g} in outputs up to "
                f"{_largest(expected):.2g}; nothing was written"
            )


def _largest(tensor: Tensor) -> float:
    """The largest absolute value; NaN if there is one, 0 if there is none."""
    return tensor.abs().max().item() if tensor.numel() else 0.0


def _whole(graph: Graph, run: Run) -> Iterator[tuple[Tensor, Tensor, str]]:
    """Outputs of the file and of the net, and what they are outputs of."""
    others = [size + 1 for size in graph.sizes[:-1]]
    longer = graph.sizes[-1] + 5 * graph.multiple_of
    for batch, length in ((len(graph.example) + 1, graph.shortest), (1, longer)):
        x, condition = graph.samples(batch, (*others, length))
        found = run([x] if condition is None else [x, condition])[0]
        yield found, _call(graph.net, x, condition), f"the file with {batch} rows of {length} steps"


def _streamed(graph: Graph, run: Run) -> Iterator[tuple[Tensor, Tensor, str]]:
    """The same for a stream in chunks of several lengths."""
    others = graph.sizes[:-1]
    for batch in (len(graph.example) + 1, 1):
        before, state = list(graph.initial_state(batch).values()), None
        early = graph.net.latency  # outputs of a look-ahead that belong to no step of the stream
        longer, block = graph.sizes[-1] + 5 * graph.multiple_of, graph.multiple_of
        for length in (longer, graph.shortest, graph.shortest + block, graph.shortest):
            x, condition = graph.samples(batch, (*others, length))
            found, *before = run([x, *before] if condition is None else [x, *before, condition])
            expected, state = graph.net.step(x, state, condition=condition)
            if expected.dim() > 2:
                found, expected = found[..., early:], expected[..., early:]
            early = max(early - length, 0)
            yield found, expected, f"a chunk of {length} steps in a stream of {batch} rows"


def _call(net: SequenceModule, x: Tensor, condition: Tensor | None) -> Tensor:
    return net(x) if condition is None else net(x, condition=condition)
