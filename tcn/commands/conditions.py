"""The condition that ``tcn generate`` hands to a net, from labels or from a file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from tcn.layers import SequenceModule


def condition_of(net: SequenceModule, given: Namespace, steps: int) -> Tensor | None:
    """The condition of ``given.count`` sounds of ``steps`` samples.

    Returns:
        ``(count, channels)``, or ``(count, channels, 1 + steps)``, whose first is that of the first
        sample; None for a net that takes none.

    Raises:
        ValueError: the net takes one and none is given, or the other way round; or what is given
            does not fit it.
    """
    channels = channels_of(net)
    asked = given.label is not None or given.condition is not None
    if channels is None:
        if asked:
            raise ValueError("condition: this net takes none; leave --label and --condition out")
        return None
    if not asked:
        raise ValueError(
            f"condition: this net takes one of {channels} channels; give --label, from 0 to "
            f"{channels - 1}, or --condition FILE"
        )
    if given.label is not None:
        return _one_hot(given.label, channels).expand(given.count, channels)
    read = _read(Path(given.condition))
    if read.shape[0] != channels or read.shape[1:] not in ((), (steps,)):
        raise ValueError(
            f"condition: {given.condition} has shape {tuple(read.shape)}; expected ({channels},), "
            f"or ({channels}, {steps}), one for each sample"
        )
    if read.dim() == 2:
        read = torch.cat([read[:, :1], read], dim=1)
    return read.expand(given.count, *read.shape)


def channels_of(net: SequenceModule) -> int | None:
    """How many channels of a condition the net reads; None if it takes none."""
    reading = (module for module in net.modules() if getattr(module, "reads_condition", False))
    first: Any = next(reading, None)
    return None if first is None else int(first.condition_channels)


def _one_hot(labels: list[int], channels: int) -> Tensor:
    for label in labels:
        if not 0 <= label < channels:
            raise ValueError(f"label: {label} is not from 0 to {channels - 1}")
    return torch.eye(channels)[labels]


def _read(path: Path) -> Tensor:
    """Numbers of a ``.npy`` or ``.csv`` file, finite, without running code in it."""
    try:
        if path.suffix == ".npy":
            values = numpy.load(path, allow_pickle=False).astype(numpy.float32)
        else:
            values = numpy.loadtxt(path, delimiter=",", dtype=numpy.float32)
    except (ValueError, EOFError) as error:
        raise ValueError(f"condition: {path} cannot be read as numbers ({error})") from error
    found = torch.from_numpy(numpy.atleast_1d(values))
    if found.dim() > 2 or not found.isfinite().all():
        raise ValueError(f"condition: {path} holds other than one or two axes of finite numbers")
    return found
