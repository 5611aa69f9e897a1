"""Checks of arguments and inputs; each message names the argument, its value and the cure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar

from torch import Tensor, nn

T = TypeVar("T", int, str)

Padding = str | int | Sequence[str | int] | None
"""A name, or a number of zeros on both sides, for all axes or per axis; None: see the layer."""

SIZE_NAMES = {1: "time", 2: "height, time"}

LARGEST_SIZE = 2**48
"""What the processors of today can address, in bytes; beyond it PyTorch fails in its own ways."""


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer, of NumPy too; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def as_float(value: Real | Tensor) -> float:
    """A number as a float; infinite if an integer is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def check_ndim(ndim: int) -> None:
    """Refuses a number of axes that no layer has; True is not 1.

    Raises:
        ValueError: if ``ndim`` is neither 1 nor 2.
    """
    if not is_integer(ndim) or ndim not in (1, 2):
        raise ValueError(f"ndim: {ndim!r}; sequences are 1 (time), images and spectrograms 2")


def per_axis(name: str, value: T | Sequence[T], ndim: int) -> tuple[T, ...]:
    """One value per axis; a single one is repeated.

    Raises:
        ValueError: if the number of values is not ``ndim``, or there is no such number of axes.
    """
    check_ndim(ndim)
    single = isinstance(value, str) or not hasattr(value, "__len__")
    values: Any = (value,) * ndim if single else tuple(value)  # type: ignore[arg-type]
    if len(values) != ndim:
        raise ValueError(f"{name}: {values} has {len(values)} values for {ndim} axes")
    # NumPy's integers are not what PyTorch's exporters and a JSON file take.
    plain: Any = (int(each) if is_integer(each) else each for each in values)
    return tuple(plain)


def check_positive(name: str, values: Sequence[int]) -> None:
    """Refuses sizes that are not integers of at least 1, or that no machine can hold."""
    for value in values:
        if not is_integer(value):
            raise TypeError(f"{name}: {value!r} is not an integer")
        if value < 1:
            raise ValueError(f"{name}: {value} must be at least 1")
        if value > LARGEST_SIZE:
            raise ValueError(f"{name}: {value} is more than a machine can hold; give fewer")


def check_switch(**switches: object) -> None:
    """Refuses what is not True or False: every text is true, ``"no"`` too."""
    for name, value in switches.items():
        # NumPy's is called bool too, or in its first version bool_.
        if type(value).__name__ not in ("bool", "bool_"):
            raise TypeError(f"{name}: {value!r} is not True or False; write {name}=False")


def check_channels(*, groups: int = 1, **channels: int) -> None:
    """Refuses channel counts below 1 or that ``groups`` does not divide."""
    check_positive("groups", [groups])
    for name, value in channels.items():
        check_positive(name, [value])
        if value % groups:
            raise ValueError(f"groups: {groups} does not divide {name}={value}")


def check_probability(name: str, value: object) -> None:
    """Refuses a dropout probability outside ``[0, 1)``."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} is not a number; give a share such as 0.1")
    if not 0 <= as_float(value) < 1:
        raise ValueError(
            f"{name}: {value} is not in [0, 1); it is the share of values that are dropped, "
            "and at 1 nothing would be left"
        )


def check_share(name: str, value: object, *, all_of_it: bool = True) -> None:
    """Refuses what is not a share from 0 to 1, or from 0 to below 1 if not ``all_of_it``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} is not a number; give a share such as 0.1")
    if not 0 <= as_float(value) <= 1 or (value == 1 and not all_of_it):
        limits = "between 0 and 1" if all_of_it else "from 0 to below 1"
        raise ValueError(f"{name} is {value}: give a share {limits}")


def check_input(module: nn.Module, x: Tensor, channels: int, ndim: int) -> None:
    """Refuses an input whose rank, channel count or type does not fit, naming both shapes."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"x: {type(x).__name__} for {type(module).__name__}, which takes tensors; use "
            "torch.as_tensor(x)"
        )
    if x.dim() == ndim + 2 and x.shape[1] == channels:
        if not (x.is_floating_point() or x.is_complex()):
            raise TypeError(
                f"x: {x.dtype} for {type(module).__name__}, which computes with floating point "
                "numbers; use x.float(), and / 255 if these are the bytes of an image"
            )
        return
    expected = f"(batch, {channels} channels, {SIZE_NAMES[ndim]})"
    cure = f"expected {expected}"
    if x.dim() == ndim + 2 and x.shape[-1] == channels:
        cure += "; the channels seem to be last: use x.movedim(-1, 1)"
    elif x.dim() == ndim + 1:
        cure += "; an axis is missing: x.unsqueeze(0) for the batch, x.unsqueeze(1) for one channel"
    elif x.dim() == ndim + 2 and x.shape[1] == 1:
        cure += f"; repeat the one channel (gray): x.repeat_interleave({channels}, 1)"
    elif x.dim() == ndim + 2 and channels == 1:
        cure += "; make one channel (gray) of these: x.mean(1, keepdim=True)"
    raise ValueError(f"x: shape {tuple(x.shape)} does not fit {type(module).__name__}: {cure}")


def check_input_of_any_rank(module: nn.Module, x: Tensor, channels: int) -> None:
    """As :func:`check_input`, for a module that serves 1-D and 2-D; one channel would broadcast."""
    check_input(module, x, channels, 2 if x.dim() == 4 else 1)


def wrong_state(module: nn.Module, expected: str, found: object) -> ValueError:
    """The error for a state that ``module`` did not return, or not for this batch."""
    return ValueError(
        f"state: {type(module).__name__} expected {expected}, got {found}; this state belongs to "
        "another net or batch, pass state=None to begin anew"
    )


def check_state(module: nn.Module, state: object, leading: tuple[int, ...], x: Tensor) -> Tensor:
    """The state, if it is a tensor of ``(*leading, any)`` in the type and place of ``x``."""
    if not isinstance(state, Tensor):
        raise wrong_state(module, "a tensor", type(state).__name__)
    if state.shape[:-1] != leading:
        raise wrong_state(module, f"shape {(*leading, '...')}", f"shape {tuple(state.shape)}")
    if state.dtype != x.dtype or state.device != x.device:
        raise ValueError(
            f"state: {state.dtype} on {state.device} for {type(module).__name__}, x is {x.dtype} "
            f"on {x.device}; move the state along with x"
        )
    return state


def check_bias(module: nn.Module, bias: Tensor | None, expected: tuple[int, ...]) -> None:
    """Refuses a bias that would be broadcast over the channels it does not have."""
    if bias is not None and tuple(bias.shape) != expected:
        raise ValueError(
            f"bias: shape {tuple(bias.shape)} in {type(module).__name__}; expected {expected}: "
            "load weights that fit, or build it anew"
        )


def padding_per_axis(
    padding: Padding,
    kernel_size: Sequence[int],
    choices: Sequence[str],
) -> tuple[str | int, ...]:
    """One padding per axis of a window; the one place that knows what is meant if none is given.

    That is ``"causal"`` for a sequence, and for a window of one step, which sees its own position
    whatever is given. For an image there is no default. Where ``"valid"`` is a choice, so is a
    number of zeros.

    Raises:
        ValueError: if it must be given and is not, if there are more or fewer than axes, or if a
            name is unknown.
    """
    if padding is None and max(kernel_size) > 1 and len(kernel_size) > 1:
        raise unsaid("padding", '("same", "causal")', '"same"', choices)
    given: Any = "causal" if padding is None else padding
    names: tuple[str | int, ...] = per_axis("padding", given, len(kernel_size))
    for name in names:
        if not (is_integer(name) and "valid" in choices) and name not in choices:
            raise ValueError(f"padding: {name!r} is not one of {', '.join(map(repr, choices))}")
    return names


def unsaid(name: str, spectrogram: str, image: str, choices: Sequence[object]) -> ValueError:
    """The error for an argument that says along which of two axes a layer may not look ahead."""
    return ValueError(
        f"{name}: None for two axes, each of which may look ahead or not; give it per axis "
        f"(height, time): {name}={spectrogram} for a spectrogram, {name}={image} for an image; "
        f"the choices are {', '.join(map(repr, choices))}"
    )


def check_positions(module: nn.Module, x: Tensor) -> None:
    """Refuses an input without positions, for a module that reads those of sequences and images."""
    if x.dim() not in (3, 4):
        raise ValueError(
            f"x: shape {tuple(x.shape)} does not fit {type(module).__name__}, which reads "
            "positions: expected (batch, channels, time) or (batch, channels, height, time); of "
            "one position add the axis, x.unsqueeze(-1)"
        )


def check_rank(module: nn.Module, x: Tensor, ndim: int) -> None:
    """Refuses an input of another rank, for a module that takes any number of channels."""
    if x.dim() != ndim + 2:
        raise ValueError(
            f"x: shape {tuple(x.shape)} does not fit {type(module).__name__}: expected (batch, "
            f"channels, {SIZE_NAMES[ndim]}); add a missing axis with x.unsqueeze"
        )
