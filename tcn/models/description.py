"""Nets that know how they were built, so that a file can say it.

    net = SequenceModel(TCN(2, [4], 3), 1)
    net.construction ->
        {"class": "SequenceModel", "arguments": {"out_channels": 1, ...,
         "backbone": {"class": "TCN", "arguments": {"in_channels": 2, "channels": [4], ...}}}}

What is kept is plain data: names of this library's classes, numbers, strings. A builder is kept
where it is a class or a ``functools.partial`` of one with keywords::

    modulation=partial(FiLM, condition_channels=16)
    -> {"class": "FiLM", "partial": {"condition_channels": 16}}
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from torch import nn

from tcn.layers import Dropout

Arguments = ParamSpec("Arguments")

Description = Any
"""None, bool, int, float, str, a list or a dict of descriptions; or :class:`Opaque`."""


class Opaque(str):
    """How something prints that cannot be written down as data."""

    __slots__ = ()


def recorded(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorates an ``__init__``: ``net.construction`` is the call that built the net.

    A subclass with an ``__init__`` of its own that is not decorated has none.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def build(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> None:
        arguments = tuple(map(_plain, arguments))  # type: ignore[assignment]
        keywords = {name: _plain(value) for name, value in keywords.items()}  # type: ignore[assignment]
        init(*arguments, **keywords)
        bound = signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        (_, net), *given = bound.arguments.items()
        if type(net).__init__ is build:  # not the __init__ of a subclass that calls this one
            net.construction = _built(type(net), dict(given))

    return build


def describe(value: Any) -> Description:
    """A value as plain data, as far as possible."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, type) and _is_ours(value):
        return {"class": value.__name__}
    if isinstance(value, functools.partial) and _is_ours(value.func) and not value.args:
        return {"class": value.func.__name__, "partial": _describe_all(value.keywords)}
    if isinstance(value, Dropout):
        settings = {"probability": value.probability, "spatial": value.spatial}
        return _built(type(value), settings)
    if isinstance(value, nn.Module) and hasattr(value, "construction"):
        return value.construction
    return Opaque(repr(value)[:80])


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as Python's own, in lists too: a JSON file knows no others."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value


def _built(cls: type, arguments: Mapping[str, Any]) -> Description:
    known = _is_ours(cls)
    name = cls.__name__ if known else Opaque(f"{cls.__module__}.{cls.__qualname__}")
    return {"class": name, "arguments": _describe_all(arguments)}


def _describe_all(values: Mapping[str, Any]) -> dict[str, Description]:
    return {name: describe(value) for name, value in values.items()}


def _is_ours(cls: Any) -> bool:
    return isinstance(cls, type) and cls.__module__.partition(".")[0] == "tcn"
