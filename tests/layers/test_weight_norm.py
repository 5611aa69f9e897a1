"""Weight norm: the same function as the plain convolution, and everybody's checkpoints load."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tcn.layers import Chain, Conv1d, Conv2d, convolution, fold_weight_norm
from tcn.models import TCN


def pair(ndim: int = 1) -> tuple[nn.Module, nn.Module]:
    """A plain and a weight-normalized convolution of the same seed."""
    built = []
    for weight_norm in (False, True):
        torch.manual_seed(3)
        built.append(convolution(ndim)(2, 4, 3, padding="causal", weight_norm=weight_norm))
    return built[0], built[1]


def inputs(ndim: int = 1) -> torch.Tensor:
    return torch.randn(2, 2, *[7] * ndim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ndim", [1, 2])
def test_it_begins_as_the_plain_convolution(ndim: int) -> None:
    plain, normalized = pair(ndim)
    torch.testing.assert_close(normalized.weight, plain.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(normalized(inputs(ndim)), plain(inputs(ndim)))
    assert set(normalized.state_dict()) == {"bias", "weight_g", "weight_v"}
    assert set(plain.state_dict()) == {"bias", "weight"}


def test_hand_computed_weight() -> None:
    # |v| = |(3, 4)| = 5, so g = 10 makes of v the weight (6, 8).
    conv = Conv1d(1, 1, 2, bias=False, weight_norm=True)
    with torch.no_grad():
        conv.weight_v.copy_(torch.tensor([[[3.0, 4.0]]]))
        conv.weight_g.fill_(10.0)
    torch.testing.assert_close(conv.weight.flatten(), torch.tensor([6.0, 8.0]))


def test_the_size_of_the_direction_does_not_matter() -> None:
    _, conv = pair()
    before = conv(inputs())
    with torch.no_grad():
        conv.weight_v.mul_(17.0)
    torch.testing.assert_close(conv(inputs()), before)
    conv(inputs()).sum().backward()
    # Nor does its gradient have a part along itself.
    along = (conv.weight_v.grad * conv.weight_v).sum((1, 2))
    torch.testing.assert_close(along, torch.zeros(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("index", [0, 1])
def test_set_weight_acts(index: int) -> None:
    conv, weight = pair()[index], torch.randn(4, 2, 3)
    conv.set_weight(weight)
    torch.testing.assert_close(conv.weight, weight)
    padded = nn.functional.pad(inputs(), (2, 0))
    torch.testing.assert_close(conv(inputs()), nn.functional.conv1d(padded, weight, conv.bias))
    with pytest.raises(ValueError, match=r"weight: shape \(4, 3\), expected \(4, 2, 3\)"):
        conv.set_weight(torch.zeros(4, 3))


def test_folding_keeps_the_function() -> None:
    net = TCN(2, [4, 5], 3)
    before = net(inputs())
    assert fold_weight_norm(net) is net
    assert not any("weight_g" in name for name in net.state_dict())
    torch.testing.assert_close(net(inputs()), before)
    net(inputs()).sum().backward()  # still trainable
    assert all(parameter.grad is not None for parameter in net.parameters())
    fold_weight_norm(net)  # nothing left to fold
    torch.testing.assert_close(net(inputs()), before)


def test_normalizing_a_plain_convolution_keeps_the_function() -> None:
    plain, _ = pair()
    before = plain(inputs())
    plain.normalize_weight()
    assert set(plain.state_dict()) == {"bias", "weight_g", "weight_v"}
    torch.testing.assert_close(plain(inputs()), before)


def old_weight_norm(conv: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(conv)


STYLES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda conv: conv,
    "old": old_weight_norm,
    "new": nn.utils.parametrizations.weight_norm,
}


@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("ours_normalized", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_checkpoints_of_pytorch_modules_load(style: str, ours_normalized: bool, ndim: int) -> None:
    torch.manual_seed(7)
    theirs = STYLES[style]({1: nn.Conv1d, 2: nn.Conv2d}[ndim](2, 4, 3))
    if style != "plain":  # size and direction apart, as after training
        with torch.no_grad():
            next(p for n, p in theirs.named_parameters() if n[-1] in "g0").mul_(1.7)
    saved = nn.Sequential(theirs).state_dict()
    keys = list(saved)
    ours = Chain(convolution(ndim)(2, 4, 3, padding="valid", weight_norm=ours_normalized))
    ours.load_state_dict(saved)
    torch.testing.assert_close(ours(inputs(ndim)), theirs(inputs(ndim)))
    assert list(saved) == keys  # the caller's mapping is not changed


@pytest.mark.parametrize("folded_is_loaded", [False, True])
def test_folded_and_unfolded_nets_exchange_weights(folded_is_loaded: bool) -> None:
    net, folded = TCN(2, [3, 4], 2), fold_weight_norm(TCN(2, [3, 4], 2))
    source, target = (net, folded) if folded_is_loaded else (folded, net)
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(target(inputs()), source(inputs()))


def test_an_incomplete_checkpoint_is_refused() -> None:
    _, normalized = pair()
    state = normalized.state_dict()
    del state["weight_g"]
    with pytest.raises(RuntimeError, match=r"Missing key.*weight_g"):
        normalized.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"0.typo"'):
        Chain(normalized).load_state_dict(
            {f"0.{k}": v for k, v in [*pair()[1].state_dict().items(), ("typo", torch.zeros(1))]}
        )


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("index", [0, 1])
def test_copies_compute_the_same_and_are_apart(clone, index: int) -> None:
    conv = pair()[index]
    conv(inputs()).sum().backward()  # a graph must not stand in the way
    other = clone(conv)
    assert torch.equal(other(inputs()), conv(inputs()))
    other.set_weight(torch.zeros_like(other.weight) + 1)
    assert not torch.equal(other(inputs()), conv(inputs()))


def test_repr_says_padding_and_weight_norm() -> None:
    assert repr(Conv2d(1, 2, 3, padding=("same", "causal"), weight_norm=True)).endswith(
        "padding=('same', 'causal'), weight_norm=True)"
    )
    assert "weight_norm" not in repr(Conv1d(1, 2, 3))
