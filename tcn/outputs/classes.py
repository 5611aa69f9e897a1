"""Distributions over classes: tokens, keys of a piano, and the levels of quantized sound."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output, Support
from tcn.outputs.checks import (
    can_be_looked_at,
    check_binary,
    check_classes,
    levels_of,
    random_source,
)


def draw_class(logits: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """``(n, batch, *axes)`` int64 classes drawn from logits ``(batch, classes, *axes)``.

    By the largest sum of logit and Gumbel noise (Gumbel 1954), which needs no normalized sums.
    """
    check_positive("n", [n])
    device = random_source(logits, generator)
    uniform = torch.rand(
        n, *logits.shape, dtype=torch.float64, device=device, generator=generator
    ).to(logits.device)
    tiny = torch.finfo(torch.float64).tiny  # rand may give 0
    noise = -(-uniform.clamp_min(tiny).log()).log()
    return (logits.double() + noise).argmax(dim=2)


class OfClasses(Output):
    """What outputs over classes share; targets are int64 classes ``(batch, *axes)``."""

    support: ClassVar[Support] = "class"
    classes: int

    @property
    def locations(self) -> tuple[int, ...]:
        return ()

    @property
    def intervals(self) -> bool:
        return False

    @abstractmethod
    def logits(self, raw: Tensor) -> Tensor:
        """Those of all classes, ``(batch, classes, *axes)``: their softmax is the distribution."""

    def probabilities(self, raw: Tensor) -> Tensor:
        """Those of all classes, ``(batch, classes, *axes)``."""
        return self.logits(raw).softmax(dim=1)

    def check_target(self, target: Tensor) -> None:
        """Refuses what is not one of the classes.

        Raises:
            ValueError: a target is not an integer, below 0 or beyond the last class.
        """
        check_classes(target, self.classes)

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> NoReturn:
        raise TypeError(
            f"output {self.name!r} has classes, which have no order and so no quantiles; use "
            "probabilities(raw), or sample"
        )

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        return draw_class(self.logits(raw), n, generator)


@dataclass(frozen=True)
class Categorical(OfClasses):
    """One of several classes, such as a token; the loss is the cross entropy, in nats.

    Targets are int64 classes ``(batch, *axes)``; the point forecast is the likeliest class.

    Args:
        classes: how many there are, at least 1.
    """

    name: ClassVar[str] = "categorical"
    classes: int = 256

    def __post_init__(self) -> None:
        check_positive("classes", [self.classes])

    @property
    def size(self) -> int:
        return self.classes

    def logits(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return raw

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if can_be_looked_at(target):
            self.check_target(target)
        return F.cross_entropy(raw, target, reduction="none")

    def mean(self, raw: Tensor) -> Tensor:
        """The likeliest class, int64."""
        self.check_raw(raw)
        return raw.argmax(dim=1)


@dataclass(frozen=True)
class Bernoulli(Output):
    """Yes or no, such as a key that is pressed; the loss is the binary cross entropy, in nats.

    Targets are 0 or 1 (or a probability between them); the point forecast is the probability of 1.
    """

    name: ClassVar[str] = "bernoulli"
    support: ClassVar[Support] = "binary"

    @property
    def size(self) -> int:
        return 1

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        return F.binary_cross_entropy_with_logits(raw[:, 0], target, reduction="none")

    def check_target(self, target: Tensor) -> None:
        """Refuses what is not between 0 and 1; NaN passes.

        Raises:
            ValueError: a value is below 0 or above 1.
        """
        check_binary(self.name, target)

    def mean(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return raw[:, 0].sigmoid()

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        """0 up to the probability of 0, then 1."""
        return (levels_of(q, raw) > torch.sigmoid(-self._logit(raw))).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        check_positive("n", [n])
        logit = self._logit(raw)
        device = random_source(raw, generator)
        uniform = torch.rand(
            n, *logit.shape, dtype=torch.float64, device=device, generator=generator
        )
        return (uniform.to(raw.device) < logit.sigmoid()).to(raw.dtype)

    def _logit(self, raw: Tensor) -> Tensor:
        self.check_raw(raw)
        return raw[:, 0].double()
