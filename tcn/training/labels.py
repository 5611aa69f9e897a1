"""What the tasks with labels share: weights that offset rare labels, and metrics by name."""

import csv
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import override

from tcn.layers.validation import check_positive
from tcn.training.balance import Weights, training_batches
from tcn.training.batch import Batch, behind
from tcn.training.meaning import channels_of
from tcn.training.metrics import AveragePrecision, Measure, check_name, modes
from tcn.training.schedules import Schedule
from tcn.training.task import Task

STAGES = ("val", "test")


class Chosen(NamedTuple):
    """The metrics that a task with labels is asked for.

    Attributes:
        own: the metrics it always measures, with ``"min"`` or ``"max"`` for each.
        known: the further metrics it can measure.
        metrics: names of those to measure.
        monitor: the name of the metric that chooses the best checkpoint; None: the task's choice.
        classes: the argument that says how many classes or channels there are, and its value.
    """

    own: Mapping[str, str]
    known: Mapping[str, Measure]
    metrics: Sequence[str]
    monitor: str | None
    classes: tuple[str, int | None]


class LabelTask(Task):
    """A task whose labels may be rare.

    Attributes:
        confusion: the latest confusion matrix of ``"val"`` and of ``"test"``, if it is measured:
            int64 ``(classes, classes)``, a row for each target, a column for each prediction.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        weights: Weights,
        chosen: Chosen,
        optimizer: OptimizerCallable,
        lr_scheduler: Schedule | LRSchedulerCallable | None,
    ) -> None:
        """Sets up the weights and the metrics.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.
            weights: how much each label counts in the loss.
            chosen: the metrics asked for.

        Raises:
            TypeError: the names of the metrics are a single string, or are not names.
            ValueError: a metric is unknown, or one needs the number of classes or channels, which
                is below 1 or not known.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.weights = weights
        self.confusion: dict[str, Tensor] = {}
        self.modes = modes(chosen.own, chosen.known)
        self._monitor = chosen.monitor
        names = _names(chosen)
        self._measured = tuple(name for name in names if name not in chosen.own)
        if self._measured:
            count = _count(self.net, *chosen.classes, self._measured)
            self._labels = chosen.classes[0], count
            for stage in STAGES:
                for name in self._measured:
                    setattr(self, f"{stage}_{name}", chosen.known[name].make(count))

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        name = self._monitor or self._own_monitor()
        return f"val_{name}", self.modes[name]

    @abstractmethod
    def _own_monitor(self) -> str:
        """The metric that chooses the best checkpoint unless another is given."""

    @abstractmethod
    def _balanced(self) -> list[float]:
        """The weights, worked out from the training data."""

    def _training_batches(self) -> Iterator[Batch]:
        """One pass through the training data; the lengths are those of the outputs."""
        batches = training_batches(self.trainer, self.weights.name)
        for index, batch in enumerate(batches):
            yield behind(self.net, self._own_rows("train", batch, index))

    def measure(self, stage: str, scores: Tensor, target: Tensor) -> None:
        """Updates and logs the metrics asked for by name, with rows as ``Measure`` takes them.

        Raises:
            ValueError: the scores are of another number of classes or channels.
        """
        argument, count = self._labels
        if scores.shape[1] != count:
            raise ValueError(
                f"{argument}: {count}, and the net returns {scores.shape[1]}; give as many, or "
                "leave it out if the net has out_channels"
            )
        for name in self._measured:
            metric: Metric = getattr(self, f"{stage}_{name}")
            # Most refuse a batch without rows. A metric that keeps its rows needs their shape even
            # in a process that never has any, or those of the others cannot be gathered.
            if len(target) or isinstance(metric, AveragePrecision):
                metric.update(scores, target)
            if name != "confusion":
                self.log(f"{stage}_{name}", metric, prog_bar=f"{stage}_{name}" == self.monitor[0])

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        # A resumed run keeps its weights: random crops would give others when counted again.
        goes_on = self.trainer.ckpt_path is not None and self.weights.values is not None
        if self.weights.balanced and not goes_on:
            self.weights.values = self._balanced()

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.weights.balanced:
            checkpoint["balanced_weights"] = self.weights.values

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.weights.balanced:
            self.weights.values = checkpoint.get("balanced_weights", self.weights.values)

    @override
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self._keep_confusion("val")

    @override
    def on_test_epoch_end(self) -> None:
        self._keep_confusion("test")

    def _keep_confusion(self, stage: str) -> None:
        """Keeps it as an attribute and as a table: a log takes single numbers only."""
        if "confusion" not in self._measured:
            return
        matrix: Metric = getattr(self, f"{stage}_confusion")
        found = matrix.compute().cpu()  # of all processes
        matrix.reset()
        if self.trainer.sanity_checking:
            return
        self.confusion[stage] = found
        folder = self.trainer.log_dir if self.trainer.loggers else None
        if folder is not None and self.trainer.is_global_zero:
            epoch = self.current_epoch if self.trainer.state.fn == "fit" else ""
            _append(Path(folder) / f"{stage}_confusion.csv", epoch, found)


def _names(chosen: Chosen) -> list[str]:
    """The metrics to measure, each once, including the one that chooses the checkpoint."""
    given = chosen.metrics
    if isinstance(given, str):
        raise TypeError(f"metrics: {given!r} is one name; give a list of names")
    if not isinstance(given, Sequence):
        raise TypeError(f"metrics: {given!r} is not a list of names; give one, such as ['f1']")
    for name in given:
        check_name("metrics", name, {**chosen.own, **chosen.known})
    names = list(given)
    if chosen.monitor is not None:
        check_name("monitor", chosen.monitor, modes(chosen.own, chosen.known))
        names.append(chosen.monitor)
    return list(dict.fromkeys(names))


def _count(net: nn.Module, argument: str, given: int | None, names: Sequence[str]) -> int:
    count = channels_of(net) if given is None else given
    if count is None:
        raise ValueError(
            f"{argument}: {', '.join(names)} needs it, and {type(net).__name__} has no "
            f"out_channels to take it from; give how many {argument} there are"
        )
    check_positive(argument, [count])
    return int(count)


def _append(path: Path, epoch: int | str, matrix: Tensor) -> None:
    """Adds a line for each target: the epoch, the target, how often each class was predicted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.writer(file)
        if is_new:
            table.writerow(["epoch", "target", *(f"predicted_{n}" for n in range(len(matrix)))])
        table.writerows([epoch, n, *row] for n, row in enumerate(matrix.tolist()))
