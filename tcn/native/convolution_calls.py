"""The calls of the convolution's kernels: arguments checked, then laid out as C++ reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from tcn.native import checks, reference
from tcn.native.library import call
from tcn.native.reference import Geometry

DROPPED = (torch.float32, torch.bfloat16)
"""What the kernel of the dropout takes."""


class Shape(ctypes.Structure):
    """As in source/convolution.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("batch", "in_channels", "out_channels", "kernel_size", "in_steps", "out_steps",
                     "dilation", "stride", "left_zeros")
    ]  # fmt: skip


class Dropping(ctypes.Structure):
    """As in source/convolution.h."""

    _fields_ = [("below", ctypes.c_int64), ("scale", ctypes.c_float), ("seed", ctypes.c_uint64)]


class _Finish(ctypes.Structure):
    _fields_ = [
        ("bias", ctypes.c_void_p),
        ("relu", ctypes.c_int64),
        ("shortcut", ctypes.c_void_p),
        ("shortcut_strides", ctypes.c_int64 * 3),
        ("dropping", Dropping),
        ("kept", ctypes.c_void_p),
    ]


# ---------------------------------------------------------------------------------- checks


def check_forward(
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    bias: Tensor | None,
    shortcut: Tensor | None,
    seed: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
) -> tuple[int, int, int]:
    """The shape of the output of a convolution that is possible.

    Raises:
        ValueError: if a shape or a number does not fit.
        TypeError: if a type or a device does not.
    """
    if not relu and (dropout or shortcut is not None):
        raise ValueError(
            f"relu: False with dropout={dropout} and shortcut={shortcut is not None}; they are "
            "fused after a ReLU only: apply tcn::dropout and the sum after the convolution"
        )
    y = check_geometry(x, weight, geometry)
    out_channels = y[1]
    checks.check_tensors(
        x,
        ("weight", weight, weight.shape),
        ("size", size, (out_channels, 1, 1)),
        ("bias", bias, (out_channels,)),
        ("shortcut", shortcut, y),
    )
    checks.check_probability("dropout", dropout)
    checks.check_seed(seed, dropout)
    return y


def check_geometry(x: Tensor, weight: Tensor, geometry: Geometry) -> tuple[int, int, int]:
    """The shape of the output of a convolution that is possible.

    Raises:
        ValueError: if no such convolution is possible.
    """
    shapes = x.shape, weight.shape
    if len(shapes[0]) != 3 or len(shapes[1]) != 3:
        checks.check_dimensions("x", x, ("batch", "in_channels", "time"))
        checks.check_dimensions("weight", weight, ("out_channels", "in_channels", "kernel_size"))
    (batch, in_channels, in_steps), (out_channels, inputs, kernel_size) = shapes
    if geometry.stride < 1 or geometry.dilation < 1:
        checks.check_at_least(1, stride=geometry.stride, dilation=geometry.dilation)
    if in_channels != inputs or in_channels < 1 or out_channels < 1 or kernel_size < 1:
        raise ValueError(
            f"x: shape {tuple(x.shape)} with a weight of shape {tuple(weight.shape)}; expected "
            "(batch, in_channels, time) and (out_channels, in_channels, kernel_size), none of the "
            "weight's sizes 0"
        )
    steps = geometry.out_steps(in_steps, kernel_size)
    if steps < 1:
        raise ValueError(
            f"x: {in_steps} steps are too few for {kernel_size} taps under {geometry}; "
            "add zeros on the left"
        )
    return batch, out_channels, steps


def check_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    kept: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    wanted: Sequence[bool],
) -> None:
    """That gradients can be found.

    Raises:
        ValueError: if a shape or a number does not fit.
        TypeError: if a type or a device does not.
    """
    shape = check_geometry(x, weight, geometry)
    checks.check_tensors(
        x,
        ("weight", weight, weight.shape),
        ("size", size, (shape[1], 1, 1)),
        ("gradient", gradient, shape),
        ("y", y, shape),
    )
    checks.check_probability("dropout", dropout)
    checks.check_wanted(wanted, 5)
    _check_kept(kept, shape, relu, wanted)


def _check_kept(
    kept: Tensor | None, shape: tuple[int, int, int], relu: bool, wanted: Sequence[bool]
) -> None:
    if kept is None:
        if wanted[4]:
            raise ValueError("wanted: the shortcut's gradient, but kept is None; pass what is kept")
        return
    if not relu:
        raise ValueError(
            "relu: False with bits that were kept; they are those of a ReLU: pass True"
        )
    expected = (*shape[:2], reference.kept_bytes(shape[2]))
    if kept.shape != expected:
        raise ValueError(
            f"kept: shape {tuple(kept.shape)}; expected {expected}: convolve with keep=True where "
            "gradients are wanted"
        )
    if kept.dtype != torch.uint8 or kept.device.type not in ("cpu", "meta"):
        raise TypeError(f"kept: {kept.dtype} on {kept.device}; pass uint8 on the CPU")


def check_sizes(x: Tensor, weight: Tensor, y: Sequence[int], geometry: Geometry) -> None:
    """That no product of sizes is beyond what the kernels count with.

    Raises:
        ValueError: if one is.
    """
    batch, out_channels, steps = y
    left, right, stride, dilation = geometry
    checks.check_sizes(
        "left right stride dilation x weight y",
        left, right, stride * steps, dilation * weight.shape[2],
        x.numel(), weight.numel(), batch * out_channels * steps,
    )  # fmt: skip


# ----------------------------------------------------------------------------------- calls


def convolve(
    kernels: ctypes.CDLL,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    bias: Tensor | None,
    shortcut: Tensor | None,
    dropping: Dropping,
    relu: bool,
    shape: Shape,
    y: Tensor,
    kept: Tensor,
) -> None:
    """Writes ``y``, and ``kept`` if it has elements."""
    x, weight = x.contiguous(), weight.contiguous()
    size = None if size is None else size.contiguous()
    bias = None if bias is None else bias.contiguous()
    strides = (0, 0, 0) if shortcut is None else shortcut.stride()
    finish = _Finish(_address(bias), relu, _address(shortcut), strides, dropping, _address(kept))
    call(
        kernels.tcn_convolve, ctypes.byref(shape), ctypes.byref(finish),
        *map(_address, (x, weight, size, y)), torch.get_num_threads(),
    )  # fmt: skip


def convolve_backward(
    kernels: ctypes.CDLL,
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    kept: Tensor | None,
    dropping: Dropping,
    relu: bool,
    shape: Shape,
    results: Sequence[Tensor],
) -> None:
    """Writes those of the results that have elements."""
    gradient, x, weight, y = (tensor.contiguous() for tensor in (gradient, x, weight, y))
    size = None if size is None else size.contiguous()
    kept = None if kept is None else kept.contiguous()
    finish = _Finish(None, relu, None, (0, 0, 0), dropping, _address(kept))
    call(
        kernels.tcn_convolve_backward, ctypes.byref(shape), ctypes.byref(finish),
        *map(_address, (x, weight, size, y, gradient, *results)), torch.get_num_threads(),
    )  # fmt: skip


def drop(kernels: ctypes.CDLL, x: Tensor, seed: Tensor, probability: float) -> Tensor:
    """A copy of ``x`` with values dropped."""
    x = x.contiguous()
    y = torch.empty_like(x)
    function = kernels.tcn_dropout if x.dtype == torch.float32 else kernels.tcn_dropout_bfloat16
    dropping = ctypes.byref(_dropping(probability, seed))
    call(function, _address(x), _address(y), x.numel(), dropping, torch.get_num_threads())
    return y


def _address(tensor: Tensor | None) -> int | None:
    """Null where there are no elements."""
    return None if tensor is None else tensor.data_ptr()


def _dropping(probability: float, seed: Tensor | None) -> Dropping:
    below = 0 if seed is None else reference.drop_below(probability)
    return Dropping(below, 1 / (1 - probability), 0 if seed is None else int(seed) % 2**64)
