"""Metrics that a task measures when it is asked for them by name."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MultilabelF1Score,
)
from torchmetrics.functional.classification import binary_average_precision
from typing_extensions import override

UNKNOWN = -1
"""Marks a target of a channel that is not known."""


class Measure(NamedTuple):
    """A metric with a name.

    Attributes:
        make: builds the metric from the number of classes or channels. The metric takes scores
            ``(rows, classes)`` and classes ``(rows,)``, or scores and zeros and ones, both
            ``(rows, channels)``, where ``UNKNOWN`` targets are ignored.
        mode: ``"max"`` if more is better; ``""`` if it is not a single number.
    """

    make: Callable[[int], Metric]
    mode: str


class AveragePrecision(Metric):
    """Mean over classes or channels of the area under the precision-recall curve, a sum of steps.

    Exact: it keeps all scores until the end of an epoch. Classes and channels without a positive
    target are left out of the mean, which is NaN if all are, or if a score is.
    """

    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    @override
    def update(self, scores: Tensor, target: Tensor) -> None:
        self.scores.append(scores.detach())
        self.targets.append(target)

    @override
    def compute(self) -> Tensor:
        scores, target = _joined(self.scores), _joined(self.targets)
        if not scores.numel():
            return torch.tensor(torch.nan, device=self.device)
        if target.ndim == 1:
            target = functional.one_hot(target, scores.shape[1])
        if (scores.isnan() & (target >= 0)).any():  # they would be taken for the highest
            return scores.new_tensor(torch.nan)
        found = [
            binary_average_precision(score[of >= 0], of[of >= 0], validate_args=False)
            for score, of in zip(scores.T, target.T, strict=True)
            if (of == 1).any()
        ]
        return torch.stack(found).mean() if found else scores.new_tensor(torch.nan)


class BalancedAccuracy(MulticlassConfusionMatrix):
    """Mean recall over the classes that have targets."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, validate_args=False)

    @override
    def compute(self) -> Tensor:
        matrix = super().compute()
        there = matrix.sum(1)
        return (matrix.diagonal()[there > 0] / there[there > 0]).mean()


class OfNumbers(Metric):
    """A metric that is NaN as soon as a score that counts is.

    Other metrics take NaN for the class it stands at: a net that diverged would be as accurate as
    one that always says 0, and might be kept as the best.
    """

    broken: Tensor

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.add_state("broken", torch.tensor(0), dist_reduce_fx="sum")

    @override
    def update(self, scores: Tensor, target: Tensor) -> None:
        """Takes scores ``(rows, classes, *axes)`` and targets, where negative ones do not count."""
        lost = scores.isnan()
        lost = lost.any(1) if lost.dim() > target.dim() else lost
        self.broken += (lost & (target >= 0)).any()
        self.metric.update(scores, target)

    @override
    def compute(self) -> Tensor:
        found: Tensor = self.metric.compute()
        return found.where(self.broken == 0, torch.nan)

    @override
    def reset(self) -> None:
        super().reset()
        self.metric.reset()


def top5_accuracy(classes: int) -> Metric:
    """The share of targets that are among the five classes with the highest scores.

    Raises:
        ValueError: there are no more than five classes.
    """
    if classes <= 5:
        raise ValueError(f"metrics: 'top5_accuracy' of {classes} classes is always 1; leave it out")
    return OfNumbers(MulticlassAccuracy(classes, top_k=5, average="micro", validate_args=False))


def f1_of_classes(classes: int) -> Metric:
    """The mean of the F1 scores of the classes."""
    return OfNumbers(MulticlassF1Score(classes, average="macro", validate_args=False))


def f1_of_channels(channels: int) -> Metric:
    """The mean of the F1 scores of the channels, without targets that are not known."""
    return OfNumbers(
        MultilabelF1Score(channels, average="macro", ignore_index=UNKNOWN, validate_args=False)
    )


OF_CLASSES = {
    "average_precision": Measure(lambda _: AveragePrecision(), "max"),
    "balanced_accuracy": Measure(lambda n: OfNumbers(BalancedAccuracy(n)), "max"),
    "confusion": Measure(lambda n: MulticlassConfusionMatrix(n, validate_args=False), ""),
    "f1": Measure(f1_of_classes, "max"),
    "top5_accuracy": Measure(top5_accuracy, "max"),
}
"""Metrics of one class among several; each class counts the same but for ``top5_accuracy``."""

OF_CHANNELS = {
    "average_precision": Measure(lambda _: AveragePrecision(), "max"),
    "f1": Measure(f1_of_channels, "max"),
}
"""Metrics of yes-or-no channels; each channel counts the same."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` with the nearest of ``known``, or ``""`` if none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def check_name(argument: str, name: str, known: Iterable[str]) -> None:
    """Refuses a name that is not one of ``known``.

    Raises:
        TypeError: it is not text.
        ValueError: it is not one of them.
    """
    names = sorted(known)
    if not isinstance(name, str):
        raise TypeError(f"{argument}: {name!r} is not a name; names are {', '.join(names)}")
    if name not in names:
        hint = nearest(name.removeprefix("val_").removeprefix("test_"), names)
        raise ValueError(f"{argument}: {name!r} is not one of {', '.join(names)}{hint}")


def modes(own: Mapping[str, str], measures: Mapping[str, Measure]) -> dict[str, str]:
    """The metrics that can choose a checkpoint, and ``"min"`` or ``"max"`` for each."""
    chosen = {name: measure.mode for name, measure in measures.items() if measure.mode}
    return {**own, **chosen}


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    """All parts of an epoch; a sync between processes has joined them already."""
    if isinstance(parts, Tensor):
        return parts
    return torch.cat(parts) if parts else torch.zeros(0)
