"""From a .nam file to a net of this library."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from os import PathLike
from typing import Any

import torch
from torch import nn

from tcn.audio import nam_file
from tcn.audio.nam_activations import activation
from tcn.audio.nam_file import SAMPLE_RATE, Model
from tcn.audio.nam_schema import LONGEST
from tcn.audio.nam_wavenet import check_groups, wavenet
from tcn.audio.nam_weights import pieces
from tcn.layers import BatchNorm, Chain, Conv1d, SequenceModule
from tcn.models import Capture, StartedLSTM


def load_nam(path: str | PathLike[str], *, width: float | None = None) -> Capture:
    """The net of a .nam file, versions 0.5.0 to 0.7.0, in evaluation mode.

    ::

        amplifier = load_nam("amplifier.nam")
        wet = amplifier(dry)  # (batch, 1, time) at amplifier.sample_rate

    Architectures: ``WaveNet`` (A1 and A2), ``LSTM``, ``ConvNet``, ``Linear`` and
    ``SlimmableContainer``. A slimmable layer is read at its full width. ``Fasttanh`` is the
    polynomial of that name; ``Tanh`` is always tanh, which some players replace by it.

    Args:
        path: of the file.
        width: of a container, between 0 and 1: the first model whose ``max_value`` is above it;
            the last one, which is the largest, unless given.

    Returns:
        The net, which keeps sample rate and metadata.

    Raises:
        ValueError: if the file is not read, naming the place, what stands there and the cure.
    """
    model = nam_file.read(path)
    metadata = model.metadata
    if model.architecture == "SlimmableContainer":
        model = _chosen(model, width)
        metadata = metadata | model.metadata
    elif width is not None:
        raise ValueError(f"width: {width}, but {path} holds a single net; leave it out")
    net = net_of(model)
    rate = SAMPLE_RATE if model.sample_rate is None else model.sample_rate
    try:
        said = json.dumps(metadata, allow_nan=False)
    except ValueError:
        raise model.refuse("metadata", "a number that is too large", "correct it") from None
    with model_errors(model, "config"):
        capture = Capture(net, sample_rate=rate, metadata=said)
    return capture.eval()


def net_of(model: Model) -> SequenceModule:
    """The net of a model with its weights.

    Raises:
        ValueError: if config and weights do not fit each other.
    """
    if model.architecture == "SlimmableContainer":
        raise model.refuse("architecture", "a container inside a net", "name a net here")
    with model_errors(model, "config"), torch.random.fork_rng(devices=[]):
        net = _BUILD[model.architecture](model)
    left = net.reach[-1].left
    if LONGEST < left < math.inf:
        raise model.refuse("config", f"{left + 1} samples seen", f"at most {LONGEST} are read")
    _fill(net, model)
    return net


@contextmanager
def model_errors(model: Model, where: str) -> Iterator[None]:
    """Names the file in what building a net refuses."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if str(error).startswith(model.place):
            raise
        raise ValueError(f"{model.place}{where}: {error}") from error


def _chosen(container: Model, width: float | None) -> Model:
    """The model of a container for a width; all of them are checked."""
    submodels = container.config["submodels"]
    limits = [entry["max_value"] for entry in submodels]
    rising = all(a < b for a, b in pairwise(limits))
    if not limits or not rising or limits[-1] < 1:
        raise container.refuse(
            "config.submodels", f"max_value {limits}", "sort them, and let the last be 1.0"
        )
    if len(container.weights):
        raise container.refuse(
            "weights", f"{len(container.weights)} numbers in a container", "leave them out"
        )
    models = [
        nam_file.model(entry["model"], f"{container.place}config.submodels[{index}].model.")
        for index, entry in enumerate(submodels)
    ]
    for model in models:
        known = {model.sample_rate, container.sample_rate} - {None}
        if len(known) > 1:
            raise model.refuse("sample_rate", f"{model.sample_rate}", "write the container's")
        net_of(model)
    if width is None:
        return _rated(models[-1], container)
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 <= width <= 1:
        raise ValueError(f"width: {width!r} is not between 0 and 1; give one such as 0.5")
    index = next((i for i, limit in enumerate(limits) if width < limit), len(models) - 1)
    return _rated(models[index], container)


def _rated(model: Model, container: Model) -> Model:
    return model if model.sample_rate is not None else model._replace(
        sample_rate=container.sample_rate
    )  # fmt: skip


@torch.no_grad()
def _fill(net: SequenceModule, model: Model) -> None:
    parts = list(pieces(net))
    expected, found = sum(part.numbers.numel() for part in parts), len(model.weights)
    if expected != found:
        raise model.refuse(
            "weights",
            f"{found} numbers for a net that takes {expected}",
            "config and weights are not of one export: export the file again",
        )
    split = model.weights.split([part.numbers.numel() for part in parts])
    for part, numbers in zip(parts, split, strict=True):
        if part.fill is not None:
            part.fill(numbers.view(part.numbers.shape))


# ------------------------------------------------------------------ nets by architecture


def _linear(model: Model) -> SequenceModule:
    return Conv1d(1, 1, model.config["receptive_field"], bias=model.config["bias"])


def _lstm(model: Model) -> SequenceModule:
    hidden = model.config["hidden_size"]
    _check_budget(model, 4 * hidden * hidden * model.config["num_layers"])
    return Chain(StartedLSTM(1, hidden, model.config["num_layers"]), Conv1d(hidden, 1, 1))


def _convnet(model: Model) -> SequenceModule:
    config: dict[str, Any] = model.config
    channels, groups, norm = config["channels"], config.get("groups", 1), config["batchnorm"]
    check_groups(groups, 1, channels)
    _check_budget(model, channels * len(config["dilations"]))
    parts: list[nn.Module] = []
    given, position = 1, 0
    for dilation in config["dilations"]:
        size = 2 * given * channels // groups  # the kernel is always 2
        position += size
        _check_budget(model, position)
        parts.append(
            Conv1d(given, channels, 2, dilation=dilation, groups=groups, bias=not norm)
        )  # fmt: skip
        position += channels
        if norm:
            position += 3 * channels + 1
            _check_budget(model, position)
            parts.append(BatchNorm(channels, epsilon=float(model.weights[position - 1])))
        parts.append(activation(config["activation"], channels))
        given = channels
    return Chain(*parts, Conv1d(given, 1, 1))


def _check_budget(model: Model, needed: int) -> None:
    """Refuses to build layers that the weights cannot fill, before their memory is asked for."""
    if needed > len(model.weights):
        raise ValueError(
            f"at least {needed} weights are needed and there are {len(model.weights)}; export the "
            "file again"
        )


_BUILD = {
    "WaveNet": lambda model: wavenet(model, net_of),
    "LSTM": _lstm,
    "ConvNet": _convnet,
    "Linear": _linear,
}
