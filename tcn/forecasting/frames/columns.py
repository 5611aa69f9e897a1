"""Which column of a frame is what."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Columns:
    """Names of the columns and what they are for.

    Attributes:
        id: which series a row belongs to.
        time: timestamps or integers.
        target: what is forecast, one column or several.
        futr: covariates whose future is known.
        hist: covariates known up to the present alone.
        stat: columns of the static frame, one value per series.
        categorical: those of ``stat`` that name a category.

    Raises:
        TypeError: a role is a string instead of a sequence of names.
        ValueError: there is no target, a column has two roles, or a categorical one is not static.
    """

    id: str = "unique_id"
    time: str = "ds"
    target: tuple[str, ...] = ("y",)
    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    stat: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("target", "futr", "hist", "stat", "categorical"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"{name}: {value!r} is one name; give a sequence, ({value!r},)")
            object.__setattr__(self, name, tuple(value))
        if not self.target:
            raise ValueError("target: no column is named; give at least one, such as ('y',)")
        roles: dict[str, str] = {}
        for role in ("id", "time", "target", "futr", "hist", "stat"):
            value = getattr(self, role)
            for column in (value,) if isinstance(value, str) else value:
                if column in roles:
                    raise ValueError(
                        f"{role}: column {column!r} is {roles[column]} already; a column has one "
                        "role, and what is known in the past alone belongs to hist"
                    )
                roles[column] = role
        if extra := set(self.categorical) - set(self.stat):
            raise ValueError(f"categorical: {sorted(extra)} are not static; name them in stat too")

    @property
    def values(self) -> tuple[str, ...]:
        """What changes from row to row: targets, known future, known past."""
        return (*self.target, *self.futr, *self.hist)

    def apart(self, values: NDArray[Any]) -> dict[str, Any]:
        """The columns of :attr:`values`, ``(R, V)``, as ``target``, ``futr`` and ``hist``."""
        first = len(self.target)
        ends = (first, first + len(self.futr))
        parts = map(np.ascontiguousarray, np.split(values, ends, axis=1))
        return dict(zip(("target", "futr", "hist"), parts, strict=True))

    @property
    def numeric_stat(self) -> tuple[str, ...]:
        """The static columns that are numbers, in the order of ``Panel.stat``."""
        return tuple(name for name in self.stat if name not in self.categorical)

    def to_json(self) -> dict[str, Any]:
        """Names that ``Columns(**names)`` reads back."""
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            key: value if isinstance(value, str) else list(value) for key, value in names.items()
        }
