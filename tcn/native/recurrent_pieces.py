"""One call of a recurrent layer, piece by piece: the loop over its steps, and what surrounds it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.native import recurrent_reference as reference
from tcn.native.library import call, library
from tcn.native.recurrent_checks import CELLS

_PANEL = 48  # columns of the packed weights that stand together, as in source/recurrent.h
_AT_ONCE = 512  # rows of a product (steps times batch): enough for its rate, few for the cache


# --------------------------------------------------------------------- the kernels called


class _Piece(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("cell", "steps", "batch", "hidden")),
        *((name, ctypes.c_void_p) for name in ("weight", "mask", "state", "memory")),
        *((name, ctypes.c_void_p) for name in ("gates", "states", "memories")),
    ]


class _OfPiece(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("states", "gates", "state", "memory")]


def _address(tensor: Tensor | None) -> int | None:
    return tensor.data_ptr() if tensor is not None and tensor.numel() else None


def _pack(weight: Tensor) -> Tensor:
    """``(rows, columns)`` to panels of columns, ``(panels, rows, _PANEL)``, zeros at the end."""
    rows, columns = weight.shape
    full, rest = divmod(columns, _PANEL)
    packed = weight.new_zeros(full + (rest > 0), rows, _PANEL)
    packed[:full] = weight[:, : full * _PANEL].unflatten(1, (full, _PANEL)).transpose(0, 1)
    packed[full:, :, :rest] = weight[:, full * _PANEL :]
    return packed


class Loop:
    """What has to wait for the step before: by the kernels, or by lines of PyTorch."""

    def __init__(self, cell: str, weight: Tensor, mask: Tensor | None) -> None:
        """``weight``: what the state, or the gradient of the gates, meets from the right."""
        self.cell = cell
        self.kernels = library() if weight.dtype == torch.float32 else None
        self.weight = weight if self.kernels is None else _pack(weight)
        self.mask = None if mask is None else mask.contiguous()

    def forward(self, steps: slice, *tensors: Tensor) -> None:
        """For the tensors see :func:`reference.forward`."""
        mask = None if self.mask is None else self.mask[steps]
        if self.kernels is None:
            reference.forward(self.cell, self.weight, mask, *tensors)
        else:
            call(self.kernels.tcn_recur, self._piece(mask, *tensors), torch.get_num_threads())

    def backward(self, steps: slice, tensors: Sequence[Tensor], *gradients: Tensor | None) -> None:
        """For tensors and gradients see :func:`reference.backward`."""
        mask = None if self.mask is None else self.mask[steps]
        if self.kernels is None:
            reference.backward(self.cell, self.weight, mask, *tensors, *gradients)
        else:
            wanted = _OfPiece(*map(_address, gradients))
            call(
                self.kernels.tcn_recur_backward,
                self._piece(mask, *tensors), ctypes.byref(wanted), torch.get_num_threads(),
            )  # fmt: skip

    @contextlib.contextmanager
    def flushing(self) -> Iterator[None]:
        """A context in which numbers below the smallest normal one are zero to this thread.

        The gradients of steps long ago are that small, and slow a product down many times.
        """
        if self.kernels is not None:
            self.kernels.tcn_flush_denormals(1)
        try:
            yield
        finally:
            if self.kernels is not None:
                self.kernels.tcn_flush_denormals(0)

    def _piece(self, mask: Tensor | None, state: Tensor, *rest: Tensor) -> Any:
        steps, (batch, hidden) = rest[-2].shape[0], state.shape
        addresses = map(_address, (self.weight, mask, state, *rest))
        return ctypes.byref(_Piece(CELLS.index(self.cell), steps, batch, hidden, *addresses))


def pieces(x: Tensor) -> list[slice]:
    """The steps that are worked on at once; none are more than the first."""
    steps, batch, _ = x.shape
    most = max(1, _AT_ONCE // max(1, batch))
    return [slice(begin, min(begin + most, steps)) for begin in range(0, steps, most)]


# ------------------------------------------------------------- what need not wait, at once


class Gates(NamedTuple):
    """Columns of the gates: how many, what the inputs add to, what the state adds to.

    An LSTM and an RNN have PyTorch's order. A GRU has new (by the input), reset, update, new (by
    the state), so that either kind stands together.
    """

    size: int
    inputs: slice
    recurrent: slice

    @staticmethod
    def of(cell: str, hidden: int) -> Gates:
        """Those of a layer."""
        if cell == "GRU":
            return Gates(4 * hidden, slice(3 * hidden), slice(hidden, 4 * hidden))
        size = 4 * hidden if cell == "LSTM" else hidden
        return Gates(size, slice(size), slice(size))


def _ordered(cell: str, of_inputs: Tensor) -> Tensor:
    """Weights or bias of the inputs from PyTorch's order to that of the gates."""
    return of_inputs.roll(of_inputs.shape[0] // 3, 0) if cell == "GRU" else of_inputs


def _stacked(cell: str, of_inputs: Tensor) -> Tensor:
    """The other way round."""
    return of_inputs.roll(-(of_inputs.shape[0] // 3), 0) if cell == "GRU" else of_inputs


def _rows(x: Tensor) -> Tensor:
    """Time and batch in one axis."""
    return x.reshape(-1, x.shape[-1])


class Inputs:
    """The share of the inputs in the gates, and the biases."""

    def __init__(self, cell: str, weight_ih: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> None:
        """Weights and biases as PyTorch stacks them."""
        hidden = len(bias_hh) // 3 if cell == "GRU" else 0
        # A GRU's last bias stays apart: the reset gate multiplies it.
        joined, self.apart = bias_hh.split([len(bias_hh) - hidden, hidden])
        self.bias = _ordered(cell, bias_ih + F.pad(joined, (0, hidden)))
        self.weight = _ordered(cell, weight_ih).t()

    def write(self, x: Tensor, gates: Tensor) -> None:
        """Into the gates of the steps of ``x``."""
        rows, columns = _rows(gates), len(self.bias)
        torch.addmm(self.bias, _rows(x), self.weight, out=rows[:, :columns])
        rows[:, columns:] = self.apart


class Sums:
    """The gradients that are sums over the steps, and that of the inputs."""

    def __init__(
        self, cell: str, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, wanted: list[bool]
    ) -> None:
        """``wanted``: whether that of the inputs is, and whether the others are."""
        self.cell, self.gates = cell, Gates.of(cell, weight_hh.shape[1])
        self.x, self.weight_ih = x, _ordered(cell, weight_ih)
        self.of_x = x.new_empty(x.shape if wanted[0] else 0)
        # Transposed, which is the faster product by up to a half.
        shapes = (weight_ih.t().shape, weight_hh.t().shape, self.gates.size)
        self.of_weight_ih, self.of_weight_hh, self.of_bias = (
            x.new_zeros(shape if wanted[1] else 0) for shape in shapes
        )

    def add(self, steps: slice, of_gates: Tensor, state: Tensor, y: Tensor) -> None:
        """``y``: the states after the steps; ``state``: that before them."""
        of_gates = _rows(of_gates)
        by_inputs, by_state = of_gates[:, self.gates.inputs], of_gates[:, self.gates.recurrent]
        if self.of_x.numel():
            torch.mm(by_inputs, self.weight_ih, out=_rows(self.of_x[steps]))
        if self.of_bias.numel():
            batch = len(state)
            self.of_weight_ih.addmm_(_rows(self.x[steps]).t(), by_inputs)
            self.of_weight_hh.addmm_(state.t(), by_state[:batch])
            self.of_weight_hh.addmm_(_rows(y[:-1]).t(), by_state[batch:])
            self.of_bias += of_gates.sum(0)

    def of_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of both weights and both biases, as PyTorch stacks them."""
        of_bias_ih, of_bias_hh = self.of_bias[self.gates.inputs], self.of_bias[self.gates.recurrent]
        return (
            _stacked(self.cell, self.of_weight_ih.t()).contiguous(),
            self.of_weight_hh.t().contiguous(),
            _stacked(self.cell, of_bias_ih),
            of_bias_hh.clone(),
        )
