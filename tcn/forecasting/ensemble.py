"""Several forecasters that answer as one: the mean of their forecasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import narwhals as nw
import numpy as np

from tcn.forecasting.forecaster import Forecaster
from tcn.layers.validation import is_integer
from tcn.saving.files import replacing

_CONTENT = "ensemble.json"


class Ensemble:
    """The mean of what several forecasters forecast.

    Interval ends are averaged, too: the mean of quantiles of the same level (Lichtendahl, Grushka-
    Cockayne, Winkler 2013, Is It Better to Average Probabilities or Quantiles?). Those that only
    some of the forecasters have are left out.

    ::

        made = [Forecaster(h=12, input_size=24, alias="mean", seed=seed) for seed in (1, 2, 3)]
        ensemble = Ensemble([each.fit(df) for each in made])
        ensemble.predict()  # unique_id, ds, mean

    Attributes:
        forecasters: that are averaged, each with the same weight.
    """

    def __init__(self, forecasters: Sequence[Forecaster]) -> None:
        """Puts forecasters together.

        Args:
            forecasters: one or more, for the same columns, whose results have the same name.

        Raises:
            ValueError: if there is none, or two of them differ in columns, horizon or name.
        """
        if not forecasters:
            raise ValueError("forecasters: none is given; give at least one")
        self.forecasters = list(forecasters)
        first = forecasters[0]
        for other in forecasters[1:]:
            for name in ("h", "columns", "result_name"):
                one, two = getattr(first, name), getattr(other, name)
                if one != two:
                    cure = "give both the same alias" if name == "result_name" else "give one"
                    raise ValueError(f"forecasters: {name} is {one!r} and {two!r}; {cure}")

    def predict(
        self,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        *,
        static_df: Any = None,
    ) -> Any:
        """The mean of what :meth:`Forecaster.predict` of each returns; arguments are the same."""
        return self._mean(
            lambda each: each.predict(df, futr_df, h=h, level=level, static_df=static_df)
        )

    def update(
        self,
        new_rows: Any,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """The mean of what :meth:`Forecaster.update` of each returns; arguments are the same."""
        return self._mean(lambda each: each.update(new_rows, futr_df, h=h, level=level))

    def cross_validation(
        self,
        df: Any,
        n_windows: int = 1,
        step_size: int | None = None,
        *,
        static_df: Any = None,
        val_size: int = 0,
        refit: bool = False,
        level: Sequence[float] | None = None,
    ) -> Any:
        """The mean of :meth:`Forecaster.cross_validation` of each; arguments are the same."""
        return self._mean(
            lambda each: each.cross_validation(
                df,
                n_windows,
                step_size,
                static_df=static_df,
                val_size=val_size,
                refit=refit,
                level=level,
            )
        )

    def _mean(self, forecast: Callable[[Forecaster], Any]) -> Any:
        columns = self.forecasters[0].columns
        given = {columns.id, columns.time, "cutoff", *columns.target}
        return mean_of([forecast(each) for each in self.forecasters], given)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes each forecaster to a folder of its own in ``folder``, and then how many they are.

        Returns:
            The folder.

        Raises:
            NotFittedError, ValueError: see :meth:`Forecaster.save`.
        """
        folder = Path(folder)
        for number, each in enumerate(self.forecasters):
            each.save(folder / str(number))
        with replacing(folder / _CONTENT) as path:
            path.write_text(json.dumps({"forecasters": len(self.forecasters)}) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Self:
        """What :meth:`save` wrote.

        Raises:
            ValueError: if a file is missing, changed or not what it should be, naming it.
        """
        path = Path(folder) / _CONTENT
        try:
            count = json.loads(path.read_text())["forecasters"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: cannot be read; give a folder of Ensemble.save") from error
        if not is_integer(count) or count < 1:
            raise ValueError(f"{path}: {count!r} forecasters; give a folder of Ensemble.save")
        return cls([Forecaster.load(path.parent / str(number)) for number in range(count)])


def mean_of(frames: Sequence[Any], given: Collection[str]) -> Any:
    """The first of several frames of the same rows, its forecasts replaced by their mean over all.

    Args:
        frames: of pandas, polars or pyarrow, all of one kind.
        given: columns that are no forecasts, and are left as they are.
    """
    whole = [nw.from_native(frame, eager_only=True) for frame in frames]
    first = whole[0]
    names = [name for name in first.columns if all(name in each.columns for each in whole)]
    means = [
        nw.new_series(
            name,
            np.mean([each[name].to_numpy() for each in whole], axis=0),
            backend=first.implementation,
        )
        for name in names
        if name not in given
    ]
    return first.select(names).with_columns(*means).to_native()
