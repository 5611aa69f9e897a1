"""Point forecasts: one raw number a step, which is the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output
from tcn.outputs.checks import check_number


@dataclass(frozen=True)
class Point(Output):
    """The raw number is the forecast; how far it may be off is left to conformal intervals."""

    @property
    def size(self) -> int:
        return 1

    @property
    def intervals(self) -> bool:
        return False

    def mean(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return raw[:, 0]

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> NoReturn:
        raise self._no_distribution("quantiles")

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> NoReturn:
        raise self._no_distribution("samples")

    def _no_distribution(self, wanted: str) -> TypeError:
        return TypeError(
            f"loss {self.name!r} gives points and no {wanted}; for intervals use "
            "intervals='conformal', which needs no other loss, or a loss that is a distribution, "
            "such as 'quantiles' or 'normal'"
        )


@dataclass(frozen=True)
class MSE(Point):
    """Squared error: the forecast tends to the mean."""

    name: ClassVar[str] = "mse"

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        return F.mse_loss(raw[:, 0], target, reduction="none")


@dataclass(frozen=True)
class MAE(Point):
    """Absolute error: the forecast tends to the median."""

    name: ClassVar[str] = "mae"

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        return F.l1_loss(raw[:, 0], target, reduction="none")


@dataclass(frozen=True)
class Huber(Point):
    """Half the squared error up to ``delta``, linear beyond. Huber 1964.

    Args:
        delta: the error, in scaled units, from which on outliers weigh linearly.
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        check_number("delta", self.delta, above=0)

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        return F.huber_loss(raw[:, 0], target, reduction="none", delta=self.delta)


@dataclass(frozen=True)
class MASE(Point):
    """Absolute error over the error the seasonal naive forecast makes in the look-back.

    Series weigh alike however far they swing. ``loss`` needs ``scale``, which ``seasonal_error``
    computes; windows in which it is 0 or not finite are divided by 1. Hyndman & Koehler 2006.

    Args:
        season: steps of a season, 1 for the plain naive forecast; None: that of the frequency,
            which the caller of ``seasonal_error`` knows.
    """

    name: ClassVar[str] = "mase"
    season: int | None = None

    def __post_init__(self) -> None:
        if self.season is not None:
            check_positive("season", [self.season])

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if scale is None:
            raise ValueError(
                "scale: None, but loss 'mase' divides by the error of the seasonal naive "
                "forecast; pass scale=seasonal_error(past, observed, season)"
            )
        if scale.shape != target.shape[:-1]:
            raise ValueError(
                f"scale: shape {tuple(scale.shape)}; expected the target's without steps = "
                f"{tuple(target.shape[:-1])}"
            )
        usable = (scale > 0) & scale.isfinite()
        divisor = torch.where(usable, scale, 1).to(raw.dtype).unsqueeze(-1)
        return F.l1_loss(raw[:, 0], target, reduction="none") / divisor


def seasonal_error(past: Tensor, observed: Tensor, season: int) -> Tensor:
    """Mean absolute difference between values one season apart, ``(batch, target channel)``.

    Args:
        past: the look-back, ``(batch, target channel, time)``.
        observed: bool, shaped like ``past``; pairs with an unobserved value do not count.
        season: steps of a season.

    Returns:
        The mean over the pairs; 0 in a window that has none.

    Raises:
        ValueError: ``season`` is below 1.
    """
    check_positive("season", [season])
    pairs = observed[..., season:] & observed[..., :-season]
    apart = torch.where(pairs, past[..., season:] - past[..., :-season], 0).abs()
    return apart.sum(-1) / pairs.sum(-1).clamp_min(1)
