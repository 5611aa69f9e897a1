"""A net with more heads in training than in use."""

import pytest
import torch
from torch import Tensor, nn

from tcn.models import GoogLeNet
from tcn.training import Batch, Classification


class Heads(nn.Module):
    """A net whose heads return their input and its negative, so that losses can be written down."""

    head_weights = (1.0, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x

    def training_heads(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.stack([x, -x], 1)


def test_every_head_counts_in_training_by_its_weight() -> None:
    odds = torch.log(
        torch.tensor(3.0)
    )  # probabilities 1/4 and 3/4, turned round in the second head
    batch = Batch(torch.stack([torch.zeros(1), odds.view(1)], 1), torch.tensor([1]))
    loss = Classification(Heads()).training_step(batch, 0)
    expected = -torch.log(torch.tensor(0.75)) - 0.5 * torch.log(torch.tensor(0.25))
    torch.testing.assert_close(loss, expected)


def test_googlenet_is_trained_with_its_auxiliary_heads() -> None:
    torch.manual_seed(0)
    net = GoogLeNet(3, 4, form="torchvision", dropout=0, auxiliary_dropout=0)
    x, y = torch.randn(2, 3, 64, 64), torch.tensor([1, 3])
    task = Classification(net)
    loss = task.training_step(Batch(x, y), 0)
    assert float(loss) == pytest.approx(float(net.training_loss(x, y)))
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
