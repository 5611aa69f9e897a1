"""The long-horizon sets: files, published splits, scaling, and the windows that are counted.

The protocol of Zhou et al. 2021 (arXiv:2012.07436) as later papers use it: a net reads the last
``look_back`` rows of every channel and forecasts the next ``horizon``. Channels are scaled by mean
and standard deviation of the training part, and errors are taken on the scaled values, over all
channels, steps and windows. A window belongs to a part if all its forecast rows lie there; its
past may reach into the part before. **No window is left out.**
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from tcn.data.archives import opened_member
from tcn.data.fetch import RemoteFile, locate

Part = Literal["validation", "test"]

ETT_MONTH = 30 * 24
"""Hours: the months of the ETT splits have 30 days."""

_HUGGING_FACE = "https://huggingface.co/datasets/thuml/Time-Series-Library/resolve/main"
_MIRROR = (
    "https://raw.githubusercontent.com/junwoopark92/Self-Supervised-Contrastive-Forecsating/"
    "e20c108114cf68d451c938712ad28dac5f83ef6e/dataset"
)


@dataclass(frozen=True)
class LongHorizonSet:
    """A table of channels over time.

    Attributes:
        name: as used on the command line.
        title: as shown.
        file: the csv file, or the zip archive that holds ``<name>.csv``.
        season: rows after which the values repeat approximately; 1 if they do not.
        look_back: rows a forecast may read, as DLinear's authors chose them.
        horizons: the published ones, in rows.
        rows: training, validation and test rows; None: 70, 10 and 20 % of the file.
    """

    name: str
    title: str
    file: RemoteFile
    season: int
    look_back: int = 336
    horizons: tuple[int, ...] = (96, 192, 336, 720)
    rows: tuple[int, int, int] | None = None


def _ett(name: str, sha256: str, *, per_hour: int) -> LongHorizonSet:
    address = f"https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/{name}.csv"
    months = tuple(count * ETT_MONTH * per_hour for count in (12, 4, 4))
    return LongHorizonSet(
        name,
        name,
        RemoteFile(f"ett/{name}.csv", sha256, (address,)),
        season=24 * per_hour,
        rows=(months[0], months[1], months[2]),
    )


SETS = {
    each.name: each
    for each in (
        _ett(
            "ETTh1", "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066", per_hour=1
        ),
        _ett(
            "ETTm1", "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e", per_hour=4
        ),
        LongHorizonSet(
            "weather",
            "Weather",
            RemoteFile(
                "ltsf/weather.zip",
                "c2459c2abce68e58140a74e14eb3ff7a7f4d917d25da0a28a34571f8d733aba0",
                (
                    "https://github.com/aspire-zero/long_term_forecast_data/raw/"
                    "0045b460bd65c402f91e738b4b5ac826433b00b0/weather.zip",
                ),
            ),
            season=144,
        ),
        LongHorizonSet(
            "exchange_rate",
            "Exchange rate",
            RemoteFile(
                "ltsf/exchange_rate.csv",
                "d55e7aa2641009814a18ba3279431b13f6d413b0eab195b9ff21988d8cf94e97",
                (
                    f"{_HUGGING_FACE}/exchange_rate/exchange_rate.csv",
                    f"{_MIRROR}/exchange_rate/exchange_rate.csv",
                ),
            ),
            season=1,
        ),
        LongHorizonSet(
            "national_illness",
            "National illness (ILI)",
            RemoteFile(
                "ltsf/national_illness.csv",
                "8594cecb98c6f2f9dc014eca11c4d5d1e38ad5ce6ed0592d4abe65b146fce395",
                (
                    f"{_HUGGING_FACE}/illness/national_illness.csv",
                    f"{_MIRROR}/illness/national_illness.csv",
                ),
            ),
            season=52,
            look_back=104,
            horizons=(24, 36, 48, 60),
        ),
    )
}


@dataclass(frozen=True)
class Problem:
    """One set at one horizon.

    Attributes:
        data: the set.
        horizon: rows to forecast.
        times: ``(rows,)`` datetime64, or int64 where the file's own times have gaps.
        channels: names of the columns.
        values: ``(rows, channels)`` float64, scaled by the training part.
        train, validation: first row after the training and after the validation part; the test
            part ends with ``values``.
    """

    data: LongHorizonSet
    horizon: int
    times: np.ndarray
    channels: tuple[str, ...]
    values: np.ndarray
    train: int
    validation: int

    @property
    def look_back(self) -> int:
        return self.data.look_back

    def first_rows(self, part: Part) -> range:
        """First forecast row of every window of a part."""
        start, stop = {
            "validation": (self.train, self.validation),
            "test": (self.validation, len(self.values)),
        }[part]
        return range(start, stop - self.horizon + 1)

    def truth(self, first: int, last: int) -> np.ndarray:
        """The true values of windows first to last - 1, ``(last - first, channels, horizon)``."""
        windows = np.lib.stride_tricks.sliding_window_view(self.values, self.horizon, axis=0)
        return windows[first:last]

    def past(self, first: int, last: int) -> np.ndarray:
        """The values a forecast may read: ``(last - first, channels, look_back)``."""
        windows = np.lib.stride_tricks.sliding_window_view(self.values, self.look_back, axis=0)
        return windows[first - self.look_back : last - self.look_back]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Training and validation rows, long: ``unique_id`` (a channel), ``ds``, scaled ``y``."""
        return self.long_frame(0, self.validation)

    def long_frame(self, start: int, stop: int) -> pd.DataFrame:
        """Rows ``start`` to ``stop`` of every channel, one channel after the other."""
        count = stop - start
        return pd.DataFrame(
            {
                "unique_id": np.repeat(self.channels, count),
                "ds": np.tile(self.times[start:stop], len(self.channels)),
                "y": self.values[start:stop].T.reshape(-1),
            }
        )


def load(name: str, horizon: int | None = None) -> Problem:
    """A set at a horizon, by default the first of its horizons.

    Raises:
        ValueError: the set is unknown, or its test part is shorter than the horizon.
    """
    if name not in SETS:
        raise ValueError(f"set {name!r} is unknown; known: {', '.join(SETS)}")
    data = SETS[name]
    horizon = data.horizons[0] if horizon is None else horizon
    table = _read(data)
    rows = data.rows or _tenths(len(table))
    if not 1 <= horizon <= min(rows[1:]):
        raise ValueError(
            f"horizon is {horizon}, but the shorter of validation and test part of {name} has "
            f"{min(rows[1:])} rows: give 1 to {min(rows[1:])}"
        )
    table = table.iloc[: sum(rows)]
    values = table.drop(columns="date").to_numpy(np.float64)
    mean, deviation = values[: rows[0]].mean(0), values[: rows[0]].std(0)
    return Problem(
        data=data,
        horizon=horizon,
        times=_times(table["date"]),
        channels=tuple(table.columns.drop("date")),
        values=(values - mean) / deviation,
        train=rows[0],
        validation=rows[0] + rows[1],
    )


def _tenths(rows: int) -> tuple[int, int, int]:
    """Rounds training and test part down, as in the published loaders."""
    train, test = int(rows * 0.7), int(rows * 0.2)
    return train, rows - train - test, test


def _times(dates: pd.Series) -> np.ndarray:
    """The file's times if they are regular; otherwise row numbers, as the protocol means them."""
    times = pd.to_datetime(dates, format="mixed").to_numpy()
    steps = np.diff(times)
    return times if (steps == steps[0]).all() else np.arange(len(times))


def _read(data: LongHorizonSet) -> pd.DataFrame:
    if data.file.path.endswith(".zip"):
        with opened_member(data.file, f"{data.name}.csv") as stream:
            return pd.read_csv(stream, encoding="latin-1")
    return pd.read_csv(locate(data.file))


def chunks(rows: range, size: int) -> Iterator[tuple[int, int]]:
    """``rows`` in pieces of at most ``size``, each from its first row to the one after its last."""
    for start in range(rows.start, rows.stop, size):
        yield start, min(start + size, rows.stop)
