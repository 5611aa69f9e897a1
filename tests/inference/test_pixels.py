"""Both engines, pixel after pixel, give what the whole net gives of the whole image."""

import gc
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import generate_images
from tcn.inference.pixels import NativePixels, TorchPixels, part_of, pixels_of
from tcn.layers import AddCondition, Chain, CumulativeNorm, FiLM, Gate
from tcn.models import PixelCNN
from tcn.native import library
from tcn.outputs import Categorical, Logistics, Output
from tests.inference.test_images import slowly
from tests.native.test_stream_limits import resident

needs_library = pytest.mark.skipif(library() is None, reason="the native library is not built")
ENGINES = [pytest.param(True, marks=needs_library), False]
OUTPUTS = {"bernoulli": "bernoulli", "bytes": Categorical(256), "mixture": Logistics(levels=256)}


def images_for(net: PixelCNN, *shape: int) -> Tensor:
    if net.output.support == "unit":
        return torch.rand(*shape) * 2 - 1
    levels = getattr(net.output, "classes", 2)
    drawn = torch.randint(levels, shape)
    return drawn if net.output.support == "class" else drawn.float()


@torch.no_grad()
def one_by_one(net: PixelCNN, images: Tensor, condition: Tensor | None, native: bool) -> Tensor:
    """Raw numbers of given images, as they are computed while images are drawn."""
    pixels, context = pixels_of(net, len(images), native), net.context_of(condition, images)
    assert isinstance(pixels, NativePixels if native else TorchPixels)
    x, states = net.scaled(images), [None] * len(net.stacks)
    raw = torch.zeros(len(x), net.output.size, *x.shape[1:])
    for row in range(x.shape[2]):
        at = part_of(context, slice(row, row + 1))
        told, states = net.stacks.rows(torch.zeros_like(x[:, :, :1]), states, at)
        pixels.begin(told, at)
        before = torch.zeros_like(x[:, :, 0, 0])
        for column in range(x.shape[3]):
            pixels.advance(before)
            before = x[:, :, row, column]
            for color in range(x.shape[1]):
                raw[:, :, color, row, column] = pixels.raw(color, before[:, :color])
        states[0] = net.stacks.with_row(x[:, :, row : row + 1], states[0])
    return raw


@pytest.mark.parametrize("native", ENGINES)
@given(
    features=st.integers(1, 35), layers=st.integers(1, 3), count=st.integers(1, 19),
    height=st.integers(1, 4), width=st.integers(1, 5), colors=st.integers(1, 3),
    output=st.sampled_from(sorted(OUTPUTS)), kernel_sizes=st.sampled_from([(3, 3), (5, 7)]),
    modulation=st.sampled_from([None, AddCondition, FiLM]), of_each_pixel=st.booleans(),
)  # fmt: skip
def test_raw_numbers_are_those_of_the_whole_net(
    native: bool, features: int, layers: int, count: int, height: int, width: int, colors: int,
    output: str, kernel_sizes: tuple[int, int], modulation: Callable[..., nn.Module] | None,
    of_each_pixel: bool,
):  # fmt: skip
    net = PixelCNN(
        colors, features, layers, output=OUTPUTS[output], kernel_size=kernel_sizes[0],
        first_kernel_size=kernel_sizes[1], classes=3 if modulation else None,
        modulation=modulation or AddCondition,
    ).eval()  # fmt: skip
    images, condition = images_for(net, count, colors, height, width), None
    if modulation:
        condition = torch.randn(count, 3, *((height, width) if of_each_pixel else ()))
    with torch.no_grad():
        expected = net.per_value(net(images, condition=condition))
    found = one_by_one(net, images, condition, native)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("native", ENGINES)
@pytest.mark.parametrize(
    ("output", "colors", "modulation", "rows"),
    [
        ("bernoulli", 1, None, 0),
        ("bernoulli", 1, None, 2),
        ("bernoulli", 1, AddCondition, 0),
        (Categorical(7), 3, FiLM, 1),
        (Logistics(levels=256), 2, FiLM, 0),
    ],
)
def test_images_of_float32_equal_to_computing_the_whole_image_for_every_value(
    native: bool, output: str | Output, colors: int, modulation: type | None, rows: int
):
    classes = None if modulation is None else 3
    settings = {"output": output, "classes": classes, "modulation": modulation or AddCondition}
    net = PixelCNN(colors, 17, 3, **settings).eval()
    with torch.no_grad():
        net.head.raw.weight.mul_(4)  # less uniform, so that context matters
    condition = None if modulation is None else torch.tensor([0, 2])
    upper = images_for(net, 2, colors, rows, 5)
    images = generate_images(
        net, 2, (4, 5), condition=condition, given=upper, seed=3, native=native
    )
    assert images.dtype == upper.dtype
    assert torch.equal(images, slowly(net, images, rows, 3, condition))


def small(**settings) -> PixelCNN:
    return PixelCNN(1, 5, 2, first_kernel_size=3, **settings).eval()


@needs_library
def test_weights_are_those_of_the_moment():
    net = small()
    generate_images(net, 2, 4, seed=0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    images = generate_images(net, 2, 4, seed=0, native=True)
    assert torch.equal(images, slowly(net, images, 0, 0, None))


@needs_library
def test_memory_does_not_grow():
    net = PixelCNN(1, 128, 2).eval()  # half a megabyte of packed weights each time
    for _ in range(3):
        generate_images(net, 2, 2, seed=0, native=True)
    before = resident()
    for _ in range(40):
        generate_images(net, 2, 2, seed=0, native=True)
    gc.collect()
    assert resident() - before < 5 << 20


def twice_conditioned() -> PixelCNN:
    """Its condition has as many channels as what the native program is told of two layers."""
    net = small(classes=2 * 10)
    first = next(iter(net.stacks))
    first.across = Chain(a=AddCondition(10, 20), b=AddCondition(10, 20), gate=Gate())
    return net.eval()


def with_gate(module: nn.Module) -> PixelCNN:
    net = small()
    next(iter(net.stacks)).across = Chain(module=module, gate=Gate())
    return net.eval()


def hooked() -> PixelCNN:
    net = small()
    net.head.raw.register_forward_hook(lambda module, args, output: None)
    return net


DECLINED: dict[str, Callable[[], PixelCNN]] = {
    "float64": lambda: small().double(),
    "a hook": hooked,
    "an unknown module": lambda: with_gate(nn.Softplus()),
    "a memory": lambda: with_gate(CumulativeNorm(10)),
    "a second condition": twice_conditioned,
}


@pytest.mark.parametrize("what", DECLINED)
def test_what_has_no_native_form_is_drawn_by_pytorch(what: str):
    net = DECLINED[what]()
    condition = None if net.classes is None else torch.tensor([1, 2])
    images = generate_images(net, 2, 4, seed=0, condition=condition)
    if what != "a memory":  # of the pixels before it, where the whole image has those around it
        assert torch.equal(images, slowly(net, images, 0, 0, condition))
    with pytest.raises(ValueError, match="native: True, but PixelCNN cannot run natively"):
        generate_images(net, 2, 4, seed=0, condition=condition, native=True)


@needs_library
def test_under_autocast_it_is_not_native():
    net = small()
    generate_images(net, 2, 4, seed=0, native=True)
    with torch.autocast("cpu"), pytest.raises(ValueError, match="native: True"):
        generate_images(net, 2, 4, seed=0, native=True)


def test_native_is_a_switch():
    with pytest.raises(TypeError, match="native: 1 "):
        generate_images(small(), 2, 4, native=1)
