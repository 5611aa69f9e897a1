"""Which positions of a sequence are needed, when only some of the outputs are read.

If only the last step of a dilated net is read, level ``i`` has to be known on every ``2^i``-th
step only. On that grid a dilated convolution is a dense one, so the work falls from
``2 * levels * time`` convolution positions to about ``3 * time``, with the same result:

    level 3, dilation 4    . . . . . . . o        one position
    level 2, dilation 2    . . . o . . . o        every 4th
    level 1, dilation 1    . o . o . o . o        every 2nd
    input                  o o o o o o o o        all

A grid counts backwards from the last position of each axis: ``size - 1 - m * step`` for
``m = 0 .. count - 1``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Grid(NamedTuple):
    """Evenly spaced positions that end at the last one, on every axis.

    Attributes:
        sizes: length of each axis.
        steps: distance between neighbors on each axis; 0 where there is one position only.
        counts: number of positions on each axis.
    """

    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def whole(cls, sizes: Sequence[int]) -> Grid:
        """Every position."""
        return cls(tuple(sizes), (1,) * len(sizes), tuple(sizes))

    @classmethod
    def last(cls, sizes: Sequence[int]) -> Grid:
        """The last position of every axis."""
        return cls(tuple(sizes), (0,) * len(sizes), (1,) * len(sizes))

    def reaching(
        self, kernel: Sequence[int], dilation: Sequence[int], shift: Sequence[int]
    ) -> Grid:
        """The positions under the taps of a causal convolution evaluated at these positions."""
        axes = [
            _spaced(
                size, math.gcd(step, d if k > 1 else 0, s), (count - 1) * step + (k - 1) * d + s
            )
            for size, step, count, k, d, s in zip(*self, kernel, dilation, shift, strict=True)
        ]
        return Grid(self.sizes, *zip(*axes, strict=True))

    def union(self, other: Grid) -> Grid:
        """The smallest grid that holds both."""
        if self == other:
            return self
        axes = [
            _spaced(size, math.gcd(a, b), max((n - 1) * a, (m - 1) * b))
            for size, a, n, b, m in zip(
                self.sizes, self.steps, self.counts, other.steps, other.counts, strict=True
            )
        ]
        return Grid(self.sizes, *zip(*axes, strict=True))

    def strides(self, have: Grid) -> tuple[int, ...]:
        """Distance between neighbors of this grid, counted in positions of a finer one."""
        return tuple(a // b if a and b else 1 for a, b in zip(self.steps, have.steps, strict=True))

    def take(self, x: Tensor, have: Grid) -> Tensor:
        """Restricts ``x``, known at ``have``, to these positions; axes of size 1 broadcast."""
        if self == have:
            return x
        first = x.dim() - len(self.sizes)
        strides = self.strides(have)
        for i, (stride, want, given) in enumerate(
            zip(strides, self.counts, have.counts, strict=True)
        ):
            if x.shape[first + i] == given:
                x = x[
                    (slice(None),) * (first + i)
                    + (slice(given - 1 - (want - 1) * stride, None, stride),)
                ]
        return x


def _spaced(size: int, step: int, span: int) -> tuple[int, int]:
    """Step and count of the positions that reach back over ``span``, cut at the first position."""
    if step == 0 or size == 1:
        return 0, 1
    return step, min(span, size - 1) // step + 1
