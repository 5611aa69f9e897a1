"""Weights of torchvision's nets, loaded into ours: the same outputs and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tcn.models import VGG, AlexNet, DenseNet, GoogLeNet, ResNet

theirs = pytest.importorskip("torchvision.models")

QUICK: dict[str, tuple[type, dict]] = {
    "resnet18": (ResNet, {}),
    "resnet50": (ResNet, {}),
    "googlenet": (GoogLeNet, {"init_weights": False, "dropout": 0.0, "dropout_aux": 0.0}),
    "densenet121": (DenseNet, {}),
    "alexnet": (AlexNet, {"dropout": 0.0}),
}
SLOW: dict[str, tuple[type, dict]] = {
    "vgg16": (VGG, {"dropout": 0.0}),
    "vgg16_bn": (VGG, {"dropout": 0.0}),
    "vgg11": (VGG, {"dropout": 0.0}),
    "vgg13_bn": (VGG, {"dropout": 0.0}),
    "vgg19": (VGG, {"dropout": 0.0}),
    "resnet34": (ResNet, {}),
    "resnet101": (ResNet, {}),
    "densenet161": (DenseNet, {}),
}


def both(name: str) -> tuple[nn.Module, nn.Module]:
    """Torchvision's net with random weights and running averages, and ours with the same."""
    cls, options = {**QUICK, **SLOW}[name]
    torch.manual_seed(0)
    their = getattr(theirs, name)(weights=None, **options)
    with torch.no_grad():
        for module in their.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return their, cls.from_torchvision(their.state_dict())


def close(ours: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Within a tolerance of the largest number, or of 1 where that is smaller."""
    scale = max(1.0, float(expected.abs().max()))
    assert float((ours - expected).abs().max()) <= tolerance * scale, what


def images() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def outputs_agree(name: str) -> None:
    their, our = both(name)
    with torch.no_grad():
        expected = their.eval()(images())
        assert expected.std() > 1e-4
        close(our.eval()(images()), expected, 1e-5, name)


def heads(net: nn.Module, x: Tensor) -> Tensor:
    """All logits in one tensor, with the auxiliary heads' if there are any."""
    if isinstance(net, GoogLeNet):
        return net.training_heads(x).flatten(1)
    y = net(x)
    return y if isinstance(y, Tensor) else torch.cat([y.logits, y.aux_logits1, y.aux_logits2], 1)


def gradients_agree(name: str) -> None:
    their, our = both(name)
    for net in (their, our):
        for part in net.modules():
            if hasattr(part, "probability"):
                part.probability = 0.0
        net.train()
        y = heads(net, images())
        (y * torch.linspace(-1, 1, y.shape[1])).sum().div(y.shape[1]).backward()
    # Parameters of both are in the same order, but for the heads of GoogLeNet.
    expected = {id_of(p): p.grad for p in their.parameters()}
    found = {id_of(p): p.grad for p in our.parameters()}
    assert expected.keys() == found.keys()
    for key, gradient in expected.items():
        assert gradient is not None
        assert found[key] is not None
        size = float(gradient.abs().max())
        assert float((found[key] - gradient).abs().max()) <= 1e-4 * max(size, 1e-3), key


def id_of(parameter: Tensor) -> tuple:
    """Weights are random, so that shape and sum tell them apart."""
    return tuple(parameter.shape), float(parameter.detach().double().sum())


@pytest.mark.parametrize("name", QUICK)
def test_outputs(name: str) -> None:
    outputs_agree(name)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121"])
def test_gradients(name: str) -> None:
    gradients_agree(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_outputs_of_the_others(name: str) -> None:
    outputs_agree(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "alexnet", "vgg16", "vgg16_bn"])
def test_gradients_of_the_others(name: str) -> None:
    gradients_agree(name)


def test_googlenet_without_its_auxiliary_heads() -> None:
    torch.manual_seed(0)
    their = theirs.googlenet(weights=None, init_weights=False, aux_logits=False).eval()
    our = GoogLeNet.from_torchvision(their.state_dict()).eval()
    with torch.no_grad():
        close(our(images()), their(images()), 1e-5, "googlenet")


def test_densenet_with_the_keys_of_old_files() -> None:
    torch.manual_seed(0)
    their = theirs.DenseNet(growth_rate=4, block_config=(1, 2), num_init_features=8, num_classes=5)
    state, old = their.eval().state_dict(), {}
    for key, tensor in state.items():
        for part in ("norm", "conv"):
            for index in "12":
                key = key.replace(f".{part}{index}.", f".{part}.{index}.")
        old[key] = tensor
    assert old.keys() != state.keys()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        close(DenseNet.from_torchvision(old).eval()(x), their(x), 1e-5, "densenet")


@pytest.mark.parametrize(("cls", "build"), [
    (ResNet, lambda: theirs.resnet18(weights=None)),
    (DenseNet, lambda: theirs.densenet121(weights=None)),
    (GoogLeNet, lambda: theirs.googlenet(weights=None, init_weights=False)),
])  # fmt: skip
def test_checkpoints_that_do_not_fit(cls: type, build: Callable[[], nn.Module]) -> None:
    state = build().state_dict()
    first = next(iter(state))
    with pytest.raises(ValueError, match=r"state_dict: no tensor for .*expected keys such as"):
        cls.from_torchvision({})
    with pytest.raises(ValueError, match=r"state_dict: 'extra\.weight' has no place"):
        cls.from_torchvision({**state, "extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"state_dict: no tensor for {first}"):
        cls.from_torchvision({key: t for key, t in state.items() if key != first})
