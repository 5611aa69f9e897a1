"""The training of :class:`tcn.training.Classifier` and :class:`tcn.training.Regressor`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tcn.training.series import Scaling, Series

BATCH = 32
"""Series in a step."""


def train(
    net: nn.Module, series: Series, scaling: Scaling, targets: Tensor, loss: nn.Module, *,
    steps: int, rate: float,
) -> None:  # fmt: skip
    """Trains a net on whole series, in float32, under the present random state.

    Args:
        net: called with ``(batch, channels, time)`` and the lengths, or None.
        series: how they come.
        scaling: how they are scaled.
        targets: one row for each series.
        loss: of what the net answers and the targets.
        steps: of the optimizer, AdamW.
        rate: the highest of one cycle.

    Raises:
        ValueError: the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=max(steps, 2))
    net.train()
    rows: list[Tensor] = []
    for step in range(steps):
        if not rows:
            rows = list(torch.randperm(len(series)).split(BATCH))
        chosen = rows.pop()
        optimizer.zero_grad()
        value = loss(net(*scaling.batch([series.values[row] for row in chosen])), targets[chosen])
        if not value.isfinite():
            raise ValueError(
                f"learning_rate: {rate:g}: after {step} steps the loss is no longer finite; give a "
                "smaller one"
            )
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
