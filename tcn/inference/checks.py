"""What a session refuses before anything advances, so that no push is left half done."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from tcn.inference.finite import all_finite, refuse_not_finite
from tcn.layers import SequenceModule
from tcn.layers.compiled import uncompiled


def check_net(net: SequenceModule) -> SequenceModule:
    """Refuses a net that cannot stream, or not as it is.

    Returns:
        The net, or that inside ``torch.compile(net)``.

    Raises:
        TypeError: if it is not a sequence module, or one that cannot stream, with the reason.
        ValueError: if it is in training mode.
    """
    net = uncompiled(net)
    if not isinstance(net, SequenceModule):
        raise TypeError(
            f"net: {type(net).__name__} is not a tcn.layers.SequenceModule; use a net of "
            "tcn.models or a subclass"
        )
    obstacles = net.streaming_obstacles()
    if obstacles:
        raise TypeError(
            f"net: {type(net).__name__} cannot stream: {'; '.join(obstacles)}; use forward() on "
            "whole sequences, or build the net without it"
        )
    if any(module.training for module in net.modules()):
        raise in_training(net)
    return net


def check_rate(net: SequenceModule) -> None:
    """Refuses a net that does not have an output for every step as soon as it comes.

    Raises:
        ValueError: naming the net.
    """
    if net.preserves_length:
        return
    if any(net.out_steps(steps) != steps for steps in range(1, net.block_size + 1)):
        raise ValueError(
            f"net: {type(net).__name__} has a stride or an up-sampling, so not every step has an "
            "output from which the next one could be made; generate with a net that has one, or "
            "join a branch of every step (Add, Concat)"
        )


def in_training(net: SequenceModule) -> ValueError:
    """The error for a net that would drop out, or average over the batch, in a live stream."""
    return ValueError(
        f"net: {type(net).__name__} (or a part of it) is in training mode, in which its outputs "
        "are random or depend on the other rows; call net.eval() first"
    )


def takes_tokens(net: SequenceModule) -> bool:
    """Whether the input is tokens, which the net embeds."""
    return getattr(net, "embedding", None) is not None


def input_dtype(net: SequenceModule) -> torch.dtype:
    """The type of a chunk."""
    return torch.int64 if takes_tokens(net) else float_dtype(net)


def float_dtype(net: SequenceModule) -> torch.dtype:
    """The type that the net computes in, and of a condition: a spectrogram has buffers alone."""
    parts = (part.dtype for part in chain(net.parameters(), net.buffers()))
    found = (dtype for dtype in parts if dtype.is_floating_point)
    return next(found, torch.get_default_dtype())


def check_tensor(name: str, x: object) -> None:
    """Refuses what is not a tensor, and a tensor whose values cannot be read.

    Raises:
        TypeError: naming the argument.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {type(x).__name__} is not a tensor; use torch.as_tensor({name})")
    if x.is_meta or x.layout is not torch.strided:
        raise TypeError(
            f"{name}: a tensor of {x.layout} on {x.device}; pass a dense one that has values"
        )


def check_noise(net: SequenceModule, noise: Tensor, rows: int) -> None:
    """Refuses noise that is not ``(steps, rows, vocabulary)``, where the net says the last.

    Raises:
        TypeError: if it is not a tensor.
        ValueError: naming the shapes.
    """
    check_tensor("noise", noise)
    vocabulary = getattr(net, "out_channels", None)
    expected = (rows, noise.shape[-1] if vocabulary is None else vocabulary)
    if noise.dim() != 3 or noise.shape[1:] != expected:
        raise ValueError(
            f"noise: shape {tuple(noise.shape)}; expected (steps, {', '.join(map(str, expected))})"
        )


def check_chunk(
    net: SequenceModule, x: Tensor, rows: int, dtype: torch.dtype, device: torch.device
) -> None:
    """Refuses a chunk that is not ``rows`` rows of at least one step of this net's input.

    Raises:
        TypeError: if it is not a tensor.
        ValueError: naming what was given and what is expected.
    """
    check_tensor("chunk", x)
    sizes: tuple[str | int, ...] = ("height", "time")[-net.ndim :]
    channels = getattr(net, "in_channels", None)
    expected = (rows, *sizes) if takes_tokens(net) else (rows, channels or "channels", *sizes)
    fits = x.dim() == len(expected) and all(
        isinstance(size, str) or size == given
        for given, size in zip(x.shape, expected, strict=True)
    )
    if not fits:
        shape = ", ".join(map(str, expected))
        raise ValueError(
            f"chunk: shape {tuple(x.shape)} for {rows} rows of {type(net).__name__}; expected "
            f"({shape})"
        )
    if x.shape[-1] == 0:
        raise ValueError(
            f"chunk: no step in shape {tuple(x.shape)}; skip the call when nothing has arrived"
        )
    if x.dtype != dtype or x.device != device:
        raise ValueError(
            f"chunk: {x.dtype} on {x.device}, the net takes {dtype} on {device}; use "
            f"chunk.to({str(device)!r}, {dtype})"
        )


def check_condition(
    net: SequenceModule, condition: Tensor, rows: int, index: Tensor | None
) -> None:
    """Refuses a condition of another number of rows or type, or that is not finite.

    Args:
        net: the net.
        condition: ``(rows, channels, ...)``.
        rows: how many rows the chunk has.
        index: their numbers in the session; None for all in order.

    Raises:
        TypeError: if it is not a tensor.
        ValueError: naming the numbers of rows, the types, or row, channel and step of the value.
    """
    check_tensor("condition", condition)
    if condition.dim() < 2:
        raise ValueError(
            f"condition: shape {tuple(condition.shape)}; expected (rows, channels) or one per step"
        )
    if len(condition) != rows:
        raise ValueError(
            f"condition: {len(condition)} rows for a chunk of {rows}; give one condition per row"
        )
    dtype = float_dtype(net)
    if condition.dtype != dtype:
        raise ValueError(
            f"condition: {condition.dtype}, the net takes {dtype}; use condition.to({dtype})"
        )
    if not all_finite(condition):
        index = torch.arange(rows) if index is None else index
        refuse_not_finite("condition", condition, index, "a condition must be finite")
