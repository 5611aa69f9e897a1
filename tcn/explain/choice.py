"""What of a net is shown on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tcn.layers.validation import check_positive

METHODS = ("strongest", "occlusion", "attribution", "field", "synthesis")
UNITS = 16
"""Units of a layer that are shown unless others are asked for."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a net is looked at.

    Attributes:
        layers: names as in ``net.named_modules()``; None for three of the convolutions.
        units: channels of the layers; None for the first 16.
        methods: some of ``"strongest"``, ``"occlusion"``, ``"attribution"``, ``"field"`` and
            ``"synthesis"``.
        examples: inputs whose outputs are explained.
        seed: of the synthesis.
        class_names: of the net's outputs.
        sample_rate: in Hz if the inputs are sound, which is then drawn as spectrograms.
        progress: whether bars are shown.
    """

    layers: Sequence[str] | None = None
    units: Sequence[int] | None = None
    methods: Sequence[str] = METHODS
    examples: int = 4
    seed: int = 0
    class_names: Sequence[str] | None = None
    sample_rate: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        """Checks names and numbers.

        Raises:
            TypeError: layers or methods are a text and not a list of them.
            ValueError: a method is unknown, or a number out of range.
        """
        for name in ("layers", "methods"):
            if isinstance(value := getattr(self, name), str):
                raise TypeError(f"{name}: {value!r} is a text; give a list, [{value!r}]")
        for method in self.methods:
            if method not in METHODS:
                known = ", ".join(map(repr, METHODS))
                raise ValueError(f"methods: {method!r} is not one of {known}")
        check_positive("examples", [self.examples])

    def bar(self, items: Sequence[Any], what: str) -> Iterator[Any]:
        """The items, beside a progress bar if one is wanted."""
        from tqdm import tqdm

        yield from tqdm(items, desc=what, disable=None if self.progress else True)

    def name_of(self, output: int) -> str:
        """What an output of the net is called."""
        names = self.class_names
        return names[output] if names and output < len(names) else f"output {output}"

    def units_of(self, units: int) -> list[int]:
        """The units that are shown, of a layer that has so many."""
        return list(range(min(units, UNITS)) if self.units is None else self.units)
