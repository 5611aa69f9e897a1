"""The tasks: regression, classification, language modeling, multi-label and joint prediction."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torchmetrics import MeanMetric, MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from tcn.layers import SequenceModule, State
from tcn.layers.compiled import compiled_method
from tcn.layers.running import at_least_float32
from tcn.models.joint import JointModel
from tcn.models.language import LOGITS, TokenModel, TokenScorer
from tcn.training.batch import Batch, Prediction, behind
from tcn.training.schedules import Schedule
from tcn.training.task import Task

IGNORED = -100
"""A class target with this value counts in no loss and no metric (PyTorch's own default)."""


class Regression(Task):
    """Mean squared error over all values of all valid steps.

    Targets: floats shaped like the output of the net, ``(batch, channels, time)`` or
    ``(batch, channels)``. Logs ``*_loss`` and ``{val,test}_mse``; predicts the output itself.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.val_mse = MeanSquaredError()
        self.test_mse = MeanSquaredError()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_mse", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        output, target = _valid_values(output, batch)
        count = target.numel()
        return functional.mse_loss(output, target, reduction="sum") / max(count, 1), count

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        self.log_metric(f"{stage}_mse", *_valid_values(output, batch))


class Classification(Task):
    """Mean cross entropy, in nats, over all sequences or over all valid steps of them.

    Targets: int64 classes, ``(batch,)`` for outputs ``(batch, classes)`` or ``(batch, time)`` for
    ``(batch, classes, time)``; -100 counts nowhere. Logs ``*_loss``, ``{val,test}_accuracy`` and,
    with ``last``, ``{val,test}_last_accuracy``; predicts the probabilities of the classes.

    Args:
        net, optimizer, lr_scheduler: see ``Task``.
        last: also measure the accuracy over this many final valid steps of each sequence (Bai et
            al. 2018, figure 5: the 10 symbols to be remembered in copying memory).
        label_smoothing: in training this share of every target goes to all classes alike (Szegedy
            et al. 2016, arXiv:1512.00567, section 7); losses of validation and test have none.

    Raises:
        ValueError: ``last`` is not positive, or it is given and the targets have no time axis;
            ``label_smoothing`` is not from 0 to below 1.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        last: int | None = None,
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if last is not None and last < 1:
            raise ValueError(f"last is {last}: give 1 step or more, or None")
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing is {label_smoothing}: give a share from 0 to below 1"
            )
        self.last = last
        self.label_smoothing = label_smoothing
        self.val_accuracy = _accuracy()
        self.test_accuracy = _accuracy()
        if last is not None:
            self.val_last_accuracy = _accuracy()
            self.test_last_accuracy = _accuracy()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        # Accuracy over all steps may be high by chance: 99 % in copying memory, mostly blanks.
        if self.last is not None or getattr(self.net, "readout_name", None) == "every":
            return "val_loss", "min"
        return "val_accuracy", "max"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        smoothing = self.label_smoothing if self.training else 0.0
        return _cross_entropy(output, _valid_classes(batch), smoothing)

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        target = _valid_classes(batch)
        self.log_metric(f"{stage}_accuracy", output, target)
        if self.last is not None:
            final = _final_classes(target, batch.lengths, self.last)
            self.log_metric(f"{stage}_last_accuracy", output, final)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probabilities of the classes, along dimension 1."""
        return output.softmax(dim=1)


class Chunk(Batch):
    """A batch each row of which goes on where the same row of the batch before it ended.

    ``LanguageModel`` lets its net go on from the state in which that batch left it, so that a token
    is read with all that stands to its left in the row. Gradients do not go back beyond the batch.
    """

    __slots__ = ()


class FirstChunk(Chunk):
    """The batch with which such rows begin."""

    __slots__ = ()


class LanguageModel(Task):
    """Mean cross entropy, in nats per token, of the next token at every step.

    Targets: int64 tokens ``(batch, time)`` for outputs ``(batch, vocabulary, time)``; -100 counts
    nowhere (steps of a window that only give context). Logs ``*_loss``, ``{val,test}_perplexity``
    (the exponential of the loss over the whole set), ``{val,test}_bits`` (bits per token) and
    ``{val,test}_accuracy`` (share of tokens that were the likeliest); predicts the probabilities
    of the tokens. Of a ``TokenModel`` only the steps that count get as far as the vocabulary.

    Raises:
        TypeError: a batch is a ``Chunk`` and the net cannot stream.
        ValueError: the net sees the future, from which the next token can be read.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        net = self.net
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
        """What the loss is computed from: outputs of the net, of a ``TokenModel`` its features."""
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
        log_likelihood: Tensor = self._scorer.log_likelihood(rows, target)
        return -at_least_float32(log_likelihood).sum() / max(len(target), 1), len(target)

    @override
    def _evaluation_step(self, stage: str, batch: Batch) -> None:
        # Not the base's, which computes the loss before: the vocabulary is what takes the time.
        self.evaluate(stage, self._output(batch), behind(self.net, batch))

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        rows, target = self._counting(output, batch)
        log_likelihood, right = self._scorer.score(rows, target)
        count = len(target)
        loss = -at_least_float32(log_likelihood).sum() / max(count, 1)
        self.log_mean(f"{stage}_loss", loss, count)
        self.log_mean(f"{stage}_bits", loss / math.log(2), count)
        self.log_mean(f"{stage}_accuracy", right.sum() / max(count, 1), count)
        self.log_metric(f"{stage}_perplexity", loss, count)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probabilities of the next token, along dimension 1."""
        return self._scorer.probabilities(output)

    @property
    def _scorer(self) -> TokenScorer:
        return self.net if isinstance(self.net, TokenModel) else LOGITS

    @contextmanager
    def _streaming(self, stage: str, batch: Batch) -> Iterator[None]:
        """Carries the state of the net from chunk to chunk, in every stage its own."""
        if isinstance(batch, FirstChunk) or not isinstance(batch, Chunk):
            self._states.pop(stage, None)
        self._stream = stage if isinstance(batch, Chunk) else None
        try:
            yield
        finally:
            self._stream = None

    def _counting(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """``(count, channels)`` outputs and ``(count,)`` targets of the steps that count."""
        target = _valid_classes(batch)
        _check_classes(output, target)
        counts = target != IGNORED
        return output.movedim(1, -1)[counts], target[counts]


class MultiLabel(Task):
    """Binary cross entropy of independent channels, such as the 88 keys of a piano.

    Targets: floats 0 or 1 shaped like the output, ``(batch, channels, time)``. The loss is summed
    over the channels and valid steps of a sequence and averaged over the sequences of the batch.
    Logs ``*_loss`` and ``{val,test}_nll``: the total over all sequences divided by their total
    number of steps, as Bai et al. 2018 report music (nats per frame; not the mean over sequences of
    their means). Predicts the probability of each channel.
    """

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_nll", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        sequences = output.shape[0]
        return self._total(output, batch)[0] / max(sequences, 1), sequences

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        total, steps = self._total(output, batch)
        self.log_mean(f"{stage}_nll", total / max(steps, 1), steps)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probability of each channel."""
        return output.sigmoid()

    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """Sum over all channels and valid steps, and the number of these steps."""
        values, target = _valid_values(output, batch)
        total = functional.binary_cross_entropy_with_logits(values, target, reduction="sum")
        return total, target.numel() // output.shape[1]


class JointMultiLabel(MultiLabel):
    """Negative log likelihood of channels that depend on each other, such as the keys of a chord.

    Targets, ``*_loss`` and ``{val,test}_nll`` are those of ``MultiLabel``, so the two compare; only
    the distribution differs, which is the exact one of a ``JointModel``. Predicts the likelier
    value of each channel given those before it.

    Raises:
        TypeError: the net is no ``tcn.models.JointModel``.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if not isinstance(self.net, JointModel):
            raise TypeError(
                f"net: {type(self.net).__name__} says nothing of channels together; use a "
                "tcn.models.JointModel around the backbone, or the task MultiLabel"
            )

    @override
    def predict(self, output: Tensor) -> Tensor:
        """The likelier value of each channel given those before it, 0 or 1."""
        return self._joint.likeliest(output)

    @property
    def _joint(self) -> JointModel:
        assert isinstance(self.net, JointModel)
        return self.net

    @override
    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        valid = torch.ones_like(output[:, 0], dtype=torch.bool)
        if batch.lengths is not None:
            valid = _is_valid(output.shape[-1], batch.lengths)
        rows, target = output.movedim(1, -1)[valid], batch.y.movedim(1, -1)[valid]
        log_likelihood = self._joint.log_likelihood(rows, target)
        return -at_least_float32(log_likelihood).sum(), len(rows)


class _ExponentialMean(MeanMetric):
    """Perplexity from losses; torchmetrics' own takes logits and the logarithm of a softmax."""

    def __init__(self) -> None:
        # NaN stands for NaN: left out of the mean, a batch that diverged would flatter it.
        super().__init__(nan_strategy=math.nan)

    @override
    def compute(self) -> Tensor:
        return super().compute().exp()


def detached(state: State) -> State:
    """A state, however nested, without the graph that it was computed by."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(detached(part) for part in state)


def _accuracy() -> MulticlassAccuracy:
    return MulticlassAccuracy(average="micro", ignore_index=IGNORED, validate_args=False)


def _is_valid(time: int, lengths: Tensor) -> Tensor:
    """``(batch, time)`` bool: the steps before each row's length."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def _valid_classes(batch: Batch) -> Tensor:
    if batch.lengths is None or batch.y.ndim == 1:
        return batch.y
    return batch.y.masked_fill(~_is_valid(batch.y.shape[-1], batch.lengths), IGNORED)


def _final_classes(target: Tensor, lengths: Tensor | None, last: int) -> Tensor:
    if target.ndim != 2:
        raise ValueError(
            f"last={last} needs targets (batch, time), got {tuple(target.shape)}: "
            "leave last out when a sequence has one target"
        )
    time = target.shape[1]
    if lengths is None:
        lengths = torch.full((target.shape[0],), time, device=target.device)
    return target.masked_fill(_is_valid(time, lengths - last), IGNORED)


def _valid_values(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and target, flat, without the steps beyond the lengths, to be summed in float32."""
    _check_shape(output, batch.y)
    values: tuple[Tensor, Tensor] = output, batch.y
    if batch.lengths is not None and batch.y.ndim > 2:
        valid = _is_valid(batch.y.shape[-1], batch.lengths)
        values = output.mT[valid], batch.y.mT[valid]
    return at_least_float32(values[0].flatten()), at_least_float32(values[1].flatten())


def _check_classes(output: Tensor, target: Tensor) -> None:
    if output.shape[:1] + output.shape[2:] != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are (batch,) for outputs (batch, classes), (batch, time) for (batch, classes, time)"
        )


def _cross_entropy(output: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, int]:
    _check_classes(output, target)
    count = int((target != IGNORED).sum())
    total = functional.cross_entropy(
        at_least_float32(output),
        target,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    return total / max(count, 1), count


def _check_shape(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are shaped like outputs, (batch, channels, time) or (batch, channels)"
        )
