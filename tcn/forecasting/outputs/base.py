"""What every output is: a loss, a point forecast and, where there is a distribution, quantiles."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from tcn.layers.validation import is_integer

Support = Literal["real", "count"]


@dataclasses.dataclass(frozen=True)
class Output(ABC):
    """The meaning of a net's raw numbers, and the loss that teaches it.

    Raw numbers are ``(batch, size, target channel, horizon step)``; everything made from them has
    the axes of the target, ``(batch, target channel, horizon step)``, after an axis of its own for
    quantiles and samples. All is in the units the net was trained in; a linear rescaling may be
    applied to points, quantiles and samples alike. Losses are computed in float32 at least,
    whatever the precision of the net, and finite for any raw number up to 1e12 in size.

    An output is its name and its arguments: two are equal if those are, and ``describe`` gives
    them as plain data for ``tcn.forecasting.outputs.build``.
    """

    name: ClassVar[str]
    support: ClassVar[Support] = "real"
    """``"count"``: whole numbers from 0 on in units of their own, which no scaler may change."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Raw numbers per target channel and horizon step."""

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
        """The loss of every target, ``(batch, target channel, horizon step)``.

        Args:
            raw: float32 or float64, ``(batch, size, target channel, horizon step)``.
            target: of the same type, ``(batch, target channel, horizon step)``.
            scale: see ``loss``.
        """

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """The point forecast, ``(batch, target channel, horizon step)``."""

    @abstractmethod
    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> Tensor:
        """Quantiles, ``(len(q), batch, target channel, horizon step)``, never falling in ``q``.

        Args:
            raw: the net's raw numbers.
            q: probabilities between 0 and 1, both excluded, in any order.

        Raises:
            TypeError: this output is a point forecast.
            ValueError: ``q`` is not one-dimensional or a probability is not inside (0, 1).
        """

    @abstractmethod
    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws for every step, ``(n, batch, target channel, horizon step)``.

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
            raw: ``(batch, size, target channel, horizon step)``.
            target: ``(batch, target channel, horizon step)``.
            mask: where the target was observed, shaped like it; elsewhere neither target nor raw
                numbers matter, NaN included. None: everywhere.
            scale: a size of error per window that ``mase`` divides by, ``(batch, target channel)``;
                other outputs ignore it.

        Raises:
            ValueError: shapes do not fit.
        """
        self.check_raw(raw)
        self._check_shapes(raw, target, mask)
        if raw.dtype != torch.float64:
            raw = raw.float()
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
        """Name and arguments as plain data, the input of ``tcn.forecasting.outputs.build``."""
        arguments = dataclasses.asdict(self)
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in arguments.items()}
        return {"name": self.name, **plain}

    def check_raw(self, raw: Tensor) -> None:
        """Refuses raw numbers of another shape than this output reads."""
        if raw.dim() != 4 or raw.shape[1] != self.size:
            raise ValueError(
                f"raw: shape {tuple(raw.shape)} does not fit output {self.name!r}; expected "
                f"(batch, {self.size}, target channels, horizon)"
            )

    def _check_shapes(self, raw: Tensor, target: Tensor, mask: Tensor | None) -> None:
        expected = (raw.shape[0], *raw.shape[2:])
        if target.shape != expected:
            raise ValueError(
                f"target: shape {tuple(target.shape)} does not fit raw of shape "
                f"{tuple(raw.shape)}; expected (batch, target channels, horizon) = {expected}"
            )
        if mask is not None and (mask.shape != expected or mask.dtype != torch.bool):
            raise ValueError(
                f"mask: {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool of the "
                f"target's shape {expected}, True where it was observed"
            )


def probabilities(q: Tensor | Sequence[float], like: Tensor) -> Tensor:
    """``q`` as float64 on the device of ``like``, checked; see ``Output.quantile``."""
    values = torch.as_tensor(q, dtype=torch.float64, device=like.device)
    if values.dim() != 1:
        raise ValueError(f"q: shape {tuple(values.shape)}; give a list such as [0.1, 0.5, 0.9]")
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(
            f"q: {values.tolist()} are not all between 0 and 1, both excluded; a level of 90 is "
            "the pair 0.05 and 0.95"
        )
    return values


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
