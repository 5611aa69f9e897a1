"""Data as batches of inputs, whatever form it comes in; never more than one batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

Data = Tensor | Dataset[Any] | DataLoader[Any] | Iterable[Any]
"""Inputs ``(examples, ...)``; a map-style data set; or an iterable of batches, which are inputs or
tuples whose first part they are."""


class Inputs(NamedTuple):
    """A batch of inputs.

    Attributes:
        x: ``(examples, ...)``.
        lengths: ``(examples,)`` valid steps of each, None if all are whole.
    """

    x: Tensor
    lengths: Tensor | None = None

    def one(self, index: int) -> Tensor:
        """An example, without the padding on its right."""
        end = None if self.lengths is None else int(self.lengths[index])
        return self.x[index][..., :end]


def batches(data: Data, batch_size: int = 64) -> Iterator[Tensor]:
    """The inputs of a data set, in its order, without their lengths; see :func:`padded_batches`."""
    for inputs in padded_batches(data, batch_size):
        yield inputs.x


def padded_batches(data: Data, batch_size: int = 64) -> Iterator[Inputs]:
    """The inputs of a data set, in its order.

    Args:
        data: see :data:`Data`.
        batch_size: of a tensor or a data set; a loader has its own.

    Raises:
        TypeError: there are no tensors in it.
        ValueError: it is empty.
    """
    found = False
    for batch in _parts(data, batch_size):
        x, lengths = batch, getattr(batch, "lengths", None)
        while isinstance(x, tuple | list) and x:
            x = x[0]
        if not isinstance(x, Tensor):
            raise TypeError(
                f"data: a batch of {type(x).__name__}; give a tensor (examples, ...), a data set, "
                "or batches of tensors or of tuples that begin with one"
            )
        if len(x):
            found = True
            yield Inputs(x, lengths)
    if not found:
        raise ValueError("data: it holds no examples; give at least one")


def _parts(data: Data, batch_size: int) -> Iterable[Any]:
    if isinstance(data, Tensor):
        if data.dim() < 2:
            raise ValueError(
                f"data: shape {tuple(data.shape)} has no axis of examples; use x.unsqueeze(0) for "
                "a single one"
            )
        return data.split(batch_size)
    if isinstance(data, Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _of_dataset(data, batch_size)
    if not isinstance(data, Iterable):
        raise TypeError(
            f"data: {type(data).__name__}; give a tensor (examples, ...), a data set or batches"
        )
    return data


def _of_dataset(data: Any, batch_size: int) -> Iterator[Any]:
    for start in range(0, len(data), batch_size):
        indices = list(range(start, min(start + batch_size, len(data))))
        if hasattr(data, "__getitems__"):
            got = data.__getitems__(indices)
            yield got if isinstance(got, tuple) else default_collate(got)
        else:
            yield default_collate([data[index] for index in indices])


def check_repeatable(data: Data) -> None:
    """Refuses data that would come in another order, or not at all, a second time.

    Raises:
        ValueError: naming the cure.
    """
    if isinstance(data, Iterator):
        raise ValueError("data: an iterator is used up once; give a list, a data set or a loader")
    if isinstance(data, DataLoader) and isinstance(data.sampler, RandomSampler):
        raise ValueError(
            "data: a shuffled loader, whose examples cannot be found again; build it with "
            "shuffle=False"
        )


def examples(data: Data, indices: Iterable[int], batch_size: int = 64) -> list[Tensor]:
    """The inputs of a data set by number, each without padding, read once from the beginning.

    Raises:
        ValueError: the data are not in the same order each time, or end before a number.
    """
    check_repeatable(data)
    wanted = list(indices)
    kept: dict[int, Tensor] = {}
    start = 0
    for inputs in padded_batches(data, batch_size):
        for index in set(wanted).difference(kept):
            if start <= index < start + len(inputs.x):
                kept[index] = inputs.one(index - start).clone()
        start += len(inputs.x)
        if len(kept) == len(set(wanted)):
            break
    if missing := sorted(set(wanted).difference(kept)):
        raise ValueError(f"indices: {missing[0]} of data with {start} examples")
    return [kept[index] for index in wanted]
