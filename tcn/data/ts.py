"""Labeled series from ``.ts`` files, the format of the UCR and UEA archives."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def load_ts(
    path: str | PathLike[str],
) -> tuple[Values | list[Values], NDArray[np.str_] | Values | None]:
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
        time)``; missing values (``?``) are NaN. And ``(series,)`` labels as text, numbers where the
        header says ``@targetlabel true``, or None where it says ``@classlabel false``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line, where it does not keep to the format: no ``@data``, times
            given with the values, no label or one that the header does not list, a value that is no
            number, other dimensions or steps than the header says.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not text ({error}); give a .ts file, unpacked") from error
    header, begin = _header(file, lines)
    if header.get("timestamps", [""])[0] == "true":
        raise ValueError(
            f"{file}: its values have times (@timeStamps true), which are not read; interpolate "
            "them to regular steps first"
        )
    series, labels = [], []
    for number, line in enumerate(map(str.strip, lines[begin:]), begin + 1):
        if not line or line.startswith("#"):
            continue
        place = f"{file}: line {number}"
        dimensions, label = _apart(place, line, header)
        series.append(_series(place, dimensions))
        labels.append(label)
        _check_size(place, series[-1].shape, series[0].shape, header)
    if not series:
        raise ValueError(f"{file}: no series follow @data; is the file whole?")
    whole = len({each.shape for each in series}) == 1
    y = None if labels[0] is None else np.array(labels)
    return (np.stack(series) if whole else series), y


def _apart(
    place: str, line: str, header: dict[str, list[str]]
) -> tuple[list[str], str | float | None]:
    """The dimensions of a series, and its label or number."""
    numeric = header.get("targetlabel", [""])[0] == "true"
    known = header.get("classlabel", [""])
    if known[0] == "false" and not numeric:
        return line.split(":"), None
    *dimensions, label = map(str.strip, line.split(":"))
    if not dimensions or not label:
        raise ValueError(f"{place}: no label; a series ends with ':label'")
    if numeric:
        return dimensions, _number(place, label)
    if len(known) > 1 and label.lower() not in known[1:]:
        raise ValueError(
            f"{place}: label {label[:40]!r} is not one of the header's {known[1:]}; is the line "
            "whole?"
        )
    return dimensions, label


def _check_size(
    place: str, shape: tuple[int, ...], first: tuple[int, ...], header: dict[str, list[str]]
) -> None:
    """Compares a series with what the header says, and with the first."""
    sizes = {"dimensions": shape[0]}
    if header.get("equallength", [""])[0] == "true":
        sizes["serieslength"] = shape[1]
    for name, size in sizes.items():
        said = header.get(name, [""])[0]
        if said.isdigit() and int(said) not in (0, size):
            raise ValueError(
                f"{place}: a series of {shape[0]} dimensions and {shape[1]} steps; the header says "
                f"@{name} {said}"
            )
    if shape[0] != first[0]:
        raise ValueError(f"{place}: {shape[0]} dimensions; the first series has {first[0]}")


def _header(file: Path, lines: list[str]) -> tuple[dict[str, list[str]], int]:
    """The words of the lines before ``@data``, in small letters, and how many lines that takes."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        name, *words = line.lower().split() or [""]
        if name == "@data":
            if found.get("univariate", [""])[0] == "true":
                found.setdefault("dimensions", ["1"])
            return found, number + 1
        if name.startswith("@"):
            found[name[1:]] = words or [""]
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
        raise ValueError(f"{place}: {cell.strip()[:40]!r} is not a number") from None
