"""What advances the rows of a session: the native program, or ``net.step``, which every net has."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tcn.inference.beginnings import check_state
from tcn.inference.checks import in_training
from tcn.inference.state import check_fits, clone, map_tensors, put_rows, take_rows
from tcn.layers import SequenceModule, State


class Engine(Protocol):
    """Rows with a state each: :class:`TorchRows` here, or :class:`tcn.native.rows.StreamRows`.

    Rows are named by a 1-D int64 tensor of distinct indices; None is all of them in order.
    """

    def push(
        self, x: Tensor, rows: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Advances rows over a chunk that has been checked, and returns its outputs."""

    def get_state(self, rows: Tensor | None = None) -> State:
        """A copy of the state of rows that have begun, as ``net.step`` returns it."""

    def set_state(self, state: State, rows: Tensor | None = None) -> None:
        """Makes rows go on from a state.

        Raises:
            ValueError: if it is not one of this net and of as many rows.
        """

    def reset(self) -> None:
        """Begins every row anew, with zeros at every layer."""


class TorchRows:
    """Rows advanced by ``net.step``: the state of ``count`` rows; None until one has begun."""

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
        before = self._state
        if before is not None and rows is not None:
            before = take_rows(before, rows)
        y, after = self.net.step(x, before, condition=condition)
        if rows is None:
            self._state, self._owned = map_tensors(_compact, after), False
        else:
            self._put(after, rows)
        return y

    def get_state(self, rows: Tensor | None = None) -> State:
        """A copy of the state of all rows or of some.

        Raises:
            ValueError: if none has begun.
        """
        if self._state is None:
            raise ValueError("rows: none has begun, so there is no state yet; push to them first")
        return clone(self._state) if rows is None else take_rows(self._state, rows)

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
