"""The state of a stream as something that can be indexed by rows, put in a list and stored.

``net.step`` returns a state that is a tree: nested tuples, whose leaves are tensors with the batch
on axis 0, one row per user of the stream. A part without memory has the state ``()``.

    state         (past of level 1, ((), sum of level 2))
    skeleton      (None,            ((), None))            the same tree without its tensors
    flatten       [past of level 1, sum of level 2]
    to_tensors    {"0": past of level 1, "1.1": sum of level 2}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import torch
from torch import Tensor

from tcn.layers import State

Skeleton: TypeAlias = tuple["Skeleton", ...] | None
"""A state without its tensors: None, or a tuple of skeletons."""


def skeleton(state: State | None) -> Skeleton:
    """The tree with None for every tensor.

    Raises:
        TypeError: if a part is neither a tensor nor a tuple.
    """
    if isinstance(state, tuple):
        return tuple(skeleton(part) for part in state)
    _tensor(state)
    return None


def flatten(state: State) -> list[Tensor]:
    """The tensors, from left to right."""
    return [_tensor(leaf) for _, leaf in _leaves(state)]


def names(state: State | Skeleton) -> list[str]:
    """The names that :func:`to_tensors` gives, in the order of :func:`flatten`."""
    return [name for name, _ in _leaves(state)]


def unflatten(tensors: Sequence[Tensor], like: Skeleton | State) -> State:
    """The inverse of :func:`flatten`.

    Args:
        tensors: as many as the tree has leaves.
        like: a state of the same net, or its skeleton.

    Raises:
        ValueError: if there are too few or too many.
    """
    expected = len(names(like))
    if len(tensors) != expected:
        raise ValueError(f"tensors: {len(tensors)} for a state of {expected} tensors")
    return _filled(like, iter(tensors))


def _filled(like: Skeleton | State, tensors: Iterator[Tensor]) -> State:
    if isinstance(like, tuple):
        return tuple(_filled(part, tensors) for part in like)
    return next(tensors)


def to_tensors(state: State) -> dict[str, Tensor]:
    """The tensors by their place in the tree: ``"1.0"`` is ``state[1][0]``, ``""`` the state."""
    return {name: _tensor(leaf) for name, leaf in _leaves(state)}


def from_tensors(tensors: Mapping[str, Tensor], like: Skeleton | State) -> State:
    """The inverse of :func:`to_tensors`.

    Args:
        tensors: by name.
        like: a state of the same net, or its skeleton.

    Raises:
        ValueError: if a name is missing or too many.
    """
    expected = names(like)
    if set(tensors) != set(expected):
        missing = sorted(set(expected) - set(tensors))
        unknown = sorted(set(tensors) - set(expected))
        raise ValueError(f"tensors: missing {missing}, unknown {unknown}")
    return unflatten([tensors[name] for name in expected], like)


def map_tensors(function: Callable[[Tensor], Tensor], state: State | None) -> State:
    """The same tree with ``function`` of each tensor.

    Raises:
        TypeError: if a part is neither a tensor nor a tuple.
    """
    if isinstance(state, tuple):
        return tuple(map_tensors(function, part) for part in state)
    return function(_tensor(state))


def clone(state: State) -> State:
    """A copy that shares no memory with anything, so that it may be changed in place."""
    return map_tensors(lambda tensor: tensor.detach().clone(), state)


def take_rows(state: State, rows: Tensor) -> State:
    """The state of these rows alone, in this order, as a copy.

    Args:
        state: of all rows.
        rows: 1-D int64 indices.
    """
    return map_tensors(lambda tensor: tensor.index_select(0, rows), state)


def put_rows(state: State, rows: Tensor, part: State) -> None:
    """Writes the state ``part`` of some rows into ``state``, in place.

    Args:
        state: of all rows; its tensors must not share memory with each other, see :func:`clone`.
        rows: 1-D int64 indices, each at most once.
        part: of ``len(rows)`` rows.

    Raises:
        ValueError: if the two are not states of the same net, or are at different phases of a
            stride.
    """
    check_fits(part, state, rows=len(rows))
    for target, source in zip(flatten(state), flatten(part), strict=True):
        target.index_copy_(0, rows, source)


def check_fits(state: State, like: State, *, rows: int, sized: bool = True) -> None:
    """Refuses a state that is not one of ``rows`` rows of the same net as ``like``.

    Args:
        state: the state.
        like: one of the net, of any number of rows.
        rows: how many rows are expected.
        sized: whether the sizes behind the channels have to be the same too.

    Raises:
        TypeError: if a part is neither a tensor nor a tuple.
        ValueError: naming the first tensor that differs, and how.
    """
    if skeleton(state) != skeleton(like):
        raise ValueError(
            f"state: {len(flatten(state))} tensors in another arrangement than the "
            f"{len(flatten(like))} of this net; it belongs to another net"
        )
    for (name, tensor), other in zip(to_tensors(state).items(), flatten(like), strict=True):
        sizes = other.shape[2:] if sized else tensor.shape[2:]
        expected = (rows, *other.shape[1:2], *sizes)
        if tensor.shape != expected or tensor.dtype != other.dtype:
            raise ValueError(
                f"state: {tensor.dtype} of shape {tuple(tensor.shape)} at {name!r}, expected "
                f"{other.dtype} of shape {tuple(expected)}; it belongs to another net or batch, or "
                "(with a stride) its rows have not seen the same number of steps"
            )


def _leaves(state: State | Skeleton, prefix: str = "") -> Iterator[tuple[str, Tensor | None]]:
    if isinstance(state, tuple):
        for index, part in enumerate(state):
            yield from _leaves(part, f"{prefix}.{index}" if prefix else str(index))
    else:
        yield prefix, state


def _tensor(leaf: object) -> Tensor:
    if not isinstance(leaf, Tensor):
        raise TypeError(
            f"state: a {type(leaf).__name__} is neither a tensor nor a tuple of them; pass what "
            "net.step returned"
        )
    return leaf


def row_indices(rows: Any, batch_size: int) -> Tensor:
    """Rows, however they were given, as distinct int64 indices.

    Args:
        rows: a row, a sequence of rows, a 1-D tensor or numpy array of integers, or one of bools
            that is a mask of all rows.
        batch_size: how many there are.

    Raises:
        TypeError: if they are not integers.
        ValueError: if one does not exist or comes twice, or they have more than one axis.
    """
    if hasattr(rows, "__array__") and not isinstance(rows, Tensor):
        rows = torch.as_tensor(rows)
    if isinstance(rows, Tensor) and rows.dim() > 1:
        raise ValueError(f"rows: of shape {tuple(rows.shape)}; expected one axis: rows.flatten()")
    if isinstance(rows, Tensor) and rows.dtype == torch.bool:
        if rows.shape != (batch_size,):
            raise ValueError(
                f"rows: a mask of shape {tuple(rows.shape)}; expected one bool per row, "
                f"shape ({batch_size},)"
            )
        rows = rows.nonzero()
    # Lists of numbers are checked several times faster than small tensors.
    listed = rows.flatten().tolist() if isinstance(rows, Tensor) else rows
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    if not listed:
        raise ValueError("rows: none named; skip the call, or pass rows=None for all")
    if not all(isinstance(row, Integral) and not isinstance(row, bool) for row in listed):
        raise TypeError(
            f"rows: {rows!r}; rows are named by integers from 0, or by a mask: a bool tensor"
        )
    if min(listed) < 0 or max(listed) >= batch_size:
        raise ValueError(f"rows: {listed}; rows run from 0 to {batch_size - 1}")
    if len(set(listed)) < len(listed):
        raise ValueError(f"rows: {listed} names a row twice")
    return torch.tensor(listed)
