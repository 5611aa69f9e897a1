"""What a search may draw: the settings, and the values of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tcn.extras import need
from tcn.forecasting.forecaster import Forecaster
from tcn.layers import SequenceModule
from tcn.layers.validation import is_integer
from tcn.outputs import output as output_of

FIXED = (
    "h", "id_col", "time_col", "target_col", "freq", "alias", "accelerator", "progress", "seed",
)  # fmt: skip
"""Settings that say what is asked, not how it is answered."""
POINTS = ("mse", "mae", "huber")
"""Losses of points, among which a template with one of them leaves the choice."""
TEN_FOLD = 10  # from which a range is drawn by its logarithm


def default_space(template: Forecaster) -> dict[str, Any]:
    """Net, loss, scaling, look-back, rate and number of steps, around a template.

    The loss stays as it is where it decides what is forecast, as that of a distribution does; so
    does a net that was handed in, and the scaling where the loss is one of counts.
    """
    size = template.input_size
    space: dict[str, Any] = {
        "input_size": sorted({max(2, size // 2), size, size + size // 2, 2 * size}),
        "learning_rate": (1e-3, 2e-2),
        "max_steps": sorted({max(1, template.max_steps // parts) for parts in (4, 2, 1)}),
    }
    if not isinstance(template.model, SequenceModule):
        space |= {
            "model": ["tcn", "gru", "large_kernel"],
            "width": [8, 16, 32],
            "dropout": [0.0, 0.1, 0.2, 0.4],
        }
    if output_of(template.loss).support != "count":
        space["window_scaler"] = [None, "standard", "identity", "last"]
        space["scaler"] = [None, "log1p"]
    if template.loss in POINTS:
        space["loss"] = [*POINTS, "student_t"]
    return space


@dataclass(frozen=True)
class Dimension:
    """One setting that is drawn.

    Attributes:
        name: of the setting.
        choices: from which one is taken; empty for a range.
        low, high: ends of a range, which belong to it.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def distribution(self) -> Any:
        """As Optuna has it: of the number of a choice, for a choice may be an object."""
        need("tcn.forecasting.AutoForecaster", "search", "optuna")
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(range(len(self.choices)))
        log = self.low > 0 and self.high >= TEN_FOLD * self.low
        if is_integer(self.low):
            return distributions.IntDistribution(int(self.low), int(self.high), log=log)
        return distributions.FloatDistribution(self.low, self.high, log=log)

    def value(self, drawn: Any) -> Any:
        """The setting for what Optuna drew."""
        return self.choices[drawn] if self.choices else drawn

    def drawn(self, value: Any) -> Any:
        """What Optuna would have had to draw for a setting; None if it never does."""
        if self.choices:
            found = (i for i, each in enumerate(self.choices) if each is value or each == value)
            return next(found, None)
        return value if self.low <= value <= self.high else None


def dimensions(template: Forecaster, space: Mapping[str, Any] | None) -> list[Dimension]:
    """The settings that a search draws, checked.

    Args:
        template: whose other settings stay.
        space: by name of the setting a list of choices, or a tuple of both ends of a range: of
            integers if both are integers, drawn by its logarithm from ten-fold on. None:
            :func:`default_space`.

    Raises:
        TypeError: if the values of a setting are neither a list nor two numbers.
        ValueError: if a name is unknown or fixed, or a setting has no values.
    """
    space = default_space(template) if space is None else space
    if not space:
        raise ValueError("space: it is empty; name a setting to search, or give None")
    known = [name for name in template.get_params(deep=False) if name not in FIXED]
    for name in space:
        if name in FIXED:
            raise ValueError(f"space: {name!r} is no choice; set it in the forecaster given")
        if name not in known:
            raise ValueError(f"space: {name!r} is unknown; known: {', '.join(known)}")
    return [_dimension(name, values) for name, values in space.items()]


def _dimension(name: str, values: Any) -> Dimension:
    if isinstance(values, list):
        if not values:
            raise ValueError(f"space: {name!r} has no choices; give one or more")
        return Dimension(name, choices=tuple(values))
    numbers = isinstance(values, tuple) and len(values) == 2 and all(map(_is_number, values))
    if not numbers:
        raise TypeError(
            f"space: {name!r} is {values!r}; give a list of choices, or (low, high) for a range"
        )
    low, high = values
    if not low < high:
        raise ValueError(f"space: {name!r} goes from {low} to {high}; give the lower end first")
    whole = is_integer(low) and is_integer(high)
    return Dimension(name, low=low if whole else float(low), high=high if whole else float(high))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
