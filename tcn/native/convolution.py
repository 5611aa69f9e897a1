"""Dilated convolution of few channels on a CPU, with all that a residual block does around it.

    z = convolution + bias      ->  ReLU  ->  dropout  ->  + shortcut, ReLU
    |                               |         |            |
    always                          if asked  if asked     if given

in one pass over the data, as the operator ``tcn::convolve`` with its gradients; ``tcn::dropout`` is
the dropout alone. Both are operators of PyTorch like any other: they are differentiated any number
of times, compiled and checked. What is not float32, and a machine without the compiled kernels, is
served by the few lines of PyTorch that say what the kernels do: :func:`_forward` and
:func:`_backward`. The kernels are in ``source/convolution_kernels.h``.

Masks are not stored. Which values are dropped is a hash of their index and a seed, which is drawn
from PyTorch's generator; and going backward, an output that is zero (or no more than the shortcut
alone) shows that ReLU or dropout stopped the signal there.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.native.library import EXPECTED, library


class Geometry(NamedTuple):
    """Where the taps lie, in steps; a negative number of zeros cuts.

    Output ``t`` sees the inputs ``t * stride + k * dilation - left`` for ``k = 0, 1, ...``
    """

    left: int = 0
    right: int = 0
    stride: int = 1
    dilation: int = 1

    def out_steps(self, in_steps: int, kernel_size: int) -> int:
        """Steps of the output."""
        span = (kernel_size - 1) * self.dilation
        return (in_steps + self.left + self.right - span - 1) // self.stride + 1


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    geometry: Geometry = Geometry(),  # noqa: B008  (immutable)
    relu: bool = False,
    dropout: float = 0.0,
    shortcut: Tensor | None = None,
) -> Tensor:
    """Convolution in one dimension and what follows it, in one pass: see the module's drawing.

    Args:
        x: ``(batch, in_channels, time)``.
        weight: ``(out_channels, in_channels, kernel_size)``.
        bias: ``(out_channels,)``.
        geometry: zeros on both sides, stride and dilation.
        relu: whether negative values become zero.
        dropout: share of values that are dropped, the others growing to keep the mean.
        shortcut: ``(batch, out_channels, out_steps)``, added after the dropout; the sum goes
            through a second ReLU.

    Raises:
        ValueError: if there is dropout or a shortcut but no ReLU before it, which going backward
            could not tell from the outputs.
    """
    if not relu and (dropout or shortcut is not None):
        raise ValueError(
            f"relu: False with dropout={dropout} and shortcut={shortcut is not None}; they are "
            "fused behind a ReLU only: apply tcn::dropout and the sum after the convolution"
        )
    seed = _draw_seed() if dropout else None
    # The operator calls the function; calling it oneself saves a tenth of a small convolution.
    function = torch.ops.tcn.convolve if torch.compiler.is_compiling() else _Convolution.apply
    return function(x, weight, bias, shortcut, seed, *geometry, relu, dropout)


def dropout(x: Tensor, probability: float) -> Tensor:
    """``F.dropout`` in training with cheap random numbers, reproducible from the same seed."""
    return torch.ops.tcn.dropout(x, _draw_seed(), probability)


def wins(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels are faster than PyTorch's own convolution: few channels, enough rows.

    Times of PyTorch (oneDNN) / times of the kernels, forward and both gradients, one thread of an
    Intel Xeon with AVX-512 (first column) or held down to what older machines have, 2026-11-22::

        channels  kernel  time  batch   AVX-512   AVX2   baseline
            10       8     400     16               4.0      2.6
            25       7     400     16               2.5      1.6
            25       7     784     64       2.3
            32       3     400      8       2.2
            64       3     400      8       1.5     1.5      1.2
           100       3     400      8       2.2
           128       3     400      8       1.5     1.1      1.0
           128       3     100      8       1.0
           150       3     200      8       1.0
           450       3     100      8       0.8

    Large dilations gain more (6 at dilation 128 of 600 steps), since taps in the zeros are skipped.
    The threads share the batch, so one row for each of them is the least.
    """
    few = max(weight.shape[:2]) <= MOST_CHANNELS and weight.dtype == torch.float32
    return few and _serves(x) and x.shape[0] >= torch.get_num_threads()


def drops(x: Tensor) -> bool:
    """Whether the kernels' random numbers can be had for ``x``."""
    return _serves(x)


def _serves(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False  # under autocast PyTorch computes in bfloat16, which is what was asked for
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False  # an exported graph has to run without this package
    # torch.func (vmap, jvp, ...) takes functions apart in ways that PyTorch's own operators know.
    if torch.compiler.is_compiling():
        return EXPECTED
    return not torch._C._are_functorch_transforms_active() and library() is not None


MOST_CHANNELS = 128
"""In and out: see :func:`wins`."""


def _draw_seed() -> Tensor:
    return torch.randint(2**62, (1,))


# ------------------------------------------------------------------ what the operators are

_GEOMETRY = "int left, int right, int stride, int dilation"
torch.library.define(
    "tcn::convolve",
    "(Tensor x, Tensor weight, Tensor? bias, Tensor? shortcut, Tensor? seed, "
    f"{_GEOMETRY}, bool relu, float dropout) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::convolve_backward",
    "(Tensor gradient, Tensor x, Tensor weight, Tensor y, Tensor? shortcut, "
    f"{_GEOMETRY}, bool relu, float dropout, bool[] wanted) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "tcn::dropout",
    "(Tensor x, Tensor seed, float probability) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    seed: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
) -> Tensor:
    """What ``tcn::convolve`` computes."""
    left, right, stride, dilation = geometry
    y = F.conv1d(F.pad(x, (left, right)), weight, bias, stride, 0, dilation)
    if relu:
        y = F.relu(y)
    if seed is not None:
        y = y * _mask(y, seed, dropout)
    if shortcut is not None:
        y = F.relu(y + shortcut)
    return y


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    shortcut: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight, bias and shortcut, from operators that have gradients again."""
    left, right, stride, dilation = geometry
    before = gradient
    if shortcut is not None:
        gradient = gradient.masked_fill(y <= 0, 0)
        before = gradient.masked_fill(y <= shortcut, 0)
    elif relu:
        before = gradient.masked_fill(y <= 0, 0)
    if dropout:
        before = before / (1 - dropout)
    padded_gradient, of_weight, of_bias = torch.ops.aten.convolution_backward(
        before, F.pad(x, (left, right)), weight, [weight.shape[0]],
        [stride], [0], [dilation], False, [0], 1, wanted[:3],
    )  # fmt: skip
    of_x = F.pad(padded_gradient, (-left, -right)) if wanted[0] else None
    return of_x, of_weight, of_bias, gradient if wanted[3] else None


def _mask(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    """0 where a value is dropped, otherwise what keeps the mean; as the kernels compute it."""
    number, low = int(seed), 2**32 - 1
    index = torch.arange(x.numel(), device=x.device)
    bits = (index + number) & low
    bits = ((bits ^ (bits >> 16)) * 0x7FEB352D) & low
    bits = bits ^ (bits >> 15) ^ (((number >> 32) + (index >> 32)) & low)
    bits = (bits * 0x846CA68B) & low
    bits = (bits ^ (bits >> 16)) >> 1
    kept = bits >= _drop_below(probability)
    return (kept.view(x.shape) / (1 - probability)).to(x.dtype)


def _drop_below(probability: float) -> int:
    return round(probability * 2**31)


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
    below = 0 if seed is None else _drop_below(probability)
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
    kernels = _kernels_for(x, weight, bias, shortcut)
    if kernels is None:
        return _forward(x, weight, bias, shortcut, seed, geometry, relu, dropout)
    x, weight = x.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _empty_output(x, weight, geometry)
    _check_shortcut(shortcut, y)
    kernels.tcn_convolve(
        ctypes.byref(_shape(x, weight, geometry)),
        ctypes.byref(_finish(bias, relu, shortcut, dropout, seed)),
        _address(x), _address(weight), _address(y), torch.get_num_threads(),
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
    y: Tensor,
    shortcut: Tensor | None,
    left: int,
    right: int,
    stride: int,
    dilation: int,
    relu: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    geometry = Geometry(left, right, stride, dilation)
    kernels = _kernels_for(gradient, x, weight, y, shortcut)
    if kernels is None:
        found = _backward(gradient, x, weight, y, shortcut, geometry, relu, dropout, wanted)
        return tuple(x.new_empty(0) if tensor is None else tensor for tensor in found)  # type: ignore[return-value]
    x, weight, y, gradient = (tensor.contiguous() for tensor in (x, weight, y, gradient))
    results = _empty_gradients(x, weight, y, wanted)
    kernels.tcn_convolve_backward(
        ctypes.byref(_shape(x, weight, geometry)),
        ctypes.byref(_finish(None, relu, shortcut, dropout)),
        *map(_address, (x, weight, y, gradient)),
        *(
            _address(result if asked else None)
            for result, asked in zip(results, wanted, strict=True)
        ),
        torch.get_num_threads(),
    )
    return results


def _empty_gradients(
    x: Tensor, weight: Tensor, y: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for the gradients; one that is not wanted has no elements."""
    shapes = (x.shape, weight.shape, weight.shape[:1], y.shape)
    return tuple(  # type: ignore[return-value]
        x.new_empty(shape if asked else (0,)) for shape, asked in zip(shapes, wanted, strict=True)
    )


@torch.library.impl("tcn::dropout", "CPU")
def _dropout(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    kernels = _kernels_for(x)
    if kernels is None:
        return x * _mask(x, seed, probability)
    x = x.contiguous()
    y = torch.empty_like(x)
    kernels.tcn_dropout(
        _address(x), _address(y), ctypes.c_int64(x.numel()), *_dropping(probability, seed),
        torch.get_num_threads(),
    )  # fmt: skip
    return y


# ------------------------------------------------------- shapes and gradients for PyTorch


@torch.library.register_fake("tcn::convolve")
def _(
    x: Tensor, weight: Tensor, bias: Any, shortcut: Tensor | None, seed: Any,
    left: int, right: int, stride: int, dilation: int, *rest: Any,
) -> Tensor:  # fmt: skip
    return _empty_output(x, weight, Geometry(left, right, stride, dilation))


@torch.library.register_fake("tcn::convolve_backward")
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, y: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return _empty_gradients(x, weight, y, rest[-1])


@torch.library.register_fake("tcn::dropout")
def _(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


class _Convolution(torch.autograd.Function):
    """``tcn::convolve`` with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        _, shortcut, _, *geometry, relu, dropout = rest
        with torch._C._AutoDispatchBelowAutograd():
            y = torch.ops.tcn.convolve.default(x, weight, *rest)
        ctx.save_for_backward(x, weight, y if relu else None, shortcut)
        ctx.settings = (*geometry, relu, dropout)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, weight, y, shortcut = ctx.saved_tensors
        *geometry, relu, dropout = ctx.settings
        y = gradient if y is None else y  # without ReLU nobody looks at it
        wanted = list(ctx.needs_input_grad[:4])
        rest = (relu, dropout, wanted)
        if torch.is_grad_enabled():  # the gradients will be differentiated again
            found = _backward(gradient, x, weight, y, shortcut, Geometry(*geometry), *rest)
        else:
            found = torch.ops.tcn.convolve_backward.default(
                gradient, x, weight, y, shortcut, *geometry, *rest
            )
        gradients = (tensor if asked else None for tensor, asked in zip(found, wanted, strict=True))
        return (*gradients, *(None,) * 7)


def _remember_seed(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    _, seed, ctx.probability = inputs
    ctx.save_for_backward(seed)


def _drop_again(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return torch.ops.tcn.dropout(gradient, *ctx.saved_tensors, ctx.probability), None, None


# A function of one's own costs a third of what torch.library.register_autograd adds to each call.
torch.library.impl("tcn::convolve", "Autograd")(_Convolution.apply)
torch.library.register_autograd("tcn::dropout", _drop_again, setup_context=_remember_seed)
