"""What the values of an image may be, by the output that a net of pixels has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tcn.layers.validation import SIZE_NAMES
from tcn.outputs import Logistics, MuLaw, Output
from tcn.outputs import output as output_of
from tcn.outputs.checks import can_be_looked_at

LEVELS = 256
"""What a value of an image of 8 bits may be."""


def gives_probabilities(output: Output) -> bool:
    """Whether the output gives each value of a pixel a probability, rather than a density.

    Those of mu-law are of levels that lie closer together near 0, as those of images do not.
    """
    return output.support in ("binary", "class", "unit") and not isinstance(output, MuLaw)


def output_for_images(given: str | Output) -> Output:
    """The output, if it is one for values of images.

    Raises:
        TypeError: neither a name nor an output.
        ValueError: no output has this name, it is of sound by default, its targets are other
            numbers or several together, or it has weights of its own.
    """
    found = output_of(given, "output")
    if isinstance(given, str) and isinstance(found, Logistics):
        raise ValueError(
            f"output: {given!r} means levels={found.levels}, those of sound; give "
            f"tcn.outputs.Logistics(levels={LEVELS}) for images of 8 bits"
        )
    if not gives_probabilities(found) or found.event is not None or isinstance(found, nn.Module):
        raise ValueError(
            f"output: {found.name!r} is not one for the values of images; use 'bernoulli' for 0 "
            "and 1, Categorical(256) for bytes, or Logistics(levels=256) for bytes scaled to lie "
            "from -1 to 1"
        )
    return found


def scaled(output: Output, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Values of images as floats from -1 to 1; ``dtype`` if they are classes."""
    if output.support == "unit":
        return x
    if output.support == "binary":
        return 2 * x - 1
    return 2 * x.to(dtype) / max(_levels(output) - 1, 1) - 1


def check_images(name: str, x: Any, channels: int, output: Output) -> None:
    """Refuses what is not images of so many channels and of the type that the output is for.

    Raises:
        TypeError: naming the argument and its type.
        ValueError: naming the argument and its shape.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {type(x).__name__} is not a tensor; use torch.as_tensor({name})")
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{name}: shape {tuple(x.shape)}; expected (batch, {channels} channels, height, width)"
            f"{_cure(name, x, channels)}"
        )
    if output.support == "class":
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise TypeError(
                f"{name}: {x.dtype}, but output {output.name!r} is for integers from 0 to "
                f"{_levels(output) - 1}; use ({name} * {_levels(output) - 1}).round().long() if "
                "they lie between 0 and 1"
            )
    elif not x.is_floating_point():
        wanted = "0 and 1" if output.support == "binary" else "numbers from -1 to 1"
        cure = f"{name}.float()" if output.support == "binary" else f"{name} / 127.5 - 1"
        raise TypeError(
            f"{name}: {x.dtype}, but output {output.name!r} is for floats, {wanted}; use {cure}"
        )


def _cure(name: str, x: Tensor, channels: int) -> str:
    if x.dim() == 3:
        axis = "1) for one channel" if channels == 1 else "0) for a batch of one"
        return f"; an axis is missing: {name}.unsqueeze({axis}"
    if x.dim() != 4:
        return f"; the last two axes are {SIZE_NAMES[2].replace('time', 'width')}"
    if x.shape[3] == channels:
        return f"; the channels seem to be last: use {name}.movedim(-1, 1)"
    if x.shape[1] == 1:
        return (
            f"; these are gray: repeat the channel, {name}.repeat_interleave({channels}, 1), or "
            "build the net with in_channels=1"
        )
    return f"; build the net with in_channels={x.shape[1]}"


def check_range(name: str, x: Tensor, output: Output) -> None:
    """Refuses values that the output is not for, where they can be read without waiting.

    Raises:
        ValueError: naming the argument, how many values are wrong, and one of them.
    """
    if not can_be_looked_at(x):
        return
    if output.support == "class":
        last = _levels(output) - 1
        x = x.long()  # bytes compared with 300 would be compared with 44
        wrong, right = (x < 0) | (x > last), f"levels from 0 to {last}"
        cure = f"use Categorical({int(x.max()) + 1}) for more levels" if x.numel() else ""
        if x.numel() and x.min() < 0:
            cure = "count levels from 0 on"
    elif output.support == "binary":
        wrong, right = (x != 0) & (x != 1), "0 and 1"
        cure = f"use ({name} > 0.5).to({name}.dtype), or an output for more levels"
    else:
        wrong, right = ~(x.abs() <= 1), "values from -1 to 1"
        cure = f"use {name} / 127.5 - 1 for bytes, 2 * {name} - 1 for values between 0 and 1"
    if wrong.any():
        raise ValueError(
            f"{name}: {int(wrong.sum())} values such as {x[wrong][0].item():g}, but output "
            f"{output.name!r} is for {right}; {cure}"
        )


def class_weights(condition: Tensor | None, classes: int | None, images: Tensor) -> Tensor | None:
    """A condition as layers read it; int64 classes become one-hot.

    Args:
        condition: ``(batch,)`` classes, or what layers read: floats ``(batch, classes)``, or
            ``(batch, classes, height, width)``.
        classes: of the net; None if it has none.
        images: as many as conditions.

    Raises:
        TypeError: if it is not a tensor.
        ValueError: if it is missing or superfluous, does not fit, or has another class.
    """
    if condition is not None and not isinstance(condition, Tensor):
        raise TypeError(
            f"condition: {type(condition).__name__} is not a tensor; use "
            "torch.as_tensor(condition), one class for each image"
        )
    if classes is None:
        if condition is None:
            return None
        raise ValueError(
            f"condition: shape {tuple(condition.shape)} for a net without classes; leave it out, "
            "or build the net with classes=..."
        )
    if condition is None:
        raise _wrong_condition("None", classes, images)
    if condition.is_floating_point() and condition.shape[:2] == (len(images), classes):
        sizes = tuple(images.shape[2:])
        if condition.dim() > 2 and condition.shape[2:] != sizes:
            raise ValueError(
                f"condition: shape {tuple(condition.shape)} for images of {sizes}; give one for "
                f"each of their pixels, {(len(images), classes, *sizes)}"
            )
        return condition
    found = f"{condition.dtype} of shape {tuple(condition.shape)}"
    whole = not condition.is_floating_point() and condition.dtype != torch.bool
    if not whole or condition.shape != images.shape[:1]:
        raise _wrong_condition(found, classes, images)
    condition = condition.long()
    if can_be_looked_at(condition):
        wrong = condition[(condition < 0) | (condition >= classes)]
        if len(wrong):
            raise _wrong_condition(f"class {int(wrong[0])}", classes, images)
    return nn.functional.one_hot(condition, classes)


def _wrong_condition(found: str, classes: int, images: Tensor) -> ValueError:
    count = len(images)
    return ValueError(
        f"condition: {found} for a net of {classes} classes; pass ({count},) integers from 0 to "
        f"{classes - 1}, or ({count}, {classes}) floats, the weights of the classes"
    )


def _levels(output: Any) -> int:
    return output.classes
