"""The task of predicting the next token, over windows or over rows that continue across batches."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchmetrics import MeanMetric
from typing_extensions import override

from tcn.layers import SequenceModule, State
from tcn.layers.compiled import compiled_method
from tcn.models.language import TokenModel
from tcn.outputs.classes import OfClasses
from tcn.training.batch import Batch, Prediction, behind
from tcn.training.meaning import check_classes_said, classes_of
from tcn.training.schedules import Schedule
from tcn.training.targets import IGNORED, check_classes, valid_classes
from tcn.training.task import Task


class Chunk(Batch):
    """A batch in which each row continues the same row of the previous batch.

    ``LanguageModel`` starts its net from the state in which that batch left it, so a token is read
    with everything to its left in the row. Gradients stop at the beginning of the batch.
    """

    __slots__ = ()


class FirstChunk(Chunk):
    """The first batch of such rows."""

    __slots__ = ()


class LanguageModel(Task):
    """Mean cross entropy, in nats per token, of the next token at every step.

    Targets: int64 tokens ``(batch, time)`` for outputs ``(batch, vocabulary, time)``; -100 is
    ignored (steps of a window that only give context). Logs ``*_loss``, ``{val,test}_perplexity``
    (the exponential of the loss over the whole set), ``{val,test}_bits`` (bits per token) and
    ``{val,test}_accuracy`` (share of tokens that were ranked first); predicts the probabilities of
    the tokens. For a ``TokenModel``, the vocabulary is computed only for the steps that count.
    """

    modes = MappingProxyType({"loss": "min", "perplexity": "min", "bits": "min", "accuracy": "max"})

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks that the net fits the task and sets up the metrics.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.

        Raises:
            TypeError: the net says that its numbers are not of classes.
            ValueError: the net sees the future, from which the next token can be read.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        net = self.net
        check_classes_said(net)
        if isinstance(net, SequenceModule) and net.reach and net.reach[-1].right > 0:
            raise ValueError(
                f"net: {type(net).__name__} sees {net.reach[-1].right} steps of the future, and "
                "with them the token to be predicted; build it causal and without look-ahead"
            )
        self.val_perplexity = _ExponentialMean()
        self.test_perplexity = _ExponentialMean()
        self._states: dict[str, State] = {}
        self._stream: str | None = None

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_loss", "min"

    @override
    def on_train_start(self) -> None:
        clustered = isinstance(self.net, TokenModel) and self.net.clusters is not None
        model = self.trainer.model
        waits = isinstance(model, DistributedDataParallel) and not model.find_unused_parameters
        if clustered and waits:
            raise ValueError(
                "trainer.strategy: a share of a batch may hold no token of some cluster of the "
                "adaptive softmax, whose gradient the other processes would wait for: use "
                "ddp_find_unused_parameters_true"
            )

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with self._streaming("train", batch):
            return super().training_step(batch, batch_idx)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        with self._streaming("val", batch):
            super().validation_step(batch, batch_idx)

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        with self._streaming("test", batch):
            super().test_step(batch, batch_idx)

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        with self._streaming("predict", batch):
            return super().predict_step(batch, batch_idx)

    @override
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the loss is computed from: outputs of the net, or the features of a ``TokenModel``.

        Raises:
            TypeError: the batch is a ``Chunk`` and the net cannot stream.
        """
        tokens = isinstance(self.net, TokenModel)
        whole = compiled_method(self.called, "features") if tokens else self.called
        if self._stream is None:
            output: Tensor = whole(x) if lengths is None else whole(x, lengths=lengths)
            return output
        if not isinstance(self.net, SequenceModule):
            raise TypeError(
                f"net: {type(self.net).__name__} has no step(), which these batches need, that "
                "continue each other; make it a tcn.layers.SequenceModule, or have the data cut "
                "into windows (context='windows', evaluation='authors')"
            )
        step = compiled_method(self.called, "step_features" if tokens else "step")
        output, state = step(x, self._states.get(self._stream))
        self._states[self._stream] = detached(state)
        return output

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        rows, target = self._counting(output, batch)
        losses = self._output_of(rows).losses(self._raw(rows), target)
        return losses.sum() / max(len(target), 1), len(target)

    @override
    def _evaluation_step(self, stage: str, batch: Batch, batch_idx: int) -> None:
        # The base class would compute the loss twice, and the vocabulary takes most of the time.
        self.evaluate(stage, self._output(batch), behind(self.net, batch))

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        rows, target = self._counting(output, batch)
        raw, read = self._raw(rows), self._output_of(rows)
        count = len(target)
        loss = read.losses(raw, target).sum() / max(count, 1)
        right = (read.mean(raw) == target).sum() / max(count, 1)
        right = right.where(~loss.isnan(), math.nan)  # no token is ranked first among NaN
        self.log_mean(f"{stage}_loss", loss, count)
        self.log_mean(f"{stage}_bits", loss / math.log(2), count)
        self.log_mean(f"{stage}_accuracy", right, count)
        self.log_metric(f"{stage}_perplexity", loss, count)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probabilities of the next token, along dimension 1."""
        return self._output_of(output).probabilities(self._raw(output))

    def _raw(self, rows: Tensor) -> Tensor:
        """What the output reads: logits, or features if the vocabulary is in clusters."""
        if not isinstance(self.net, TokenModel) or self.net.clusters is not None:
            return rows
        logits: Tensor = self.net.apply_head(rows)
        return logits

    def _output_of(self, rows: Tensor) -> OfClasses:
        clusters = self.net.clusters if isinstance(self.net, TokenModel) else None
        return classes_of(self.net, rows) if clusters is None else clusters

    @contextmanager
    def _streaming(self, stage: str, batch: Batch) -> Iterator[None]:
        """Carries the state of the net from chunk to chunk, separately in each stage."""
        if isinstance(batch, FirstChunk) or not isinstance(batch, Chunk):
            self._states.pop(stage, None)
        self._stream = stage if isinstance(batch, Chunk) else None
        try:
            yield
        finally:
            self._stream = None

    def _counting(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """``(count, channels)`` outputs and ``(count,)`` targets of the steps that count."""
        target = valid_classes(batch)
        check_classes(output, target)
        counts = target != IGNORED
        return output.movedim(1, -1)[counts], target[counts]


class _ExponentialMean(MeanMetric):
    """Perplexity from losses; torchmetrics' own takes logits and the logarithm of their softmax."""

    def __init__(self) -> None:
        # NaN stays NaN: leaving out a batch that diverged would make the mean look better.
        super().__init__(nan_strategy=math.nan)

    @override
    def compute(self) -> Tensor:
        return super().compute().exp()


def detached(state: State) -> State:
    """A state, however nested, detached from the graph that computed it."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(part if part is None else detached(part) for part in state)
