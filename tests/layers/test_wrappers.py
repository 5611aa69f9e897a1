"""Parts that are wrapped, as for checkpointing, and parts whose ``forward`` was exchanged."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from tcn.layers import Chain, Conv1d, FiLM, GatedBlock, ResidualBlock
from tcn.models import GRU, TCN, SequenceModel

NETS: dict[str, Callable[[], nn.Module]] = {
    "last": lambda: SequenceModel(TCN(2, [4, 4], 3), 3, readout="last"),
    "mean": lambda: SequenceModel(TCN(2, [4, 4], 3, norm="layer"), 3, readout="mean"),
    "last, gated": lambda: SequenceModel(TCN(2, [4, 4], 3, block="gated"), 3, readout="last"),
    "last, preactivation": lambda: SequenceModel(
        TCN(2, [4, 4], 3, block="preactivation", norm="batch"), 3, readout="last"
    ),
    "last, FiLM": lambda: SequenceModel(
        TCN(2, [4, 4], 3, modulation=lambda channels: FiLM(channels, 3)), 3, readout="last"
    ),
    "last, recurrent": lambda: SequenceModel(GRU(2, 4), 3, readout="last"),
    "strided": lambda: Chain(
        ResidualBlock(2, 4, 3, stride=2), GatedBlock(4, 4, 3, stride=2), Conv1d(4, 2, 3)
    ),
}


def outputs(net: nn.Module, x: Tensor, **context: Tensor) -> list[Tensor]:
    """Of the whole, with padding, and of two chunks."""
    lengths = torch.tensor([24, 7, 3])
    whole = [net(x, **context), net(x, lengths=lengths, **context)]
    first, state = net.step(x[..., :5], **context)
    return [*whole, first, net.step(x[..., 5:12], state, **context)[0]]


@pytest.mark.parametrize("name", NETS)
def test_a_wrapped_part_computes_what_it_did(name: str) -> None:
    net, x = NETS[name]().eval(), torch.randn(3, 2, 24)
    context = {"condition": torch.randn(3, 3)} if "FiLM" in name else {}
    expected = outputs(net, x, **context)
    for place in [place for place, _ in net.named_modules() if place]:
        wrapped = copy.deepcopy(net)
        parent, _, child = place.rpartition(".")
        part = wrapped.get_submodule(place)
        setattr(wrapped.get_submodule(parent), child, checkpoint_wrapper(part))
        for found, wanted in zip(outputs(wrapped, x, **context), expected, strict=True):
            assert torch.allclose(found, wanted, atol=1e-5), place


def test_the_wrapper_is_called_where_only_the_last_step_is_read() -> None:
    net = SequenceModel(TCN(2, [4, 4], 3), 3, readout="last")
    calls: list[str] = []
    wrapped = checkpoint_wrapper(net.backbone.levels[1])
    wrapped.forward = lambda *args, **kwargs: (  # type: ignore[method-assign]
        calls.append("called") or type(wrapped).forward(wrapped, *args, **kwargs)
    )
    net.backbone.levels._modules["1"] = wrapped
    net(torch.randn(1, 2, 20))
    assert calls == ["called"]


@pytest.mark.parametrize("readout", ["every", "last"])
def test_a_forward_put_on_an_instance_is_used(readout: str) -> None:
    # Libraries that move weights between devices put one there, and expect that it is called.
    net, x = SequenceModel(TCN(2, [4], 3), 3, readout=readout).eval(), torch.randn(1, 2, 20)
    for part in net.backbone.modules():
        if isinstance(part, Conv1d | nn.ReLU):
            exchanged = copy.deepcopy(net)
            place = next(name for name, module in net.named_modules() if module is part)
            module = exchanged.get_submodule(place)
            original = module.forward
            module.forward = lambda *args, original=original, **kwargs: (
                original(*args, **kwargs) + 1
            )
            assert not torch.allclose(exchanged(x), net(x)), place
