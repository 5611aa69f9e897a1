"""The kernels of the convolution as operators of PyTorch: ``tcn::convolve`` and ``tcn::dropout``.

They are differentiated any number of times, compiled and checked like any other operator. What is
not float32, and a machine without the compiled kernels, is served by :mod:`tcn.native.reference`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from tcn.native import reference
from tcn.native.library import library
from tcn.native.reference import Geometry

DROPPED = (torch.float32, torch.bfloat16)
"""What the kernel of the dropout takes."""

_GEOMETRY = "int left, int right, int stride, int dilation"
torch.library.define(
    "tcn::convolve",
    "(Tensor x, Tensor weight, Tensor? size, Tensor? bias, Tensor? shortcut, Tensor? seed, "
    f"{_GEOMETRY}, bool relu, float dropout) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::convolve_backward",
    "(Tensor gradient, Tensor x, Tensor weight, Tensor? size, Tensor y, Tensor? shortcut, "
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


class _Shape(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("batch", "in_channels", "out_channels", "kernel_size", "in_steps", "out_steps",
                     "dilation", "stride", "left_zeros")
    ]  # fmt: skip


class _Finish(ctypes.Structure):
    _fields_ = [
        ("bias", ctypes.c_void_p),
        ("relu", ctypes.c_int64),
        ("shortcut", ctypes.c_void_p),
        ("shortcut_strides", ctypes.c_int64 * 3),
        ("drop_below", ctypes.c_int64),
        ("scale", ctypes.c_float),
        ("seed", ctypes.c_uint64),
    ]


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _shape(x: Tensor, weight: Tensor, geometry: Geometry) -> _Shape:
    batch, in_channels, in_steps = x.shape
    out_channels, _, kernel_size = weight.shape
    out_steps = geometry.out_steps(in_steps, kernel_size)
    return _Shape(
        batch, in_channels, out_channels, kernel_size, in_steps, out_steps,
        geometry.dilation, geometry.stride, geometry.left,
    )  # fmt: skip


def _finish(
    bias: Tensor | None,
    relu: bool,
    shortcut: Tensor | None,
    dropout: float,
    seed: Tensor | None = None,
) -> _Finish:
    return _Finish(
        None if bias is None else bias.data_ptr(),
        relu,
        None if shortcut is None else shortcut.data_ptr(),
        (ctypes.c_int64 * 3)(*(() if shortcut is None else shortcut.stride())),
        *_dropping(dropout, seed),
    )


def _dropping(
    probability: float, seed: Tensor | None
) -> tuple[ctypes.c_int64, ctypes.c_float, ctypes.c_uint64]:
    """The limit below which a random number drops a value, the scale of the others, the seed."""
    below = 0 if seed is None else reference.drop_below(probability)
    scale = 1 / (1 - probability)
    return ctypes.c_int64(below), ctypes.c_float(scale), ctypes.c_uint64(int(seed or 0))


def _kernels_for(*tensors: Tensor | None) -> ctypes.CDLL | None:
    """The compiled kernels, if they take these tensors."""
    fits = all(tensor is None or tensor.dtype == torch.float32 for tensor in tensors)
    return library() if fits else None


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
) -> Tensor:
    geometry = Geometry(left, right, stride, dilation)
    kernels = _kernels_for(x, weight, size, bias, shortcut)
    if kernels is None:
        return reference.forward(x, weight, size, bias, shortcut, seed, geometry, relu, dropout)
    x, weight = x.contiguous(), weight.contiguous()
    size = None if size is None else size.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _empty_output(x, weight, geometry)
    _check_shortcut(shortcut, y)
    kernels.tcn_convolve(
        ctypes.byref(_shape(x, weight, geometry)),
        ctypes.byref(_finish(bias, relu, shortcut, dropout, seed)),
        _address(x), _address(weight), _address(size), _address(y), torch.get_num_threads(),
    )  # fmt: skip
    return y


def _empty_output(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    if x.dim() != 3 or weight.dim() != 3 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x: shape {tuple(x.shape)} with a weight of shape {tuple(weight.shape)}; expected "
            "(batch, in_channels, time) and (out_channels, in_channels, kernel_size)"
        )
    steps = geometry.out_steps(x.shape[-1], weight.shape[-1])
    if steps < 1:
        raise ValueError(
            f"x: {x.shape[-1]} steps are too few for {weight.shape[-1]} taps under {geometry}; "
            "add zeros on the left"
        )
    return x.new_empty(x.shape[0], weight.shape[0], steps)


def _check_shortcut(shortcut: Tensor | None, y: Tensor) -> None:
    if shortcut is not None and shortcut.shape != y.shape:
        raise ValueError(
            f"shortcut: shape {tuple(shortcut.shape)}, expected that of the output, "
            f"{tuple(y.shape)}"
        )


@torch.library.impl("tcn::convolve_backward", "CPU")
def _convolve_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    shortcut: Tensor | None,
    left: int,
    right: int,
    stride: int,
    dilation: int,
    relu: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    geometry = Geometry(left, right, stride, dilation)
    kernels = _kernels_for(gradient, x, weight, size, y, shortcut)
    if kernels is None:
        found = reference.backward(
            gradient, x, weight, size, y, shortcut, geometry, relu, dropout, wanted
        )
        gradients = zip(found, wanted, strict=True)
        return tuple(t if asked else x.new_empty(0) for t, asked in gradients)  # type: ignore[return-value]
    x, weight, y, gradient = (tensor.contiguous() for tensor in (x, weight, y, gradient))
    size = None if size is None else size.contiguous()
    results = _empty_gradients(x, weight, size, y, wanted)
    kernels.tcn_convolve_backward(
        ctypes.byref(_shape(x, weight, geometry)),
        ctypes.byref(_finish(None, relu, shortcut, dropout)),
        *map(_address, (x, weight, size, y, gradient)),
        *(
            _address(result if asked else None)
            for result, asked in zip(results, wanted, strict=True)
        ),
        torch.get_num_threads(),
    )
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
    kernels = library()
    if kernels is None or x.dtype not in DROPPED:
        return (x * reference.mask(x, seed, probability)).to(x.dtype)
    x = x.contiguous()
    y = torch.empty_like(x)
    of_bfloat16 = x.dtype == torch.bfloat16
    drop = kernels.tcn_dropout_bfloat16 if of_bfloat16 else kernels.tcn_dropout
    drop(
        _address(x), _address(y), ctypes.c_int64(x.numel()), *_dropping(probability, seed),
        torch.get_num_threads(),
    )  # fmt: skip
    return y


# ------------------------------------------------------- shapes and gradients for PyTorch


@torch.library.register_fake("tcn::convolve")
def _(
    x: Tensor, weight: Tensor, size: Any, bias: Any, shortcut: Tensor | None, seed: Any,
    left: int, right: int, stride: int, dilation: int, *rest: Any,
) -> Tensor:  # fmt: skip
    return _empty_output(x, weight, Geometry(left, right, stride, dilation))


@torch.library.register_fake("tcn::convolve_backward")
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, size: Tensor | None, y: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return _empty_gradients(x, weight, size, y, rest[-1])


@torch.library.register_fake("tcn::dropout")
def _(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


class Convolve(torch.autograd.Function):
    """``tcn::convolve`` with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, size: Tensor | None, *rest: Any) -> Tensor:
        """Arguments as of the operator."""
        _, shortcut, _, *geometry, relu, dropout = rest
        with torch._C._AutoDispatchBelowAutograd():
            y = torch.ops.tcn.convolve.default(x, weight, size, *rest)
        ctx.save_for_backward(x, weight, size, y if relu else None, shortcut)
        ctx.settings = (*geometry, relu, dropout)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        """The gradients of the five tensors, as far as they are wanted."""
        x, weight, size, y, shortcut = ctx.saved_tensors
        *geometry, relu, dropout = ctx.settings
        y = gradient if y is None else y  # without ReLU nobody looks at it
        wanted = list(ctx.needs_input_grad[:5])
        tensors, rest = (gradient, x, weight, size, y, shortcut), (relu, dropout, wanted)
        if torch.is_grad_enabled():  # the gradients will be differentiated again
            found = reference.backward(*tensors, Geometry(*geometry), *rest)
        else:
            found = torch.ops.tcn.convolve_backward.default(*tensors, *geometry, *rest)
        gradients = (tensor if asked else None for tensor, asked in zip(found, wanted, strict=True))
        return (*gradients, *(None,) * 7)


def _remember_seed(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    _, seed, ctx.probability = inputs
    ctx.save_for_backward(seed)


def _drop_again(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return torch.ops.tcn.dropout(gradient, *ctx.saved_tensors, ctx.probability), None, None


# A function of one's own costs a third of what torch.library.register_autograd adds to each call.
torch.library.impl("tcn::convolve", "Autograd")(Convolve.apply)
torch.library.register_autograd("tcn::dropout", _drop_again, setup_context=_remember_seed)
