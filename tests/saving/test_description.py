"""Nets of one's own in folders: containers of the library, and classes that are registered."""

import functools
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tcn
from tcn.inference import from_pretrained, save_pretrained
from tcn.inference.construction import CLASSES
from tcn.layers import (
    AddCondition,
    AveragePool1d,
    Chain,
    Concat,
    Context,
    Conv1d,
    ConvTranspose1d,
    FiLM,
    GatedBlock,
    GroupNorm,
    LargeKernelBlock,
    LocallyConnected1d,
    MaxPool1d,
    Multiply,
    Pointwise,
    PyramidPool,
    ResidualBlock,
    SequenceModule,
    SkipSum,
    SqueezeExcite,
    StochasticDepth,
    Upsample,
)
from tcn.models import TCN, SequenceModel
from tcn.saving import description
from tcn.saving.description import Opaque, describe


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is registered in a test is forgotten after it."""
    known = dict(description._OWN)
    monkeypatch.setattr(description, "_OWN", known)
    return known


def unet() -> Chain:
    deep = Chain(MaxPool1d(2), ResidualBlock(4, 6, 3), ConvTranspose1d(6, 4, 2, stride=2))
    return Chain(Conv1d(2, 4, 3), Concat(skip=nn.Identity(), deep=deep), ResidualBlock(8, 3, 3))


def assert_comes_back(net: Any, folder: Path, *channels: int) -> Any:
    other: Any = from_pretrained(save_pretrained(net, folder))
    assert type(other) is type(net)
    assert describe(other) == describe(net)
    x = torch.randn(2, *(channels or (net.in_channels,)), 12)
    assert torch.equal(other(x), net.eval()(x))
    return other


# --------------------------------------------------------------- containers of the library


def test_a_unet_of_containers_comes_back(tmp_path: Path) -> None:
    other = assert_comes_back(unet(), tmp_path)
    assert list(other._modules) == ["0", "1", "2"]
    assert list(other[1]._modules) == ["skip", "deep"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Chain(Conv1d(2, 4, 3), nn.GELU("tanh"), nn.LeakyReLU(0.3), nn.PReLU(4)),
        lambda: Chain(LocallyConnected1d(2, 3, 12, 3), GroupNorm(3, groups=3)),
        lambda: Chain(AveragePool1d(2), Upsample(2), StochasticDepth(0.2), nn.Softplus(2.0)),
        lambda: Multiply(gate=Chain(Conv1d(2, 3, 1), nn.Sigmoid()), value=Conv1d(2, 3, 2)),
        lambda: SkipSum(
            [GatedBlock(2, 2, 2, skip_channels=3), GatedBlock(2, 2, 2, skip_channels=3)]
        ),
        lambda: Chain(Conv1d(2, 4, 1), SqueezeExcite(4, reduction=2, causal=False)),
        lambda: Chain(Conv1d(2, 4, 3, padding="strictly_causal"), LargeKernelBlock(4, 5)),
        lambda: SequenceModel(unet(), 5, readout="mean"),
    ],
)
def test_any_layer_comes_back(build: Any, tmp_path: Path) -> None:
    assert_comes_back(build(), tmp_path, 2)


def test_a_pyramid_comes_back(tmp_path: Path) -> None:
    other = assert_comes_back(Chain(Conv1d(2, 4, 3), PyramidPool((1, 3), pool="average")), tmp_path)
    assert other[1].levels == (1, 3)


def test_a_part_of_a_class_of_ones_own_is_named(tmp_path: Path) -> None:
    class Twice(Pointwise):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    with pytest.raises(ValueError, match=r"\*modules\[1\]: Twice\(\) cannot .* put @tcn\.saving"):
        save_pretrained(Chain(Conv1d(2, 4, 3), Twice()), tmp_path)
    tcn.saving.register(Twice)
    assert_comes_back(Chain(Conv1d(2, 4, 3), Twice()), tmp_path)


def test_a_part_may_not_hide_how_a_net_was_built() -> None:
    with pytest.raises(ValueError, match="construction: the name of a part, but Chain has"):
        Chain(construction=Conv1d(2, 4, 3))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_says_how_it_was_built(name: str) -> None:
    cls = CLASSES[name]
    if not is_dataclass(cls):  # whose fields say it
        init = cls.__init__
        assert name.startswith("torch.") or init is nn.Module.__init__ or init.is_recorded


# ------------------------------------------------------------------- classes of one's own


class Deep(SequenceModule):
    """Takes arguments of every kind."""

    def __init__(
        self,
        channels: int,
        *sizes: int,
        norm: Any = None,
        modulation: Any = None,
        head: nn.Module | None = None,
        **more: float,
    ) -> None:
        super().__init__()
        self.in_channels = channels
        self.out_channels = channels
        self.net = Chain(*(Conv1d(channels, channels, size) for size in sizes))
        self.norm = norm(channels) if norm else None
        self.modulation = modulation
        self.head = head
        self.scale = more.get("scale", 1.0)

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, state = self.net.advance(x, state, context)
        y = self.norm(y) if self.norm is not None else y
        y = self.head(y) if self.head is not None else y
        return self.scale * y, state


def test_a_class_of_ones_own_comes_back(tmp_path: Path) -> None:
    assert tcn.saving.register("deep_net")(Deep) is Deep
    head = Conv1d(2, 2, 1)
    net = Deep(2, 3, 1, norm=GroupNorm, modulation=partial(FiLM, condition_channels=3),
               head=head, scale=2.0)  # fmt: skip
    other = assert_comes_back(net, tmp_path)
    assert isinstance(other.modulation, functools.partial)
    assert net.construction == {
        "class": "registered:deep_net",
        "arguments": {
            "*sizes": [2, 3, 1],
            "norm": {"class": "GroupNorm"},
            "modulation": {"class": "FiLM", "partial": {"condition_channels": 3}},
            "head": head.construction,
            "scale": 2.0,
        },
    }


def test_a_class_without_a_name_has_its_own(tmp_path: Path) -> None:
    @tcn.saving.register
    class Small(TCN):
        """Built as a TCN."""

    assert_comes_back(Small(2, [3], 2), tmp_path)
    assert Small(2, [3], 2).construction["class"] == "registered:Small"
    assert TCN(2, [3], 2).construction["class"] == "TCN"


def test_what_is_not_registered_is_not_built(tmp_path: Path, registered: dict[str, Any]) -> None:
    tcn.saving.register("deep_net")(Deep)
    save_pretrained(Deep(2, 3), tmp_path)
    registered.clear()
    cure = r"config\.json: net: 'deep_net' is not registered here; import the module .*"
    with pytest.raises(ValueError, match=cure + r'with @tcn\.saving\.register\("deep_net"\) bef'):
        from_pretrained(tmp_path)


def test_a_registered_name_is_never_one_of_the_library(tmp_path: Path) -> None:
    @tcn.saving.register("TCN")
    class Other(SequenceModule):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.in_channels = channels
            self.layer = Conv1d(channels, channels, 2)

        def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
            return self.layer.advance(x, state, context)

    assert_comes_back(Other(2), tmp_path / "own")
    assert_comes_back(TCN(2, [3], 2), tmp_path / "ours")


def test_a_subclass_is_another_class(tmp_path: Path) -> None:
    tcn.saving.register("deep_net")(Deep)

    class Deeper(Deep):
        def __init__(self) -> None:
            super().__init__(2, 3, 3)

    with pytest.raises(ValueError, match=r"net: Deeper does not know .* put @tcn\.saving\.regist"):
        save_pretrained(Deeper(), tmp_path)


def test_what_cannot_be_registered_is_refused() -> None:
    tcn.saving.register("deep_net")(Deep)
    tcn.saving.register("deep_net")(Deep)  # a cell that is run again
    with pytest.raises(ValueError, match=r"name: 'deep_net' is that of .*Deep; register .*TCN und"):
        tcn.saving.register("deep_net")(TCN)
    with pytest.raises(TypeError, match="cls: 3 is neither a class of modules nor"):
        tcn.saving.register(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="name: '' is not a name; write register"):
        tcn.saving.register("")(Deep)


def test_what_has_no_words_is_opaque() -> None:
    assert isinstance(describe(lambda: 3), Opaque)
    assert isinstance(describe(nn.Linear), Opaque)
    assert isinstance(describe(nn.Linear(2, 3)), Opaque)
    assert describe(nn.ELU(0.5)) == {
        "class": "torch.nn.ELU", "arguments": {"alpha": 0.5, "inplace": False}
    }  # fmt: skip
    assert describe(AddCondition) == {"class": "AddCondition"}
