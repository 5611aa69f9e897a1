"""Gradients of any net by its input, and what rectifiers let through on the way down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tcn.explain.layers import as_input, seen_through

Rule = Literal["deconvolution", "guided", "gradient"]
"""What a rectifier lets through on the way down, see :func:`rectifying`."""


@contextmanager
def differentiable(net: nn.Module) -> Iterator[None]:
    """A context in which what a net returns has a gradient, whatever surrounds it.

    It is evaluated as in :func:`tcn.explain.layers.seen_through`. cuDNN has no gradient of a
    recurrent net in evaluation mode; PyTorch's own kernels have.

    Raises:
        ValueError: the net was made under ``torch.inference_mode``, so that there is none.
    """
    if any(parameter.is_inference() for parameter in net.parameters()):
        raise ValueError(
            f"net: the weights of {type(net).__name__} were made under torch.inference_mode, where "
            "nothing has a gradient; build it outside, or use copy.deepcopy(net) outside"
        )
    with ExitStack() as stack:
        stack.enter_context(seen_through(net))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if any(isinstance(module, nn.RNNBase) for module in net.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def as_leaf(net: nn.Module, x: Tensor) -> Tensor:
    """A copy of an input, where the net is, by which it can be differentiated.

    Raises:
        TypeError: it is not a tensor.
        ValueError: it holds nothing, or numbers that have no gradient.
    """
    with torch.inference_mode(False):
        leaf = as_input(net, x).detach().clone()
    if not leaf.is_floating_point():
        raise ValueError(
            f"x: {leaf.dtype} has no gradient; give floating numbers, or name a net that begins "
            "behind the embedding"
        )
    return leaf.requires_grad_()


def gradient(y: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of one number by the input; zeros if it does not depend on it.

    Args:
        y: a single number.
        leaf: of :func:`as_leaf`.
    """
    if not y.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(y, leaf, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


@contextmanager
def rectifying(rule: Rule) -> Iterator[None]:
    """A context in which rectifiers have another gradient, however a net calls them.

    ==============  ==============================================================================
    deconvolution   what comes down is rectified, whatever the rectifier did on the way up
                    (Zeiler & Fergus 2014, section 2.1)
    guided          what comes down is rectified, and multiplied by the slope on the way up
                    (Springenberg et al. 2015, section 3.4)
    gradient        multiplied by the slope
    ==============  ==============================================================================

    Rectifiers are ReLU and its relatives: leaky, parametric, ELU, GELU, SiLU, softplus and the
    like, and ``clamp(min=0)``. Tanh and sigmoid are not, and keep their gradient.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule: {rule!r} is not one of {', '.join(map(repr, get_args(Rule)))}")
    if rule == "gradient":
        yield
        return
    with _Rectifying(rule == "guided"):
        yield


class _Rectifying(TorchFunctionMode):
    """Puts :class:`_Rectifier` in the place of every rectifier."""

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided = guided

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        plain = _rectifier(func, args, given)
        if plain is None:
            return func(*args, **given)
        x = args[0] if args else given.pop("input")
        in_place = given.pop("inplace", False) or func.__name__.endswith("_")
        leaf = x.detach().requires_grad_()
        values = plain(leaf, *args[1:], **given)
        slope = torch.autograd.grad(values.sum(), leaf)[0] if self.guided else None
        y = _Rectifier.apply(x, values.detach(), slope)
        return x.copy_(y) if in_place else y


class _Rectifier(torch.autograd.Function):
    """Known values of a function of single numbers, with the gradient of a rectifier."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, slope: Tensor | None) -> Tensor:
        ctx.slope = slope
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        down = gradients[0].clamp_min(0)
        return (down if ctx.slope is None else down * ctx.slope), None, None


def _rectifier(func: Any, args: Sequence[Any], given: dict[str, Any]) -> Any:
    """The function that leaves its input as it is, or None for what is no rectifier."""
    if func in _CLAMPS:
        lowest = args[1] if len(args) > 1 else given.get("min", given.get("min_val"))
        rectifies = isinstance(lowest, int | float) and lowest == 0
        return _CLAMPS[func] if rectifies else None
    return _RECTIFIERS.get(func)


_BUILT_IN = torch._C._nn
_RECTIFIERS: dict[Any, Any] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_), torch.relu),
    **dict.fromkeys((F.leaky_relu, _BUILT_IN.leaky_relu, _BUILT_IN.leaky_relu_), F.leaky_relu),
    **dict.fromkeys((F.elu, _BUILT_IN.elu, _BUILT_IN.elu_), F.elu),
    **dict.fromkeys((F.selu, torch.selu, torch.selu_), torch.selu),
    **dict.fromkeys((F.celu, torch.celu, torch.celu_), torch.celu),
    **dict.fromkeys((F.rrelu, torch.rrelu, torch.rrelu_), F.rrelu),
    **dict.fromkeys((F.threshold, torch.threshold, torch.threshold_), torch.threshold),
    **dict.fromkeys((torch.prelu, Tensor.prelu), torch.prelu),
    **{function: function for function in (F.relu6, F.gelu, F.silu, F.mish, F.softplus)},
    F.hardswish: F.hardswish,
}
_CLAMPS: dict[Any, Any] = {
    **dict.fromkeys((torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_), torch.clamp),
    **dict.fromkeys(
        (torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_), torch.clamp_min
    ),
    **dict.fromkeys((F.hardtanh, _BUILT_IN.hardtanh, _BUILT_IN.hardtanh_), F.hardtanh),
}
