"""Where a sliding window lies: what pools and unshared convolutions have in common.

Which inputs (``*``) the output at position ``t`` sees, for kernel_size 3 and dilation 2:

    "causal"     * . * . *             nothing exists on the left of the first step
                         t
    "same"           * . * . *         nothing exists on either side; the odd step of an even
                         t             window is on the right
    "valid"              * . * . *     windows that lie inside only: there are fewer outputs
                         t

With a stride, outputs are those at 0, stride, 2 * stride, ...; of a stream each falls due with the
input at its own position.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.module import Reach, SequenceModule, State
from tcn.layers.validation import check_positive, padding_per_axis, per_axis


class Windowed(SequenceModule):
    """A module whose every output is made of one window of the input.

    Attributes:
        kernel_size: taps per axis.
        stride: distance between outputs, per axis, in steps.
        dilation: distance between taps, per axis, in steps.
        axis_padding: ``"causal"``, ``"same"`` or ``"valid"``, per axis.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    axis_padding: tuple[str, ...]

    def _place_windows(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        padding: str | Sequence[str] | None,
    ) -> None:
        self.kernel_size = per_axis("kernel_size", kernel_size, self.ndim)
        self.stride = per_axis("stride", stride, self.ndim)
        self.dilation = per_axis("dilation", dilation, self.ndim)
        for name in ("kernel_size", "stride", "dilation"):
            check_positive(name, getattr(self, name))
        self.axis_padding = padding_per_axis(padding, self.kernel_size)

    @property
    def span(self) -> tuple[int, ...]:
        """Distance between the first and the last tap, per axis."""
        return tuple((k - 1) * d for k, d in zip(self.kernel_size, self.dilation, strict=True))

    @property
    def context_size(self) -> int:
        """Past steps that the next output of a stream may need: what the state holds at rest."""
        # A stride beyond the taps skips inputs; holding them keeps the phase in the state's length.
        return max(self.span[-1], self.stride[-1] - 1)

    def _outside(self, axis: int) -> tuple[int, int]:
        """Places under the windows before the first step of an axis and behind its last."""
        span, name = self.span[axis], self.axis_padding[axis]
        if name == "valid":
            return 0, 0
        return (span, 0) if name == "causal" else (span // 2, span - span // 2)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The window to the left and the right of each output, per axis."""
        lefts = [self._outside(axis)[0] for axis in range(self.ndim)]
        return tuple(
            Reach(left, span - left, Fraction(stride))
            for left, span, stride in zip(lefts, self.span, self.stride, strict=True)
        )

    @property
    def changes_length(self) -> bool:
        """Whether a stride or ``"valid"`` padding makes the output shorter."""
        lost = zip(self.axis_padding, self.span, strict=True)
        return any(s > 1 for s in self.stride) or any(p == "valid" and span for p, span in lost)

    @property
    def streaming_obstacle(self) -> str | None:
        """A window on the last axis that reads the future."""
        if self.axis_padding[-1] == "causal" or self.span[-1] == 0:
            return None
        name = type(self).__name__
        return f"{name} with padding={self.axis_padding[-1]!r} on the time axis reads future steps"

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """Outputs along an axis of so many inputs."""
        lost = self.span[axis] if self.axis_padding[axis] == "valid" else 0
        return -(-(steps - lost) // self.stride[axis])

    def phase(self, state: State | None) -> int:
        """Inputs of the next chunk before the next output's own position."""
        return 0 if state is None else self.context_size - self._held(state)

    def _held(self, state: State) -> int:
        """Steps that a state remembers."""
        return state.shape[-1]

    def _pad(self, x: Tensor, value: float = 0.0, *, time: bool = True) -> Tensor:
        """``x`` with ``value`` where its windows lie outside, but for the time axis if asked."""
        for axis in range(self.ndim if time else self.ndim - 1):
            self._check_size(x.shape[axis + 2], axis)
        outside = [self._outside(axis) for axis in range(self.ndim)]
        if not time:
            outside[-1] = (0, 0)
        flat = [n for pair in reversed(outside) for n in pair]  # F.pad takes the last axis first
        return F.pad(x, flat, value=value) if any(flat) else x

    def _check_size(self, size: int, axis: int, name: str = "x") -> None:
        span = self.span[axis]
        if (
            self.axis_padding[axis] == "valid"
            and not torch.compiler.is_compiling()
            and size <= span
        ):
            raise ValueError(
                f"{name}: {size} steps on axis {axis - self.ndim} do not fill one window of "
                f"{span + 1}; "
                'give it more, or use padding="same" or "causal"'
            )

    def extra_repr(self) -> str:
        """The window."""
        dilation = f", dilation={self.dilation}" if any(d > 1 for d in self.dilation) else ""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}{dilation}, "
            f"padding={self.axis_padding}"
        )
