"""The all-convolutional net: strides in place of pools, a mean in place of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from tcn.layers import Chain, Dropout, Mean, convolution, initialize
from tcn.layers.blocks import BlockRecipe, Builder
from tcn.layers.blocks.recipe import SHIFTLESS
from tcn.models.classifier import Classifier, Placing
from tcn.saving.description import recorded

FORMS: dict[str, tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]] = {
    "A": (((5,), (5,)), (3, 1)),
    "B": (((5, 1), (5, 1)), (3, 1)),
    "C": (((3, 3), (3, 3)), (3, 1)),
}
"""Kernels of both stages, before the strided convolution of 3, and of the layers behind them."""
WIDTHS = (96, 192)


class AllConvolutional(Classifier):
    """Two stages that end in a convolution of stride 2, three more layers, and a mean.

    ::

        C: x -> conv 3 -> conv 3 -> conv 3, stride 2      96 channels
             -> conv 3 -> conv 3 -> conv 3, stride 2      192 channels
             -> conv 3 -> conv 1 -> conv 1 to classes -> mean

    Maps ``(batch, in_channels, *sizes)`` to ``(batch, classes)`` for images of any size. A causal
    one streams. The convolution of 3 behind the stages has no zeros around it, which leaves 6 x 6
    of 8 x 8 as in the paper; a causal one has them on the left.

    Source: Springenberg et al. 2015, arXiv:1412.6806, section 2, tables 1 and 2 (All-CNN).

    ::

        net = AllConvolutional(3, 10)
        net(torch.randn(2, 3, 32, 32)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        *,
        form: str = "C",
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        norm: str | Builder = "none",
        ndim: int = 2,
        causal: bool | Sequence[bool] = False,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015).

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned.
            form: ``"A"``, ``"B"`` or ``"C"``.
            dropout: share of values dropped behind each stage in training.
            input_dropout: share of the input dropped in training.
            norm: ``"none"`` as in the paper, another of :data:`tcn.layers.NORMS`, or a builder.
            ndim: 1 for sequences, 2 for images and spectrograms.
            causal: whether outputs see the past only, for all axes or per axis.

        Raises:
            ValueError: if a number is out of range or a name unknown.
        """
        if form not in FORMS:
            raise ValueError(f"form: {form!r} is not one of {', '.join(map(repr, FORMS))}")
        placing = Placing.of(causal, ndim)
        padding: Any = placing.padding()
        recipe = BlockRecipe(1, ndim, 1, padding, dropout, norm, "relu", 1, norm in SHIFTLESS)
        stages, last = FORMS[form]
        parts: dict[str, nn.Module] = {"dropout": Dropout(input_dropout)}
        channels = in_channels
        for index, (kernels, width) in enumerate(zip(stages, WIDTHS, strict=True), 1):
            layers = [
                recipe.sized(kernel).layer(width if place else channels, width)
                for place, kernel in enumerate(kernels)
            ]
            down = recipe._replace(kernel_size=3, stride=2).layer(width, width)
            parts[f"stage{index}"] = Chain(*layers, down=down, dropout=recipe.drop())
            channels = width
        without_zeros = convolution(ndim)(
            channels, channels, last[0], padding=placing.padding("valid"), bias=recipe.bias,
            weight_norm=norm == "weight",
        )  # fmt: skip
        parts["look"] = Chain(
            convolution=without_zeros, **recipe.normalize(channels), activation=recipe.activate()
        )
        parts["mix"] = recipe.sized(last[1]).layer(channels, channels)
        parts["classes"] = recipe._replace(norm="none", bias=True).layer(channels, classes)
        super().__init__(**parts, readout=Mean())
        initialize(self, "he")
        self.ndim = ndim
