"""Scaling of single windows, inside the net: each by what is observed of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOW_SCALERS = ("identity", "standard", "robust", "mean", "last", "revin")
# RevIN's, for values of order 1, as series scalers make them: added to the variance, it bounds how
# far a window that is almost constant is blown up.
EPSILON = 1e-5
# The median absolute deviation of a normal distribution in units of its standard deviation.
NORMAL_DEVIATION = 0.6744897501960817

WindowStatistics = tuple[Tensor, ...]


class WindowScaler(nn.Module):
    """Brings windows to a common level; their location and scale lead forecasts back.

    ==========  ================================================================================
    identity    leaves the data as it is
    standard    mean 0, standard deviation 1
    robust      median 0, median absolute deviation that of a normal distribution of deviation 1
    mean        divided by the mean absolute value
    last        the last observed value becomes 0; the scale is left
    revin       standard, then a learned factor and shift per channel (Kim et al., Reversible
                Instance Normalization, ICLR 2022, section 3)
    ==========  ================================================================================

    What is added by a covariate, a promotion or a closed day, is an amount in the units of the
    series. After ``identity`` and ``last`` it is the same amount in every window, and a net can
    learn it. After the others it depends on how far the window happens to spread, which the net is
    not told: use them with covariates only where effects grow and shrink with the spread. The same
    holds for intervals of a series whose noise does not change over time.

    Without covariates, ``last`` and ``standard`` are for series whose level wanders, ``standard``
    and ``robust`` for those whose seasons grow with the level, and ``identity`` for those that
    return to their mean.

    Entries that are not observed are not counted. A window without spread, or with nothing
    observed, has scale 1.
    """

    def __init__(self, name: str, channels: int) -> None:
        """Makes the scaler of that name.

        Args:
            name: one of those of the class.
            channels: targets ``K``.

        Raises:
            ValueError: the name is unknown, or ``channels`` is below 1.
        """
        super().__init__()
        if name not in WINDOW_SCALERS:
            raise ValueError(
                f"window_scaler: {name!r} is not known; give {', '.join(WINDOW_SCALERS)}"
            )
        if channels < 1:
            raise ValueError(f"channels: {channels} must be at least 1")
        self.name = name
        self.channels = channels
        if name == "revin":
            self.weight = nn.Parameter(torch.ones(channels, 1))
            self.bias = nn.Parameter(torch.zeros(channels, 1))

    def scale(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, WindowStatistics]:
        """Windows, each in its own units.

        Args:
            x: ``(B, K, L)``.
            mask: ``(B, K, L)`` bool, what is observed; ``None``: all.

        Returns:
            The windows, 0 where not observed, and ``(B, K, 1)`` location and scale.

        Raises:
            ValueError: the shapes do not fit.
        """
        self._check(x, mask)
        if mask is None:
            mask = torch.ones_like(x, dtype=torch.bool)
        # Whatever is not observed, NaN included, is out of the way from here on.
        x = torch.where(mask, x, 0.0)
        with torch.no_grad():
            statistics = self._statistics(x, mask)
        return self.transform(x, statistics) * mask, statistics

    def transform(self, x: Tensor, statistics: WindowStatistics) -> Tensor:
        """Values ``(..., B, K, T)`` in units of the windows that the statistics belong to."""
        location, scale = statistics
        x = (x - location) / scale
        return x * self.weight + self.bias if self.name == "revin" else x

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.name!r}, {self.channels}"

    def _statistics(self, x: Tensor, mask: Tensor) -> WindowStatistics:
        zero, one = torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])
        if self.name == "identity":
            return zero, one
        count = mask.sum(-1, keepdim=True).clamp_min(1)
        if self.name == "last":
            step = torch.arange(x.shape[-1], device=x.device)
            last = torch.where(mask, step, 0).amax(-1, keepdim=True)
            return x.gather(-1, last), one
        # Shares of the largest value: in float32 the square of 1e20 is infinite.
        size = x.abs().amax(-1, keepdim=True)
        size = torch.where(size > 0, size, one)
        share = x / size
        if self.name == "mean":
            return zero, _or_one(share.abs().sum(-1, keepdim=True) / count * size)
        mean = share.sum(-1, keepdim=True) / count
        deviation = torch.where(mask, share - mean, 0.0)
        variance = deviation.square().sum(-1, keepdim=True) / count
        low = torch.where(mask, x, torch.inf).amin(-1, keepdim=True)
        high = torch.where(mask, x, -torch.inf).amax(-1, keepdim=True)
        constant = low >= high
        scale = torch.hypot(variance.sqrt() * size, torch.full_like(size, EPSILON**0.5))
        location = mean * size
        if self.name == "robust":
            location = _median(x, mask)
            spread = _median((x - location).abs(), mask) / NORMAL_DEVIATION
            scale = torch.where(spread > 0, spread, scale)
        location = torch.where(constant & mask.any(-1, keepdim=True), low, location)
        return location, torch.where(constant, one, scale)

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        if x.dim() != 3 or x.shape[1] != self.channels:
            cure = ""
            if x.dim() == 3 and x.shape[2] == self.channels:
                cure = "; the channels seem to be last: use x.movedim(-1, 1)"
            raise ValueError(
                f"x: shape {tuple(x.shape)}, expected (batch, {self.channels} channels, time){cure}"
            )
        if mask is not None and mask.shape != x.shape:
            raise ValueError(
                f"mask: shape {tuple(mask.shape)}, expected that of x {tuple(x.shape)}"
            )


def _median(x: Tensor, mask: Tensor) -> Tensor:
    median = torch.where(mask, x, torch.nan).nanmedian(-1, keepdim=True).values
    return median.nan_to_num(nan=0.0)


def _or_one(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
