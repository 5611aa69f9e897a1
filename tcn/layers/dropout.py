"""Dropout of single values, of whole channels or of whole branches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import SequenceModule
from tcn.layers.state import State
from tcn.layers.validation import check_probability, check_state, check_switch
from tcn.native import convolution as native
from tcn.saving.description import recorded


def drop(x: Tensor, probability: float) -> Tensor:
    """``F.dropout`` in training, with cheaper random numbers where the kernels have them."""
    return native.dropout(x, probability) if native.drops(x) else F.dropout(x, probability)


class Dropout(SequenceModule):
    """Sets a share of the values to zero in training and scales the others up.

    ``spatial=True`` drops whole channels of a sequence, as Bai et al. 2018, section 3.4, say of
    their residual block ("spatial dropout"); their published code drops single values since
    April 2018. A stream in training keeps its dropped channels from chunk to chunk.

    Source: Srivastava et al. 2014; Tompson et al. 2015, section 3.2 (spatial).
    """

    @recorded
    def __init__(self, probability: float = 0.5, *, spatial: bool = False) -> None:
        """Drops a share ``probability`` of the values, or of the channels if ``spatial``.

        Raises:
            ValueError: if ``probability`` is not in ``[0, 1)``.
        """
        super().__init__()
        check_probability("dropout", probability)
        check_switch(spatial=spatial)
        self.probability = probability
        self.spatial = spatial

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Drops in training; the state of spatial dropout is which channels stay, scaled."""
        if not self.training or self.probability == 0:
            return x, ()
        if not self.spatial:
            want = None if context.grids is None else context.grids.get(self)
            return drop(x, self.probability) if want is None else self._drop_at(want, x), ()
        return _drop_whole(self, x, state, self.probability, axes=2)

    def _drop_at(self, want: Grid, x: Tensor) -> Tensor:
        """Drops at the positions that are read, as :meth:`on_grid` does; others stay."""
        kept = torch.ones_like(x)
        part = want.take(kept, Grid.whole(want.sizes))
        part.copy_(drop(torch.ones_like(part, memory_format=torch.contiguous_format),
                        self.probability))  # fmt: skip
        return x * kept

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Positions that nobody reads need no mask."""
        return self.advance(x, None, context)[0]

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.probability}, spatial={self.spatial}"


class StochasticDepth(SequenceModule):
    """Leaves out a branch for whole rows in training, and scales the rows that keep it up.

    A stream in training keeps its choice from chunk to chunk. Source: Huang et al. 2016, section 3.
    """

    @recorded
    def __init__(self, probability: float) -> None:
        """Leaves the branch out of a share ``probability`` of the rows.

        Raises:
            ValueError: if ``probability`` is not in ``[0, 1)``.
        """
        super().__init__()
        check_probability("probability", probability)
        self.probability = probability

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Drops rows in training; the state is which rows stay, scaled."""
        if not self.training or self.probability == 0:
            return x, ()
        return _drop_whole(self, x, state, self.probability, axes=1)

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Rows are the same on every grid."""
        return self.advance(x, None, context)[0]

    def extra_repr(self) -> str:
        """The setting."""
        return str(self.probability)


def _drop_whole(
    module: SequenceModule, x: Tensor, state: State | None, probability: float, *, axes: int
) -> tuple[Tensor, State]:
    """Drops all values that share the first ``axes`` axes together; the state is what stays."""
    kept = x.new_ones(x.shape[:axes] + (1,) * (x.dim() - axes))
    if state is None or isinstance(state, tuple):
        state = F.dropout(kept, probability)
    kept = check_state(module, state, tuple(kept.shape[:-1]), x)
    return x * kept, kept
