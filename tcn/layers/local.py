"""Locally connected layers: convolutions that share no weights between positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.state import State
from tcn.layers.taps import Taps, check_windows_fit, pad
from tcn.layers.validation import (
    check_bias,
    check_channels,
    check_input,
    check_positive,
    check_switch,
    per_axis,
)
from tcn.saving.description import recorded


class LocallyConnected(Taps):
    """What ``LocallyConnected1d`` and ``LocallyConnected2d`` share.

    Attributes:
        sizes: steps of the one input that it takes, per axis.
        weight: ``(*outputs, out_channels, in_channels / groups, *kernel_size)``: for every position
            the weight of a convolution.
        bias: ``(out_channels, *outputs)``, or None.
    """

    bias: nn.Parameter | None

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        sizes: int | Sequence[int],
        kernel_size: int | Sequence[int],
        *,
        padding: str | Sequence[str] | None = None,
        dilation: int | Sequence[int] = 1,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        """Builds one filter per output position, initialized as those of a convolution.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            sizes: steps of the input, per axis.
            kernel_size: taps per axis.
            padding: one of :data:`tcn.layers.PADDINGS`, per axis; in 1-D ``"causal"`` unless given.
            dilation: distance between taps, per axis, in steps.
            stride: distance between outputs, per axis, in steps.
            groups: blocks of channels connected separately.
            bias: whether a constant is added, one per output channel and position.

        Raises:
            ValueError: if a size is not positive, no window fits into the input, ``groups`` does
                not divide the channels, the padding's name is unknown, or none is given in 2-D.
        """
        super().__init__()
        check_switch(bias=bias)
        check_channels(in_channels=in_channels, out_channels=out_channels, groups=groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.sizes = per_axis("sizes", sizes, self.ndim)
        check_positive("sizes", self.sizes)
        self.place(kernel_size, stride, dilation, padding)
        outputs = self._outputs()
        filters = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(*outputs, *filters))
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(out_channels, *outputs)) if bias else None
        )
        self.reset_parameters()

    def _outputs(self) -> list[int]:
        """Positions per axis."""
        for axis, size in enumerate(self.sizes):
            check_windows_fit("sizes", size, axis, self)
        return [self.out_steps(size, axis - self.ndim) for axis, size in enumerate(self.sizes)]

    def reset_parameters(self) -> None:
        """Draws every weight and bias from U(-1, 1) / sqrt(taps), as PyTorch's convolutions do."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[self.ndim + 1 :]))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Every window times the filter of its position."""
        check_input(self, x, self.in_channels, self.ndim)
        if tuple(x.shape[2:]) != self.sizes:
            raise ValueError(
                f"x: sizes {tuple(x.shape[2:])} for {type(self).__name__}, which has a filter for "
                f"every position of {self.sizes}; pad or cut the input, or build one with sizes="
                f"{tuple(x.shape[2:])}"
            )
        zeros = [self.zeros_around(axis) for axis in range(self.ndim)]
        windows = pad(silence(x, context.mask), zeros).unflatten(1, (self.groups, -1))
        for axis, span in enumerate(self.span):
            windows = windows.unfold(axis + 3, span + 1, self.stride[axis])
            windows = windows[..., :: self.dilation[axis]]
        weight = self.weight.unflatten(self.ndim, (self.groups, -1))
        equation = {1: "bgcxi,xgoci->bgox", 2: "bgcxyij,xygocij->bgoxy"}[self.ndim]
        y = torch.einsum(equation, windows, weight).flatten(1, 2)
        check_bias(self, self.bias, tuple(y.shape[1:]))
        return y if self.bias is None else y + self.bias, ()

    @property
    def streaming_obstacle(self) -> str | None:
        """A stream has no positions to have filters for."""
        return (
            f"{type(self).__name__} has a filter for each of {self.sizes[-1]} steps, and a stream "
            "goes on"
        )

    def extra_repr(self) -> str:
        """Channels, sizes and the window."""
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return (
            f"{self.in_channels}, {self.out_channels}, sizes={self.sizes}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, dilation={self.dilation}, "
            f"padding={self.axis_padding}{groups}, bias={self.bias is not None}"
        )


class LocallyConnected1d(LocallyConnected):
    """``(batch, in_channels, time)`` of one length, a filter for every output step.

    Like a convolution, except that what is learned in one place is not used in another::

        convolution          a b c             a b c         the same taps everywhere
        locally connected    a b c             d e f

    Sources: LeCun 1989 (Generalization and network design strategies), Net-3; Taigman et al. 2014
    (DeepFace), section 3.1.
    """

    ndim = 1


class LocallyConnected2d(LocallyConnected):
    """``(batch, in_channels, height, time)`` of one size, a filter for every output position."""

    ndim = 2
