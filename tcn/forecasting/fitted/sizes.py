"""What a forecast net takes in and gives out."""

from __future__ import annotations

from dataclasses import dataclass

from tcn.layers.validation import check_positive

EMBEDDING_CHANNELS = 8  # for a category of many values; one of few gets fewer


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a net takes in and gives out; it follows from the data and the output.

    Attributes:
        h: steps of the horizon.
        input_size: steps of the look-back.
        targets: target channels.
        outputs: raw numbers for every target and step, as the output takes them.
        locations: which of those say where the target lies; the skip is added to them.
        past: channels of covariates known for the past, those known for the future included.
        future: channels of covariates known for the horizon.
        static: numbers per series.
        categories: for each categorical column how many values it has.
        masked: whether steps within a series may be missing, so that the net is told which are.
        counts: whether the target is a count: the net reads ``log(1 + y)``, and what it answers
            is in units of its own.
    """

    h: int
    input_size: int
    targets: int = 1
    outputs: int = 1
    locations: tuple[int, ...] = (0,)
    past: int = 0
    future: int = 0
    static: int = 0
    categories: tuple[int, ...] = ()
    masked: bool = False
    counts: bool = False

    def __post_init__(self) -> None:
        """Refuses sizes that are not positive."""
        for name in ("h", "input_size", "targets", "outputs"):
            check_positive(name, [getattr(self, name)])

    @property
    def channels(self) -> int:
        """Input channels of a backbone, constant ones aside."""
        return self.targets * (2 if self.masked else 1) + self.past

    @property
    def hist(self) -> int:
        """Covariates known for the past alone, the first of ``past``."""
        return self.past - self.future

    @property
    def constants(self) -> int:
        """Channels of what is known of a series as a whole: static numbers, embedded categories."""
        return self.static + sum(map(embedding_channels, self.categories))


def embedding_channels(count: int) -> int:
    """Dimensions in which a category of that many values is embedded."""
    return min(EMBEDDING_CHANNELS, (count + 1) // 2 + 1)
