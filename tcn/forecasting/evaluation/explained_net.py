"""A forecaster's net as a function of everything it reads, in the units of the data."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.window_scaling import WindowScaler, WindowStatistics
from tcn.forecasting.windows.windows import Windows

BACK = {"log": torch.exp, "log1p": torch.expm1}
"""From what series scalers make of the data; all others are a shift and a factor."""


class ExplainedNet(nn.Module):
    """Forecasts of some windows, in the units of the data, of rows that hold all their inputs.

    A row is what the net reads of a window, one number after the other, and at its end the number
    of the window: what is masked, and the scales, are that window's. In float64, so that small
    differences of large values keep their digits.
    """

    def __init__(self, trained: Trained, windows: Windows, batch: WindowBatch) -> None:
        """Copies the net.

        Args:
            trained: what forecasts.
            windows: that the batch is of.
            batch: the windows.
        """
        super().__init__()
        self.net = copy.deepcopy(trained.net).cpu().double().eval()
        self.output = trained.output
        self.back = BACK.get(trained.scaler.name)
        batch = WindowBatch(*(p.double() if p.is_floating_point() else p for p in batch))
        with torch.no_grad():
            static = self.net.constants(batch.static, batch.categories)
            _, (_, spread) = self.net.scale(batch.target, batch.observed)
        self.batch = batch._replace(static=static)
        self.net.embeddings = nn.ModuleList()  # they are among the numbers of a row
        self.held = self.net.window_scaler = HeldSpread.like(self.net.window_scaler)
        self.spread = spread
        statistics = windows.statistics.take(batch.series.numpy())
        self.location, self.scale = (torch.from_numpy(each)[..., None] for each in statistics)
        self.zeros = _zeros(trained)

    @property
    def rows(self) -> Tensor:
        """The inputs of the windows, ``(windows, numbers)``."""
        return self._row(self.batch)

    @property
    def baseline(self) -> Tensor:
        """The inputs that say nothing, ``(windows, numbers)``."""
        batch, net = self.batch, self.net
        observed = batch.observed
        mean = batch.target.sum(2, keepdim=True) / observed.sum(2, keepdim=True).clamp_min(1)
        there = torch.arange(1 - net.sizes.input_size, 1) >= -batch.position[:, None]
        past, future = self.zeros[:, None], self.zeros[net.sizes.hist :, None]
        return self._row(
            batch._replace(
                target=torch.where(observed, mean, 0.0),
                exogenous=torch.where(there[:, None], past, batch.exogenous),
                future=future.expand_as(batch.future),
                static=torch.zeros_like(batch.static),
            )
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of inputs, in any number and order, to ``(rows, targets, h)`` in units of y."""
        which = rows[:, -1].round().long()
        begin, read = 0, {}
        for name in ("target", "exogenous", "future", "static"):
            shape = getattr(self.batch, name).shape[1:]
            count = shape.numel()
            read[name] = rows[:, begin : begin + count].reshape(len(rows), *shape)
            begin += count
        batch = self.batch.rows(which)._replace(**read)
        self.held.spread = self.spread[which]
        answer = self.net(batch)
        mean = self.net.restore(self.output.mean(answer.raw), answer.statistics)
        values = mean * self.scale[which] + self.location[which]
        return values if self.back is None else self.back(values)

    def _row(self, batch: WindowBatch) -> Tensor:
        number = torch.arange(len(batch.series), dtype=torch.float64)[:, None]
        parts = (batch.target, batch.exogenous, batch.future, batch.static)
        return torch.cat([*(part.flatten(1) for part in parts), number], dim=1)


class HeldSpread(WindowScaler):
    """A window scaler whose level follows the window, with its gradient, and whose spread is given.

    Attributes:
        spread: ``(B, K, 1)``.
    """

    spread: Tensor

    @classmethod
    def like(cls, scaler: WindowScaler) -> HeldSpread:
        """The same scaler with its spread held."""
        made = cls(scaler.name, scaler.channels).double()
        made.load_state_dict(scaler.state_dict())
        return made

    def scale(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, WindowStatistics]:
        """As that of any window scaler."""
        mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
        location, _ = self._statistics(x, mask)
        statistics = location, self.spread
        return self.transform(x, statistics) * mask, statistics


def _zeros(trained: Trained) -> Tensor:
    """Covariates of zero as the net reads them: hist, futr and the middle of the calendar."""
    scalers = (trained.covariates.hist, trained.covariates.futr)
    # In float32, in which the windows are: a covariate that is zero differs by nothing.
    parts = [(-each.location / each.scale).astype(np.float32) for each in scalers]
    return torch.from_numpy(np.concatenate([*parts, np.zeros(len(trained.calendar))])).double()
