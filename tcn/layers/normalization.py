"""Normalization of ``(batch, channels, *sizes)``; those that look across time say so.

    name           statistics over                        streams
    "weight"       the filters, not the signal            yes
    "layer"        the channels of each step              yes
    "rms"          the channels of each step              yes
    "cumulative"   channels and all steps so far          yes, with a state
    "batch"        batch and time                         in evaluation mode
    "group"        channels of a group and all time       no

Which for which data:

    "weight"       the default: any batch size and lengths, streams, in training too no output
                   depends on another row or a later step
    "batch"        labeled whole sequences, in batches of some 16; not for one row at a time, nor
                   where training must be causal. Compare it with "weight" on a part kept back: on
                   three halves of small training sets each it had .94 of JapaneseVowels right and
                   .76 of GunPoint, "weight" .86 and .84
    "layer"        rows of very different size, text, one row at a time, streams
    "cumulative"   sound in streams, as in Conv-TasNet
    "group"        whole sequences in small batches

Padding never enters a statistic. For inputs in half precision the statistics are taken in float32
(the cumulative ones in float64, as always), and the result has the dtype of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.batch_norm import BatchNorm
from tcn.layers.context import Context, silence
from tcn.layers.module import Pointwise, SequenceModule
from tcn.layers.reach import Reach
from tcn.layers.running import (
    EPSILON,
    at_least_float32,
    flatten_to_time,
    running_sum,
    valid_steps,
)
from tcn.layers.state import State
from tcn.layers.validation import check_input_of_any_rank, check_positive
from tcn.saving.description import recorded

WHOLE_TIME = (Reach(math.inf, math.inf), Reach(math.inf, math.inf))
PAST_TIME = (Reach(math.inf, math.inf), Reach(math.inf, 0))


class _Affine(SequenceModule):
    """A norm with a scale and a shift per channel."""

    @recorded
    def __init__(self, channels: int, *, epsilon: float = EPSILON) -> None:
        """Normalizes ``channels`` channels.

        Args:
            channels: channels of the input.
            epsilon: added to the variance.

        Raises:
            ValueError: if ``channels`` is below 1 or ``epsilon`` is not positive.
        """
        super().__init__()
        check_positive("channels", [channels])
        if not epsilon > 0:
            raise ValueError(f"epsilon: {epsilon} must be above 0, such as {EPSILON}")
        self.channels, self.epsilon = channels, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def affine(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Scales and shifts every channel; what comes out of half precision goes back to it."""
        shape = (-1,) + (1,) * (x.dim() - 2)
        y = x * self.weight.view(shape) + self.bias.view(shape)
        return y if dtype == x.dtype else y.to(dtype)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(self.channels)


class ChannelNorm(_Affine, Pointwise):
    """Layer norm over the channels of each step separately, so it streams. Ba et al. 2016."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Normalizes ``(batch, channels, *sizes)``."""
        check_input_of_any_rank(self, x, self.channels)
        last = x.movedim(1, -1)
        return F.layer_norm(last, (self.channels,), self.weight, self.bias, self.epsilon).movedim(
            -1, 1
        )


class RMSNorm(Pointwise):
    """Root-mean-square norm over the channels of every step. Zhang & Sennrich 2019, section 4."""

    @recorded
    def __init__(self, channels: int) -> None:
        """Normalizes ``channels`` channels.

        Raises:
            ValueError: if ``channels`` is below 1.
        """
        super().__init__()
        check_positive("channels", [channels])
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Normalizes ``(batch, channels, *sizes)``."""
        check_input_of_any_rank(self, x, self.channels)
        return F.rms_norm(x.movedim(1, -1), (self.channels,), self.weight, EPSILON).movedim(-1, 1)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(self.channels)


class CumulativeNorm(_Affine):
    """Layer norm over the channels of all steps so far. Luo & Mesgarani 2019 (Conv-TasNet), cLN."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Normalizes by the mean and variance of everything up to each step."""
        check_input_of_any_rank(self, x, self.channels)
        valid = valid_steps(x, context.mask)
        silent = at_least_float32(silence(x, context.mask))
        moments = [
            silent.double().sum(1),
            silent.double().square().sum(1),
            valid.double().sum(1) * self.channels,
        ]
        total, state = running_sum(self, flatten_to_time(torch.stack(moments, 1)), state)
        count = total[:, 2].clamp_min(1)
        mean = total[:, 0] / count
        variance = (total[:, 1] / count - mean.square()).clamp_min(0)
        shape = (x.shape[0], 1, *[1] * (x.dim() - 3), x.shape[-1])
        mean, scale = (
            each.to(silent.dtype).view(shape) for each in (mean, (variance + self.epsilon).rsqrt())
        )
        return self.affine((silent - mean) * scale, x.dtype), state

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything up to now."""
        return PAST_TIME


class GroupNorm(_Affine):
    """Group norm over the channels of a group and all time. Wu & He 2018."""

    @recorded
    def __init__(
        self, channels: int, *, groups: int | None = None, epsilon: float = EPSILON
    ) -> None:
        """Normalizes ``channels`` channels in ``groups`` groups.

        Args:
            channels: channels of the input.
            groups: blocks of channels with statistics of their own; 8, or the largest smaller
                power of two that divides the channels, unless given; 1 is layer norm over
                channels and time, ``channels`` is instance norm.
            epsilon: added to the variance.

        Raises:
            ValueError: if ``groups`` does not divide ``channels``, or ``epsilon`` is not positive.
        """
        super().__init__(channels, epsilon=epsilon)
        self.groups = math.gcd(channels, 8) if groups is None else groups
        check_positive("groups", [self.groups])
        if channels % self.groups:
            raise ValueError(f"groups: {groups} does not divide channels={channels}")

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Normalizes by the statistics of each group over all valid positions."""
        check_input_of_any_rank(self, x, self.channels)
        if context.mask is None:
            # nn.functional's refuses a single value; here its deviation is 0, padded or not.
            return torch.group_norm(x, self.groups, self.weight, self.bias, self.epsilon), ()
        precise = at_least_float32(x)
        valid = valid_steps(x, context.mask).to(precise.dtype).flatten(1).unsqueeze(1)
        grouped = precise.reshape(x.shape[0], self.groups, -1, valid.shape[-1])
        grouped = grouped.masked_fill(valid.unsqueeze(1) == 0, 0)
        count = (valid.sum(-1) * grouped.shape[2]).clamp_min(1).view(-1, 1, 1, 1)
        mean = grouped.sum((2, 3), keepdim=True) / count
        centered = (grouped - mean) * valid.unsqueeze(1)
        variance = centered.square().sum((2, 3), keepdim=True) / count
        normalized = (centered * (variance + self.epsilon).rsqrt()).view_as(x)
        return self.affine(normalized, x.dtype), ()

    @property
    def streaming_obstacle(self) -> str | None:
        """Always."""
        return "group norm takes statistics over the whole sequence"

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything."""
        return WHOLE_TIME


NORMS: dict[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "weight": None,
    "layer": ChannelNorm,
    "rms": RMSNorm,
    "cumulative": CumulativeNorm,
    "batch": BatchNorm,
    "group": GroupNorm,
}
"""What ``norm="..."`` means; ``"weight"`` is a property of the convolution."""


def normalization(norm: str | Callable[[int], nn.Module], channels: int) -> nn.Module | None:
    """The norm of that name, or what a builder makes for ``channels`` channels; None for no norm.

    Raises:
        ValueError: if there is no norm of that name.
    """
    if not isinstance(norm, str):
        return norm(channels)
    if norm not in NORMS:
        raise ValueError(f"norm: {norm!r} is not one of {', '.join(map(repr, NORMS))}")
    build = NORMS[norm]
    return build(channels) if build else None
