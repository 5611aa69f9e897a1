"""From windows to points and quantiles, over the trained horizon and, by recursion, beyond it.

Beyond ``h`` steps the forecast is fed back as if it had happened: the point forecast for the next
point forecast, and for quantiles many paths, each with its own draws::

    look-back | h steps |             first block: quantiles as the output gives them
         look-back      | h steps |   next: along every path, then over the draws of all paths

Draws of one block are independent of each other, given what came before the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tcn.forecasting.fitted.net import Answer
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.intervals.widening import Widened
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.window_scaling import WindowStatistics

PATHS = 200
DRAWS = 8
"""Draws for every step of a path; they cost next to nothing and smooth the quantiles."""


class AnsweringNet(Protocol):
    """A :class:`ForecastNet`, or a stand-in for it."""

    @property
    def sizes(self) -> Sizes:
        """Sizes of inputs and outputs."""

    def __call__(self, batch: WindowBatch) -> Answer:
        """What the output reads for each window."""

    def restore(self, values: Tensor, statistics: WindowStatistics) -> Tensor:
        """Values in units of the window, in those of the batch."""


class Forecast(NamedTuple):
    """What is forecast for each window of a batch, in the units of the batch.

    Attributes:
        mean: ``(batch, targets, horizon)``, the point forecast.
        quantiles: ``(levels, batch, targets, horizon)``; no levels where none were asked for.
    """

    mean: Tensor
    quantiles: Tensor


def forecast(
    net: AnsweringNet,
    output: Widened,
    batch: WindowBatch,
    *,
    horizon: int,
    quantiles: Sequence[float] = (),
    generator: torch.Generator | None = None,
) -> Forecast:
    """Points and quantiles for a batch of windows.

    Args:
        net: in evaluation mode.
        output: what its raw numbers mean.
        batch: ``future`` over the horizon that is asked for; what came is not read.
        horizon: steps.
        quantiles: probabilities in rising order.
        generator: of the draws beyond the trained horizon.

    Raises:
        TypeError: if quantiles are asked for and the output has none.
    """
    steps = net.sizes.h
    with torch.inference_mode():
        first = _block(net, output, block_of(batch, 0, steps), quantiles)
        if horizon <= steps:
            return Forecast(first.mean[..., :horizon], first.quantiles[..., :horizon])
        mean, ranges = [first.mean], [first.quantiles]
        ahead = advanced(batch, first.mean, 0)
        crowd = _Crowd(net, output, batch, generator) if quantiles else None
        for begin in range(steps, horizon, steps):
            mean.append(_block(net, output, block_of(ahead, begin, steps), ()).mean)
            if crowd is not None:
                ranges.append(crowd.quantiles(begin, quantiles))
            ahead = advanced(ahead, mean[-1], begin)
        return Forecast(
            torch.cat(mean, dim=-1)[..., :horizon], torch.cat(ranges, dim=-1)[..., :horizon]
        )


def _block(
    net: AnsweringNet, output: Widened, batch: WindowBatch, quantiles: Sequence[float]
) -> Forecast:
    answer = net(batch)
    mean = net.restore(output.mean(answer.raw), answer.statistics)
    if not quantiles:
        return Forecast(mean, mean.new_empty(0, *mean.shape))
    ranges = output.quantile(answer.raw, quantiles)
    return Forecast(mean, net.restore(ranges, answer.statistics))


class _Crowd:
    """Many paths from every window, drawn block by block."""

    def __init__(
        self,
        net: AnsweringNet,
        output: Widened,
        batch: WindowBatch,
        generator: torch.Generator | None,
    ) -> None:
        self.net, self.output, self.generator = net, output, generator
        self.batch = WindowBatch(*(part.repeat_interleave(PATHS, 0) for part in batch))
        self._draw(0)

    def _draw(self, begin: int) -> Tensor:
        """Draws the block from ``begin`` on and moves past it.

        Returns:
            ``(DRAWS, batch * PATHS, targets, h)``, the first of which the paths go on from.
        """
        answer = self.net(block_of(self.batch, begin, self.net.sizes.h))
        draws = self.output.sample(answer.raw, DRAWS, self.generator)
        draws = self.net.restore(draws, answer.statistics)
        self.batch = advanced(self.batch, draws[0], begin)
        return draws

    def quantiles(self, begin: int, levels: Sequence[float]) -> Tensor:
        draws = self._draw(begin).unflatten(1, (-1, PATHS)).transpose(1, 2).flatten(0, 1)
        return torch.quantile(draws, torch.tensor(levels).to(draws), dim=0)


def block_of(batch: WindowBatch, begin: int, steps: int) -> WindowBatch:
    """The batch with the known future of ``steps`` steps from ``begin`` on, short or not."""
    if not batch.future.shape[1]:
        return batch
    future = batch.future[..., begin : begin + steps]
    missing = steps - future.shape[-1]
    if missing:
        future = torch.nn.functional.pad(future, (0, missing))
    return batch._replace(future=future)


def advanced(batch: WindowBatch, block: Tensor, begin: int) -> WindowBatch:
    """The batch as if ``block``, the steps from ``begin`` on, had been observed.

    Covariates known only for the past stay at their last values.
    """
    steps, length = block.shape[-1], batch.target.shape[-1]
    known = block_of(batch, begin, steps).future[..., :steps]
    held = batch.exogenous[:, : batch.exogenous.shape[1] - known.shape[1], -1:]
    held = held.expand(-1, -1, steps)
    exogenous = torch.cat([held, known], dim=1) if known.shape[1] else held
    return batch._replace(
        target=torch.cat([batch.target, block], dim=-1)[..., -length:],
        observed=torch.cat([batch.observed, torch.ones_like(block, dtype=torch.bool)], dim=-1)[
            ..., -length:
        ],
        exogenous=torch.cat([batch.exogenous, exogenous], dim=-1)[..., -length:],
        position=batch.position + steps,
    )
