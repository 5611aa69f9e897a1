"""Which value of a metric is the best so far: the one rule of every run that keeps its best."""

import math


class Best:
    """The best value of a metric so far, and the step or epoch it belongs to.

    Any number is better than NaN, and of equal values the earliest stays.

    Attributes:
        value: NaN before the first.
        at: where it was measured; None before the first.
    """

    def __init__(self, mode: str = "min") -> None:
        """Begins with nothing.

        Args:
            mode: ``"min"`` where smaller values are better, or ``"max"``.

        Raises:
            ValueError: if ``mode`` is neither.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"mode: {mode!r} is not known; give 'min' or 'max'")
        self.mode = mode
        self.value = math.nan
        self.at: int | None = None

    def take(self, value: float, at: int) -> bool:
        """Whether a value is better than all before it; if so, it is now the best."""
        better = value < self.value if self.mode == "min" else value > self.value
        if self.at is not None and not better and math.isnan(self.value) <= math.isnan(value):
            return False
        self.value, self.at = value, at
        return True
