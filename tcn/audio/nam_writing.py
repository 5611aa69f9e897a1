"""From a net of this library to a .nam file, of the oldest version that can hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tcn.audio.nam_activations import described
from tcn.audio.nam_file import LARGEST_FILE, model
from tcn.audio.nam_reading import net_of
from tcn.audio.nam_schema import MOST_MODELS
from tcn.audio.nam_wavenet_writing import wavenet_config, wavenet_version
from tcn.audio.nam_weights import pieces
from tcn.layers import BatchNorm, Conv1d, SequenceModule
from tcn.layers.validation import as_float
from tcn.models import Capture, NAMWaveNet, StartedLSTM
from tcn.saving.files import replacing, write_bytes
from tcn.saving.schema import DEEPEST, first_error


def save_nam(
    net: Capture,
    path: str | PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    narrower: Mapping[float, Capture] | None = None,
) -> Path:
    """Writes a .nam file, which :func:`load_nam` reads back equal, weight for weight.

    The version is 0.5.4 for what the first architecture can do, 0.6.0 for a net of the condition,
    scaling and shifting, groups, a bottleneck, and activations or gates of their own for each
    layer, 0.7.0 for kernels of their own, heads with a kernel, an output head, and containers. That
    a layer was slimmable is not kept: it is written at its full width.

    Args:
        net: in float32, such as :func:`load_nam` returned, or ``Capture(NAMWaveNet(...))``.
        path: of the file, which is whole or what it was before, whatever happens meanwhile.
        metadata: entries in place of those of ``net.metadata``.
        narrower: nets beside it in a ``SlimmableContainer``, by the width below which each plays;
            ``net`` is the one of the full width.

    Returns:
        The path.

    Raises:
        TypeError: if a net is not a :class:`Capture`, or ``metadata`` or ``narrower`` no mapping.
        ValueError: if a file has no place for something in a net, a weight is not finite, a width
            or the number of nets is not possible, or ``metadata`` is not JSON.
    """
    file = Path(path)
    for name, given in (("metadata", metadata), ("narrower", narrower)):
        if not isinstance(given, Mapping | None):
            raise TypeError(f"{name}: {type(given).__name__} is not a mapping; give a dict")
    content = _described(net) if not narrower else _container(net, narrower)
    content["metadata"] |= metadata or {}
    data = _bytes_of(content)
    if len(data) > LARGEST_FILE:
        raise ValueError(
            f"net: a file of {len(data)} bytes is more than is read; give fewer weights"
        )
    with replacing(file) as desk:
        write_bytes(desk, data)
    return file


def _bytes_of(content: dict[str, Any]) -> bytes:
    """The text of a file, in which metadata is all that has not been looked at."""
    if first_error(content, {}) is not None:
        raise ValueError(
            f"metadata: lists and dicts in each other, so that the file would be more than "
            f"{DEEPEST} levels deep; give flatter ones"
        )
    try:
        return json.dumps(content, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"metadata: {error}; give texts, finite numbers, lists and dicts"
        ) from error


def _described(capture: Capture) -> dict[str, Any]:
    if not isinstance(capture, Capture):
        raise TypeError(
            f"net: {type(capture).__name__} is not a Capture; wrap it: Capture(net, "
            "sample_rate=48000)"
        )
    content = _model(capture.net, capture.sample_rate)
    return content | {"metadata": capture.metadata}


def _container(net: Capture, narrower: Mapping[float, Capture]) -> dict[str, Any]:
    if not all(_is_width(width) for width in narrower):
        raise ValueError(
            f"narrower: widths {[*narrower]} are not all numbers between 0 and 1; choose others"
        )
    if len(narrower) >= MOST_MODELS:
        raise ValueError(
            f"narrower: {len(narrower)} nets; a file has room for {MOST_MODELS - 1} beside net"
        )
    widths = sorted(narrower)
    captures = [*(narrower[width] for width in widths), net]
    parts = [_described(capture) for capture in captures]
    if len({capture.sample_rate for capture in captures}) > 1:
        raise ValueError("narrower: its nets have other sample rates than net; give them the same")
    submodels = [
        {"max_value": float(width), "model": entry}
        for width, entry in zip([*widths, 1.0], parts, strict=True)
    ]
    return {
        "version": "0.7.0",
        "architecture": "SlimmableContainer",
        "config": {"submodels": submodels},
        "weights": [],
        "sample_rate": net.sample_rate,
        "metadata": net.metadata,
    }


def _is_width(width: object) -> bool:
    return isinstance(width, Real) and 0 < as_float(width) < 1


def _model(net: SequenceModule, sample_rate: float) -> dict[str, Any]:
    """What a file says of a net, without metadata."""
    weights = [weight for piece in pieces(net) for weight in _floats(piece.numbers)]
    version = "0.5.4"
    if isinstance(net, NAMWaveNet):
        architecture, config = "WaveNet", wavenet_config(net)
        version = wavenet_version(config)
        if net.condition is not None:
            config["condition_dsp"] = _model(net.condition, sample_rate)
            version = max(version, config["condition_dsp"]["version"])
    elif isinstance(net, Conv1d):
        architecture, config = "Linear", _linear(net)
    elif isinstance(net[0], StartedLSTM):  # type: ignore[index]
        architecture, config = "LSTM", _lstm(net)
    else:
        architecture, config = "ConvNet", _convnet(net)
        plain = isinstance(config["activation"], str) and config["groups"] == 1
        version = version if plain else "0.6.0"
    content = {
        "version": version,
        "architecture": architecture,
        "config": config,
        "weights": weights,
        "sample_rate": sample_rate,
    }
    _check_read_back(net, content)
    return content


def _check_read_back(net: SequenceModule, content: dict[str, Any]) -> None:
    """Refuses to write what a reader would refuse, or would take for another net.

    It finds biases, kernels and groups that a file has no place for.
    """
    try:
        other = net_of(model(content, "net: "))
    except ValueError as error:
        raise ValueError(f"{error}; give all parts the form that load_nam gives them") from error
    shapes = [[piece.numbers.shape for piece in pieces(each)] for each in (net, other)]
    if shapes[0] != shapes[1] or net.receptive_field != other.receptive_field:
        raise ValueError(
            "net: a part has a bias, groups, a kernel or a dilation for which a .nam file has no "
            "place; give all parts the form that load_nam gives them"
        )


def _floats(numbers: Tensor) -> list[float]:
    """Numbers that float32 holds."""
    kept = numbers.detach().cpu()
    if kept.dtype != torch.float32 or not bool(kept.isfinite().all()):
        raise ValueError(
            f"net: weights of {kept.dtype}, or one that is not finite; a .nam file holds finite "
            "float32: use net.float(), or train again"
        )
    return kept.flatten().tolist()


def _linear(net: Conv1d) -> dict[str, Any]:
    if net.dilation != (1,):
        raise ValueError("net: a Linear of a .nam file has no dilation; build it without")
    return {"receptive_field": net.kernel_size[0], "bias": net.bias is not None}


def _lstm(net: Any) -> dict[str, Any]:
    inner = net[0].recurrence
    return {
        "input_size": 1,
        "hidden_size": inner.hidden_size,
        "num_layers": inner.num_layers,
    }


def _convnet(net: Any) -> dict[str, Any]:
    """Of convolution, batch norm or none, and activation, repeated, and a 1x1 head."""
    *parts, head = list(net)
    step = 3 if len(parts) > 1 and isinstance(parts[1], BatchNorm) else 2
    convolutions, acts = parts[::step], parts[step - 1 :: step]
    first = convolutions[0] if convolutions else head
    shaped = convolutions != [] and len(parts) % step == 0 and isinstance(head, Conv1d)
    shaped = shaped and all(isinstance(each, Conv1d) for each in convolutions)
    shaped = shaped and (step == 2 or all(isinstance(p, BatchNorm) for p in parts[1::3]))
    texts = [json.dumps(described(act)) for act in acts] if shaped else []
    shapes = {(c.out_channels, c.groups, c.kernel_size) for c in convolutions} if shaped else set()
    if not shaped or len(set(texts)) != 1 or shapes != {(first.out_channels, first.groups, (2,))}:
        raise ValueError(
            "net: a ConvNet of a .nam file is convolutions of kernel 2 and one width, each with a "
            "batch norm or none and one kind of activation, and a 1x1 convolution; build it so"
        )
    return {
        "channels": first.out_channels,
        "dilations": [c.dilation[0] for c in convolutions],
        "batchnorm": step == 3,
        "activation": json.loads(texts[0]),
        "groups": first.groups,
    }
