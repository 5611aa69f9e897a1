"""Initial weights, which must act under weight norm as well."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tcn.layers import Conv1d, initialize
from tcn.models import TCN, SequenceModel

BLOCKS = ["residual", "preactivation", "gated", "separable"]


def effective_weights(net: TCN) -> list[torch.Tensor]:
    return [m.weight.detach() for m in net.modules() if isinstance(m, Conv1d)]


@pytest.mark.parametrize("norm", ["weight", "none"])
def test_he_weights_have_the_variance_that_keeps_a_signal_its_size(norm: str) -> None:
    # He et al. 2015, equation 10: variance 2 / fan_in, so that ReLU leaves the second moment alone.
    torch.manual_seed(0)
    net = TCN(64, [64, 64], 5, norm=norm, initialization="he")
    for weight in effective_weights(net):
        assert weight.std().item() == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.03)
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, Conv1d))


def test_normal_weights_act_under_weight_norm() -> None:
    # N(0, 0.01^2) as the paper says; in the authors' code weight norm overwrites it.
    torch.manual_seed(0)
    for weight in effective_weights(TCN(32, [64, 64], 5, initialization="normal")):
        assert weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_pytorch_weights_are_those_of_a_plain_convolution() -> None:
    torch.manual_seed(0)
    expected = torch.nn.Conv1d(3, 5, 4).weight
    torch.manual_seed(0)
    first = effective_weights(TCN(3, [5], 4, initialization="pytorch"))[0]
    torch.testing.assert_close(first, expected)


@pytest.mark.parametrize(
    ("block", "kernel_deviation"),
    [
        # By hand, of 64 levels and kernels of 5 by 16 channels: He's times 16^(-1/4), as a branch
        # has two convolutions; of the depthwise ones, of which it has four with the 1x1 ones,
        # (1/5)^(1/2) times 16^(-1/8).
        ("residual", math.sqrt(2 / 80) / 2),
        ("gated", math.sqrt(2 / 80) / 2),
        ("separable", math.sqrt(1 / 5) / math.sqrt(2)),
    ],
)
def test_scaled_weights_share_the_root_of_the_levels_out(
    block: str, kernel_deviation: float
) -> None:
    torch.manual_seed(0)
    net = TCN(16, [16] * 64, 5, dilations=[1] * 64, block=block, initialization="scaled")
    kernels = [m for m in net.modules() if isinstance(m, Conv1d) and m.kernel_size == (5,)]
    weights = torch.cat([kernel.weight.detach().flatten() for kernel in kernels])
    assert weights.std().item() == pytest.approx(kernel_deviation, rel=0.03)
    assert not any(kernel.bias.any() for kernel in kernels)


def test_scaled_weights_leave_shortcuts_whole() -> None:
    torch.manual_seed(0)
    net = TCN(256, [512] + [8] * 15, 2, dilations=[1] * 16, initialization="scaled")
    shortcut = net.levels[0].shortcut.weight
    assert shortcut.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.03)


def spread(net: TCN) -> Tensor:
    """How far outputs of other inputs lie apart."""
    torch.manual_seed(1)
    with torch.no_grad():
        return net(torch.randn(16, net.in_channels, 200)).std(0).square().mean().sqrt()


@pytest.mark.parametrize("block", BLOCKS)
def test_signals_keep_their_size_however_deep_the_net(block: str) -> None:
    # Of a signal of variance 1, PyTorch's weights leave a tenth behind two levels. He's make it
    # 10^3 to 10^9 times as large behind 32, but for the gated block, whose tanh holds it.
    torch.manual_seed(0)
    for levels in (2, 8, 32):
        dilations = [2 ** (level % 6) for level in range(levels)]
        net = TCN(4, [32] * levels, 3, dilations=dilations, block=block)
        assert 0.4 < spread(net) < 30, levels


def test_a_small_set_is_learned_in_few_steps() -> None:
    # Three classes by the place of a bump in noise, twelve series of each. From "pytorch" the mean
    # loss after these steps is 0.89, from "normal" 1.10.
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        classes = torch.arange(36) % 3
        center = 16 + 16 * classes.unsqueeze(1) + 2 * torch.randn(36, 1)
        bump = torch.exp(-(((torch.arange(64) - center) / 4) ** 2))
        x = (bump + 0.3 * torch.randn(36, 64)).unsqueeze(1)
        net = SequenceModel(TCN(1, [16] * 5, 5), 3, readout="last")
        adam = torch.optim.Adam(net.parameters(), 1e-3)
        for _ in range(30):
            loss = cross_entropy(net(x), classes)
            adam.zero_grad()
            loss.backward()
            adam.step()
        losses.append(loss.item())
    assert sum(losses) / 3 < 0.4


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="initialization: 'xavier' is not one of 'scaled', 'py"):
        initialize(Conv1d(1, 1, 1), "xavier")
