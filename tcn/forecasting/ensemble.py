"""Several forecasters that answer as one: side by side in a frame, or with their mean."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
from typing_extensions import override

from tcn.forecasting.forecaster import Forecaster
from tcn.layers.validation import is_integer
from tcn.saving.files import replacing

_CONTENT = "ensemble.json"


class Forecasters:
    """Several forecasters of one data set, whose results stand side by side in one frame.

    ::

        models = [Forecaster(h=12, input_size=24, model=name) for name in ("tcn", "lstm", "gru")]
        found = Forecasters(models).fit(df).predict()  # unique_id, ds, TCN, LSTM, GRU
        plot_forecasts(df, found)

    Attributes:
        forecasters: in the order of their columns.
    """

    alike: ClassVar[Sequence[str]] = ("h", "columns")

    def __init__(self, forecasters: Sequence[Forecaster]) -> None:
        """Puts forecasters together, trained or not.

        Args:
            forecasters: one or more, for the same columns and horizon; their names differ.

        Raises:
            TypeError: if one is not a forecaster.
            ValueError: if there is none, or two of them do not go together.
        """
        if isinstance(forecasters, Forecaster):
            raise TypeError("forecasters: one alone; give a list")
        if not forecasters:
            raise ValueError("forecasters: none is given; give at least one")
        self.forecasters = list(forecasters)
        if len({id(each) for each in self.forecasters}) < len(self.forecasters):
            raise ValueError("forecasters: one of them is given twice; give each once")
        for each in self.forecasters:
            if not isinstance(each, Forecaster):
                raise TypeError(
                    f"forecasters: {each!r} is not a Forecaster; give some, such as "
                    "[Forecaster(h=12, input_size=24)]"
                )
        first = self.forecasters[0]
        for other in self.forecasters[1:]:
            for name in self.alike:
                one, two = getattr(first, name), getattr(other, name)
                if one != two:
                    cure = "give both the same alias" if name == "result_name" else "give one"
                    raise ValueError(f"forecasters: {name} is {one!r} and {two!r}; {cure}")
        self._check_names([each.result_name for each in self.forecasters])

    def _check_names(self, names: Sequence[str]) -> None:
        twice = [name for name in names if list(names).count(name) > 1]
        if twice:
            raise ValueError(
                f"forecasters: {names.count(twice[0])} have the name {twice[0]!r}; give each an "
                f"alias of its own, such as alias='{twice[0]} 2'"
            )

    def fit(self, df: Any, static_df: Any = None, val_size: int = 0) -> Self:
        """Trains each, one after the other; arguments are those of :meth:`Forecaster.fit`."""
        for each in self.forecasters:
            each.fit(df, static_df, val_size)
        return self

    def predict(
        self,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        *,
        static_df: Any = None,
    ) -> Any:
        """What :meth:`Forecaster.predict` of each returns; arguments are the same."""
        level = None if level is None else list(level)
        return self._as_one(
            lambda each: each.predict(df, futr_df, h=h, level=level, static_df=static_df)
        )

    def update(
        self,
        new_rows: Any,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """What :meth:`Forecaster.update` of each returns; arguments are the same.

        If one of them refuses, none has taken a row.
        """
        level = None if level is None else list(level)
        with self._all_or_none():
            return self._as_one(lambda each: each.update(new_rows, futr_df, h=h, level=level))

    def revise(self, df: Any, static_df: Any = None) -> Self:
        """:meth:`Forecaster.revise` of each; if one of them refuses, none has taken a row."""
        with self._all_or_none():
            for each in self.forecasters:
                each.revise(df, static_df)
        return self

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """Puts the streams of all back to where they were if anything is refused."""
        before = [copy.copy(each.live_) for each in self.forecasters]
        try:
            yield
        except BaseException:
            for each, live in zip(self.forecasters, before, strict=True):
                each.live_ = live
            raise

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
        """What :meth:`Forecaster.cross_validation` of each returns; arguments are the same."""
        return self._as_one(
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

    def _as_one(self, forecast: Callable[[Forecaster], Any]) -> Any:
        columns = self.forecasters[0].columns
        given = {columns.id, columns.time, "cutoff", *columns.target}
        frames = [forecast(each) for each in self.forecasters]
        _check_rows(frames, given)
        return self._joined(frames, given)

    def _joined(self, frames: Sequence[Any], given: Collection[str]) -> Any:
        return side_by_side(frames, given)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes each forecaster to a folder of its own in ``folder``, and then how many they are.

        Returns:
            The folder.

        Raises:
            NotFittedError, ValueError: see :meth:`Forecaster.save`.
        """
        folder = Path(folder)
        for each in self.forecasters:
            _ = each.trained_  # before any file is written
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
        path, cure = Path(folder) / _CONTENT, f"give a folder of {cls.__name__}.save"
        try:
            count = json.loads(path.read_text())["forecasters"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: cannot be read; give a folder of {cls.__name__}.save"
            ) from error
        if not is_integer(count) or count < 1:
            raise ValueError(f"{path}: {count!r} forecasters; {cure}")
        return cls([Forecaster.load(path.parent / str(number)) for number in range(count)])


class Ensemble(Forecasters):
    """The mean of what several forecasters forecast.

    Interval ends are averaged, too: the mean of quantiles of the same level (Lichtendahl, Grushka-
    Cockayne, Winkler 2013, Is It Better to Average Probabilities or Quantiles?). Those that only
    some of the forecasters have are left out.

    ::

        made = [Forecaster(h=12, input_size=24, alias="mean", seed=seed) for seed in (1, 2, 3)]
        ensemble = Ensemble(made).fit(df)
        ensemble.predict()  # unique_id, ds, mean

    Attributes:
        forecasters: that are averaged, each with the same weight; their results have one name.
    """

    alike: ClassVar[Sequence[str]] = ("h", "columns", "result_name")

    @override
    def _check_names(self, names: Sequence[str]) -> None:
        """They are the same, which is what is wanted."""

    @override
    def _joined(self, frames: Sequence[Any], given: Collection[str]) -> Any:
        return mean_of(frames, given)


def _check_rows(frames: Sequence[Any], given: Collection[str]) -> None:
    """Refuses frames of other rows, or of other libraries."""
    first, *others = (nw.from_native(frame, eager_only=True) for frame in frames)
    there = [name for name in first.columns if name in given]
    for other in others:
        if other.implementation != first.implementation or any(
            first[name].to_list() != other[name].to_list() for name in there
        ):
            raise ValueError(
                "forecasters: their results are of other series, times or libraries; fit all on "
                "one frame, and let all have the same updates"
            )


def side_by_side(frames: Sequence[Any], given: Collection[str]) -> Any:
    """The first of several frames of the same rows, with the forecasts of the others.

    Args:
        frames: of pandas, polars or pyarrow, all of one kind.
        given: columns that are no forecasts, which all frames have alike.
    """
    first, *others = (nw.from_native(frame, eager_only=True) for frame in frames)
    more = [each[name] for each in others for name in each.columns if name not in given]
    names = [*first.columns, *(column.name for column in more)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"forecasters: {names.count(twice[0])} have a column {twice[0]!r}; give one another "
            "alias"
        )
    return first.with_columns(*more).to_native()


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
