"""A .nam file as checked plain data: one JSON object of version, architecture, config and weights.

Nothing in it is code. What is refused is refused before anything is built, as a ``ValueError`` that
names the file, the place in it, what stands there, and the cure.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tcn.audio.nam_schema import CONFIGS, FILE
from tcn.saving.schema import Schema, first_error, parse

LARGEST_FILE = 64 << 20
"""Bytes; the largest capture known has 0.7 million."""
OLDEST, NEWEST = (0, 5, 0), (0, 7, 0)
SAMPLE_RATE = 48000.0
"""In Hz, where a file names none."""


class Model(NamedTuple):
    """A checked model: a whole file, or one inside another.

    Attributes:
        place: where it stands, for errors: the file, and where in it.
        architecture: a key of :data:`tcn.audio.nam_schema.CONFIGS`.
        config: as its schema says.
        weights: float32, all finite.
        sample_rate: in Hz; None if the file names none.
        metadata: what is known of the device.
    """

    place: str
    architecture: str
    config: dict[str, Any]
    weights: Tensor
    sample_rate: float | None
    metadata: dict[str, Any]

    def refuse(self, where: str, what: object, cure: str) -> ValueError:
        """The error for something in ``config`` or ``weights``."""
        return ValueError(f"{self.place}{where}: {what}; {cure}")


def read(path: str | PathLike[str]) -> Model:
    """The model of a file.

    Raises:
        ValueError: if it is not a file, too large, not JSON, nested too deep, or not a model.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(
            f"{file}: it cannot be read: {error.strerror}; give the path of a .nam file"
        ) from error
    if len(data) > LARGEST_FILE:
        raise ValueError(
            f"{file}: more than {LARGEST_FILE} bytes, which no capture has; give a .nam file"
        )
    try:
        content = parse(data)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{file}: it is not JSON: {reason[:200]}; download or export the file again"
        ) from error
    return model(content, f"{file}: ")


def model(content: Any, place: str) -> Model:
    """The model in what a file, or an entry of one, holds.

    Args:
        content: what JSON says.
        place: for errors.

    Raises:
        ValueError: if it is not a model.
    """
    _check(content, FILE, place, "")
    _check_version(content["version"], place)
    config, architecture = content["config"], content["architecture"]
    _check(config, CONFIGS[architecture], place, "config")
    rate = content.get("sample_rate")
    if rate is not None and not 0 < rate <= sys.float_info.max:
        raise ValueError(f"{place}sample_rate: {str(rate)[:40]} must be above 0 Hz; write 48000")
    return Model(
        place,
        architecture,
        _whole(config),
        _numbers(content["weights"], place),
        None if rate is None else float(rate),
        content.get("metadata") or {},
    )


def _whole(value: Any) -> Any:
    """The value with an integer for every float that is one, as 2.0 is; nets inside stay."""
    if isinstance(value, dict):
        inside = ("submodels", "condition_dsp")
        return {key: item if key in inside else _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check(value: Any, schema: Schema, place: str, name: str) -> None:
    reason = first_error(value, schema)
    if reason is not None:
        reason = reason.removeprefix("the file: ")
        joint = "." if name and not reason.startswith("lists and") else ""
        raise ValueError(
            f"{place}{name}{joint}{reason}; correct it, or export the file again with a version of "
            "Neural Amp Modeler that writes 0.5.0 to 0.7.0"
        )


def _check_version(version: str, place: str) -> None:
    number = tuple(map(int, version.split(".")))
    # A higher patch of the same minor version only adds what may be left out.
    if number < OLDEST or number[:2] > NEWEST[:2]:
        raise ValueError(
            f"{place}version: {version!r} is not one of 0.5.0 to 0.7.0; export the file again with "
            "a version of Neural Amp Modeler that writes those"
        )


def _numbers(values: Sequence[Any], place: str) -> Tensor:
    """The weights in float32, which is what the format holds."""
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        try:
            numbers = torch.tensor([float(value) for value in values], dtype=torch.float64).float()
        except OverflowError:
            numbers = torch.tensor([math.inf])
        if bool(numbers.isfinite().all()):
            return numbers
    index = next(index for index, value in enumerate(values) if not _fits(value))
    raise ValueError(
        f"{place}weights[{index}]: {str(values[index])[:40]!r} is not a number that fits in "
        "float32; export the file again"
    )


def _fits(value: object) -> bool:
    if type(value) not in (int, float):
        return False
    return abs(value) <= torch.finfo(torch.float32).max  # type: ignore[arg-type]
