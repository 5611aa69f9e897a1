"""From the plain data that says how a net was built back to the net; see tcn.saving.description.

Names lead to the public classes of this library, to the activations of PyTorch that its containers
take, to classes that the program has registered, and to nothing else.
"""

from __future__ import annotations

import functools
import itertools
from inspect import isabstract
from typing import Any

from torch import nn

from tcn import layers, models, outputs
from tcn.layers.passing import POINTWISE
from tcn.saving.description import OWN, TORCH, Opaque, own

CLASSES: dict[str, type] = {
    name: found
    for package in (layers, models, outputs)
    for name in package.__all__
    if isinstance(found := getattr(package, name), type)
    and issubclass(found, nn.Module | outputs.Output)
    and not isabstract(found)
} | {f"{TORCH}{cls.__name__}": cls for cls in POINTWISE}
"""What ``"class": "..."`` means, in addition to classes that are registered."""


def construct(description: Any, place: str) -> Any:
    """What a description describes.

    Args:
        description: see :func:`tcn.saving.description.describe`; checked against the schema.
        place: what it is part of, for errors.

    Raises:
        ValueError: if there is no such class, or it cannot be built with its arguments.
    """
    if isinstance(description, list):
        return [construct(item, f"{place}[{index}]") for index, item in enumerate(description)]
    if not isinstance(description, dict):
        return description
    name = description["class"]
    cls = _class_of(name, place)
    given: dict[str, Any] = description.get("arguments") or description.get("partial") or {}
    values = {key: construct(value, f"{place}.{key}") for key, value in given.items()}
    if "arguments" not in description:
        return functools.partial(cls, **values) if values else cls
    ordered = [values.pop(key) for key in given if key.startswith("*")]
    try:
        return cls(*itertools.chain(*ordered), **values)
    except Exception as error:  # a custom class may raise any
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{place}: {name} cannot be built: {reason}") from error


def _class_of(name: str, place: str) -> type:
    cls = own(name) or CLASSES.get(name)
    if cls is not None:
        return cls
    if name.startswith(OWN):
        name = name.removeprefix(OWN)
        raise ValueError(
            f"{place}: {name!r} is not registered here; import the module that defines this class, "
            f'with @tcn.saving.register("{name}") before it'
        )
    raise ValueError(f"{place}: {name!r} is not a class of this version of tcn")


def refuse_opaque(description: Any, place: str = "net") -> None:
    """Refuses a description of something that is not plain data.

    Raises:
        ValueError: naming the argument.
    """
    if isinstance(description, Opaque):
        raise ValueError(
            f"{place}: {description} cannot be written to a file; use a name, a class of tcn, or "
            "functools.partial of one with keywords, such as partial(FiLM, condition_channels=16); "
            "put @tcn.saving.register before a class of your own"
        )
    if isinstance(description, list):
        for index, item in enumerate(description):
            refuse_opaque(item, f"{place}[{index}]")
    if isinstance(description, dict):
        for name, value in description.items():
            refuse_opaque(value, place if name == "arguments" else f"{place}.{name}")
