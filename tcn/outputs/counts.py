"""Distributions over counts: Poisson, and negative binomial where counts scatter more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output, Support
from tcn.outputs.checks import levels_of, random_source, scipy
from tcn.outputs.distributions import positive

LOG_LINK_ENDS = 8.0
"""Raw number up to which a rate is its exponential; from there, at 2981, it goes on linearly."""

CONCENTRATIONS = (1e-4, 1e6)
"""Of the negative binomial: at the upper end it is Poisson's to six digits."""

LARGEST_RATE = 1e9
"""Up to which quantiles of Poisson are computed exactly."""


def log_rate(raw: Tensor) -> Tensor:
    """The logarithm of the rate: ``raw`` itself, growing like a logarithm from 8 on."""
    return torch.where(
        raw < LOG_LINK_ENDS, raw, LOG_LINK_ENDS + (raw - LOG_LINK_ENDS).clamp_min(0).log1p()
    )


def rate(raw: Tensor) -> Tensor:
    """``exp(raw)`` up to a raw number of 8, then linear: smooth, and no overflow."""
    return raw.clamp_max(LOG_LINK_ENDS).exp() * (1 + (raw - LOG_LINK_ENDS).clamp_min(0))


class _Counts(Output):
    """What all distributions over counts share: the first raw number is the rate's."""

    support: ClassVar[Support] = "count"

    def mean(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return rate(raw[:, 0])


@dataclass(frozen=True)
class Poisson(_Counts):
    """A rate per step; the loss is the negative log-likelihood, in nats.

    The point forecast is the rate, which need not be whole; quantiles and samples are.
    """

    name: ClassVar[str] = "poisson"

    @property
    def size(self) -> int:
        return 1

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        raw = raw[:, 0]
        return rate(raw) - target * log_rate(raw) + torch.lgamma(target + 1)

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        levels, means = levels_of(q, raw), self.mean(raw.double())
        # Beyond, scipy finds none, and a Poisson distribution is normal to nine digits.
        large = means > LARGEST_RATE
        found = scipy("stats").poisson.ppf(
            levels.cpu().numpy(), _array(means.clamp_max(LARGEST_RATE))
        )
        normal = (means + means.sqrt() * torch.special.ndtri(levels)).round().detach()
        return torch.where(large, normal, _whole(found, normal)).to(raw)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        check_positive("n", [n])
        means = self.mean(raw).to(random_source(raw, generator))
        return torch.poisson(means.expand(n, *means.shape), generator=generator).to(raw)


@dataclass(frozen=True)
class NegativeBinomial(_Counts):
    """Mean and concentration: a Poisson whose rate scatters like a gamma distribution.

    The variance is ``mean + mean^2 / concentration``. The loss is the negative log-likelihood, in
    nats. Salinas et al. 2020 (DeepAR), section 3.1, where alpha is ``1 / concentration``.
    """

    name: ClassVar[str] = "negative_binomial"

    @property
    def size(self) -> int:
        return 2

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        # float64 throughout: logarithms of gamma near 1e7 leave float32 no digit after the point.
        raw64, count = raw.double(), target.double()
        log_mean, concentration = log_rate(raw64[:, 0]), self._concentration(raw64)
        log_odds = log_mean - concentration.log()
        failure = torch.nn.functional.softplus(log_odds)
        coefficient = (
            torch.lgamma(concentration) + torch.lgamma(count + 1)
            - torch.lgamma(concentration + count)
        )  # fmt: skip
        losses = coefficient + concentration * failure + count * (failure - log_odds)
        return losses.to(raw.dtype)

    def _concentration(self, raw: Tensor) -> Tensor:
        return positive(raw[:, 1]).clamp(*CONCENTRATIONS)

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        means, concentration = self.mean(raw.double()), self._concentration(raw.double())
        success = concentration / (concentration + means)
        levels = levels_of(q, raw).cpu().numpy()
        return _whole(
            scipy("stats").nbinom.ppf(levels, _array(concentration), _array(success)), raw
        )

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws a rate from the gamma distribution, then a count with it."""
        check_positive("n", [n])
        place = random_source(raw, generator)
        means = self.mean(raw.double()).to(place)
        concentration = self._concentration(raw.double()).to(place)
        shape = (n, *means.shape)
        gamma = torch._standard_gamma(concentration.expand(shape).clone(), generator=generator)
        return torch.poisson(gamma * (means / concentration), generator=generator).to(raw)


def _array(values: Tensor) -> Any:
    return values.detach().double().cpu().numpy()


def _whole(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like)
