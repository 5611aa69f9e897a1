"""Music with a joint output: the same metric as with independent ones, padding counts nowhere."""

import pytest
import torch
from torch import nn

from tcn.models import GRU, TCN, JointModel, SequenceModel
from tcn.training import Batch, JointMultiLabel, MultiLabel
from tests.training.running import measured


def music(rows: int, keys: int, time: int) -> Batch:
    generator = torch.Generator().manual_seed(rows + time)
    x, y = torch.randint(2, (2, rows, keys, time), generator=generator).float()
    return Batch(x, y)


def joint(keys: int = 4) -> JointModel:
    torch.manual_seed(0)
    return JointModel(TCN(keys, [5], 2), keys, hidden=3)


def test_keys_that_say_nothing_to_each_other_score_as_independent_ones():
    """With silent hidden units the biases are the logits: both tasks then measure the same."""
    net = joint()
    nn.init.zeros_(net.nade.write)
    independent = SequenceModel(net.backbone, 4)
    with torch.no_grad():
        independent.head.weight.copy_(net.head.weight[:4])
        independent.head.bias.copy_(net.head.bias[:4])
    batches = music(2, 4, 7), music(1, 4, 3)
    expected = measured(MultiLabel(independent), *batches)
    assert measured(JointMultiLabel(net), *batches) == pytest.approx(expected, rel=1e-5)


def test_nll_is_per_frame_of_all_pieces():
    net, (long, short) = joint(), (music(1, 4, 9), music(1, 4, 2))
    total = sum(net.output.losses(net(each.x), each.y).sum().item() for each in (long, short))
    results = measured(JointMultiLabel(net), long, short)
    assert results["test_nll"] == pytest.approx(total / 11, rel=1e-5)
    assert results["test_loss"] == pytest.approx(total / 2, rel=1e-5)


def test_padding_changes_nothing():
    batch, lengths = music(3, 4, 8), torch.tensor([8, 3, 5])
    rows = [
        Batch(batch.x[row : row + 1, :, :length], batch.y[row : row + 1, :, :length])
        for row, length in enumerate(lengths.tolist())
    ]
    expected = measured(JointMultiLabel(joint()), *rows)
    padded = measured(JointMultiLabel(joint()), batch._replace(lengths=lengths))
    assert padded == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_rows_counts_nothing():
    batch = music(1, 4, 5)
    loss, weight = JointMultiLabel(joint()).loss(
        torch.zeros(0, 7, 5), Batch(*(t[:0] for t in batch[:2]))
    )
    assert (loss.item(), weight) == (0, 0)


def test_predicts_frames_of_zeros_and_ones():
    task = JointMultiLabel(joint())
    batch = music(2, 4, 6)
    frames = task.predict_step(batch, 0).y
    assert frames.shape == (2, 4, 6)
    assert torch.equal(frames, task.net.output.mean(task.net(batch.x)))


def test_selects_by_the_metric_of_music():
    assert JointMultiLabel(joint()).monitor == ("val_nll", "min")


def test_a_net_of_independent_outputs_is_refused():
    with pytest.raises(TypeError, match="net: SequenceModel says nothing of channels together"):
        JointMultiLabel(SequenceModel(GRU(4, 5), 4))
