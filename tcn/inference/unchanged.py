"""Whether a net is what its construction says, but for the values of its tensors."""

from __future__ import annotations

import dataclasses
import types
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

_OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"construction"}
"""Parameters, buffers and parts, which are compared elsewhere, hooks, and the mode."""


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; one that two modules share comes once."""
    unique: dict[int, str] = {}
    state = net.state_dict(keep_vars=True)
    for name, tensor in state.items():
        unique.setdefault(id(tensor), name)
    return {name: state[name] for name in unique.values()}


def mismatch(found: dict[str, Tensor], net: nn.Module) -> str | None:
    """The first difference between tensors and those that a net takes."""
    wanted = tensors_of(net)
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is not expected"
        a, b = found[name], wanted[name]
        is_average = (
            not isinstance(b, nn.Parameter) and b.is_floating_point() and a.is_floating_point()
        )
        if a.shape != b.shape or (a.dtype != b.dtype and not is_average):
            return f"{name} is {a.dtype} {tuple(a.shape)}, expected {b.dtype} {tuple(b.shape)}"
    return None


def difference(net: nn.Module, anew: nn.Module) -> str | None:
    """The first thing in which a net differs from one built anew; None if there is none.

    Compared are what both print and every plain attribute of every module: numbers, texts, types,
    named functions, None, and what is made of them. An attribute that only ``net`` has counts where
    its class has one of that name too: no code of the class knows the others.

    Args:
        net: as it is now.
        anew: with the same names and shapes of tensors.
    """
    return _in_print(str(net), str(anew)) or _in_attributes(net, anew)


def _in_print(found: str, anew: str) -> str | None:
    for line, built in zip_longest(found.splitlines(), anew.splitlines(), fillvalue=""):
        if line != built:
            return f"it prints {line.strip()!r}, built anew {built.strip()!r}"
    return None


def _in_attributes(net: nn.Module, anew: nn.Module) -> str | None:
    others = dict(anew.named_modules())
    for name, module in net.named_modules():
        other = others.pop(name, None)
        where = f"{name}." if name else ""
        if type(other) is not type(module):
            return f"{name} is a {type(module).__name__}, built anew a {type(other).__name__}"
        found, built = _attributes(module), _attributes(other)
        for key in sorted(found.keys() | built.keys()):
            if key not in built and not hasattr(type(module), key):
                continue
            a, b = (each.get(key, _Absent) for each in (found, built))
            if (_is_plain(a) or _is_plain(b)) and not _same(a, b):
                return f"{where}{key} is {_text(a)}, built anew {_text(b)}"
    return f"{next(iter(others))} is missing" if others else None


class _Absent:
    """Stands for an attribute that is not there."""


def _attributes(module: nn.Module | None) -> dict[str, Any]:
    """What a module has of its own, apart from what any module has."""
    return {
        name: value
        for name, value in vars(module).items()
        if name not in _OF_EVERY_MODULE and not hasattr(nn.Module, name)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return "<" not in value.__qualname__  # a lambda is another one in every net
    return value is None or isinstance(
        value, bool | int | float | complex | str | bytes | type | torch.dtype
    )


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)  # NaN


def _text(value: Any) -> str:
    return "absent" if value is _Absent else repr(value)[:80]
