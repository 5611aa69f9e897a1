"""What the kernels of the convolution compute, in a few lines of PyTorch: the slow obvious version.

It serves what is not float32 and machines without the compiled kernels, and is what the tests
compare with.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


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


def forward(
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    bias: Tensor | None,
    shortcut: Tensor | None,
    seed: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """What ``tcn::convolve`` computes."""
    left, right, stride, dilation = geometry
    weight = weight if size is None else torch._weight_norm(weight, size, 0)
    y = F.conv1d(F.pad(x, (left, right)), weight, bias, stride, 0, dilation)
    if relu:
        y = F.relu(y)
    if seed is not None and dropout:
        y = (y * mask(y, seed, dropout)).to(y.dtype)
    if shortcut is None:
        return y, x.new_empty(0, dtype=torch.uint8)
    kept = pack(~(y <= 0)) if keep else x.new_empty(0, dtype=torch.uint8)
    return F.relu(y + shortcut), kept


def backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    kept: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor | None, ...]:
    """The gradients of x, weight, size, bias and shortcut, from operators that have gradients."""
    left, right, stride, dilation = geometry
    if relu:
        gradient = gradient.masked_fill(y <= 0, 0)
    before = gradient if kept is None else gradient.masked_fill(~unpack(kept, y.shape[2]), 0)
    if dropout:
        before = before / (1 - dropout)
    filters = weight if size is None else torch._weight_norm(weight, size, 0)
    padded_gradient, of_filters, of_bias = torch.ops.aten.convolution_backward(
        before, F.pad(x, (left, right)), filters, [weight.shape[0]], [stride], [0], [dilation],
        False, [0], 1, [wanted[0], wanted[1] or wanted[2], wanted[3]],
    )  # fmt: skip
    of_x = F.pad(padded_gradient, (-left, -right)) if wanted[0] else None
    of_weight, of_size = of_filters, None
    if size is not None and (wanted[1] or wanted[2]):
        of_weight, of_size = _weight_norm_backward(of_filters, weight, size)
    return of_x, of_weight, of_size, of_bias, gradient if wanted[4] else None


def _weight_norm_backward(gradient: Tensor, weight: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """From the gradient of ``size * weight / |weight|`` that of the weight and of the size."""
    norm = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
    of_size = (gradient * weight).sum(dim=(1, 2), keepdim=True) / norm
    return size / norm * (gradient - weight * of_size / norm), of_size


def mask(x: Tensor, seed: Tensor, probability: float) -> Tensor:
    """0 where a value is dropped, otherwise what keeps the mean; as the kernels compute it.

    In float32 at the least: half precision would round the scale before the product.
    """
    number, low = int(seed), 2**32 - 1
    index = torch.arange(x.numel(), device=x.device)
    bits = (index + number) & low
    bits = ((bits ^ (bits >> 16)) * 0x7FEB352D) & low
    bits = bits ^ (bits >> 15) ^ (((number >> 32) + (index >> 32)) & low)
    bits = (bits * 0x846CA68B) & low
    bits = (bits ^ (bits >> 16)) >> 1
    kept = bits >= drop_below(probability)
    precise = torch.promote_types(x.dtype, torch.float32)
    return (kept.view(x.shape) / (1 - probability)).to(precise)


def kept_bytes(steps: int) -> int:
    """Bytes of one bit per step."""
    return (steps + 7) // 8


def pack(kept: Tensor) -> Tensor:
    """Booleans, ``(batch, channels, steps)``, to bits: the first step is the lowest of its byte."""
    padded = F.pad(kept.to(torch.uint8), (0, -kept.shape[2] % 8))
    place = torch.arange(8, dtype=torch.uint8, device=kept.device)
    return (padded.unflatten(2, (-1, 8)) << place).sum(3, dtype=torch.uint8)


def unpack(bits: Tensor, steps: int) -> Tensor:
    """The other way round."""
    place = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return ((bits.unsqueeze(3) >> place) & 1).flatten(2)[..., :steps].bool()


def drop_below(probability: float) -> int:
    """Of a random number of 31 bits, the limit below which a value is dropped."""
    return min(round(probability * 2**31), 2**31 - 1)
