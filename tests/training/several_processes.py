"""Small runs, in one process or in one of several: what `test_processes.py` compares.

    torchrun --nproc-per-node 2 several_processes.py FOLDER

No net has dropout, whose masks each process draws for itself.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tcn.data import AddingProblem, CopyingMemory, SequentialDigits
from tcn.data.language import PennTreebankCharacters
from tcn.data.loading import SequenceDataModule, SequenceDataset, TensorSequences
from tcn.data.music import KEYS, PianoRolls
from tcn.data.vocabulary import Vocabulary
from tcn.layers import Chain, Conv1d
from tcn.models import GRU, LSTM, TCN, SequenceModel, TokenModel
from tcn.training import (
    Batch,
    Classification,
    LanguageModel,
    MultiLabel,
    OneCycle,
    Regression,
    SeedEveryEpoch,
    Task,
)
from tcn.training.labels import LabelTask
from tcn.training.processes import process_count, process_index

EPOCHS = 4


def numbers(key: int, *sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(key))


class Chorales(SequenceDataModule):
    """Pieces of different lengths; 8 of them in threes, so that shares are 2 and 1 or 1 and 1."""

    in_channels = out_channels = KEYS

    def make_dataset(self, split: str) -> PianoRolls:
        lengths = {"train": (9, 4, 7, 12, 5, 3, 8, 6), "validation": (5, 9, 4), "test": (3, 6, 8)}
        return PianoRolls([(numbers(n, KEYS, n) > 1).float() for n in lengths[split]])


class Letters(PennTreebankCharacters):
    """A small random text for training, shorter ones to evaluate."""

    in_channels = out_channels = 8
    before = "a"
    vocabulary = Vocabulary("abcdefgh")  # type: ignore[assignment]

    def prepare_data(self) -> None:
        """Nothing to download."""

    def text(self, split: str) -> Any:
        size = {"train": 203, "validation": 41, "test": 37}[split]
        return ("abcdefgh"[int(abs(value) * 3) % 8] for value in numbers(size, size))


class Padded(SequenceDataset):
    """Rows with lengths of their own."""

    def __init__(self, whole: Batch) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return len(self.whole.x)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch(*(part[list(indices)] for part in self.whole))

    def tensors(self) -> Iterator[Tensor]:
        yield from self.whole


class Rare(SequenceDataModule):
    """Three classes, two of them rare, some steps without; of one row a process has nothing."""

    in_channels, out_channels = 2, 3

    def make_dataset(self, split: str) -> Padded:
        count = {"train": 13, "validation": 3, "test": 1}[split]
        x = numbers(count, count, 2, 8)
        y = (x[:, 0] > 0.8) + 2 * ((x[:, 1] > 0.8) & (x[:, 0] < 0.8))
        y = y.masked_fill(x.sum(1).abs() < 0.2, -100)
        return Padded(Batch(x, y, 8 - torch.arange(count) * 3 % 8))


class Gaps(SequenceDataModule):
    """Values of every second step, a third of them unknown, or whether they are above 0."""

    in_channels, out_channels = 2, 3

    def __init__(self, *, binary: bool, batch_size: int, seed: int) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        self.binary = binary

    def make_dataset(self, split: str) -> Padded:
        count = {"train": 13, "validation": 3, "test": 1}[split]
        x = numbers(count + 20, count, 2, 8)
        y = torch.stack([x[:, 0, ::2], x[:, 1, ::2], x[:, 0, 1::2]], dim=1)
        known = (y > 0).float() if self.binary else y
        y = known.masked_fill(numbers(count + 30, *y.shape) > 0.5, float("nan"))
        return Padded(Batch(x, y, 8 - torch.arange(count) * 3 % 8))


class Spoiled(AddingProblem):
    """One value of the training data, in the share of the last process, is not a number."""

    def make_dataset(self, split: str) -> TensorSequences:
        made = super().make_dataset(split)
        made.x[:] = made.x[:1]
        if split == "train" and process_index() == process_count() - 1:
            made.x[-1, 0, 0] = float("nan")
            made.x[:, 0, 1] = made.x[-1, 0, 0] if process_count() > 1 else 0.0
        return made


def adam(parameters: Any) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=0.01)


def plateau(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.1)


def adding() -> tuple[Task, SequenceDataModule]:
    """33 sequences in eights: the last batch is one, and of two shares one is empty."""
    data = AddingProblem(length=12, train_size=33, validation_size=13, test_size=9, batch_size=8)
    net = SequenceModel(TCN(2, [6, 6], 3), 1, readout="last")
    return Regression(net, optimizer=adam, lr_scheduler=OneCycle(0.02)), data


def digits() -> tuple[Task, SequenceDataModule]:
    net = SequenceModel(LSTM(1, 8), 10, readout="last")
    return Classification(net, optimizer=adam, lr_scheduler=plateau), SequentialDigits(
        batch_size=211
    )


def copying() -> tuple[Task, SequenceDataModule]:
    sizes = {"train_size": 21, "validation_size": 5, "test_size": 7}
    net = SequenceModel(TCN(1, [6, 6], 3), 10)
    return Classification(net, last=10, optimizer=adam), CopyingMemory(
        length=5, batch_size=4, **sizes
    )


def music() -> tuple[Task, SequenceDataModule]:
    net = SequenceModel(TCN(KEYS, [6, 6], 3), KEYS)
    return MultiLabel(net, optimizer=adam), Chorales(batch_size=3, seed=1)


def windows() -> tuple[Task, SequenceDataModule]:
    """Rows of a text, five at a time; fewer rows than processes when evaluating."""
    data = Letters(batch_size=5, seq_len=10, valid_seq_len=6, evaluation_batch_size=1)
    return LanguageModel(TokenModel(TCN(6, [6, 6], 3), 8, division=2.0), optimizer=adam), data


def stream(**options: Any) -> tuple[Task, SequenceDataModule]:
    """A state that goes on from batch to batch, of four rows."""
    data = Letters(
        batch_size=4, seq_len=10, valid_seq_len=6, context="state", evaluation_batch_size=3
    )
    return LanguageModel(TokenModel(GRU(6, 6), 8, **options), optimizer=adam), data


def clusters() -> tuple[Task, SequenceDataModule]:
    """An adaptive softmax, some clusters of which a share never needs."""
    return stream(cutoffs=[3, 6], division=2.0)


def rare() -> tuple[Task, SequenceDataModule]:
    """Weights counted in shares, and metrics of which a process may have seen nothing."""
    names = ["f1", "average_precision", "balanced_accuracy", "confusion"]
    net = SequenceModel(TCN(2, [6, 6], 3), 3)
    task = Classification(net, class_weights="balanced", metrics=names, optimizer=adam)
    return task, Rare(batch_size=4, seed=1)


def strided() -> SequenceModel:
    return SequenceModel(Chain(Conv1d(2, 6, 3, stride=2), Conv1d(6, 6, 3)), 3)


def gaps() -> tuple[Task, SequenceDataModule]:
    task = Regression(strided(), missing="ignore", optimizer=adam)
    return task, Gaps(binary=False, batch_size=3, seed=1)


def rare_keys() -> tuple[Task, SequenceDataModule]:
    task = MultiLabel(
        strided(), positive_weight="balanced", missing="ignore",
        metrics=["f1", "average_precision"], optimizer=adam,
    )  # fmt: skip
    return task, Gaps(binary=True, batch_size=3, seed=1)


CASES: dict[str, Callable[[], tuple[Task, SequenceDataModule]]] = {
    case.__name__: case
    for case in (adding, digits, copying, music, windows, stream, clusters, rare, gaps, rare_keys)
}


class Curve(pl.Callback):
    """Every metric of every epoch, and the learning rate of every step."""

    def __init__(self) -> None:
        self.epochs: dict[int, dict[str, float]] = {}
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._keep(trainer, trainer.current_epoch - 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._keep(trainer, trainer.max_epochs - 1)

    def _keep(self, trainer: Any, epoch: int) -> None:
        if {"val_loss", "train_loss_epoch"} <= set(trainer.callback_metrics):
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.epochs[epoch] = values


def trainer(strategy: str = "ddp", **settings: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    if process_count() > 1 or "LOCAL_RANK" in __import__("os").environ:
        quiet |= {"strategy": strategy, "devices": 2}
    return pl.Trainer(accelerator="cpu", **(quiet | settings))


def run(case: str, folder: Path, resume: Path | None = None) -> dict[str, Any]:
    """Trains and tests; leaves the checkpoints of all epochs in `folder`."""
    torch.manual_seed(0)
    task, data = CASES[case]()
    curve = Curve()
    keep = pl.callbacks.ModelCheckpoint(folder, "{epoch}", save_top_k=-1)
    strategy = "ddp_find_unused_parameters_true" if case == "clusters" else "ddp"
    running = trainer(
        strategy,
        max_epochs=EPOCHS,
        gradient_clip_val=0.5,
        callbacks=[SeedEveryEpoch(1), curve, keep],
    )
    running.fit(task, datamodule=data, ckpt_path=resume)
    tested = running.test(task, datamodule=data, verbose=False)[0]
    return {
        "epochs": curve.epochs,
        "rates": curve.rates,
        "test": dict(tested),
        "weights": {name: weight.clone() for name, weight in task.state_dict().items()},
        "steps": running.global_step,
        "balance": task.weights.values if isinstance(task, LabelTask) else None,
        "confusion": getattr(task, "confusion", {}),
    }


def complaint(act: Callable[[], object]) -> str:
    try:
        act()
    except ValueError as error:
        return str(error)
    return "no error"


def refusals() -> dict[str, str]:
    settings = {"max_epochs": 1, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    task, spoiled = adding()[0], Spoiled(length=12, train_size=8, batch_size=4)
    single = AddingProblem(length=12, train_size=8, batch_size=1)
    adaptive, text = clusters()
    return {
        "spoiled": complaint(lambda: trainer(**settings).fit(task, datamodule=spoiled)),
        "batch": complaint(lambda: trainer(**settings).fit(adding()[0], datamodule=single)),
        "predict": complaint(lambda: trainer().predict(adding()[0], datamodule=adding()[1])),
        "clusters": complaint(lambda: trainer(**settings).fit(adaptive, datamodule=text)),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for case in CASES:
        found[case] = run(case, folder / "two" / case)
    for earlier in sorted((folder / "one").glob("*/epoch=1.ckpt")):
        case = earlier.parent.name
        found[f"{case} resumed"] = run(case, folder / "resumed" / case, earlier)
    found["refusals"] = refusals()
    torch.save(found, folder / f"process{process_index()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
