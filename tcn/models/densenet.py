"""Densely connected nets for images, and over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tcn.layers import Chain, Dense, DenseBlock, Mean, Transition, convolution, initialize
from tcn.layers.blocks import BlockRecipe, Builder
from tcn.layers.blocks.recipe import SHIFTLESS
from tcn.layers.validation import check_positive, check_switch, is_integer
from tcn.models.classifier import Classifier, Placing, in_order, load_renamed, missing
from tcn.saving.description import recorded

DEPTHS: dict[int, tuple[int, tuple[int, ...]]] = {
    121: (32, (6, 12, 24, 16)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    161: (48, (6, 12, 36, 24)),
}
"""Growth and layers per block by the number of layers; table 1 of the paper."""


class DenseNet(Classifier):
    """Dense blocks with transitions between them, which halve the steps.

    ::

        x -> stem -> dense block -> transition -> dense block -> ... -> norm -> relu -> mean -> dense
             "image": conv 7, stride 2 -> norm -> relu -> max pool 3, stride 2
             "small": conv 3

    Maps ``(batch, in_channels, *sizes)`` to ``(batch, classes)`` for images of any size, and
    without ``classes`` to features for :class:`tcn.models.SequenceModel`. A causal one streams.

    Source: Huang et al. 2017, arXiv:1608.06993, section 3 and table 1; "small": section 3,
    implementation details.

    ::

        net = DenseNet(3, 10, (2, 2), growth=4, stem="small")
        net(torch.randn(2, 3, 32, 32)).shape  # (2, 10)
    """  # noqa: E501  # the drawing

    @recorded
    def __init__(
        self,
        in_channels: int,
        classes: int | None,
        blocks: Sequence[int],
        *,
        growth: int = 32,
        stem: str = "image",
        compact: bool = True,
        dropout: float = 0.0,
        norm: str | Builder = "batch",
        ndim: int = 2,
        causal: bool | Sequence[bool] = False,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015).

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned; None: the features, without readout and head.
            blocks: layers of every dense block.
            growth: new channels of every layer, the paper's ``k``.
            stem: ``"image"`` for large inputs, ``"small"`` for such as 32 x 32.
            compact: whether layers have a bottleneck and transitions halve the channels
                (DenseNet-BC), and the stem has ``2 growth`` channels; otherwise it has 16.
            dropout: share of new values dropped in training; 0.2 in the paper without augmentation.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            ndim: 1 for sequences, 2 for images and spectrograms.
            causal: whether outputs see the past only, for all axes or per axis.

        Raises:
            ValueError: if a size is not positive or a name unknown.
        """
        if is_integer(blocks) or not blocks:
            raise ValueError(f"blocks: {blocks}; give layers per block, such as (6, 12, 24, 16)")
        check_positive("blocks", blocks)
        check_positive("growth", [growth])
        check_switch(compact=compact)
        placing = Placing.of(causal, ndim)
        settings: dict[str, Any] = {
            "ndim": ndim, "padding": placing.padding(), "dropout": dropout, "norm": norm
        }  # fmt: skip
        recipe = BlockRecipe(7, ndim, 1, placing.padding(), 0.0, norm, "relu", 2, norm in SHIFTLESS)
        channels = 2 * growth if compact else 16
        parts: dict[str, nn.Module] = {"stem": _stem(stem, in_channels, channels, placing, recipe)}
        for index, layers in enumerate(blocks, 1):
            parts[f"block{index}"] = DenseBlock(
                channels, layers, growth, bottleneck=compact, **settings
            )
            channels += layers * growth
            if index < len(blocks):
                narrow = channels // 2 if compact else channels
                parts[f"transition{index}"] = Transition(channels, narrow, **settings)
                channels = narrow
        parts |= {**recipe.normalize(channels), "activation": recipe.activate()}
        if classes is not None:
            parts |= {"readout": Mean(), "head": Dense(channels, classes)}
        super().__init__(**parts)
        initialize(self, "he")
        self.ndim = ndim

    @classmethod
    def from_torchvision(cls, state_dict: Mapping[str, Tensor]) -> DenseNet:
        """Loads the weights of a ``torchvision.models`` DenseNet.

        Args:
            state_dict: the checkpoint's tensors, with the keys of today (``norm1``) or those of
                torchvision's files (``norm.1``).

        Returns:
            A net with the same outputs.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape.
        """
        old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
        state_dict = {old.sub(r"\1\2.", key): tensor for key, tensor in state_dict.items()}
        grows = "features.denseblock1.denselayer1.conv2.weight"
        for name in ("features.conv0.weight", grows, "classifier.weight"):
            if name not in state_dict:
                raise missing(name, state_dict, grows)
        blocks: list[int] = []
        pattern = re.compile(r"features\.denseblock(\d+)\.denselayer(\d+)\.conv2\.weight")
        for match in filter(None, map(pattern.match, state_dict)):
            block, layer = int(match[1]), int(match[2])
            blocks += [0] * (block - len(blocks))
            blocks[block - 1] = max(blocks[block - 1], layer)
        net = cls(
            state_dict["features.conv0.weight"].shape[1],
            state_dict["classifier.weight"].shape[0],
            blocks,
            growth=state_dict[grows].shape[0],
        )
        load_renamed(net, state_dict, in_order(net, _torchvision_modules(blocks)), grows)
        return net


def densenet(
    depth: int,
    in_channels: int = 3,
    classes: int | None = 1000,
    *,
    ndim: int = 2,
    causal: bool | Sequence[bool] = False,
) -> DenseNet:
    """The nets for ImageNet: 121, 169 or 201 layers of growth 32, 161 of growth 48.

    Args:
        depth: layers with weights.
        in_channels: channels of the input.
        classes: numbers that are returned; None for features.
        ndim: 1 for sequences, 2 for images and spectrograms.
        causal: whether outputs see the past only, for all axes or per axis.

    Raises:
        ValueError: if there is no such depth.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth: {depth} is not one of {', '.join(map(str, DEPTHS))}")
    growth, blocks = DEPTHS[depth]
    return DenseNet(in_channels, classes, blocks, growth=growth, ndim=ndim, causal=causal)


def small_densenet(
    depth: int,
    growth: int,
    in_channels: int = 3,
    classes: int | None = 10,
    *,
    compact: bool = True,
    dropout: float = 0.0,
    ndim: int = 2,
    causal: bool | Sequence[bool] = False,
) -> DenseNet:
    """The nets of table 2 for CIFAR-10: three blocks, such as L = 40, k = 12 or BC L = 100, k = 12.

    Args:
        depth: layers with weights, the paper's ``L``.
        growth: new channels of every layer, the paper's ``k``.
        in_channels: channels of the input.
        classes: numbers that are returned; None for features.
        compact: whether it is a DenseNet-BC.
        dropout: share of new values dropped in training.
        ndim: 1 for sequences, 2 for images and spectrograms.
        causal: whether outputs see the past only, for all axes or per axis.

    Raises:
        ValueError: if the depth cannot be shared out among three blocks.
    """
    check_positive("depth", [depth])
    convolutions = 6 if compact else 3
    layers, rest = divmod(depth - 4, convolutions)
    if layers < 1 or rest:
        raise ValueError(
            f"depth: {depth} is not {convolutions} n + 4 with compact={compact}, such as 40 or 100"
        )
    return DenseNet(
        in_channels, classes, [layers] * 3, growth=growth, stem="small", compact=compact,
        dropout=dropout, ndim=ndim, causal=causal,
    )  # fmt: skip


def _stem(
    name: str, in_channels: int, channels: int, placing: Placing, recipe: BlockRecipe
) -> Chain:
    if name == "small":
        small = convolution(placing.ndim)(
            in_channels, channels, 3, padding=placing.padding(), bias=recipe.bias
        )
        return Chain(convolution=small)
    if name != "image":
        raise ValueError(f"stem: {name!r} is not one of 'image', 'small'")
    layer = dict(recipe.layer(in_channels, channels).named_children())
    return Chain(**layer, pool=placing.max_pool(3, 2, "same"))


def _torchvision_modules(blocks: Sequence[int]) -> list[str]:
    """Torchvision's names of the modules with weights, in the order of ours."""
    names = ["conv0", "norm0"]
    for block, layers in enumerate(blocks, 1):
        for layer in range(1, layers + 1):
            prefix = f"denseblock{block}.denselayer{layer}."
            names += [f"{prefix}{part}" for part in ("norm1", "conv1", "norm2", "conv2")]
        if block < len(blocks):
            names += [f"transition{block}.norm", f"transition{block}.conv"]
    return [f"features.{name}" for name in [*names, "norm5"]] + ["classifier"]
