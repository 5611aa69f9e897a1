"""Dense layers and convolutions are one: a classifier slid over larger inputs, and a matrix.

A dense layer behind 5 x 5 positions is a convolution of 5 x 5 that is read at one place; a
convolution is a dense layer whose matrix repeats its weights::

    [features] -> Flatten (120, 5, 5) -> Dense 3000 to 84          -> Dense 84 to 10
    [features] -> conv 5 x 5, 120 to 84, no zeros around           -> conv 1 x 1, 84 to 10

Source: LeCun et al. 1998 (Gradient-based learning), section VII (space displacement networks);
Sermanet et al. 2014 (OverFeat), section 3.5 and figure 5.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from tcn.layers import Chain, Dense, Dropout, Flatten, ScaledTanh, SequenceModule, convolution
from tcn.layers.convolution import Convolution
from tcn.layers.local import LocallyConnected
from tcn.layers.passing import POINTWISE
from tcn.layers.pooling import AveragePool
from tcn.layers.taps import Taps, check_windows_fit
from tcn.layers.transposed import TransposedConvolution
from tcn.layers.validation import check_positive, per_axis

LINEAR = (Convolution, TransposedConvolution, LocallyConnected, AveragePool)
"""Layers that a matrix and a constant describe."""

ELEMENTWISE = (*POINTWISE, ScaledTanh)

Part = tuple[str, nn.Module]


def dense_to_conv(net: Chain) -> Chain:
    """Turns the dense layers of a trained classifier into convolutions.

    ::

        net = LeNet5(form="modern").eval()
        slid = dense_to_conv(net)
        slid(torch.randn(1, 1, 32, 32)).shape  # (1, 10, 1, 1): the same numbers
        slid(torch.randn(1, 1, 48, 40)).shape  # (1, 10, 5, 3): every window, 4 steps apart

    On a larger input the output at ``(i, j)`` is that of ``net`` on the window that begins at
    ``(i * rate, j * rate)``, if no layer puts zeros around its input. Where one does (VGG), it sees
    what is around the window instead, as is usual (Simonyan & Zisserman 2015, section 3.2). Steps
    at the end of a window that no layer reads need not be there.

    Args:
        net: a chain with one :class:`tcn.layers.Flatten`, and :class:`tcn.layers.Dense` behind it;
            it is not changed.

    Returns:
        A chain of copies, ``(batch, in_channels, *sizes)`` to ``(batch, classes, *positions)``.

    Raises:
        TypeError: if the net is not a chain.
        ValueError: if the net has no ``Flatten``, nothing dense behind it, or a layer that cannot
            be slid, named with the cure.
    """
    if not isinstance(net, Chain):
        raise TypeError(f"net: {type(net).__name__} is not a Chain; put its layers into one")
    parts = list(_leaves(net))
    places = [index for index, (_, part) in enumerate(parts) if isinstance(part, Flatten)]
    if len(places) != 1:
        raise ValueError(
            f"net: {type(net).__name__} has {len(places)} layers Flatten in its chain, expected "
            "one; a net with a readout such as Mean takes inputs of any size as it is"
        )
    place = places[0]
    flatten: Flatten = parts[place][1]  # type: ignore[assignment]
    if not any(isinstance(part, Dense) for _, part in parts[place:]):
        raise ValueError(
            f"net: nothing Dense is behind {parts[place][0]} (Flatten); put a Dense there, or "
            "slide the net without Flatten, which takes inputs of any size"
        )
    slid: list[tuple[str, nn.Module]] = []
    for name, part in parts[:place]:
        _check_slides(name, part)
        slid.append((name, copy.deepcopy(part)))
    window: tuple[int, ...] | None = flatten.sizes
    for name, part in parts[place + 1 :]:
        slid.append((name, _slid(name, part, flatten, window)))
        if isinstance(part, Dense):
            window = None
    net_slid = Chain(**_named(slid))
    net_slid.ndim, net_slid.training = flatten.ndim, net.training
    return net_slid


@torch.no_grad()
def conv_to_dense(layer: nn.Module, sizes: int | Sequence[int]) -> Dense:
    """The matrix of a convolution, a transposed one, a locally connected layer or a mean.

    ::

        dense = conv_to_dense(Conv1d(2, 3, 5), 20)
        dense(x.flatten(1))  # conv(x).flatten(1) for x of (batch, 2, 20)

    Args:
        layer: the layer; it is not changed.
        sizes: steps of its input per axis.

    Returns:
        A layer from ``in_channels * steps`` to ``out_channels * steps`` numbers, channel by
        channel.

    Raises:
        TypeError: if the layer is not linear.
        ValueError: if a size is not positive, or there are not as many as axes.
    """
    if not isinstance(layer, LINEAR):
        raise TypeError(
            f"layer: {type(layer).__name__} has no matrix; give a convolution, LocallyConnected1d "
            "or 2d, or AveragePool1d or 2d, and what follows it apart"
        )
    sizes = per_axis("sizes", sizes, layer.ndim)
    check_positive("sizes", sizes)
    for axis, size in enumerate(sizes):
        if isinstance(layer, Taps):
            check_windows_fit("sizes", size, axis, layer)
    channels = getattr(layer, "in_channels", 1)
    steps = channels * math.prod(sizes)
    like = next(layer.parameters(), torch.zeros(()))
    basis = torch.eye(steps, dtype=like.dtype, device=like.device).view(steps, channels, *sizes)
    constant: Tensor = layer(torch.zeros_like(basis[:1])).flatten()
    matrix = layer(basis).flatten(1) - constant
    dense = Dense(steps, constant.numel()).to(like.device, like.dtype)
    dense.weight.copy_(matrix.t())
    dense.bias.copy_(constant)
    return dense


def _leaves(net: Chain, prefix: str = "", *, behind: bool = False) -> Iterator[Part]:
    """The parts of a chain, one by one those of a chain that holds ``Flatten`` or is behind it."""
    for name in net._order:
        part = getattr(net, name)
        flattens = any(isinstance(module, Flatten) for module in part.modules())
        if isinstance(part, Chain) and (flattens or behind):
            yield from _leaves(part, f"{prefix}{name}_", behind=behind)
        else:
            yield f"{prefix}{name}", part
        behind = behind or flattens


def _named(parts: Iterable[Part]) -> dict[str, nn.Module]:
    """The parts by name, two of one name told apart: ``a_b`` may be ``b`` of ``a``, or its own."""
    named: dict[str, nn.Module] = {}
    for name, part in parts:
        while name in named:
            name += "_"
        named[name] = part
    return named


def _check_slides(name: str, part: nn.Module) -> None:
    """Refuses a layer before ``Flatten`` that is bound to the window it stands in."""
    for module in reversed(list(part.modules())):  # what is bound before what holds it
        reach = module.reach if isinstance(module, SequenceModule) else ()
        bound = any(math.inf in (axis.left, axis.right) for axis in reach)
        if bound or isinstance(module, LocallyConnected):
            why = "reads all of its input" if bound else f"has filters for {module.sizes}"
            raise ValueError(
                f"net: {name} ({type(module).__name__}) {why}, so that it cannot be slid over a "
                "larger one; put a convolution, pool or batch norm in its place, or call the net "
                "on each window, cut out with x.unfold"
            )


def _slid(
    name: str, part: nn.Module, flatten: Flatten, window: tuple[int, ...] | None
) -> nn.Module:
    """One layer behind ``Flatten``; ``window`` are its sizes until a dense layer has taken them."""
    if isinstance(part, Dense):
        return _as_convolution(part, flatten, window)
    if _alike_everywhere(part) if window is None else _alike_for_all(part):
        return copy.deepcopy(part)
    said = "only Dense, layers that treat every position alike and alone, and Dropout can"
    cure = "put it behind the first Dense, or before Flatten" if window else "leave it out"
    raise ValueError(
        f"net: {name} ({type(part).__name__}) behind Flatten, which fixes the size to "
        f"{flatten.sizes}, cannot be slid; {said}: {cure}"
    )


def _alike_for_all(part: nn.Module) -> bool:
    """Whether every number is treated alike and alone, wherever it stands."""
    if isinstance(part, nn.PReLU):
        return part.num_parameters == 1
    return isinstance(part, ELEMENTWISE) or (isinstance(part, Dropout) and not part.spatial)


def _alike_everywhere(part: nn.Module) -> bool:
    """Whether every position is treated alike and alone."""
    if isinstance(part, SequenceModule):
        return not part.changes_length and all(reach[:2] == (0, 0) for reach in part.reach)
    return isinstance(part, ELEMENTWISE)


@torch.no_grad()
def _as_convolution(dense: Dense, flatten: Flatten, window: tuple[int, ...] | None) -> Convolution:
    ndim = flatten.ndim
    kernel = window or (1,) * ndim
    channels = flatten.in_channels if window else dense.in_channels
    slid = convolution(ndim)(
        channels, dense.out_channels, kernel, padding="valid", bias=dense.bias is not None
    ).to(dense.weight.device, dense.weight.dtype)
    slid.weight.copy_(dense.weight.view(dense.out_channels, channels, *kernel))
    slid.weight.requires_grad_(dense.weight.requires_grad)
    if dense.bias is not None:
        assert slid.bias is not None
        slid.bias.copy_(dense.bias).requires_grad_(dense.bias.requires_grad)
    return slid.train(dense.training)
