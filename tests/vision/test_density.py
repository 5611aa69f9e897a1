"""Density estimation, with likelihoods known beforehand."""

import math

import pytest
import torch
from torch import Tensor, nn

from tcn.layers import Conv2d
from tcn.models import PixelCNN, SequenceModel
from tcn.outputs import MSE, Bernoulli, Categorical, Logistics, MuLaw, Output
from tcn.training import Batch
from tcn.vision import DensityEstimation
from tests.training.running import as_loader, measured, trainer
from tests.vision.test_loading import noise


class Says(nn.Module):
    """A net that returns the same raw numbers for every pixel, and says what they mean."""

    def __init__(self, output: Output, raw: list[float]) -> None:
        super().__init__()
        self.output = output
        self.raw_numbers = nn.Parameter(torch.tensor(raw))

    def forward(self, x: Tensor) -> Tensor:
        raw = self.raw_numbers.view(1, -1, 1, 1, 1)
        return raw.expand(len(x), -1, *x.shape[1:])


def test_a_fair_coin_is_one_bit_a_pixel() -> None:
    x = (torch.arange(3 * 4 * 5) % 2).float().view(3, 1, 4, 5)
    found = measured(DensityEstimation(Says(Bernoulli(), [0.0])), Batch(x, x))
    assert found["test_bits_per_dimension"] == pytest.approx(1)
    assert found["test_nats"] == pytest.approx(20 * math.log(2))
    assert found["test_loss"] == pytest.approx(math.log(2))


def test_256_equal_levels_are_eight_bits() -> None:
    """Each value of a color image counts: 3 channels of 2 x 2 pixels are 12 dimensions."""
    y = torch.randint(256, (2, 3, 2, 2))
    task = DensityEstimation(Says(Categorical(256), [0.0] * 256))
    found = measured(task, Batch(y / 127.5 - 1, y))
    assert found["test_bits_per_dimension"] == pytest.approx(8)
    assert found["test_nats"] == pytest.approx(12 * 8 * math.log(2))


def test_the_mean_is_over_all_images_whatever_the_batches() -> None:
    """By hand: a likely pixel costs log(4/3), an unlikely one log 4; a full and a short batch."""
    task = DensityEstimation(Says(Bernoulli(), [math.log(3)]))
    x = torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1)
    found = measured(task, Batch(x[:2], x[:2]), Batch(x[2:], x[2:]))
    expected = (2 * math.log(4 / 3) + math.log(4)) / 3
    assert found["test_nats"] == pytest.approx(expected)
    assert found["test_bits_per_dimension"] == pytest.approx(expected / math.log(2))


def test_a_net_with_a_head_is_trained() -> None:
    """Of pixels that repeat from row to row a net that looks up learns more than their shares."""
    torch.manual_seed(0)
    x = torch.randint(2, (64, 1, 1, 6)).float().expand(-1, -1, 6, -1).contiguous()
    backbone = Conv2d(1, 4, (2, 1), padding=("strictly_causal", "valid"))
    net = SequenceModel(backbone, head="bernoulli", targets=1)
    task = DensityEstimation(net, optimizer=lambda p: torch.optim.Adam(p, lr=0.1))
    trainer(max_epochs=60, limit_val_batches=0).fit(task, as_loader(Batch(x, x)))
    found = measured(task, Batch(x, x))
    # Below a 1 is always a 1. Below a 0, or the edge, a seventh are 1, of the first of 6 rows:
    # 3.5 of 6 rows have the entropy of 1/7, which is 0.592 bits.
    assert found["test_bits_per_dimension"] == pytest.approx(3.5 / 6 * 0.592, abs=0.06)
    assert task.monitor == ("val_bits_per_dimension", "min")


@pytest.mark.parametrize("output", [MSE(), MuLaw(), None], ids=["points", "sound", "silent"])
def test_nets_without_probabilities_are_refused(output: Output | None) -> None:
    net = nn.Identity() if output is None else Says(output, [0.0])
    with pytest.raises(TypeError, match=r"which gives no probability of a pixel's value; give a"):
        DensityEstimation(net)


def test_values_beyond_the_output_are_refused() -> None:
    """Normalized images are not what a likelihood of levels is about."""
    x = torch.full((2, 1, 3, 3), 1.5)
    task = DensityEstimation(Says(Logistics(1, 256), [0.0] * 3))
    with pytest.raises(ValueError, match=r"target: 18 values such as 1.5, and output 'logistics'"):
        measured(task, Batch(x, x))
    task = DensityEstimation(Says(Bernoulli(), [0.0]))
    with pytest.raises(ValueError, match="are neither 0 nor 1, which output 'bernoulli' is for"):
        measured(task, Batch(x, x))


@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("output", [Bernoulli(), Categorical(4), Logistics(2, 4)])
def test_a_net_of_pixels_is_measured_as_it_measures_itself(output: Output, colors: int) -> None:
    """Whatever the data module hands in as ``x``: floats from -1 to 1 beside levels."""
    levels = torch.randint(2 if output == Bernoulli() else 4, (5, colors, 4, 3))
    values = levels / 1.5 - 1
    target = {"binary": levels.float(), "class": levels, "unit": values}[output.support]
    net = PixelCNN(colors, 4, 2, output=output)
    task, batches = (
        DensityEstimation(net),
        (Batch(values[:3], target[:3]), Batch(values[3:], target[3:])),
    )
    found = measured(task, *batches)
    with torch.no_grad():
        nats, bits = net.negative_log_likelihood(target), net.bits_per_dimension(target)
    assert found["test_nats"] == pytest.approx(nats.mean().item(), rel=1e-5)
    assert found["test_bits_per_dimension"] == pytest.approx(bits.mean().item(), rel=1e-5)
    trainer(max_epochs=1, limit_val_batches=0).fit(task, as_loader(*batches))
    (predicted,) = trainer().predict(task, as_loader(batches[0]))
    assert predicted.y.shape == target[:3].shape


def test_levels_are_those_of_the_images() -> None:
    data = noise(targets="values")
    task = DensityEstimation(PixelCNN(data.in_channels, 2, 1, output=Logistics(2)))
    with pytest.raises(ValueError, match=r"net: its output has levels=65536, .*\(levels=256\)"):
        trainer().test(task, data)
    task = DensityEstimation(PixelCNN(data.in_channels, 2, 1, output=Logistics(2, 256)))
    assert trainer().test(task, data, verbose=False)[0]["test_bits_per_dimension"] < 16


def test_nets_that_are_told_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"net: PixelCNN with classes=3, .*classes=None, or min"):
        DensityEstimation(PixelCNN(1, 2, 1, classes=3))
