"""The recurrent layers as operators of PyTorch: ``tcn::recur`` and ``tcn::recur_backward``.

They are differentiated any number of times, compiled and checked like any other operator. What is
not float32, and a machine without the compiled kernels, is served by ``recurrent_reference.py``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tcn.native import flops
from tcn.native import recurrent_reference as reference
from tcn.native.library import transformed
from tcn.native.recurrent_checks import check_backward, check_forward, check_layer_sizes
from tcn.native.recurrent_pieces import Gates, Inputs, Loop, Sums, pieces

torch.library.define(
    "tcn::recur",
    "(Tensor x, Tensor state, Tensor? memory, Tensor weight_ih, Tensor weight_hh, Tensor bias_ih, "
    "Tensor bias_hh, Tensor? mask, str cell, bool keep) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::recur_backward",
    "(Tensor? of_y, Tensor? of_memory, Tensor x, Tensor state, Tensor? memory, Tensor weight_ih, "
    "Tensor weight_hh, Tensor? mask, Tensor y, Tensor memories, Tensor gates, str cell, "
    "bool[] wanted) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)


@torch.library.impl("tcn::recur", "CPU")
def _recur(
    x: Tensor,
    state: Tensor,
    memory: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    mask: Tensor | None,
    cell: str,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_forward(x, state, memory, weight_ih, weight_hh, bias_ih, bias_hh, mask, cell)
    check_layer_sizes(x, state, weight_hh)
    y, after, memories, gates = _empty(x, state, memory, cell, keep)
    parts = pieces(x)
    # An RNN's state takes the place of its only gate; gates that are not kept give way to the next.
    room = gates if keep else gates.new_empty(parts[0].stop, *gates.shape[1:])
    loop, inputs = Loop(cell, weight_hh.t(), mask), Inputs(cell, weight_ih, bias_ih, bias_hh)
    state, memory = state.contiguous(), after if memory is None else memory.contiguous()
    for steps in parts:
        now = y[steps] if cell == "RNN_TANH" else room[steps if keep else slice(_length(steps))]
        inputs.write(x[steps], now)
        loop.forward(steps, state, memory, now, y[steps], memories[steps])
        state, memory = y[steps][-1], memories[steps][-1]
    return y, after.copy_(memory), memories, gates


def _empty(
    x: Tensor, state: Tensor, memory: Tensor | None, cell: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for the states after each step, the last memory, the memories and the gates."""
    steps, batch, hidden = x.shape[0], *state.shape
    remembered = 0 if memory is None else hidden
    kept = steps if keep and cell != "RNN_TANH" else 0
    return (
        x.new_empty(steps, batch, hidden),
        x.new_empty(batch, remembered),
        x.new_empty(steps, batch, remembered),
        x.new_empty(kept, batch, Gates.of(cell, hidden).size),
    )


@torch.library.impl("tcn::recur_backward", "CPU")
def _recur_backward(
    of_y: Tensor | None,
    of_memory: Tensor | None,
    x: Tensor,
    state: Tensor,
    memory: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    mask: Tensor | None,
    y: Tensor,
    memories: Tensor,
    gates: Tensor,
    cell: str,
    wanted: list[bool],
) -> tuple[Tensor, ...]:
    layer = (x, state, memory, weight_ih, weight_hh, mask)
    check_backward(of_y, of_memory, *layer, y, memories, gates, cell, wanted)
    check_layer_sizes(x, state, weight_hh)
    y, memories, gates = y.contiguous(), memories.contiguous(), gates.contiguous()
    parts = pieces(x)
    loop, sums = Loop(cell, weight_hh, mask), Sums(cell, x, weight_ih, weight_hh, wanted)
    of_y = torch.zeros_like(y) if of_y is None else of_y.contiguous()
    of_state = torch.zeros_like(y[0])
    # It is written to, and in the order of its axes: a clone alone would keep a transposed one so.
    of_memory = memories.new_zeros(memories.shape[1:]) if of_memory is None else of_memory
    of_memory = of_memory.clone(memory_format=torch.contiguous_format)
    of_gates = gates.new_empty(parts[0].stop, *gates.shape[1:])
    states = state.contiguous(), memories[0] if memory is None else memory.contiguous()
    with loop.flushing():
        for steps in reversed(parts):
            now, at = of_gates[: _length(steps)], steps.start
            before = (y[at - 1], memories[at - 1]) if at else states
            tensors = (*before, gates[steps], y[steps], memories[steps])
            loop.backward(steps, tensors, of_y[steps], now, of_state, of_memory)
            sums.add(steps, now, before[0], y[steps])
    return sums.of_x, of_state, of_memory, *sums.of_weights()


def _length(steps: slice) -> int:
    return steps.stop - steps.start


# ------------------------------------------------------- shapes and gradients for PyTorch


@torch.library.register_fake("tcn::recur")
def _(
    x: Tensor, state: Tensor, memory: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_forward(x, state, memory, *rest[:-1])
    return _empty(x, state, memory, *rest[-2:])


@torch.library.register_fake("tcn::recur_backward")
def _(
    of_y: Any, of_memory: Any, x: Tensor, state: Tensor, memory: Any, weight_ih: Tensor,
    weight_hh: Tensor, mask: Any, y: Tensor, memories: Tensor, gates: Tensor, cell: str,
    wanted: list[bool],
) -> tuple[Tensor, ...]:  # fmt: skip
    layer = (x, state, memory, weight_ih, weight_hh, mask)
    check_backward(of_y, of_memory, *layer, y, memories, gates, cell, wanted)
    rows = len(weight_hh) if wanted[1] else 0
    weights = (weight_ih.shape, weight_hh.shape) if wanted[1] else (0, 0)
    shapes = (x.shape if wanted[0] else 0, y.shape[1:], memories.shape[1:], *weights, rows, rows)
    return tuple(x.new_empty(shape) for shape in shapes)


class Recur(torch.autograd.Function):
    """``tcn::recur`` with its gradients."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arguments are those of the operator."""
        with torch._C._AutoDispatchBelowAutograd():
            results = torch.ops.tcn.recur.default(*arguments)
        *tensors, ctx.cell, _ = arguments
        ctx.save_for_backward(*tensors, *(results[i] for i in (0, 2, 3)))
        ctx.mark_non_differentiable(*results[2:])
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, of_y: Tensor | None, of_memory: Any, *_: Any) -> tuple[Any, ...]:
        """The gradients of the seven tensors, as far as they are wanted."""
        saved, asked = ctx.saved_tensors, ctx.needs_input_grad[:7]
        inputs, mask, kept = saved[:7], saved[7], saved[8:]
        if torch.is_grad_enabled() or transformed():  # differentiated again, or many at once
            found = reference.gradients(inputs, mask, ctx.cell, of_y, of_memory, asked)
        else:
            wanted = [asked[0], any(asked[3:])]
            found = torch.ops.tcn.recur_backward.default(
                of_y, of_memory, *inputs[:5], mask, *kept, ctx.cell, wanted
            )
        gradients = (tensor if given else None for tensor, given in zip(found, asked, strict=True))
        return (*gradients, None, None, None)


# A custom function costs a third of what torch.library.register_autograd adds to each call.
torch.library.impl("tcn::recur", "Autograd")(Recur.apply)

flops.register_when_imported()
