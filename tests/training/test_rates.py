"""Losses, metrics and predictions of nets with a stride or an up-sampling, and padded rows."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tcn.layers import Add, Chain, Conv1d, Mean, Upsample
from tcn.models import SequenceModel
from tcn.training import Batch, Classification, MultiLabel, Regression

LENGTHS = torch.tensor([12, 7, 1, 0])


def strided() -> SequenceModel:
    return SequenceModel(Chain(Conv1d(2, 3, 2, stride=2), Conv1d(3, 3, 2)), 3)


def upsampled() -> SequenceModel:
    return SequenceModel(Chain(Upsample(2), Conv1d(2, 3, 2)), 3)


def joined() -> SequenceModel:
    return SequenceModel(Add(nn.Identity(), Chain(Conv1d(2, 2, 2, stride=2), Upsample(2))), 3)


# An output counts if its own position, the input step that it stands at, is one of the row.
CASES = [
    (strided, torch.arange(6) * 2),
    (upsampled, torch.arange(24) // 2),
    (joined, torch.arange(12)),
]


@pytest.mark.parametrize(("build", "positions"), CASES, ids=["stride", "upsampling", "join"])
def test_steps_whose_own_position_is_padding_count_nowhere(build, positions) -> None:
    net = build()
    valid = positions < LENGTHS[:, None]
    x = torch.randn(4, 2, 12)
    output = net(x, lengths=LENGTHS).movedim(1, -1)[valid]

    y = torch.randn(4, 3, len(positions))
    found = Regression(net).training_step(Batch(x, y, LENGTHS), 0)
    assert torch.allclose(found, functional.mse_loss(output, y.movedim(1, -1)[valid]))

    classes = torch.randint(3, (4, len(positions)))
    found = Classification(net).training_step(Batch(x, classes, LENGTHS), 0)
    assert torch.allclose(found, functional.cross_entropy(output, classes[valid]))

    found = MultiLabel(net).training_step(Batch(x, (y > 0).float(), LENGTHS), 0)
    expected = functional.binary_cross_entropy_with_logits(
        output, (y > 0).float().movedim(1, -1)[valid], reduction="sum"
    )
    assert torch.allclose(found, expected / 4)

    prediction = Regression(net).predict_step(Batch(x, y, LENGTHS), 0)
    assert prediction.lengths is not None
    assert prediction.lengths.tolist() == valid.sum(1).tolist()


def test_a_target_for_the_whole_sequence_needs_no_lengths_of_outputs() -> None:
    net = SequenceModel(Chain(Conv1d(2, 3, 2, stride=2), Mean()), 3)
    x, y = torch.randn(4, 2, 12), torch.randn(4, 3)
    lengths = LENGTHS.clamp_min(1)
    found = Regression(net).training_step(Batch(x, y, lengths), 0)
    assert torch.allclose(found, functional.mse_loss(net(x, lengths=lengths), y))
