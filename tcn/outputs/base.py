"""What every output is: a loss, a point forecast and, where there is a distribution, quantiles."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from tcn.extras import need
from tcn.layers.validation import is_integer

Support = Literal["real", "count", "binary", "class", "unit"]


@dataclasses.dataclass(frozen=True)
class Output(ABC):
    """The meaning of a net's raw numbers, and the loss that teaches it.

    Raw numbers are ``(batch, size, *axes)``; everything made from them has the axes of the target,
    ``(batch, *axes)``, after an axis of its own for quantiles and samples. A forecast's axes are
    target channel and horizon step, those of a sequence of tokens time alone, those of an image
    channel, height and width. All is in the units the net was trained in; a linear rescaling may be
    applied to points, quantiles and samples alike of an output whose support is ``"real"``. Losses
    are computed in float32 at least, whatever the precision of the net, and finite for any raw
    number up to 1e12 in size.

    An output is its name and its arguments: two are equal if those are, and ``describe`` gives
    them as plain data for ``tcn.outputs.build``.
    """

    name: ClassVar[str]
    support: ClassVar[Support] = "real"
    """What targets are; no scaler may change those that are not ``"real"``.

    ``"count"``: whole numbers from 0 on. ``"binary"``: 0 or 1. ``"class"``: classes from 0 on, of
    which none is more than another. ``"unit"``: values between -1 and 1.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Raw numbers per target."""

    @property
    def locations(self) -> tuple[int, ...]:
        """Which raw numbers say where the target lies.

        What is added to all of them moves points, quantiles and samples by as much (of counts, the
        logarithm of the rate), so that a net may start from a forecast of its own.
        """
        return (0,)

    @property
    def intervals(self) -> bool:
        """Whether ``quantile`` and ``sample`` work."""
        return True

    @abstractmethod
    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        """The loss of every target, ``(batch, *axes)``.

        Args:
            raw: float32 or float64, ``(batch, size, *axes)``.
            target: ``(batch, *axes)``, of the same type; int64 if the support is ``"class"``.
            scale: see ``loss``.
        """

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """The point forecast, ``(batch, *axes)``."""

    @abstractmethod
    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        """Quantiles, ``(len(q), batch, *axes)``, never falling in ``q``.

        Args:
            raw: the net's raw numbers.
            q: probabilities between 0 and 1, both excluded, in any order.

        Raises:
            TypeError: this output is a point forecast, or one of several classes.
            ValueError: ``q`` is not one-dimensional or a probability is not inside (0, 1).
        """

    @abstractmethod
    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws for every target, ``(n, batch, *axes)``.

        Args:
            raw: the net's raw numbers.
            n: draws, at least 1.
            generator: where the random numbers come from, on any device; the same seed gives the
                same draws. None: torch's global generator.

        Raises:
            TypeError: this output is a point forecast.
            ValueError: ``n`` is below 1.
        """

    def loss(
        self,
        raw: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Mean loss over what was observed, a scalar; 0 where nothing was.

        Args:
            raw: ``(batch, size, *axes)``.
            target: ``(batch, *axes)``.
            mask: where the target was observed, shaped like it; elsewhere neither target nor raw
                numbers matter, NaN included. None: everywhere.
            scale: a size of error per window that ``mase`` divides by, ``(batch, target channel)``;
                other outputs ignore it.

        Raises:
            ValueError: shapes do not fit, or a class is not one of them.
        """
        self.check_raw(raw)
        self._check_shapes(raw, target, mask)
        if raw.dtype != torch.float64:
            raw = raw.float()
        if self.support != "class":
            target = target.to(raw.dtype)
        if mask is None:
            return self.elementwise(raw, target, scale).mean()
        # Nothing is multiplied by the mask: NaN times 0 is NaN, in the gradient too.
        losses = self.elementwise(
            torch.where(mask.unsqueeze(1), raw, 0), torch.where(mask, target, 0), scale
        )
        return torch.where(mask, losses, 0).sum() / mask.sum().clamp_min(1)

    def check_target(self, target: Tensor) -> None:
        """Refuses observed values that cannot come from this output; NaN passes.

        Raises:
            ValueError: counts are wanted and a value is negative or not whole.
        """
        if self.support != "count":
            return
        wrong = (target < 0) | ((target != target.floor()) & target.isfinite())
        if wrong.any():
            raise ValueError(
                f"target: {int(wrong.sum())} values such as {float(target[wrong][0]):g} are no "
                f"counts, and loss {self.name!r} is for whole numbers from 0 on; use a loss for "
                "real numbers, such as 'normal' or 'student_t'"
            )

    def describe(self) -> dict[str, Any]:
        """Name and arguments as plain data, the input of ``tcn.outputs.build``."""
        arguments = dataclasses.asdict(self)
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in arguments.items()}
        return {"name": self.name, **plain}

    def check_raw(self, raw: Tensor) -> None:
        """Refuses raw numbers of another shape than this output reads."""
        if raw.dim() < 2 or raw.shape[1] != self.size:
            raise ValueError(
                f"raw: shape {tuple(raw.shape)} does not fit output {self.name!r}; expected "
                f"(batch, {self.size}, *axes)"
            )

    def _check_shapes(self, raw: Tensor, target: Tensor, mask: Tensor | None) -> None:
        expected = (raw.shape[0], *raw.shape[2:])
        if target.shape != expected:
            raise ValueError(
                f"target: shape {tuple(target.shape)} does not fit raw of shape "
                f"{tuple(raw.shape)}; expected (batch, *axes) = {expected}"
            )
        if mask is not None and (mask.shape != expected or mask.dtype != torch.bool):
            raise ValueError(
                f"mask: {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool of the "
                f"target's shape {expected}, True where it was observed"
            )


def levels_of(q: Tensor | Sequence[float], raw: Tensor) -> Tensor:
    """``q``, checked, as float64 ``(len(q), 1, ...)`` beside a target; see ``Output.quantile``."""
    values = torch.as_tensor(q, dtype=torch.float64, device=raw.device)
    if values.dim() != 1:
        raise ValueError(f"q: shape {tuple(values.shape)}; give a list such as [0.1, 0.5, 0.9]")
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(
            f"q: {values.tolist()} are not all between 0 and 1, both excluded; a level of 90 is "
            "the pair 0.05 and 0.95"
        )
    return values.view(-1, *[1] * (raw.dim() - 1))


def random_source(raw: Tensor, generator: torch.Generator | None) -> torch.device:
    """Where random numbers are drawn: beside the generator, so that the device is no matter."""
    return raw.device if generator is None else generator.device


def check_range(name: str, target: Tensor) -> None:
    """Refuses targets beyond [-1, 1]; NaN passes."""
    wrong = target.abs() > 1
    if wrong.any():
        raise ValueError(
            f"target: {int(wrong.sum())} values such as {float(target[wrong][0]):g}, and output "
            f"{name!r} is for values between -1 and 1; divide by the largest that may occur"
        )


def scipy(part: Literal["special", "stats"]) -> Any:
    """A part of scipy, which has quantiles that torch lacks, loaded where one is asked for.

    Raises:
        ModuleNotFoundError: scipy is not installed.
    """
    need("the quantile of this output", "training", "scipy")
    return import_module(f"scipy.{part}")


def check_number(name: str, value: float, *, above: float) -> None:
    """Refuses what is no finite number above ``above``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not (math.isfinite(value) and value > above):
        raise ValueError(f"{name}: {value} is not a finite number above {above:g}")


def check_count(name: str, value: int) -> None:
    """Refuses what is no integer of at least 1."""
    if not is_integer(value):
        raise TypeError(f"{name}: {value!r} is not an integer")
    if value < 1:
        raise ValueError(f"{name}: {value}; give 1 or more")
