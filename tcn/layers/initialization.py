"""Random weights to begin with, set so that they act under weight norm too.

    name        weights                                              bias
    "scaled"    as "he", but branches of deep nets smaller           0
    "pytorch"   uniform, variance 1 / (3 fan_in)                     the same
    "he"        N(0, 2 / fan_in), keeps the signal's size            0
    "normal"    N(0, 0.01^2), as Bai et al. 2018 say                 unchanged

The authors' code sets ``"normal"`` on weights that weight norm then overwrites, so what it trains
from is ``"pytorch"``, with ``"normal"`` on the 1x1 convolutions of shortcuts: a tenth of the signal
is left after the first block, and on a small set training takes long to find it. Use ``"pytorch"``
to reproduce their results.

With ``"he"`` every block adds to its shortcut as much as comes in, so the signal grows: what
depends on the input is 3 times as large after 4 residual blocks, 8 times after 8, 6e4 times
after 32. With ``"scaled"`` the blocks of a net of more than four share out what four would add:
3 times, 3 times and 9 times.

With ``"he"``, a head that begins at zero (``SequenceModel(zero_head=True)``) and clipped gradients
the paper's net left the plateau of the adding problem at T = 600 after 600 to 1,800 steps in each
of ten runs of five seeds; from ``"pytorch"`` it takes some 4,700 steps, and some seeds stay there.

Measured on test sets of the UCR and UEA archives: accuracy, mean (seeds), commit 7da27b3; Adam, no
dropout, weight norm, kernels of 5, 5 levels that look both ways, readout of the mean. ArrowHead: 32
channels, batches of 12, 600 steps at 1e-3; the others: 16 channels, batches of 13 to 16, 400 steps
at 2e-3::

    set, training examples     "pytorch"            "scaled"
    ArrowHead, 36              .67 (.67, .67, .67)  .82 (.79, .83, .85)
    GunPoint, 50               .84 (.97, .71)       .99 (.99, .99)
    BasicMotions, 40           1 (1)                1 (1)
    ItalyPowerDemand, 67       .96 (.96, .97)       .96 (.96, .97)
    JapaneseVowels, 270        .95 (.95, .96)       .97 (.98, .96)

Chosen on halves of their training parts (14 of them, 16 channels): "pytorch" .877, "he" .917, which
up to five levels "scaled" all but is.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tcn.layers.convolution import Convolution
from tcn.layers.joining import Add

INITIALIZATIONS = ("scaled", "pytorch", "he", "normal")
WHOLE_BRANCHES = 4
"""How many branches add as much as comes in before ``"scaled"`` makes them smaller."""


@torch.no_grad()
def initialize(module: nn.Module, name: str) -> None:
    """Sets the weights of every convolution in ``module``, in place.

    Sources: He et al. 2015, section 2.2 (``"he"``); Bai et al. 2018, section 5 (``"normal"``). For
    ``"scaled"`` Hayou et al. 2021 (Stable ResNet), section 3: branches by one over the root of the
    number of blocks, here of its quarter; shared out among the convolutions of a branch as by Zhang
    et al. 2019 (Fixup), section 3.

    Raises:
        ValueError: if there is no initialization of that name.
    """
    if name not in INITIALIZATIONS:
        names = ", ".join(map(repr, INITIALIZATIONS))
        raise ValueError(f"initialization: {name!r} is not one of {names}")
    if name == "pytorch":
        return
    factors = _branch_factors(module) if name == "scaled" else {}
    for convolution in _convolutions(module):
        weight = torch.empty_like(convolution.weight)
        # What a ReLU takes away; none follows a depthwise convolution.
        gain = 1 if name == "scaled" and convolution.groups > 1 else 2
        deviation = factors.get(convolution, 1.0) * math.sqrt(gain / weight[0].numel())
        convolution.set_weight(weight.normal_(0.0, 0.01 if name == "normal" else deviation))
        if name != "normal" and convolution.bias is not None:
            convolution.bias.zero_()


def _branch_factors(module: nn.Module) -> dict[nn.Module, float]:
    """By how much each convolution beside a shortcut is smaller than He's."""
    sums = [each for each in module.modules() if isinstance(each, Add)]
    branches = [
        _convolutions(branch)
        for each in sums
        for name, branch in each.named_children()
        if name != "shortcut"
    ]
    return {
        convolution: max(1.0, len(sums) / WHOLE_BRANCHES) ** (-0.5 / len(branch))
        for branch in branches
        for convolution in branch
    }


def _convolutions(module: nn.Module) -> list[Convolution]:
    return [each for each in module.modules() if isinstance(each, Convolution)]
