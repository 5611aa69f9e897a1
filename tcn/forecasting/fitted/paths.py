"""Sample paths: draws of whole horizons, whose steps go together as they do in the data."""

from __future__ import annotations

import copy
import zlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.prediction import advanced, block_of
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Floats
from tcn.forecasting.intervals.levels import level_between
from tcn.forecasting.intervals.widening import Widened
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.windows import Windows
from tcn.layers.validation import is_integer


def sample_paths(trained: Trained, windows: Windows, count: int, seed: int) -> Floats:
    """Draws of the horizons of all windows, ``(count, W, K, H)``, in the units of the data.

    The net says how each step of a horizon is distributed, and not how the steps depend on each
    other. That is taken from paths that the net draws step by step, each of which it reads before
    it draws the next; of the draws of a step the smallest is then replaced by the smallest quantile
    of the distribution that is forecast for this step, and so on. (Schefzik, Thorarinsdottir &
    Gneiting 2013, arXiv:1302.7149, ensemble copula coupling by quantiles.) So each step has the
    distribution that ``predict`` gives it, and sums over the horizon have the right spread.

    Args:
        trained: what forecasts; its output is a distribution.
        windows: of :meth:`Trained.windows`, one of each series.
        count: paths.
        seed: below 2 ** 31, of the draws; those of a series do not depend on the others.
    """
    own = replace(trained, intervals=None)
    quantiles = [round((rank + 0.5) / count, 12) for rank in range(count)]
    found = own.forecasts(windows, sorted({level_between(q) for q in quantiles}))
    marginals = found.with_quantiles(quantiles, ()).quantiles
    values = np.stack([marginals[q] for q in quantiles])
    order = np.argsort(_drawn(own, windows, count, seed), axis=0, kind="stable")
    paths = np.empty_like(values)
    np.put_along_axis(paths, order, values, axis=0)
    return paths


def check_paths(trained: Trained, n: int, seed: int, name: str) -> None:
    """Refuses paths that cannot be drawn, or whose column would be lost.

    Raises:
        TypeError: the loss gives points alone.
        ValueError: a number is out of range, or a column of the result is named ``sample``.
    """
    if not trained.output.intervals:
        raise TypeError(
            f"loss: {trained.output.name!r} gives points alone and no paths; use loss='quantiles' "
            "or another distribution"
        )
    if not is_integer(n) or n < 2:
        raise ValueError(f"n: {n!r} paths; give an integer of at least 2")
    if not is_integer(seed) or not 0 <= seed < 2**31:
        raise ValueError(f"seed: {seed!r} must be an integer from 0 to 2 ** 31 - 1")
    columns = trained.history.columns
    if "sample" in (columns.id, columns.time, name):
        raise ValueError("columns: one of the result is named 'sample'; name id, time, alias else")


def _drawn(trained: Trained, windows: Windows, count: int, seed: int) -> Floats:
    """Paths that were drawn step by step, ``(count, W, K, H)``, in units of the series scaler."""
    net = copy.deepcopy(trained.net).to(trained.device)
    output = Widened(trained.output, trained.widening)
    parts = []
    for number, name in enumerate(windows.panel.ids.tolist()):
        batch = windows.batch(np.array([number]))
        batch = WindowBatch(*(part.to(trained.device) for part in batch))
        # Series draw apart, in whatever order they come.
        mixed = np.random.SeedSequence([seed, zlib.crc32(repr(name).encode())])
        generator = torch.Generator(trained.device).manual_seed(int(mixed.generate_state(1)[0]))
        parts.append(_paths_of(net, output, batch, windows.h, count, generator))
    return np.stack([part.double().cpu().numpy() for part in parts], axis=1)


@torch.inference_mode()
def _paths_of(
    net: ForecastNet,
    output: Widened,
    batch: WindowBatch,
    horizon: int,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Paths of one window, ``(count, K, horizon)``."""
    batch = WindowBatch(*(part.repeat_interleave(count, 0) for part in batch))
    steps = []
    for begin in range(horizon):
        answer = net(block_of(batch, begin, net.sizes.h))
        drawn = output.sample(answer.raw, 1, generator)[0]
        drawn = net.restore(drawn, answer.statistics)[..., :1]
        # Counts are often alike: which of them is the smaller is left to chance.
        apart = torch.rand(drawn.shape, generator=generator, device=drawn.device)
        steps.append(drawn + apart * 1e-6 * (1 + drawn.abs()))
        batch = advanced(batch, drawn, begin)
    return torch.cat(steps, dim=-1)
