"""AlexNet in three forms, and the net of Zeiler & Fergus that grew out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from tcn.layers import Chain, LocalResponseNorm, convolution, initialize
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


class Stage(NamedTuple):
    """A convolution, a ReLU, and what follows them.

    Attributes:
        channels: channels of the output.
        kernel_size: taps per axis.
        stride: distance between outputs.
        padding: of the convolution.
        groups: towers that do not see each other, one per GPU.
        normalize: whether a local response norm follows the ReLU.
        pool: padding of the pool of 3 with stride 2 that follows; None if none does.
        pool_first: whether it stands before the norm.
    """

    channels: int
    kernel_size: int
    stride: int = 1
    padding: str | int = "same"
    groups: int = 1
    normalize: bool = False
    pool: str | int | None = None
    pool_first: bool = False


ALEXNETS: dict[str, tuple[Stage, ...]] = {
    "two_towers": (
        Stage(96, 11, 4, "valid", normalize=True, pool="valid"),
        Stage(256, 5, groups=2, normalize=True, pool="valid"),
        Stage(384, 3),
        Stage(384, 3, groups=2),
        Stage(256, 3, groups=2, pool="valid"),
    ),
    "ungrouped": (
        Stage(96, 11, 4, "valid", normalize=True, pool="valid"),
        Stage(256, 5, normalize=True, pool="valid"),
        Stage(384, 3),
        Stage(384, 3),
        Stage(256, 3, pool="valid"),
    ),
    "one_weird_trick": (
        Stage(64, 11, 4, 2, pool="valid"),
        Stage(192, 5, pool="valid"),
        Stage(384, 3),
        Stage(256, 3),
        Stage(256, 3, pool="valid"),
    ),
}
"""Figure 2 of Krizhevsky et al. 2012; the last: Krizhevsky 2014, footnote 1, as in torchvision."""
ZEILER_FERGUS = (
    Stage(96, 7, 2, 1, normalize=True, pool="ceil", pool_first=True),
    Stage(256, 5, 2, "valid", normalize=True, pool="ceil", pool_first=True),
    Stage(384, 3),
    Stage(384, 3),
    Stage(256, 3, pool="valid"),
)
"""Figure 3 of Zeiler & Fergus 2014."""
INPUT_SIZES = {"two_towers": 227, "ungrouped": 227, "one_weird_trick": 224}


class AlexNet(Classifier):
    """Five convolutions and three dense layers.

    ::

        x -> conv 11, stride 4 -> pool -> conv 5 -> pool -> conv 3 -> conv 3 -> conv 3 -> pool
          -> dense 4096 -> dense 4096 -> dense       a ReLU behind each, overlapping pools 3 / 2

    Maps ``(batch, in_channels, *input_size)`` to ``(batch, classes)``: the dense layers fix the
    size. The paper says 224; its numbers of units are those of 227.

    Source: Krizhevsky et al. 2012 (ImageNet classification with deep convolutional neural
    networks), section 3 and figure 2; Krizhevsky 2014, arXiv:1404.5997 (one weird trick).

    ::

        net = AlexNet(3, 10, input_size=67)
        net(torch.randn(2, 3, 67, 67)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1000,
        *,
        form: str = "two_towers",
        dropout: float = 0.5,
        input_size: int | Sequence[int] | None = None,
        ndim: int = 2,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015) in the convolutions.

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned.
            form: ``"two_towers"`` as it was trained on two GPUs, ``"ungrouped"``, or
                ``"one_weird_trick"``, which is torchvision's.
            dropout: share of values dropped in training, at two of the dense layers.
            input_size: steps of the input per axis; 227 unless given, 224 for the last form.
            ndim: 1 for sequences, 2 for images and spectrograms.

        Raises:
            ValueError: if a number is out of range, the form unknown, or nothing is left of the
                input.
        """
        if form not in ALEXNETS:
            raise ValueError(f"form: {form!r} is not one of {', '.join(map(repr, ALEXNETS))}")
        features = _features(in_channels, ALEXNETS[form], ndim)
        input_size = INPUT_SIZES[form] if input_size is None else input_size
        sizes = steps_behind(features, input_size, ndim)
        head = dense_head(
            256, sizes, classes, width=4096, dropout=dropout,
            dropout_last=form != "one_weird_trick",
        )  # fmt: skip
        super().__init__(features=features, **head)
        initialize(self, "he")
        self.ndim = ndim

    @classmethod
    def from_torchvision(cls, state_dict: Mapping[str, Tensor]) -> AlexNet:
        """Loads the weights of ``torchvision.models.alexnet``.

        Args:
            state_dict: the checkpoint's tensors.

        Returns:
            A net with the same outputs for images of 224 x 224.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape.
        """
        example = "features.0.weight"
        for name in (example, "classifier.6.weight"):
            if name not in state_dict:
                raise missing(name, state_dict, example)
        in_channels, classes = (
            state_dict[example].shape[1], state_dict["classifier.6.weight"].shape[0]
        )  # fmt: skip
        net = cls(in_channels, classes, form="one_weird_trick")
        modules = [f"features.{i}" for i in (0, 3, 6, 8, 10)]
        modules += [f"classifier.{i}" for i in (1, 4, 6)]
        load_renamed(net, state_dict, in_order(net, modules), example)
        return net


class ZFNet(Classifier):
    """AlexNet with smaller first kernels: 7 with stride 2, then 5 with stride 2.

    Maps ``(batch, in_channels, *input_size)`` to ``(batch, classes)``: the dense layers fix the
    size. The contrast normalization of the paper is a local response norm here.

    Source: Zeiler & Fergus 2014, arXiv:1311.2901, section 4.1 and figure 3.

    ::

        net = ZFNet(3, 10, input_size=64)
        net(torch.randn(2, 3, 64, 64)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1000,
        *,
        dropout: float = 0.5,
        input_size: int | Sequence[int] = 224,
        ndim: int = 2,
    ) -> None:
        """Builds the net with He's weights (He et al. 2015) in the convolutions.

        Args:
            in_channels: channels of the input.
            classes: numbers that are returned.
            dropout: share of values dropped behind the hidden dense layers in training.
            input_size: steps of the input per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.

        Raises:
            ValueError: if a number is out of range, or nothing is left of the input.
        """
        features = _features(in_channels, ZEILER_FERGUS, ndim)
        sizes = steps_behind(features, input_size, ndim)
        head = dense_head(256, sizes, classes, width=4096, dropout=dropout)
        super().__init__(features=features, **head)
        initialize(self, "he")
        self.ndim = ndim


def _features(in_channels: int, stages: Sequence[Stage], ndim: int) -> Chain:
    placing, parts = Placing.of(False, ndim), []
    for stage in stages:
        convolve = convolution(ndim)(
            in_channels, stage.channels, stage.kernel_size, stride=stage.stride,
            padding=stage.padding, groups=stage.groups,
        )  # fmt: skip
        # The paper's alpha weighs the sum over 5 channels, the layer's their mean.
        norm = {"norm": LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)} if stage.normalize else {}
        pool = {} if stage.pool is None else {"pool": placing.max_pool(3, 2, stage.pool)}
        rest: dict[str, nn.Module] = {**pool, **norm} if stage.pool_first else {**norm, **pool}
        parts.append(Chain(convolution=convolve, activation=nn.ReLU(), **rest))
        in_channels = stage.channels
    return Chain(*parts)
