"""Dropout of single values or of whole channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tcn.layers.grid import Grid
from tcn.layers.module import Context, SequenceModule, State
from tcn.layers.validation import check_probability, check_state
from tcn.native import convolution as native


def drop(x: Tensor, probability: float) -> Tensor:
    """``F.dropout`` in training, with cheaper random numbers where the kernels have them."""
    return native.dropout(x, probability) if native.drops(x) else F.dropout(x, probability)


class Dropout(SequenceModule):
    """Sets a share of the values to zero in training and scales the others up.

    ``spatial=True`` drops whole channels of a sequence, as Bai et al. 2018, section 3.3, say of
    their residual block ("spatial dropout"); their published code drops single values since
    April 2018. A stream in training keeps its dropped channels from chunk to chunk.

    Source: Srivastava et al. 2014; Tompson et al. 2015, section 3.2 (spatial).
    """

    def __init__(self, probability: float = 0.5, *, spatial: bool = False) -> None:
        """Drops a share ``probability`` of the values, or of the channels if ``spatial``.

        Raises:
            ValueError: if ``probability`` is not in ``[0, 1)``.
        """
        super().__init__()
        check_probability("dropout", probability)
        self.probability = probability
        self.spatial = spatial

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Drops in training; the state of spatial dropout is which channels stay, scaled."""
        if not self.training or self.probability == 0:
            return x, ()
        if not self.spatial:
            return drop(x, self.probability), ()
        per_channel = x.new_ones(x.shape[:2] + (1,) * (x.dim() - 2))
        if state is None or isinstance(state, tuple):
            state = F.dropout(per_channel, self.probability)
        check_state(self, state, tuple(per_channel.shape[:-1]), x)
        return x * state, state

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Positions that nobody reads need no mask."""
        return self.advance(x, None, context)[0]

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.probability}, spatial={self.spatial}"
