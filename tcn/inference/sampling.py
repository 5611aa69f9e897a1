"""What makes the next input from a net's last outputs: a draw, or a function of the caller."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from tcn.inference.tokens import Levels, Tokens
from tcn.layers import SequenceModule
from tcn.layers.validation import check_positive
from tcn.outputs import Categorical, MuLaw, Output, Point
from tcn.outputs.classes import OfClasses

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Makes the next input, ``(batch, in_channels)`` or ``(batch,)`` tokens, from the last outputs,
``(batch, out_channels)``."""


def sampler_of(
    net: SequenceModule,
    output: str | Output | Sampler,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator,
) -> Sampler:
    """What ``generate`` draws with.

    Raises:
        TypeError: an argument is not a number.
        ValueError: a number is out of range, or the output does not fit the net.
    """
    _check_meant(net, output)
    if output == "categorical":
        output = Categorical(_channels_of(net))
    if isinstance(output, OfClasses):
        _check_size(net, output)
        _check_categorical(net, output.classes, temperature, top_k, top_p)
        return Tokens(temperature, top_k, top_p, generator, output)
    if isinstance(output, MuLaw) and _channels_of(net) == output.size and _is_mono(net):
        _check_choice(temperature, top_k, top_p)
        return Levels(temperature, top_k, top_p, generator, output)
    if (temperature, top_k, top_p) != (1, None, None):
        raise ValueError(
            f"temperature, top_k, top_p: {temperature}, {top_k}, {top_p} with output={output!r}; "
            "they are for tokens and for the levels of one channel of sound, leave them out"
        )
    if isinstance(output, Output):
        return Values(net, output)
    if callable(output):
        return _own(output)
    if output != "continuous":
        raise ValueError(
            f"output: {output!r} is neither 'categorical', 'continuous', an output of tcn.outputs "
            "nor a function"
        )
    channels = getattr(net, "out_channels", None)
    if channels != getattr(net, "in_channels", None) or vocabulary_of(net) is not None:
        raise ValueError(
            f"output: 'continuous', but {type(net).__name__} takes other inputs than it "
            f"returns ({channels} channels); pass a function of the outputs as output"
        )
    return lambda y, _: y


def _check_meant(net: SequenceModule, output: object) -> None:
    """Refuses a word that is not what the net says of its numbers, though as many would fit."""
    said = getattr(net, "output", None)
    if not isinstance(said, Output):
        return
    logits = output == "categorical" and not isinstance(said, Categorical)
    values = output == "continuous" and not isinstance(said, Point)
    if logits or values:
        raise ValueError(
            f"output: {output!r}, but the net says that its outputs are {said.name!r}; pass "
            "output=net.output"
        )


class Values:
    """Draws the next input from what the net's raw numbers mean."""

    def __init__(self, net: SequenceModule, output: Output) -> None:
        self.output = output
        self.targets = _targets_of(net, output)
        drawn = output.event or self.targets or 1
        if vocabulary_of(net) is not None or net.in_channels != drawn:
            takes = "tokens" if vocabulary_of(net) is not None else f"{net.in_channels} channels"
            raise ValueError(
                f"output: {output.name!r} draws {drawn} values a step, but {type(net).__name__} "
                f"takes {takes}; pass a function that makes an input from its outputs"
            )

    def __call__(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """``(batch, out_channels)`` raw numbers to ``(batch, in_channels)`` values."""
        if self.targets is not None:
            raw = raw.unflatten(1, (self.output.size, self.targets))
        drawn = self.output.sample(raw, 1, generator)[0]
        return (drawn if drawn.dim() > 1 else drawn.unsqueeze(1)).to(raw.dtype)


def _targets_of(net: SequenceModule, output: Output) -> int | None:
    """How many channels the net's raw numbers belong to; None for one without an axis."""
    targets = _channels_of(net) // output.size
    if output.event or targets * output.size != net.out_channels:
        _check_size(net, output)
    if not output.intervals and not output.event:
        raise ValueError(
            f"output: {output.name!r} is a point forecast, from which nothing is drawn; pass "
            "'continuous' if it is the next input"
        )
    return None if targets == 1 else targets


def _check_size(net: SequenceModule, output: Output) -> None:
    if _channels_of(net) != output.size:
        raise ValueError(
            f"output: {output.name!r} reads {output.size} raw numbers, but {type(net).__name__} "
            f"returns {net.out_channels}; pass the output that the net was trained with"
        )


def _channels_of(net: SequenceModule) -> int:
    channels: int | None = getattr(net, "out_channels", None)
    if channels is None:
        raise ValueError(
            f"net: {type(net).__name__} does not say how many channels it returns; set "
            "net.out_channels, or pass a function as output"
        )
    return channels


def _own(sampler: Sampler) -> Sampler:
    """The caller's own function, its result checked."""

    def sample(outputs: Tensor, generator: torch.Generator) -> Tensor:
        samples = sampler(outputs, generator)
        if not isinstance(samples, Tensor):
            raise TypeError(
                f"output: the function returned {type(samples).__name__}; return the next input, a "
                "tensor"
            )
        return samples

    return sample


def _check_categorical(
    net: SequenceModule,
    classes: int | None,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> None:
    _check_choice(temperature, top_k, top_p)
    tokens = vocabulary_of(net) or getattr(net, "in_channels", None)
    if classes != tokens:
        raise ValueError(
            f"net: {classes} output channels for a vocabulary of {tokens}; a categorical net has "
            "a logit per token: give it out_channels = vocabulary, or pass as output what its "
            "outputs mean (net.output) or a function of them"
        )


def _check_choice(temperature: float, top_k: int | None, top_p: float | None) -> None:
    _check_number("temperature", temperature)
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature: {temperature} must be at least 0, the likeliest token, and finite"
        )
    if top_k is not None:
        check_positive("top_k", [top_k])
    if top_p is not None:
        _check_number("top_p", top_p)
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p: {top_p} is not in (0, 1]; it is a share of probability")


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"{name}: {value!r} is not a number; pass a float")


def generator_of(seed: SupportsIndex | torch.Generator | None) -> torch.Generator:
    """Where random numbers come from: a new generator for an integer, PyTorch's own for None.

    Raises:
        TypeError: it is neither an integer, a generator nor None.
        ValueError: the integer is too large.
    """
    if isinstance(seed, torch.Generator):
        return seed
    if seed is None:
        return torch.default_generator
    try:
        return torch.Generator().manual_seed(operator.index(seed))
    except TypeError as error:
        raise TypeError(
            f"seed: {seed!r} is neither an integer, a torch.Generator nor None"
        ) from error
    except (RuntimeError, ValueError, OverflowError) as error:
        raise ValueError(f"seed: {seed!r} must fit into 64 bits") from error


def _is_mono(net: SequenceModule) -> bool:
    """Whether the net takes one number a step."""
    return vocabulary_of(net) is None and getattr(net, "in_channels", None) == 1


def vocabulary_of(net: SequenceModule) -> int | None:
    """How many tokens the net embeds; None if it takes channels."""
    embedding = getattr(net, "embedding", None)
    return None if embedding is None else embedding.num_embeddings
