"""What inputs are made of while they climb: values or coefficients, of mixed channels or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tcn.explain.inputs import Data, batches

FIRST = 0.01
"""Deviation of the noise that an input begins as, before bounds."""
INSIDE = 1e-3
"""How far from its bounds, as a share of their distance, a given start is moved."""
LEAST = 0.01
"""Of the largest deviation, so that every direction can be climbed."""


@dataclass(frozen=True)
class Canvas:
    """From the numbers that climb to inputs.

    Attributes:
        sizes: of an input behind the channels.
        bounds: lowest and highest value of an input; None for no limit.
        scale: per frequency, or None if the values themselves climb.
        mixture: what of each channel that climbs, in a column, goes into the channels of an input;
            None if they are the same.
    """

    sizes: tuple[int, ...]
    bounds: tuple[float, float] | None
    scale: Tensor | None = None
    mixture: Tensor | None = None

    def noise(self, batch: int, channels: int, generator: torch.Generator) -> Tensor:
        """Faint noise: numbers that climb, on the CPU."""
        parts = self.sizes if self.scale is None else (*self.scale.shape, 2)
        return FIRST * torch.randn(batch, channels, *parts, generator=generator)

    def inputs(self, made: Tensor) -> Tensor:
        """``(batch, channels, *sizes)`` of the numbers that climb."""
        free = made
        if self.scale is not None:
            spectrum = torch.view_as_complex(made) * self.scale
            axes = tuple(range(-len(self.sizes), 0))
            free = torch.fft.irfftn(spectrum, s=self.sizes, dim=axes, norm="ortho")
        if self.mixture is not None:
            free = torch.einsum("oc,bc...->bo...", self.mixture, free)
        if self.bounds is None:
            return free
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(free)

    def made_of(self, inputs: Tensor) -> Tensor:
        """The numbers of which :meth:`inputs` makes these.

        Raises:
            ValueError: they are out of bounds.
        """
        free = inputs
        if self.bounds is not None:
            low, high = self.bounds
            if not (low <= float(inputs.min()) and float(inputs.max()) <= high):
                raise ValueError(
                    f"start: values from {float(inputs.min()):g} to {float(inputs.max()):g}; bring "
                    f"them into the bounds, {low:g} to {high:g}"
                )
            free = torch.logit((inputs - low) / (high - low), eps=INSIDE)
        if self.mixture is not None:
            free = torch.linalg.solve(self.mixture, free.flatten(2)).view_as(free)
        if self.scale is None:
            return free.clone()
        spectrum = torch.fft.rfftn(free, dim=tuple(range(-len(self.sizes), 0)), norm="ortho")
        return torch.view_as_real(spectrum / self.scale)


def falling(sizes: Sequence[int]) -> Tensor:
    """The scale of each coefficient, with a mean square of 1, so that every octave is as strong.

    Over an image that is 1 / frequency (Field 1987), over time its root, as in speech and music
    (Voss & Clarke 1975).
    """
    axes = [torch.fft.fftfreq(size) for size in sizes[:-1]] + [torch.fft.rfftfreq(sizes[-1])]
    squares = [axis.square() for axis in axes]
    frequency = sum(torch.meshgrid(*squares, indexing="ij"), torch.zeros(())).sqrt()
    scale = frequency.clamp(min=1 / max(sizes)) ** (-len(sizes) / 2)
    return scale / scale.square().mean().sqrt()


def channel_mixture(data: Data, *, batch_size: int = 64) -> Tensor:
    """How the channels of data vary together, for :class:`tcn.explain.Ascent`.

    Colors of photographs rise and fall together, and so do many series that are measured side by
    side. Inputs that climb along these directions, each in proportion to its deviation, keep to
    that: pictures lose their rainbow colors.

    Args:
        data: see :func:`tcn.explain.strongest`, of inputs ``(examples, channels, ...)``.
        batch_size: of data that are not in batches yet.

    Returns:
        ``(channels, channels)``, in the columns the principal axes times their deviations, a
        hundredth of the largest at least; the mean square of a row is 1 over the channels.

    Raises:
        TypeError: there are no tensors in the data.
        ValueError: they are empty, or constant.

    Source: Olah et al. 2017 (Feature visualization), on preconditioning.

    ::

        photos = torch.rand(5, 3, 32, 32).cumsum(1)
        channel_mixture(photos).shape  # (3, 3)
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for x in batches(data, batch_size):
        rows = x.detach().double().cpu().movedim(1, -1).flatten(0, -2)
        count, total, products = count + len(rows), total + rows.sum(0), products + rows.T @ rows
    mean = total / count
    variances, axes = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    if not variances[-1] > 0:
        raise ValueError("data: constant, or not finite; give data that vary")
    found = axes * variances.clamp(min=LEAST**2 * float(variances[-1])).sqrt()
    return (found / found.square().sum(1).mean().sqrt()).float()
