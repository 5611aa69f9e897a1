"""VGG: many small convolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from tcn.layers import Chain, initialize
from tcn.layers.blocks import BlockRecipe, Builder
from tcn.layers.validation import check_positive, is_integer
from tcn.models.classifier import (
    Classifier,
    Placing,
    dense_head,
    in_order,
    load_renamed,
    missing,
    steps_behind,
)
from tcn.saving.description import recorded

DEPTHS: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions per stage by the number of layers; configurations A, B, D and E of table 1."""
WIDTHS = (64, 128, 256, 512, 512)


class VGG(Classifier):
    """Stages of 3x3 convolutions, each ending in a pool that halves the steps; three dense layers.

    ::

        x -> [conv 3 -> (norm) -> relu] x n -> max pool 2 -> ... -> dense -> dense -> dense

    Maps ``(batch, in_channels, *input_size)`` to ``(batch, classes)``: the dense layers fix the
    size.

    Source: Simonyan & Zisserman 2015, arXiv:1409.1556, section 2 and table 1.

    ::

        net = VGG(3, 10, (1, 1), widths=(8, 16), width=32, input_size=32)
        net(torch.randn(2, 3, 32, 32)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        classes: int,
        stages: Sequence[int],
        *,
        widths: Sequence[int] = WIDTHS,
        norm: str | Builder = "none",
        width: int = 4096,
        dropout: float = 0.5,
        input_size: int | Sequence[int] = 224,
        ndim: int = 2,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015) in the convolutions.

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned.
            stages: convolutions of every stage.
            widths: channels of every stage.
            norm: ``"none"``, ``"batch"`` or another of :data:`tcn.layers.NORMS`, or a builder.
            width: channels of the hidden dense layers.
            dropout: share of values dropped behind each of them in training.
            input_size: steps of the input per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.

        Raises:
            ValueError: if a number is not positive, a name unknown, there are not as many widths as
                stages, or nothing is left of the input.
        """
        if is_integer(stages) or not stages:
            raise ValueError(f"stages: {stages}; give convolutions per stage, such as (1, 1, 2)")
        check_positive("stages", stages)
        if is_integer(widths):
            raise ValueError(f"widths: {widths}; give one per stage, such as {WIDTHS}")
        if len(stages) != len(widths):
            raise ValueError(
                f"widths: {tuple(widths)} for the {len(stages)} stages of {tuple(stages)}; give "
                "one width per stage"
            )
        placing = Placing.of(False, ndim)
        recipe = BlockRecipe(3, ndim, 1, "same", 0.0, norm, "relu")
        parts, channels = [], in_channels
        for count, out in zip(stages, widths, strict=True):
            layers = []
            for _ in range(count):
                layers.append(recipe.layer(channels, out))
                channels = out
            parts.append(Chain(*layers, pool=placing.max_pool(2, 2, "valid")))
        features = Chain(*parts)
        sizes = steps_behind(features, input_size, ndim)
        head = dense_head(channels, sizes, classes, width=width, dropout=dropout)
        super().__init__(features=features, **head)
        initialize(self, "he")
        self.ndim = ndim

    @classmethod
    def from_torchvision(cls, state_dict: Mapping[str, Tensor]) -> VGG:
        """Loads the weights of a ``torchvision.models`` VGG, with or without batch norm.

        Args:
            state_dict: the checkpoint's tensors.

        Returns:
            A net with the same outputs for images of the size it was built for; torchvision's
            averages features of another size to 7 x 7, ours refuses them.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape.
        """
        example = "features.0.weight"
        for name in (example, "classifier.0.weight", "classifier.6.weight"):
            if name not in state_dict:
                raise missing(name, state_dict, example)
        batch = any(key.endswith(".running_mean") for key in state_dict)
        pattern = re.compile(r"features\.(\d+)\.weight")
        found = sorted(int(m[1]) for m in map(pattern.match, state_dict) if m)
        places = [i for i in found if state_dict[f"features.{i}.weight"].dim() == 4]
        stages, widths = _stages(places, state_dict, 3 if batch else 2)
        hidden, flat = state_dict["classifier.0.weight"].shape
        net = cls(
            state_dict[example].shape[1], state_dict["classifier.6.weight"].shape[0], stages,
            widths=widths, norm="batch" if batch else "none", width=hidden,
            input_size=2 ** len(stages) * round((flat / widths[-1]) ** 0.5),
        )  # fmt: skip
        convolutions = [f"features.{i + j}" for i in places for j in range(1 + batch)]
        modules = [*convolutions, "classifier.0", "classifier.3", "classifier.6"]
        load_renamed(net, state_dict, in_order(net, modules), example)
        return net


def vgg(
    depth: int,
    in_channels: int = 3,
    classes: int = 1000,
    *,
    norm: str | Builder = "none",
    input_size: int | Sequence[int] = 224,
    ndim: int = 2,
) -> VGG:
    """The nets of table 1: 11, 13, 16 or 19 layers.

    Args:
        depth: layers with weights.
        in_channels: channels of the input.
        classes: numbers that are returned.
        norm: ``"none"`` as in the paper, or ``"batch"``.
        input_size: steps of the input per axis.
        ndim: 1 for sequences, 2 for images and spectrograms.

    Raises:
        ValueError: if there is no such depth.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth: {depth} is not one of {', '.join(map(str, DEPTHS))}")
    return VGG(in_channels, classes, DEPTHS[depth], norm=norm, input_size=input_size, ndim=ndim)


def _stages(
    places: Sequence[int], state_dict: Mapping[str, Tensor], spacing: int
) -> tuple[list[int], list[int]]:
    """Convolutions and widths per stage: a pool between two convolutions shows in their places."""
    stages: list[int] = []
    widths: list[int] = []
    before: int | None = None
    for place in places:
        if before is None or place - before > spacing:
            stages.append(0)
            widths.append(state_dict[f"features.{place}.weight"].shape[0])
        stages[-1] += 1
        before = place
    return stages, widths
