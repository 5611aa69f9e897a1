"""A trained forecaster as a folder; nothing in it is executed, and all of it is checked.

forecaster.json           settings, names, ids, how the net is built, and the SHA-256 of itself and
forecaster.safetensors    weights, scaling, the last rows of every series, calibration errors, and
                          what adaptive intervals have learned from a stream
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from tcn import __version__
from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.schema import ARRAYS, SCHEMA
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.reading import Library
from tcn.forecasting.intervals.arrays import (
    adaptive_arrays,
    adaptive_of,
    band_arrays,
    bands_of,
)
from tcn.forecasting.windows.scaling import CovariateScaler, SeriesScaler, Statistics
from tcn.inference.construction import construct, refuse_opaque
from tcn.layers import SequenceModule
from tcn.outputs import Output, build
from tcn.saving import folder as saving
from tcn.saving.description import describe
from tcn.saving.schema import first_error
from tcn.saving.tensors import loaded

SETTINGS = "forecaster.json"

# Attributes that are written as they are; those that folders of version 0.1 lack have defaults.
_PLAIN = ("intervals", "calibration", "seed", "window_errors", "widening")
_PLAIN_OF_HISTORY = ("timezone", "unit", "missing", "vocabularies")
_ARRAYS_OF_HISTORY = ("target", "futr", "hist", "stat", "categories")


def _missing(folder: Path, name: str) -> str:
    """The error for a folder in which a file is missing."""
    return f"{folder / name}: there is no such file; pass a folder that save() wrote, all of it"


LAYOUT = saving.Layout(SETTINGS, ARRAYS, "arrays", _missing)

_MISFIT = (
    KeyError, IndexError, TypeError, AttributeError, OverflowError, RuntimeError, RecursionError,
    MemoryError, ValueError,
)  # fmt: skip
"""Errors that may come from building with files that do not fit each other."""


def write(
    folder: str | PathLike[str], parameters: dict[str, Any], trained: Trained, library: Library
) -> Path:
    """Writes both files, or leaves what was there as it was.

    Args:
        folder: where to.
        parameters: arguments of the forecaster.
        trained: what its fit left behind.
        library: whose frames it returns, such as ``"pandas"``.

    Raises:
        ValueError: if the net cannot be built again from plain data, or an id is neither text nor
            an integer.
    """
    folder = Path(folder)
    arrays = _arrays(trained)
    data = safetensors.torch.save({name: part.contiguous() for name, part in arrays.items()})
    content = {**_content(parameters, trained, library), **saving.entry(LAYOUT, data)}
    # Tuples become lists on the way, as they will when the file is read.
    readable = json.loads(json.dumps(content, allow_nan=False))
    if (reason := first_error(readable, SCHEMA)) is not None:
        raise ValueError(f"forecaster: it cannot be written to a file that can be read: {reason}")
    saving.write(folder, LAYOUT, content, data)
    return folder


def read(folder: str | PathLike[str]) -> tuple[dict[str, Any], Trained, Library]:
    """The arguments that :func:`write` was given.

    Raises:
        ValueError: if a file is missing, truncated, changed, of another version or does not fit
            the other; the message names the file and the reason.
    """
    folder = Path(folder)
    content, data, path = saving.read(folder, LAYOUT, SCHEMA)
    arrays = loaded(path, data)
    try:
        with torch.random.fork_rng(devices=[]):  # the random weights of new nets are of no use
            parameters = {name: _restored(value) for name, value in content["parameters"].items()}
            return parameters, _trained(content, arrays), content["library"]
    except _MISFIT as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        reason = f"no {text}" if isinstance(error, KeyError) else text
        raise ValueError(f"{folder}: its files do not fit each other: {reason}") from error


# ----------------------------------------------------------------------------- writing


def _content(parameters: dict[str, Any], trained: Trained, library: Library) -> dict[str, Any]:
    """All of :data:`SETTINGS` but what says of the other file."""
    backbone = describe(trained.net.encoder.backbone)
    refuse_opaque(backbone, "model")
    history = trained.history
    return {
        "format": "tcn forecaster",
        "format_version": saving.FORMAT_VERSION,
        "tcn_version": __version__,
        "parameters": {name: _plain(name, value) for name, value in parameters.items()},
        "library": library,
        "backbone": backbone,
        "sizes": asdict(trained.net.sizes),
        "window_scaler": trained.net.window_scaler.name,
        "skip": trained.net.skip_name,
        "code_bound": trained.net.code_bound,
        "output": trained.output.describe(),
        "scaler": trained.scaler.name,
        "calendar": list(trained.calendar),
        **{name: getattr(trained, name) for name in _PLAIN},
        "report": {name: x for name, x in trained.report.items() if math.isfinite(x)},
        "nonnegative": list(trained.nonnegative),
        "columns": history.columns.to_json(),
        "frequency": history.frequency.freq,
        **{name: getattr(history, name) for name in _PLAIN_OF_HISTORY},
        "ids": _ids(trained.ids),
        "history_ids": _ids(history.ids),
    }


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Output):
        return {"output": value.describe()}
    if isinstance(value, SequenceModule):
        refuse_opaque(description := describe(value), name)
        return {"net": description}
    return list(value) if isinstance(value, tuple) else value


def _ids(ids: NDArray[Any]) -> list[int | str]:
    names = ids.tolist()
    wrong = [name for name in names if not isinstance(name, int | str)]
    if wrong:
        raise ValueError(
            f"ids: {wrong[0]!r} is neither text nor an integer and cannot be written to a file; "
            "convert the column of ids, for example with astype(str)"
        )
    return names


def _arrays(trained: Trained) -> dict[str, Tensor]:
    history, statistics = trained.history, trained.statistics
    parts: dict[str, Any] = {
        "scaling.location": statistics.location,
        "scaling.scale": statistics.scale,
        "history.offsets": history.offsets,
        "history.times": history.times.astype(np.int64),
        **{f"history.{name}": getattr(history, name) for name in _ARRAYS_OF_HISTORY},
    }
    for role in ("futr", "hist", "stat"):
        found: Statistics = getattr(trained.covariates, role)
        parts |= {f"covariates.{role}.location": found.location}
        parts |= {f"covariates.{role}.scale": found.scale}
    parts |= band_arrays(trained.bands) | adaptive_arrays(trained.adaptive)
    arrays = {name: torch.from_numpy(np.array(part)) for name, part in parts.items()}
    net = {f"net.{name}": part.detach().cpu() for name, part in trained.net.state_dict().items()}
    return arrays | net


# ----------------------------------------------------------------------------- reading


def _restored(value: Any) -> Any:
    if isinstance(value, dict) and "output" in value:
        return build(value["output"])
    if isinstance(value, dict):
        return construct(value["net"], f"{SETTINGS}: model")
    return value


def _trained(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Trained:
    arrays = {name: part.numpy() for name, part in _part(tensors, "").items() if "net." not in name}
    covariates = {
        role: Statistics(arrays[f"covariates.{role}.location"], arrays[f"covariates.{role}.scale"])
        for role in ("futr", "hist", "stat")
    }
    return Trained(
        net=_net(content, _part(tensors, "net.")),
        output=build(content["output"]),
        scaler=SeriesScaler(content["scaler"]),
        ids=_array(content["ids"]),
        statistics=Statistics(arrays["scaling.location"], arrays["scaling.scale"]),
        covariates=CovariateScaler(**covariates),
        calendar=tuple(content["calendar"]),
        history=_history(content, arrays),
        **{name: content[name] for name in (*_PLAIN, "report") if name in content},
        nonnegative=tuple(content.get("nonnegative", ())),
        bands=bands_of(arrays),
        adaptive=adaptive_of(arrays, len(content["history_ids"])),
    )


def _net(content: Mapping[str, Any], weights: dict[str, Tensor]) -> ForecastNet:
    sizes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content["sizes"].items()
    }
    net = ForecastNet(
        construct(content["backbone"], f"{SETTINGS}: backbone"),
        Sizes(**sizes),
        window_scaler=content["window_scaler"],
        skip=content["skip"],
        hist_skip="hist_skip.weight" in weights,
        code_bound=content.get("code_bound"),
    )
    if len(content.get("nonnegative", ())) not in (0, net.sizes.targets):
        raise ValueError(f"nonnegative: {content['nonnegative']} for {net.sizes.targets} targets")
    net.load_state_dict(weights)
    return net.eval()


def _history(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Panel:
    frequency = Frequency.given(content["frequency"])
    times = arrays["history.times"]
    if (zone := content["timezone"]) is not None:
        if frequency.is_integer:
            raise ValueError(f"timezone: {zone!r} of times that are integers")
        try:
            localized(times[:0].astype("datetime64[ns]"), zone)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise ValueError(f"timezone: {zone!r} is not a time zone") from error
    series, rows = len(content["history_ids"]), len(times)
    counts = {"offsets": series + 1, "stat": series, "categories": series}
    counts |= dict.fromkeys(("target", "futr", "hist"), rows)
    for name, count in counts.items():
        if len(found := arrays[f"history.{name}"]) != count:
            raise ValueError(f"history.{name} has {len(found)} entries, expected {count}")
    parts: dict[str, Any] = {name: arrays[f"history.{name}"] for name in _ARRAYS_OF_HISTORY}
    return Panel(
        columns=Columns(**content["columns"]),
        ids=_array(content["history_ids"]),
        offsets=arrays["history.offsets"],
        times=times if frequency.is_integer else times.astype("datetime64[ns]"),
        **parts,
        frequency=frequency,
        **{name: content[name] for name in _PLAIN_OF_HISTORY},
    )


def _array(ids: list[Any]) -> NDArray[Any]:
    whole = all(isinstance(name, int) for name in ids)
    return np.array(ids, dtype=np.int64 if whole else object)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
