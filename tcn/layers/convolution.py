"""Convolution whose padding is decided per axis (see :mod:`tcn.layers.taps`); 1-D and 2-D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.ending import NO_ENDING, Ending
from tcn.layers.grid import Grid
from tcn.layers.state import State
from tcn.layers.taps import Taps, check_windows_fit, pad
from tcn.layers.validation import (
    Padding,
    check_channels,
    check_input,
    check_ndim,
    check_positive,
    check_state,
    check_switch,
    per_axis,
    wrong_state,
)
from tcn.layers.weight_norm import WeightNormalized
from tcn.native import convolution as native
from tcn.saving.description import recorded


class Convolution(WeightNormalized, Taps):
    """What ``Conv1d`` and ``Conv2d`` share, which is everything but their rank."""

    groups: int
    bias: nn.Parameter | None

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        padding: Padding = None,
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
            padding: one of :data:`PADDINGS`, or the number of zeros on both sides, per axis;
                ``"causal"`` for a sequence unless given. An image needs it: ``("same", "causal")``
                for a spectrogram, ``"same"`` for a picture. For a kernel of one step it makes no
                difference.
            dilation: distance between taps, per axis, in steps.
            stride: distance between outputs, per axis, in steps.
            groups: blocks of channels convolved separately; ``in_channels`` makes it depthwise.
            bias: whether a constant is added per output channel.
            weight_norm: whether direction and size of each filter are separate parameters
                (Salimans & Kingma 2016, section 2): ``weight = weight_g * weight_v / |weight_v|``.
            lookahead: future steps under the taps of a causal convolution.

        Raises:
            ValueError: if a size is not positive, the padding's name is unknown, none is given
                for an image, or ``groups`` does not divide the channels.
        """
        check_switch(bias=bias, weight_norm=weight_norm)
        check_channels(in_channels=in_channels, out_channels=out_channels, groups=groups)
        sizes = {"kernel_size": kernel_size, "dilation": dilation, "stride": stride}
        axes = {name: per_axis(name, value, self.ndim) for name, value in sizes.items()}
        for name, value in axes.items():
            check_positive(name, value)
        super().__init__(in_channels, out_channels, groups=groups, bias=bias, **axes)
        self.place_zeros(padding)
        self.lookahead = 0
        if lookahead:
            self.look_ahead(lookahead)
        if weight_norm:
            self.normalize_weight()

    # ---------------------------------------------------------------- evaluation

    def advance(
        self, x: Tensor, state: State | None, context: Context, ending: Ending = NO_ENDING
    ) -> tuple[Tensor, State]:
        """Convolves the chunk behind the remembered past; the past is zeros at the start."""
        check_input(self, x, self.in_channels, self.ndim)
        x = silence(x, context.mask)
        zeros = [self.zeros_around(axis) for axis in range(self.ndim)]
        if self.streaming_obstacle or (state is None and not context.streaming):
            for axis in range(self.ndim):
                check_windows_fit("x", x.shape[axis + 2], axis, self)
            return self._convolve(x, zeros, self.stride, self.dilation, ending), ()
        past = self.context_size
        zeros[-1] = (past if state is None else 0, 0)
        given, x = x, pad(x, zeros)
        if state is not None:
            x = torch.cat([self._checked(state, x), x], dim=-1)
        used = self.used(x.shape[-1])
        if used is None:
            return self.nothing(given[..., :0], x, context)[0], x
        seen = x[..., past - self.span[-1] - self.shift[-1] : x.shape[-1] - self.shift[-1]]
        y = self._convolve(seen, [(0, 0)] * self.ndim, self.stride, self.dilation, ending)
        return y, x[..., used:]

    def _checked(self, state: State, x: Tensor) -> Tensor:
        state = check_state(self, state, (x.shape[0], self.in_channels, *x.shape[2:-1]), x)
        held = state.shape[-1] - self.context_size
        if not -self.stride[-1] < held <= 0:
            raise wrong_state(
                self, f"{self.context_size} remembered steps", f"{state.shape[-1]} of them"
            )
        return state

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
        x = pad(x, zeros)
        return ending.follow(function(x, self.weight, self.bias, stride, 0, dilation, self.groups))

    def extra_repr(self) -> str:
        """Adds padding and weight norm to what ``nn.Conv1d`` prints."""
        norm = ", weight_norm=True" if self.is_weight_normalized else ""
        ahead = f", lookahead={self.lookahead}" if self.lookahead else ""
        return f"{super().extra_repr()}, padding={self.axis_padding}{norm}{ahead}"


class Conv1d(Convolution, nn.Conv1d):  # type: ignore[misc]
    """Convolution over ``(batch, in_channels, time)``; see the drawing of paddings above."""

    ndim = 1


class Conv2d(Convolution, nn.Conv2d):  # type: ignore[misc]
    """Convolution over ``(batch, in_channels, height, time)``, its padding decided per axis."""

    ndim = 2


CONVOLUTIONS: dict[int, type[Convolution]] = {1: Conv1d, 2: Conv2d}
"""The only place that knows both ranks."""


def convolution(ndim: int) -> type[Convolution]:
    """The convolution class of a rank.

    Raises:
        ValueError: if ``ndim`` is neither 1 nor 2.
    """
    check_ndim(ndim)
    return CONVOLUTIONS[ndim]
