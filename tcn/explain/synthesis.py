"""Inputs made for a net: what drives a unit, a site or a population most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tcn.explain.canvas import Canvas, falling
from tcn.explain.gradients import differentiable
from tcn.explain.layers import evaluate, frozen, place_of, recording, type_of
from tcn.explain.objectives import Objective, Stretch
from tcn.layers.validation import as_float, check_positive, check_switch, is_integer

STRONGER = (1, 10, 10)
"""What the noise is multiplied by, one after the other, while a unit does not answer to it."""

Answer = Callable[[Tensor], tuple[Tensor, Tensor]]
"""What climbs to inputs and the objective's values."""


@dataclass(frozen=True, eq=False)
class Ascent:
    """How an input climbs: Adam's steps (Kingma & Ba 2015), and what holds it back.

    Attributes:
        steps: how many.
        rate: of Adam, about how far a value moves in a step; from bound to bound it is some 8.
        jitter: the input is shifted by up to so many samples or pixels per axis in each step, its
            end coming in at its beginning, so that nothing is made for one position alone.
        total_variation: weight of the mean absolute difference of neighbors, summed over the axes.
        energy: weight of the mean square of the input, about the middle of the bounds if there are
            any. It decides where there is no limit otherwise: of a linear unit the best input is
            then the unit's weights.
        frequency: climb by Fourier coefficients, those of each octave together as strong as those
            of any other, as in natural images and sounds; otherwise by the values themselves, which
            favors high frequencies.
        bounds: lowest and highest value, by a sigmoid; None for no limit.
        mixture: ``(channels, channels)``, how channels go together, by :func:`channel_mixture`;
            None if each climbs by itself.

    Raises:
        TypeError: a number is none, or ``frequency`` neither True nor False.
        ValueError: a number is out of range.

    Sources: Olah et al. 2017 (frequency, jitter, sigmoid, mixture); Mahendran & Vedaldi 2015 and
    Bashivan et al. 2019 (total variation); Simonyan et al. 2014, equation 1 (energy).

    For pictures of 128 pixels in [-1, 1], and for sounds, whose energy keeps down the rumble that a
    net does not hear::

        photos = torch.rand(5, 3, 32, 32).cumsum(1)
        Ascent(jitter=8, total_variation=40.0, bounds=(-1.0, 1.0), mixture=channel_mixture(photos))
        Ascent(jitter=8, energy=20.0, bounds=(-1.0, 1.0))
    """

    steps: int = 128
    rate: float = 0.05
    jitter: int = 4
    total_variation: float = 0.0
    energy: float = 0.0
    frequency: bool = True
    bounds: tuple[float, float] | None = None
    mixture: Tensor | None = None

    def __post_init__(self) -> None:
        check_positive("steps", [self.steps])
        if not is_integer(self.jitter):
            raise TypeError(f"jitter: {self.jitter!r} is not an integer; give a number of pixels")
        check_switch(frequency=self.frequency)
        for name in ("rate", "jitter", "total_variation", "energy"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name}: {value!r} is not a number")
            if not 0 <= as_float(value) < math.inf or (name == "rate" and value == 0):
                raise ValueError(f"{name}: {value}; give a finite number that is not negative")
        if self.bounds is not None:
            low, high = self.bounds
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"bounds: {self.bounds}; give a lowest and a higher finite value")


class Synthesis(NamedTuple):
    """What came out.

    Attributes:
        inputs: ``(batch, channels, *sizes)``, on the CPU.
        values: ``(steps + 1, batch)``, the objective at the start and after each step, of the
            shifted inputs; the last are those of ``inputs``.
    """

    inputs: Tensor
    values: Tensor


def synthesize(
    net: nn.Module,
    layer: str,
    objective: Objective | int,
    *,
    shape: Sequence[int] | None = None,
    start: Tensor | None = None,
    batch: int = 1,
    ascent: Ascent | None = None,
    seed: int = 0,
) -> Synthesis:
    """Makes inputs that a layer answers to most: pictures, sounds or series.

    They begin as faint noise, stronger where a unit is silent, or as given, and climb the gradient
    of the objective; the net is in evaluation mode and left as it was. The same seed makes the same
    inputs, and each of a batch climbs by itself. How much further than by data a unit can be driven
    is the quotient of its strongest answers::

        made = synthesize(net, layer, unit, shape=data.shape[1:]).inputs
        strongest(net, made, layer).values[unit, 0] / strongest(net, data, layer).values[unit, 0]

    Args:
        net: any module that gradients pass through.
        layer: see :func:`tcn.explain.activations`. A unit behind a ReLU that is silent at the start
            has no gradient: another seed, a start or an earlier layer will do.
        objective: the number of a unit, for the mean over its positions; or one of
            :mod:`tcn.explain.objectives`, or any callable from what the layer returns to
            ``(batch,)``.
        shape: of one input, ``(channels, *sizes)``; or give ``start``.
        start: inputs to begin with, ``(batch, channels, *sizes)``, within the bounds.
        batch: how many are made, from different noise; a start says so itself.
        ascent: the steps and what holds them back.
        seed: of the noise and the shifts.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: there is no such layer or unit, the net does not take the shape, neither or both
            of shape and start are given, the start is out of bounds, the objective gives another
            shape, became infinite or NaN, or does not answer to the input at all.

    Sources: Bashivan, Kar & DiCarlo 2019 (Neural population control via deep image synthesis); Olah
    et al. 2017 (Feature visualization); Erhan et al. 2009.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        synthesize(net, "levels.1", 3, shape=(1, 64)).inputs.shape  # (1, 1, 64)
    """
    how = Ascent() if ascent is None else ascent
    wanted: Objective = objective if callable(objective) else Stretch(objective)
    check_positive("batch", [batch])
    generator = torch.Generator().manual_seed(seed)
    values = []
    with differentiable(net), recording(net, [layer]) as record, frozen(net):
        canvas, made = _begin(net, how, shape, start, batch, generator)

        def answer(made: Tensor, jitter: int = 0) -> tuple[Tensor, Tensor]:
            x = canvas.inputs(made)
            evaluate(net, _shifted(x, jitter, generator))
            return x, _checked(wanted(record.take()[layer]), len(x))

        _awaken(answer, made, given=start is not None)
        climber = torch.optim.Adam([made], lr=how.rate)
        for _ in range(how.steps):
            x, value = answer(made, how.jitter)
            values.append(value.detach().cpu())
            (made.grad,) = torch.autograd.grad((_penalty(x, how) - value).sum(), made)
            climber.step()
        x, value = answer(made)
    return Synthesis(x.detach().cpu(), torch.stack([*values, value.detach().cpu()]))


def _awaken(answer: Answer, made: Tensor, *, given: bool) -> None:
    """Makes the noise stronger, in place, where a unit is silent and has no gradient."""
    silent = torch.ones(len(made), dtype=torch.bool, device=made.device)
    for factor in (1,) if given else STRONGER:
        with torch.no_grad():
            made[silent] *= factor
        (gradient,) = torch.autograd.grad(answer(made)[1].sum(), made)
        silent = ~gradient.flatten(1).any(1)
        if not silent.any():
            return
    if silent.all():
        raise ValueError(
            "objective: it does not answer to the input, its gradient is 0; give another seed, a "
            "start, or a layer before the one that is silent"
        )


def _begin(
    net: nn.Module,
    how: Ascent,
    shape: Sequence[int] | None,
    start: Tensor | None,
    batch: int,
    generator: torch.Generator,
) -> tuple[Canvas, Tensor]:
    """The canvas and the numbers that climb, where the net is."""
    if (shape is None) == (start is None):
        raise ValueError("shape: give the shape of one input, or inputs to start with, not both")
    if start is not None and (start.dim() < 2 or not start.numel()):
        raise ValueError(f"start: shape {tuple(start.shape)}; give (batch, channels, *sizes)")
    channels, *sizes = start.shape[1:] if shape is None else shape  # type: ignore[union-attr]
    check_positive("shape", [channels, *sizes])
    if how.frequency and not sizes:
        raise ValueError("frequency: the inputs have no positions; give Ascent(frequency=False)")
    place: dict[str, Any] = {
        "device": place_of(net), "dtype": torch.promote_types(type_of(net), torch.float32)
    }  # fmt: skip
    scale = falling(sizes).to(**place) if how.frequency else None
    mixture = None if how.mixture is None else how.mixture.to(**place, copy=True)
    if mixture is not None and mixture.shape != (channels, channels):
        raise ValueError(
            f"mixture: shape {tuple(mixture.shape)} for {channels} channels; give (channels, "
            "channels), as channel_mixture does"
        )
    canvas = Canvas(tuple(sizes), how.bounds, scale, mixture)
    if start is None:
        made = canvas.noise(batch, channels, generator).to(**place)
    else:
        made = canvas.made_of(start.detach().to(**place))
    return canvas, made.requires_grad_()


def _shifted(x: Tensor, jitter: int, generator: torch.Generator) -> Tensor:
    axes = x.dim() - 2
    if not jitter or not axes:
        return x
    shifts = torch.randint(-jitter, jitter + 1, (axes,), generator=generator).tolist()
    return torch.roll(x, shifts, dims=tuple(range(2, x.dim())))


def _penalty(x: Tensor, how: Ascent) -> Tensor:
    """What is taken off the objective, ``(batch,)``."""
    total = x.new_zeros(len(x))
    if how.total_variation:
        for axis in range(2, x.dim()):
            if x.shape[axis] > 1:
                total = total + how.total_variation * x.diff(dim=axis).abs().flatten(1).mean(1)
    if how.energy:
        middle = 0.0 if how.bounds is None else sum(how.bounds) / 2
        total = total + how.energy * (x - middle).square().flatten(1).mean(1)
    return total


def _checked(value: Any, batch: int) -> Tensor:
    """The objective's value, if it can be climbed."""
    if not isinstance(value, Tensor) or value.shape != (batch,):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"objective: it gives {found} for {batch} inputs; give ({batch},)")
    if not torch.isfinite(value).all():
        raise ValueError(
            "objective: infinite or NaN on the way; give a smaller rate, bounds or more energy"
        )
    if not value.requires_grad:
        raise ValueError("objective: it does not depend on the input by a gradient; use PyTorch")
    return value
