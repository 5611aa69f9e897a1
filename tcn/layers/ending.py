"""What follows a convolution in a residual block, so that one pass can compute all of it."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from tcn.layers.dropout import drop


class Ending(NamedTuple):
    """What follows a convolution in a residual block, so that one pass can compute all of it.

    Attributes:
        relu: whether negative values become zero.
        dropout: share of values dropped after the ReLU.
        shortcut: added after the dropout, and the sum goes through another ReLU.
    """

    relu: bool = False
    dropout: float = 0.0
    shortcut: Tensor | None = None

    def follow(self, y: Tensor) -> Tensor:
        """The same, one after the other."""
        if self.relu:
            y = F.relu(y)
        if self.dropout:
            y = drop(y, self.dropout)
        return y if self.shortcut is None else F.relu(y + self.shortcut)


NO_ENDING = Ending()
