"""WaveNet: sound sample by sample, each given all before it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from torch import nn

from tcn.layers import AddCondition, Chain, Conv1d, GatedBlock, SkipSum
from tcn.layers.validation import check_positive
from tcn.models.sequence import SequenceModel
from tcn.outputs import Output
from tcn.saving.description import recorded

STACK = tuple(2**level for level in range(10))
"""Dilations of a stack: 1, 2, 4, ... 512; section 2.1 of the paper."""


class WaveNet(SequenceModel):
    """Stacks of gated dilated convolutions, whose skip outputs say what the next sample may be.

    ::

        x -> strictly causal convolution -> gated blocks, dilation 1, 2, ... 512, 1, 2, ... 512, ...
                                                | skip outputs
                                                sum -> relu -> 1x1 -> relu -> 1x1 -> output

    Maps samples ``(batch, in_channels, time)`` to raw numbers, of which ``net.output`` makes the
    distribution of each sample given all before it: output ``t`` depends on the samples before
    ``t`` alone, so that the net is trained with its input as the target. ``net.ahead()`` is the
    same net with the present in sight, which says what comes next: the one to generate with. Both
    stream.

    A condition is added in every gate, ``(batch, channels)`` for the whole sound, such as a
    speaker, or ``(batch, channels, time)`` with one for each sample.

    Source: van den Oord et al. 2016, arXiv:1609.03499, sections 2.1 to 2.5 and figure 4; mixtures
    of logistics: van den Oord et al. 2018, arXiv:1711.10433, section 2.1.

    ::

        net = WaveNet(channels=16, skip_channels=32, dilations=(1, 2, 4, 8), stacks=2)
        sound = torch.rand(2, 1, 400) * 2 - 1
        net.output.loss(net.raw(net(sound)), sound)
        generate(net.eval().ahead(), torch.zeros(2, 1, 1), steps=100, output=net.output)
    """

    @recorded
    def __init__(
        self,
        in_channels: int = 1,
        *,
        head: str | Output = "mu_law",
        channels: int = 64,
        skip_channels: int = 256,
        kernel_size: int = 2,
        dilations: tuple[int, ...] = STACK,
        stacks: int = 3,
        condition_channels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Builds the net.

        Args:
            in_channels: numbers of a sample, 1 of mono sound.
            head: the distribution of a sample: ``"mu_law"``, 256 levels as in the paper,
                ``Logistics(...)``, ``"normal"``, or another output of :mod:`tcn.outputs`.
            channels: of the residual stream and of each gate.
            skip_channels: of the skip outputs and of the layer behind their sum.
            kernel_size: taps of every dilated convolution, and of the first one.
            dilations: of the blocks of a stack, in steps.
            stacks: how often the dilations are repeated.
            condition_channels: of the condition; None: the net takes none.
            dropout: share of each gate's outputs that is dropped in training.

        Raises:
            TypeError: if a size is not an integer.
            ValueError: if a size is not positive, or a name is unknown.
        """
        check_positive("stacks", [stacks])
        check_positive("dilations", dilations)
        if not dilations:
            raise ValueError("dilations: (); give one for each block of a stack, such as (1, 2, 4)")
        modulation = None
        if condition_channels is not None:
            check_positive("condition_channels", [condition_channels])
            modulation = partial(AddCondition, condition_channels=condition_channels)
        blocks = [
            GatedBlock(
                channels, channels, kernel_size, dilation=dilation, skip_channels=skip_channels,
                norm="none", modulation=modulation, dropout=dropout,
            )
            for _ in range(stacks)
            for dilation in dilations
        ]  # fmt: skip
        backbone = Chain(
            first=Conv1d(in_channels, channels, kernel_size, padding="strictly_causal"),
            blocks=SkipSum(blocks),
            activation=nn.ReLU(),
            hidden=Conv1d(skip_channels, skip_channels, 1),
            last_activation=nn.ReLU(),
        )
        super().__init__(backbone, head=head, targets=in_channels)

    def ahead(self) -> WaveNet:
        """The same net with the present in sight: output ``t`` is of sample ``t + 1``.

        A sound begins with a zero here, which stands for what was before it, and a condition of
        every sample with that of the first: ``net.ahead()(functional.pad(x, (1, 0)))`` are the
        outputs of ``net(x)`` and one more. The weights are those of this net, and training one
        trains the other. It cannot be saved: save this one.
        """
        net = _sharing(self)
        net.backbone = _sharing(self.backbone)
        net.backbone.first = _sharing(net.backbone.first)
        net.backbone.first.axis_padding = ("causal",)
        return net


def _sharing(module: Any) -> Any:
    """A module of the same parts, whose own places may be given to others."""
    found = copy.copy(module)
    found._modules = dict(module._modules)
    found.construction = None
    return found
