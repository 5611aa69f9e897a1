"""Generation: a net's outputs, sampled, are its next inputs.

    prompt   p0 p1 p2
    outputs        y2   y3   y4          one step of the net per sample: the past is in its state
    samples          s3   s4   s5        s3 = sample(y2) is the input that gives y3

Categorical samples are drawn by the Gumbel-max trick: the largest of ``logits + temperature *
noise``, with Gumbel noise, is distributed as ``softmax(logits / temperature)``. At temperature 0
it is the largest logit, without a special case.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from tcn.inference.checks import check_net, check_rate, check_tensor
from tcn.inference.session import StreamSession
from tcn.layers import SequenceModule
from tcn.layers.validation import check_positive

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Makes the next input, ``(batch, in_channels)`` or ``(batch,)`` tokens, of the last outputs,
``(batch, out_channels)``."""

# Noise is drawn for so many steps at a time, whatever the number of steps asked for: a longer
# generation from the same seed begins with the shorter one.
BLOCK = 64


def generate(
    net: SequenceModule,
    prompt: Tensor,
    steps: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    condition: Tensor | None = None,
    seed: SupportsIndex | torch.Generator | None = None,
    output: str | Sampler = "categorical",
    native: bool | None = None,
) -> Tensor:
    """Continues each row of a prompt by ``steps`` samples, every step of the net computed once.

    Args:
        net: a net without look-ahead, in evaluation mode. A categorical one returns a logit per
            token and takes tokens, embedded by the net or, if it embeds none, one-hot.
        prompt: ``(batch, time)`` tokens; ``(batch, in_channels, time)`` if not categorical.
        steps: how many samples to add.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: only the ``top_k`` likeliest tokens are drawn; of equally likely ones the first.
        top_p: only the fewest tokens are drawn that together have this probability, after
            temperature and ``top_k``. Holtzman et al. 2020, section 3.1.
        condition: ``(batch, channels)``, or ``(batch, channels, time + steps)`` with one of each
            step, the prompt's first.
        seed: of the random numbers, or a generator of them; PyTorch's global ones if None.
        output: ``"categorical"``; ``"continuous"``, where an output is the next input; or a
            function of the last outputs ``(batch, out_channels)`` and a generator that returns the
            next input, ``(batch, in_channels)`` or tokens ``(batch,)``.
        native: as of :class:`StreamSession`.

    Returns:
        The samples without the prompt: ``(batch, steps)`` tokens, or ``(batch, in_channels,
        steps)``.

    Raises:
        TypeError: if the net cannot stream, a tensor is none or a number is none; naming it.
        ValueError: if an argument does not fit the net, naming it and the cure.
    """
    check_positive("steps", [steps])
    net = check_net(net)
    check_rate(net)
    check_tensor("prompt", prompt)
    generator = _generator(seed)
    sampler = _sampler(net, output, temperature, top_k, top_p, generator)
    _check_prompt(net, prompt, categorical=output == "categorical")
    _check_condition(condition, prompt, steps)
    session = _session(net, len(prompt), native)
    encode = _encoder(net, categorical=output == "categorical")
    time = prompt.shape[-1]
    with torch.no_grad():
        y = _last(session.push(encode(prompt), condition=_condition_of(condition, 0, time)))
        parts = [sampler(y, generator).unsqueeze(-1)]
        embedded = _vocabulary(net) is not None
        steady = condition is None or condition.dim() == 2
        if embedded and steady and isinstance(sampler, _Categorical) and sampler.keeps_all(y):
            parts += _in_blocks(session, sampler, parts[0], y, steps - 1, condition)
        else:
            for step in range(time, time + steps - 1):
                part = _condition_of(condition, step, 1)
                y = _last(session.push(encode(parts[-1]), condition=part))
                parts.append(sampler(y, generator).unsqueeze(-1))
        return torch.cat(parts, dim=-1)


class _Categorical:
    """Draws tokens; the noise of a step depends on the generator alone."""

    def __init__(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        generator: torch.Generator,
    ) -> None:
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.generator = generator
        self._noise = torch.empty(0)

    def __call__(self, logits: Tensor, _: torch.Generator) -> Tensor:
        """``(batch, vocabulary)`` logits to ``(batch,)`` tokens."""
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
    """``(batch, vocabulary)`` bool: the ``count`` largest; of equal ones the first, as argmax."""
    least = logits.topk(count, dim=1).values[:, -1:]
    above, equal = logits > least, logits == least
    return above | (equal & (equal.cumsum(1) <= count - above.sum(1, keepdim=True)))


def _in_blocks(
    session: StreamSession,
    sampler: _Categorical,
    token: Tensor,
    logits: Tensor,
    steps: int,
    condition: Tensor | None,
) -> Iterator[Tensor]:
    """Samples that follow ``token``, ``(batch, 1)``, a block of noise at a time.

    Args:
        session: whose rows have begun.
        sampler: one that keeps all tokens.
        token: the next input.
        logits: as the net returns them, ``(batch, vocabulary)``.
        steps: how many samples.
        condition: the same for every step.

    Yields:
        ``(batch, steps of a block)`` tokens.
    """
    while steps:
        noise = sampler.noise(steps, logits)
        samples = session.sample(token[:, -1], noise, condition)
        yield samples
        token, steps = samples, steps - len(noise)


def _last(y: Tensor) -> Tensor:
    """The last step's outputs, ``(batch, out_channels)``; of a readout, they are all there is."""
    return y if y.dim() == 2 else y[..., -1]


def _sampler(
    net: SequenceModule,
    output: str | Sampler,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator,
) -> Sampler:
    if callable(output):
        return _own(output)
    channels = getattr(net, "out_channels", None)
    if output == "continuous":
        if channels != getattr(net, "in_channels", None) or _vocabulary(net) is not None:
            raise ValueError(
                f"output: 'continuous', but {type(net).__name__} takes other inputs than it "
                f"returns ({channels} channels); pass a function of the outputs as output"
            )
        return lambda y, _: y
    if output != "categorical":
        raise ValueError(
            f"output: {output!r} is neither 'categorical', 'continuous' nor a function"
        )
    _check_categorical(net, temperature, top_k, top_p)
    return _Categorical(temperature, top_k, top_p, generator)


def _own(sampler: Sampler) -> Sampler:
    """A function of the caller's, held to what it says."""

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
    net: SequenceModule, temperature: float, top_k: int | None, top_p: float | None
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
    tokens = _vocabulary(net) or getattr(net, "in_channels", None)
    channels = getattr(net, "out_channels", None)
    if channels != tokens:
        raise ValueError(
            f"net: {channels} output channels for a vocabulary of {tokens}; a categorical net has "
            "a logit per token: give it out_channels = vocabulary, or pass a function as output"
        )


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"{name}: {value!r} is not a number; pass a float")


def _generator(seed: SupportsIndex | torch.Generator | None) -> torch.Generator:
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


def _vocabulary(net: SequenceModule) -> int | None:
    """How many tokens the net embeds; None if it takes channels."""
    embedding = getattr(net, "embedding", None)
    return None if embedding is None else embedding.num_embeddings


def _check_prompt(net: SequenceModule, prompt: Tensor, *, categorical: bool) -> None:
    tokens = categorical or _vocabulary(net) is not None
    if net.ndim != 1:
        raise ValueError(f"net: {type(net).__name__} has {net.ndim} axes; only sequences continue")
    fits = prompt.dtype == torch.int64 if tokens else prompt.is_floating_point()
    if prompt.dim() != (2 if tokens else 3) or not fits:
        expected = "(batch, time) int64 tokens" if tokens else "(batch, in_channels, time) numbers"
        cure = "; use prompt.long()" if tokens and prompt.dim() == 2 else ""
        raise ValueError(
            f"prompt: {prompt.dtype} of shape {tuple(prompt.shape)}; expected {expected}{cure}"
        )
    if not prompt.numel():
        raise ValueError(
            f"prompt: empty, of shape {tuple(prompt.shape)}; the first sample follows from at "
            "least one step: begin with a start token or zeros"
        )
    size = _vocabulary(net) or net.in_channels
    if tokens and not 0 <= prompt.min() <= prompt.max() < size:
        raise ValueError(
            f"prompt: tokens from {int(prompt.min())} to {int(prompt.max())} for a vocabulary of "
            f"{size}; tokens lie between 0 and {size - 1}"
        )


def _check_condition(condition: Tensor | None, prompt: Tensor, steps: int) -> None:
    if condition is None:
        return
    check_tensor("condition", condition)
    expected = prompt.shape[-1] + steps
    if condition.dim() > 2 and condition.shape[-1] != expected:
        raise ValueError(
            f"condition: {condition.shape[-1]} steps for {prompt.shape[-1]} of the prompt and "
            f"{steps} generated; expected one per step, {expected}"
        )


def _session(net: SequenceModule, batch_size: int, native: bool | None) -> StreamSession:
    session = StreamSession(net, batch_size, native=native)
    if session.latency:
        raise ValueError(
            f"net: {type(net).__name__} looks {session.latency} steps ahead, at what is yet to be "
            "generated; use a net with lookahead=0"
        )
    return session


def _encoder(net: SequenceModule, *, categorical: bool) -> Callable[[Tensor], Tensor]:
    """From samples ``(batch, ..., time)`` to the net's input."""
    if not categorical or _vocabulary(net) is not None:
        return lambda samples: samples
    parameter = next(net.parameters())
    one_hot = torch.eye(net.in_channels, dtype=parameter.dtype, device=parameter.device)
    return lambda tokens: one_hot[tokens].transpose(1, 2)


def _condition_of(condition: Tensor | None, begin: int, steps: int) -> Tensor | None:
    if condition is None or condition.dim() == 2:
        return condition
    return condition[..., begin : begin + steps]
