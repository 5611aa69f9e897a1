"""Conv-TasNet: voices apart, by masks over learned filters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers import (
    Chain,
    Context,
    Conv1d,
    ConvTranspose1d,
    CumulativeNorm,
    GroupNorm,
    Multiply,
    Pointwise,
    SkipSum,
    State,
)
from tcn.layers.blocks.recipe import Builder
from tcn.layers.validation import check_channels, check_input, check_positive, check_switch
from tcn.models.classifier import in_order, load_renamed, missing
from tcn.saving.description import recorded

TORCHAUDIO = "torchaudio"
EPSILON = 1e-8
"""Added to variances, which are small in quiet sound; that of torchaudio's net."""


class Copies(Pointwise):
    """Every channel once for each of several sources, source by source."""

    @recorded
    def __init__(self, sources: int) -> None:
        """Copies the channels ``sources`` times."""
        super().__init__()
        self.sources = sources

    def channels_after(self, channels: int) -> int:
        """Channels that ``channels`` become."""
        return channels * self.sources

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, time)`` to ``(batch, sources * channels, time)``."""
        return x.repeat(1, self.sources, *[1] * (x.dim() - 2))


class SharedDecoder(ConvTranspose1d):
    """The sound of every source from its filters' outputs, by filters that all sources share.

    ``(batch, sources * filters, frames)`` to ``(batch, sources, frames * stride)``.
    """

    @recorded
    def __init__(self, filters: int, sources: int, kernel_size: int, *, stride: int) -> None:
        """Builds the decoder for ``filters`` of each of ``sources``.

        Raises:
            ValueError: if a size is below 1, or ``kernel_size`` below ``stride``.
        """
        super().__init__(filters, 1, kernel_size, stride=stride, bias=False)
        self.in_channels, self.out_channels = sources * filters, sources

    def _spread(self, x: Tensor) -> Tensor:
        batch, sources = x.shape[0], self.out_channels  # no -1: a batch may be empty
        each = x.reshape(batch * sources, self.in_channels // sources, x.shape[-1])
        each = super()._spread(each)
        return each.reshape(batch, sources, each.shape[-1])


class MaskBlock(nn.Module):
    """A depthwise convolution between two 1x1 layers, with a residual and a skip output.

    ::

        x -> 1x1 -> PReLU -> norm -> depthwise, dilated -> PReLU -> norm -+-> residual 1x1 -> + x
                                                                         +-> skip 1x1

    Source: Luo & Mesgarani 2019, section II-C and figure 1 (c).
    """

    ndim: int = 1
    skip: nn.Module | None

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel_size: int,
        *,
        dilation: int,
        padding: str,
        norm: Builder,
        last: bool,
    ) -> None:
        """Builds the block; the last of a net hands nothing on."""
        super().__init__()
        self.in_channels = channels
        self.body = Chain(
            entry=Conv1d(channels, hidden, 1),
            first_activation=nn.PReLU(),
            first_norm=norm(hidden),
            convolution=Conv1d(
                hidden, hidden, kernel_size, dilation=dilation, padding=padding, groups=hidden
            ),
            activation=nn.PReLU(),
            norm=norm(hidden),
        )
        self.residual = Nothing() if last else Conv1d(hidden, channels, 1)
        self.skip = Conv1d(hidden, channels, 1)
        self.shortcut = nn.Identity()


class Nothing(Pointwise):
    """A zero, to add to whatever there is."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, time)`` to ``(1, 1, 1)``."""
        return x.new_zeros(1, 1, 1)


class ConvTasNet(Chain):
    """Sound of several sources apart: a mask for each over the outputs of learned filters.

    ::

        x -> encoder -+-> norm -> 1x1 -> blocks, dilation 1, 2, ... -> PReLU -> 1x1 -> sigmoid -> *
                      +-----------------------------------------------------------------------> *
                                                                                   decoder <- masked

    Maps ``(batch, 1, time)`` to ``(batch, sources, time)``. Without ``causal`` the norms look at
    the whole sound. With it the net streams, and as a frame is known when its last sample has come,
    output ``t`` is what the sources were at ``t - delay``, ``delay`` being ``kernel_size - 1``
    samples: train it with targets that are as much later. It returns whole frames, up to
    ``kernel_size // 2 - 1`` samples more than it is given. :meth:`separate` puts them in place.

    Source: Luo & Mesgarani 2019, arXiv:1809.07454, section II; its N, L, B, H, P, X and R are
    ``filters``, ``kernel_size``, ``channels``, ``hidden``, ``taps``, ``layers`` and ``stacks``.

    Attributes:
        delay: samples by which the outputs lag; 0 without ``causal``.
    """

    encoder: Any
    decoder: Any

    @recorded
    def __init__(
        self,
        sources: int = 2,
        *,
        filters: int = 512,
        kernel_size: int = 16,
        channels: int = 128,
        hidden: int = 512,
        taps: int = 3,
        layers: int = 8,
        stacks: int = 3,
        causal: bool = False,
    ) -> None:
        """Builds the net; the defaults are the paper's best.

        Args:
            sources: how many are told apart.
            filters: of the encoder and the decoder.
            kernel_size: samples of a filter, an even number; frames lie half of it apart.
            channels: between the blocks, and of their skip outputs.
            hidden: within the blocks.
            taps: of the depthwise convolutions.
            layers: of a stack, with dilations 1, 2, 4, ...
            stacks: how often the dilations are repeated.
            causal: whether convolutions and norms look at the past alone.

        Raises:
            ValueError: if a size is below 1, ``kernel_size`` is odd, or ``taps`` is even where
                the net is not causal.
        """
        check_switch(causal=causal)
        check_channels(filters=filters, channels=channels, hidden=hidden)
        sizes = {"kernel_size": kernel_size, "taps": taps, "layers": layers, "stacks": stacks}
        sizes["sources"] = sources
        for name, value in sizes.items():
            check_positive(name, [value])
        if kernel_size % 2:
            raise ValueError(f"kernel_size: {kernel_size} is odd; give an even number, such as 16")
        if not causal and taps % 2 == 0:
            raise ValueError(f"taps: {taps} is even; give an odd number, such as 3, or causal=True")
        stride = kernel_size // 2
        norm: Builder = partial(CumulativeNorm, epsilon=EPSILON)
        if not causal:
            norm = partial(GroupNorm, groups=1, epsilon=EPSILON)
        count = stacks * layers
        blocks = [
            MaskBlock(
                channels, hidden, taps, dilation=2 ** (index % layers),
                padding="causal" if causal else "same", norm=norm, last=index == count - 1,
            )
            for index in range(count)
        ]  # fmt: skip
        masks = Chain(
            norm=norm(filters),
            entry=Conv1d(filters, channels, 1),
            blocks=SkipSum(blocks),
            activation=nn.PReLU(),
            mask=Conv1d(channels, sources * filters, 1),
            sigmoid=nn.Sigmoid(),
        )
        super().__init__(
            encoder=Conv1d(
                1, filters, kernel_size, stride=stride, bias=False,
                padding="causal" if causal else "valid",
            ),
            masked=Multiply(masks=masks, features=Copies(sources)),
            decoder=SharedDecoder(filters, sources, kernel_size, stride=stride),
        )  # fmt: skip
        self.delay = kernel_size - 1 if causal else 0

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Runs over the chunk; without ``causal`` half a frame more of silence on both sides."""
        if self.delay:
            return super().advance(x, state, context)
        check_input(self, x, 1, 1)
        time, (stride,) = x.shape[-1], self.encoder.stride
        beyond = stride + -time % stride
        if context.mask is not None:  # a frame, known by its last sample, counts if any does
            valid = F.pad(context.mask.to(x.dtype), (3 * stride - 1, beyond))
            valid = F.max_pool1d(valid, 2 * stride, 1)
            context = context._replace(mask=valid > 0)
        y, state = super().advance(F.pad(x, (stride, beyond)), state, context)
        return y[..., stride : stride + time], state

    def separate(self, x: Tensor) -> Tensor:
        """The sources at the time of the sound: ``(batch, 1, time)`` to ``(batch, sources, time)``.

        Raises:
            ValueError: if there is more than one channel.
        """
        time = x.shape[-1]
        return self(F.pad(x, (0, self.delay)))[..., self.delay : self.delay + time]

    @property
    def changes_length(self) -> bool:
        """No: what is put around the sound is cut again."""
        return False

    @classmethod
    def from_torchaudio(cls, state_dict: Mapping[str, Tensor], *, stacks: int = 3) -> ConvTasNet:
        """Loads the weights of ``torchaudio.models.ConvTasNet``, whose masks are sigmoids.

        Args:
            state_dict: the checkpoint's tensors.
            stacks: how often the dilations are repeated, which the tensors do not tell.

        Returns:
            A net with the same outputs.

        Raises:
            ValueError: if a tensor is missing, superfluous, or of another shape, or there are not
                equally many blocks in every stack.
        """
        layer = "mask_generator.conv_layers.{}.conv_layers.3.weight"
        example, last = "encoder.weight", "mask_generator.output_conv.weight"
        for name in (example, "mask_generator.input_conv.weight", layer.format(0), last):
            if name not in state_dict:
                raise missing(name, state_dict, example, TORCHAUDIO)
        filters, _, kernel_size = state_dict[example].shape
        hidden, _, taps = state_dict[layer.format(0)].shape
        pattern = re.compile(layer.replace(".", r"\.").format(r"(\d+)"))
        count = len(list(filter(None, map(pattern.fullmatch, state_dict))))
        check_positive("stacks", [stacks])
        if count % stacks:
            raise ValueError(
                f"stacks: {stacks} do not divide {count} blocks; give those of the net"
            )
        net = cls(
            state_dict[last].shape[0] // filters,
            filters=filters,
            kernel_size=kernel_size,
            channels=state_dict["mask_generator.input_conv.weight"].shape[0],
            hidden=hidden,
            taps=taps,
            layers=count // stacks,
            stacks=stacks,
        )
        modules = ["encoder", "mask_generator.input_norm", "mask_generator.input_conv"]
        for index in range(count):
            block = f"mask_generator.conv_layers.{index}"
            modules += [f"{block}.conv_layers.{part}" for part in range(6)]
            modules += [f"{block}.res_out"] * (index < count - 1) + [f"{block}.skip_out"]
        modules += ["mask_generator.output_prelu", "mask_generator.output_conv", "decoder"]
        load_renamed(net, state_dict, in_order(net, modules), example, TORCHAUDIO)
        return net
