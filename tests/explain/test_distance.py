"""Perceptual distance: by hand, against torchmetrics, and in the order that people see."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tcn.explain import PerceptualDistance, just_noticeable, lpips, two_alternative
from tcn.models import TCN

LITE0_LAYERS = ["bn1", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]


def through(*, weights: list[Tensor] | None = None) -> PerceptualDistance:
    """The distance in what comes in."""
    return PerceptualDistance(nn.Sequential(nn.Identity()), ["0"], weights=weights)


def random_net(ndim: int) -> nn.Module:
    convolution = {1: nn.Conv1d, 2: nn.Conv2d}[ndim]
    return nn.Sequential(convolution(2, 4, 3), nn.ReLU(), convolution(4, 5, 3, stride=2), nn.ReLU())


def test_numbers_computed_by_hand() -> None:
    # (3, 4) and (8, 6) point to (.6, .8) and (.8, .6): .2^2 per channel. The second position agrees
    # up to its length, so the mean over the two is half of it.
    x = torch.tensor([[[3.0, 1.0], [4.0, 0.0]]])
    y = torch.tensor([[[8.0, 7.0], [6.0, 0.0]]])
    assert float(through()(x, y)) == pytest.approx((0.04 + 0.04) / 2, abs=1e-6)
    weighted = through(weights=[torch.tensor([3.0, 0.5])])
    assert float(weighted(x, y)) == pytest.approx((3 * 0.04 + 0.5 * 0.04) / 2, abs=1e-6)
    assert float(through()(x[..., 0], y[..., 0])) == pytest.approx(0.08, abs=1e-6)


def test_layers_add_up() -> None:
    x, y = torch.randn(2, 3, 2, 9, 8)
    distance = PerceptualDistance(random_net(2), ["1", "3"])
    parts = distance.by_layer(x, y)
    assert list(parts) == ["1", "3"]
    torch.testing.assert_close(parts["1"] + parts["3"], distance(x, y))
    alone = PerceptualDistance(distance.net, ["3"])
    torch.testing.assert_close(alone(x, y), parts["3"])


@settings(max_examples=20)
@given(st.integers(1, 3), st.lists(st.integers(5, 20), min_size=1, max_size=2), st.booleans())
def test_a_distance_of_any_size(batch: int, sizes: list[int], learned: bool) -> None:
    weights = [torch.rand(4), torch.rand(5)] if learned else None
    distance = PerceptualDistance(random_net(len(sizes)), ["1", "3"], weights=weights)
    x, y = torch.randn(2, batch, 2, *sizes)
    with torch.no_grad():
        found = distance(x, y)
        assert found.shape == (batch,)
        assert (found > 0).all()
        assert torch.equal(found, distance(y, x))
        assert torch.equal(distance(x, x), torch.zeros(batch))


def test_the_net_is_left_as_it_was_and_gradients_reach_the_inputs() -> None:
    net = random_net(2).train()
    net[0].weight.requires_grad_(False)
    asked = [parameter.requires_grad for parameter in net.parameters()]
    distance = PerceptualDistance(net, ["1", "3"])
    x, y = torch.randn(2, 1, 2, 8, 8)
    x.requires_grad_()
    distance(x, y).sum().backward()
    assert x.grad.abs().sum() > 0
    assert net.training
    assert [parameter.requires_grad for parameter in net.parameters()] == asked
    assert all(parameter.grad is None for parameter in net.parameters())
    same = torch.zeros(1, 2, 8, 8, requires_grad=True)  # no direction: a gradient all the same
    through()(same, same.detach()).sum().backward()
    assert torch.isfinite(same.grad).all()


def theirs(net: str, small: PerceptualDistance) -> nn.Module:
    """torchmetrics' LPIPS with the trunk that ours has."""
    module = pytest.importorskip("torchmetrics.functional.image.lpips")
    made = module._LPIPS(pretrained=True, pnet_rand=True, net=net)
    convolutions = [part for part in made.net.modules() if isinstance(part, nn.Conv2d)]
    ours = [part for part in small.net.modules() if isinstance(part, nn.Conv2d)]
    with torch.no_grad():
        for there, here in zip(convolutions, ours, strict=True):
            there.weight.copy_(here.weight)
            there.bias.copy_(torch.randn(there.bias.shape) / 10)
            here.bias.copy_(there.bias)
    return made


@pytest.mark.parametrize(
    ("trunk", "net"),
    [("alexnet", "alex"), pytest.param("vgg16", "vgg", marks=pytest.mark.slow)],
)
def test_lpips_is_that_of_torchmetrics(trunk: str, net: str) -> None:
    distance = lpips(trunk, random_seed=1)
    their = theirs(net, distance)
    for sizes in [(64, 64), (32, 57), (71, 40)]:
        x, y = torch.rand(2, 2, 3, *sizes) * 2 - 1
        with torch.no_grad():
            expected = their(x, y).flatten()
            assert (expected > 1e-4).all()
            torch.testing.assert_close(distance(x, y), expected, rtol=1e-6, atol=1e-6)


def test_weights_of_a_trunk_are_read_from_files(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    state = {
        f"features.{name}": tensor
        for name, tensor in torchvision.models.alexnet(weights=None).features.state_dict().items()
    }
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, tmp_path / "alexnet.pth")
    save_file(state, tmp_path / "alexnet.safetensors")
    x, y = torch.rand(2, 1, 3, 40, 40) * 2 - 1
    expected = lpips(weights=state)(x, y)
    assert torch.equal(lpips(weights=tmp_path / "alexnet.pth")(x, y), expected)
    assert torch.equal(lpips(weights=str(tmp_path / "alexnet.safetensors"))(x, y), expected)
    assert not torch.equal(lpips(random_seed=0)(x, y), expected)
    with pytest.raises(ValueError, match=r"no tensor for .*features.0.weight"):
        lpips(weights={"conv1.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"these weights are of another net"):
        lpips(weights=state | {"features.3.weight": torch.zeros(1, 64, 5, 5)})


class Touch:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Touch(tmp_path / "ran")}, tmp_path / "evil.pth")
    (tmp_path / "empty.pth").touch()
    torch.save([1], tmp_path / "list.pth")
    for name in ("evil.pth", "empty.pth"):
        with pytest.raises(ValueError, match=rf"weights: .*{name} holds no tensors that are safe"):
            lpips(weights=tmp_path / name)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match=r"holds list; give a state dict"):
        lpips(weights=tmp_path / "list.pth")


def test_random_trunks_follow_from_the_seed_alone() -> None:
    x, y = torch.rand(2, 1, 3, 40, 40) * 2 - 1
    before = torch.get_rng_state()
    first, again, other = (lpips(random_seed=seed)(x, y) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def blurred(x: Tensor, size: int) -> Tensor:
    padded = F.pad(x, [size // 2] * 4, mode="reflect")
    return F.avg_pool2d(padded, size, stride=1)


def shifted(x: Tensor, pixels: int) -> Tensor:
    return x.roll(pixels, -1)


def noisy(x: Tensor, share: float) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + 2 * share * noise).clamp(-1, 1)


STRONGER = {
    "blur": [(blurred, size) for size in (3, 5, 9)],
    "noise": [(noisy, share) for share in (0.05, 0.1, 0.2)],
    "shift": [(shifted, pixels) for pixels in (1, 2, 4)],
}


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """Four photographs, ``(4, 3, 160, 160)`` in [-1, 1]."""
    data = pytest.importorskip("skimage.data")
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    squares = []
    for picture in pictures:
        x = torch.from_numpy(picture).movedim(-1, 0)[None] / 127.5 - 1
        side = min(x.shape[2:])
        top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
        square = x[:, :, top : top + side, left : left + side]
        squares.append(F.interpolate(square, (160, 160), mode="area"))
    return torch.cat(squares)


def check_order(distance: PerceptualDistance, photos: Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(distance(photos, photos), torch.zeros(len(photos)))
        others = distance(photos, photos.roll(1, 0))
        for name, changes in STRONGER.items():
            found = torch.stack([distance(photos, change(photos, by)) for change, by in changes])
            assert (found[0] > 0).all(), name
            assert (found.diff(dim=0) > 0).all(), f"{name}: {found}"
            assert (found[-1] < others).all(), name


def test_trained_features_put_changes_in_order(lite0: nn.Module, photos: Tensor) -> None:
    distance = PerceptualDistance(lite0, LITE0_LAYERS)
    check_order(distance, photos)
    with torch.no_grad():
        darker = distance(photos, (photos + 1) * 0.9 - 1)
        blurs = distance(photos, blurred(photos, 3))
    assert (darker < blurs / 2).all()  # as people, who hardly see it


def test_random_features_put_changes_in_order(photos: Tensor) -> None:
    check_order(lpips(random_seed=0), photos)


def test_sounds_are_put_in_order_by_a_net_over_time() -> None:
    time = torch.arange(2000) / 8000
    sound = sum(torch.sin(2 * math.pi * 220 * k * time) / k for k in range(1, 6))[None, None]
    noise = torch.randn(sound.shape)
    distance = PerceptualDistance(
        TCN(1, [8, 8, 8], kernel_size=3), ["levels.0", "levels.1", "levels.2"]
    )
    with torch.no_grad():
        found = torch.cat([distance(sound, sound + s * noise) for s in (0.0, 0.01, 0.1, 1.0)])
    assert float(found[0]) == 0
    assert (found.diff() > 0).all()


def by_squares(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().flatten(1).sum(1)


def test_agreement_with_people_by_hand() -> None:
    # The first is nearer, nearer, equal, farther: 1 - .2, 1 - .9, a half, .7.
    reference = torch.zeros(4, 1)
    first = torch.tensor([[1.0], [1.0], [2.0], [3.0]])
    second = torch.full((4, 1), 2.0)
    judged = torch.tensor([0.2, 0.9, 1.0, 0.7])
    for batch_size in (1, 3, 4):
        found = two_alternative(by_squares, reference, first, second, judged, batch_size=batch_size)
        assert found == pytest.approx((0.8 + 0.1 + 0.5 + 0.7) / 4)
    swapped = two_alternative(by_squares, reference, second, first, 1 - judged)
    assert swapped == pytest.approx(found)


def test_the_order_of_pairs_by_hand() -> None:
    # By distance all, a fifth, all and half of the people saw no difference: precision 1, 1.2 / 2,
    # 2.2 / 3, 2.7 / 4, and the second as high as the third, which is higher.
    x = torch.zeros(4, 1)
    y = torch.tensor([[4.0], [1.0], [3.0], [2.0]])
    same = torch.tensor([0.5, 1.0, 1.0, 0.2])
    expected = (1 * 1 + 0.2 * 2.2 / 3 + 1 * 2.2 / 3 + 0.5 * 2.7 / 4) / 2.7
    assert just_noticeable(by_squares, x, y, same, batch_size=3) == pytest.approx(expected)
    assert just_noticeable(by_squares, x, y, (y[:, 0] < 3).double()) == 1
    metrics = pytest.importorskip("sklearn.metrics")
    seen = torch.tensor([1.0, 1.0, 0.0, 0.0])  # the last two first: no precision is higher later
    y = torch.tensor([[2.0], [1.0], [3.0], [4.0]])
    expected = metrics.average_precision_score(seen, -y[:, 0])
    assert just_noticeable(by_squares, x, y, seen) == pytest.approx(expected)


def test_what_is_wrong_is_named() -> None:
    net = random_net(1)
    with pytest.raises(TypeError, match=r"layers: '1' is one name; give a list"):
        PerceptualDistance(net, "1")
    for layers in ([], ["1", "1"]):
        with pytest.raises(ValueError, match=r"layers: .*; name at least one, and each once"):
            PerceptualDistance(net, layers)
    with pytest.raises(ValueError, match=r"none named 'one'"):
        PerceptualDistance(net, ["one"])
    with pytest.raises(ValueError, match=r"weights: 2 for 1 layers"):
        PerceptualDistance(net, ["1"], weights=[torch.ones(4)] * 2)
    with pytest.raises(ValueError, match=r"weights: -1 for '1'"):
        PerceptualDistance(net, ["1"], weights=[torch.tensor([1.0, -1.0, 0.0, 0.0])])
    with pytest.raises(ValueError, match=r"weights: \(4, 1\) for '1'; give a tensor \(channels,\)"):
        PerceptualDistance(net, ["1"], weights=[torch.ones(4, 1)])
    wrong = PerceptualDistance(net, ["1"], weights=[torch.ones(3)])
    x = torch.randn(1, 2, 9)
    with pytest.raises(ValueError, match=r"weights: 3 for '1', which has 4 channels"):
        wrong(x, x)
    with pytest.raises(ValueError, match=r"y: shape \(1, 2, 8\), but x has \(1, 2, 9\)"):
        wrong(x, x[..., 1:])
    with pytest.raises(TypeError, match=r"x: list is not a tensor"):
        wrong([1.0], x)


def test_what_is_wrong_with_lpips_is_named() -> None:
    with pytest.raises(ValueError, match=r"trunk: 'resnet' is not one of 'alexnet', 'vgg16'"):
        lpips("resnet", random_seed=0)
    with pytest.raises(ValueError, match=r"weights: none; give the file of torchvision's alexnet"):
        lpips()
    with pytest.raises(ValueError, match=r"weights: beside random_seed"):
        lpips(weights={}, random_seed=0)
    with pytest.raises(ValueError, match=r"linear_weights: no tensor 'lin0.model.1.weight'"):
        lpips(random_seed=0, linear_weights={"a": torch.zeros(1)})
    distance = lpips(random_seed=0)
    image = torch.rand(1, 3, 40, 40)
    with pytest.raises(ValueError, match=r"values from .* to 2\S*; give images in \[-1, 1\]"):
        distance(image * 2 / image.max(), image)
    with pytest.raises(ValueError, match=r"give images \(batch, 3, height, width\)"):
        distance(image[:, :1], image[:, :1])


def test_what_is_wrong_with_judgments_is_named() -> None:
    x = torch.zeros(2, 1)
    with pytest.raises(ValueError, match=r"judged: 1 for \[2, 2, 2\] inputs; give as many"):
        two_alternative(by_squares, x, x, x, torch.tensor([0.5]))
    with pytest.raises(ValueError, match=r"judged: 0.5 to 2 of shape \(2,\); give shares"):
        two_alternative(by_squares, x, x, x, torch.tensor([0.5, 2.0]))
    with pytest.raises(ValueError, match=r"same: no one saw any pair as the same"):
        just_noticeable(by_squares, x, x, torch.zeros(2))
    with pytest.raises(ValueError, match=r"batch_size: 0 must be at least 1"):
        just_noticeable(by_squares, x, x, torch.ones(2), batch_size=0)
