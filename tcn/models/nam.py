"""The nets of Neural Amp Modeler: WaveNets over sound whose condition is the sound itself.

::

    x -> entry -> block -> block -> ... ------> x of the next stack
                    |        |
                   skip  +  skip  + ... head -> the next stack's sum begins with it; the last is y

The second architecture of 2026 ("A2") is the first one ("A1") with more freedom: a kernel and an
activation for each block, narrow blocks, groups, eight places where the condition scales and
shifts, a net of its own that makes the condition. So one net serves both.

Source: neural-amp-modeler (S. Atkinson, MIT), nam/models/wavenet. :mod:`tcn.audio` reads its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from tcn.layers import Context, Conv1d, Reach, SequenceModule, State
from tcn.layers.context import silence
from tcn.layers.passing import advance, children_states
from tcn.layers.validation import check_input, check_switch
from tcn.models.nam_block import NAMBlock, PairedActivation
from tcn.saving.description import recorded


class NAMStack(nn.Module):
    """Blocks of one width between a 1x1 convolution and the head over their summed skip outputs.

    Attributes:
        skip_channels: width of the summed skip outputs.
    """

    blocks: Any

    @recorded
    def __init__(self, entry: Conv1d, blocks: Sequence[NAMBlock], head: Conv1d) -> None:
        """Chains the blocks.

        Args:
            entry: 1x1 convolution to the width of the blocks.
            blocks: at least one.
            head: causal convolution over the sum of the skip outputs.

        Raises:
            ValueError: if there is no block, or the widths do not fit each other.
        """
        super().__init__()
        if not blocks:
            raise ValueError("blocks: none; a stack needs at least one")
        self.entry, self.blocks, self.head = entry, nn.ModuleList(blocks), head
        self.skip_channels = blocks[0].skip_channels
        for index, block in enumerate(blocks):
            _check_width(f"blocks[{index}] takes", block.channels, entry.out_channels, "the entry")
            _check_width(f"blocks[{index}] skips", block.skip_channels, head.in_channels, "head")

    def forward(
        self,
        x: Tensor,
        total: Tensor | None,
        condition: Tensor,
        state: State | None,
        context: Context,
    ) -> tuple[Tensor, Tensor, State]:
        """Runs over a chunk.

        Args:
            x: ``(batch, entry.in_channels, time)``.
            total: ``(batch, skip_channels, time)``, what the sum of the skip outputs begins with.
            condition: ``(batch, condition_channels, time)``.
            state: what the last chunk returned.
            context: mask of the chunk, and whether more may follow.

        Returns:
            ``x`` of the next stack, the head's output, and the state.
        """
        *before, head = children_states(self, state, len(self.blocks) + 1)
        x, remembered = self.entry(x), []
        for block, then in zip(self.blocks, before, strict=True):
            x, skip, now = block(x, condition, then, context)
            total = skip if total is None else total + skip
            remembered.append(now)
        assert total is not None
        y, head = advance(self.head, total, head, context)
        return x, y, (*remembered, head)

    def past(self, x: float, total: float, condition: float) -> tuple[float, float]:
        """How far back the stack's two outputs look, from how far its three inputs do."""
        for block in self.blocks:
            x = block.past(x, condition)
            total = max(total, x)
        return x, total + _past(self.head)


class NAMWaveNet(SequenceModule):
    """WaveNet over sound: stacks that hand on both the sound and the sum of their skip outputs.

    ``(batch, 1, time)`` to ``(batch, out_channels, time)``. Like every net of this library it pads
    each layer with zeros; a captured sound begins in silence, for which there is
    :class:`tcn.models.Capture`.

    Attributes:
        scale: by which the last stack's output is multiplied.
    """

    stacks: Any

    @recorded
    def __init__(
        self,
        stacks: Sequence[NAMStack],
        *,
        scale: float = 1.0,
        head: SequenceModule | None = None,
        condition: SequenceModule | None = None,
    ) -> None:
        """Chains the stacks.

        Args:
            stacks: at least one; the first takes one channel.
            scale: by which the last stack's output is multiplied.
            head: what follows the scale.
            condition: a net that makes the condition of all blocks from the sound; the sound
                itself unless given.

        Raises:
            ValueError: if there is no stack, or the widths do not fit each other.
        """
        super().__init__()
        if not stacks:
            raise ValueError("stacks: none; a WaveNet needs at least one")
        self.stacks = nn.ModuleList(stacks)
        self.scale, self.head, self.condition = scale, head, condition
        self.in_channels = stacks[0].entry.in_channels
        last = stacks[-1].head.out_channels
        self.out_channels = last if head is None else head.out_channels
        if head is not None:
            _check_width("head takes", head.in_channels, last, "the last stack")
        width = self.in_channels if condition is None else condition.out_channels
        for index, stack in enumerate(stacks):
            for block in stack.blocks:
                _check_width(
                    f"stacks[{index}] reads", block.condition_channels, width, "its condition"
                )
        for index, (stack, after) in enumerate(pairwise(stacks), 1):
            where, width = f"stacks[{index}]", stack.entry.out_channels
            _check_width(f"{where} takes", after.entry.in_channels, width, "the one before")
            width = stack.head.out_channels
            _check_width(f"{where} skips", after.skip_channels, width, "the head before")

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Runs condition, stacks and head over the chunk."""
        check_input(self, x, self.in_channels, 1)
        x = silence(x, context.mask)
        first, *before, last = children_states(self, state, len(self.stacks) + 2)
        condition, first = (
            (x, ()) if self.condition is None else advance(self.condition, x, first, context)
        )
        total, remembered = None, []
        for stack, then in zip(self.stacks, before, strict=True):
            x, total, now = stack(x, total, condition, then, context)
            remembered.append(now)
        assert total is not None
        y = total * self.scale
        y, last = (y, ()) if self.head is None else advance(self.head, y, last, context)
        return y, (first, *remembered, last)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The longest way back: along ``x`` or the skip sums, or by way of the condition."""
        x: float = 0
        total: float = 0
        condition = _past(self.condition)
        for stack in self.stacks:
            x, total = stack.past(x, total, condition)
        return (Reach(total + _past(self.head), 0),)


A2_KERNELS = (*[6] * 14, 15, 15, *[6] * 7)
A2_DILATIONS = (*[1, 3, 7, 17, 41, 101, 239] * 2, 1, 13, *[1, 3, 7, 17, 41, 101, 239])


def nam_a2(channels: int = 8, *, scale: float = 0.01, gated: bool = False) -> NAMWaveNet:
    """The second architecture of Neural Amp Modeler ("A2"), to be trained.

    23 blocks with leaky ReLUs and a head of 16 steps over the sum of their skip outputs; it looks
    back 6,346 steps, 132 ms at 48 kHz. With 8 channels ("full") it has 12,145 parameters, with 3
    ("lite") 1,870. Source: neural-amp-modeler 0.13.0, nam/train/_resources,
    config_model_packed.json.

    Args:
        channels: of every block.
        scale: by which the output is multiplied; a larger one lets the output learn faster.
        gated: whether a sigmoid of as many channels again multiplies each block's output, for
            devices that change the level, such as compressors. Published nets are not.

    Raises:
        TypeError: ``gated`` is not True or False.
        ValueError: ``channels`` is below 1.
    """
    check_switch(gated=gated)
    wide = 2 * channels if gated else channels
    blocks = [
        NAMBlock(
            Conv1d(channels, wide, kernel, dilation=dilation),
            Conv1d(1, wide, 1, bias=False),
            PairedActivation(nn.LeakyReLU(), nn.Sigmoid()) if gated else nn.LeakyReLU(),
            residual=Conv1d(channels, channels, 1),
        )
        for kernel, dilation in zip(A2_KERNELS, A2_DILATIONS, strict=True)
    ]
    entry, head = Conv1d(1, channels, 1, bias=False), Conv1d(channels, 1, 16)
    return NAMWaveNet([NAMStack(entry, blocks, head)], scale=scale)


def _past(module: SequenceModule | None) -> float:
    """Earlier steps that an output of a causal module depends on."""
    return module.receptive_field - 1 if module is not None else 0  # type: ignore[operator]


def _check_width(what: str, width: int, other: int, whose: str) -> None:
    if width != other:
        raise ValueError(
            f"{what} {width} channels, {whose} has {other}; give both the same number of channels"
        )
