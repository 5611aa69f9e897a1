"""Checkpoints of the authors' code, made here by a small net laid out as theirs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tcn.layers import Dropout
from tcn.models import TCN


class Level(nn.Module):
    """A level as the authors lay it out: padded on both sides, the right side cut off again."""

    def __init__(self, a: int, b: int, kernel_size: int, dilation: int, norm: Callable) -> None:
        super().__init__()
        self.cut = (kernel_size - 1) * dilation
        options = {"padding": self.cut, "dilation": dilation}
        self.conv1 = norm(nn.Conv1d(a, b, kernel_size, **options))
        self.conv2 = norm(nn.Conv1d(b, b, kernel_size, **options))
        # Registered a second time, which doubles the keys of a checkpoint.
        idle = nn.Identity()
        self.net = nn.Sequential(self.conv1, idle, idle, idle, self.conv2)
        self.downsample = nn.Conv1d(a, b, 1) if a != b else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv1(x)[..., : x.shape[-1]])
        y = torch.relu(self.conv2(y)[..., : x.shape[-1]])
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TemporalConvNet(nn.Module):
    def __init__(self, a: int, widths: list[int], kernel_size: int, norm: Callable) -> None:
        super().__init__()
        pairs = zip([a, *widths], widths, strict=False)
        self.network = nn.Sequential(
            *(Level(p, q, kernel_size, 2**i, norm) for i, (p, q) in enumerate(pairs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


class TaskModel(nn.Module):
    """The net under a name of its own, beside an output layer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.tcn = net
        self.linear = nn.Linear(5, 1)


def old_weight_norm(conv: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(conv)


def authors_net(norm: Callable) -> nn.Module:
    torch.manual_seed(0)
    net = TemporalConvNet(2, [4, 4, 5], 3, norm)
    with torch.no_grad():  # as after training: sizes are no longer those of the directions
        for parameter in net.parameters():
            parameter.mul_(1.3).add_(0.01)
    return net.eval()


NORMS = {"old": old_weight_norm, "new": nn.utils.parametrizations.weight_norm}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("within", [None, TaskModel, lambda net: nn.Sequential(TaskModel(net))])
def test_from_locuslab_computes_the_same(norm: str, within: Callable | None) -> None:
    theirs = authors_net(NORMS[norm])
    state = (theirs if within is None else within(theirs)).state_dict()
    ours = TCN.from_locuslab(state, dropout=0.1).eval()
    x = torch.randn(3, 2, 50)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)
    assert [m.probability for m in ours.modules() if isinstance(m, Dropout)] == [0.1] * 6


@pytest.mark.parametrize("lost", ["2.conv1", "1.conv2", "0.downsample", "2.downsample", "1."])
def test_from_locuslab_refuses_a_checkpoint_with_a_hole(lost: str) -> None:
    alias = lost.replace("conv1", "net.0").replace("conv2", "net.4")
    gone = (f"network.{lost}", f"network.{alias}")
    state = {
        k: v for k, v in authors_net(NORMS["new"]).state_dict().items() if not k.startswith(gone)
    }
    match = (
        rf"state_dict: no tensor for .* of level {lost[0]}; expected the keys of a TemporalConvN"
    )
    with pytest.raises(ValueError, match=match):
        TCN.from_locuslab(state)


def test_from_locuslab_refuses_what_is_none() -> None:
    with pytest.raises(ValueError, match=r"no tensor for layer1.convolution.weight_g of level 0"):
        TCN.from_locuslab(nn.Linear(2, 2).state_dict())
    with pytest.raises(ValueError, match=r"of level 0; .*found \[\]"):
        TCN.from_locuslab({})
