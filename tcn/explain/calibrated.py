"""LPIPS: a distance of images that was fitted to people's judgments."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tcn.explain.distance import PerceptualDistance
from tcn.extras import need
from tcn.models.alexnet import AlexNet
from tcn.models.classifier import Classifier, in_order, load_renamed
from tcn.models.vgg import DEPTHS, VGG

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of ImageNet's colors in [-1, 1], as LPIPS was trained with them."""
BEYOND = 1e-4
"""How far rounding may carry an image out of [-1, 1]."""

Weights = str | os.PathLike[str] | Mapping[str, Tensor]
"""A file of tensors, ``.safetensors`` or PyTorch's, or the tensors by name."""


def lpips(
    trunk: str = "alexnet",
    *,
    weights: Weights | None = None,
    random_seed: int | None = None,
    linear_weights: Weights | None = None,
) -> PerceptualDistance:
    """LPIPS, version 0.1: the distance whose weights were fitted to people's judgments.

    It takes images ``(batch, 3, height, width)`` with values in [-1, 1], so ``2 * x - 1`` of images
    in [0, 1], and refuses others; 31 pixels at least for AlexNet, 16 for VGG. Its trunk is
    :class:`tcn.models.AlexNet` or :class:`tcn.models.VGG`, of which the convolutions are used.

    Args:
        trunk: ``"alexnet"``, the authors' choice for comparing, or ``"vgg16"``.
        weights: torchvision's weights of the trunk, of ImageNet: a file that was saved by
            ``torch.save`` or is called ``.safetensors``, or the state dict. Nothing is downloaded.
        random_seed: draws the trunk's weights in place of reading them. The paper finds that random
            nets still do better than pixels, but this is not LPIPS.
        linear_weights: the weights per channel, ``lin0.model.1.weight`` and so on; those that come
            with torchmetrics unless given.

    Raises:
        ModuleNotFoundError: torchmetrics is missing and no ``linear_weights`` are given.
        ValueError: there is no such trunk, neither or both of weights and seed are given, a file
            holds no tensors, or they do not fit.

    Source: Zhang et al. 2018, section 3; the numbers are those of torchmetrics and of the authors'
    code for the same weights.

    ::

        distance = lpips("alexnet", random_seed=0)
        image = torch.rand(1, 3, 64, 64) * 2 - 1
        distance(image, image.flip(-1))  # (1,)
    """
    if trunk not in _TRUNKS:
        raise ValueError(f"trunk: {trunk!r} is not one of {', '.join(map(repr, _TRUNKS))}")
    if (weights is None) == (random_seed is None):
        raise ValueError(
            f"weights: {'none' if weights is None else 'beside random_seed'}; give the file of "
            f"torchvision's {trunk}, or random_seed=0 for random ones, which are not LPIPS"
        )
    build, places, taps, name = _TRUNKS[trunk]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if random_seed is None else random_seed)
        features = build()
    if weights is not None:
        found = {k: v for k, v in _tensors("weights", weights).items() if k.startswith("features.")}
        modules = [f"features.{place}" for place in places]
        load_renamed(features, found, in_order(features, modules), "features.0.weight")
    linear = _tensors("linear_weights", linear_weights or _beside_torchmetrics(name))
    net = nn.Sequential(OrderedDict(scaling=_Scaling(), features=features))
    return PerceptualDistance(
        net, [f"features.{tap}" for tap in taps], weights=_linear(linear, len(taps))
    )


def _alexnet() -> nn.Module:
    # Built for the smallest input: the dense layers are left out.
    return _without_last_pool(AlexNet(3, 1, form="one_weird_trick", input_size=63))


def _vgg16() -> nn.Module:
    return _without_last_pool(VGG(3, 1, DEPTHS[16], width=1, input_size=32))


def _without_last_pool(net: Classifier) -> nn.Module:
    """The convolutions; behind the last one no more is asked for, so smaller images will do."""
    features: Any = net.features
    features[-1].pool = nn.Identity()
    return features


_TRUNKS: dict[str, tuple[Callable[[], nn.Module], Sequence[int], Sequence[str], str]] = {
    "alexnet": (_alexnet, (0, 3, 6, 8, 10), [f"{stage}.activation" for stage in range(5)], "alex"),
    "vgg16": (
        _vgg16,
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        [f"{stage}.{count - 1}.activation" for stage, count in enumerate(DEPTHS[16])],
        "vgg",
    ),
}
"""How a trunk is built, torchvision's numbers of its convolutions, its layers, its file."""


class _Scaling(nn.Module):
    """Images in [-1, 1] to the mean and deviation that the trunk was trained with."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != 3:
            raise ValueError(f"x: shape {tuple(x.shape)}; give images (batch, 3, height, width)")
        low, high = float(x.detach().min()), float(x.detach().max())
        if not (low >= -1 - BEYOND and high <= 1 + BEYOND):
            raise ValueError(
                f"x: values from {low:g} to {high:g}; give images in [-1, 1], so 2 * x - 1 of "
                "images in [0, 1]"
            )
        return (x - self.shift) / self.scale


def _linear(found: Mapping[str, Tensor], count: int) -> list[Tensor]:
    names = [f"lin{number}.model.1.weight" for number in range(count)]
    if absent := [name for name in names if name not in found]:
        raise ValueError(
            f"linear_weights: no tensor {absent[0]!r} among {sorted(found)[:3]}; give the file of "
            "this trunk"
        )
    return [found[name].flatten() for name in names]


def _beside_torchmetrics(name: str) -> Path:
    need("tcn.explain.lpips", "explain", "torchmetrics")
    spec = find_spec("torchmetrics")  # which does not load it
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / f"{name}.pth"


def _tensors(argument: str, given: Weights) -> Mapping[str, Tensor]:
    """Tensors by name; what a file asks to be executed is not."""
    if isinstance(given, Mapping):
        return given
    path = Path(given)
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{argument}: {path} holds no tensors that are safe to read; give a state dict that "
            "was saved by torch.save, or .safetensors"
        ) from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{argument}: {path} holds {type(found).__name__}; give a state dict")
    return found
