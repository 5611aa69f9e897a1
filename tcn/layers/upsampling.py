"""Up-sampling without weights: values repeated, or lines between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from tcn.layers.context import Context, silence
from tcn.layers.module import SequenceModule
from tcn.layers.reach import Reach
from tcn.layers.running import valid_steps
from tcn.layers.state import State
from tcn.layers.validation import (
    check_ndim,
    check_positive,
    check_rank,
    check_state,
    padding_per_axis,
    per_axis,
    wrong_state,
)
from tcn.saving.description import recorded

MODES = ("nearest", "linear")


class Upsample(SequenceModule):
    """``factor`` outputs per input step and axis: each value repeated, or lines between values.

    ``(batch, channels, *sizes)`` to ``(batch, channels, *(sizes * factor))``. With factor 4 the
    inputs ``a``, ``b``, ... give::

        "nearest"             a  a  a  a |b  b  b  b |c         as soon as an input has come
        "linear", "causal"    a  a  a  a |.  .  .  b |.         the line from the value before,
                                                                which ends at b with b's last output
        "linear", "same"      a  a  .  . |.  .  .  . |.         each value in the middle of its
                                 a             b                outputs: half a factor is not known
                                                                before the next input

    Where a neighbor does not exist or is padding, the present value is held. ``"nearest"`` and
    ``"same"`` are ``torch.nn.functional.interpolate`` with ``"nearest"``, and with ``"linear"`` or
    ``"bilinear"`` and ``align_corners=False``. :class:`tcn.layers.ConvTranspose1d` learns what it
    puts between.
    """

    @recorded
    def __init__(
        self,
        factor: int | Sequence[int],
        *,
        ndim: int = 1,
        mode: str = "nearest",
        padding: str | Sequence[str] | None = None,
    ) -> None:
        """Builds the up-sampling.

        Args:
            factor: outputs per input, per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            mode: ``"nearest"`` or ``"linear"``.
            padding: of ``"linear"``, per axis: between the previous and the present value
                (``"causal"``), or both neighbors (``"same"``); in 1-D ``"causal"`` unless given.

        Raises:
            ValueError: if a factor is below 1, a name unknown, a padding given for ``"nearest"``,
                which sees the present alone, or none in 2-D for ``"linear"``.
        """
        super().__init__()
        check_ndim(ndim)
        if mode not in MODES:
            raise ValueError(f"mode: {mode!r} is not one of {', '.join(map(repr, MODES))}")
        if mode == "nearest" and padding is not None:
            raise ValueError(
                f"padding: {padding!r} with mode='nearest', which sees the present alone; leave it "
                "out, or use mode='linear'"
            )
        self.ndim, self.mode = ndim, mode
        self.factor = per_axis("factor", factor, ndim)
        check_positive("factor", self.factor)
        self.axis_padding: tuple[str | int, ...] = ()
        if mode == "linear":
            self.axis_padding = padding_per_axis(padding, self.factor, ("causal", "same"))

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state of a causal line is the last value and, as 1 or 0, whether it exists."""
        check_rank(self, x, self.ndim)
        if self.mode == "nearest":
            for axis, factor in enumerate(self.factor):
                x = x.repeat_interleave(factor, axis + 2) if factor > 1 else x
            return x, ()
        x = silence(x, context.mask)
        exists = valid_steps(x, context.mask).to(x.dtype)
        before = (torch.zeros_like(x[..., :1]), torch.zeros_like(exists[..., :1]))
        if state is not None:
            before = self._checked(state, before)
        weighed = self._interpolate(torch.cat([before[0], x], -1))
        share = self._interpolate(torch.cat([before[1], exists], -1))
        # Weights of what exists sum to less than 1 where a neighbor does not.
        y = weighed / share.masked_fill(share == 0, 1)
        return y, (x[..., -1:], exists[..., -1:]) if context.streaming else ()

    def _checked(self, state: State, like: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if not isinstance(state, tuple) or len(state) != 2:
            raise wrong_state(self, "a pair of a step and whether it exists", type(state).__name__)
        step, exists = (
            check_state(self, held, tuple(wanted.shape[:-1]), wanted)
            for held, wanted in zip(state, like, strict=True)
        )
        for held in (step, exists):
            if held.shape[-1] != 1:
                raise wrong_state(self, "1 remembered step", f"{held.shape[-1]} of them")
        return step, exists

    def _interpolate(self, x: Tensor) -> Tensor:
        """Weighs neighbors, zeros outside, axis by axis; ``x`` begins with the step before."""
        for axis in range(self.ndim):
            nothing, is_time = torch.zeros_like(x.narrow(axis + 2, 0, 1)), axis == self.ndim - 1
            x = torch.cat([x, nothing] if is_time else [nothing, x, nothing], axis + 2)
            x = _between(x, axis + 2, self._shifts(axis))
        return x

    def _shifts(self, axis: int) -> list[float]:
        """Where the outputs of one input lie between it, 0, and its neighbors at -1 and 1."""
        factor = self.factor[axis]
        if self.mode == "nearest":
            return [0.0] * factor
        if self.axis_padding[axis] == "causal":
            return [(k + 1) / factor - 1 for k in range(factor)]
        return [(k + 0.5) / factor - 0.5 for k in range(factor)]

    @property
    def changes_length(self) -> bool:
        """Whether there are more outputs than inputs."""
        return any(factor > 1 for factor in self.factor)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The neighbors between which the lines are drawn, per axis."""
        axes = [self._shifts(axis) for axis in range(self.ndim)]
        return tuple(
            Reach(int(min(shifts) < 0), int(max(shifts) > 0), Fraction(1, len(shifts)))
            for shifts in axes
        )

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """Inputs between which the outputs from ``first`` to ``last`` lie along an axis."""
        if -axis > self.ndim:
            return first, last
        if math.isinf(first) or math.isinf(last):
            return super().sees(first, last, axis)
        shifts = self._shifts(axis)
        (start, early), (end, late) = (divmod(int(at), len(shifts)) for at in (first, last))
        return start - (shifts[early] < 0), end + (shifts[late] > 0)

    @property
    def streaming_obstacle(self) -> str | None:
        """Lines to a value that has not come yet."""
        if self.reach[-1].right <= 0:
            return None
        return "Upsample with padding='same' on the time axis reads a future step"

    def extra_repr(self) -> str:
        """Factor, mode and padding."""
        padding = f", padding={self.axis_padding}" if self.mode == "linear" else ""
        return f"factor={self.factor}, mode={self.mode!r}{padding}"


def _between(x: Tensor, axis: int, shifts: Sequence[float]) -> Tensor:
    """``len(shifts)`` outputs for every step of an axis but its first and last."""
    size = x.shape[axis] - 2
    before, now, after = (x.narrow(axis, start, size).unsqueeze(axis + 1) for start in range(3))
    parts = []
    for neighbor, chosen in (
        (before, [-shift for shift in shifts if shift < 0]),
        (now, [0.0 for shift in shifts if shift == 0]),
        (after, [shift for shift in shifts if shift > 0]),
    ):
        if chosen:
            weight = x.new_tensor(chosen).view(-1, *[1] * (x.dim() - axis - 1))
            parts.append(now + weight * (neighbor - now))
    return torch.cat(parts, axis + 1).flatten(axis, axis + 1)
