"""Images as a product of distributions of their pixels, each given those before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from tcn.layers import AddCondition, Context, Reach, SequenceModule, State
from tcn.layers.validation import check_positive, check_probability
from tcn.models.pixel_stacks import ColorHead, PixelLayer, PixelStacks
from tcn.models.pixel_values import (
    check_images,
    check_range,
    class_weights,
    output_for_images,
    scaled,
)
from tcn.outputs import Output
from tcn.saving.description import recorded


class PixelCNN(SequenceModule):
    """A gated PixelCNN: two stacks of convolutions, over the rows above and the pixels to the left.

    ::

        x -+-> vertical stack:   rows above      --+--> ... --+--> ...
           |                                       v          v
           +-> horizontal stack: pixels to the left --> ... --> ... -> sum of skips -> head
                                                                                        ^
           x (earlier colors of the same pixel) ----------------------------------------+

    Pixels come row by row from the top left, and in each its colors in order. Maps images ``(batch,
    in_channels, height, width)`` of any size to raw numbers ``(batch, size * in_channels, height,
    width)`` of which ``net.output`` makes the distribution of each value given all that come before
    it; :meth:`per_value` puts them in the shape it reads. Every earlier pixel within
    ``receptive_field`` is seen: there is no blind spot.

    Values are what the output's targets are: 0 and 1 for ``Bernoulli``, integers from 0 on for
    ``Categorical``, and values from -1 to 1 for ``Logistics``. The net scales all of them to lie
    from -1 to 1, so that the zeros around an image are not the color of a pixel of two levels.

    The colors of a pixel depend on each other in the head: the stacks see whole pixels before the
    present one, and each color has a hidden layer and an output of its own that also read the
    earlier colors. The paper masks groups of channels instead, so that of every layer's features a
    third serves one color alone. The factors are the same, nothing is masked, and the colors of a
    pixel cost one evaluation of the stacks when images are drawn
    (:func:`tcn.inference.generate_images`).

    Source: van den Oord et al. 2016, arXiv:1606.05328, sections 2.1 to 2.3 and figure 2; the order
    of the colors is that of van den Oord et al. 2016, arXiv:1601.06759, section 2.

    ::

        net = PixelCNN(1, 16, 4, classes=10)
        images = torch.randint(2, (8, 1, 28, 28)).float()
        net.loss(images, torch.arange(8))  # nats per image
    """

    ndim = 2

    @recorded
    def __init__(
        self,
        in_channels: int,
        features: int,
        layers: int,
        *,
        output: str | Output = "bernoulli",
        kernel_size: int = 3,
        first_kernel_size: int = 7,
        classes: int | None = None,
        modulation: Callable[..., nn.Module] | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Builds stacks and head.

        Args:
            in_channels: channels of the image: 1 for gray, 3 for colors in their order.
            features: channels of each stack, and of each color in the head.
            layers: gated layers.
            output: what the raw numbers mean: ``"bernoulli"`` for binary images,
                ``Categorical(256)`` for bytes, ``Logistics(levels=256)`` for bytes scaled to lie
                from -1 to 1.
            kernel_size: width in pixels of what a layer sees of the rows above, odd. It sees
                ``kernel_size // 2`` rows more than its input, and as many pixels to the left.
            first_kernel_size: the same of the first layer.
            classes: how many classes, or numbers of another kind, images are conditioned on.
            modulation: a builder called with the channels and ``classes``, which conditions both
                stacks inside their gates, such as :class:`tcn.layers.FiLM`; None for
                :class:`tcn.layers.AddCondition`, as in the paper (section 2.3).
            dropout: share of the horizontal stack's features dropped in training.

        Raises:
            TypeError: if a number is not one, ``output`` is neither a name nor an output, or
                ``modulation`` is not a builder.
            ValueError: if a number is out of range, a kernel is not odd, or the output is not one
                for images.
        """
        super().__init__()
        check_positive("in_channels", [in_channels])
        check_positive("features", [features])
        check_positive("layers", [layers])
        _check_kernel("kernel_size", kernel_size)
        _check_kernel("first_kernel_size", first_kernel_size)
        check_probability("dropout", dropout)
        if classes is not None:
            check_positive("classes", [classes])
        if modulation is None:
            modulation = AddCondition
        if not callable(modulation):
            raise TypeError(
                f"modulation: {modulation!r} is not a builder; give a class such as "
                "tcn.layers.AddCondition or tcn.layers.FiLM"
            )
        self.output = output_for_images(output)
        self.classes = classes
        self.in_channels = in_channels
        self.out_channels = self.output.size * in_channels
        condition = None if classes is None else partial(modulation, condition_channels=classes)
        self.stacks = PixelStacks(
            PixelLayer(
                features if index else in_channels,
                features,
                kernel_size if index else first_kernel_size,
                first=index == 0,
                last=index == layers - 1,
                modulation=condition,
                dropout=dropout,
            )
            for index in range(layers)
        )
        self.head = ColorHead(features, self.output.size, in_channels)

    # ---------------------------------------------------------------- evaluation

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Raw numbers of whole images; nothing is remembered."""
        x = self.scaled(x)
        return self.head(self.stacks.whole(x, context), x, context), ()

    def scaled(self, x: Tensor) -> Tensor:
        """Values of images as the stacks take them: floats from -1 to 1."""
        return scaled(self.output, x, self._dtype)

    def per_value(self, raw: Tensor) -> Tensor:
        """``(batch, size * in_channels, height, width)`` with an axis for each of the two.

        That is ``(batch, size, in_channels, height, width)``, which ``net.output`` reads: its
        targets are the images.
        """
        return raw.unflatten(1, (self.output.size, self.in_channels))

    def negative_log_likelihood(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Minus the logarithm of each image's probability, in nats, ``(batch,)``.

        Source: van den Oord et al. 2016, arXiv:1601.06759, section 5.1.

        Args:
            images: ``(batch, in_channels, height, width)``, see the class.
            condition: ``(batch,)`` int64 classes or ``(batch, classes)`` weights of them.

        Raises:
            TypeError: if values are not of the type that the output is for.
            ValueError: if shapes do not fit, or values lie outside their range.
        """
        self.check_values("images", images)
        raw = self.per_value(self(images, condition=condition))
        return self.output.losses(raw, images).flatten(1).sum(1)

    def loss(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean of :meth:`negative_log_likelihood`, which takes the same."""
        return self.negative_log_likelihood(images, condition).mean()

    def bits_per_dimension(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """:meth:`negative_log_likelihood` in bits by the number of values, ``(batch,)``.

        A value is a color of a pixel: 3072 of them in an image of 32 x 32 pixels. Source: as there.
        """
        nats = self.negative_log_likelihood(images, condition)
        return nats / (images.shape[1:].numel() * math.log(2))

    # -------------------------------------------------------------------- checks

    def check_values(self, name: str, images: Tensor) -> None:
        """Refuses images of another shape, type or range than this net's.

        Raises:
            TypeError: naming the argument and the type.
            ValueError: naming the argument, and shape or values.
        """
        check_images(name, images, self.in_channels, self.output)
        check_range(name, images, self.output)

    def context_of(self, condition: Tensor | None, images: Tensor) -> Context:
        """What the stacks take with images: classes one-hot, weights of them as they are.

        Raises:
            ValueError: if the condition is missing or superfluous, does not fit, or has a class
                that the net has not.
        """
        weights = class_weights(condition, self.classes, images)
        return Context(condition=weights if weights is None else weights.to(self._dtype))

    def _enter(
        self,
        x: Tensor,
        lengths: Tensor | None,
        condition: Tensor | None,
        mask: Tensor | None,
        *,
        streaming: bool,
    ) -> tuple[Tensor, Context]:
        check_images("x", x, self.in_channels, self.output)
        if 0 in x.shape[2:]:
            raise ValueError(f"x: shape {tuple(x.shape)} has no pixels; give at least one")
        condition = self.context_of(condition, x).condition
        return super()._enter(x, lengths, condition, mask, streaming=streaming)

    @property
    def _dtype(self) -> torch.dtype:
        return self.head.raw.weight.dtype

    # ------------------------------------------------------------------ geometry

    @property
    def streaming_obstacle(self) -> str:
        """Rows above are seen to their right end."""
        return (
            "PixelCNN sees pixels of the rows above to the right; to draw images row by row use "
            "tcn.inference.generate_images"
        )

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Rows above, and pixels to both sides of them; to the left alone in the present row."""
        sideways, upwards = (
            sum(layer.vertical.reach[axis].left for layer in self.stacks) for axis in (0, 1)
        )
        return Reach(upwards, 0), Reach(sideways, sideways)


def _check_kernel(name: str, size: int) -> None:
    check_positive(name, [size])
    if size < 3 or size % 2 == 0:
        raise ValueError(
            f"{name}: {size} is not odd and at least 3; rows above are seen as far to the left as "
            f"to the right, give {max(size // 2 * 2 + 1, 3)}"
        )
