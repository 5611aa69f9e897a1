"""What the kernels of the recurrent layers compute, in a few lines of PyTorch.

It serves what is not float32 and machines without the compiled kernels, and is what the tests
compare with, besides PyTorch's own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def forward(
    cell: str,
    weight: Tensor,
    mask: Tensor | None,
    state: Tensor,
    memory: Tensor,
    gates: Tensor,
    y: Tensor,
    memories: Tensor,
) -> None:
    """What the kernel behind ``tcn::recur`` computes.

    Args:
        cell: ``"LSTM"``, ``"GRU"`` or ``"RNN_TANH"``.
        weight: ``(hidden, columns)``: what the state adds to the last ``columns`` gates.
        mask: ``(time, batch)``; where it is False the state stays as it was.
        state: ``(batch, hidden)``, before the first step.
        memory: the same for an LSTM's cell, otherwise without elements.
        gates: ``(time, batch, gates)``: the share of the inputs, replaced by the activations.
        y: ``(time, batch, hidden)``: where the states after each step go.
        memories: the same for an LSTM's cell.
    """
    for step, now in enumerate(gates):
        now[:, now.shape[1] - weight.shape[1] :] += state @ weight
        valid, (after, remembered) = _valid(mask, step), _activate(cell, now, state, memory)
        state, memory = after.where(valid, state), remembered.where(valid, memory)
        y[step], memories[step] = state, memory


def _valid(mask: Tensor | None, step: int) -> Tensor:
    return torch.ones(1, dtype=torch.bool) if mask is None else mask[step, :, None]


def _activate(cell: str, now: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces the gates of one step by their activations; returns the state after it."""
    if cell == "RNN_TANH":
        return now.tanh_(), memory
    first, second, third, fourth = now.chunk(4, 1)
    if cell == "LSTM":
        memory = second.sigmoid_() * memory + first.sigmoid_() * third.tanh_()
        return fourth.sigmoid_() * memory.tanh(), memory
    first.add_(second.sigmoid_() * fourth).tanh_()
    return torch.lerp(first, state, third.sigmoid_()), memory


def backward(
    cell: str,
    weight: Tensor,
    mask: Tensor | None,
    state: Tensor,
    memory: Tensor,
    gates: Tensor,
    y: Tensor,
    memories: Tensor,
    of_y: Tensor,
    of_gates: Tensor,
    of_state: Tensor,
    of_memory: Tensor,
) -> None:
    """What the kernel behind ``tcn::recur_backward`` computes.

    Args:
        cell: see :func:`forward`, as for the tensors up to ``memories``.
        weight: ``(columns, hidden)``.
        mask: ``(time, batch)``.
        state: before the first step.
        memory: before the first step.
        gates: their activations; not read for an RNN.
        y: the states after each step.
        memories: the same for an LSTM's cell.
        of_y: gradient of ``y``.
        of_gates: where the gradient of the gates before their activation goes.
        of_state: gradient of the state after the last step by what follows, replaced by that of
            the one before the first.
        of_memory: the same for an LSTM's cell.
    """
    for step in reversed(range(len(y))):
        before = (y[step - 1], memories[step - 1]) if step else (state, memory)
        of_state += of_y[step]
        now = None if cell == "RNN_TANH" else gates[step]
        of_now, *of_before = _derive(
            cell, now, y[step], memories[step], before, of_state, of_memory
        )
        valid = _valid(mask, step)
        of_gates[step] = of_now.where(valid, 0)
        of_before[0] = of_before[0] + of_now[:, of_now.shape[1] - len(weight) :] @ weight
        of_state.copy_(of_before[0].where(valid, of_state))
        of_memory.copy_(of_before[1].where(valid, of_memory))


def _derive(
    cell: str,
    gates: Tensor | None,
    y: Tensor,
    memory: Tensor,
    before: tuple[Tensor, Tensor],
    of_state: Tensor,
    of_memory: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the gates, and of state and memory before, as far as these pass by the gates."""
    if gates is None:
        return of_state * (1 - y * y), torch.zeros_like(of_state), of_memory
    first, second, third, fourth = gates.chunk(4, 1)
    if cell == "LSTM":
        bent = memory.tanh()
        of_memory = of_memory + of_state * fourth * (1 - bent * bent)
        of_gates = (
            of_memory * third * first * (1 - first),
            of_memory * before[1] * second * (1 - second),
            of_memory * first * (1 - third * third),
            of_state * bent * fourth * (1 - fourth),
        )
        return torch.cat(of_gates, 1), torch.zeros_like(of_state), of_memory * second
    of_new = of_state * (1 - third) * (1 - first * first)
    of_reset = of_new * fourth * second * (1 - second)
    of_update = of_state * (before[0] - first) * third * (1 - third)
    return (
        torch.cat((of_new, of_reset, of_update, of_new * second), 1),
        of_state * third,
        of_memory,
    )


def gradients(
    inputs: Sequence[Tensor | None],
    mask: Tensor | None,
    cell: str,
    of_y: Tensor | None,
    of_memory: Tensor | None,
    asked: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the inputs of ``tcn::recur``, from operators that have gradients again."""
    outputs = states(cell, mask, *inputs)
    pairs = [pair for pair in zip(outputs, (of_y, of_memory), strict=True) if pair[1] is not None]
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        [
            tensor
            for tensor, given in zip(inputs, asked, strict=True)
            if given and tensor is not None
        ],
        [gradient for _, gradient in pairs],
        create_graph=True,
        allow_unused=True,
    )
    remaining = iter(found)
    return [next(remaining) if given else None for given in asked]


def states(
    cell: str, mask: Tensor | None, x: Any, state: Any, memory: Any, *weights: Any
) -> tuple[Tensor, Tensor]:
    """The states after every step and the last memory, by PyTorch's own cells."""
    states = []
    for step, now in enumerate(x):
        valid = _valid(mask, step)
        if cell == "LSTM":
            after, remembered = torch.lstm_cell(now, (state, memory), *weights)
            memory = remembered.where(valid, memory)
        else:
            after = _CELLS[cell](now, state, *weights)
        state = after.where(valid, state)
        states.append(state)
    return torch.stack(states), memory


_CELLS: dict[str, Callable[..., Tensor]] = {
    "GRU": torch.gru_cell,
    "RNN_TANH": torch.rnn_tanh_cell,
}
