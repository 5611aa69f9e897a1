"""GoogLeNet, the first Inception net, for images and over time."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tcn.layers import (
    BatchNorm,
    Chain,
    Dense,
    Dropout,
    Flatten,
    InceptionBlock,
    LocalResponseNorm,
    Mean,
    PyramidPool,
    SequenceModule,
    initialize,
)
from tcn.layers.blocks import BlockRecipe, Builder
from tcn.layers.passing import after, call
from tcn.layers.validation import check_switch
from tcn.models.classifier import (
    Classifier,
    Placing,
    in_order,
    load_renamed,
    missing,
    steps_behind,
)
from tcn.saving.description import recorded

FORMS = ("paper", "torchvision")
AUXILIARY_WEIGHT = 0.3
"""What the loss of an auxiliary head counts; section 5 of the paper."""
WIDTHS: dict[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of every block; table 1 of the paper, in the order of :class:`InceptionWidths`."""


class GoogLeNet(Classifier):
    """Nine Inception blocks behind a stem, with two more heads in training.

    ::

        x -> early: stem, 3a, 3b, 4a -+-> middle: 4b, 4c, 4d -+-> late: 4e, 5a, 5b -> mean -> dense
                                      +-> auxiliary1          +-> auxiliary2

    Maps ``(batch, in_channels, *sizes)`` to ``(batch, classes)`` for images of any size. In
    training :meth:`training_heads` says what the auxiliary heads do too, and :meth:`training_loss`
    weighs all three, as the tasks of ``tcn.training`` do. A causal one streams. Dropout before the
    last layer is that of whole channels before the mean, which is the same.

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 5, table 1 and figure 3.

    ::

        net = GoogLeNet(3, 10)
        loss = net.training_loss(torch.randn(2, 3, 224, 224), torch.tensor([1, 7]))
    """

    early: Any
    middle: Any

    @property
    def head_weights(self) -> tuple[float, ...]:
        """What the loss of each of :meth:`training_heads` counts; the tasks of tcn.training ask."""
        return (1.0,) if self.auxiliary1 is None else (1.0, AUXILIARY_WEIGHT, AUXILIARY_WEIGHT)

    @recorded
    def __init__(
        self,
        in_channels: int,
        classes: int | None,
        *,
        form: str = "paper",
        auxiliary: bool = True,
        dropout: float = 0.4,
        auxiliary_dropout: float = 0.7,
        input_size: int | Sequence[int] = 224,
        ndim: int = 2,
        causal: bool | Sequence[bool] = False,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015).

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned; None: the features, without any head.
            form: ``"paper"``: biases, local response norm, 5x5 convolutions; ``"torchvision"``:
                batch norm, and 3x3 convolutions in place of the 5x5 ones.
            auxiliary: whether there are auxiliary heads.
            dropout: share of channels dropped before the mean in training.
            auxiliary_dropout: share of values dropped in the auxiliary heads.
            input_size: steps per axis for which the auxiliary heads of the paper's form are built.
            ndim: 1 for sequences, 2 for images and spectrograms.
            causal: whether outputs see the past only, for all axes or per axis.

        Raises:
            ValueError: if a number is out of range or a name unknown.
        """
        check_switch(auxiliary=auxiliary)
        if form not in FORMS:
            raise ValueError(f"form: {form!r} is not one of {', '.join(map(repr, FORMS))}")
        paper, placing = form == "paper", Placing.of(causal, ndim)
        recipe = _recipe(paper, placing)
        block = functools.partial(_inception, recipe, paper=paper)
        parts: dict[str, nn.Module] = {
            "early": Chain(
                stem=_stem(recipe, in_channels, placing, paper),
                block3a=block("3a", 192), block3b=block("3b", 256),
                pool=placing.max_pool(3, 2, "ceil"), block4a=block("4a", 480),
            ),
            "middle": Chain(
                block4b=block("4b", 512), block4c=block("4c", 512), block4d=block("4d", 512)
            ),
            "late": Chain(
                block4e=block("4e", 528), pool=placing.max_pool(3 if paper else 2, 2, "ceil"),
                block5a=block("5a", 832), block5b=block("5b", 832),
            ),
        }  # fmt: skip
        heads: dict[str, nn.Module] = {}
        if classes is not None:
            parts["dropout"] = Dropout(dropout, spatial=True)
            parts |= {"readout": Mean(), "head": Dense(1024, classes)}
            if auxiliary:
                build = functools.partial(
                    _auxiliary, recipe, classes, auxiliary_dropout, placing, paper
                )
                heads = {
                    name: build(channels, parts["early"], input_size)
                    for name, channels in (("auxiliary1", 512), ("auxiliary2", 528))
                }
        super().__init__(**parts)
        # Beside the chain, not in it: only `all_heads` calls them.
        self.auxiliary1, self.auxiliary2 = heads.get("auxiliary1"), heads.get("auxiliary2")
        initialize(self, "he")
        self.ndim = ndim

    def training_heads(
        self, x: Tensor, lengths: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """What all heads say: the net's own, then those of the auxiliary ones.

        Args:
            x: ``(batch, in_channels, *sizes)``.
            lengths: as in :meth:`forward`.
            mask: as in :meth:`forward`.

        Returns:
            ``(batch, 3, classes)``; ``(batch, 1, classes)`` of a net without auxiliary heads.
        """
        x, context = self._enter(x, lengths, None, mask, streaming=False)
        beside = {"early": self.auxiliary1, "middle": self.auxiliary2}
        said = []
        for name in self._order:
            part = self._modules[name]
            assert part is not None
            x, context = call(part, x, context), after(part, context, None)
            head = beside.get(name)
            if head is not None:
                said.append(call(head, x, context))
        return torch.stack([x, *said], 1)

    def training_loss(
        self,
        x: Tensor,
        target: Tensor,
        *,
        criterion: Any = nn.functional.cross_entropy,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The loss of the net and 0.3 times that of each auxiliary head (section 5).

        Args:
            x: ``(batch, in_channels, *sizes)``.
            target: what ``criterion`` takes as its second argument.
            criterion: the loss of logits.
            lengths: as in :meth:`forward`.
        """
        heads = self.training_heads(x, lengths).unbind(1)
        losses = [criterion(head, target) for head in heads]
        return sum(weight * loss for weight, loss in zip(self.head_weights, losses, strict=True))

    def streaming_obstacles(self) -> list[str]:
        """Those of the chain: no stream passes through the auxiliary heads."""
        parts = [part for part in self if isinstance(part, SequenceModule)]
        return list(
            dict.fromkeys(reason for part in parts for reason in part.streaming_obstacles())
        )

    @classmethod
    def from_torchvision(cls, state_dict: Mapping[str, Tensor]) -> GoogLeNet:
        """Loads the weights of a ``torchvision.models`` GoogLeNet.

        Torchvision's own files are for images on another scale (``transform_input=True``): bring
        those from ImageNet's mean and deviation to a mean of 0.5 and a deviation of 0.5.

        Args:
            state_dict: the checkpoint's tensors, with or without the auxiliary heads.

        Returns:
            A net with the same outputs; its shares of dropout are torchvision's 0.2 and 0.7.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape.
        """
        example = "inception3a.branch1.conv.weight"
        for name in ("conv1.conv.weight", example, "fc.weight"):
            if name not in state_dict:
                raise missing(name, state_dict, example)
        auxiliary = any(key.startswith("aux") for key in state_dict)
        in_channels, classes = state_dict["conv1.conv.weight"].shape[1], len(state_dict["fc.bias"])
        net = cls(in_channels, classes, form="torchvision", auxiliary=auxiliary, dropout=0.2)
        load_renamed(net, state_dict, in_order(net, _torchvision_modules(auxiliary)), example)
        return net


def _recipe(paper: bool, placing: Placing) -> BlockRecipe:
    norm: str | Builder = "none" if paper else functools.partial(BatchNorm, epsilon=1e-3)
    padding: Any = placing.padding()
    return BlockRecipe(1, placing.ndim, 1, padding, 0.0, norm, "relu", 1, paper)


def _stem(recipe: BlockRecipe, in_channels: int, placing: Placing, paper: bool) -> Chain:
    """Two convolutions in the paper's count, the second behind a 1x1 one."""

    def response(name: str) -> dict[str, nn.Module]:
        norm = LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        return {name: norm} if paper else {}

    return Chain(
        wide=recipe._replace(kernel_size=7, stride=2).layer(in_channels, 64),
        pool1=placing.max_pool(3, 2, "ceil"),
        **response("response1"),
        narrow=recipe.layer(64, 64),
        look=recipe.sized(3).layer(64, 192),
        **response("response2"),
        pool2=placing.max_pool(3, 2, "ceil"),
    )


def _inception(recipe: BlockRecipe, name: str, in_channels: int, *, paper: bool) -> InceptionBlock:
    return InceptionBlock(
        in_channels, WIDTHS[name], kernel_sizes=(3, 5 if paper else 3), ndim=recipe.ndim,
        padding=recipe.padding, norm=recipe.norm,
    )  # fmt: skip


def _auxiliary(
    recipe: BlockRecipe,
    classes: int,
    dropout: float,
    placing: Placing,
    paper: bool,
    channels: int,
    early: nn.Module,
    input_size: int | Sequence[int],
) -> Chain:
    """Mean of windows -> 1x1 to 128 -> dense 1024 -> dense; figure 3 of the paper."""
    pool: nn.Module
    if paper:
        pool = placing.average_pool(5, 3, "valid")
        sizes = steps_behind(Chain(early, pool), input_size, placing.ndim)
    else:
        pool, sizes = PyramidPool((4,), pool="average", flat=False), (4,) * placing.ndim
    flatten = Flatten(128, sizes)
    return Chain(
        pool=pool, narrow=recipe.layer(channels, 128), flatten=flatten,
        dense1=Dense(flatten.out_channels, 1024), activation=nn.ReLU(), dropout=Dropout(dropout),
        dense2=Dense(1024, classes),
    )  # fmt: skip


def _torchvision_modules(auxiliary: bool) -> list[str]:
    """Torchvision's names of the modules with weights, in the order of ours."""
    layers = ["conv1", "conv2", "conv3"]
    for name in WIDTHS:
        branches = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
        layers += [f"inception{name}.{branch}" for branch in branches]
    names = [f"{layer}.{part}" for layer in layers for part in ("conv", "bn")] + ["fc"]
    for index in (1, 2) if auxiliary else ():
        names += [f"aux{index}.{part}" for part in ("conv.conv", "conv.bn", "fc1", "fc2")]
    return names
