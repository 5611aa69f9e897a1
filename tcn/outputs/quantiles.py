"""A few quantiles, learned directly, that cannot cross."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.validation import check_positive
from tcn.outputs.base import Output
from tcn.outputs.checks import levels_of, numbers_of


@dataclass(frozen=True)
class Quantiles(Output):
    """Quantiles at trained levels, by the pinball loss averaged over them. Koenker & Bassett 1978.

    The raw number of the level nearest 0.5 is its value; every other one, made positive by
    softplus, is the distance to the next level on the side of the middle. So quantiles cannot
    cross::

        level         0.05          0.5         0.95
        raw             a            m            b
        value   m - softplus(a)      m     m + softplus(b)

    Between trained levels values are interpolated linearly in the normal score of the level, that
    is, as if each piece were part of a normal distribution; beyond the outermost levels the last
    piece goes on, as a normal tail. The point forecast is the median.

    Args:
        levels: rising, between 0 and 1. ``for_intervals`` makes them from intervals.

    Raises:
        TypeError: ``levels`` is not a sequence of numbers.
        ValueError: ``levels`` is empty, does not rise, or leaves (0, 1).
    """

    name: ClassVar[str] = "quantiles"
    levels: tuple[float, ...] = (0.05, 0.1, 0.5, 0.9, 0.95)

    def __post_init__(self) -> None:
        levels = numbers_of("levels", self.levels)
        inside = all(0 < level < 1 for level in levels)
        if not levels or not inside or any(a >= b for a, b in pairwise(levels)):
            raise ValueError(
                f"levels: {list(levels)}; give rising probabilities between 0 and 1, both "
                "excluded, such as (0.1, 0.5, 0.9)"
            )
        object.__setattr__(self, "levels", levels)

    @classmethod
    def for_intervals(cls, levels: Iterable[float]) -> Self:
        """The median and both ends of central intervals, ``[80, 90]`` meaning 80 % and 90 %.

        Raises:
            ValueError: a level is not between 0 and 100, both excluded.
        """
        levels = numbers_of("levels", levels)
        if not all(0 < level < 100 for level in levels):
            raise ValueError(
                f"levels: {list(levels)}; give percentages between 0 and 100, both excluded, such "
                "as [80, 90]"
            )
        tails = [round((1 - level / 100) / 2, 12) for level in levels]
        return cls(tuple(sorted({0.5, *tails, *(round(1 - tail, 12) for tail in tails)})))

    @property
    def size(self) -> int:
        return len(self.levels)

    @property
    def locations(self) -> tuple[int, ...]:
        return (self.middle,)

    @property
    def intervals(self) -> bool:
        return self.size > 1

    @property
    def middle(self) -> int:
        """The index of the level nearest 0.5, from which the others are counted."""
        return _middle(self.levels)

    def values(self, raw: Tensor) -> Tensor:
        """The quantiles at the trained levels, ``(batch, size, *axes)``."""
        self.check_raw(raw)
        values, steps = [raw[:, self.middle]], F.softplus(raw)
        # Added one by one: a parallel cumulative sum may round two equal levels to a crossing.
        for index in range(self.middle + 1, self.size):
            values.append(values[-1] + steps[:, index])
        for index in reversed(range(self.middle)):
            values.insert(0, values[0] - steps[:, index])
        return torch.stack(values, dim=1)

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        error = target.unsqueeze(1) - self.values(raw)
        levels = torch.tensor(self.levels, dtype=raw.dtype, device=raw.device)
        levels = levels.view(-1, *[1] * (raw.dim() - 2))
        return torch.maximum(levels * error, (levels - 1) * error).mean(dim=1)

    def mean(self, raw: Tensor) -> Tensor:
        if not self.intervals or self.levels[self.middle] == 0.5:
            self.check_raw(raw)
            return raw[:, self.middle]
        return self.quantile(raw, [0.5])[0]

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        values = self._several(raw)
        numbers = isinstance(q, list | tuple) and all(isinstance(each, float) for each in q)
        if torch.compiler.is_compiling() or not numbers:
            return self._at(values.unsqueeze(0), levels_of(q, raw)).to(raw.dtype)
        left, share = _between(self.levels, tuple(q))
        low, high = values[:, left], values[:, [index + 1 for index in left]]
        shares = values.new_tensor(share).view(-1, *[1] * (raw.dim() - 2))
        return (low + shares * (high - low)).transpose(0, 1).to(raw.dtype)

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        check_positive("n", [n])
        values = self._several(raw)
        device = raw.device if generator is None else generator.device
        uniform = torch.rand(
            n, raw.shape[0], *raw.shape[2:], dtype=torch.float64, device=device, generator=generator
        )
        # rand may give 0, whose normal score is infinite.
        q = uniform.clamp_min(torch.finfo(torch.float64).eps).to(raw.device)
        return self._at(values.expand(n, *values.shape), q).to(raw.dtype)

    def _several(self, raw: Tensor) -> Tensor:
        if not self.intervals:
            raise TypeError(
                f"levels: {list(self.levels)} is one quantile and no distribution; train several, "
                "such as (0.1, 0.5, 0.9), or use intervals='conformal'"
            )
        # In float64 the interpolation keeps the order that float32 would round away.
        return self.values(raw).double()

    def _at(self, values: Tensor, q: Tensor) -> Tensor:
        """Interpolates ``values``, ``(draws, batch, size, ...)``, at ``q``, ``(draws, 1 or B...)``.

        A probability of its own for every element is allowed: that is a draw.
        """
        levels = torch.tensor(self.levels, dtype=torch.float64, device=values.device)
        score, knots = torch.special.ndtri(q), torch.special.ndtri(levels)
        left = (torch.searchsorted(knots, score.contiguous()) - 1).clamp(0, self.size - 2)
        share = (score - knots[left]) / (knots[left + 1] - knots[left])
        shape = (q.shape[0], *values.shape[1:2], *values.shape[3:])
        index = left.expand(shape).unsqueeze(2)
        values = values.expand(q.shape[0], *values.shape[1:])
        low = values.gather(2, index).squeeze(2)
        high = values.gather(2, index + 1).squeeze(2)
        return low + share * (high - low)


@lru_cache(maxsize=64)
def _middle(levels: tuple[float, ...]) -> int:
    return min(range(len(levels)), key=lambda index: abs(levels[index] - 0.5))


@lru_cache(maxsize=64)
def _between(levels: tuple[float, ...], q: tuple[float, ...]) -> tuple[list[int], list[float]]:
    """For every probability the trained level on its left, and how far it is to the next one.

    Kept for as long as the same are asked for: a forecast of one series takes no longer than this.
    """
    with torch.inference_mode(False):
        asked = levels_of(q, torch.empty(0, 0))
        score = torch.special.ndtri(asked.flatten())
        knots = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))
        left = (torch.searchsorted(knots, score) - 1).clamp(0, len(levels) - 2)
        share = (score - knots[left]) / (knots[left + 1] - knots[left])
    return left.tolist(), share.tolist()
