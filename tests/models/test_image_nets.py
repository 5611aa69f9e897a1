"""The nets for images: sizes as published, both ranks, streams, and what they refuse."""

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from tcn.inference import from_pretrained, save_pretrained
from tcn.layers import BasicBlock, Conv2d
from tcn.models import (
    VGG,
    AlexNet,
    AllConvolutional,
    DenseNet,
    GoogLeNet,
    LeNet5,
    ResNet,
    SequenceModel,
    ZFNet,
    densenet,
    resnet,
    small_densenet,
    small_resnet,
    vgg,
)
from tcn.models.lenet import CONNECTIONS
from tcn.testing import check_sequence_module

Build = Callable[[], nn.Module]

# Published counts: the papers', and torchvision 0.29 for the nets it has. Those of All-CNN-A and B
# and of ZFNet are sums over the papers' tables.
PUBLISHED: dict[str, tuple[Build, int, tuple[int, ...]]] = {
    "LeNet-5, 1998": (LeNet5, 60_000, (1, 32, 32)),
    "LeNet-5, modern": (partial(LeNet5, form="modern"), 61_706, (1, 32, 32)),
    "AlexNet, two towers": (AlexNet, 60_965_224, (3, 227, 227)),
    "AlexNet, ungrouped": (partial(AlexNet, form="ungrouped"), 62_378_344, (3, 227, 227)),
    "AlexNet, trick": (partial(AlexNet, form="one_weird_trick"), 61_100_840, (3, 224, 224)),
    "ZFNet": (ZFNet, 62_357_608, (3, 224, 224)),
    "VGG-11": (partial(vgg, 11), 132_863_336, (3, 224, 224)),
    "VGG-13": (partial(vgg, 13), 133_047_848, (3, 224, 224)),
    "VGG-16": (partial(vgg, 16), 138_357_544, (3, 224, 224)),
    "VGG-19": (partial(vgg, 19), 143_667_240, (3, 224, 224)),
    "VGG-11-BN": (partial(vgg, 11, norm="batch"), 132_868_840, (3, 224, 224)),
    "VGG-13-BN": (partial(vgg, 13, norm="batch"), 133_053_736, (3, 224, 224)),
    "VGG-16-BN": (partial(vgg, 16, norm="batch"), 138_365_992, (3, 224, 224)),
    "VGG-19-BN": (partial(vgg, 19, norm="batch"), 143_678_248, (3, 224, 224)),
    "All-CNN-A": (partial(AllConvolutional, form="A"), 1_254_250, (3, 32, 32)),
    "All-CNN-B": (partial(AllConvolutional, form="B"), 1_300_618, (3, 32, 32)),
    "All-CNN-C": (AllConvolutional, 1_369_738, (3, 32, 32)),
    "GoogLeNet": (partial(GoogLeNet, 3, 1000), 13_378_280, (3, 224, 224)),
    "GoogLeNet, no heads": (
        partial(GoogLeNet, 3, 1000, auxiliary=False), 6_998_552, (3, 224, 224),
    ),
    "GoogLeNet, torchvision": (
        partial(GoogLeNet, 3, 1000, form="torchvision"), 13_004_888, (3, 224, 224),
    ),
    "GoogLeNet, torchvision, no heads": (
        partial(GoogLeNet, 3, 1000, form="torchvision", auxiliary=False), 6_624_904, (3, 224, 224),
    ),
    "ResNet-18": (partial(resnet, 18), 11_689_512, (3, 224, 224)),
    "ResNet-34": (partial(resnet, 34), 21_797_672, (3, 224, 224)),
    "ResNet-50": (partial(resnet, 50), 25_557_032, (3, 224, 224)),
    "ResNet-101": (partial(resnet, 101), 44_549_160, (3, 224, 224)),
    "ResNet-152": (partial(resnet, 152), 60_192_808, (3, 224, 224)),
    "ResNet-20": (partial(small_resnet, 20), 269_722, (3, 32, 32)),
    "ResNet-32": (partial(small_resnet, 32), 464_154, (3, 32, 32)),
    "ResNet-44": (partial(small_resnet, 44), 658_586, (3, 32, 32)),
    "ResNet-56": (partial(small_resnet, 56), 853_018, (3, 32, 32)),
    "ResNet-110": (partial(small_resnet, 110), 1_727_962, (3, 32, 32)),
    "DenseNet-121": (partial(densenet, 121), 7_978_856, (3, 224, 224)),
    "DenseNet-169": (partial(densenet, 169), 14_149_480, (3, 224, 224)),
    "DenseNet-201": (partial(densenet, 201), 20_013_928, (3, 224, 224)),
    "DenseNet-161": (partial(densenet, 161), 28_681_000, (3, 224, 224)),
    "DenseNet L40 k12": (partial(small_densenet, 40, 12, compact=False), 1_019_722, (3, 32, 32)),
    "DenseNet L100 k12": (partial(small_densenet, 100, 12, compact=False), 6_979_642, (3, 32, 32)),
    "DenseNet-BC L100 k12": (partial(small_densenet, 100, 12), 769_162, (3, 32, 32)),
    "DenseNet-BC L250 k24": (partial(small_densenet, 250, 24), 15_324_406, (3, 32, 32)),
    "DenseNet-BC L190 k40": (partial(small_densenet, 190, 40), 25_624_430, (3, 32, 32)),
}  # fmt: skip
QUICK = (
    "LeNet-5, 1998", "LeNet-5, modern", "AlexNet, two towers", "All-CNN-C", "GoogLeNet",
    "ResNet-18", "ResNet-20", "DenseNet-121", "DenseNet L40 k12",
)  # fmt: skip


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name: str) -> None:
    build, expected, _ = PUBLISHED[name]
    with torch.device("meta"):
        assert count(build()) == expected


def forward_and_backward(name: str) -> None:
    build, _, shape = PUBLISHED[name]
    torch.manual_seed(0)
    net = build()
    logits = net(torch.randn(2, *shape))
    assert logits.shape == (2, 10 if shape[-1] == 32 else 1000)
    assert logits.isfinite().all()
    logits.square().mean().backward()
    beside = {name for name, _ in net.named_parameters() if name.startswith("auxiliary")}
    idle = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == beside


@pytest.mark.parametrize("name", QUICK)
def test_forward_and_backward_on_the_own_size(name: str) -> None:
    forward_and_backward(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() - set(QUICK)))
def test_forward_and_backward_of_the_others(name: str) -> None:
    forward_and_backward(name)


# -------------------------------------------------------------------------------------- over time

CAUSAL: dict[str, Build] = {
    "ResNet": partial(ResNet, 2, 3, (1, 1), channels=4, ndim=1, causal=True),
    "ResNet, bottleneck": partial(
        ResNet, 2, 3, (1, 1), channels=2, block="bottleneck", ndim=1, causal=True
    ),
    "ResNet, small": partial(
        ResNet, 2, 3, (1, 2), channels=4, stem="small", ndim=1, causal=True,
        block=partial(BasicBlock, shortcut="zeros"),
    ),
    "ResNet, features": partial(ResNet, 2, None, (1, 1), channels=4, ndim=1, causal=True),
    "DenseNet": partial(DenseNet, 2, 3, (1, 2), growth=2, ndim=1, causal=True),
    "DenseNet, not compact": partial(
        DenseNet, 2, 3, (2, 1), growth=2, stem="small", compact=False, ndim=1, causal=True
    ),
    "DenseNet, features": partial(DenseNet, 2, None, (1, 1), growth=2, ndim=1, causal=True),
    "All-CNN": partial(AllConvolutional, 2, 3, ndim=1, causal=True),
}  # fmt: skip
OVER_TIME: dict[str, tuple[Build, int]] = {
    "LeNet-5, 1998": (partial(LeNet5, 2, input_size=52, ndim=1), 52),
    "LeNet-5, modern": (partial(LeNet5, 2, 3, form="modern", input_size=52, ndim=1), 52),
    "VGG": (partial(VGG, 2, 3, (1, 2), widths=(3, 4), width=5, input_size=24, ndim=1), 24),
    "ResNet": (partial(ResNet, 2, 3, (1, 1), channels=4, ndim=1), 24),
    "DenseNet": (partial(DenseNet, 2, 3, (1, 1), growth=2, ndim=1), 32),
    "All-CNN": (partial(AllConvolutional, 2, 3, ndim=1), 32),
}


def example(steps: int) -> torch.Tensor:
    return torch.randn(3, 2, steps, generator=torch.Generator().manual_seed(0))


def check(build: Build, steps: int, **keywords) -> None:
    torch.manual_seed(0)
    net = build().eval()
    keywords = {"compile_backend": None, "export": False, **keywords}
    check_sequence_module(net, example(steps), **keywords)


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_nets_stream(name: str) -> None:
    assert CAUSAL[name]().eval().streams
    check(CAUSAL[name], 24)


@pytest.mark.parametrize("name", OVER_TIME)
def test_nets_over_time(name: str) -> None:
    check(*OVER_TIME[name])


@pytest.mark.parametrize("name", ["ResNet", "DenseNet, features", "All-CNN"])
def test_nets_over_time_compile_and_export(name: str) -> None:
    check(CAUSAL[name], 24, compile_backend="aot_eager", export=True, dtypes=[])


@pytest.mark.slow
@pytest.mark.parametrize(("form", "causal"), [("paper", True), ("torchvision", False)])
def test_inception_over_time(form: str, causal: bool) -> None:
    build = partial(GoogLeNet, 2, 3, form=form, ndim=1, causal=causal)
    assert build().eval().streams == causal
    check(build, 75, dtypes=[torch.float64])


@pytest.mark.slow
@pytest.mark.parametrize(("build", "causal"), [
    (partial(resnet, 18, 2, 3), True), (partial(resnet, 50, 2, 3), False),
    (partial(densenet, 121, 2, 3), True),
    (partial(small_densenet, 40, 12, 2, 3, compact=False), False),
], ids=["ResNet-18", "ResNet-50", "DenseNet-121", "DenseNet L40 k12"])  # fmt: skip
def test_published_nets_over_time(build: Build, causal: bool) -> None:
    check(partial(build, ndim=1, causal=causal), 75, dtypes=[torch.float64])


@pytest.mark.slow
@pytest.mark.parametrize("build", [
    partial(vgg, 11, 2, 3, ndim=1, input_size=64), partial(AlexNet, 2, 3, ndim=1, input_size=99),
    partial(ZFNet, 2, 3, ndim=1, input_size=99),
], ids=["VGG-11", "AlexNet", "ZFNet"])  # fmt: skip
def test_nets_with_dense_heads_over_time(build: partial) -> None:
    check(build, build.keywords["input_size"], dtypes=[torch.float64])


def test_a_spectrogram_streams_along_time() -> None:
    torch.manual_seed(0)
    net = ResNet(1, 3, (1, 1), channels=4, causal=(False, True)).eval()
    x = torch.randn(2, 1, 16, 24)
    check_sequence_module(net, x, compile_backend=None, export=False)


def test_features_are_a_backbone() -> None:
    net = SequenceModel(ResNet(3, None, (1, 1), channels=4), 5, readout="mean")
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 5)


# ------------------------------------------------------------------------------- parts of the nets


def test_the_third_layer_of_lenet_sees_what_the_table_says() -> None:
    net = LeNet5()
    assert count(net.C3) == 1_516  # 60 kernels of 25, 16 biases (section II.B)
    # Table I: every map of S2 is seen by ten, and no two maps of C3 see the same.
    assert [sum(seen in maps for maps in CONNECTIONS) for seen in range(6)] == [10] * 6
    assert len(set(CONNECTIONS)) == 16
    for index, maps in enumerate(CONNECTIONS):
        x = torch.randn(1, 6, 5, 5, requires_grad=True)
        net.C3(x)[0, index].sum().backward()
        assert x.grad is not None
        assert tuple(x.grad.flatten(2).any(2)[0].nonzero().flatten().tolist()) == maps


def test_the_counts_of_lenet_by_layer() -> None:
    # LeCun et al. 1998, section II.B.
    counts = [count(getattr(LeNet5(), name)) for name in ("C1", "S2", "C3", "S4", "C5", "F6")]
    assert counts == [156, 12, 1_516, 32, 48_120, 10_164]


def test_lenet_answers_with_distances_from_drawings() -> None:
    output = LeNet5().output
    assert output.codes.shape == (10, 84)
    assert set(output.codes.unique().tolist()) == {-1, 1}
    nearest = output(output.codes)
    assert torch.equal(nearest.argmax(1), torch.arange(10))
    assert torch.equal(nearest.diagonal(), torch.zeros(10))
    # One point that differs costs (1 - -1)^2.
    one_off = output.codes[:1].clone()
    one_off[0, 0] *= -1
    assert output(one_off)[0, 0] == -4


def test_towers_do_not_see_each_other() -> None:
    features = AlexNet(3, 10, input_size=67).features
    x = torch.randn(1, 384, 5, 5, requires_grad=True)
    features[3](x)[:, :192].sum().backward()
    assert x.grad is not None
    assert x.grad[:, :192].any()
    assert not x.grad[:, 192:].any()


def test_auxiliary_heads_count_three_tenths() -> None:
    torch.manual_seed(0)
    net = GoogLeNet(3, 10, input_size=96, dropout=0, auxiliary_dropout=0)
    x, target = torch.randn(2, 3, 96, 96), torch.tensor([1, 7])
    loss = nn.functional.cross_entropy
    main, first, second = net.training_heads(x).unbind(1)
    torch.testing.assert_close(main, net(x))
    expected = loss(main, target) + 0.3 * loss(first, target) + 0.3 * loss(second, target)
    torch.testing.assert_close(net.training_loss(x, target), expected)
    alone = GoogLeNet(3, 10, auxiliary=False, dropout=0)
    torch.testing.assert_close(alone.training_loss(x, target), loss(alone(x), target))


def test_all_convolutional_averages_six_by_six() -> None:
    shapes = []
    net = AllConvolutional()
    net.classes.register_forward_hook(lambda module, given, y: shapes.append(y.shape))
    net(torch.randn(1, 3, 32, 32))
    assert shapes == [(1, 10, 6, 6)]


@pytest.mark.parametrize("name", ["LeNet-5, 1998", "ResNet-20", "DenseNet L40 k12", "All-CNN-C"])
def test_nets_are_saved(name: str, tmp_path) -> None:
    build, _, shape = PUBLISHED[name]
    net, x = build().eval(), torch.randn(1, *shape)
    loaded = from_pretrained(save_pretrained(net, tmp_path / "net"))
    assert torch.equal(loaded(x), net(x))


# ---------------------------------------------------------------------------------------- refusals


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return ResNet(3, 10, (1, 1, 1, 1), channels=4).eval()


@pytest.mark.parametrize(("shape", "message"), [
    ((2, 1, 64, 64), r"shape \(2, 1, 64, 64\).*repeat the one channel \(gray\): x\.repeat_inter"),
    ((2, 64, 64, 3), r"shape \(2, 64, 64, 3\).*channels seem to be last: use x\.movedim\(-1, 1\)"),
    ((3, 64, 64), r"shape \(3, 64, 64\).*an axis is missing: x\.unsqueeze\(0\) for the batch"),
    ((2, 3, 31, 64), r"shape \(2, 3, 31, 64\), height 31; .* to at least 32"),
    ((2, 3, 64, 8), r"shape \(2, 3, 64, 8\), time 8; .* needs 32 of it: enlarge"),
])  # fmt: skip
def test_images_that_do_not_fit(net: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net(torch.randn(shape))


def test_bytes_are_refused(net: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"x: torch.uint8 for ResNet.*x.float\(\), and / 255"):
        net(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_color_where_gray_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"make one channel \(gray\) of these: x.mean\(1"):
        LeNet5()(torch.randn(1, 3, 32, 32))


def test_an_image_of_another_size_than_the_dense_layers() -> None:
    with pytest.raises(ValueError, match=r"x: \(6, 6\) steps reach Flatten, .*\(1, 1\); give"):
        LeNet5()(torch.randn(1, 1, 52, 52))


@pytest.mark.parametrize(("build", "message"), [
    (lambda: resnet(19), "depth: 19 is not one of 18, 34"),
    (lambda: small_resnet(21), r"depth: 21 is not 6 n \+ 2"),
    (lambda: densenet(122), "depth: 122 is not one of 121"),
    (lambda: small_densenet(41, 12), r"depth: 41 is not 6 n \+ 4"),
    (lambda: vgg(12), "depth: 12 is not one of 11"),
    (lambda: AlexNet(form="three"), "form: 'three' is not one of 'two_towers'"),
    (lambda: GoogLeNet(3, 10, form="v3"), "form: 'v3' is not one of 'paper'"),
    (lambda: AllConvolutional(form="D"), "form: 'D' is not one of 'A'"),
    (lambda: LeNet5(form="1989"), "form: '1989' is not one of '1998'"),
    (lambda: LeNet5(classes=26), "classes: 26 with form='1998'.*use form='modern'"),
    (lambda: LeNet5(input_size=20), r"input_size: \(20, 20\) is too small"),
    (lambda: ResNet(3, 10, (1,), stem="big"), "stem: 'big' is not one of 'image', 'small'"),
    (lambda: ResNet(3, 10, (1,), block="wide"), "block: 'wide' is not one of 'basic'"),
    (lambda: ResNet(3, 10, ()), r"blocks: \(\); give blocks per stage"),
    (lambda: DenseNet(3, 10, ()), r"blocks: \(\); give layers per block"),
    (lambda: VGG(3, 10, (1, 1), widths=(4,)), r"widths: \(4,\) for the 2 stages"),
    (lambda: VGG(3, 10, (1, 1), widths=4), r"widths: 4; give one per stage, such as \(64,"),
    (lambda: AlexNet(input_size=0), "input_size: 0 must be at least 1"),
    (lambda: GoogLeNet(3, 10, input_size=64), r"input_size: \(64, 64\) .* at least \(79, 79\)"),
    (lambda: LeNet5(ndim=3), "ndim: 3; sequences are 1"),
    (lambda: ResNet(3, 10, (1,), ndim="2"), "ndim: '2'; sequences are 1"),
    (lambda: BasicBlock(4, 4, ndim=True), "ndim: True; sequences are 1"),
    (lambda: BasicBlock(4, 4, shortcut="none"), "shortcut: 'none' is not one of 'projection'"),
])  # fmt: skip
def test_arguments_that_do_not_fit(build: Build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_arguments_of_another_type() -> None:
    with pytest.raises(TypeError, match="block: 3 is not a block; give one of 'basic', 'bottlen"):
        ResNet(3, 10, (1,), block=3)
    for build in (small_resnet, partial(small_densenet, growth=12)):
        with pytest.raises(TypeError, match="depth: '40' is not an integer"):
            build("40")
    with pytest.raises(TypeError, match=r"x: list for ResNet, .*; use torch.as_tensor\(x\)"):
        resnet(18)([[1.0]])


SIZED: dict[str, Build] = {
    "all convolutional": AllConvolutional,
    "all convolutional, A": partial(AllConvolutional, form="A"),
    "LeNet-5": partial(LeNet5, 3),
    "GoogLeNet": partial(GoogLeNet, 3, 10, auxiliary=False),
    "VGG": partial(VGG, 3, 10, (1, 1), widths=(4, 4), width=8, input_size=17),
    "ResNet": partial(ResNet, 3, 10, (1, 1, 1), channels=4),
    "DenseNet": partial(DenseNet, 3, 10, (1, 1), growth=4),
}


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("ndim", [1, 2])
def test_the_size_that_is_asked_for_is_enough_and_needed(name: str, ndim: int) -> None:
    """The cure works; one step less is too small. A sequence before dense layers may be shorter."""
    net = SIZED[name](ndim=ndim).eval()
    with pytest.raises(ValueError, match=r"to at least \d+$") as caught:
        net(torch.randn(1, 3, *[1] * ndim))
    least = int(str(caught.value).split()[-1])
    assert net(torch.randn(1, 3, *[least] * ndim)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"to at least {least}$"):
        net(torch.randn(1, 3, *[least - 1] * ndim))


@pytest.mark.parametrize("build", [LeNet5, ZFNet, AlexNet, partial(GoogLeNet, 3, 10)])
@pytest.mark.parametrize("ndim", [1, 2])
def test_the_size_to_build_for_that_is_asked_for_is_enough(build: Build, ndim: int) -> None:
    with pytest.raises(ValueError, match=r"input_size: .* give at least \(\d+") as caught:
        build(input_size=3, ndim=ndim)
    least = re.findall(r"\d+", str(caught.value))[-1]
    build(input_size=int(least), ndim=ndim)
    with pytest.raises(ValueError, match="is too small"):
        build(input_size=int(least) - 1, ndim=ndim)


def test_layers_alone_refuse_gray_images() -> None:
    with pytest.raises(ValueError, match=r"repeat the one channel \(gray\)"):
        Conv2d(3, 4, 1)(torch.randn(1, 1, 4, 4))
