"""Which part of the input a position of a layer covers, measured on any net."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tcn.explain.gradients import differentiable
from tcn.explain.layers import place_of, recording
from tcn.layers.compiled import uncompiled
from tcn.layers.pooling import MaxPool
from tcn.layers.weight_norm import fold_weight_norm

Span = tuple[slice, ...]
"""One slice per axis behind the channels."""


class Fields:
    """The receptive fields of the positions of a layer, within inputs of one size.

    They are measured and not calculated: a copy of the net whose weights are all positive, so that
    no path is hidden by a dead unit or canceled by another, says by its gradient what a position
    depends on. So any module will do, branches, strides and pools included, and a net that pools
    over all positions before the layer has the field that it has: everything.

    Attributes:
        sizes: of the input, behind the channels.
        positions: how many the layer has per axis.
    """

    def __init__(self, net: nn.Module, layer: str, example: Tensor) -> None:
        """Measures nothing yet; :meth:`span` does, and keeps what it found.

        Args:
            net: any module.
            layer: see :func:`tcn.explain.activations`.
            example: an input of one example or more; only its shape counts.

        Raises:
            TypeError: the net takes tokens, which have no gradient.
            ValueError: there is no such layer, or its output has no positions.
        """
        if not example.is_floating_point():
            raise TypeError(
                f"example: {example.dtype}; fields are measured by gradient, which tokens do not "
                "have: look into what stands behind the embedding, with its outputs as data"
            )
        self.layer = layer
        self.sizes = tuple(example.shape[2:])
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode(False):
            self._net = _averaging_copy(net)
            x = torch.rand(1, *example.shape[1:], generator=generator, dtype=torch.float64)
            self._x = x.to(place_of(net)).requires_grad_()
        with (
            differentiable(self._net),
            recording(self._net, [layer]) as record,
            _averaging(),
        ):
            self._net(self._x)
            self._y = record.take()[layer]
        self.positions = tuple(self._y.shape[2:])
        self._found: dict[tuple[int, ...], Span] = {}

    def span(self, position: Sequence[int]) -> Span:
        """The input that a position depends on: one slice per axis, what is between included.

        An empty slice where it depends on nothing, as the first step of a strictly causal layer.
        """
        place = tuple(int(each) for each in position)
        if place not in self._found:
            self._found[place] = self._measure(place)
        return self._found[place]

    def _measure(self, place: tuple[int, ...]) -> Span:
        index: tuple[Any, ...] = (slice(None), slice(None), *place)
        with differentiable(self._net):
            one = self._y[index].sum()
            if not one.requires_grad:
                return tuple(slice(0, 0) for _ in self.sizes)
            (gradient,) = torch.autograd.grad(
                one, self._x, retain_graph=True, materialize_grads=True
            )
        seen = (gradient != 0).flatten(0, 1).any(0)
        return tuple(_extent(seen, axis) for axis in range(seen.dim()))


def _extent(seen: Tensor, axis: int) -> slice:
    others = [i for i in range(seen.dim()) if i != axis]
    along = seen.any(dim=others) if others else seen
    where = along.nonzero()
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)


def _averaging_copy(net: nn.Module) -> nn.Module:
    """A copy in float64 whose weights are positive and average."""
    made = copy.deepcopy(uncompiled(net)).double().eval()
    made = fold_weight_norm(made)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.requires_grad_(False)
            values = 0.1 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                values /= values.sum(dim=tuple(range(1, values.dim())), keepdim=True)
            parameter.copy_(values)
        for module in made.modules():
            if isinstance(module, MaxPool):
                module.averages = True
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
    return made


class _Averaging(TorchFunctionMode):
    """Maximum pools average, and functions that cut values off let them pass."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        pool = _POOLS.get(func)
        if pool is not None:
            return _average(pool, *args, **given)
        if func in _ADAPTIVE and not (given.get("return_indices") or any(args[2:])):
            return _ADAPTIVE[func](*args[:2])
        if func in _CUT:
            return args[0] * 1
        if func in _LARGEST:
            return _mean(func, *args, **given)
        return func(*args, **given)


@contextmanager
def _averaging() -> Iterator[None]:
    with _Averaging():
        yield


def _average(
    pool: Any,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """A pool that averages in place of one that takes the maximum."""
    axes = x.dim() - 2
    dilations = [dilation] * axes if isinstance(dilation, int) else list(dilation)
    if max(dilations) == 1 and not return_indices:
        y = pool(x, kernel_size, stride or kernel_size, padding, ceil_mode)
        return y
    raise ValueError("net: a maximum pool with dilation, or that returns indices; leave it out")


def _mean(func: Any, *args: Any, **given: Any) -> Any:
    """What averages in place of ``amax``, ``max`` or ``maximum``, in all that these take."""
    found = func(*args, **given)
    x, other = args[0], args[1] if len(args) > 1 else given.get("other")
    if isinstance(other, Tensor):
        return (x + other) / 2
    if isinstance(found, tuple):  # along an axis, with the places of the largest
        return torch.return_types.max((torch.mean(*args, **given), found[1]))
    return torch.mean(*args, **given)


_POOLS = {
    nn.functional.max_pool1d: nn.functional.avg_pool1d,
    nn.functional.max_pool2d: nn.functional.avg_pool2d,
    torch.max_pool1d: nn.functional.avg_pool1d,
    torch.max_pool2d: nn.functional.avg_pool2d,
}
_ADAPTIVE = {
    nn.functional.adaptive_max_pool1d: nn.functional.adaptive_avg_pool1d,
    nn.functional.adaptive_max_pool2d: nn.functional.adaptive_avg_pool2d,
}
_LARGEST = frozenset(
    {torch.amax, Tensor.amax, torch.max, Tensor.max, torch.maximum, Tensor.maximum}
)
_CUT = frozenset(
    {
        nn.functional.relu6, nn.functional.hardtanh, nn.functional.hardsigmoid,
        nn.functional.hardswish, torch.clamp, Tensor.clamp,
    }
)  # fmt: skip
