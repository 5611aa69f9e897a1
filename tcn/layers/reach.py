"""How far an output looks, how many inputs it stands for, and when outputs come out even.

Along each axis a module is a map from outputs back to inputs. A stride of 2 followed by an
up-sampling by 2, kernel_size 2 each, causal::

    input        0 1 2 3 4 5        reach of the stride:       1 to the left,   jump 2
    stride 2     0   2   4          reach of the up-sampling:  0,               jump 1/2
    up-sampled   0 1 2 3 4 5        together: output 3 stands at input 3 and sees 1 and 2, so
                                    2 to the left; outputs come out even after every 2 inputs

The *own position* of output ``j`` is input ``floor(j * jump)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple


class Reach(NamedTuple):
    """How far one output looks along one axis, in input steps; ``jump``: input steps per output."""

    left: float = 0
    right: float = 0
    jump: Fraction = Fraction(1)


class Geometry:
    """The map from outputs to inputs of a module; a layer states its :attr:`reach`.

    Axes are counted from the last, time being -1; one that is not named is mapped one to one.
    """

    ndim: int = 1

    @property
    def reach(self) -> tuple[Reach, ...]:
        """How far an output looks, per axis, the last being time.

        An axis that is not named has reach 0: ``()`` is a module that sees one position only.
        """
        return ()

    @property
    def axes(self) -> int:
        """How many axes :attr:`reach` names."""
        return len(self.reach)

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """The first and the last input that the outputs from ``first`` to ``last`` depend on."""
        left, right, jump = _along(self.reach, axis, Reach())
        return _floor(first * jump) - left, _floor(last * jump) + right

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """How many outputs ``steps`` inputs have, in a whole sequence or so far in a stream."""
        return int(-(-steps // self.rate_along(axis)))

    def rate_along(self, axis: int) -> Fraction:
        """Input steps per output step along one axis."""
        return _along(self.reach, axis, Reach()).jump

    def block_along(self, axis: int) -> int:
        """Input steps after which outputs come out even along one axis."""
        return self.rate_along(axis).numerator

    @property
    def rate(self) -> Fraction:
        """Input steps per output step in time: 2 behind a stride of 2, 1/2 if up-sampled by 2."""
        return self.rate_along(-1)

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """:attr:`rate` of every axis, time last."""
        return tuple(self.rate_along(axis) for axis in range(-self.ndim, 0))

    @property
    def block_size(self) -> int:
        """Input steps in time after which outputs come out even.

        A stream that is pushed in multiples of that many steps returns ``steps / rate`` outputs for
        each of them, and holds the same number of steps in its state after each.
        """
        return self.block_along(-1)

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """:attr:`block_size` of every axis, time last."""
        return tuple(self.block_along(axis) for axis in range(-self.ndim, 0))

    @property
    def receptive_field(self) -> float | tuple[float, ...]:
        """Input steps around an output's own position that it depends on, itself included.

        A tuple per axis in 2-D; ``math.inf`` where it is unbounded, as in a recurrent net.
        """
        reach = [Reach()] * self.ndim + list(self.reach)
        sizes = tuple(axis.left + axis.right + 1 for axis in reach[-self.ndim :])
        return sizes[0] if self.ndim == 1 else sizes


POINT = Geometry()
"""That of a plain activation: every output sees its own input."""


def geometry_of(module: Any) -> Geometry:
    """The module's own, or that of the module it wraps; of a plain activation :data:`POINT`."""
    return module if isinstance(module, Geometry) or hasattr(module, "rate_along") else POINT


class Composed(Geometry):
    """The geometry of several modules together."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self.parts = [geometry_of(part) for part in parts]

    @property
    def axes(self) -> int:
        """As many as any part names."""
        return max((part.axes for part in self.parts), default=0)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The farthest that any output of a block looks."""
        return tuple(self._reach_along(axis) for axis in range(-self.axes, 0))

    def _reach_along(self, axis: int) -> Reach:
        jump = self.rate_along(axis)
        outputs = range(int(self.block_along(axis) / jump))
        own = [_floor(output * jump) for output in outputs]
        seen = [self.sees(output, output, axis) for output in outputs]
        left = max(at - first for at, (first, _) in zip(own, seen, strict=True))
        right = max(last - at for at, (_, last) in zip(own, seen, strict=True))
        return Reach(left, right, jump)


class InSeries(Composed):
    """One after the other."""

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """What the first part sees of what the second sees, and so on."""
        for part in reversed(self.parts):
            first, last = part.sees(first, last, axis)
        return first, last

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """What the last part makes of what the others make."""
        for part in self.parts:
            steps = part.out_steps(steps, axis)
        return steps

    def rate_along(self, axis: int) -> Fraction:
        """The product of the rates."""
        return math.prod((part.rate_along(axis) for part in self.parts), start=Fraction(1))

    def block_along(self, axis: int) -> int:
        """The fewest steps that are whole blocks before every part and behind the last."""
        block, jump = Fraction(1), Fraction(1)
        for part in self.parts:
            block = _common_multiple(block, jump * part.block_along(axis))
            jump *= part.rate_along(axis)
        return int(_common_multiple(block, jump))


class SideBySide(Composed):
    """Branches over the same input, joined step by step; the first one's rate is that of all."""

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """What any part sees."""
        seen = [part.sees(first, last, axis) for part in self.parts]
        return min(first for first, _ in seen), max(last for _, last in seen)

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """What every part has: steps that one of them has more wait for the others."""
        return min(part.out_steps(steps, axis) for part in self.parts)

    def rate_along(self, axis: int) -> Fraction:
        """That of the first part."""
        return self.parts[0].rate_along(axis) if self.parts else Fraction(1)

    def block_along(self, axis: int) -> int:
        """The fewest steps that are whole blocks of every part."""
        return math.lcm(*(part.block_along(axis) for part in self.parts))

    def uneven(self, axis: int = -1) -> bool:
        """Whether some parts have more outputs than others within a block."""
        steps = range(1, self.block_along(axis) + 1)
        return any(len({part.out_steps(n, axis) for part in self.parts}) > 1 for n in steps)


def _along(values: Sequence[Reach], axis: int, default: Reach) -> Reach:
    return values[axis] if -axis <= len(values) else default


def _floor(position: float | Fraction) -> float:
    """Rounded down to a whole step; what is infinite stays so."""
    return float(position) if math.isinf(position) else math.floor(position)


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    """The smallest number that is a whole multiple of both."""
    a, b = Fraction(a), Fraction(b)
    return Fraction(math.lcm(a.numerator, b.numerator), math.gcd(a.denominator, b.denominator))
