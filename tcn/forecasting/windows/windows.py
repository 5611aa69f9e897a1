"""Windows of many series as batches.

::

    rows of one series    0 1 2 3 4 5 6 7 8 9 |              h = 3, input_size = 4
    position 5                _ _ _ _ f f f   |              past 2..5, horizon 6..8
    position 9                        _ _ _ _ | f f f        past 6..9, the horizon is to come
    position 1          . . _ _ f f f         |              padded on the left, not observed

A window is known by its series and the position of its last past step. Windows are numbered
without a table of them, and a batch is cut out of one matrix by one index operation.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tcn.forecasting.frames.arrays import Booleans, Integers
from tcn.forecasting.frames.calendar import calendar_features, check_features
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import Scaled
from tcn.layers.validation import check_positive

MIN_PAST = 2  # rows
CHECKED_FROM = 2**30  # bytes of a batch from which the machine's memory is looked at


class Windows(Dataset[WindowBatch]):
    """Windows of the series of a panel, in order of series and position.

    A series too short for a whole past is padded on the left, with one warning. By default a
    window's horizon is known: its position runs from ``input_size - 1`` to ``h`` steps before the
    end of the series, and from half of what there is where the series is too short for that.

    Attributes:
        panel: the series.
        statistics: by which their targets are scaled.
    """

    def __init__(
        self,
        panel: Panel,
        input_size: int,
        h: int,
        *,
        scaled: Scaled,
        first: Integers | int | None = None,
        last: Integers | int | None = None,
        step: int = 1,
        calendar: Sequence[str] = (),
        min_past: int = MIN_PAST,
        receptive_field: int | None = None,
        told: bool = True,
    ) -> None:
        """Cuts the series of a panel into windows.

        Args:
            panel: the series.
            input_size: steps of the past, ``L``.
            h: steps of the horizon.
            scaled: the panel's values in the units of the net.
            first: first position, for all series or ``(N,)``.
            last: last position, likewise, below the length of the series; beyond ``length - 1 - h``
                the horizon is in part unknown. A series with ``first > last`` has no window.
            step: steps from one window to the next, counted back from the last.
            calendar: features of :mod:`tcn.forecasting.frames.calendar`.
            min_past: rows of the past that a window must have at least; with 1 a single value is
                enough to forecast from.
            receptive_field: of the net, for the warning about padding.
            told: whether there is a warning about padding.

        Raises:
            ValueError: a size is below 1, a position lies outside its series, no window is left, or
                future covariates are needed and not there.
        """
        for name, value in {"input_size": input_size, "h": h, "step": step}.items():
            check_positive(name, [value])
        check_positive("min_past", [min_past])
        check_features(calendar, panel.frequency)
        self.panel, self.input_size, self.h, self.step = panel, input_size, h, step
        self.statistics = scaled.statistics
        self.first, self.last = self._positions(first, last, min_past)
        counts = np.maximum((self.last - self.first) // step + 1, 0)
        self._report(counts, min_past, training=last is None)
        if told:
            self._tell_of_padding(counts, receptive_field)
        self._ends = np.cumsum(counts)
        self._fill(scaled, tuple(calendar))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        """Those of the numbers ``indices``; give the loader ``collate_fn=lambda batch: batch``."""
        return self.batch(indices)

    def batch(self, indices: Sequence[int] | Tensor | Integers) -> WindowBatch:
        """The windows of these numbers as one batch, in the order given.

        Raises:
            MemoryError: the batch alone needs more memory than the machine has.
        """
        self._check_memory(len(indices))
        series, position = self.where(indices)
        return self.at(series, position)

    def where(self, indices: Sequence[int] | Tensor | Integers) -> tuple[Integers, Integers]:
        """Series and position of windows, ``(B,)`` each."""
        number = np.asarray(indices, dtype=np.int64)
        series = np.searchsorted(self._ends, number, side="right")
        back = self._ends[series] - 1 - number
        return series, self.last[series] - back * self.step

    def at(self, series: Integers, position: Integers) -> WindowBatch:
        """The windows of these series and positions, ``(B,)`` each, whether numbered or not.

        Raises:
            ValueError: the horizon of one reaches beyond what is known.
        """
        if ((position < 0) | (position + self.h >= self._known[series])).any():
            raise ValueError("position: a window reaches beyond the known rows of its series")
        L, K = self.input_size, self.panel.target.shape[1]
        start = self._begin[series] + position
        # The past of the first rows of a series is another series: it is covered by zeros.
        before = np.arange(1 - L, self.h + 1) < -position[:, None]
        values = torch.from_numpy(self._cut(self._values, start))
        observed = torch.from_numpy(self._cut(self._observed, start))
        if before.any():
            padding = torch.from_numpy(before)[:, None]
            values.masked_fill_(padding, 0.0)
            observed.masked_fill_(padding, False)
        H = self.panel.hist.shape[1]
        which = torch.from_numpy(series)
        return WindowBatch(
            target=values[:, :K, :L].contiguous(),
            observed=observed[..., :L].contiguous(),
            exogenous=values[:, K:, :L].contiguous(),
            future=values[:, K + H :, L:].contiguous(),
            static=self._static[which],
            categories=self._categories[which],
            horizon=values[:, :K, L:].contiguous(),
            horizon_observed=observed[..., L:].contiguous(),
            series=which,
            position=torch.from_numpy(position),
        )

    def horizon_times(self, indices: Sequence[int] | Tensor | Integers) -> NDArray[Any]:
        """Times of the horizon of windows, ``(B, h)``, in UTC or integers."""
        series, position = self.where(indices)
        rows = self._begin[series] + position
        return self._times[rows[:, None] + np.arange(1, self.h + 1)]

    @property
    def bytes_per_window(self) -> int:
        """Memory of one window of a batch, without that of a net."""
        return (self.input_size + self.h) * (4 * len(self._values) + len(self._observed))

    def _check_memory(self, count: int) -> None:
        need = count * self.bytes_per_window
        if need < CHECKED_FROM:
            return
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if need > there:
            raise MemoryError(
                f"{count} windows of input_size={self.input_size} and h={self.h} need "
                f"{need / 2**30:.1f} GiB, and this machine has {there / 2**30:.1f}; ask for at "
                f"most {there // 4 // self.bytes_per_window} at once (batch_size)"
            )

    def _cut(self, matrix: NDArray[Any], start: Integers) -> NDArray[Any]:
        """``(B, channels, L + h)`` out of ``(channels, rows)``.

        A view of all windows first, so that numpy copies whole windows rather than single numbers,
        in a tenth of the time.
        """
        every = np.lib.stride_tricks.sliding_window_view(matrix, self.input_size + self.h, axis=1)
        return every[:, start].transpose(1, 0, 2)

    def _positions(
        self, first: Integers | int | None, last: Integers | int | None, min_past: int
    ) -> tuple[Integers, Integers]:
        lengths = self.panel.lengths
        end = lengths - 1 - self.h if last is None else np.broadcast_to(last, lengths.shape)
        if (end >= lengths).any():
            worst = int((end - lengths).argmax())
            raise ValueError(
                f"last: {end[worst]} lies beyond the last position of series "
                f"{self.panel.ids[worst]!r}, {lengths[worst] - 1}; give positions below the length"
            )
        if first is None:
            begin = np.maximum(np.minimum(self.input_size, end // 2 + 1), min_past) - 1
            if last is not None:
                begin = end
        else:
            begin = np.broadcast_to(first, lengths.shape)
        if (begin < 0).any() and first is not None:
            raise ValueError(f"first: position {int(begin.min())} is before the first row, 0")
        return begin.astype(np.int64), np.asarray(end, dtype=np.int64)

    def _report(self, counts: Integers, min_past: int, *, training: bool) -> None:
        lengths, used = self.panel.lengths, counts > 0
        need = min_past + self.h if training else min_past
        short = lengths < need if training else used & (self.last + 1 < min_past)
        named = shown(self.panel.ids[short])
        if short.any() and (short.all() or not training):
            raise ValueError(
                f"series {named} have {int(lengths[short].max())} rows at most, and a window needs "
                f"{need}: {min_past} of the past"
                + (
                    f" and {self.h} to come; lower h, or leave these series out"
                    if training
                    else "; give more rows of these series, or leave them out"
                )
            )
        if not used.any():
            raise ValueError(
                "first, last: no series has a window, for first is above last in all of them"
            )
        if short.any():
            warn(
                f"{short.sum()} of {len(lengths)} series have fewer than {need} rows ({min_past} "
                f"of the past and h={self.h} to come) and no window: {named}",
            )

    def _tell_of_padding(self, counts: Integers, receptive_field: int | None) -> None:
        padded = (counts > 0) & (self.first + 1 < self.input_size)
        if padded.any():
            reach = "" if receptive_field is None else f" (receptive field {receptive_field})"
            warn(
                f"{padded.sum()} of {len(padded)} series have windows with fewer past rows than "
                f"input_size={self.input_size}{reach}, {int((self.first[padded] + 1).min())} at "
                "the least; what lies before them is padded and not observed",
            )

    def _fill(self, scaled: Scaled, calendar: tuple[str, ...]) -> None:
        """One row per step of every series, and of the horizon beyond its end where one is."""
        panel = self.panel
        lengths = panel.lengths
        used = self.last >= self.first
        beyond = np.where(used, np.maximum(self.last + self.h + 1 - lengths, 0), 0)
        self._begin = panel.offsets[:-1] + np.cumsum(beyond) - beyond
        past = np.repeat(self._begin - panel.offsets[:-1], lengths) + np.arange(len(panel.times))
        to_come = _ragged(self._begin + lengths, beyond)
        rows = len(past) + len(to_come)
        self._times = np.empty(rows, dtype=panel.times.dtype)
        self._times[past] = panel.times
        if len(to_come):
            ahead = np.arange(1, int(beyond.max()) + 1) <= beyond[:, None]
            self._times[to_come] = panel.future_times(ahead.shape[1])[ahead]
        self._known = lengths + beyond
        K, H, F = scaled.target.shape[1], scaled.hist.shape[1], scaled.futr.shape[1]
        # In front the padding of the first series.
        matrix = np.zeros((K + H + F + len(calendar), self.input_size - 1 + rows), dtype=np.float32)
        there = np.zeros((K, matrix.shape[1]), dtype=bool)
        values, observed = matrix[:, self.input_size - 1 :], there[:, self.input_size - 1 :]
        observed[:, past] = ~np.isnan(scaled.target.T)
        values[:K, past] = np.nan_to_num(scaled.target.T)
        values[K : K + H, past] = scaled.hist.T
        values[K + H : K + H + F, past] = scaled.futr.T
        if F and len(to_come):
            values[K + H : K + H + F, to_come] = self._future(scaled, ahead).T
        values[K + H + F :] = calendar_features(self._times, calendar, panel.timezone).T
        self._values, self._observed = matrix, there
        self._static = torch.from_numpy(scaled.stat)
        self._categories = torch.from_numpy(panel.categories.copy())

    def _future(self, scaled: Scaled, ahead: Booleans) -> NDArray[np.float32]:
        names = list(self.panel.columns.futr)
        if scaled.future is None or scaled.future.shape[1] < ahead.shape[1]:
            there = 0 if scaled.future is None else scaled.future.shape[1]
            raise ValueError(
                f"futr_df: {names} are needed for {ahead.shape[1]} steps after the last row, and "
                f"given for {there}; give a frame with the rows to come"
            )
        return scaled.future[:, : ahead.shape[1]][ahead]


def _ragged(begin: Integers, counts: Integers) -> Integers:
    """``begin[i], begin[i] + 1, ...``, ``counts[i]`` of each, end to end."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) + np.repeat(begin - (ends - counts), counts)
