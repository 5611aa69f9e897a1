"""What a forecast rests on: past values, covariates, calendar and static columns.

The net is asked in the units of the data::

    inputs of a window --> window scaler --> net --> window scaler back --> series scaler back --> y

and every input is compared with one that says nothing: the target with the mean of its window,
covariates with zero, features of the calendar with their middle, static numbers with their mean
over all series, a category with one that was never seen. What the inputs gave adds up to the
forecast less that of this baseline.

The level at which the window scaler reads a window is explained with everything else; the spread by
which it divides is that of the window itself, also for the baseline, which has none. On the way
from the baseline all is straight in the units that the net reads, which of ``log`` scalers are
logarithms. A forecast that stops at 0 is explained as if it went on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tcn.explain.attribution import Method, attribute
from tcn.extras import need
from tcn.forecasting.evaluation.explained_net import ExplainedNet
from tcn.forecasting.evaluation.explanation import Explanation, Layout, Part, objects
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.gaps import Fill
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.panel import Panel, future_from_frame
from tcn.forecasting.frames.results import FrameKind
from tcn.layers.validation import is_integer

METHODS: tuple[Method, ...] = ("integrated_gradients", "occlusion")
AT_ONCE = 64
"""Windows that are explained together."""


def explain(
    trained: Trained,
    panel: Panel,
    futr_df: Any,
    kind: FrameKind,
    *,
    ids: Sequence[Any] | None,
    step: int | Sequence[int] | None,
    fill: Fill | None,
    method: Method,
) -> Explanation:
    """Explains the forecasts after the end of series.

    Args:
        trained: what forecasts.
        panel: the series.
        futr_df: covariates of the horizon, see :func:`future_from_frame`.
        kind: of the frames that come back.
        ids: of the series to explain; None: all.
        step: of the horizon, one or several from 1 on; None: all.
        fill: of missing values.
        method: one of :data:`METHODS`.

    Raises:
        ModuleNotFoundError: captum is not installed.
        TypeError: ``ids`` is a single id, or ``step`` not made of integers.
        ValueError: a method, id or step is not known, or a frame does not fit.
    """
    need("Forecaster.explain", "explain", "captum")
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not one of {', '.join(map(repr, METHODS))}")
    horizon = trained.net.sizes.h
    steps = _steps(step, horizon)
    panel = _chosen(panel, ids)
    future = future_from_frame(futr_df, panel, horizon, fill)
    windows = trained.windows(panel, horizon, future=future, told=False)
    layout = Layout.of(trained, panel)
    parts = []
    for begin in range(0, len(windows), AT_ONCE):
        batch = windows.batch(np.arange(begin, min(begin + AT_ONCE, len(windows))))
        with torch.inference_mode(False):  # a copy of the net that was made there has no gradients
            parts += list(_explained(ExplainedNet(trained, windows, batch), layout, steps, method))
    return Explanation.of(parts, panel, kind)


def _explained(
    asked: ExplainedNet, layout: Layout, steps: Sequence[int], method: Method
) -> Iterator[Part]:
    """Of every target and step, for all windows of a batch."""
    rows, baseline = asked.rows, asked.baseline
    with torch.no_grad():
        forecasts = asked(rows).numpy()
    for target in range(asked.net.sizes.targets):
        for step in steps:
            found = attribute(
                asked, rows, (target, step - 1), method=method, baseline=baseline,
                batch_size=4 * AT_ONCE,
            )  # fmt: skip
            values = np.add.reduceat(found.values[:, :-1].numpy(), layout.begin, axis=1)
            yield Part(
                series=asked.batch.series.numpy(),
                position=asked.batch.position.numpy(),
                target=target,
                step=step,
                layout=layout,
                values=values,
                forecast=forecasts[:, target, step - 1],
                difference=found.difference.numpy(),
            )


def _steps(step: int | Sequence[int] | None, h: int) -> list[int]:
    if step is None:
        return list(range(1, h + 1))
    steps: Any = [step] if is_integer(step) else step
    if not hasattr(steps, "__len__") or not all(map(is_integer, steps)):
        raise TypeError(f"step: {step!r}; give an integer or several, 1 is the first to come")
    for each in steps:
        if not 1 <= each <= h:
            raise ValueError(
                f"step: {each} lies outside the {h} steps that the forecaster was trained for; "
                f"give 1 to {h}, or fit with a larger h"
            )
    if not steps:
        raise ValueError("step: it is empty; give at least one, or None for all")
    return sorted({int(each) for each in steps})


def _chosen(panel: Panel, ids: Sequence[Any] | None) -> Panel:
    if ids is None:
        return panel
    if isinstance(ids, str) or not hasattr(ids, "__len__"):
        raise TypeError(f"ids: {ids!r} is a single id; give a list, [{ids!r}]")
    number = {identity: index for index, identity in enumerate(panel.ids.tolist())}
    wanted = list(dict.fromkeys(np.asarray(ids, dtype=object).tolist()))
    unknown = [each for each in wanted if each not in number]
    if unknown or not wanted:
        raise ValueError(
            f"ids: {shown(objects(unknown)) or 'none'} of the series {shown(panel.ids)}; give "
            "some of these, or None for all"
        )
    return panel.select(np.array([number[each] for each in wanted]))
