from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits

from tcn.data import SequentialDigits
from tcn.data.loading import SPLITS
from tcn.training.batch import Batch


def test_every_image_is_in_one_split_and_every_digit_in_each():
    data = SequentialDigits()
    parts = [data.dataset(split) for split in SPLITS]
    assert [len(part) for part in parts] == [1297, 200, 300]
    for part, share in zip(parts, (1297 / 1797, 200 / 1797, 300 / 1797), strict=True):
        # The ten digits come 174 to 183 times; a stratified part differs by rounding alone.
        expected = torch.tensor([178, 182, 177, 183, 181, 182, 181, 179, 174, 180]) * share
        assert (part.y.bincount(minlength=10) - expected).abs().max() <= 1
    images, labels = load_digits(return_X_y=True)
    rows = torch.cat([torch.cat([part.x[:, 0], part.y[:, None]], dim=1) for part in parts])
    original = torch.cat([torch.tensor(images).float() / 16, torch.tensor(labels)[:, None]], dim=1)
    # Standardizing is undone by its two numbers: blank is 0 and full ink is 1 again.
    values = rows[:, :-1]
    rows[:, :-1] = (values - values.min()) / (values.max() - values.min())
    for table in (rows, original):
        table[:, :-1] = (table[:, :-1] * 16).round()
    assert torch.equal(rows.unique(dim=0), original.float().unique(dim=0))


def test_shapes_and_standardization_by_the_training_split():
    data = SequentialDigits()
    train, test = data.dataset("train"), data.dataset("test")
    assert train.x.shape == (1297, 1, 64)
    assert train.x.dtype == torch.float32
    assert train.y.dtype == torch.int64
    assert train.x.mean().item() == pytest.approx(0, abs=1e-5)
    assert train.x.std().item() == pytest.approx(1, abs=1e-5)
    assert test.x.mean().item() != pytest.approx(0, abs=1e-5)
    assert (data.in_channels, data.out_channels) == (1, 10)


def test_split_follows_the_seed():
    one, same, other = SequentialDigits(), SequentialDigits(), SequentialDigits(seed=2)
    for split in SPLITS:
        assert torch.equal(one.dataset(split).x, same.dataset(split).x)
        assert not torch.equal(one.dataset(split).x, other.dataset(split).x)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_permutation_reorders_the_pixels_and_nothing_else():
    plain, permuted = SequentialDigits(), SequentialDigits(permuted=True)
    order = permuted.permutation
    assert sorted(order.tolist()) == list(range(64))
    for split in SPLITS:
        assert torch.equal(permuted.dataset(split).x, plain.dataset(split).x[:, :, order])
        assert torch.equal(permuted.dataset(split).y, plain.dataset(split).y)


def test_batches_come_as_sequences_of_pixels():
    batch = next(iter(SequentialDigits(batch_size=5).train_dataloader()))
    assert batch.x.shape == (5, 1, 64)
    assert batch.y.shape == (5,)
    assert batch.lengths is None


class Bias(pl.LightningModule):
    """The smallest thing that can be trained and tested."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(10))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.logits.expand(len(batch.y), 10), batch.y)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Nothing to measure."""

    def test_step(self, batch: Batch, index: int) -> None:
        self.log("test_loss", self.training_step(batch, index), batch_size=len(batch.y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_checkpoint_is_not_tested_on_another_pixel_order(tmp_path: Path):
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Bias(), datamodule=SequentialDigits(permuted=True))
    path = tmp_path / "permuted.ckpt"
    trainer.save_checkpoint(path)
    trainer.test(Bias(), datamodule=SequentialDigits(permuted=True), ckpt_path=path)
    other = SequentialDigits(permuted=True, permutation_seed=2)
    with pytest.raises(ValueError, match="set permuted and permutation_seed as in training"):
        trainer.test(Bias(), datamodule=other, ckpt_path=path)
