"""The states a row may begin with, each defined by what it pretends came before.

    "zeros"     nothing: zeros at every layer, which is what forward's padding means
    "silence"   zeros at the input, forever: what the net makes of them stands at every layer
    "first"     the first value of the row, forever
    "carried"   what led to a state that was handed in

The second and third are steady states: feeding the constant further would change nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tcn.inference.checks import float_dtype, input_dtype, takes_tokens
from tcn.inference.state import check_fits, clone, flatten, map_tensors, skeleton, take_rows
from tcn.layers import SequenceModule, State

NAMES = ("zeros", "silence", "first")

# A prime number of steps: a state that only repeats itself after a few steps is not taken for a
# steady one.
CHUNK = 127
LONGEST = 100 * CHUNK


@dataclass(frozen=True)
class Beginning:
    """What the rows of a session begin with.

    Attributes:
        net: the net.
        name: one of those above.
        carried: a state with a row for each of the session's; ``()`` unless ``"carried"``.
    """

    net: SequenceModule
    name: str
    carried: State = ()
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, net: SequenceModule, initial: str | State, batch_size: int) -> Beginning:
        """From a name, or from a state of ``batch_size`` rows or of one.

        Raises:
            TypeError: if it is neither a name nor a state.
            ValueError: if the name is unknown, or the state is of another net or number of rows.
        """
        if isinstance(initial, str):
            if initial not in NAMES:
                names = ", ".join(map(repr, NAMES))
                raise ValueError(f"initial: {initial!r} is not one of {names}, nor a state")
            if initial == "silence" and takes_tokens(net):
                raise ValueError("initial: 'silence', but no token is silence; use 'first'")
            return cls(net, initial)
        try:
            skeleton(initial)
        except TypeError as error:
            names = ", ".join(map(repr, NAMES))
            raise TypeError(
                f"initial: {str(initial)[:80]} is neither one of {names} nor a state that net.step "
                "or a session returned"
            ) from error
        rows = sorted({tensor.shape[0] if tensor.dim() else 0 for tensor in flatten(initial)})
        if rows not in ([], [1], [batch_size]):
            raise ValueError(
                f"initial: a state of {rows} rows for batch_size={batch_size}; expected one row or "
                "as many"
            )
        expanded = map_tensors(lambda t: t.expand(batch_size, *t.shape[1:]), initial)
        try:
            check_state(net, expanded, rows=batch_size)
        except ValueError as error:
            raise ValueError(f"initial: {error}") from error
        return cls(net, "carried", clone(expanded))

    @property
    def is_alike(self) -> bool:
        """Whether every row begins with the same, whatever its first chunk and condition are."""
        readers = (getattr(module, "reads_condition", False) for module in self.net.modules())
        if self.name in ("zeros", "silence") and begins_in_silence(self.net):
            return True
        return self.name == "zeros" or (self.name == "silence" and not any(readers))

    def take(self, rows: Tensor) -> Beginning:
        """That of these rows alone."""
        return Beginning(self.net, self.name, take_rows(self.carried, rows))

    def state(self, x: Tensor, rows: Tensor, condition: Tensor | None) -> State:
        """The state of rows that begin.

        Args:
            x: their first chunk.
            rows: their numbers in the session.
            condition: that of ``x``, if the net takes one.

        Raises:
            ValueError: if the net has no steady state.
        """
        if self.name == "carried":
            return take_rows(self.carried, rows)
        if self.name != "first" and begins_in_silence(self.net):
            return map_tensors(lambda t: t.repeat(len(x), *[1] * (t.dim() - 1)), self._silent(x))
        if self.name == "zeros":
            return blank_state(self.net, x, condition)
        first = torch.zeros_like(x[..., :1]) if self.name == "silence" else x
        return steady_state(self.net, first, condition)

    def _silent(self, x: Tensor) -> State:
        """What silence leaves behind in one row, computed anew only if the weights have changed."""
        key = [(tensor.data_ptr(), tensor._version) for tensor in self.net.parameters()]
        if self._kept.get("key") != key:
            self._kept.update(key=key, state=blank_state(self.net, x[:1], None))
        return self._kept["state"]


def begins_in_silence(net: SequenceModule) -> bool:
    """Whether the state before anything came is not zeros; see :class:`tcn.models.Capture`."""
    return getattr(net, "begins_in_silence", False)


@torch.no_grad()
def blank_state(net: SequenceModule, x: Tensor, condition: Tensor | None) -> State:
    """The state before anything came, as tensors: that after a block of padding.

    Args:
        net: any that streams.
        x: an input of as many rows.
        condition: that of ``x``, if the net takes one.
    """
    block = net.block_size
    nothing = torch.zeros_like(x[..., :1]).repeat_interleave(block, -1)
    mask = padding_like(net, nothing)
    return net.step(nothing, None, condition=_first(condition, block), mask=mask)[1]


@torch.no_grad()
def check_state(net: SequenceModule, state: State, *, rows: int) -> None:
    """Refuses a state that is not one of ``rows`` rows of this net.

    Height, and with a stride the number of steps, differ from stream to stream and are not
    compared; nor is anything of a net that does not say how many channels it takes.

    Raises:
        TypeError: if a part is neither a tensor nor a tuple.
        ValueError: naming the first tensor that differs, and how.
    """
    sized = net.ndim == 1 and net.block_size == 1
    refusals: list[ValueError] = []
    for x, condition in _zeros(net):
        try:
            like = net.step(x, None, condition=condition)[1]
            return check_fits(state, like, rows=rows, sized=sized)
        except ValueError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _zeros(net: SequenceModule) -> list[tuple[Tensor, Tensor | None]]:
    """The shortest input of one row with a condition of each kind; [] where they are unknown.

    A net that looks ahead remembers a condition of each step, but not one of the whole sequence.
    """
    device = next((p.device for p in net.parameters()), None)
    readers: list[Any] = [m for m in net.modules() if getattr(m, "reads_condition", False)]
    widths = [getattr(module, "condition_channels", None) for module in readers[:1]]
    channels: list[Any] = [] if takes_tokens(net) else [getattr(net, "in_channels", None)]
    if None in widths + channels:
        return []
    sizes = [1] * (net.ndim - 1) + [net.block_size]
    x = torch.zeros([1, *channels, *sizes], dtype=input_dtype(net), device=device)
    shapes: list[list[Any]] = [[1, *widths], [1, *widths, *sizes]]
    if not widths:
        return [(x, None)]
    return [(x, torch.zeros(shape, dtype=float_dtype(net), device=device)) for shape in shapes]


def padding_like(net: SequenceModule, x: Tensor) -> Tensor:
    """The mask that says that all of ``x`` is padding."""
    sizes = x.shape[1:] if takes_tokens(net) else x.shape[2:]
    return torch.zeros((len(x), *sizes), dtype=torch.bool, device=x.device)


@torch.no_grad()
def steady_state(net: SequenceModule, x: Tensor, condition: Tensor | None) -> State:
    """The state of the net if the first step of ``x`` had been there forever.

    Args:
        net: any that streams.
        x: ``(rows, channels, ..., time)`` or tokens; only the first step is read.
        condition: that of ``x``; if there is one per step, its first one is held too.

    Raises:
        ValueError: if the state goes on changing, as with a sum over all the past.
    """
    needed = _steps_to_settle(net)
    if not math.isinf(needed):
        return _hold(net, x, None, condition, int(needed))
    chunk = CHUNK * net.block_size
    state = _hold(net, x, None, condition, chunk)
    for _ in range(LONGEST // CHUNK):
        before, state = state, _hold(net, x, state, condition, chunk)
        if _close(before, state):
            return state
    raise ValueError(
        f"initial: {type(net).__name__} still changes after {LONGEST * net.block_size} steps of a "
        "constant, so it has no steady state (a cumulative norm or a readout over time has "
        "none); begin with initial='zeros' or with a carried state"
    )


def _steps_to_settle(net: SequenceModule) -> float:
    """Steps of a constant after which the state no longer changes; infinite if it may forever."""
    field = net.receptive_field
    field = field[-1] if isinstance(field, tuple) else field
    if math.isinf(field):
        return math.inf
    return math.ceil((field + net.latency) / net.block_size) * net.block_size


def _hold(
    net: SequenceModule, x: Tensor, state: State | None, condition: Tensor | None, steps: int
) -> State:
    constant = x[..., :1].expand(*x.shape[:-1], steps)
    return net.step(constant, state, condition=_first(condition, steps))[1]


def _first(condition: Tensor | None, steps: int) -> Tensor | None:
    """The first step of a condition per step, repeated; one for the whole sequence as it is."""
    if condition is None or condition.dim() == 2:
        return condition
    return condition[..., :1].expand(*condition.shape[:-1], steps)


def _close(before: State, after: State) -> bool:
    pairs = zip(flatten(before), flatten(after), strict=True)
    return all(
        bool(((b - a).abs() <= 16 * torch.finfo(a.dtype).eps * (1 + a.abs())).all())
        for b, a in pairs
        if a.is_floating_point()
    )
