"""What every output is: a loss, a point forecast and, where there is a distribution, quantiles."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tcn.outputs.checks import as_classes, check_real
from tcn.saving.description import describe

Support = Literal["real", "count", "binary", "class", "unit"]

OUTPUTS: dict[str, type[Output]] = {}
"""What a name means: every subclass of ``Output`` with a name, your own included."""


class Output(ABC):
    """The meaning of a net's raw numbers, and the loss that teaches it.

    Raw numbers are ``(batch, size, *axes)``; everything made from them has the axes of the target,
    ``(batch, *axes)``, after an axis of its own for quantiles and samples. A forecast's axes are
    target channel and horizon step, those of a sequence of tokens time alone, those of an image
    channel, height and width. All is in the units the net was trained in; if the support
    is ``"real"``, points, quantiles and samples alike may be rescaled linearly. Losses are computed
    in float32 at least, whatever the precision of the net, and finite for any raw number up to 1e12
    in size.

    An output without weights is a frozen dataclass: its name and its arguments. Two are equal if
    those are, and ``describe`` gives them as plain data for ``tcn.outputs.build``. One with weights
    of its own (``NADE``, ``AdaptiveSoftmax``) is a ``torch.nn.Module`` too, and a part of the net
    that it is the output of.

    Subclass it for your own output: with a ``name``, it can be given by that name.
    """

    name: ClassVar[str]
    support: ClassVar[Support] = "real"
    """What targets are; no scaler may change those that are not ``"real"``.

    ``"count"``: whole numbers from 0 on. ``"binary"``: 0 or 1. ``"class"``: classes from 0 on,
    without an order. ``"unit"``: values between -1 and 1.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if (name := vars(cls).get("name")) is None:
            return
        if not isinstance(name, str):
            raise TypeError(
                f"name: {name!r} of {_path_of(cls)} is not text; write name = 'my_output'"
            )
        before = OUTPUTS.get(name)
        # The same class once more: a dataclass with slots, a cell of a notebook.
        if before is not None and _path_of(before) != _path_of(cls):
            raise ValueError(f"name: {name!r} is that of {_path_of(before)}; choose another")
        OUTPUTS[name] = cls

    @property
    @abstractmethod
    def size(self) -> int:
        """Raw numbers per target."""

    @property
    def event(self) -> int | None:
        """How many values, which depend on each other, make up a target.

        Targets, point forecasts and samples then have one more axis, ``(batch, event, *axes)``;
        masks and losses do not. None: a target is one value.
        """
        return None

    def layer(self, channels: int) -> nn.Module:
        """The last layer of a net, from ``(n, channels)`` to raw numbers ``(n, size)``.

        Raises:
            ValueError: an output with weights of its own reads another number of channels.
        """
        return nn.Linear(channels, self.size)

    @property
    def locations(self) -> tuple[int, ...]:
        """Which raw numbers say where the target lies.

        What is added to all of them moves points, quantiles and samples by the same amount (for
        counts, the logarithm of the rate), so that a net may start from a given forecast.
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
            mask: ``(batch, *axes)`` bool, where the target was observed; elsewhere neither target
                nor raw numbers matter, NaN included. None: everywhere.
            scale: a size of error per window that ``mase`` divides by, ``(batch, target channel)``;
                other outputs ignore it.

        Raises:
            ValueError: shapes do not fit, the raw numbers are not floats, or a class is not one of
                them.
        """
        losses = self.losses(raw, target, mask, scale)
        if mask is None:
            return losses.mean() if losses.numel() else losses.sum()
        return losses.sum() / mask.sum().clamp_min(1)

    def losses(
        self,
        raw: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """The loss of every target, ``(batch, *axes)``, 0 where nothing was observed.

        Takes what ``loss`` takes.

        Raises:
            ValueError: shapes do not fit, the raw numbers are not floats, or a class is not one of
                them.
        """
        self.check_raw(raw)
        self._check_shapes(raw, target, mask)
        if raw.dtype != torch.float64:
            raw = raw.float()
        target = as_classes(target) if self.support == "class" else target.to(raw.dtype)
        if mask is None:
            return self.elementwise(raw, target, scale)
        # Nothing is multiplied by the mask: NaN times 0 is NaN, in the gradient too.
        observed = mask if self.event is None else mask.unsqueeze(1)
        losses = self.elementwise(
            torch.where(mask.unsqueeze(1), raw, 0), torch.where(observed, target, 0), scale
        )
        return torch.where(mask, losses, 0)

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
                f"target: {int(wrong.sum())} values such as {float(target[wrong][0]):.12g} are not "
                f"counts, and loss {self.name!r} is for whole numbers from 0 on; use a loss for "
                "real numbers, such as 'normal' or 'student_t'"
            )

    def describe(self) -> dict[str, Any]:
        """Name and arguments as plain data, the input of ``tcn.outputs.build``.

        Raises:
            TypeError: its class is neither a dataclass nor a registered module.
            ValueError: its class has no name of its own, so that another would be built.
        """
        cls: Any = type(self)
        name = getattr(cls, "name", None)
        if name is None or _path_of(OUTPUTS[name]) != _path_of(cls):
            raise ValueError(
                f"name: {name!r} does not lead to {_path_of(cls)}; give this class one of its own, "
                "such as name = 'my_output'"
            )
        recorded = getattr(self, "construction", None)  # of a module
        if recorded:
            return {"name": name, **recorded["arguments"]}
        if not dataclasses.is_dataclass(cls):
            raise TypeError(
                f"output: {_path_of(cls)} does not say its arguments; put "
                "@dataclass(frozen=True) before it, or, if it is a module, @tcn.saving.register"
            )
        given = [field.name for field in dataclasses.fields(cls) if field.init]
        return {"name": name, **{key: describe(getattr(self, key)) for key in given}}

    def check_raw(self, raw: Tensor) -> None:
        """Refuses raw numbers that are not floats, or of another shape than this output reads."""
        if not raw.is_floating_point():
            raise ValueError(
                f"raw: {raw.dtype}; output {self.name!r} reads what a net returns, which is floats"
            )
        if raw.dim() < 2 or raw.shape[1] != self.size:
            raise ValueError(
                f"raw: shape {tuple(raw.shape)} does not fit output {self.name!r}; expected "
                f"(batch, {self.size}, *axes)"
            )

    def _check_shapes(self, raw: Tensor, target: Tensor, mask: Tensor | None) -> None:
        check_real(target=target)
        positions = (raw.shape[0], *raw.shape[2:])
        expected = positions if self.event is None else (raw.shape[0], self.event, *raw.shape[2:])
        if target.shape != expected:
            axes = "(batch, *axes)" if self.event is None else "(batch, event, *axes)"
            raise ValueError(
                f"target: shape {tuple(target.shape)} does not fit raw of shape "
                f"{tuple(raw.shape)}; expected {axes} = {expected}"
            )
        if mask is not None and (mask.shape != positions or mask.dtype != torch.bool):
            raise ValueError(
                f"mask: {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool of shape "
                f"(batch, *axes) = {positions}, True where the target was observed"
            )


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
