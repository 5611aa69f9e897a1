"""The rows of a stream advanced by ``net.step``: what every net has, beside the native program.

It has the methods of :class:`tcn.native.rows.StreamRows`, so a session does not mind which of
the two does the work.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tcn.inference.beginnings import check_state
from tcn.inference.checks import in_training
from tcn.inference.state import check_fits, clone, map_tensors, put_rows, take_rows
from tcn.layers import SequenceModule, State


class TorchRows:
    """The state of ``count`` rows; None until one of them has begun."""

    def __init__(self, net: SequenceModule, count: int) -> None:
        self.net = net
        self.count = count
        self._state: State | None = None
        # What net.step returns may share memory with its input or output: copied before a write.
        self._owned = False

    @torch.no_grad()
    def push(
        self, x: Tensor, rows: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Advances all rows, or some of them, and returns what ``net.step`` returns.

        Raises:
            ValueError: if the net is in training mode, or an input does not fit.
        """
        if self.net.training:
            raise in_training(self.net)
        y, after = self.net.step(x, self.get_state(rows, copy=False), condition=condition)
        if rows is None:
            self._state, self._owned = map_tensors(_compact, after), False
        else:
            self._put(after, rows)
        return y

    def get_state(self, rows: Tensor | None = None, *, copy: bool = True) -> State | None:
        """The state of all rows or of some; None if none has begun."""
        if self._state is None:
            return None
        if rows is not None:
            return take_rows(self._state, rows)
        return clone(self._state) if copy else self._state

    def set_state(self, state: State, rows: Tensor | None = None) -> None:
        """Replaces the state of all rows or of some.

        Raises:
            ValueError: if it is not a state of this net and of as many rows.
        """
        count = self.count if rows is None else len(rows)
        if self._state is None:
            check_state(self.net, state, rows=count)
        else:
            check_fits(state, self._state, rows=count)
        self._put(state, rows)

    @torch.inference_mode(False)  # tensors made in it could not be changed outside of it
    @torch.no_grad()
    def _put(self, state: State, rows: Tensor | None) -> None:
        if rows is None:
            self._state, self._owned = clone(state), True
            return
        if self._state is None:
            self._state = map_tensors(lambda t: t.new_zeros(self.count, *t.shape[1:]), state)
        elif not self._owned:
            self._state = clone(self._state)
        self._owned = True
        put_rows(self._state, rows, state)

    def reset(self) -> None:
        """Forgets everything: no row has begun."""
        self._state = None


def _compact(tensor: Tensor) -> Tensor:
    """A copy of a small part of a large tensor, such as the end of a long chunk, which it frees."""
    large = tensor.untyped_storage().nbytes() > 2 * tensor.numel() * tensor.element_size()
    return tensor.clone() if large else tensor
