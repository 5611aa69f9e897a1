"""What a case of the speed benchmark is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.speed.timing import Action

OURS = "tcn"


@dataclass(frozen=True)
class Case:
    """Contestants that do the same work, ours first.

    Attributes:
        kind: "training step", ...
        name: which net on which input.
        unit: what one call does ``units`` of: "step", "row", "sample".
        units: how many of them each contestant does per call.
        operations: floating-point operations of one call of ours, counted as in the whole-sequence
            form; 0 if a share of the machine's rate is meaningless.
        before: what is done before each call without being timed; None for calls back to back.
    """

    kind: str
    name: str
    actions: Mapping[str, Action]
    unit: str = "step"
    units: Mapping[str, int] = field(default_factory=dict)
    operations: int = 0
    before: Action | None = None


Builder = Callable[[], Case]
