"""Recurrent layers that a graph can hold for sequences of every length.

PyTorch's exporter unrolls ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` over the steps of its example, so
that the graph serves that one length. :func:`exportable_recurrence` puts one operator per layer in
their place: ``tcn::recurrent_layer``, which runs PyTorch's own layer and is written to an ONNX file
as its operator of the same name. A ``.pt2`` file refers to the operator: import this module before
calling ``torch.export.load``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_LAYERS: dict[str, Callable[..., Sequence[Tensor]]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN": torch.rnn_tanh,
}

# Which rows of PyTorch's stacked gates come first, second, ... in ONNX.
_ONNX_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


@torch.library.custom_op("tcn::recurrent_layer", mutates_args=())
def recurrent_layer(
    cell: str, x: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """One recurrent layer over a sequence.

    Args:
        cell: ``"LSTM"``, ``"GRU"`` or ``"RNN"``.
        x: ``(batch, time, channels)``.
        state: one tensor ``(1, batch, hidden)``, two for an LSTM.
        weights: ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` as PyTorch stacks them.

    Returns:
        The outputs ``(batch, time, hidden)``, then the state after the last step.
    """
    before = tuple(state) if len(state) > 1 else state[0]
    settings = (True, 1, 0.0, False, False, True)  # biases, layers, dropout, training, 2-way, batch
    y, *after = _LAYERS[cell](x, before, list(weights), *settings)
    # The contract of operators: nothing returned shares memory with anything else.
    return [y.clone(), *(part.clone() for part in after)]


@recurrent_layer.register_fake
def _(cell: str, x: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    y = x.new_empty(x.shape[0], x.shape[1], state[0].shape[-1])
    return [y, *(torch.empty_like(part) for part in state)]


class Recurrence(nn.Module):
    """Stands in for an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``, with its weights."""

    def __init__(self, layers: nn.RNNBase) -> None:
        """Takes the weights of ``layers``.

        Raises:
            ValueError: if it is bidirectional, projects, lacks biases, is not batch first, or is
                an RNN with another activation than tanh.
        """
        super().__init__()
        plain = layers.batch_first and layers.bias and not layers.bidirectional
        if not plain or layers.proj_size or layers.mode not in ("LSTM", "GRU", "RNN_TANH"):
            raise ValueError(
                f"net: {layers} cannot be exported; only LSTM, GRU and tanh RNN can, batch first, "
                "with biases, one direction and no projection"
            )
        self.cell = layers.mode.removesuffix("_TANH")
        self.num_layers = layers.num_layers
        self.hidden_size = layers.hidden_size
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.weights = nn.ModuleList(
            nn.ParameterList(getattr(layers, f"{name}_l{layer}") for name in names)
            for layer in range(layers.num_layers)
        )

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Like ``nn.LSTM`` and ``nn.GRU``: layers first in the state, a tuple for an LSTM only."""
        parts = state if isinstance(state, tuple) else (state,)
        after = []
        for layer in range(self.num_layers):
            before = [part[layer : layer + 1] for part in parts]
            weights = list(self.weights[layer].parameters())
            x, *ended = torch.ops.tcn.recurrent_layer(self.cell, x, before, weights)
            after.append(ended)
        joined = tuple(torch.cat(layers) for layers in zip(*after, strict=True))
        return x, joined if isinstance(state, tuple) else joined[0]


def exportable_recurrence(net: nn.Module) -> nn.Module:
    """Replaces every recurrent layer in ``net``, in place: same outputs.

    Raises:
        ValueError: if one of them has no counterpart.
    """
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.RNNBase):
                setattr(parent, name, Recurrence(child))
    return net


def onnx_translation() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How ONNX writes the operator, for ``custom_translation_table`` of ``torch.onnx.export``."""
    return {torch.ops.tcn.recurrent_layer.default: _to_onnx}


def _to_onnx(cell: str, x: Any, state: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
    """ONNX has time first, a leading axis for the direction, and an order of gates of its own."""
    from onnxscript import opset18

    op: Any = opset18  # its annotations know no constants
    hidden = weights[1].shape[-1]
    rows = [gate * hidden + row for gate in _ONNX_GATES[cell] for row in range(hidden)]
    order = op.Constant(value_ints=rows)
    direction = op.Constant(value_ints=[0])
    from_input, from_hidden, *biases = [op.Gather(weight, order, axis=0) for weight in weights]
    arguments = (
        op.Transpose(x, perm=[1, 0, 2]),
        op.Unsqueeze(from_input, direction),
        op.Unsqueeze(from_hidden, direction),
        op.Unsqueeze(op.Concat(*biases, axis=0), direction),
        None,  # lengths: all rows are read to the end
        *state,
    )
    # PyTorch's GRU multiplies by the reset gate after the matrix product.
    after_product = {"linear_before_reset": 1} if cell == "GRU" else {}
    y, *after = getattr(op, cell)(*arguments, hidden_size=hidden, **after_product)
    y = op.Squeeze(y, op.Constant(value_ints=[1]))
    return [op.Transpose(y, perm=[1, 0, 2]), *after]
