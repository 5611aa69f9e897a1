"""Generation: a net's outputs, sampled, are its next inputs.

prompt   p0 p1 p2
outputs        y2   y3   y4          one step of the net per sample: the past is in its state
samples          s3   s4   s5        s3 = sample(y2) is the input that gives y3
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import SupportsIndex, TypeGuard

import torch
from torch import Tensor

from tcn.inference.checks import check_net, check_rate, check_tensor
from tcn.inference.sampling import Sampler, generator_of, sampler_of, vocabulary_of
from tcn.inference.session import StreamSession
from tcn.inference.tokens import Levels, Tokens
from tcn.layers import SequenceModule
from tcn.layers.validation import check_positive
from tcn.outputs import Categorical, Output


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
    output: str | Output | Sampler = "categorical",
    native: bool | None = None,
) -> Tensor:
    """Continues each row of a prompt by ``steps`` samples, every step of the net computed once.

    Tokens, and levels of mu-law sound of one channel, are drawn natively where the net runs so:
    then Python is called once in 64 steps.

    Args:
        net: a net without look-ahead, in evaluation mode. A categorical one returns a logit per
            token and takes tokens, embedded by the net or, if it embeds none, one-hot.
        prompt: ``(batch, time)`` tokens; ``(batch, in_channels, time)`` if not categorical.
        steps: how many samples to add.
        temperature: logits are divided by it; 0 takes the likeliest token. This and the next two
            are for tokens, and levels of mu-law sound of one channel, alone.
        top_k: only the ``top_k`` likeliest tokens are drawn; among equally likely ones the first.
        top_p: only the fewest tokens are drawn that together have this probability, after
            temperature and ``top_k``. Holtzman et al. 2020, section 3.1.
        condition: ``(batch, channels)``, or ``(batch, channels, time + steps)`` with one per
            step, the prompt's first.
        seed: of the random numbers, or a generator of them; PyTorch's global ones if None.
        output: what the net's outputs mean, such as ``net.output``, from which the next input is
            drawn (see :mod:`tcn.outputs`); ``"categorical"``, one logit per token;
            ``"continuous"``, where an output is the next input; or a function of the last outputs
            ``(batch, out_channels)`` and a generator that returns the next input,
            ``(batch, in_channels)`` or tokens ``(batch,)``.
        native: see :class:`StreamSession`.

    Returns:
        The samples without the prompt: ``(batch, steps)`` tokens, or ``(batch, in_channels,
        steps)``.

    Raises:
        TypeError: naming the argument, if the net cannot stream, or if something else than the
            expected tensor or number is given.
        ValueError: if an argument does not fit the net, naming it and the cure.
    """
    parts = generate_parts(
        net, prompt, steps, temperature=temperature, top_k=top_k, top_p=top_p,
        condition=condition, seed=seed, output=output, native=native,
    )  # fmt: skip
    return torch.cat(list(parts), dim=-1)


def generate_parts(
    net: SequenceModule,
    prompt: Tensor,
    steps: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    condition: Tensor | None = None,
    seed: SupportsIndex | torch.Generator | None = None,
    output: str | Output | Sampler = "categorical",
    native: bool | None = None,
) -> Iterator[Tensor]:
    """The samples of :func:`generate`, some steps at a time, each part as soon as it is there.

    It takes and raises what that function does, and checks all before the first part.

    Returns:
        An iterator of ``(batch, steps of a part)`` tokens, or ``(batch, in_channels, steps)``.
    """
    check_positive("steps", [steps])
    net = check_net(net)
    check_rate(net)
    check_tensor("prompt", prompt)
    generator = generator_of(seed)
    sampler = sampler_of(net, output, temperature, top_k, top_p, generator)
    categorical = isinstance(sampler, Tokens) and not isinstance(sampler, Levels)
    _check_prompt(net, prompt, categorical=categorical)
    _check_condition(condition, prompt, steps)
    session = _session(net, len(prompt), native)
    encode = _encoder(net, sampler)
    return _continued(session, sampler, generator, encode, prompt, steps, condition)


@torch.no_grad()
def _continued(
    session: StreamSession,
    sampler: Sampler,
    generator: torch.Generator,
    encode: Callable[[Tensor], Tensor],
    prompt: Tensor,
    steps: int,
    condition: Tensor | None,
) -> Iterator[Tensor]:
    """The parts of :func:`generate_parts`, of arguments that have been checked."""
    time = prompt.shape[-1]
    begun = prompt if isinstance(sampler, Levels) else encode(prompt)
    y = _last(session.push(begun, condition=_condition_of(condition, 0, time)))
    drawn = sampler(y, generator).unsqueeze(-1)
    shown = encode if isinstance(sampler, Levels) else _as_it_is
    yield shown(drawn)
    steady = condition is None or condition.dim() == 2
    if steady and _in_one_call(sampler, session.net, y):
        for part in _in_blocks(session, sampler, drawn, y, steps - 1, condition):
            yield shown(part)
        return
    for step in range(time, time + steps - 1):
        y = _last(session.push(encode(drawn), condition=_condition_of(condition, step, 1)))
        drawn = sampler(y, generator).unsqueeze(-1)
        yield shown(drawn)


def _as_it_is(samples: Tensor) -> Tensor:
    return samples


def _in_one_call(sampler: Sampler, net: SequenceModule, y: Tensor) -> TypeGuard[Tokens]:
    """Whether noise is all that is added to the outputs, of which the largest is the next input."""
    if not isinstance(sampler, Tokens) or not sampler.keeps_all(y):
        return False
    if isinstance(sampler, Levels):
        return y.dtype is torch.float32 and y.is_cpu
    embedded = vocabulary_of(net) is not None and isinstance(sampler.output, Categorical)
    # A session adds noise of the type of the outputs, which must not be of half precision.
    return embedded and y.dtype in (torch.float32, torch.float64)


def _in_blocks(
    session: StreamSession,
    sampler: Tokens,
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
        samples = session.sample(token[:, -1], noise, condition, sampler.values)
        yield samples
        token, steps = samples, steps - len(noise)


def _last(y: Tensor) -> Tensor:
    """The last step's outputs, ``(batch, out_channels)``; of a readout, they are all there is."""
    return y if y.dim() == 2 else y[..., -1]


def _check_prompt(net: SequenceModule, prompt: Tensor, *, categorical: bool) -> None:
    tokens = categorical or vocabulary_of(net) is not None
    if net.ndim != 1:
        raise ValueError(f"net: {type(net).__name__} has {net.ndim} axes; only sequences continue")
    fits = prompt.dtype == torch.int64 if tokens else prompt.is_floating_point()
    if prompt.dim() != (2 if tokens else 3) or not fits:
        expected = "(batch, time) int64 tokens" if tokens else "(batch, in_channels, time) numbers"
        cure = "; use prompt.long()" if tokens and prompt.dim() == 2 else ""
        raise ValueError(
            f"prompt: {prompt.dtype} of shape {tuple(prompt.shape)}; expected {expected}{cure}"
        )
    if not len(prompt):
        raise ValueError(
            f"prompt: shape {tuple(prompt.shape)} has no rows; give one for each sequence to be "
            "generated"
        )
    if not prompt.numel():
        raise ValueError(
            f"prompt: empty, of shape {tuple(prompt.shape)}; the first sample follows from at "
            "least one step: begin with a start token or zeros"
        )
    size = vocabulary_of(net) or net.in_channels
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


def _encoder(net: SequenceModule, sampler: Sampler) -> Callable[[Tensor], Tensor]:
    """From samples ``(batch, ..., time)`` to the net's input."""
    if not isinstance(sampler, Tokens) or vocabulary_of(net) is not None:
        return _as_it_is
    parameter = next(net.parameters())
    if isinstance(sampler, Levels):
        values = sampler.values.to(parameter)
        return lambda levels: values[levels].unsqueeze(1)
    one_hot = torch.eye(net.in_channels, dtype=parameter.dtype, device=parameter.device)
    return lambda tokens: one_hot[tokens].transpose(1, 2)


def _condition_of(condition: Tensor | None, begin: int, steps: int) -> Tensor | None:
    if condition is None or condition.dim() == 2:
        return condition
    return condition[..., begin : begin + steps]
