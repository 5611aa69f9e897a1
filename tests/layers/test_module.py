"""What every module does with mask and condition before its own computation."""

import math

import pytest
import torch

from tcn.layers import Chain, Conv1d, FiLM, SequenceModule
from tcn.models import TCN, SequenceModel


def test_padding_that_is_nan_leaves_no_nan_anywhere() -> None:
    # Without silencing at the entry, the identity shortcut of the first block carries it through.
    net = TCN(3, [3, 3], 2)
    x = torch.randn(2, 3, 10)
    x[1, :, 4:] = math.nan
    assert net(x, lengths=torch.tensor([10, 4])).isfinite().all()


@pytest.mark.parametrize("net", [TCN(2, [3], 2), SequenceModel(TCN(2, [3], 2), 1, readout="last")])
def test_a_condition_that_nobody_reads_is_refused(net) -> None:
    with pytest.raises(ValueError, match=r"condition: shape \(4, 5\) given, but no layer of"):
        net(torch.randn(4, 2, 8), condition=torch.randn(4, 5))
    with pytest.raises(ValueError, match="no layer of"):
        net.step(torch.randn(4, 2, 8), condition=torch.randn(4, 5))


def test_a_condition_that_is_read_is_accepted() -> None:
    net = TCN(2, [3], 2, modulation=lambda channels: FiLM(channels, 5))
    assert net(torch.randn(4, 2, 8), condition=torch.randn(4, 5)).shape == (4, 3, 8)


def test_a_batch_without_rows_may_have_lengths() -> None:
    x = torch.randn(0, 2, 5)
    assert TCN(2, [4], 2)(x, lengths=torch.zeros(0, dtype=torch.long)).shape == (0, 4, 5)


def test_lengths_behind_a_stride_are_followed() -> None:
    net = Chain(Conv1d(2, 2, 3, stride=2), Conv1d(2, 2, 3))
    x = torch.randn(2, 2, 8)
    x[1, :, 5:] = math.nan
    padded = net(x, lengths=torch.tensor([8, 5]))
    # Outputs 0, 1 and 2 stand at inputs 0, 2 and 4, all of them valid.
    torch.testing.assert_close(padded[1:, :, :3], net(x[1:, :, :5]))


def test_a_layer_that_does_not_say_that_it_has_a_stride_is_refused() -> None:
    class Every2nd(SequenceModule):
        def advance(self, x, state, context):
            return x[..., ::2], ()

    net = Chain(Every2nd(), Conv1d(2, 2, 3))
    with pytest.raises(
        ValueError, match="mask: 8 steps for an input of 4; an earlier layer returns"
    ):
        net(torch.randn(2, 2, 8), lengths=torch.tensor([8, 5]))
