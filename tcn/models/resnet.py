"""Residual nets for images, and over time."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tcn.layers import BasicBlock, BottleneckBlock, Chain, Dense, Mean, initialize
from tcn.layers.blocks import BlockRecipe, Builder
from tcn.layers.blocks.recipe import SHIFTLESS
from tcn.layers.validation import check_positive, is_integer
from tcn.models.classifier import Classifier, Placing, in_order, load_renamed, missing
from tcn.saving.description import recorded

Block = Callable[..., nn.Module]
BLOCKS: dict[str, type[BasicBlock]] = {"basic": BasicBlock, "bottleneck": BottleneckBlock}
DEPTHS: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
"""Block and blocks per stage by the number of layers; table 1 of the paper."""
SMALL_DEPTHS = (20, 32, 44, 56, 110)


class ResNet(Classifier):
    """Stages of residual blocks; each stage but the first has half the steps and twice the width.

    ::

        x -> stem -> stage, channels -> stage, 2 channels, stride 2 -> ... -> mean -> dense
             "image": conv 7, stride 2 -> norm -> relu -> max pool 3, stride 2
             "small": conv 3 -> norm -> relu

    Maps ``(batch, in_channels, *sizes)`` to ``(batch, classes)`` for images of any size, and
    without ``classes`` to features for :class:`tcn.models.SequenceModel`. A causal one streams.

    Source: He et al. 2016, arXiv:1512.03385, section 3.3 and table 1; "small": section 4.2.

    ::

        net = ResNet(3, 10, (1, 1), channels=8)
        net(torch.randn(2, 3, 64, 64)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        classes: int | None,
        blocks: Sequence[int],
        *,
        channels: int = 64,
        block: str | Block = "basic",
        stem: str = "image",
        norm: str | Builder = "batch",
        ndim: int = 2,
        causal: bool | Sequence[bool] = False,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015).

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned; None: the features, without readout and head.
            blocks: blocks of every stage.
            channels: width of the first stage; of a bottleneck, that of its middle.
            block: ``"basic"``, ``"bottleneck"``, or a class or ``functools.partial`` of one that is
                called as :class:`tcn.layers.BasicBlock`.
            stem: ``"image"`` for large inputs, ``"small"`` for such as 32 x 32.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            ndim: 1 for sequences, 2 for images and spectrograms.
            causal: whether outputs see the past only, for all axes or per axis.

        Raises:
            ValueError: if a size is not positive or a name unknown.
        """
        if is_integer(blocks) or not blocks:
            raise ValueError(f"blocks: {blocks}; give blocks per stage, such as (2, 2, 2, 2)")
        check_positive("blocks", blocks)
        placing = Placing.of(causal, ndim)
        make, reduction = _block_of(block)
        settings: dict[str, Any] = {"ndim": ndim, "padding": placing.padding(), "norm": norm}
        width, stages = channels, []
        for stage, count in enumerate(blocks):
            out, parts = channels * 2**stage * reduction, []
            for index in range(count):
                stride = 2 if stage and not index else 1
                parts.append(make(width, out, 3, stride=stride, **settings))
                width = out
            stages.append(Chain(*parts))
        super().__init__(
            stem=_stem(stem, in_channels, channels, placing, norm),
            stages=Chain(*stages),
            **({} if classes is None else {"readout": Mean(), "head": Dense(width, classes)}),
        )
        initialize(self, "he")
        self.ndim = ndim

    @classmethod
    def from_torchvision(cls, state_dict: Mapping[str, Tensor]) -> ResNet:
        """Loads the weights of a ``torchvision.models`` ResNet of 18 to 152 layers.

        Args:
            state_dict: the checkpoint's tensors.

        Returns:
            A net with the same outputs.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape.
        """
        example = "layer1.0.conv1.weight"
        for name in ("conv1.weight", example, "fc.weight"):
            if name not in state_dict:
                raise missing(name, state_dict, example)
        blocks: list[int] = []
        while any(key.startswith(f"layer{len(blocks) + 1}.") for key in state_dict):
            pattern = re.compile(rf"layer{len(blocks) + 1}\.(\d+)\.")
            found = [int(m[1]) for m in map(pattern.match, state_dict) if m]
            blocks.append(max(found) + 1)
        bottleneck = "layer1.0.conv3.weight" in state_dict
        net = cls(
            state_dict["conv1.weight"].shape[1],
            state_dict["fc.weight"].shape[0],
            blocks,
            channels=state_dict["conv1.weight"].shape[0],
            block="bottleneck" if bottleneck else "basic",
        )
        load_renamed(net, state_dict, in_order(net, _torchvision_modules(net)), example)
        return net


def resnet(
    depth: int,
    in_channels: int = 3,
    classes: int | None = 1000,
    *,
    ndim: int = 2,
    causal: bool | Sequence[bool] = False,
) -> ResNet:
    """The nets of table 1 for ImageNet: 18, 34, 50, 101 or 152 layers.

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
    block, blocks = DEPTHS[depth]
    return ResNet(in_channels, classes, blocks, block=block, ndim=ndim, causal=causal)


def small_resnet(
    depth: int,
    in_channels: int = 3,
    classes: int | None = 10,
    *,
    ndim: int = 2,
    causal: bool | Sequence[bool] = False,
) -> ResNet:
    """The nets of section 4.2 for CIFAR-10: ``6 n + 2`` layers, 20, 32, 44, 56 or 110 in table 6.

    Three stages of ``n`` blocks, 16, 32 and 64 channels; shortcuts have no weights (option A).

    Args:
        depth: layers with weights.
        in_channels: channels of the input.
        classes: numbers that are returned; None for features.
        ndim: 1 for sequences, 2 for images and spectrograms.
        causal: whether outputs see the past only, for all axes or per axis.

    Raises:
        ValueError: if the depth is not ``6 n + 2``.
    """
    check_positive("depth", [depth])
    count, rest = divmod(depth - 2, 6)
    if count < 1 or rest:
        raise ValueError(f"depth: {depth} is not 6 n + 2, such as one of {SMALL_DEPTHS}")
    return ResNet(
        in_channels, classes, [count] * 3, channels=16, stem="small", ndim=ndim, causal=causal,
        block=functools.partial(BasicBlock, shortcut="zeros"),
    )  # fmt: skip


def _block_of(block: str | Block) -> tuple[Block, int]:
    """The block, and how many times wider it is than its stage's channels."""
    if isinstance(block, str):
        if block not in BLOCKS:
            raise ValueError(f"block: {block!r} is not one of {', '.join(map(repr, BLOCKS))}")
        block = BLOCKS[block]
    if not callable(block):
        raise TypeError(
            f"block: {block!r} is not a block; give one of {', '.join(map(repr, BLOCKS))}, or a "
            "class such as tcn.layers.BasicBlock"
        )
    cls = block.func if isinstance(block, functools.partial) else block
    return block, getattr(cls, "REDUCTION", 1)


def _stem(
    name: str, in_channels: int, channels: int, placing: Placing, norm: str | Builder
) -> Chain:
    sizes = {"image": (7, 2), "small": (3, 1)}
    if name not in sizes:
        raise ValueError(f"stem: {name!r} is not one of 'image', 'small'")
    kernel, stride = sizes[name]
    recipe = BlockRecipe(
        kernel, placing.ndim, 1, placing.padding(), 0.0, norm, "relu", stride, norm in SHIFTLESS
    )
    layer = dict(recipe.layer(in_channels, channels).named_children())
    return Chain(**layer, **({"pool": placing.max_pool(3, 2, "same")} if name == "image" else {}))


def _torchvision_modules(net: ResNet) -> list[str]:
    """Torchvision's names of the modules with weights, in the order of ours."""
    names = ["conv1", "bn1"]
    for stage, blocks in enumerate(net.stages, 1):  # type: ignore[arg-type]
        for index, block in enumerate(blocks):
            prefix = f"layer{stage}.{index}."
            count = sum(name.startswith("layer") for name in block.sum.body._modules)
            for layer in range(1, count + 1):
                names += [f"{prefix}conv{layer}", f"{prefix}bn{layer}"]
            if not isinstance(block.sum.shortcut, nn.Identity):
                names += [f"{prefix}downsample.0", f"{prefix}downsample.1"]
    return [*names, "fc"]
