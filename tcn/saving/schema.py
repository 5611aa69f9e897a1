"""Plain data: read from JSON, and checked against as much of JSON schema as our own schemas use.

``$ref`` within the schema, ``anyOf``, ``const``, ``enum``, ``type``, ``minimum``, ``maximum``,
``pattern``, ``required``, ``properties``, ``additionalProperties``, ``items`` and ``maxItems`` of
draft 2020-12.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

Schema = Any
"""A dict, or False where nothing is allowed."""

_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


DEEPEST = 128
"""Levels of lists and objects in each other: a U-Net of eight scales has 50."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text; constants that are not JSON are refused.

    Raises:
        ValueError: if it is not JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def first_error(value: Any, schema: Schema) -> str | None:
    """Where and why a value does not fit, such as ``net.class: 3 is not string``; None if it does.

    Args:
        value: what :func:`parse` returned.
        schema: the whole schema, to whose ``$defs`` a ``$ref`` leads.
    """
    if _is_deeper(value, DEEPEST):
        return f"the file: lists and objects in each other, more than {DEEPEST} levels deep"
    return next(_errors(value, schema, schema, ""), None)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than that many levels."""
    level = [value]
    for _ in range(levels + 1):
        containers = [item for item in level if isinstance(item, list | tuple | dict)]
        if not containers:
            return False
        parts = (each.values() if isinstance(each, dict) else each for each in containers)
        level = [item for part in parts for item in part]
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _errors(value: Any, schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if schema is False:
        yield f"{place} is not known"
        return
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    name = place or "the file"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{name}: {_short(value)} is not {schema['const']!r}"
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        yield f"{name}: {_short(value)} is not one of {', '.join(map(repr, schema['enum']))}"
    if "type" in schema and not _is_of(value, schema["type"]):
        yield f"{name}: {str(value)[:40]!r} is not {schema['type']}"
    if "minimum" in schema and _is_of(value, "number") and value < schema["minimum"]:
        yield f"{name}: {str(value)[:40]} is below {schema['minimum']}"
    if "maximum" in schema and _is_of(value, "number") and value > schema["maximum"]:
        yield f"{name}: {str(value)[:40]} is above {schema['maximum']}"
    if "maxItems" in schema and isinstance(value, list) and len(value) > schema["maxItems"]:
        yield f"{name}: {len(value)} items are more than {schema['maxItems']}"
        return  # to look at each of them may take minutes
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{name}: {value[:80]!r} does not match {schema['pattern']}"
    if "anyOf" in schema:
        # No more than the first error of each, or the time multiplies from level to level.
        options = (next(_errors(value, each, root, place), None) for each in schema["anyOf"])
        errors = list(takewhile(lambda error: error is not None, options))
        if len(errors) == len(schema["anyOf"]):
            yield max(filter(None, errors), key=_depth)
    yield from _errors_inside(value, schema, root, place)


def _errors_inside(value: Any, schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _errors(item, schema["items"], root, f"{place}[{index}]")
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key in schema.get("required", ()):
            if key not in value:
                yield f"{f'{place}.{key}' if place else key} is missing"
        for key, item in value.items():
            inside = f"{place}.{key}" if place else key
            yield from _errors(item, known.get(key, others), root, inside)


def _short(value: Any) -> str:
    """As Python writes it; of what is long the beginning."""
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:80]}..."


def _depth(error: str) -> int:
    """How deep an error lies: the deepest is that of the alternative which was meant."""
    place = error.partition(":")[0]
    return place.count(".") + place.count("[")


def _is_of(value: Any, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    if isinstance(value, bool):  # to Python an integer, to JSON none
        return "boolean" in names
    whole = isinstance(value, float) and value.is_integer() and "integer" in names
    return whole or any(isinstance(value, _TYPES[name]) for name in names)


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)
