"""A gated PixelCNN: what each value sees, exact probabilities, and what is refused."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tcn.inference import from_pretrained, save_pretrained
from tcn.layers import Context, FiLM
from tcn.models import PixelCNN
from tcn.outputs import Bernoulli, Categorical, Logistics, MuLaw
from tcn.testing import check_sequence_module


def small(colors: int = 1, layers: int = 2, **settings) -> PixelCNN:
    return PixelCNN(colors, 4, layers, first_kernel_size=3, **settings)


def every_image(levels: int, colors: int, height: int, width: int) -> Tensor:
    """``(levels ** values, colors, height, width)`` integers."""
    values = itertools.product(range(levels), repeat=colors * height * width)
    return torch.tensor(list(values)).view(-1, colors, height, width)


@pytest.mark.parametrize("classes", [None, 3])
def test_contract(classes: int | None):
    condition = None if classes is None else torch.randn(3, classes)
    net = small(2, output=Logistics(2, levels=256), classes=classes).eval()
    x = torch.randn(3, 2, 6, 14)
    check_sequence_module(net, x, condition=condition, compile_backend=None, export=False)


def test_contract_of_integer_levels():
    x = torch.randint(5, (3, 2, 6, 14))
    net = small(2, output=Categorical(5))
    check_sequence_module(net, x, compile_backend=None, export=False)


@settings(max_examples=6)
@given(
    colors=st.integers(1, 3), height=st.integers(1, 4), width=st.integers(1, 4),
    kernel_size=st.sampled_from([3, 5]),
)  # fmt: skip
def test_each_value_sees_every_earlier_one_and_no_other(
    colors: int, height: int, width: int, kernel_size: int
):
    """Rows from the top, pixels from the left, colors in order. Four layers reach the corners.

    With few features all of the head's may be negative in a pixel, where its ReLU has no slope.
    """
    torch.manual_seed(0)
    net = PixelCNN(
        colors, 32, 4, output=Logistics(3, levels=256), kernel_size=kernel_size, first_kernel_size=3
    ).double()
    x = torch.randn(1, colors, height, width, dtype=torch.float64, requires_grad=True)
    raw = net.per_value(net(x)).sum(1)[0]
    place = torch.arange(x.numel()).view(height, width, colors).permute(2, 0, 1)
    for color, row, column in itertools.product(range(colors), range(height), range(width)):
        (slope,) = torch.autograd.grad(raw[color, row, column], x, retain_graph=True)
        assert torch.equal(slope[0] != 0, place < place[color, row, column])


def test_first_layer_is_the_masked_convolution_of_the_paper():
    """Mask A of a 7x7 kernel: (49 - 1) / 2 = 24 taps, the rows above and what is to the left."""
    layer = next(iter(PixelCNN(2, 3, 1).stacks))
    masked = torch.zeros(6, 2, 7, 7)
    masked[:, :, :3] = layer.vertical.weight.detach().transpose(2, 3)
    masked[:, :, 3, :3] = layer.horizontal.weight.detach()[:, :, 0]
    assert (masked[0, 0] != 0).sum() == 24
    x = torch.randn(2, 2, 9, 8)
    bias = layer.vertical.bias + layer.horizontal.bias
    expected = functional.conv2d(x, masked, bias, padding=3)
    found = layer.vertical(x.transpose(2, 3)).transpose(2, 3) + layer.horizontal(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("output", "levels", "sizes"),
    [(Bernoulli(), 2, (1, 2, 3)), (Categorical(3), 3, (2, 1, 2)), (Bernoulli(), 2, (3, 2, 1))],
)
def test_probabilities_of_all_images_add_up_to_one(output, levels: int, sizes: tuple):
    net = small(sizes[0], output=output, classes=2).double()
    with torch.no_grad():
        net.head.raw.weight.mul_(5)  # far from uniform
    images = every_image(levels, *sizes)
    images = images if levels > 2 else images.double()
    nats = net.negative_log_likelihood(images, torch.ones(len(images), dtype=torch.int64))
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert nats.std() > 0.1


def test_mixtures_of_logistics_add_up_to_one_too():
    net = small(2, output=Logistics(2, levels=5)).double()
    images = every_image(5, 2, 1, 2) / 2 - 1
    nats = net.negative_log_likelihood(images.double())
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_a_net_that_knows_nothing_needs_the_bits_of_the_levels():
    """1 bit for each of two levels, 8 bits for 256; 2 x 6 x 5 values."""
    for output, images, bits in (
        ("bernoulli", torch.randint(2, (3, 2, 6, 5)).float(), 1),
        (Categorical(256), torch.randint(256, (3, 2, 6, 5)), 8),
    ):
        net = small(2, output=output)
        torch.nn.init.zeros_(net.head.raw.weight)
        torch.nn.init.zeros_(net.head.raw.bias)
        torch.testing.assert_close(net.bits_per_dimension(images), torch.full((3,), float(bits)))
        assert net.loss(images).item() == pytest.approx(60 * bits * math.log(2), rel=1e-5)


def test_learns_colors_that_agree():
    """Coins of two equal colors: log 2 a pixel, where colors apart cannot get below 2 log 2."""
    net = PixelCNN(2, 6, 1, first_kernel_size=3)
    images = torch.randint(2, (32, 1, 4, 4)).float().expand(-1, 2, -1, -1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = net.loss(images)
        loss.backward()
        optimizer.step()
    assert loss.item() / 16 == pytest.approx(math.log(2), abs=0.1)


def test_signal_of_a_deep_vertical_stack_stays():
    """PyTorch's own weights leave less than a thousandth of it after 12 layers."""
    v = torch.randn(2, 1, 12, 12)
    with torch.no_grad():
        for layer in PixelCNN(1, 32, 12).stacks:
            v, told, _ = layer.look_up(v, None, Context())
            assert layer.down is None or 0.05 < v.std() < 1
            assert 0.05 < told.std() < 2


def test_a_shortcut_carries_on_what_a_layer_adds_nothing_to():
    """Not past the first layer, whose input has the present in it."""
    first, second, _ = PixelCNN(4, 4, 3, first_kernel_size=3).stacks
    h, told = torch.randn(2, 4, 5, 5), torch.randn(2, 8, 5, 5)
    for layer, expected in ((first, torch.zeros_like(h)), (second, h)):
        torch.nn.init.zeros_(layer.residual.weight)
        torch.nn.init.zeros_(layer.residual.bias)
        assert torch.equal(layer.look_left(h, told, None, Context())[0], expected)


def test_values_of_every_kind_are_scaled_to_lie_from_minus_one_to_one():
    ends = torch.tensor([-1.0, 1.0])
    assert torch.equal(small().scaled(torch.tensor([0.0, 1.0])), ends)
    assert torch.equal(small(output=Categorical(256)).scaled(torch.tensor([0, 255])), ends)
    assert torch.equal(small(output=Logistics(2, levels=256)).scaled(ends), ends)


def test_a_class_is_its_one_hot_vector_and_matters():
    net = small(classes=3, modulation=FiLM)
    images, classes = torch.randint(2, (4, 1, 5, 5)).float(), torch.tensor([0, 2, 1, 0])
    raw = net(images, condition=classes)
    assert torch.equal(raw, net(images, condition=torch.eye(3)[classes]))
    changed = net(images, condition=torch.tensor([0, 2, 1, 1]))
    assert torch.equal(raw[:3], changed[:3])
    assert (raw[3] != changed[3]).all()


def test_every_weight_is_used():
    """Data parallel training refuses others."""
    net = small(2, layers=3, classes=2)
    net.loss(torch.randint(2, (2, 2, 4, 4)).float(), torch.tensor([0, 1])).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_saved_and_loaded(tmp_path):
    net = small(3, output=Categorical(4), classes=2, modulation=FiLM, dropout=0.1).eval()
    save_pretrained(net, tmp_path)
    loaded = from_pretrained(tmp_path)
    images, classes = torch.randint(4, (2, 3, 5, 4)), torch.tensor([1, 0])
    assert isinstance(loaded, PixelCNN)
    assert torch.equal(loaded.loss(images, classes), net.loss(images, classes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size: 4 is not odd and at least 3; .* give 5"),
        ({"first_kernel_size": 1}, "first_kernel_size: 1 is not odd and at least 3; .* give 3"),
        ({"classes": 0}, "classes: 0 must be at least 1"),
        ({"dropout": 1.0}, r"dropout: 1.0 is not in \[0, 1\)"),
        ({"layers": 0}, "layers: 0 must be at least 1"),
        (
            {"output": "logistics"},
            r"output: .logistics. means levels=65536, .*Logistics\(levels=256\)",
        ),
        ({"output": MuLaw()}, "output: .mu_law. is not one for the values of images"),
        ({"output": "normal"}, "output: 'normal' is not one for the values of images; .*Logistics"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PixelCNN(1, 4, **{"layers": 2, **arguments})


BINARY = torch.zeros(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("output", "images", "error", "message"),
    [
        ("bernoulli", BINARY[:, :1], ValueError, r"shape \(2, 1, 4, 5\); .*gray: .*interleave\(3"),
        ("bernoulli", BINARY.movedim(1, -1), ValueError, r"last: use images.movedim\(-1, 1\)"),
        ("bernoulli", BINARY[0], ValueError, r"an axis is missing: images.unsqueeze\(0\)"),
        ("bernoulli", BINARY + 0.5, ValueError, "120 values such as 0.5, .* is for 0 and 1; use"),
        ("bernoulli", BINARY.long(), TypeError, r"torch.int64, .* 0 and 1; use images.float\(\)"),
        (Categorical(4), BINARY, TypeError, r"float32, .* integers from 0 to 3; use \(images \* 3"),
        (Categorical(4), BINARY.long() + 4, ValueError, r"such as 4, .* 0 to 3; .*Categorical\(5"),
        (Categorical(4), BINARY.long() - 1, ValueError, "such as -1, .* count levels from 0 on"),
        (Logistics(2, 256), BINARY + 255, ValueError, "such as 255, .*; use images / 127.5 - 1"),
        (Logistics(2, 256), BINARY.byte(), TypeError, "uint8, .*; use images / 127.5 - 1"),
        (Logistics(2, 256), BINARY * math.nan, ValueError, "such as nan, .* from -1 to 1"),
    ],
)
def test_wrong_images_are_refused(output, images: Tensor, error: type, message: str):
    with pytest.raises(error, match=f"^images: .*{message}"):
        small(3, output=output).loss(images)


@pytest.mark.parametrize(
    ("classes", "condition", "message"),
    [
        (None, torch.tensor([0, 1]), r"shape \(2,\) for a net without classes; leave it out"),
        (3, None, r"None for a net of 3 classes; pass \(2,\) integers from 0 to 2"),
        (3, torch.tensor([0, 3]), "class 3 for a net of 3 classes; pass .* from 0 to 2"),
        (3, torch.tensor([-1, 2]), "class -1 for a net of 3 classes"),
        (3, torch.tensor([0]), r"torch.int64 of shape \(1,\) for a net of 3 classes; pass \(2,\)"),
        (3, torch.zeros(2, 4), r"torch.float32 of shape \(2, 4\) for a net of 3 classes; pass"),
        (
            3,
            torch.zeros(2, 3, 4, 5),
            r"shape \(2, 3, 4, 5\) for images of \(5, 4\); give .*\(2, 3, 5, 4\)",
        ),
    ],
)
def test_wrong_classes_are_refused(classes: int | None, condition: Tensor | None, message: str):
    with pytest.raises(ValueError, match=f"^condition: {message}"):
        small(classes=classes).loss(torch.zeros(2, 1, 5, 4), condition)


def test_classes_that_are_no_tensor_and_modulations_that_are_no_builder_are_refused():
    with pytest.raises(TypeError, match=r"^condition: list is not a tensor; use torch.as_tensor"):
        small(classes=3).loss(torch.zeros(2, 1, 5, 4), [0, 1])
    with pytest.raises(TypeError, match=r"^modulation: 'film' is not a builder; give a class"):
        small(classes=3, modulation="film")


def test_no_images_have_no_bits_and_no_pixels_are_refused():
    assert small().bits_per_dimension(torch.zeros(0, 1, 5, 4)).shape == (0,)
    with pytest.raises(ValueError, match=r"x: shape \(2, 1, 0, 4\) has no pixels; give at least"):
        small()(torch.zeros(2, 1, 0, 4))


def test_bytes_are_compared_with_numbers_beyond_a_byte():
    """300 as a byte is 44: level and class 200 would look like too many."""
    levels = BINARY.byte() + 200
    net = small(3, output=Categorical(300))
    assert torch.equal(net.loss(levels), net.loss(levels.long()))
    classes = torch.tensor([200, 0], dtype=torch.uint8)
    net = small(classes=300)
    images = torch.zeros(2, 1, 5, 4)
    assert torch.equal(net.loss(images, classes), net.loss(images, classes.long()))
