"""The kernels of the convolution as operators of PyTorch: ``tcn::convolve`` and ``tcn::dropout``.

They are differentiated any number of times, compiled and checked like any other operator. What is
not float32, and a machine without the compiled kernels, is served by :mod:`tcn.native.reference`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from tcn.native import checks, flops, plans, reference
from tcn.native import convolution_calls as calls
from tcn.native.library import library, transformed
from tcn.native.reference import Geometry

_GEOMETRY = "int left, int right, int stride, int dilation"
torch.library.define(
    "tcn::convolve",
    "(Tensor x, Tensor weight, Tensor? size, Tensor? bias, Tensor? shortcut, Tensor? seed, "
    f"{_GEOMETRY}, bool relu, float dropout, bool keep) -> (Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::convolve_backward",
    "(Tensor gradient, Tensor x, Tensor weight, Tensor? size, Tensor y, Tensor? kept, "
    f"{_GEOMETRY}, bool relu, float dropout, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::dropout",
    "(Tensor x, Tensor seed, float probability) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)


# --------------------------------------------------------------------- the kernels called


def _kernels_for(x: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels, if they take ``x`` and tensors of its type."""
    return library() if x.dtype == torch.float32 else None


@torch.library.impl("tcn::convolve", "CPU")
def _convolve(
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    bias: Tensor | None,
    shortcut: Tensor | None,
    seed: Tensor | None,
    left: int,
    right: int,
    stride: int,
    dilation: int,
    relu: bool,
    dropout: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """``keep``: whether the bits are wanted without which a shortcut has no gradients."""
    geometry = Geometry(left, right, stride, dilation)
    tensors = (x, weight, size, bias, shortcut, seed)
    plan = plans.plan_forward(*tensors, geometry, relu, dropout)
    kernels = _kernels_for(x)
    if kernels is None:
        return reference.forward(*tensors, geometry, relu, dropout, keep)
    y, kept = _empty_outputs(x, plan.out_shape, shortcut, keep)
    calls.convolve(kernels, *tensors[:-1], plan.dropping(seed), relu, plan.shape, y, kept)
    return y, kept


def _empty_outputs(
    x: Tensor, shape: tuple[int, int, int], shortcut: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor]:
    """Room for the output, and for one bit per value if there is a shortcut and they are kept."""
    batch, channels, steps = shape
    bits = (batch, channels, reference.kept_bytes(steps)) if keep and shortcut is not None else 0
    return x.new_empty(shape), x.new_empty(bits, dtype=torch.uint8)


@torch.library.impl("tcn::convolve_backward", "CPU")
def _convolve_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    kept: Tensor | None,
    left: int,
    right: int,
    stride: int,
    dilation: int,
    relu: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    geometry, tensors = (
        Geometry(left, right, stride, dilation),
        (gradient, x, weight, size, y, kept),
    )
    plan = plans.plan_backward(*tensors, geometry, relu, dropout, wanted)
    kernels = _kernels_for(x)
    if kernels is None:
        found = reference.backward(*tensors, geometry, relu, dropout, wanted)
        gradients = zip(found, wanted, strict=True)
        return tuple(  # type: ignore[return-value]
            t if asked and t is not None else x.new_empty(0) for t, asked in gradients
        )
    results = _empty_gradients(x, weight, size, y, wanted)
    calls.convolve_backward(kernels, *tensors, plan.dropping(None), relu, plan.shape, results)
    return results


def _empty_gradients(
    x: Tensor, weight: Tensor, size: Tensor | None, y: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Room for the gradients; one that is not wanted has no elements."""
    of_size = (0,) if size is None else size.shape
    shapes = (x.shape, weight.shape, of_size, weight.shape[:1], y.shape)
    return tuple(  # type: ignore[return-value]
        x.new_empty(shape if asked else (0,)) for shape, asked in zip(shapes, wanted, strict=True)
    )


@torch.library.impl("tcn::dropout", "CPU")
def _dropout(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    _check_dropout(x, seed, probability)
    checks.check_sizes("x", x.numel())
    kernels = library()
    if kernels is None or x.dtype not in calls.DROPPED:
        return (x * reference.mask(x, seed, probability)).to(x.dtype).contiguous()
    return calls.drop(kernels, x, seed, probability)


def _check_dropout(x: Tensor, seed: Tensor, probability: float) -> None:
    checks.check_tensors(x)
    checks.check_probability("probability", probability)
    checks.check_seed(seed, probability)


# ------------------------------------------------------- shapes and gradients for PyTorch


@torch.library.register_fake("tcn::convolve")
def _(
    x: Tensor, weight: Tensor, size: Any, bias: Any, shortcut: Any, seed: Any,
    left: int, right: int, stride: int, dilation: int, relu: bool, dropout: float, keep: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    geometry = Geometry(left, right, stride, dilation)
    shape = calls.check_forward(x, weight, size, bias, shortcut, seed, geometry, relu, dropout)
    return _empty_outputs(x, shape, shortcut, keep)


@torch.library.register_fake("tcn::convolve_backward")
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, size: Tensor | None, y: Tensor, kept: Any,
    left: int, right: int, stride: int, dilation: int, *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    geometry = Geometry(left, right, stride, dilation)
    calls.check_backward(gradient, x, weight, size, y, kept, geometry, *rest)
    return _empty_gradients(x, weight, size, y, rest[-1])


@torch.library.register_fake("tcn::dropout")
def _(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    _check_dropout(x, seed, probability)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


class Convolve(torch.autograd.Function):
    """``tcn::convolve`` with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, size: Tensor | None, *rest: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Arguments are those of the operator; the output alone unless bits are kept."""
        _, shortcut, _, *geometry, relu, dropout, keep = rest
        with torch._C._AutoDispatchBelowAutograd():
            y, kept = torch.ops.tcn.convolve.default(x, weight, size, *rest)
        saved = (y if relu else None, None if shortcut is None else kept)
        ctx.save_for_backward(x, weight, size, *saved)
        ctx.settings = (*geometry, relu, dropout)
        if not keep:  # a second output costs a tenth of a small convolution
            return y
        ctx.mark_non_differentiable(kept)
        ctx.set_materialize_grads(False)
        return y, kept

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Any) -> tuple[Any, ...]:
        """The gradients of the five tensors, as far as they are wanted."""
        if gradient is None:
            return (None,) * 13
        x, weight, size, y, kept = ctx.saved_tensors
        *geometry, relu, dropout = ctx.settings
        y = gradient if y is None else y  # not read without ReLU
        wanted = list(ctx.needs_input_grad[:5])
        tensors, rest = (gradient, x, weight, size, y, kept), (relu, dropout, wanted)
        if torch.is_grad_enabled() or transformed():  # differentiated again, or many at once
            calls.check_backward(*tensors, Geometry(*geometry), *rest)
            found = reference.backward(*tensors, Geometry(*geometry), *rest)
        else:
            found = torch.ops.tcn.convolve_backward.default(*tensors, *geometry, *rest)
        gradients = (tensor if asked else None for tensor, asked in zip(found, wanted, strict=True))
        return (*gradients, *(None,) * 8)


def _differentiably(*arguments: Any) -> tuple[Tensor, Tensor]:
    """As the operator returns it."""
    *_, keep = arguments
    found = Convolve.apply(*arguments)
    return found if keep else (found, found.new_empty(0, dtype=torch.uint8))


def _remember_seed(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    _, seed, ctx.probability = inputs
    ctx.save_for_backward(seed)


def _drop_again(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    (seed,) = ctx.saved_tensors
    if transformed():  # several gradients at once: the mask is the same for each
        return gradient * reference.mask(gradient, seed, ctx.probability), None, None
    return torch.ops.tcn.dropout(gradient, seed, ctx.probability), None, None


# A custom function costs a third of what torch.library.register_autograd adds to each call.
torch.library.impl("tcn::convolve", "Autograd")(_differentiably)
torch.library.register_autograd("tcn::dropout", _drop_again, setup_context=_remember_seed)
flops.register_when_imported()
