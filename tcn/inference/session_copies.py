"""Rows of a session copied: into a session of their own, or in place of another's."""

from __future__ import annotations

from typing import Any, NoReturn, Self

from torch import Tensor

from tcn.inference import session_file
from tcn.inference.nan_policy import RowRecord
from tcn.inference.session_rows import Rows, SessionRows, alone


class CopiedRows(SessionRows):
    """Rows that may be copied from session to session."""

    _sizes: tuple[int, ...]
    """Between row and time, of the chunk that came last."""

    def fork(self) -> Self:
        """An independent session that continues from here, as this one does, of the same net.

        It has the weights that this one has. ``copy.copy`` and ``copy.deepcopy`` do the same.
        """
        return self.gather(range(self.batch_size))

    __copy__ = fork

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self.fork()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StreamSession cannot be pickled; use save() and StreamSession.load()")

    @alone
    def gather(self, rows: Rows) -> Self:
        """A new session of copies of these rows, which continue there from where they are here.

        Raises:
            TypeError: if ``rows`` are not integers.
            ValueError: if a row does not exist, or comes twice, or its state is not finite.
        """
        index = self._index(rows)
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._make_rows(len(index))
        other._beginning = self._beginning.take(index)
        other._restore(other._index(None), *self._copied(index), "rows")
        return other

    def scatter(self, rows: Rows, other: Self) -> None:
        """Takes over the rows of another session in place of these.

        Args:
            rows: which of this session, in the order of the other's.
            other: a session of the same net with as many rows; it is left as it is.

        Raises:
            TypeError: if ``rows`` are not integers, or the other is not a session.
            ValueError: if a row does not exist, or the other session has another number of rows,
                another net or another policy for NaN, or its state is not finite.
        """
        if not isinstance(other, CopiedRows):
            raise TypeError(f"other: {type(other).__name__} is not a StreamSession")
        index = self._index(rows)
        if other.batch_size != len(index):
            raise ValueError(f"other: {other.batch_size} rows in place of {len(index)}")
        if other.nan != self.nan:
            raise ValueError(f"other: nan={other.nan!r} into a session with nan={self.nan!r}")
        session_file.check_same_net("other: it", session_file.parameter_shapes(other.net), self.net)
        # One after the other: two sessions that take each other's rows would wait forever.
        with other._lock:
            record, state = other._copied(other._index(None))
            sizes = other._sizes
        with self._lock:
            self._check_together(index, record)
            self._restore(index, record, state, "other")
            self._sizes = sizes

    def _check_together(self, rows: Tensor, record: RowRecord) -> None:
        """Refuses to mix rows that have begun with others that have not if all advance together."""
        begun = self._record.begun.clone()
        begun[rows] = record.begun
        if self._strided and begun.any() and not begun.all():
            raise ValueError(
                "other: with a stride all rows must advance together, and some would have begun "
                "and others not; scatter into all rows at once, or into a session that is as far"
            )
