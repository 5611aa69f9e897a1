"""Reads the ``.tsf`` files of the Monash archive (Godahewa et al. 2021, arXiv:2105.06643).

    # a comment
    @relation Electricity
    @attribute series_name string
    @attribute start_timestamp date
    @frequency weekly
    @horizon 8
    @missing false
    @equallength true
    @data
    T1:2012-01-01 00-00-00:8032,9097,...

A data line holds the attributes in their order, then the values; ``?`` is a missing value.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

FREQUENCIES = {
    "4_seconds": "4s",
    "minutely": "min",
    "10_minutes": "10min",
    "half_hourly": "30min",
    "hourly": "h",
    "daily": "D",
    "weekly": "7D",
    "monthly": "MS",
    "quarterly": "QS",
    "yearly": "YS",
}
"""The archive's names and pandas' names. A week begins on whatever day the series begins."""

_STAMP = "%Y-%m-%d %H-%M-%S"


@dataclass(frozen=True)
class Header:
    """The lines above ``@data``.

    Attributes:
        relation: name of the collection.
        frequency: one of ``FREQUENCIES``, None if it is not given.
        horizon: steps to forecast, None if it is not given.
        attributes: name and kind (string, numeric, date) of each field before the values.
    """

    relation: str = ""
    frequency: str | None = None
    horizon: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TsfSeries:
    """One data line: ``values`` are ``(steps,)`` float64 with NaN where a value is missing."""

    attributes: dict[str, str]
    values: np.ndarray = field(repr=False)


def read_tsf(path: Path) -> tuple[Header, list[TsfSeries]]:
    """Reads a whole file.

    Raises:
        ValueError: the file is malformed; the message names the file, the line and the fault.
    """
    # Latin-1 takes any byte: the comments of some files do not follow any encoding.
    with path.open(encoding="latin-1") as lines:
        numbered = enumerate(lines, start=1)
        header = _header(path, numbered)
        return header, list(_series(path, numbered, header))


def _header(path: Path, lines: Iterator[tuple[int, str]]) -> Header:
    found: dict[str, str] = {}
    attributes: list[tuple[str, str]] = []
    for number, line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        keyword = words[0].lower()
        if keyword == "@data":
            break
        if keyword == "@attribute" and len(words) == 3:
            attributes.append((words[1], words[2]))
        elif keyword.startswith("@") and len(words) == 2:
            found[keyword[1:]] = words[1]
        else:
            raise ValueError(f"{path}, line {number}: {line.strip()!r} is not a header line")
    else:
        raise ValueError(f"{path}: holds no line @data")
    frequency = found.get("frequency")
    if frequency is not None and frequency not in FREQUENCIES:
        known = ", ".join(FREQUENCIES)
        raise ValueError(f"{path}: frequency {frequency!r} is unknown; known: {known}")
    return Header(
        relation=found.get("relation", ""),
        frequency=frequency,
        horizon=int(found["horizon"]) if "horizon" in found else None,
        attributes=tuple(attributes),
    )


def _series(path: Path, lines: Iterable[tuple[int, str]], header: Header) -> Iterator[TsfSeries]:
    names = [name for name, _ in header.attributes]
    for number, line in lines:
        if not line.strip():
            continue
        parts = line.strip().split(":")
        if len(parts) != len(names) + 1:
            raise ValueError(
                f"{path}, line {number}: {len(parts) - 1} attributes before the values, "
                f"the header names {len(names)}"
            )
        try:
            values = [np.nan if item == "?" else float(item) for item in parts[-1].split(",")]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        yield TsfSeries(dict(zip(names, parts, strict=False)), np.array(values))


def long_frame(header: Header, series: Iterable[TsfSeries]) -> pd.DataFrame:
    """``unique_id, ds, y``; ``ds`` counts from 1 if dates or frequency are missing."""
    frames = []
    for number, each in enumerate(series, start=1):
        steps = len(each.values)
        stamp = each.attributes.get("start_timestamp")
        if stamp is None or header.frequency is None:
            times = pd.Index(np.arange(1, steps + 1))
        else:
            start = pd.to_datetime(stamp, format=_STAMP)
            times = pd.date_range(start, periods=steps, freq=FREQUENCIES[header.frequency])
        name = each.attributes.get("series_name", f"T{number}")
        frames.append(pd.DataFrame({"unique_id": name, "ds": times, "y": each.values}))
    return pd.concat(frames, ignore_index=True)
