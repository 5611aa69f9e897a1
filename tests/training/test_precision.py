"""``trainer.precision=bf16-mixed``: every task trains in it, and measures in float32."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tcn.models import GRU, TCN, JointModel, SequenceModel, TokenModel
from tcn.training import (
    Batch,
    Classification,
    JointMultiLabel,
    LanguageModel,
    MultiLabel,
    Regression,
    Task,
)

ROWS, STEPS = 8, 40


def tokens() -> Batch:
    x = torch.randint(0, 30, (ROWS, STEPS))
    return Batch(x, x.roll(-1, dims=1))


def signal() -> Batch:
    x = torch.randn(ROWS, 3, STEPS)
    return Batch(x, x.cumsum(dim=-1)[:, :1])


def classes() -> Batch:
    return Batch(torch.randn(ROWS, 3, STEPS), torch.randint(0, 5, (ROWS,)))


def keys() -> Batch:
    x = (torch.rand(ROWS, 3, STEPS) < 0.3).float()
    return Batch(x, x.roll(-1, dims=-1), torch.arange(STEPS - ROWS, STEPS))


def convolution(channels: int) -> TCN:
    return TCN(channels, [channels], 3)


CASES = {
    "tokens, tied": (
        LanguageModel, tokens, lambda: TokenModel(convolution(16), 30, tie_weights=True)
    ),
    "tokens, adaptive": (
        LanguageModel, tokens, lambda: TokenModel(convolution(16), 30, cutoffs=[6], division=2)
    ),
    "signal": (Regression, signal, lambda: SequenceModel(GRU(3, 8), 1)),
    "classes": (
        Classification, classes, lambda: SequenceModel(convolution(3), 5, readout="last")
    ),
    "keys": (MultiLabel, keys, lambda: SequenceModel(convolution(3), 3)),
    "keys, joint": (
        JointMultiLabel, keys, lambda: JointModel(convolution(3), keys=3, hidden=4)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_half_precision_trains_and_measures_as_float32_does(name: str) -> None:
    """Losses within 1 %, which is what bfloat16's 8 bits leave; sums of many terms lose no more."""
    kind, make, net = CASES[name]
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        loader = DataLoader([make()] * 3, batch_size=None)
        task: Task = kind(net())
        trainer = pl.Trainer(
            accelerator="cpu", precision=precision, max_epochs=2, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(task, loader, loader)
        found[precision] = {name: value.item() for name, value in trainer.callback_metrics.items()}
        assert all(parameter.dtype == torch.float32 for parameter in task.parameters())
        assert all(value.dtype == torch.float32 for value in trainer.callback_metrics.values())
    half, single = found["bf16-mixed"], found["32-true"]
    assert half.keys() == single.keys()
    for metric in half:
        if "accuracy" not in metric:
            assert half[metric] == pytest.approx(single[metric], rel=0.01), metric
    assert half != single  # it was not float32 all the same
