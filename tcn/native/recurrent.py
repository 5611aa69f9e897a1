"""LSTM, GRU and RNN over float32 sequences on a CPU, forward and backward.

    x  --- one product for many steps --->  gates  --- activations --->  state
                                              ^                            |
                                              '--- recurrent weights <-----'  one step later

What need not wait for the step before is left to PyTorch's matrix products, some steps at a time so
that they stay in the cache: the share of the inputs, and the gradients of inputs and weights. The
rest is one call for all those steps, ``source/recurrent.cpp``. The same in a few lines of PyTorch
is in ``recurrent_reference.py``, the operators with their gradients in ``recurrent_operators.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tcn.native import recurrent_reference as reference
from tcn.native.library import serves, transformed
from tcn.native.recurrent_checks import check_forward
from tcn.native.recurrent_operators import Recur

__all__ = ["recur", "wins"]


def recur(
    x: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    mask: Tensor | None = None,
    *,
    cell: str,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One recurrent layer over a sequence.

    Args:
        x: ``(time, batch, channels)``.
        state: one tensor ``(batch, hidden)``, two for an LSTM.
        weights: ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` as ``nn.LSTM``,
            ``nn.GRU`` and ``nn.RNN`` stack them.
        mask: bool, ``(time, batch)``; where it is False the state stays as it was.
        cell: ``"LSTM"``, ``"GRU"`` or ``"RNN_TANH"``, the last one with tanh.

    Returns:
        The state after every step, ``(time, batch, hidden)``, and all of it after the last one.

    Raises:
        ValueError: if a shape does not fit, or there is no such cell.
        TypeError: if the tensors differ in type or device.
        MemoryError: if there is no memory for what the kernels need besides the output.
    """
    hidden, memory = state if len(state) > 1 else (state[0], None)
    tensors = (x, hidden, memory, *weights)
    if not torch.compiler.is_compiling() and transformed():
        check_forward(*tensors, mask, cell)  # type: ignore[call-arg, arg-type]
        y, memory = reference.states(cell, mask, *tensors)
        return y, (y[-1], memory) if len(state) > 1 else (y[-1],)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    # The operator calls the function; calling it directly saves a part of a short sequence.
    function = torch.ops.tcn.recur if torch.compiler.is_compiling() else Recur.apply
    y, memory, *_ = function(*tensors, mask, cell, keep)
    return y, (y[-1], memory) if len(state) > 1 else (y[-1],)


def wins(x: Tensor, layers: nn.RNNBase, *, masked: bool) -> bool:
    """Whether the kernels do what ``layers`` does with ``x``, ``(batch, time, channels)``, faster.

    Processor times of PyTorch / those of the kernels, medians of three turns: one layer with one
    input channel, one thread of an Intel Xeon with AVX-512 that had other work too, 2026-11-22::

                               LSTM             GRU             RNN
        hidden  time  batch  train  infer    train  infer    train  infer
            50   784      1   1.6    1.8      58     19       24     11
           130   784      1   1.3    1.4      19      6.4     12      5.1
           500   200      1   1.0    1.0       3.5    1.2      7.4    1.9
          1000   100      1   0.9    1.1       2.3    0.9      2.8    1.0
            50   784     16   1.1    0.9       8.1    4.4      5.4    2.4
           130   784     16   1.5    0.9       4.0    2.5      3.2    2.1
           500   200     16   1.4    1.1       2.4    2.0      2.5    1.7
          1000   100     16   1.2    0.8       1.9    1.5      2.2    1.8
            50   784     64   1.7    0.9       3.5    2.8      1.9    1.4
           130   784     64   1.5    1.1       2.7    2.3      2.0    1.5
           500   100     64   1.3    1.0       1.5    1.6      1.4    1.3
          1000    50     64   1.2    1.2       1.5    1.4      1.4    1.2
        only the last step read, so that most gradients are below the smallest normal number:
           130   784     64   8.4             5.9              4.2
        with lengths between a quarter and the whole:
           130   200     16   9.9    2.2      12      2.7       7.2    2.5

    Without lengths and gradients PyTorch runs an LSTM as one call of oneDNN, which is as fast. With
    few steps, packing the weights takes longer than it saves (16 steps of 130 channels in training:
    LSTM 0.7 to 1.0, GRU 1.8 to 2.3).
    """
    if not _known(layers):
        return False
    if masked and torch.compiler.is_exporting():
        return True  # PyTorch packs rows, the sizes of which no graph knows
    training, one_call = torch.is_grad_enabled(), layers.mode == "LSTM" and not masked
    if one_call and not (training and _shared_out(x)):
        return False
    fewest = FEWEST_STEPS_OF_A_LOOP if training and not one_call else FEWEST_STEPS
    return x.shape[1] >= fewest and serves(x)


FEWEST_STEPS, FEWEST_STEPS_OF_A_LOOP = 64, 16
"""The second where PyTorch is a loop of operators that are differentiated one by one."""


def _known(layers: nn.RNNBase) -> bool:
    """Whether it is PyTorch's own, as the nets make it, and no hook sits on it."""
    if type(layers) not in (nn.LSTM, nn.GRU, nn.RNN) or layers.mode == "RNN_RELU":
        return False
    plain = layers.bias and not layers.bidirectional and not layers.proj_size
    return bool(plain) and not (
        layers._forward_hooks or layers._forward_pre_hooks or layers._backward_hooks
    )


def _shared_out(x: Tensor) -> bool:
    """Whether each thread has a row of the batch."""
    # torch.compile cannot ask for the number of threads without breaking its graph in two.
    return torch.compiler.is_compiling() or x.shape[0] >= torch.get_num_threads()
