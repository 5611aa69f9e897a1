"""NaN and infinity in a live stream: found cheaply, and kept out of a state they would poison.

A causal net remembers its inputs for a whole receptive field, a recurrent one forever: one NaN
from a sensor would silence it that long.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tcn.inference.state import to_tensors
from tcn.layers import State


def all_finite(x: Tensor) -> bool:
    """Whether no value is NaN or infinite; possibly False for finite values whose sum overflows.

    The sum of values with NaN or infinity among them is never finite. It takes a third of the time
    of ``isfinite().all()``, which for one step is as long as a small net takes.
    """
    if x.numel() == 1:
        return math.isfinite(x.item())
    return math.isfinite(x.sum().item())


def refuse_not_finite(name: str, x: Tensor, rows: Tensor, cure: str) -> None:
    """Raises if a value is NaN or infinite.

    Args:
        name: of the argument.
        x: ``(rows, channels, ...)``, time last.
        rows: the numbers of the rows in the session.
        cure: what to do about it.

    Raises:
        ValueError: naming row, channel and step of the first such value.
    """
    wrong = (~x.isfinite()).nonzero()
    if len(wrong):
        row, channel, *position = wrong[0].tolist()
        step = f" at step {position[-1]} of {x.shape[-1]}" if position else ""
        value = x[tuple(wrong[0].tolist())].item()
        raise ValueError(
            f"{name}: {value} in row {int(rows[row])}, channel {channel}{step}; nothing has "
            f"advanced: {cure}"
        )


def refuse_poison(name: str, state: State, native: bool) -> None:
    """Raises if a value of a state is NaN or infinite: no policy would get it out again.

    Args:
        name: where the state comes from.
        state: the tree.
        native: whether the native library is to go on from it, where nothing is ever infinite;
            elsewhere a maximum over time begins with minus infinity.

    Raises:
        ValueError: naming the place in the tree, the row and the value.
    """
    for place, tensor in to_tensors(state).items():
        if not tensor.is_floating_point():
            continue
        wrong = ~tensor.isfinite() if native else tensor.isnan() | (tensor == math.inf)
        if wrong.any():
            first = tuple(wrong.nonzero()[0].tolist())
            raise ValueError(
                f"{name}: {tensor[first].item()} in the state of row {(first or (0,))[0]}, at "
                f"{place!r}; it would never leave the stream: begin from a state that is finite"
            )


def hold_last(x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Puts the last finite value of the same row and channel in place of each that is not finite.

    Args:
        x: ``(rows, channels, ..., time)``.
        before: ``(rows, channels, ..., 1)``, the last finite values before ``x``.

    Returns:
        The whole chunk, and ``(rows,)`` int64, how many values were replaced.
    """
    finite = x.isfinite()
    steps = torch.arange(1, x.shape[-1] + 1, device=x.device)
    # 0 stands for `before`, which is put in front.
    source = torch.where(finite, steps, 0).cummax(-1).values
    held = torch.cat([before, x], dim=-1).gather(-1, source)
    return held, (~finite).flatten(1).sum(1)


def finite_steps(x: Tensor) -> Tensor:
    """``(rows, time)`` bool: the steps whose every value is finite."""
    return x.isfinite().flatten(1, -2).all(1)
