"""Distributions over the values of sound and images, which are quantized and lie in [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output, Support
from tcn.outputs.checks import (
    can_be_looked_at,
    check_range,
    levels_of,
    random_source,
)
from tcn.outputs.classes import draw_class
from tcn.outputs.distributions import OfComponents

LOG_SCALES = (-14.0, 7.0)
"""Of a logistic distribution: so narrow that it lies in one step of 16 bits, and nearly flat."""

BISECTIONS = 40
"""Halvings of [-1, 1]: to 2e-12."""


def mu_law_encode(x: Tensor, levels: int = 256) -> Tensor:
    """Values in [-1, 1] to int64 levels from 0 on, closer together near 0.

    ``f(x) = sign(x) log(1 + mu |x|) / log(1 + mu)`` with ``mu = levels - 1``, cut into levels.
    Source: ITU-T G.711; van den Oord et al. 2016 (WaveNet), section 2.2. Values beyond the ends are
    taken for the ends. Half precision is computed in float32: it cannot tell 255 from 256.

    Raises:
        TypeError: ``levels`` is not an integer.
        ValueError: ``levels`` is below 2, or a value on the CPU is NaN.
    """
    mu = _mu(levels)
    eager_on_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling()
    if eager_on_cpu and bool(x.isnan().any()):  # elsewhere one would have to wait for the answer
        raise ValueError("x: some values are NaN, which has no level; replace them first")
    x = x.to(torch.promote_types(x.dtype, torch.float32)).clamp(-1, 1)
    compressed = x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)
    return ((compressed + 1) / 2 * mu + 0.5).long()


def mu_law_decode(level: Tensor, levels: int = 256) -> Tensor:
    """Levels to values in [-1, 1]: the inverse of :func:`mu_law_encode` up to the rounding.

    Raises:
        TypeError: ``levels`` is not an integer.
        ValueError: ``levels`` is below 2.
    """
    mu = _mu(levels)
    compressed = 2 * level.to(torch.get_default_dtype()) / mu - 1
    value = compressed.sign() * torch.expm1(compressed.abs() * math.log1p(mu)) / mu
    return value.clamp(-1, 1)  # rounding may lead beyond the ends, which no file of sound takes


def _mu(levels: int) -> int:
    check_positive("levels", [levels])
    if levels < 2:
        raise ValueError(f"levels: {levels}; give 2 or more")
    return levels - 1


@dataclass(frozen=True)
class MuLaw(Output):
    """A probability for each level of mu-law sound; the loss is the cross entropy, in nats.

    Targets are values in [-1, 1]. The point forecast is the mean of the distribution; quantiles and
    samples are values of levels. Source: van den Oord et al. 2016 (WaveNet), section 2.2.

    Args:
        levels: at least 2.
    """

    name: ClassVar[str] = "mu_law"
    support: ClassVar[Support] = "unit"
    levels: int = 256

    def __post_init__(self) -> None:
        _mu(self.levels)

    @property
    def size(self) -> int:
        return self.levels

    @property
    def locations(self) -> tuple[int, ...]:
        return ()

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if can_be_looked_at(target):
            self.check_target(target)
        return F.cross_entropy(raw, mu_law_encode(target, self.levels), reduction="none")

    def check_target(self, target: Tensor) -> None:
        """Refuses what does not lie in [-1, 1]; NaN passes."""
        check_range(self.name, target)

    def mean(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return torch.einsum("bl...,l->b...", raw.softmax(dim=1), self._values(raw))

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        self.check_raw(raw)
        below = raw.double().softmax(dim=1).cumsum(dim=1)[:, :-1]
        level = (below < levels_of(q, raw).unsqueeze(2)).sum(dim=2)
        return self._values(raw)[level]

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        self.check_raw(raw)
        return self._values(raw)[draw_class(raw, n, generator)]

    def _values(self, raw: Tensor) -> Tensor:
        return mu_law_decode(torch.arange(self.levels, device=raw.device), self.levels).to(raw)


@dataclass(frozen=True)
class Logistics(OfComponents):
    """A mixture of logistic distributions, cut into the levels of quantized sound or images.

    The probability of a level is what the mixture has between its two edges; the lowest and the
    highest level have all that lies beyond. The loss is the negative log-likelihood, in nats. Raw
    numbers are a logit, a location and the logarithm of a scale for each component. Targets lie in
    [-1, 1], and so do means, quantiles and samples, of which the last two are values of levels.
    Source: Salimans et al. 2017 (PixelCNN++), section 2.1; for sound van den Oord et al. 2018
    (Parallel WaveNet), section 2.1.

    Args:
        components: logistic distributions, at least 1.
        levels: evenly spaced from -1 to 1, at least 2: 256 for images of 8 bits, 65536 for sound of
            16 bits.
    """

    name: ClassVar[str] = "logistics"
    support: ClassVar[Support] = "unit"
    components: int = 10
    levels: int = 65536

    def __post_init__(self) -> None:
        super().__post_init__()
        _mu(self.levels)

    def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of weights, locations, logarithms of scales: ``(batch, components, *axes)``.

        Locations begin spread over [-1, 1]: from one place all components would learn the same.
        """
        self.check_raw(raw)
        logits, location, log_scale = raw.chunk(3, dim=1)
        apart = torch.linspace(-1, 1, self.components + 2, dtype=raw.dtype, device=raw.device)[1:-1]
        location = location + apart.view(-1, *[1] * (raw.dim() - 2))
        return logits.log_softmax(dim=1), location, log_scale.clamp(*LOG_SCALES)

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if can_be_looked_at(target):
            self.check_target(target)
        # float64: neighboring levels of 16 bits differ in the fifth digit.
        weight, location, log_scale = self.parameters(raw.double())
        level = self._level(target.double())
        half = 1 / (self.levels - 1)
        value = (2 * level / (self.levels - 1) - 1).unsqueeze(1)
        inverse = torch.exp(-log_scale)
        upper, lower = (value + half - location) * inverse, (value - half - location) * inverse
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - e^(l - u)): no digit cancels.
        width = 2 * half * inverse
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        level = level.unsqueeze(1)
        found = torch.where(level == 0, F.logsigmoid(upper), inside)
        found = torch.where(level == self.levels - 1, F.logsigmoid(-lower), found)
        return -torch.logsumexp(weight + found, dim=1).to(raw.dtype)

    def check_target(self, target: Tensor) -> None:
        """Refuses what does not lie in [-1, 1]; NaN passes."""
        check_range(self.name, target)

    def mean(self, raw: Tensor) -> Tensor:
        """That of the mixture before it is cut, its locations held in [-1, 1]."""
        weight, location, _ = self.parameters(raw)
        return (weight.exp() * location.clamp(-1, 1)).sum(dim=1)

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        weight, location, log_scale = self.parameters(raw.detach().double())
        wanted = levels_of(q, raw)
        shape = (len(wanted), *location[:, 0].shape)
        low, high = location.new_full(shape, -1.0), location.new_full(shape, 1.0)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            share = torch.sigmoid((middle.unsqueeze(2) - location) * torch.exp(-log_scale))
            below = (weight.exp() * share).sum(dim=2) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return self._nearest((low + high) / 2).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws a component, then from it."""
        weight, location, log_scale = self.parameters(raw.double())
        chosen = draw_class(weight, n, generator).unsqueeze(2)
        device = random_source(raw, generator)
        uniform = torch.rand(
            n, *location[:, 0].shape, dtype=torch.float64, device=device, generator=generator
        ).to(raw.device)
        expanded = (n, *location.shape)
        location = location.expand(expanded).gather(2, chosen).squeeze(2)
        spread = log_scale.expand(expanded).gather(2, chosen).squeeze(2).exp()
        tiny = torch.finfo(torch.float64).eps
        drawn = location + spread * torch.logit(uniform, eps=tiny)
        return self._nearest(drawn.clamp(-1, 1)).to(raw.dtype)

    def _level(self, x: Tensor) -> Tensor:
        return ((x + 1) / 2 * (self.levels - 1)).round()

    def _nearest(self, x: Tensor) -> Tensor:
        return 2 * self._level(x) / (self.levels - 1) - 1
