"""LeNet-5 as it was in 1998, and as it is built today."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tcn.layers import (
    Chain,
    Concat,
    Dense,
    Flatten,
    Pointwise,
    ScaledTanh,
    Select,
    convolution,
    initialize,
)
from tcn.layers.pooling import AVERAGE_POOLS, MAX_POOLS
from tcn.layers.validation import check_ndim
from tcn.models.classifier import Classifier, steps_behind
from tcn.models.digit_codes import DIGIT_CODES
from tcn.saving.description import recorded

CONNECTIONS: tuple[tuple[int, ...], ...] = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""Which maps of S2 each map of C3 sees; table I of the paper."""
FORMS = ("1998", "modern")


class Distances(Pointwise):
    """Minus the squared distance of each vector from fixed codes: ``-sum_j (x_j - code_ij)^2``.

    As logits they are the output units of LeNet-5 with the sign turned, so that the largest wins;
    their cross entropy is the criterion of the paper's equation 9 without its constant ``j``.

    Source: LeCun et al. 1998, section II.B, equation 7, and section II.C.
    """

    def __init__(self, codes: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.codes: Tensor
        self.register_buffer("codes", torch.tensor(codes))
        self.in_channels, self.out_channels = len(codes[0]), len(codes)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, in_channels)`` to ``(batch, codes)``, or the same at every position."""
        codes = self.codes.to(x.dtype).view(*self.codes.shape, *[1] * (x.dim() - 2))
        return -(x.unsqueeze(1) - codes).square().sum(2)


class LeNet5(Classifier):
    """Three convolutions with sub-sampling between them, a dense layer, and an output.

    ::

        x 32 -> C1 conv 5 to 6 -> S2 -> C3 conv 5 to 16 -> S4 -> C5 conv 5 to 120 -> F6 84 -> output

        "1998"    S: trainable sub-sampling; C3 by a connection table; scaled tanh behind every
                  layer; output: minus the distances from fixed codes, drawings of the digits
        "modern"  S: max pool; C3 sees all maps; ReLU; output: dense

    Maps ``(batch, in_channels, *input_size)`` to ``(batch, classes)``: F6 fixes the size. Digits of
    28 x 28 are put in the middle of 32 x 32.

    Source: LeCun et al. 1998 (Gradient-based learning applied to document recognition), section
    II.B, figure 2 and table I.

    ::

        net = LeNet5()
        net(torch.randn(2, 1, 32, 32)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        *,
        form: str = "1998",
        input_size: int | Sequence[int] = 32,
        ndim: int = 2,
    ) -> None:
        """Builds the net: He's weights in the convolutions of the modern form, PyTorch's otherwise.

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned; the codes of the form of 1998 are those of 10.
            form: ``"1998"`` or ``"modern"``.
            input_size: steps of the input per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.

        Raises:
            ValueError: if a number is out of range, the form unknown, or nothing is left of the
                input.
        """
        if form not in FORMS:
            raise ValueError(f"form: {form!r} is not one of {', '.join(map(repr, FORMS))}")
        if form == "1998" and classes != len(DIGIT_CODES):
            raise ValueError(
                f"classes: {classes} with form='1998', whose codes are those of the "
                f"{len(DIGIT_CODES)} digits; use form='modern'"
            )
        check_ndim(ndim)
        layers = (_first_form if form == "1998" else _modern_form)(in_channels, ndim)
        sizes = steps_behind(Chain(**layers), input_size, ndim)
        flatten = Flatten(120, sizes)
        output = Dense(84, classes) if form == "modern" else Distances(DIGIT_CODES)
        super().__init__(
            **layers,
            flatten=flatten,
            F6=Chain(dense=Dense(flatten.out_channels, 84), activation=_activation(form)),
            output=output,
        )
        if form == "modern":
            initialize(self, "he")
        self.ndim = ndim


def _activation(form: str) -> nn.Module:
    return ScaledTanh() if form == "1998" else nn.ReLU()


def _first_form(in_channels: int, ndim: int) -> dict[str, nn.Module]:
    conv = convolution(ndim)

    def subsample(channels: int) -> Chain:
        """The mean of each window, times a number, plus a number, both of the map."""
        # The paper has the sum in place of the mean, which its number makes up for.
        scale = conv(channels, channels, 1, groups=channels)
        return Chain(pool=AVERAGE_POOLS[ndim](2, padding="valid"), scale=scale, tanh=ScaledTanh())

    table = [
        Chain(seen=Select(6, maps), convolution=conv(len(maps), 1, 5, padding="valid"))
        for maps in CONNECTIONS
    ]
    return {
        "C1": Chain(convolution=conv(in_channels, 6, 5, padding="valid"), tanh=ScaledTanh()),
        "S2": subsample(6),
        "C3": Chain(maps=Concat(*table), tanh=ScaledTanh()),
        "S4": subsample(16),
        "C5": Chain(convolution=conv(16, 120, 5, padding="valid"), tanh=ScaledTanh()),
    }


def _modern_form(in_channels: int, ndim: int) -> dict[str, nn.Module]:
    def layer(a: int, b: int) -> Chain:
        return Chain(convolution=convolution(ndim)(a, b, 5, padding="valid"), activation=nn.ReLU())

    pool = MAX_POOLS[ndim]
    return {
        "C1": layer(in_channels, 6),
        "S2": pool(2, padding="valid"),
        "C3": layer(6, 16),
        "S4": pool(2, padding="valid"),
        "C5": layer(16, 120),
    }
