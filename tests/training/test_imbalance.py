"""A rare class: what weights, and the metric that chooses the checkpoint, are good for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import average_precision_score
from torch.utils.data import DataLoader

from tcn.models import TCN, SequenceModel
from tcn.training import Batch, BestCheckpoint, Classification, SeedEveryEpoch

SIZES = {"train": 3000, "validation": 3000, "test": 40_000}
SEEDS = range(6)
STUDENT = 2.015
"""Of Student's t with 5 degrees of freedom, 95 % lie below."""


def split(name: str) -> Batch:
    """Noise of 16 steps; in 3 % of the sequences a bump of 3 steps somewhere."""
    generator = torch.Generator().manual_seed(list(SIZES).index(name))
    count = SIZES[name]
    x = torch.randn(count, 1, 16, generator=generator)
    y = (torch.rand(count, generator=generator) < 0.03).long()
    offset = torch.arange(16) - torch.randint(14, (count, 1), generator=generator)
    x[:, 0] += 1.8 * ((offset >= 0) & (offset < 3)) * y[:, None]
    return Batch(x, y)


def loader(name: str, size: int = 100) -> DataLoader:
    whole = split(name)
    pairs = zip(whole.x.split(size), whole.y.split(size), strict=True)
    return DataLoader([Batch(*pair) for pair in pairs], batch_size=None, shuffle=name == "train")


class Curve(pl.Callback):
    """The average precision of the rare class on the test data after every epoch."""

    def __init__(self) -> None:
        self.test = split("test")
        self.scores: list[np.ndarray] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with torch.no_grad():
            self.scores.append(pl_module(self.test.x).softmax(1)[:, 1].numpy())

    def precision(self, epoch: int) -> float:
        return float(average_precision_score(self.test.y, self.scores[epoch]))

    def noise(self, epoch: int, size: int) -> float:
        """The deviation of the precision over sets of that size, drawn with replacement."""
        generator, count = np.random.default_rng(0), len(self.test.y)
        draws = (generator.integers(count, size=size) for _ in range(50))
        y, scores = self.test.y.numpy(), self.scores[epoch]
        return float(np.std([average_precision_score(y[draw], scores[draw]) for draw in draws]))


def fitted(folder: Path, seed: int, **settings: Any) -> tuple[Curve, int]:
    """The curve of a training, and the epoch that was chosen on the validation data."""
    torch.manual_seed(seed)
    net = SequenceModel(TCN(1, [8] * 3, 3), 2, readout="mean")
    task = Classification(net, optimizer=lambda p: torch.optim.Adam(p, lr=0.01), **settings)
    metric, mode = task.monitor
    curve, best = Curve(), BestCheckpoint(folder, "best", monitor=metric, mode=mode)
    running = pl.Trainer(
        accelerator="cpu", max_epochs=8, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[SeedEveryEpoch(seed), curve, best],
    )  # fmt: skip
    running.fit(task, loader("train"), loader("validation", 1000))
    return curve, int(torch.load(best.best_model_path, weights_only=True)["epoch"])


@pytest.mark.slow
def test_three_in_a_hundred(tmp_path: Path) -> None:
    """The chosen epoch is the best one within the noise of the set it is chosen on, for each seed.

    Chosen by accuracy, and without weights, it ranks the rare class worse on average: always taking
    the frequent one is right for 97 %. By how much depends on the seed, so that it takes a paired
    test over several, one-sided at 5 %. Measured here, for seeds 0 to 5: 0.492, 0.467, 0.492,
    0.485, 0.487 and 0.495 with weights, 0.360, 0.474, 0.452, 0.470, 0.357 and 0.295 without: a
    difference of 0.085 with a standard error of 0.033. On the test data a precision has a deviation
    of 0.014.
    """
    gains = []
    for seed in SEEDS:
        curve, chosen = fitted(
            tmp_path / f"weighted{seed}",
            seed,
            class_weights="balanced",
            monitor="average_precision",
        )
        precisions = [curve.precision(epoch) for epoch in range(8)]
        assert precisions[chosen] > max(precisions) - curve.noise(chosen, SIZES["validation"])
        assert precisions[chosen] > min(precisions) + 4 * curve.noise(chosen, SIZES["test"])
        plain, by_accuracy = fitted(tmp_path / f"plain{seed}", seed)
        gains.append(precisions[chosen] - plain.precision(by_accuracy))
    error = np.std(gains, ddof=1) / len(gains) ** 0.5
    assert np.mean(gains) > STUDENT * error
