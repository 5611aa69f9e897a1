"""Modules that know how they were built, and classes that a folder may name.

    net = SequenceModel(TCN(2, [4], 3), 1)
    net.construction ->
        {"class": "SequenceModel", "arguments": {"out_channels": 1, ...,
         "backbone": {"class": "TCN", "arguments": {"in_channels": 2, "channels": [4], ...}}}}

What is kept is plain data: names of classes, numbers, strings. A builder is kept where it is a
class or a ``functools.partial`` of one with keywords::

    modulation=partial(FiLM, condition_channels=16)
    -> {"class": "FiLM", "partial": {"condition_channels": 16}}

Parts that are given by position are kept in order, parts given by name by it::

    Concat(nn.Identity(), deep=chain)
    -> {"class": "Concat", "arguments": {"*modules": [{"class": "torch.nn.Identity", ...}],
                                         "deep": {"class": "Chain", ...}}}

So is an output of :mod:`tcn.outputs`, a dataclass: by its class and its fields.

Your own class is named once it is registered, with ``registered:`` before its name so that it is
never taken for one of the library::

    @tcn.saving.register("my_unet")
    class UNet(SequenceModule): ...
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from torch import nn

Arguments = ParamSpec("Arguments")
Registered = TypeVar("Registered", bound=type)

Description = Any
"""None, bool, int, float, str, a list or a dict of descriptions; or :class:`Opaque`."""

OWN = "registered:"
"""What stands before the name of your own class."""
TORCH = "torch.nn."
"""What stands before the name of one of PyTorch's activations."""
_OWN: dict[str, type] = {}


class Opaque(str):
    """How something prints that cannot be written as data."""

    __slots__ = ()


@overload
def register(name: Registered) -> Registered: ...
@overload
def register(name: str) -> Callable[[Registered], Registered]: ...
def register(name: Any) -> Any:
    """Lets nets of your own class be saved, and be loaded where the class is registered too.

    ::

        @tcn.saving.register("my_unet")  # or without a name: that of the class
        class UNet(SequenceModule):
            def __init__(self, channels, *, depth=3): ...

        save_pretrained(UNet(16), "folder")
        from_pretrained("folder")  # in a program that has imported the module of the class

    What the constructor is called with is recorded from now on: numbers, strings, None, lists,
    nets and layers of the library or registered ones, classes of those, and ``functools.partial``
    of such a class. The constructor is called on PyTorch's meta device too, when a net is saved and
    loaded, so it must not read values of tensors.

    A folder holds the name and these arguments; no code is in it, and none is looked for. The name
    alone tells classes apart: keep it when the class moves to another module.

    Args:
        name: under which it is saved, or the class itself.

    Returns:
        The class, or a decorator that returns it.

    Raises:
        TypeError: if it is neither a subclass of ``torch.nn.Module`` nor a dataclass.
        ValueError: if another class has that name.
    """
    if isinstance(name, str):
        return functools.partial(_register, name)
    return _register(getattr(name, "__name__", ""), name)


def _register(name: str, cls: Registered) -> Registered:
    is_module = isinstance(cls, type) and issubclass(cls, nn.Module)
    if not is_module and not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(
            f"cls: {cls!r} is neither a class of modules nor a dataclass; decorate one of "
            "torch.nn.Module, or an output that is a frozen dataclass"
        )
    if not name:
        raise ValueError("name: '' is not a name; write register('my_net')")
    before = _OWN.get(name)
    # The same class once more: a cell of a notebook, a module that is loaded anew.
    if before is not None and _path_of(before) != _path_of(cls):
        raise ValueError(
            f"name: {name!r} is that of {_path_of(before)}; register {_path_of(cls)} under another"
        )
    if is_module and ("__init__" in vars(cls) or not _is_recorded(cls)):
        init = cls.__init__  # type: ignore[misc]
        setattr(cls, "__init__", recorded(init))  # noqa: B010  # mypy: to assign is an error
    _OWN[name] = cls
    return cls


def own(name: str) -> type | None:
    """The registered class that a folder calls ``name``; None if there is none."""
    return _OWN.get(name.removeprefix(OWN)) if name.startswith(OWN) else None


def recorded(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorates an ``__init__``: ``net.construction`` is the call that built the net.

    A subclass with an ``__init__`` of its own that is not decorated has none.
    """
    if getattr(init, "is_recorded", False):
        return init
    signature = inspect.signature(init)

    @functools.wraps(init)
    def build(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> None:
        arguments = tuple(map(_plain, arguments))  # type: ignore[assignment]
        keywords = {name: _plain(value) for name, value in keywords.items()}  # type: ignore[assignment]
        init(*arguments, **keywords)
        net: Any = arguments[0]
        if type(net).__init__ is build:  # not the __init__ of a subclass that calls this one
            bound = signature.bind(*arguments, **keywords)
            bound.apply_defaults()
            net.construction = _built(type(net), _given(bound))

    build.is_recorded = True  # type: ignore[attr-defined]
    return build


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as Python's own, in lists too: a JSON file knows no others."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value


def describe(value: Any) -> Description:
    """A value as plain data, as far as possible."""
    value = _plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, type) and not isinstance(_name_of(value), Opaque):
        return {"class": _name_of(value)}
    if isinstance(value, functools.partial) and isinstance(value.func, type) and not value.args:
        return {"class": _name_of(value.func), "partial": _describe_all(value.keywords)}
    if isinstance(value, nn.Module):
        return _described(value)
    if dataclasses.is_dataclass(value) and not isinstance(_name_of(type(value)), Opaque):
        given = [field.name for field in dataclasses.fields(value) if field.init]
        return _built(type(value), {name: getattr(value, name) for name in given})
    return Opaque(repr(value)[:80])


def _described(module: nn.Module) -> Description:
    """How a module was built."""
    construction = getattr(module, "construction", None)
    if construction is not None:
        return construction
    cls = type(module)
    if isinstance(_name_of(cls), Opaque):
        return Opaque(repr(module)[:80])
    if cls.__init__ is nn.Module.__init__:
        return _built(cls, {})
    # PyTorch's activations keep their arguments under their names.
    names = inspect.signature(cls.__init__).parameters.keys() & vars(module).keys()
    return _built(cls, {name: vars(module)[name] for name in sorted(names)})


def _given(bound: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments by name, without ``self``; all that must be given by position as one list."""
    parameters = bound.signature.parameters
    kinds = {name: parameters[name].kind for name in list(bound.arguments)[1:]}
    rest = next((name for name, kind in kinds.items() if kind is kind.VAR_POSITIONAL), None)
    first = any(kind is kind.POSITIONAL_ONLY for kind in kinds.values())
    if first or (rest and bound.arguments[rest]):
        return {f"*{rest or 'arguments'}": list(bound.args[1:])} | bound.kwargs
    given = {name: bound.arguments[name] for name in kinds if name != rest}
    more = next((name for name, kind in kinds.items() if kind is kind.VAR_KEYWORD), None)
    return given if more is None else given | given.pop(more)


def _built(cls: type, arguments: Mapping[str, Any]) -> Description:
    return {"class": _name_of(cls), "arguments": _describe_all(arguments)}


def _describe_all(values: Mapping[str, Any]) -> dict[str, Description]:
    return {name: describe(value) for name, value in values.items()}


def _name_of(cls: type) -> str:
    """What a folder calls a class; :class:`Opaque` if it has no name for it."""
    registered = next((name for name, known in _OWN.items() if known is cls), None)
    if registered is not None:
        return OWN + registered
    if cls.__module__.partition(".")[0] == "tcn":
        return cls.__name__
    if cls.__module__ == "torch.nn.modules.activation" or cls is nn.Identity:
        return TORCH + cls.__name__
    return Opaque(_path_of(cls))


def _is_recorded(cls: type) -> bool:
    return getattr(cls.__init__, "is_recorded", False)  # type: ignore[misc]


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
