"""Distributions over the real line: normal, Student's t, a mixture of normals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output
from tcn.outputs.checks import levels_of, random_source, scipy

SMALLEST_SCALE = 1e-4
"""Of a distribution, in scaled units: below it a constant series would drive the loss to -inf."""

LARGEST_FREEDOM = 1e6
"""Degrees of freedom at which Student's t is normal to six digits."""

LOG_TWO_PI = math.log(2 * math.pi)

BISECTIONS = 60
"""Halvings of the interval that holds a quantile: from 1e6 down to 1e-12."""


def positive(raw: Tensor) -> Tensor:
    """``exp(raw)`` below 0, ``1 + raw`` above: smooth, 1 at 0, and no overflow."""
    return torch.where(raw < 0, raw.clamp_max(0).exp(), 1 + raw)


def normal_loss(target: Tensor, location: Tensor, spread: Tensor) -> Tensor:
    """The negative log-likelihood of a normal distribution, in nats."""
    distance = (target - location) / spread
    return 0.5 * (distance.square() + LOG_TWO_PI) + spread.log()


@dataclass(frozen=True)
class Normal(Output):
    """Location and scale; the loss is the negative log-likelihood, in nats."""

    name: ClassVar[str] = "normal"

    @property
    def size(self) -> int:
        return 2

    def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale, each ``(batch, *axes)``."""
        self.check_raw(raw)
        return raw[:, 0], SMALLEST_SCALE + positive(raw[:, 1])

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        return normal_loss(target, *self.parameters(raw))

    def mean(self, raw: Tensor) -> Tensor:
        return self.parameters(raw)[0]

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        location, spread = self.parameters(raw.double())
        score = torch.special.ndtri(levels_of(q, raw))
        return (location + spread * score).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        check_positive("n", [n])
        location, spread = self.parameters(raw)
        noise = torch.randn(
            n, *location.shape, device=random_source(raw, generator), generator=generator
        )
        return location + spread * noise.to(raw)


@dataclass(frozen=True)
class StudentT(Output):
    """Location, scale and degrees of freedom above 2: heavy tails, with a variance.

    The loss is the negative log-likelihood, in nats.
    """

    name: ClassVar[str] = "student_t"

    @property
    def size(self) -> int:
        return 3

    def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Location, scale, degrees of freedom, each ``(batch, *axes)``."""
        self.check_raw(raw)
        # float16 ends before.
        largest = min(LARGEST_FREEDOM, torch.finfo(raw.dtype).max)
        freedom = (2 + positive(raw[:, 2])).clamp_max(largest)
        return raw[:, 0], SMALLEST_SCALE + positive(raw[:, 1]), freedom

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        location, spread, freedom = self.parameters(raw)
        half = freedom.double() / 2
        # float64: two logarithms of gamma at 5e5 differ in their last float32 digits only.
        normalizer = torch.lgamma(half) - torch.lgamma(half + 0.5) + (half.log() + LOG_TWO_PI) / 2
        distance = (target - location) / spread
        tail = (freedom + 1) / 2 * torch.log1p(distance.square() / freedom)
        return normalizer.to(raw.dtype) + tail + spread.log()

    def mean(self, raw: Tensor) -> Tensor:
        return self.parameters(raw)[0]

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        location, spread, freedom = self.parameters(raw.double())
        levels = levels_of(q, raw).cpu().numpy()
        score = torch.from_numpy(scipy("special").stdtrit(freedom.detach().cpu().numpy(), levels))
        return (location + spread * score.to(raw.device)).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws by Bailey's polar method (Bailey 1994), from two uniform numbers each."""
        check_positive("n", [n])
        location, spread, freedom = self.parameters(raw.double())
        uniform = torch.rand(
            2, n, *location.shape, dtype=torch.float64,
            device=random_source(raw, generator), generator=generator,
        ).to(raw.device)  # fmt: skip
        radius = (freedom * torch.expm1(-2 / freedom * torch.log1p(-uniform[0]))).sqrt()
        draws = radius * torch.cos(2 * math.pi * uniform[1])
        return (location + spread * draws).to(raw.dtype)


class OfComponents(Output):
    """What mixtures share: raw numbers are logits, locations and scales of the components."""

    components: int

    def __post_init__(self) -> None:
        check_positive("components", [self.components])

    @property
    def size(self) -> int:
        return 3 * self.components

    @property
    def locations(self) -> tuple[int, ...]:
        return tuple(range(self.components, 2 * self.components))


@dataclass(frozen=True)
class Mixture(OfComponents):
    """A mixture of normal distributions: several modes, skew, tails. Bishop 1994.

    The loss is the negative log-likelihood, in nats. Quantiles are found by bisection, all at
    once. Components begin apart by a fixed offset, without which a head of zeros would teach them
    all the same forever.

    Args:
        components: normal distributions, at least 1.
    """

    name: ClassVar[str] = "mixture"
    components: int = 3

    def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of weights, locations, scales: ``(batch, components, *axes)``."""
        self.check_raw(raw)
        logits, location, spread = raw.chunk(3, dim=1)
        apart = torch.linspace(-1, 1, self.components, dtype=raw.dtype, device=raw.device)
        location = location + (apart - apart.mean()).view(-1, *[1] * (raw.dim() - 2))
        return logits.log_softmax(dim=1), location, SMALLEST_SCALE + positive(spread)

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        weight, location, spread = self.parameters(raw)
        return -torch.logsumexp(weight - normal_loss(target.unsqueeze(1), location, spread), dim=1)

    def mean(self, raw: Tensor) -> Tensor:
        weight, location, _ = self.parameters(raw)
        return (weight.exp() * location).sum(dim=1)

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        weight, location, spread = self.parameters(raw.detach().double())
        wanted = levels_of(q, raw)
        if not len(wanted):
            return raw.new_empty(0, raw.shape[0], *raw.shape[2:])
        # A quantile of the mixture lies between those of its components. All q share one interval
        # and so one grid of midpoints, on which the answers cannot change their order.
        score = torch.special.ndtri(torch.stack([wanted.min(), wanted.max()]))
        shape = (len(wanted), *location[:, 0].shape)
        low = (location + spread * score[0]).amin(dim=1).expand(shape)
        high = (location + spread * score[1]).amax(dim=1).expand(shape)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            distance = (middle.unsqueeze(2) - location) / spread
            below = (weight.exp() * torch.special.ndtr(distance)).sum(dim=2) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws a component, then from it."""
        check_positive("n", [n])
        weight, location, spread = self.parameters(raw)
        shape, device = (n, *location[:, 0].shape), random_source(raw, generator)
        uniform = torch.rand(shape, dtype=torch.float64, device=device, generator=generator)
        noise = torch.randn(shape, device=device, generator=generator).to(raw)
        edges = weight.double().exp().cumsum(dim=1)[:, :-1]
        chosen = (uniform.to(raw.device).unsqueeze(2) > edges).sum(dim=2).unsqueeze(2)
        expanded = (n, *location.shape)
        location = location.expand(expanded).gather(2, chosen).squeeze(2)
        spread = spread.expand(expanded).gather(2, chosen).squeeze(2)
        return location + spread * noise
