"""How much each part of an input gave to an answer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from tcn.explain.gradients import as_leaf, differentiable, gradient, rectifying
from tcn.explain.targets import Asked, Target, checked_target, picked
from tcn.extras import need
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, per_axis

Method = Literal["integrated_gradients", "occlusion", "guided", "deeplift", "gradient"]

STEPS = (32, 64, 128, 256, 512, 1024)
"""Of an integral, one after the other until the attributions sum to the difference."""
CLOSE = 0.01
"""Share of the difference by which the sum may miss it."""
ROUNDING = 1e-5
"""Share of the sizes of the attributions, which may cancel, that rounding takes."""
SHARE = 16
"""Patches of an occlusion along an axis, if no size is given."""


class Attribution(NamedTuple):
    """What each part of the input gave.

    Attributes:
        values: shaped as the input.
        difference: ``(batch,)``, the number that was asked about, less that of the baseline.
        gap: ``(batch,)``, the sum of the values less the difference; None for methods that do not
            promise that there is none.
        steps: of the integral; None for other methods.
    """

    values: Tensor
    difference: Tensor
    gap: Tensor | None
    steps: int | None


def attribute(
    net: nn.Module,
    x: Tensor,
    target: Target = None,
    *,
    method: Method = "integrated_gradients",
    baseline: float | Tensor = 0.0,
    steps: int | None = None,
    layer: str | None = None,
    size: int | Sequence[int] | None = None,
    batch_size: int = 64,
) -> Attribution:
    """Says of every number of an input how much it gave to one number of the answer.

    ======================  =======================================================================
    integrated_gradients    the gradient along the line from the baseline to the input, times the
                            way; sums to the difference (Sundararajan et al. 2017, section 3)
    deeplift                the rescale rule; sums to the difference for nets whose activations are
                            ReLU and its leaky and ELU forms, sigmoid, tanh or softplus, as modules
                            (Shrikumar et al. 2017, section 3.5.1)
    occlusion               by how much the answer falls when a patch is put on its baseline
                            (Zeiler & Fergus 2014, section 4.2)
    gradient                how fast the answer changes with the input; no baseline
    guided                  the same, rectified on the way down (Springenberg et al. 2015, 3.4)
    ======================  =======================================================================

    The first three are captum's.

    Args:
        net: any module that returns ``(batch, ...)``; it is left as it was.
        x: ``(batch, channels, *sizes)`` or ``(batch, features)``, floating.
        target: a class of ``(batch, classes)``; ``(channel, step)`` of ``(batch, channels, time)``;
            negative numbers count from the end; None where there is one number.
        method: one of those above.
        baseline: an input that says nothing, a number or what can be expanded to ``x``.
        steps: of the integral. None: doubled from 32 until the sum misses the difference by less
            than 1 %, up to 1024.
        layer: whose output ``target`` names in place of the net's.
        size: of the patch of an occlusion, per axis; a sixteenth of each if None. Patches overlap
            by half, and inputs without sizes are covered feature by feature.
        batch_size: inputs in one forward pass, unless ``x`` has more.

    Raises:
        ModuleNotFoundError: captum is not installed.
        TypeError: an argument is of the wrong type.
        ValueError: there is no such method, target or layer, a size does not fit, the net does not
            take ``x``, or it calls a module twice, which DeepLift cannot follow.

    Warns:
        UserWarning: the sum misses the difference by more than 1 %, and what to do.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        found = attribute(net, torch.randn(4, 1, 50), target=(0, -1))
        found.values.shape, found.gap.abs().max()  # (4, 1, 50), nearly 0
    """
    _check(method, steps, batch_size)
    inner = uncompiled(net)
    leaf = as_leaf(inner, x)
    start = _baseline(leaf, baseline)
    asked = Asked(inner, layer)
    with differentiable(inner), _quiet():
        with torch.no_grad():
            y = asked.whole(leaf.clone())
            asked.place = checked_target(target, y, len(leaf))
            difference = picked(y, slice(None), *asked.place) - asked(start.clone())
        found = Attribution(torch.zeros_like(leaf), difference, None, None)
        if method in ("gradient", "guided"):
            return found._replace(values=_gradient(asked, leaf, method))
        if method == "occlusion":
            return found._replace(values=_occluded(asked, leaf, start, size, batch_size))
        if method == "deeplift":
            found = found._replace(values=_deeplift(asked, leaf, start))
        else:
            found = _integrated(asked, leaf, start, found, steps, batch_size)
    return _checked(found, method)


def _check(method: str, steps: int | None, batch_size: int) -> None:
    if method not in get_args(Method):
        names = ", ".join(map(repr, get_args(Method)))
        raise ValueError(f"method: {method!r} is not one of {names}")
    check_positive("batch_size", [batch_size])
    if steps is not None:
        check_positive("steps", [steps])
    if method not in ("gradient", "guided"):
        need("tcn.explain.attribute", "explain", "captum")


def _gradient(asked: Asked, leaf: Tensor, method: Method) -> Tensor:
    with rectifying("guided" if method == "guided" else "gradient"):
        one = asked(leaf.clone()).sum()
    return gradient(one, leaf)


def _integrated(
    asked: Asked,
    leaf: Tensor,
    start: Tensor,
    found: Attribution,
    steps: int | None,
    batch_size: int,
) -> Attribution:
    from captum.attr import IntegratedGradients

    integrate = IntegratedGradients(asked)
    for count in STEPS if steps is None else (steps,):
        values = integrate.attribute(
            leaf, start, n_steps=count, internal_batch_size=max(batch_size, len(leaf))
        )
        found = found._replace(values=values.detach().to(leaf.dtype), steps=count)
        if not _missed(found).any():
            break
    return found


def _deeplift(asked: Asked, leaf: Tensor, start: Tensor) -> Tensor:
    from captum.attr import DeepLift

    try:
        with _out_of_place(asked):
            found: Tensor = DeepLift(asked).attribute(leaf, start)
    except (RuntimeError, AssertionError, AttributeError) as error:
        raise ValueError(
            f"method: 'deeplift' does not follow {type(asked.net).__name__} (captum: "
            f"{' '.join(str(error).split())}); use 'integrated_gradients', or give the net a "
            "module of its own for every activation"
        ) from error
    return found.detach()


def _occluded(
    asked: Asked, leaf: Tensor, start: Tensor, size: int | Sequence[int] | None, batch_size: int
) -> Tensor:
    from captum.attr import Occlusion

    axes = leaf.shape[2:]
    sizes = tuple(-(-whole // SHARE) for whole in axes)
    if size is not None:
        sizes = per_axis("size", size, len(axes))
        check_positive("size", sizes)
    for each, whole in zip(sizes, axes, strict=True):
        if each > whole:
            raise ValueError(f"size: {each} on an axis of {whole}; give {whole} or less")
    first = leaf.shape[1] if axes else 1
    with torch.no_grad():
        found: Tensor = Occlusion(asked).attribute(
            leaf.detach(),
            sliding_window_shapes=(first, *sizes),
            strides=(first, *(-(-each // 2) for each in sizes)),
            baselines=start,
            perturbations_per_eval=max(batch_size // len(leaf), 1),
        )
    return found


def _baseline(leaf: Tensor, baseline: float | Tensor) -> Tensor:
    given = torch.as_tensor(baseline).detach().to(leaf)
    try:
        return given.expand(leaf.shape).contiguous()
    except RuntimeError as error:
        raise ValueError(
            f"baseline: shape {tuple(given.shape)} for inputs of {tuple(leaf.shape)}; give a "
            "number, one example, or as many as there are inputs"
        ) from error


def _missed(found: Attribution) -> Tensor:
    """Which examples' attributions do not sum to the difference."""
    values = found.values.flatten(1).double()
    bound = CLOSE * found.difference.abs() + ROUNDING * values.abs().sum(1)
    return ~((values.sum(1) - found.difference).abs() <= bound)


def _checked(found: Attribution, method: Method) -> Attribution:
    """With its gap, and a warning where that is not small."""
    gap = found.values.flatten(1).double().sum(1) - found.difference
    missed = _missed(found)
    if missed.any():
        worst = float((gap / found.difference).abs()[missed].max())
        cure = (
            "use method='integrated_gradients', for rectifiers that are called as functions are "
            "not followed, nor are GELU, softmax, gates and recurrent layers"
            if method == "deeplift"
            else f"give more steps than {found.steps}, or a baseline nearer to the inputs"
        )
        warnings.warn(
            f"method: the attributions of {int(missed.sum())} of {len(missed)} examples miss the "
            f"difference to the baseline by up to {worst:.1%} of it; {cure}",
            stacklevel=3,
        )
    return found._replace(gap=gap.to(found.difference.dtype))


@contextmanager
def _out_of_place(net: nn.Module) -> Iterator[None]:
    """A context in which no activation changes its input, which captum's hooks cannot follow."""
    changed = [module for module in net.modules() if getattr(module, "inplace", False) is True]
    for module in changed:
        module.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True  # type: ignore[assignment]


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which captum does not announce its hooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Setting (forward, )?backward hooks")
        yield
