"""Initial weights, which must act under weight norm as well."""

import math

import pytest
import torch

from tcn.layers import Conv1d, initialize
from tcn.models import TCN


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
    first = effective_weights(TCN(3, [5], 4))[0]
    torch.testing.assert_close(first, expected)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="initialization: 'xavier' is not one of 'pytorch', 'he'"):
        initialize(Conv1d(1, 1, 1), "xavier")
