"""Where the taps of a layer lie: padding per axis, dilation, stride, look-ahead.

Which inputs (``*``) the output at position ``t`` sees, for kernel_size 3 and dilation 2:

    "causal"           * . * . *           zeros on the left, (kernel_size - 1) * dilation of them
                               t
    "strictly_causal"  * . * . *           the same, one step earlier: the present is excluded
                                 t
    "same"                 * . * . *       zeros on both sides; the odd one of an even kernel right
                               t
    "valid"                                no zeros: the output is shorter
    2                                      two zeros on both sides: shorter, unless that is "same"
    "ceil"                                 as "valid", and what is left over at the end, if a stride
                                           leaves something, gets a window too (pools alone)

A causal convolution with a ``lookahead`` has its taps that many steps further to the right on the
time axis. Its stream is that of the causal convolution, with outputs late by as many steps:

    lookahead=2              * . * . *     zeros on both sides, ``lookahead`` of them right
                                 t

With a stride, outputs are those of the unstrided convolution at 0, stride, 2 * stride, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.context import Sampling
from tcn.layers.module import SequenceModule
from tcn.layers.reach import Reach
from tcn.layers.state import State
from tcn.layers.validation import (
    Padding,
    check_positive,
    is_integer,
    padding_per_axis,
    per_axis,
)

PADDINGS = ("causal", "strictly_causal", "same", "valid")
CAUSAL = ("causal", "strictly_causal")


class Taps(SequenceModule):
    """A layer whose outputs see a window of taps around, or before, their own position."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    axis_padding: tuple[str | int, ...]
    lookahead: int = 0
    kind: str = "a convolution"
    """What it calls itself in errors."""

    def place(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        padding: Padding,
        choices: Sequence[str] = PADDINGS,
    ) -> None:
        """Sets where the taps lie in a layer that is not one of PyTorch's convolutions.

        Raises:
            ValueError: if a size is not positive, the padding is not one of the choices, or none is
                given for an image.
        """
        self.kernel_size = per_axis("kernel_size", kernel_size, self.ndim)
        self.stride = per_axis("stride", stride, self.ndim)
        self.dilation = per_axis("dilation", dilation, self.ndim)
        for name in ("kernel_size", "stride", "dilation"):
            check_positive(name, getattr(self, name))
        self.place_zeros(padding, choices)

    def place_zeros(self, padding: Padding, choices: Sequence[str] = PADDINGS) -> None:
        """Sets the padding, once kernel and dilation are known.

        Raises:
            ValueError: as :meth:`place`, or if there are more zeros than the taps span.
        """
        self.axis_padding = padding_per_axis(padding, self.kernel_size, choices)
        for zeros, span in zip(self.axis_padding, self.span, strict=True):
            if is_integer(zeros) and not 0 <= 2 * zeros <= span:
                raise ValueError(
                    f"padding: {zeros} zeros on both sides of taps that span {span + 1} steps; "
                    f"give a number from 0 to {span // 2}, with which outputs are not more than "
                    "inputs"
                )

    def look_ahead(self, steps: int) -> None:
        """Moves the taps of a causal convolution to the right: ``steps`` of them see the future.

        Raises:
            ValueError: if the taps do not reach so far, or the time axis is not ``"causal"`` with
                stride 1.
        """
        if self.axis_padding[-1] != "causal" or self.stride[-1] != 1:
            raise ValueError(
                f"lookahead: {steps} with padding={self.axis_padding[-1]!r} and "
                f"stride={self.stride[-1]} on the time axis; it needs 'causal' and stride 1"
            )
        if not 0 <= steps <= self.span[-1]:
            raise ValueError(
                f"lookahead: {steps} is not between 0 and the {self.span[-1]} steps that the taps "
                "span; use a larger kernel_size or dilation"
            )
        self.lookahead = steps

    @property
    def span(self) -> tuple[int, ...]:
        """Distance between the first and the last tap, per axis."""
        return tuple((k - 1) * d for k, d in zip(self.kernel_size, self.dilation, strict=True))

    @property
    def shift(self) -> tuple[int, ...]:
        """1 on the axes where the present is excluded, otherwise 0."""
        return tuple(int(name == "strictly_causal") for name in self.axis_padding)

    @property
    def context_size(self) -> int:
        """Past steps that the next output of a stream may need: what the state holds at rest."""
        # A stride beyond the taps skips inputs; holding them keeps the phase in the state's length.
        return max(self.span[-1] + self.shift[-1], self.stride[-1] - 1)

    def zeros_around(self, axis: int) -> tuple[int, int]:
        """Zeros to the left and the right of one axis, the present's own step cut off."""
        span, name = self.span[axis], self.axis_padding[axis]
        if is_integer(name):
            return name, name
        if name == "ceil":
            return 0, min(self.stride[axis] - 1, span)
        if name == "same":
            return span // 2, span - span // 2
        if name == "valid":
            return 0, 0
        right = self.lookahead if axis == self.ndim - 1 else 0
        right -= self.shift[axis]
        return span - right, right

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Taps to the left and the right of each output, per axis."""
        reach = []
        for axis, (span, stride) in enumerate(zip(self.span, self.stride, strict=True)):
            left = self.zeros_around(axis)[0]
            reach.append(Reach(left, span - left, Fraction(stride)))
        return tuple(reach)

    @property
    def changes_length(self) -> bool:
        """Whether a stride, or too few zeros, make the output shorter."""
        return any(map(self._lost, range(-self.ndim, 0))) or any(step > 1 for step in self.stride)

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """Outputs of ``steps`` inputs; fewer by what the zeros do not make up for."""
        if -axis > self.ndim:
            return steps
        return max(super().out_steps(steps - self._lost(axis), axis), 0)

    def used(self, steps: int) -> int | None:
        """Steps at the front of a stream that no later output needs; None if no output falls due.

        Args:
            steps: those held before a chunk and the chunk; they begin ``context_size`` before the
                next output's own position.
        """
        past, stride = self.context_size, self.stride[-1]
        if torch.compiler.is_exporting():  # chunks are whole blocks, so as much is held as before
            return steps - past
        return -(-(steps - past) // stride) * stride if steps > past else None

    def phase(self, state: State | None) -> int:
        """Steps by which the state is shorter than it is when an output falls due at once."""
        return self.context_size - state.shape[-1] if isinstance(state, Tensor) else 0

    def sampling(self, state: State | None) -> tuple[Sampling, ...]:
        """With too few zeros an output stands where those that are lost would end.

        That is its last tap with ``"valid"``, so a row's outputs are as many as those of it alone.
        """
        lost = [self._lost(axis) for axis in range(-self.ndim, 0)]
        pairs = zip(super().sampling(state), lost, strict=True)
        return tuple(axis._replace(start=axis.start + start) for axis, start in pairs)

    def _lost(self, axis: int) -> int:
        """Steps by which the output is shorter without a stride: taps that no zeros stand under."""
        return self.span[axis] - sum(self.zeros_around(axis % self.ndim))

    @property
    def streaming_obstacle(self) -> str | None:
        """A padding on the last axis that reads the future or loses the alignment."""
        padding = self.axis_padding[-1]
        if padding in CAUSAL or self.span[-1] == 0:
            return None
        valid = padding in ("valid", 0)
        why = "returns fewer steps than it is given" if valid else "reads future steps"
        return f"{self.kind} with padding={padding!r} on the time axis {why}"

    @property
    def latency(self) -> int:
        """The look-ahead."""
        return self.lookahead

    @property
    def _looks_back_only(self) -> bool:
        return not self.lookahead and all(name in CAUSAL for name in self.axis_padding)


def pad(x: Tensor, around: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Puts (left, right) steps of ``value`` on each axis; a negative number cuts."""
    flat = [n for pair in reversed(around) for n in pair]  # F.pad takes the last axis first
    return F.pad(x, flat, value=value) if any(flat) else x


def check_windows_fit(name: str, size: int, axis: int, taps: Taps) -> None:
    """Refuses an input in which no window lies, for want of zeros around it."""
    lost = taps._lost(axis)
    if not lost or torch.compiler.is_compiling() or size > lost:
        return
    raise ValueError(
        f"{name}: {size} steps on axis {axis - taps.ndim} do not fill one window of {lost + 1}; "
        'give it more, or use padding="same" or "causal"'
    )
