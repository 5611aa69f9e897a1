"""What the forecasts of a saved forecaster rest on, as a page."""

from __future__ import annotations

import itertools
from argparse import Namespace
from pathlib import Path

from tcn.commands.names import check_extra
from tcn.explain.page import Page


def explain_forecaster(given: Namespace) -> Path:
    """Writes the page: of each series the first forecast and the last.

    Args:
        given: the options of ``tcn explain``.

    Raises:
        OSError: a file cannot be read or written.
        TypeError, ValueError: the tables are not such as the forecaster was trained on.
    """
    check_extra("tcn explain", "forecasting", "pandas", "narwhals")
    from tcn.forecasting import Forecaster
    from tcn.forecasting.evaluation.tables import read_series

    forecaster = Forecaster.load(given.folder)
    df = None if given.data is None else read_series(given.data, forecaster.columns)
    future = None if given.future is None else read_series(given.future, forecaster.columns)
    steps = sorted({1, forecaster.h})
    explained = forecaster.explain(df, future, step=steps)
    ids = explained.ids
    shown = ids[: given.examples]
    page = Page(
        "What the forecasts rest on",
        {
            "forecaster": f"{forecaster.model}, {forecaster.h} steps ahead, from {given.folder}",
            "data": given.data or "those that it was trained on",
            "series": f"{len(shown)} of {len(ids)}",
            "command": f"`{given.command}`",
        },
    )
    for unique_id in shown:
        page.section(
            str(unique_id),
            "How much each past value and covariate adds to the forecast or takes from it, in "
            "units of the target, by integrated gradients from a window at its mean and covariates "
            "of zero.",
        )
        for target, (index, step) in itertools.product(explained.targets, enumerate(steps)):
            figure = explained.plot(unique_id, index, target)
            page.picture(figure, f"{target} of {unique_id}, {step} of {forecaster.h} steps ahead")
    return page.write(given.page)
