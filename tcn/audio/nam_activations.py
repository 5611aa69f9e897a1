"""The names of activations in a .nam file, in both directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tcn.layers import FastTanh, LeakyHardtanh

PLAIN: dict[str, type[nn.Module]] = {
    "Tanh": nn.Tanh,
    "Hardtanh": nn.Hardtanh,
    "Fasttanh": FastTanh,
    "ReLU": nn.ReLU,
    "LeakyReLU": nn.LeakyReLU,
    "PReLU": nn.PReLU,
    "Sigmoid": nn.Sigmoid,
    "SiLU": nn.SiLU,
    "Hardswish": nn.Hardswish,
    "LeakyHardtanh": LeakyHardtanh,
    "Softsign": nn.Softsign,
}
"""What each name means."""
LARGEST = torch.finfo(torch.float32).max
_OTHER_CASE = {"LeakyHardTanh": "LeakyHardtanh"}
_LIMITS = ("min_val", "max_val", "min_slope", "max_slope")
_ENTRIES: dict[str, tuple[str, ...]] = {
    "Hardtanh": _LIMITS[:2],
    "LeakyReLU": ("negative_slope",),
    "PReLU": ("negative_slope", "negative_slopes"),
    "LeakyHardtanh": _LIMITS,
    "Softsign": ("alpha",),
}


def activation(described: Any, channels: int) -> nn.Module:
    """The activation that a file describes, by its name or as an object with a ``type``.

    Args:
        described: a text, or an object whose ``type`` is one.
        channels: that it is for.

    Raises:
        ValueError: if the name or an entry is unknown, or a value does not fit.
    """
    given = {"type": described} if isinstance(described, str) else dict(described)
    name = given.pop("type")
    name = _OTHER_CASE.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in PLAIN:
        raise ValueError(f"{str(name)[:40]!r} is not one of {', '.join(PLAIN)}; write one of these")
    for key, value in given.items():
        if key not in _ENTRIES.get(name, ()):
            raise ValueError(f"{key[:40]!r} is not an entry of {name}; leave it out")
        numbers: list[Any] = value if isinstance(value, list) else [value]
        for number in numbers:
            if type(number) not in (int, float) or not abs(number) <= LARGEST:
                raise ValueError(
                    f"{key}: {str(number)[:40]!r} is not a number that fits in float32; write one"
                )
    return _built(name, given, channels)


def _built(name: str, given: dict[str, Any], channels: int) -> nn.Module:
    if name == "PReLU":
        return _prelu(given, channels)
    if any(isinstance(value, list) for value in given.values()):
        raise ValueError(f"{name} takes a number for each entry, not a list; write one number")
    if name == "Softsign" and given.pop("alpha", 1) != 1:
        raise ValueError("alpha: Softsign is read with alpha 1 alone; leave it out")
    if name == "Hardtanh" and not given.get("min_val", -1) < given.get("max_val", 1):
        raise ValueError(
            f"min_val: {given.get('min_val', -1)} is not below max_val, {given.get('max_val', 1)}; "
            "exchange them"
        )
    return PLAIN[name](**given)


def _prelu(given: dict[str, Any], channels: int) -> nn.PReLU:
    slopes = given.get("negative_slopes", given.get("negative_slope", 0.25))
    slopes = slopes if isinstance(slopes, list) else [slopes]
    if len(given) > 1 or len(slopes) not in (1, channels):
        raise ValueError(
            f"negative_slopes: {len(slopes)} slopes for {channels} channels; give one for each, or "
            "one negative_slope"
        )
    made = nn.PReLU(len(slopes))
    with torch.no_grad():
        made.weight.copy_(torch.tensor(slopes, dtype=torch.float64))
    return made


def described(module: nn.Module) -> Any:
    """How a file describes an activation; a text unless it has settings of its own.

    Raises:
        ValueError: if a file has no name for it.
    """
    name = next((name for name, cls in PLAIN.items() if type(module) is cls), None)
    if name is None:
        raise ValueError(
            f"net: a .nam file has no name for {module}; use one of {', '.join(PLAIN)}"
        )
    if isinstance(module, nn.PReLU):
        return {"type": name, "negative_slopes": module.weight.tolist()}
    if isinstance(module, nn.LeakyReLU):
        return {"type": name, "negative_slope": module.negative_slope}
    if isinstance(module, nn.Hardtanh) and (module.min_val, module.max_val) != (-1, 1):
        return {"type": name} | {key: getattr(module, key) for key in _LIMITS[:2]}
    if isinstance(module, LeakyHardtanh):
        return {"type": name} | {key: getattr(module, key) for key in _LIMITS}
    return name
