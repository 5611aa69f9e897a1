"""The task of predicting classes, of whole sequences or of every step."""

from collections.abc import Sequence
from typing import Literal

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive, check_share
from tcn.outputs import Categorical
from tcn.outputs.checks import can_be_looked_at
from tcn.training.balance import Weights, balanced_classes
from tcn.training.batch import Batch
from tcn.training.labels import Chosen, LabelTask
from tcn.training.meaning import channels_of, check_classes_said, classes_of
from tcn.training.metrics import OF_CLASSES, OfNumbers
from tcn.training.schedules import Schedule
from tcn.training.targets import IGNORED, check_classes, is_valid, valid_classes


class Classification(LabelTask):
    """Mean cross entropy, in nats, over all sequences or over all their valid steps.

    Targets: int64 classes, ``(batch,)`` for outputs ``(batch, classes)`` or ``(batch, time)`` for
    ``(batch, classes, time)``; -100 is ignored. In training they may be probabilities shaped like
    the output, such as those of mixed images (``tcn.vision.Mixup``). Logs ``*_loss``,
    ``{val,test}_accuracy`` and, with ``last``, ``{val,test}_last_accuracy``; predicts the
    probabilities of the classes.

    The best checkpoint is chosen by the accuracy, or by the loss if there is a target at each step
    or if ``last`` or ``class_weights`` is given.

    Metrics asked for by name are logged as ``{val,test}_<name>``, except ``confusion``, which is
    not a single number: it is kept in the attribute ``confusion`` and, with a logger, written to
    ``{val,test}_confusion.csv`` in the logger's folder.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        last: int | None = None,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | Tensor | Literal["balanced"] | None = None,
        metrics: Sequence[str] = (),
        monitor: str | None = None,
        classes: int | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks the settings against the net and sets up the metrics.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.
            last: also measure the accuracy over this many final valid steps of each sequence (Bai
                et al. 2018, figure 5: the 10 symbols to be remembered in copying memory).
            label_smoothing: in training, this share of every target is spread evenly over all
                classes (Szegedy et al. 2016, arXiv:1512.00567, section 7); validation and test
                losses are not smoothed.
            class_weights: a weight for each class: the loss is the mean over targets weighted by
                their class, as in ``torch.nn.CrossEntropyLoss(weight=...)``. Validation and test
                use the same weights, over their whole set, so that all losses can be compared.
                ``"balanced"``: the number of targets / (classes * targets of the class), counted in
                one pass through the training data when a fit begins, and kept in its checkpoints.
            metrics: further metrics, in which each class counts the same however rare: ``f1``;
                ``average_precision`` (exact: all scores are kept until the end of the epoch);
                ``balanced_accuracy`` (the mean recall); ``confusion``, the confusion matrix. And
                ``top5_accuracy``, the share of targets among the five likeliest classes.
            monitor: the metric that chooses the best checkpoint: ``loss``, ``accuracy``,
                ``last_accuracy`` with ``last``, or one of ``metrics``, which is then measured.
            classes: the number of classes, for ``metrics``; by default ``out_channels`` of the net.

        Raises:
            TypeError: the net says that its numbers are not of classes.
            ValueError: ``last`` is not positive; ``label_smoothing`` is not from 0 to below 1; a
                weight is negative; a metric is unknown, or the number of classes is. Later, in use:
                ``last`` is given and the targets have no time axis, or there is not one weight for
                each class.
        """
        own = {"loss": "min", "accuracy": "max"}
        if last is not None:
            own["last_accuracy"] = "max"
        super().__init__(
            net,
            weights=Weights("class_weights", class_weights),
            chosen=Chosen(own, OF_CLASSES, metrics, monitor, ("classes", classes)),
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
        )
        check_classes_said(self.net)
        if last is not None:
            check_positive("last", [last])
        check_share("label_smoothing", label_smoothing, all_of_it=False)
        self.last = last
        self.label_smoothing = label_smoothing
        self.val_accuracy = _accuracy()
        self.test_accuracy = _accuracy()
        if last is not None:
            self.val_last_accuracy = _accuracy()
            self.test_last_accuracy = _accuracy()

    @override
    def _own_monitor(self) -> str:
        # Accuracy over all steps may be high by chance: 99 % in copying memory, mostly blanks.
        every = getattr(self.net, "readout_name", None) == "every"
        return "loss" if self.last is not None or every or self.weights.present else "accuracy"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        smoothing = self.label_smoothing if self.training else 0.0
        logits = self._logits(output)
        weights = self.weights.of(logits) if self.weights.present else None
        if self.training and batch.y.is_floating_point() and batch.lengths is None:
            return _soft_cross_entropy(logits, batch.y, smoothing, weights)
        return _cross_entropy(logits, valid_classes(batch), smoothing, weights)

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        target, output = valid_classes(batch), self._logits(output)
        self.log_metric(f"{stage}_accuracy", output, target)
        if self.last is not None:
            final = _final_classes(target, batch.lengths, self.last)
            self.log_metric(f"{stage}_last_accuracy", output, final)
        if not self._measured:
            return
        counts = target != IGNORED
        scores = at_least_float32(output.movedim(1, -1)[counts]).softmax(-1)
        self.measure(stage, scores, target[counts])

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probabilities of the classes, along dimension 1."""
        return self._logits(output).softmax(dim=1)

    def _logits(self, output: Tensor) -> Tensor:
        return classes_of(self.net, output).logits(output)

    @override
    def _balanced(self) -> list[float]:
        targets = (valid_classes(batch) for batch in self._training_batches())
        return balanced_classes(self._counted(target) for target in targets)

    def _counted(self, target: Tensor) -> Tensor:
        """The targets that count; those a net cannot give are refused before they are counted."""
        counted, classes = target[target != IGNORED], channels_of(self.net)
        if classes is not None:
            Categorical(classes).check_target(counted)
        return counted


def _accuracy() -> OfNumbers:
    return OfNumbers(MulticlassAccuracy(average="micro", ignore_index=IGNORED, validate_args=False))


def _final_classes(target: Tensor, lengths: Tensor | None, last: int) -> Tensor:
    if target.ndim != 2:
        raise ValueError(
            f"last={last} needs targets (batch, time), got {tuple(target.shape)}: "
            "leave last out when a sequence has one target"
        )
    time = target.shape[1]
    if lengths is None:
        lengths = torch.full((target.shape[0],), time, device=target.device)
    return target.masked_fill(is_valid(time, lengths - last), IGNORED)


def _cross_entropy(
    output: Tensor, target: Tensor, smoothing: float, weights: Tensor | None
) -> tuple[Tensor, float]:
    check_classes(output, target)
    counts = target != IGNORED
    if can_be_looked_at(target):
        Categorical(output.shape[1]).check_target(target[counts])
    weight = int(counts.sum()) if weights is None else float(weights[target[counts]].sum())
    total = functional.cross_entropy(
        at_least_float32(output),
        target,
        weight=weights,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    return total / (weight or 1), weight


def _soft_cross_entropy(
    output: Tensor, target: Tensor, smoothing: float, weights: Tensor | None
) -> tuple[Tensor, float]:
    """As ``_cross_entropy``, of probabilities; a class weighs as much of a target as is of it."""
    if output.shape != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "that are floats are probabilities of the classes, shaped like the output"
        )
    if can_be_looked_at(target):
        _check_probabilities(target)
    target = at_least_float32(target)
    weight: float = target[:, 0].numel()
    if weights is not None:
        weight = float((target.movedim(1, -1) * weights).sum())
    total = functional.cross_entropy(
        at_least_float32(output), target, weights, reduction="sum", label_smoothing=smoothing
    )
    return total / (weight or 1), weight


def _check_probabilities(target: Tensor) -> None:
    off = (target.sum(1) - 1).abs() > 1e-3
    if off.any() or (target < 0).any():
        raise ValueError(
            f"target: {target.dtype} of which the lowest is {float(target.min()):g} and "
            f"{int(off.sum())} sums over the classes are not 1; give probabilities, or classes as "
            "integers"
        )
