"""What changes a block's channels from outside it: a condition, or a glance at the whole.

Blocks take a builder, ``modulation=lambda channels: FiLM(channels, 16)``; in a YAML config a
``class_path`` with ``init_args``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.grid import Grid
from tcn.layers.module import SequenceModule
from tcn.layers.normalization import PAST_TIME, WHOLE_TIME
from tcn.layers.reach import Reach
from tcn.layers.running import at_least_float32, flatten_to_time, running_sum, valid_steps
from tcn.layers.state import State
from tcn.layers.validation import check_input_of_any_rank, check_positive, check_switch
from tcn.saving.description import recorded


class _Conditioned(SequenceModule):
    """A layer that reads ``context.condition``, global or local, and projects it per step."""

    reads_condition = True

    def __init__(self, channels: int, condition_channels: int, *, outputs: int) -> None:
        super().__init__()
        check_positive("channels", [channels])
        check_positive("condition_channels", [condition_channels])
        self.channels = channels
        self.condition_channels = condition_channels
        self.projection = nn.Linear(condition_channels, outputs * channels)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Each step has its own condition, so nothing is remembered."""
        return self.modulate(x, self.project(x, context.condition)), ()

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """A local condition is read on the grid only."""
        condition = context.condition
        if condition is not None and condition.dim() > 2:
            condition = have.take(condition, Grid.whole(have.sizes))
        return self.modulate(x, self.project(x, condition))

    def project(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """What :meth:`modulate` takes with ``x``.

        Raises:
            ValueError: if the condition is missing or does not fit ``x``.
        """
        check_input_of_any_rank(self, x, self.channels)
        expected = (
            f"(batch, {self.condition_channels}) for the whole sequence or "
            f"(batch, {self.condition_channels}, {', '.join(map(str, x.shape[2:]))}) per step"
        )
        if condition is None:
            raise ValueError(f"condition: None, but this net is conditioned; pass {expected}")
        fits = condition.shape[:2] == (x.shape[0], self.condition_channels)
        if not fits or condition.shape[2:] not in (x.shape[2:], ()):
            raise ValueError(
                f"condition: shape {tuple(condition.shape)} does not fit x of shape "
                f"{tuple(x.shape)}; expected {expected}"
            )
        if condition.dim() == 2:
            projected: Tensor = self.projection(condition)
            return projected.view(*projected.shape, *[1] * (x.dim() - 2))
        return self.projection(condition.movedim(1, -1)).movedim(-1, 1)

    def modulate(self, x: Tensor, projected: Tensor) -> Tensor:
        """Applies the projected condition, ``(batch, outputs * channels, *sizes or 1s)``."""
        raise TypeError(f"{type(self).__name__} does not define modulate(x, projected)")


class FiLM(_Conditioned):
    """Scales and shifts each channel by the condition. Perez et al. 2018, section 2."""

    @recorded
    def __init__(self, channels: int, condition_channels: int) -> None:
        """Conditions ``channels`` channels on ``condition_channels``.

        Raises:
            ValueError: if a channel count is below 1.
        """
        super().__init__(channels, condition_channels, outputs=2)

    def modulate(self, x: Tensor, projected: Tensor) -> Tensor:
        """``x * (1 + scale) + shift``."""
        scale, shift = projected.chunk(2, dim=1)
        return x * (1 + scale) + shift


class AddCondition(_Conditioned):
    """Adds the projected condition to each channel. van den Oord et al. 2016, section 2.5."""

    @recorded
    def __init__(self, channels: int, condition_channels: int) -> None:
        """Conditions ``channels`` channels on ``condition_channels``.

        Raises:
            ValueError: if a channel count is below 1.
        """
        super().__init__(channels, condition_channels, outputs=1)

    def modulate(self, x: Tensor, projected: Tensor) -> Tensor:
        """``x + shift``."""
        return x + projected


class SqueezeExcite(SequenceModule):
    """Weighs the channels by what their averages say. Hu et al. 2018, section 3.

    ``causal=True`` averages over the past and present of each step, and streams; otherwise over the
    whole sequence.
    """

    @recorded
    def __init__(self, channels: int, *, reduction: int = 4, causal: bool = True) -> None:
        """Weighs ``channels`` channels through a bottleneck ``reduction`` times narrower.

        Raises:
            ValueError: if ``channels`` or ``reduction`` is below 1.
        """
        super().__init__()
        check_positive("channels", [channels])
        check_positive("reduction", [reduction])
        check_switch(causal=causal)
        self.squeeze = nn.Linear(channels, max(channels // reduction, 1))
        self.excite = nn.Linear(self.squeeze.out_features, channels)
        self.averages_past = causal

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Multiplies each channel by a weight between 0 and 1."""
        check_input_of_any_rank(self, x, self.excite.out_features)
        total = flatten_to_time(at_least_float32(silence(x, context.mask)))
        count = flatten_to_time(valid_steps(x, context.mask).to(total.dtype))
        total = torch.cat([total, count], dim=1)
        if self.averages_past:
            total, state = running_sum(self, total, state)
        else:
            total, state = total.sum(-1, keepdim=True), ()
        average = (total[:, :-1] / total[:, -1:].clamp_min(1)).to(x.dtype).transpose(1, 2)
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(average)))).transpose(1, 2)
        return x * (weights if x.dim() == 3 else weights.unsqueeze(2)), state

    @property
    def streaming_obstacle(self) -> str | None:
        """Averages over the whole sequence."""
        if self.averages_past:
            return None
        return "squeeze-and-excite with causal=False averages over the whole sequence"

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything up to now, or everything."""
        return PAST_TIME if self.averages_past else WHOLE_TIME
