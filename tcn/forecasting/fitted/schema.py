"""The schema of ``forecaster.json``: see :mod:`tcn.forecasting.fitted.folder`."""

from __future__ import annotations

from typing import Any

from tcn.forecasting.intervals.levels import INTERVALS
from tcn.inference.pretrained import config_schema
from tcn.saving.folder import CHECKSUM, VERSIONS, tensors_schema

ARRAYS = "forecaster.safetensors"

_NAME = {"type": "string"}
_NAMES = {"type": "array", "items": _NAME}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31}
_COUNTS = {"type": "array", "items": _COUNT}
_IDS = {"type": "array", "items": {"type": ["integer", "string"]}}
_TEXT_OR_NONE = {"type": ["string", "null"]}
_FIELDS: dict[str, Any] = {
    "format": {"const": "tcn forecaster"},
    "format_version": {"enum": list(VERSIONS)},
    "tcn_version": _NAME,
    "parameters": {
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                {"type": ["null", "boolean", "number", "string"]},
                _NAMES,
                {"type": "object", "required": ["output"], "additionalProperties": False,
                 "properties": {"output": {"type": "object"}}},
                {"type": "object", "required": ["net"], "additionalProperties": False,
                 "properties": {"net": {"$ref": "#/$defs/object"}}},
            ]
        },
    },
    "library": {"enum": ["pandas", "polars", "pyarrow"]},
    "backbone": {"$ref": "#/$defs/object"},
    "sizes": {
        "type": "object",
        "additionalProperties": False,
        "required": ["h", "input_size"],
        "properties": {
            **dict.fromkeys(
                ("h", "input_size", "targets", "outputs", "past", "future", "static"), _COUNT
            ),
            "locations": _COUNTS,
            "categories": _COUNTS,
            "masked": {"type": "boolean"},
            "counts": {"type": "boolean"},
        },
    },
    "window_scaler": _NAME,
    "skip": _NAME,
    "output": {"type": "object"},
    "scaler": _NAME,
    "calendar": _NAMES,
    "intervals": {"enum": list(INTERVALS)},
    "calibration": _COUNT,
    "seed": {"type": "integer"},
    "report": {"type": "object", "additionalProperties": {"type": "number"}},
    "code_bound": {"type": ["number", "null"], "exclusiveMinimum": 0},
    "window_errors": {"type": "object", "additionalProperties": {"type": "number"}},
    "nonnegative": {"type": "array", "items": {"type": "boolean"}},
    "widening": {"type": "number", "minimum": 1, "maximum": 2},
    "columns": {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "time", "target"],
        "properties": {
            "id": _NAME,
            "time": _NAME,
            **dict.fromkeys(("target", "futr", "hist", "stat", "categorical"), _NAMES),
        },
    },
    "frequency": {"type": ["integer", "string"]},
    "timezone": _TEXT_OR_NONE,
    "unit": {"enum": ["s", "ms", "us", "ns", None]},
    "missing": {"enum": ["raise", "mask"]},
    "vocabularies": {
        "type": "object",
        "additionalProperties": {
            "type": "array", "items": {"type": ["boolean", "number", "string"]}
        },
    },
    "ids": _IDS,
    "history_ids": _IDS,
    "arrays": tensors_schema(ARRAYS),
}  # fmt: skip
_LATER = ("window_errors", "nonnegative", "widening", "code_bound")  # not in folders of version 0.1
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [name for name in _FIELDS if name not in _LATER],
    "additionalProperties": False,
    "properties": _FIELDS | {"checksum": CHECKSUM},
    "$defs": config_schema()["$defs"],
}
"""Schema of ``forecaster.json``, in the part of JSON schema that :mod:`tcn.saving.schema` knows."""
