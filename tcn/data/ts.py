"""Labeled series from ``.ts`` files, the format of the UCR and UEA archives."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def load_ts(path: str | PathLike[str]) -> tuple[Values | list[Values], NDArray[np.str_] | Values]:
    """Reads series and their labels, or their numbers, from a ``.ts`` file.

    A header of lines that begin with ``@`` ends with ``@data``; then every line is a series, its
    dimensions separated by ``:``, the label last (Bagnall et al. 2018, arXiv:1811.00075,
    section 3, and timeseriesclassification.com).

    ::

        X, y = load_ts("GunPoint_TRAIN.ts")  # (50, 1, 150), and 50 labels

    Args:
        path: of the file, UTF-8.

    Returns:
        ``(series, channel, time)`` float64, or, of series of several lengths, a list of ``(channel,
        time)``; missing values (``?``) are NaN. And ``(series,)`` labels as text, or numbers where
        the header says ``@targetlabel true``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line, where it does not keep to the format: no ``@data``, times
            given with the values, no label, a value that is no number, dimensions that differ.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not text ({error}); give a .ts file, unpacked") from error
    header, begin = _header(file, lines)
    if header.get("timestamps") == "true":
        raise ValueError(
            f"{file}: its values have times (@timeStamps true), which are not read; interpolate "
            "them to regular steps first"
        )
    numeric = header.get("targetlabel") == "true"
    series, labels = [], []
    for number, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.startswith("#"):
            continue
        *dimensions, label = line.split(":")
        if not dimensions or not label.strip():
            raise ValueError(f"{file}: line {number}: no label; a series ends with ':label'")
        series.append(_series(f"{file}: line {number}", dimensions))
        labels.append(_number(f"{file}: line {number}", label) if numeric else label.strip())
        if len(series[-1]) != len(series[0]):
            raise ValueError(
                f"{file}: line {number}: {len(series[-1])} dimensions; the first series has "
                f"{len(series[0])}"
            )
    if not series:
        raise ValueError(f"{file}: no series follow @data; is the file whole?")
    whole = len({each.shape for each in series}) == 1
    return (np.stack(series) if whole else series), np.array(labels)


def _header(file: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    """What the lines before ``@data`` say, and how many lines that takes."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        name, _, value = line.strip().lower().partition(" ")
        if name == "@data":
            return found, number + 1
        if name.startswith("@"):
            found[name[1:]] = value.split(" ")[0]
        elif name and not name.startswith("#"):
            raise ValueError(
                f"{file}: line {number + 1}: {line[:40]!r} before @data; the header of a .ts file "
                "begins each line with '@'"
            )
    raise ValueError(f"{file}: no line @data; give a whole .ts file")


def _series(place: str, dimensions: list[str]) -> Values:
    """``(channel, time)``."""
    rows = [
        np.array([np.nan if cell.strip() == "?" else _number(place, cell)
                  for cell in dimension.split(",")])
        for dimension in dimensions
    ]  # fmt: skip
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"{place}: dimensions of {sorted({len(row) for row in rows})} steps; one series has as "
            "many steps in each"
        )
    return np.stack(rows)


def _number(place: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{place}: {cell.strip()[:40]!r} is not a number, nor '?'") from None
