"""What the operators of the recurrent layers check before a kernel is given an address."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tcn.native.checks import (
    check_at_least,
    check_dimensions,
    check_sizes,
    check_tensors,
    check_wanted,
)

CELLS = ("LSTM", "GRU", "RNN_TANH")
"""In the order of ``Cell`` in source/recurrent.h."""

_STACKED = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1}
"""Blocks of the weights, as PyTorch stacks them."""


def check_forward(
    x: Tensor,
    state: Tensor,
    memory: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    mask: Tensor | None,
    cell: str,
) -> None:
    """That the layer can be run.

    Raises:
        ValueError: if a shape or a number does not fit, or there is no such cell.
        TypeError: if a type or a device does not fit.
    """
    rows = _check_layer(x, state, memory, weight_ih, weight_hh, mask, cell)
    check_tensors(x, ("bias_ih", bias_ih, (rows,)), ("bias_hh", bias_hh, (rows,)))


def _check_layer(
    x: Tensor,
    state: Tensor,
    memory: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    mask: Tensor | None,
    cell: str,
) -> int:
    """The rows of the stacked weights."""
    if cell not in CELLS:
        raise ValueError(f"cell: {cell!r} is not one of {', '.join(CELLS)}; choose one of them")
    check_dimensions("x", x, ("time", "batch", "channels"))
    check_dimensions("state", state, ("batch", "hidden"))
    (time, batch, channels), hidden = x.shape, state.shape[1]
    check_at_least(1, time=time, hidden=hidden)
    if (memory is None) == (cell == "LSTM"):
        raise ValueError(
            f"memory: {'None' if memory is None else 'given'} with cell={cell!r}; an LSTM has one "
            "besides its state, the others have none"
        )
    rows = _STACKED[cell] * hidden
    check_tensors(
        x,
        ("state", state, (batch, hidden)),
        ("memory", memory, (batch, hidden)),
        ("weight_ih", weight_ih, (rows, channels)),
        ("weight_hh", weight_hh, (rows, hidden)),
    )
    _check_mask(mask, time, batch)
    return rows


def _check_mask(mask: Tensor | None, time: int, batch: int) -> None:
    if mask is None:
        return
    if mask.shape != (time, batch):
        raise ValueError(
            f"mask: shape {tuple(mask.shape)}; expected {(time, batch)}: one value per step and row"
        )
    if mask.dtype != torch.bool or not (mask.is_cpu or mask.is_meta):
        raise TypeError(f"mask: {mask.dtype} on {mask.device}; pass bool on the CPU")


def check_layer_sizes(x: Tensor, state: Tensor, weight_hh: Tensor) -> None:
    """That no product of sizes is beyond what the kernels count with.

    Raises:
        ValueError: if one is.
    """
    steps = x.shape[0] * x.shape[1]
    check_sizes("x y weight_hh", x.numel(), steps * 4 * state.shape[1], 4 * weight_hh.numel())


def check_backward(
    of_y: Tensor | None,
    of_memory: Tensor | None,
    x: Tensor,
    state: Tensor,
    memory: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    mask: Tensor | None,
    y: Tensor,
    memories: Tensor,
    gates: Tensor,
    cell: str,
    wanted: Sequence[bool],
) -> None:
    """That gradients can be found.

    Raises:
        ValueError: if a shape or a number does not fit; if ``gates`` were not kept.
        TypeError: if a type or a device does not fit.
    """
    _check_layer(x, state, memory, weight_ih, weight_hh, mask, cell)
    check_wanted(wanted, 2)
    (time, batch, _), hidden = x.shape, state.shape[1]
    remembered = 0 if memory is None else hidden
    if cell != "RNN_TANH" and gates.dim() == 3 and gates.shape[0] != time:
        raise ValueError(
            f"gates: {gates.shape[0]} steps of {time}; run with keep=True where gradients are "
            "wanted"
        )
    columns, kept = (hidden, 0) if cell == "RNN_TANH" else (4 * hidden, time)
    check_tensors(
        x,
        ("of_y", of_y, (time, batch, hidden)),
        ("of_memory", of_memory, (batch, remembered)),
        ("y", y, (time, batch, hidden)),
        ("memories", memories, (time, batch, remembered)),
        ("gates", gates, (kept, batch, columns)),
    )
