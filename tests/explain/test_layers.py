"""Layers by name: what PyTorch's own hooks see, and the net left as it was."""

import pytest
import torch
from torch import nn

from tcn.explain import activations, layer_names, places, strongest
from tcn.models import GRU, TCN


class Shared(nn.Module):
    """One rectifier that serves two convolutions, as many nets have it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Conv1d(1, 2, 3), nn.Conv1d(2, 2, 3), nn.ReLU()
        self.unused = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.relu(self.first(x))))


def test_activations_are_what_the_layers_return() -> None:
    net, x = (
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)),
        torch.randn(2, 1, 5, 6),
    )
    found = activations(net, x, ["1", "2"])
    assert list(found) == ["1", "2"]
    assert torch.equal(found["1"], net[0](x).relu())
    assert torch.equal(found["2"], net(x))


def test_every_level_of_a_tcn_is_seen() -> None:
    """Also where a kernel would compute a block, or several, in one go."""
    net = TCN(1, [4, 4, 4], 3, dropout=0.5)
    x = torch.randn(2, 1, 40)
    levels = ["levels.0", "levels.1", "levels.2"]
    found = activations(net, x, levels)
    expected, net = x, net.eval()
    for index, level in enumerate(levels):
        expected = net.levels[index](expected)
        torch.testing.assert_close(found[level], expected, rtol=0, atol=1e-5)


def test_a_layer_called_twice_is_named_by_its_call() -> None:
    net, x = Shared(), torch.randn(2, 1, 9)
    with pytest.raises(ValueError, match=r"'relu' is called 2 times .*; write relu#1 to relu#2"):
        activations(net, x, ["relu"])
    found = activations(net, x, ["relu#2", "relu#1"])
    assert torch.equal(found["relu#1"], net.first(x).relu())
    assert torch.equal(found["relu#2"], net(x))
    with pytest.raises(ValueError, match="'relu#3', but relu is called 2 times"):
        activations(net, x, ["relu#3"])


def test_the_net_is_left_as_it_was() -> None:
    net = TCN(1, [4, 4], 3, dropout=0.5)
    net.levels[0].eval()
    modes = [module.training for module in net.modules()]
    with pytest.raises(ValueError, match="does not take"):
        activations(nn.Sequential(nn.Linear(3, 1)), torch.randn(2, 4), ["0"])
    activations(net, torch.randn(2, 1, 9), ["levels.0"])
    assert [module.training for module in net.modules()] == modes
    assert all(not module._forward_hooks for module in net.modules())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_units_of_recurrent_layers_are_not_their_steps(kind: type[nn.RNNBase]) -> None:
    """Also of those that have time first, or both directions."""
    net, x = nn.Sequential(kind(3, 4, batch_first=True)), torch.randn(2, 5, 3)
    assert torch.equal(activations(net, x, ["0"])["0"], net[0](x)[0].transpose(1, 2))
    net = nn.Sequential(kind(3, 4, bidirectional=True))
    expected = net[0](x.transpose(0, 1))[0].permute(1, 2, 0)
    assert torch.equal(activations(net, x.transpose(0, 1), ["0"])["0"], expected)


def test_ours_too() -> None:
    """A unit of it sees from the beginning to its own step."""
    net, x = GRU(2, 5), torch.randn(3, 2, 7)
    torch.testing.assert_close(activations(net, x, ["recurrence"])["recurrence"], net(x))
    assert len(strongest(net, x, "recurrence").values) == 5
    for place in places(net, x, "recurrence", 4)[0]:
        assert place.span == (slice(0, place.position[0] + 1),)


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ("levels.9", ValueError, r"TCN has none named 'levels.9'; choose one of levels\.[01]"),
        (3, TypeError, "layer: 3 is not a name; give one such as 'levels'"),
        ("levels.0#zero", ValueError, "counts no call; write levels.0#1"),
    ],
)
def test_names_that_are_wrong(layer: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        activations(TCN(1, [4, 4], 3), torch.randn(1, 1, 9), [layer])


@pytest.mark.parametrize(
    ("x", "error", "said"),
    [
        (torch.randn(2, 3, 9), ValueError, r"shape \(2, 3, 9\)"),
        (torch.randn(0, 1, 9), ValueError, r"shape \(0, 1, 9\) holds nothing"),
        ([1.0], TypeError, "list is not a tensor"),
    ],
)
def test_inputs_that_are_wrong(x: object, error: type[Exception], said: str) -> None:
    for net in (TCN(1, [4], 3), nn.Sequential(nn.Conv1d(1, 2, 3))):
        with pytest.raises(error, match=said):
            activations(net, x, [layer_names(net)[0]])


def test_a_layer_that_is_not_called() -> None:
    with pytest.raises(ValueError, match="'unused' returned no tensor in this forward pass"):
        activations(Shared(), torch.randn(1, 1, 9), ["unused"])
