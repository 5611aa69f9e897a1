"""Images are drawn as the slow way draws them: the whole net computed anew for every value."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.inference import generate_images
from tcn.models import TCN, PixelCNN
from tcn.outputs import Categorical, Logistics
from tests.models.test_pixelcnn import every_image


def build(colors: int, layers: int, **settings) -> PixelCNN:
    torch.manual_seed(0)
    net = PixelCNN(colors, 4, layers, first_kernel_size=3, **settings).double().eval()
    with torch.no_grad():
        net.head.raw.weight.mul_(4)  # less uniform, so that context matters
    return net


@torch.no_grad()
def slowly(net: PixelCNN, like: Tensor, rows: int, seed: int, condition: Tensor | None) -> Tensor:
    """The same as ``generate_images`` with the first ``rows`` of ``like`` given."""
    generator, images = torch.Generator().manual_seed(seed), like.clone()
    images[:, :, rows:] = 0
    _, colors, height, width = images.shape
    for row in range(rows, height):
        for column in range(width):
            for color in range(colors):
                raw = net.per_value(net(images, condition=condition))[:, :, color, row, column]
                images[:, color, row, column] = net.output.sample(raw, 1, generator)[0]
    return images


@pytest.mark.parametrize(
    ("output", "colors"),
    [("bernoulli", 1), (Categorical(5), 3), (Logistics(2, levels=9), 2)],
)
def test_equal_to_computing_the_whole_image_for_every_value(output, colors: int):
    net = build(colors, 3, output=output, classes=3)
    condition = torch.tensor([0, 2])
    images = generate_images(net, 2, (4, 5), condition=condition, seed=3)
    assert images.dtype == (torch.int64 if output == Categorical(5) else torch.float64)
    assert torch.equal(images, slowly(net, images, 0, 3, condition))
    assert len(images.unique()) > 1


@settings(max_examples=6)
@given(
    height=st.integers(1, 4), width=st.integers(1, 4), rows=st.integers(0, 4),
    layers=st.integers(1, 3), kernel_size=st.sampled_from([3, 5]),
)  # fmt: skip
def test_given_rows_are_kept_and_completed(
    height: int, width: int, rows: int, layers: int, kernel_size: int
):
    net, rows = build(1, layers, kernel_size=kernel_size), min(rows, height)
    upper = torch.randint(2, (2, 1, rows, width)).double()
    images = generate_images(net, 2, (height, width), given=upper, seed=1)
    assert torch.equal(images[:, :, :rows], upper)
    assert torch.equal(images, slowly(net, images, rows, 1, None))


def test_a_condition_of_each_pixel_is_read_at_that_pixel():
    net = build(1, 2, classes=2)
    condition = 3 * torch.randn(2, 2, 4, 3, dtype=torch.float64)
    images = generate_images(net, 2, (4, 3), condition=condition, seed=5)
    assert torch.equal(images, slowly(net, images, 0, 5, condition))


def test_images_are_as_frequent_as_they_are_probable():
    net, count = build(1, 1), 8000
    images = every_image(2, 1, 1, 3).double()
    probable = (-net.negative_log_likelihood(images)).exp()
    drawn = generate_images(net, count, (1, 3), seed=0)
    frequent = (drawn[:, None] == images).flatten(2).all(2).double().mean(0)
    # Four standard deviations of a share of 8,000 draws: 0.022 at most.
    assert (frequent - probable).abs().max() < 4 * math.sqrt(0.25 / count)


def test_the_seed_decides():
    net = build(1, 1)
    images = generate_images(net, 2, 5, seed=1)
    assert images.shape == (2, 1, 5, 5)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(images, generate_images(net, 2, 5, seed=generator))
    assert not torch.equal(images, generate_images(net, 2, 5, seed=2))


UPPER = torch.zeros(2, 1, 2, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"count": 0}, ValueError, "count: 0 must be at least 1"),
        ({"size": (4, 0)}, ValueError, "size: 0 must be at least 1"),
        ({"size": (4, 4, 4)}, ValueError, r"size: \(4, 4, 4\) has 3 values for 2 axes"),
        ({"given": UPPER[:1]}, ValueError, r"given: shape \(1, 1, 2, 4\) for 2 images of 4 x 4"),
        ({"given": UPPER[..., :3]}, ValueError, r"given: shape \(2, 1, 2, 3\) .* \(2, 1, rows up"),
        ({"given": UPPER + 0.2}, ValueError, "given: 16 values such as 0.2, .* for 0 and 1"),
        ({"given": UPPER.repeat(1, 3, 1, 1)}, ValueError, r"given: shape .* in_channels=3"),
        ({"given": [[0]]}, TypeError, "given: list is not a tensor"),
        ({"condition": torch.tensor([0, 1])}, ValueError, "condition: .* without classes"),
        ({"seed": "a"}, TypeError, "seed: 'a' is neither an integer"),
        ({"net": TCN(1, [2], 2).eval()}, TypeError, "net: TCN does not draw images; use .*Pixel"),
        ({"net": PixelCNN(1, 2, 1)}, ValueError, "net: PixelCNN .* is in training mode"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        generate_images(**{"net": build(1, 1), "count": 2, "size": 4, **arguments})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (torch.tensor([0, 3]), "class 3 for a net of 3 classes"),
        (torch.zeros(2, 3, 4, 5), r"shape \(2, 3, 4, 5\) for images of \(4, 4\); give one"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(condition: Tensor, message: str):
    with pytest.raises(ValueError, match=f"condition: {message}"):
        generate_images(build(1, 1, classes=3), 2, 4, condition=condition)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_a_cure(value: float) -> None:
    """Without, images came back that are the drawing of nothing."""
    net = PixelCNN(1, 4, 2, classes=3).eval()
    weights = torch.tensor([[1.0, value, 0.0]])
    with pytest.raises(ValueError, match="condition: weights that are not finite"):
        generate_images(net, 1, 2, condition=weights)
    cured = weights.nan_to_num(0.0, 0.0, 0.0)
    assert generate_images(net, 1, 2, condition=cured).shape == (1, 1, 2, 2)
