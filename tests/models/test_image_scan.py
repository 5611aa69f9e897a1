"""Images read as sequences: the steps by hand, and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.layers import Conv1d
from tcn.models import LSTM, TCN, ImageScan, LeNet5, SequenceModel


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_steps_by_hand(channels: int, height: int, width: int) -> None:
    """A convolution of one tap and the unit matrix returns its input."""
    x = torch.arange(2.0 * channels * height * width).view(2, channels, height, width)
    for order, size in (("rows", channels * width), ("pixels", channels)):
        unit = Conv1d(size, size, 1, bias=False)
        unit.weight.data.copy_(torch.eye(size).unsqueeze(-1))
        steps = ImageScan(unit, order)(x)
        for row in range(height):
            if order == "rows":
                assert torch.equal(steps[..., row], x[:, :, row].flatten(1))
                continue
            for column in range(width):
                assert torch.equal(steps[..., row * width + column], x[:, :, row, column])


@pytest.mark.parametrize(("order", "channels"), [("rows", 28), ("pixels", 1)])
def test_by_pixels_and_rows(order: str, channels: int) -> None:
    for backbone in (TCN(channels, [4, 4], 3), LSTM(channels, 4)):
        net = ImageScan(SequenceModel(backbone, 10, readout="last"), order)
        assert net(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_what_is_refused() -> None:
    net = SequenceModel(TCN(28, [4], 3), 10, readout="last")
    with pytest.raises(ValueError, match="order: 'columns' is none of rows, pixels"):
        ImageScan(net, "columns")
    with pytest.raises(TypeError, match="net: Linear is not a SequenceModule; give"):
        ImageScan(torch.nn.Linear(28, 10), "rows")
    with pytest.raises(ValueError, match="net: LeNet5 has ndim=2 and reads images itself"):
        ImageScan(LeNet5(), "rows")
    with pytest.raises(ValueError, match=r"has 84 numbers a step .* build it with in_channels=84"):
        ImageScan(net)(torch.randn(2, 3, 28, 28))
    with pytest.raises(ValueError, match=r"x: shape \(2, 28, 28\); expected \(batch, channels"):
        ImageScan(net)(torch.randn(2, 28, 28))
