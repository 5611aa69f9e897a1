"""Convolution whose padding is decided per axis; one definition for 1-D and 2-D.

Which inputs (``*``) the output at position ``t`` sees, for kernel_size 3 and dilation 2:

    "causal"           * . * . *           zeros on the left, (kernel_size - 1) * dilation of them
                               t
    "strictly_causal"  * . * . *           the same, one step earlier: the present is excluded
                                 t
    "same"                 * . * . *       zeros on both sides; the odd one of an even kernel right
                               t
    "valid"                                no zeros: the output is shorter

A causal convolution with a ``lookahead`` has its taps so many steps further to the right on the
time axis. A stream of it is that of the causal one, its outputs late by as many steps:

    lookahead=2              * . * . *     zeros on both sides, ``lookahead`` of them right
                                 t

With a stride, outputs are those of the unstrided convolution at 0, stride, 2 * stride, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.ending import NO_ENDING, Ending
from tcn.layers.grid import Grid
from tcn.layers.module import Reach, SequenceModule, State
from tcn.layers.validation import (
    check_channels,
    check_input,
    check_positive,
    check_state,
    padding_per_axis,
    per_axis,
    wrong_state,
)
from tcn.layers.weight_norm import WeightNormalised
from tcn.native import convolution as native

PADDINGS = ("causal", "strictly_causal", "same", "valid")
CAUSAL = ("causal", "strictly_causal")


class Convolution(WeightNormalised, SequenceModule):
    """What ``Conv1d`` and ``Conv2d`` share, which is everything but their rank."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        padding: str | Sequence[str] | None = None,
        dilation: int | Sequence[int] = 1,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        weight_norm: bool = False,
        lookahead: int = 0,
    ) -> None:
        """Builds the convolution.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel_size: taps per axis, 1 and even numbers included.
            padding: one of :data:`PADDINGS`, per axis; ``"causal"`` of a sequence unless given. Of
                an image it must be said: ``("same", "causal")`` for a spectrogram, ``"same"`` for a
                picture. Of a kernel of one step it makes no difference.
            dilation: distance between taps, per axis, in steps.
            stride: distance between outputs, per axis, in steps.
            groups: blocks of channels convolved apart; ``in_channels`` makes it depthwise.
            bias: whether a constant is added per output channel.
            weight_norm: whether direction and size of each filter are parameters apart
                (Salimans & Kingma 2016, section 2): ``weight = weight_g * weight_v / |weight_v|``.
            lookahead: future steps under the taps of a causal convolution.

        Raises:
            ValueError: if a size is not positive, the padding has no such name or is not given of
                an image, or ``groups`` does not divide the channels.
        """
        check_channels(in_channels=in_channels, out_channels=out_channels, groups=groups)
        sizes = {"kernel_size": kernel_size, "dilation": dilation, "stride": stride}
        axes = {name: per_axis(name, value, self.ndim) for name, value in sizes.items()}
        for name, value in axes.items():
            check_positive(name, value)
        super().__init__(in_channels, out_channels, groups=groups, bias=bias, **axes)
        self.axis_padding = padding_per_axis(padding, axes["kernel_size"], PADDINGS)
        self.lookahead = 0
        if lookahead:
            self.look_ahead(lookahead)
        if weight_norm:
            self.normalise_weight()

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

    # ------------------------------------------------------------------ geometry

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

    def _zeros(self, axis: int) -> tuple[int, int]:
        """Zeros to the left and the right of one axis, the present's own step cut off."""
        span, name = self.span[axis], self.axis_padding[axis]
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
            left = 0 if self.axis_padding[axis] == "valid" else self._zeros(axis)[0]
            reach.append(Reach(left, span - left, Fraction(stride)))
        return tuple(reach)

    @property
    def changes_length(self) -> bool:
        """Whether a stride or ``"valid"`` padding makes the output shorter."""
        valid = any(
            name == "valid" and span
            for name, span in zip(self.axis_padding, self.span, strict=True)
        )
        return valid or any(stride > 1 for stride in self.stride)

    @property
    def streaming_obstacle(self) -> str | None:
        """A padding on the last axis that reads the future or loses the alignment."""
        padding = self.axis_padding[-1]
        if padding in CAUSAL or self.span[-1] == 0:
            return None
        why = {"same": "reads future steps", "valid": "returns fewer steps than it is given"}
        return f"a convolution with padding={padding!r} on the time axis {why[padding]}"

    # ---------------------------------------------------------------- evaluation

    def advance(
        self, x: Tensor, state: State | None, context: Context, ending: Ending = NO_ENDING
    ) -> tuple[Tensor, State]:
        """Convolves the chunk behind the remembered past; the past is zeros at the start."""
        check_input(self, x, self.in_channels, self.ndim)
        x = silence(x, context.mask)
        zeros = [self._zeros(axis) for axis in range(self.ndim)]
        if self.streaming_obstacle or (state is None and not context.streaming):
            return self._convolve(x, zeros, self.stride, self.dilation, ending), ()
        past = self.context_size
        zeros[-1] = (past if state is None else 0, 0)
        x = _pad(x, zeros)
        if state is not None:
            self._check_state(state, x)
            x = torch.cat([state, x], dim=-1)
        return self._stream(x, past, ending)

    def _stream(self, x: Tensor, past: int, ending: Ending) -> tuple[Tensor, State]:
        """Convolves ``x``, which begins ``past`` steps before the next output's own position."""
        span, shift, none = self.span[-1], self.shift[-1], [(0, 0)] * self.ndim
        outputs = (x.shape[-1] - past + self.stride[-1] - 1) // self.stride[-1]
        state = x[..., outputs * self.stride[-1] :]
        if outputs == 0:  # the chunk ended before the next output's position
            whole = F.pad(x, (0, span + 1))
            return self._convolve(whole, none, self.stride, self.dilation)[..., :0], state
        seen = x[..., past - span - shift : x.shape[-1] - shift]
        return self._convolve(seen, none, self.stride, self.dilation, ending), state

    def _check_state(self, state: State, x: Tensor) -> None:
        check_state(self, state, (x.shape[0], self.in_channels, *x.shape[2:-1]), x)
        held = state.shape[-1] - self.context_size
        if not -self.stride[-1] < held <= 0:
            raise wrong_state(
                self, f"{self.context_size} remembered steps", f"{state.shape[-1]} of them"
            )

    @property
    def latency(self) -> int:
        """The look-ahead."""
        return self.lookahead

    @property
    def _looks_back_only(self) -> bool:
        return not self.lookahead and all(name in CAUSAL for name in self.axis_padding)

    def needs(self, want: Grid) -> Grid:
        """The positions under the taps, if every axis is causal; otherwise all of them."""
        if not self._looks_back_only:
            return super().needs(want)
        return want.reaching(self.kernel_size, self.dilation, self.shift)

    def on_grid(
        self, x: Tensor, have: Grid, want: Grid, context: Context, ending: Ending = NO_ENDING
    ) -> Tensor:
        """Convolves on the decimated grid: the dilation shrinks, a stride may appear."""
        if not self._looks_back_only:
            return ending.follow(super().on_grid(x, have, want, context))
        check_input(self, x, self.in_channels, self.ndim)
        if context.mask is not None:
            x = silence(x, have.take(context.mask, Grid.whole(have.sizes)))
        stride = want.strides(have)
        step = [max(step, 1) for step in have.steps]
        dilation = tuple(max(d // s, 1) for d, s in zip(self.dilation, step, strict=True))
        zeros = []
        for axis, count in enumerate(have.counts):
            shift = self.shift[axis] // step[axis]
            taps = (self.kernel_size[axis] - 1) * dilation[axis] + 1
            missing = (want.counts[axis] - 1) * stride[axis] + taps + shift - count
            zeros.append((missing, -shift))  # a negative number of zeros cuts what is not needed
        return self._convolve(x, zeros, stride, dilation, ending)

    def _convolve(
        self,
        x: Tensor,
        zeros: list[tuple[int, int]],
        stride: tuple[int, ...],
        dilation: tuple[int, ...],
        ending: Ending = NO_ENDING,
    ) -> Tensor:
        """The one place that convolves: with ``ending``, which the kernels take along for free."""
        size = self._parameters.get("weight_g")
        direction = self.weight if size is None else self.weight_v
        if self.ndim == 1 and self.groups == 1 and native.wins(x, direction):
            geometry = native.Geometry(*zeros[0], stride[0], dilation[0])
            return native.convolve(x, direction, self.bias, geometry, *ending, size=size)
        function = F.conv1d if self.ndim == 1 else F.conv2d
        x = _pad(x, zeros)
        return ending.follow(function(x, self.weight, self.bias, stride, 0, dilation, self.groups))

    def extra_repr(self) -> str:
        """Adds padding and weight norm to what ``nn.Conv1d`` prints."""
        norm = ", weight_norm=True" if self.is_weight_normalised else ""
        ahead = f", lookahead={self.lookahead}" if self.lookahead else ""
        return f"{super().extra_repr()}, padding={self.axis_padding}{norm}{ahead}"


class Conv1d(Convolution, nn.Conv1d):  # type: ignore[override,misc]
    """Convolution over ``(batch, in_channels, time)``; see the drawing of paddings above."""

    ndim = 1


class Conv2d(Convolution, nn.Conv2d):  # type: ignore[override,misc]
    """Convolution over ``(batch, in_channels, height, time)``, its padding decided per axis."""

    ndim = 2


CONVOLUTIONS: dict[int, type[Convolution]] = {1: Conv1d, 2: Conv2d}
"""The only place that knows both ranks."""


def convolution(ndim: int) -> type[Convolution]:
    """The convolution class of a rank.

    Raises:
        ValueError: if ``ndim`` is neither 1 nor 2.
    """
    if ndim not in CONVOLUTIONS:
        raise ValueError(f"ndim: {ndim!r}; sequences are 1 (time), images and spectrograms 2")
    return CONVOLUTIONS[ndim]


def _pad(x: Tensor, zeros: list[tuple[int, int]]) -> Tensor:
    """Puts (left, right) zeros on each axis; a negative number cuts."""
    flat = [n for pair in reversed(zeros) for n in pair]  # F.pad takes the last axis first
    return F.pad(x, flat) if any(flat) else x
