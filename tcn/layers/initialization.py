"""Random weights to begin with, set so that they act under weight norm too.

    name        weights                                          bias
    "pytorch"   uniform, variance 1 / (3 fan_in)                 the same
    "he"        N(0, 2 / fan_in), keeps the signal's size        0
    "normal"    N(0, 0.01^2), as Bai et al. 2018 say             unchanged

The authors' code sets ``"normal"`` on weights that weight norm then overwrites, so what it trains
from is ``"pytorch"``: a signal that shrinks from convolution to convolution. With ``"he"``, a head
that begins at zero (``SequenceModel(zero_head=True)``) and clipped gradients the paper's net left
the plateau of the adding problem at T = 600 after 600 to 1,800 steps in each of ten runs of five
seeds; from ``"pytorch"`` it takes some 4,700 steps, and some seeds stay there.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tcn.layers.convolution import Convolution

INITIALIZATIONS = ("pytorch", "he", "normal")


@torch.no_grad()
def initialize(module: nn.Module, name: str) -> None:
    """Sets the weights of every convolution in ``module``, in place.

    Sources: He et al. 2015, section 2.2 (``"he"``); Bai et al. 2018, section 5 (``"normal"``).

    Raises:
        ValueError: if there is no initialization of that name.
    """
    if name not in INITIALIZATIONS:
        names = ", ".join(map(repr, INITIALIZATIONS))
        raise ValueError(f"initialization: {name!r} is not one of {names}")
    if name == "pytorch":
        return
    for convolution in module.modules():
        if not isinstance(convolution, Convolution):
            continue
        weight = torch.empty_like(convolution.weight)
        fan_in = weight[0].numel()
        convolution.set_weight(weight.normal_(0.0, math.sqrt(2 / fan_in) if name == "he" else 0.01))
        if name == "he" and convolution.bias is not None:
            convolution.bias.zero_()
