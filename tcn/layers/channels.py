"""How many channels a net of modules takes and returns, where its parts say so."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tcn.layers.validation import is_integer


def taken(module: nn.Module) -> int | None:
    """Channels that a module takes, None if it takes any number."""
    return _named(module, "in_channels", "channels", "num_features")


def returned(module: nn.Module, given: int | None) -> int | None:
    """Channels that a module returns for ``given`` channels, None if they are not known."""
    if _changes(module):
        return None if given is None else module.channels_after(given)  # type: ignore[operator]
    own = _named(module, "out_channels", "channels", "num_features")
    return given if own is None else own


def in_series(modules: Sequence[nn.Module]) -> tuple[int | None, int | None]:
    """Channels into the first and out of the last of a chain."""
    first = next((m for m in modules if taken(m) is not None or _changes(m)), None)
    in_channels = None if first is None else taken(first)
    channels = in_channels
    for module in modules:
        unknown = channels is None and _changes(module)
        channels = None if unknown else returned(module, channels)
    return in_channels, channels


def side_by_side(modules: Sequence[nn.Module]) -> tuple[int | None, list[int | None]]:
    """Channels into all branches of a join, and out of each."""
    in_channels = next((taken(m) for m in modules if taken(m) is not None), None)
    return in_channels, [returned(module, in_channels) for module in modules]


def _changes(module: nn.Module) -> bool:
    """Whether a module returns another number of channels without saying one."""
    return hasattr(module, "channels_after")


def _named(module: nn.Module, *names: str) -> int | None:
    values = (getattr(module, name, None) for name in names)
    return next((v for v in values if is_integer(v)), None)
