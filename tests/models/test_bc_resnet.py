"""BC-ResNet and the streaming net of Google's keyword spotting: sizes, formulas, streams."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tcn.inference import StreamSession, from_pretrained, save_pretrained
from tcn.layers import MelSpectrogram, SpecAugment
from tcn.models import (
    TCN,
    BCResNet,
    BroadcastedBlock,
    DSTCResNet,
    SequenceModel,
    SoundModel,
    SubSpectralNorm,
    small_resnet,
)
from tcn.testing import check_sequence_module

MELS = {"window_size": 30, "hop": 10, "fft_size": 256}


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("scale", "thousands"), [(1, 9.2), (2, 27.3), (3, 54.2), (6, 188), (8, 321)]
)
def test_sizes_of_the_paper(scale: int, thousands: float) -> None:
    """Table 3 of Kim et al. 2021, for 12 classes."""
    found = parameters(BCResNet(12, scale=scale)) / 1000
    assert round(found, 1 if thousands < 100 else 0) == thousands


def test_size_of_ds_tc_resnet() -> None:
    """75K in the authors' list of experiments with 35 words and 40 features."""
    assert round(parameters(DSTCResNet(40, 35)), -3) == 75_000


def randomized(net: nn.Module) -> nn.Module:
    """With norms that do something, in evaluation mode."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            for values in (module.running_mean, module.bias, module.weight):
                nn.init.normal_(values)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


def norm(x: Tensor, layer: nn.BatchNorm1d) -> Tensor:
    return functional.batch_norm(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
    )


@pytest.mark.parametrize("channels", [(6, 6), (4, 6)])
@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_a_block_by_the_formula_of_the_paper(channels: tuple[int, int], stride: int) -> None:
    """y = x + f2(x) + broadcast(f1(mean(f2(x)))), with PyTorch's own functions (section 2.2)."""
    if channels[0] == channels[1] and stride == 2:
        return  # there is no such block in the paper: a stage with a stride has other channels
    net = randomized(BroadcastedBlock(*channels, stride=stride, dilation=4))
    x = torch.randn(3, channels[0], 20, 30)
    parts, a = net.frequency, x
    if channels[0] != channels[1]:
        a = functional.conv2d(a, parts.pointwise.weight)
        a = functional.relu(norm(a, parts.pointwise_norm))
    a = functional.conv2d(a, parts.convolution.weight, None, (stride, 1), (1, 0), groups=6)
    apart = a.reshape(3, 6 * 5, a.shape[2] // 5, 30)
    a = norm(apart, parts.norm.norm).reshape(a.shape)
    b = a.mean(2, keepdim=True)
    b = functional.conv2d(b, net.time.convolution.weight, None, 1, (0, 4), (1, 4), groups=6)
    b = functional.silu(norm(b, net.time.norm))
    b = functional.conv2d(b, net.time.pointwise.weight)
    expected = functional.relu(a + b + (x if channels[0] == channels[1] else 0))
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5)


CHECKED = {
    "norm": (lambda: SubSpectralNorm(4, 2), (3, 4, 8, 24)),
    "block": (lambda: BroadcastedBlock(4, 4, dilation=2, bands=2, causal=True), (3, 4, 8, 24)),
    "block of other channels": (lambda: BroadcastedBlock(4, 6, stride=2, bands=2), (3, 4, 8, 24)),
    "bc resnet": (lambda: BCResNet(12), (3, 1, 40, 24)),
    "causal bc resnet": (lambda: BCResNet(12, causal=True), (3, 1, 40, 24)),
    "ds tc resnet": (lambda: DSTCResNet(5, 3), (3, 5, 24)),
    "ds tc resnet of whole clips": (lambda: DSTCResNet(5, 3, causal=False), (3, 5, 24)),
    "sound, bands": (
        lambda: SoundModel(
            SequenceModel(TCN(8, [4, 4], 3), 5, readout="mean"),
            features=MelSpectrogram(8000, 8, **MELS),
            spec_augment=SpecAugment(frequency_width=3, time_width=3),
        ),
        (3, 1, 120),
    ),
    "sound, image": (
        lambda: SoundModel(
            small_resnet(8, 1, 4, causal=(False, True)), features=MelSpectrogram(8000, 8, **MELS)
        ),
        (3, 1, 120),
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_contract(name: str) -> None:
    make, shape = CHECKED[name]
    large = "resnet" in name or "sound" in name  # minutes to compile; their blocks are here too
    check_sequence_module(
        randomized(make()), torch.randn(shape), dtypes=(torch.float32,), export=not large,
        compile_backend=None if large else "aot_eager",
    )  # fmt: skip


@torch.no_grad()
def test_sound_streams_through_a_saved_net(tmp_path) -> None:
    """Blocks of any length, from samples to classes, equal the whole clip."""
    features = MelSpectrogram(8000, 40, window_size=256, hop=80)
    net = randomized(SoundModel(BCResNet(10, causal=True), features=features))
    net = from_pretrained(save_pretrained(net, tmp_path / "net"))
    x = torch.randn(2, 1, 4000)
    session = StreamSession(net, batch_size=2)
    for block in x.split([1, 79, 1, 319, 1000, 2600], -1):
        y = session.push(block)
    torch.testing.assert_close(y, net(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_of_sound_is_not_heard() -> None:
    """Samples, bands and columns of an image: lengths count samples."""
    features = MelSpectrogram(8000, 40, window_size=256, hop=80, padding="same")
    net = randomized(SoundModel(BCResNet(10), features=features))
    x = torch.randn(2, 1, 4000)
    padded = net(x, lengths=torch.tensor([4000, 2400]))
    torch.testing.assert_close(padded[1:], net(x[1:, :, :2400]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: BCResNet(10, scale=4), ValueError, "scale: 4 is not one of 1, 1.5, 2, 3, 6, 8"),
        (lambda: BCResNet(0), ValueError, "classes: 0 must be at least 1"),
        (lambda: BCResNet(3)(torch.randn(1, 1, 64, 9)), ValueError, "height 64; BCResNet reads 40"),
        (lambda: BCResNet(3)(torch.randn(1, 40, 9)), ValueError, "an axis is missing"),
        (lambda: SubSpectralNorm(2)(torch.randn(1, 2, 9, 4)), ValueError, "5 bands do not divide"),
        (lambda: BroadcastedBlock(2, 2, dropout=1), ValueError, r"dropout: 1 is not in \[0, 1\)"),
        (lambda: DSTCResNet(0, 3), ValueError, "in_channels: 0 must be at least 1"),
        (lambda: sound(TCN(9, [4], 3)), ValueError, "TCN takes 9 channels; expected 8, the number"),
        (lambda: sound(small_resnet(8, 3, 4)), ValueError, "3 channels; expected 1, of an image"),
        (lambda: sound(nn.ReLU()), TypeError, "net: ReLU is not a SequenceModule"),
        (lambda: SoundModel(TCN(8, [4], 3), features=8), TypeError, "features: int is neither"),
    ],
)
def test_errors(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def sound(net: nn.Module) -> SoundModel:
    return SoundModel(net, features=MelSpectrogram(8000, 8, **MELS))
