"""From the plain data that says how a net was built back to the net; see tcn.models.description.

Names lead to the public classes of this library and to nothing else.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from tcn import layers, models
from tcn.models.description import Opaque

CLASSES: dict[str, type[nn.Module]] = {
    name: found
    for package in (layers, models)
    for name in package.__all__
    if isinstance(found := getattr(package, name), type) and issubclass(found, nn.Module)
}
"""What ``"class": "..."`` means."""


def construct(description: Any, place: str) -> Any:
    """What a description describes.

    Args:
        description: as of :func:`tcn.models.description.describe`, checked against the schema.
        place: what it is part of, for errors.

    Raises:
        ValueError: if there is no such class, or it refuses its arguments.
    """
    if isinstance(description, list):
        return [construct(item, f"{place}[{index}]") for index, item in enumerate(description)]
    if not isinstance(description, dict):
        return description
    name = description["class"]
    if name not in CLASSES:
        raise ValueError(f"{place}: {name!r} is no class of this version of tcn")
    given: dict[str, Any] = description.get("arguments") or description.get("partial") or {}
    values = {key: construct(value, f"{place}.{key}") for key, value in given.items()}
    if "arguments" not in description:
        return functools.partial(CLASSES[name], **values) if values else CLASSES[name]
    try:
        return CLASSES[name](**values)
    except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{place}: {name} cannot be built: {reason}") from error


def refuse_opaque(description: Any, place: str = "net") -> None:
    """Refuses a description of something that is not plain data.

    Raises:
        ValueError: naming the argument.
    """
    if isinstance(description, Opaque):
        raise ValueError(
            f"{place}: {description} cannot be written to a file; use a name, a class of tcn, or "
            "functools.partial of one with keywords, such as partial(FiLM, condition_channels=16)"
        )
    if isinstance(description, list):
        for index, item in enumerate(description):
            refuse_opaque(item, f"{place}[{index}]")
    if isinstance(description, dict):
        for name, value in description.items():
            refuse_opaque(value, place if name == "arguments" else f"{place}.{name}")
