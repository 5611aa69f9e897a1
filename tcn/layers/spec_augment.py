"""SpecAugment: bands of frequencies and stretches of time left out in training."""

from __future__ import annotations

import torch
from torch import Tensor

from tcn.layers.context import Context
from tcn.layers.module import SequenceModule
from tcn.layers.running import valid_steps
from tcn.layers.state import State
from tcn.layers.validation import check_positions, check_share, is_integer
from tcn.saving.description import recorded


def mask_stretches(
    x: Tensor,
    widths: Tensor,
    sizes: Tensor,
    *,
    axis: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One stretch of each row set to zero, anywhere on the axis.

    Args:
        x: ``(batch, ..., frequency, time)``.
        widths: ``(batch,)`` floats; the length of a stretch is uniform from 0 to below it.
        sizes: ``(batch,)`` floats, positions of each row that count.
        axis: -2, frequencies, or -1, time.
        generator: where the random numbers come from; PyTorch's own unless given.
    """
    device = x.device if generator is None else generator.device
    drawn = torch.rand(2, len(x), generator=generator, device=device).to(x.device)
    length = drawn[0] * widths
    start = (drawn[1] * (sizes - length)).long()
    positions = torch.arange(x.shape[axis], device=x.device)
    within = (positions >= start[:, None]) & (positions < (start + length.long())[:, None])
    shape = [len(x)] + [1] * (x.dim() - 1)
    shape[axis] = -1
    return x.masked_fill(within.view(shape), 0)


class SpecAugment(SequenceModule):
    """Sets random bands of frequencies and stretches of time to zero in training.

    For spectrograms ``(batch, frequency, time)`` or ``(batch, channel, frequency, time)`` whose
    mean is about 0, so behind a :class:`tcn.layers.BatchNorm`. Every row has its own, and padding
    is left alone. The random numbers are PyTorch's own, as those of dropout, so that its seed
    decides them. A stream in training draws for each chunk.

    Source: Park et al. 2019, arXiv:1904.08779, section 2, without the warping of time.
    """

    @recorded
    def __init__(
        self,
        *,
        frequency_masks: int = 2,
        frequency_width: int = 8,
        time_masks: int = 2,
        time_width: int = 20,
        time_share: float = 1.0,
    ) -> None:
        """Sets how many and how wide.

        Args:
            frequency_masks: bands that are left out of each row.
            frequency_width: each is narrower than this (F in the paper).
            time_masks: stretches that are left out of each row.
            time_width: each is shorter than this, in steps (T in the paper).
            time_share: of the row's length, which no stretch exceeds (p in the paper).

        Raises:
            TypeError: if a number is not an integer, or the share is not a number.
            ValueError: if a number is below 0, or the share is not between 0 and 1.
        """
        super().__init__()
        sizes = {
            "frequency_masks": frequency_masks,
            "frequency_width": frequency_width,
            "time_masks": time_masks,
            "time_width": time_width,
        }
        for name, size in sizes.items():
            if not is_integer(size):
                raise TypeError(f"{name}: {size!r} is not an integer")
            if size < 0:
                raise ValueError(f"{name}: {size} is below 0; 0 leaves nothing out")
            setattr(self, name, size)
        check_share("time_share", time_share)
        self.time_share = time_share

    frequency_masks: int
    frequency_width: int
    time_masks: int
    time_width: int

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Leaves out in training; the same otherwise."""
        check_positions(self, x)
        return (self.masked(x, context.mask) if self.training else x), ()

    def masked(
        self, x: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """``x`` with what is drawn left out.

        Args:
            x: ``(batch, frequency, time)`` or ``(batch, channel, frequency, time)``.
            mask: which positions count, bool; all of them unless given.
            generator: where the random numbers come from; PyTorch's own unless given.
        """
        bands = x.new_full((len(x),), x.shape[-2], dtype=torch.float32)
        steps = x.new_full((len(x),), x.shape[-1], dtype=torch.float32)
        if mask is not None:
            steps = valid_steps(x, mask).flatten(1, -2).any(1).sum(-1).float()
        narrow = bands.clamp_max(self.frequency_width)
        short = (steps * self.time_share).floor().clamp_max(self.time_width)
        for _ in range(self.frequency_masks):
            x = mask_stretches(x, narrow, bands, axis=-2, generator=generator)
        for _ in range(self.time_masks):
            x = mask_stretches(x, short, steps, axis=-1, generator=generator)
        return x

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"frequency_masks={self.frequency_masks}, frequency_width={self.frequency_width}, "
            f"time_masks={self.time_masks}, time_width={self.time_width}"
        )
