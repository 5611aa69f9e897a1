"""What makes the next input from a net's last outputs: a draw of tokens or values, or a function.

Categorical samples are drawn by the Gumbel-max trick: the largest of ``logits + temperature *
noise``, with Gumbel noise, is distributed as ``softmax(logits / temperature)``. At temperature 0
it is the largest logit, without a special case.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from tcn.layers import SequenceModule
from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive
from tcn.outputs import Categorical, Output, Point
from tcn.outputs.classes import OfClasses

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Makes the next input, ``(batch, in_channels)`` or ``(batch,)`` tokens, from the last outputs,
``(batch, out_channels)``."""

# Noise is drawn for this many steps at a time, whatever the number of steps asked for: a longer
# generation from the same seed begins with the shorter one.
BLOCK = 64


class Tokens:
    """Draws tokens; the noise of a step depends on the generator alone."""

    def __init__(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        generator: torch.Generator,
        output: OfClasses,
    ) -> None:
        self.output = output
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.generator = generator
        self._noise = torch.empty(0)

    def __call__(self, raw: Tensor, _: torch.Generator) -> Tensor:
        """``(batch, out_channels)`` raw numbers to ``(batch,)`` tokens."""
        # Of half precision, sums of logit and noise would often be equal.
        logits = at_least_float32(self.output.logits(raw))
        return (self._likely(logits) + self.noise(1, logits)[0]).argmax(1)

    def noise(self, most: int, logits: Tensor) -> Tensor:
        """The noise of the next steps, at least one and at most ``most``.

        Returns:
            ``(steps, batch, vocabulary)``, for logits like these.
        """
        if not len(self._noise):
            self._noise = self._draw(logits)
        noise, self._noise = self._noise[:most], self._noise[most:]
        return noise

    def keeps_all(self, logits: Tensor) -> bool:
        """Whether every token may be drawn."""
        top_k = self.top_k is None or self.top_k >= logits.shape[1]
        top_p = self.top_p is None or self.top_p >= 1 or self.temperature == 0
        return top_k and top_p

    def _draw(self, logits: Tensor) -> Tensor:
        """Gumbel noise for a block of steps."""
        noise = torch.empty(
            (BLOCK, *logits.shape), dtype=logits.dtype, device=self.generator.device
        )
        # An exponential number that rounds to 0 would be an infinite noise.
        noise.exponential_(generator=self.generator).clamp_min_(torch.finfo(logits.dtype).tiny)
        # From its end: the order is arbitrary, but has to stay for a seed to keep its samples.
        return noise.log_().mul_(-self.temperature).flip(0).to(logits.device)

    def _likely(self, logits: Tensor) -> Tensor:
        """The logits, minus infinity for the tokens that are not to be drawn."""
        if self.keeps_all(logits):
            return logits
        if self.top_k is not None and self.top_k < logits.shape[1]:
            logits = logits.masked_fill(~_largest(logits, self.top_k), -torch.inf)
        if self.top_p is not None and self.top_p < 1 and self.temperature > 0:
            ordered, order = logits.sort(dim=1, descending=True, stable=True)
            probability = (ordered / self.temperature).softmax(1)
            # What the tokens before already have: the first is always kept.
            enough = probability.cumsum(1) - probability >= self.top_p
            excluded = torch.zeros_like(enough).scatter(1, order, enough)
            logits = logits.masked_fill(excluded, -torch.inf)
        return logits


def _largest(logits: Tensor, count: int) -> Tensor:
    """``(batch, vocabulary)`` bool: the ``count`` largest; of equals the first, like argmax."""
    least = logits.topk(count, dim=1).values[:, -1:]
    above, equal = logits > least, logits == least
    return above | (equal & (equal.cumsum(1) <= count - above.sum(1, keepdim=True)))


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
    if (temperature, top_k, top_p) != (1, None, None):
        raise ValueError(
            f"temperature, top_k, top_p: {temperature}, {top_k}, {top_p} with output={output!r}; "
            "they are for categorical outputs, leave them out"
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
    tokens = vocabulary_of(net) or getattr(net, "in_channels", None)
    if classes != tokens:
        raise ValueError(
            f"net: {classes} output channels for a vocabulary of {tokens}; a categorical net has "
            "a logit per token: give it out_channels = vocabulary, or pass as output what its "
            "outputs mean (net.output) or a function of them"
        )


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


def vocabulary_of(net: SequenceModule) -> int | None:
    """How many tokens the net embeds; None if it takes channels."""
    embedding = getattr(net, "embedding", None)
    return None if embedding is None else embedding.num_embeddings
