"""What a synthesized input is to do: drive one site, or one against others.

An objective is any callable that takes what a layer returns, ``(batch, units, *positions)``, and
gives a number per example that is to rise, ``(batch,)``. A population is any callable that gives
``(batch, sites)``: the units of the layer, or what was read out of it, such as the neurons that a
net was fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tcn.layers.validation import is_integer

Objective = Callable[[Tensor], Tensor]
"""What a layer returns to ``(batch,)``."""
Population = Callable[[Tensor], Tensor]
"""What a layer returns to ``(batch, sites)``."""


@dataclass(frozen=True)
class Units:
    """The units of the layer, channels, as a population.

    Attributes:
        position: ``"mean"`` over all positions, ``"center"``, or one number per axis, from the end
            if negative: ``(-1,)`` is the last step. A layer without positions needs none.

    Raises:
        TypeError: ``position`` is neither a text nor integers.
        ValueError: there is no such name; when called, no such position.

    ::

        Units("center")(torch.randn(2, 8, 5, 5)).shape  # (2, 8)
    """

    position: str | tuple[int, ...] = "mean"

    def __post_init__(self) -> None:
        if isinstance(self.position, str):
            if self.position not in ("mean", "center"):
                raise ValueError(
                    f"position: {self.position!r} is not 'mean' or 'center'; or give a number per "
                    "axis"
                )
        elif not isinstance(self.position, tuple) or not all(map(is_integer, self.position)):
            raise TypeError(f"position: {self.position!r}; give a tuple of integers, such as (0,)")

    def __call__(self, activation: Tensor) -> Tensor:
        """``(batch, units)``."""
        sizes = activation.shape[2:]
        if self.position == "mean":
            return activation.flatten(2).mean(2) if sizes else activation
        center = tuple(size // 2 for size in sizes)
        place = center if isinstance(self.position, str) else self.position
        fits = len(place) == len(sizes)
        if not fits or any(not -n <= at < n for at, n in zip(place, sizes, strict=True)):
            raise ValueError(f"position: {place} of a layer with {tuple(sizes)}; give one of these")
        where: Any = (slice(None), slice(None), *place)
        return activation[where]


@dataclass(frozen=True, eq=False)
class Readout:
    """Sites that are read out of the layer by a fitted linear map.

    Attributes:
        weights: ``(features, sites)``
        bias: ``(sites,)``, 0 unless given.
        features: what the map was fitted on, from what the layer returns to ``(batch, features)``;
            all units at all positions unless given, in the order of ``flatten(1)``, and
            ``Units()`` for means over the positions.

    Raises:
        ValueError: ``weights`` or ``bias`` have another shape; when called, the numbers of features
            differ.

    Source: Bashivan, Kar & DiCarlo 2019 (Neural population control via deep image synthesis), where
    the sites are neurons of area V4.

    ::

        Readout(torch.randn(8, 3), features=Units())(torch.randn(2, 8, 20)).shape  # (2, 3)
    """

    weights: Tensor
    bias: Tensor | None = None
    features: Population | None = None

    def __post_init__(self) -> None:
        if self.weights.dim() != 2:
            raise ValueError(f"weights: shape {tuple(self.weights.shape)}; give (features, sites)")
        if self.bias is not None and self.bias.shape != self.weights.shape[1:]:
            raise ValueError(
                f"bias: shape {tuple(self.bias.shape)} for {self.weights.shape[1]} sites; give one "
                "per site"
            )

    def __call__(self, activation: Tensor) -> Tensor:
        """``(batch, sites)``."""
        found = activation.flatten(1) if self.features is None else self.features(activation)
        if found.shape[1:] != self.weights.shape[:1]:
            raise ValueError(
                f"weights: for {len(self.weights)} features, but the layer gives "
                f"{tuple(found.shape[1:])}; say by `features` what they were fitted on"
            )
        sites = found @ self.weights.to(found)
        return sites if self.bias is None else sites + self.bias.to(found)


@dataclass(frozen=True, eq=False)
class Stretch:
    """One site as high as it goes.

    Attributes:
        site: its number.
        of: the population; the layer's units unless given.

    Raises:
        TypeError: the number is not an integer.
        ValueError: when called, there is no such site.

    Source: Bashivan et al. 2019 (Stretch); Olah et al. 2017 (Feature visualization).

    ::

        Stretch(3, Units("center"))(torch.randn(2, 8, 20)).shape  # (2,)
    """

    site: int
    of: Population = field(default_factory=Units)

    def __post_init__(self) -> None:
        _check_integers("site", [self.site])

    def __call__(self, activation: Tensor) -> Tensor:
        """``(batch,)``."""
        sites = self.of(activation)
        _check_sites("site", [self.site], sites)
        return sites[:, self.site]


@dataclass(frozen=True, eq=False)
class OneHotPopulation:
    """One site high while the others stay low: the logarithm of its softmax.

    Bring the sites to one scale first, as by a :class:`Readout` of standardized responses: a site
    whose answers are small in number never wins against one whose are large.

    Attributes:
        site: its number.
        others: numbers of the sites it is compared with; None for all.
        of: the population; the layer's units unless given.
        temperature: what the answers are divided by; the larger, the more distant others count.

    Raises:
        TypeError: a number is not an integer.
        ValueError: there are no others, or the temperature is not positive; when called, there is
            no such site.

    Source: Bashivan et al. 2019 (One-hot population); the softmax's logarithm has its maximum in
    the same place, and a gradient where the site is far behind.

    ::

        OneHotPopulation(3, others=[0, 1, 2])(torch.randn(2, 8, 20)).shape  # (2,)
    """

    site: int
    others: Sequence[int] | None = None
    of: Population = field(default_factory=Units)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_integers("site", [self.site])
        _check_integers("others", self.others or [])
        if self.others is not None and not set(self.others).difference([self.site]):
            raise ValueError(f"others: {list(self.others)}; give at least one beside {self.site}")
        if not self.temperature > 0:
            raise ValueError(f"temperature: {self.temperature} must be above 0")

    def __call__(self, activation: Tensor) -> Tensor:
        """``(batch,)``, at most 0."""
        sites = self.of(activation)
        _check_sites("site", [self.site], sites)
        _check_sites("others", self.others or [], sites)
        others = range(sites.shape[1]) if self.others is None else self.others
        members = [self.site, *sorted(set(others).difference([self.site]))]
        return torch.log_softmax(sites[:, members] / self.temperature, dim=1)[:, 0]


def _check_integers(name: str, values: Sequence[int]) -> None:
    for value in values:
        if not is_integer(value):
            raise TypeError(f"{name}: {value!r} is not an integer; give the number of a site")


def _check_sites(name: str, numbers: Sequence[int], sites: Tensor) -> None:
    if sites.dim() != 2:
        raise ValueError(f"of: the population gives {tuple(sites.shape)}; give (batch, sites)")
    for number in numbers:
        if not 0 <= number < sites.shape[1]:
            raise ValueError(
                f"{name}: {number} of {sites.shape[1]} sites; give 0 to {sites.shape[1] - 1}"
            )
