"""The temporal convolutional network of Bai, Kolter & Koltun 2018, in one and two dimensions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tcn.layers import BLOCKS, Chain, Dropout, look_ahead
from tcn.layers.blocks import Builder
from tcn.layers.initialization import initialize
from tcn.layers.validation import check_positive, check_switch, is_integer, per_axis, unsaid
from tcn.saving.description import recorded

Block = Callable[..., nn.Module]


class TCN(Chain):
    """Blocks of dilated convolutions, one per level, the dilation doubling from level to level.

    ::

        level 3, dilation 4   o . . . o . . . o
        level 2, dilation 2           o . o . o      each level a residual block of two
        level 1, dilation 1               o o o      convolutions (kernel_size 3 drawn here)

    Maps ``(batch, in_channels, *sizes)`` to ``(batch, channels[-1], *sizes)``. Along a causal
    axis no output depends on a later input (``lookahead`` aside), and if time is one :meth:`step`
    evaluates a stream chunk by chunk.

    Source: Bai et al. 2018, arXiv:1803.01271, section 3 and figure 1.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernel_size: int,
        *,
        ndim: int = 1,
        dilations: Sequence[int] | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "weight",
        activation: str | None = None,
        causal: bool | Sequence[bool] | None = None,
        lookahead: int = 0,
        block: str | Block = "residual",
        modulation: Builder | None = None,
        initialization: str = "scaled",
    ) -> None:
        """Builds one block per level.

        Args:
            in_channels: channels of the input.
            channels: width of each level.
            kernel_size: taps of every convolution, per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            dilations: one per level, in steps; ``1, 2, 4, ...`` unless given.
            dropout: share of values dropped in training, or a :class:`tcn.layers.Dropout` to copy.
            norm: ``"weight"``, ``"layer"``, ``"rms"``, ``"batch"``, ``"group"``, ``"cumulative"``,
                ``"none"``, or a builder called with the channels; which for which data is said in
                :mod:`tcn.layers.normalization`.
            activation: ``"relu"``, ``"gelu"``, ...; what the block has by default if None.
            causal: whether outputs see the past only; True in 1-D unless given. In 2-D it must be
                said, per axis or one for both: ``(False, True)`` for a spectrogram, ``False`` for
                an image.
            lookahead: steps of the future that an output of a causal net sees all the same, shared
                out over the levels; a stream is late by that many (:attr:`latency`).
            block: ``"residual"``, ``"preactivation"``, ``"separable"``, ``"gated"``, ``"basic"``,
                ``"bottleneck"``, or a class with their signature.
            modulation: a builder called with the channels; :class:`tcn.layers.FiLM`,
                :class:`tcn.layers.AddCondition` or :class:`tcn.layers.SqueezeExcite`.
            initialization: ``"scaled"``, with which small sets are learned sooner and deep nets
                keep the size of the signal; ``"pytorch"`` (what the authors' code amounts to) to
                reproduce the paper; ``"he"`` or ``"normal"``. See
                :mod:`tcn.layers.initialization`.

        Raises:
            ValueError: if ``channels`` is empty, ``dilations`` has another length, a size is not
                positive, a name unknown, ``dropout`` not in [0, 1), or ``causal`` not given in 2-D.
        """
        if is_integer(channels):
            raise TypeError(
                f"channels: {channels} is not a sequence; give one width per level, such as "
                f"[{channels}] * 8"
            )
        channels = list(channels)
        if not channels:
            raise ValueError("channels: []; give one width per level, such as [25] * 8")
        check_positive("channels", channels)
        dilations = [2**level for level in range(len(channels))] if dilations is None else dilations
        check_positive("dilations", dilations)
        if len(dilations) != len(channels):
            raise ValueError(
                f"dilations: {list(dilations)} has {len(dilations)} values for {len(channels)} "
                "levels of channels; give one dilation per level"
            )
        if isinstance(block, str):
            if block not in BLOCKS:
                raise ValueError(f"block: {block!r} is not one of {', '.join(map(repr, BLOCKS))}")
            block = BLOCKS[block]
        settings = {
            "ndim": ndim,
            "padding": ["causal" if c else "same" for c in _causal_axes(causal, ndim)],
            "dropout": dropout,
            "norm": norm,
            "modulation": modulation,
            **({} if activation is None else {"activation": activation}),
        }
        widths = zip([in_channels, *channels], channels, dilations, strict=False)
        super().__init__(
            levels=Chain(
                *(
                    block(width_in, width, kernel_size, dilation=dilation, **settings)
                    for width_in, width, dilation in widths
                )
            )
        )
        initialize(self, initialization)
        if lookahead:
            look_ahead(self, lookahead)
        self.ndim = ndim
        self.in_channels = in_channels
        self.out_channels = channels[-1]

    @classmethod
    def for_length(
        cls,
        length: int,
        in_channels: int,
        kernel_size: int,
        *,
        width: int | None = None,
        max_parameters: int | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "weight",
        block: str | Block = "residual",
        initialization: str = "scaled",
    ) -> TCN:
        """The shallowest causal TCN whose receptive field covers a history.

        Args:
            length: steps to cover, the present included.
            in_channels: channels of the input.
            kernel_size: taps of every convolution.
            width: channels of every level; give this or ``max_parameters``.
            max_parameters: the widest net within this many trainable parameters is taken.
            dropout: see the class.
            norm: see the class.
            block: see the class.
            initialization: see the class.

        Raises:
            ValueError: if neither or both of ``width`` and ``max_parameters`` are given, if
                ``kernel_size=1`` cannot cover the length, or if the budget does not suffice.
        """
        check_positive("length", [length])
        check_positive("kernel_size", [kernel_size])
        if (width is None) == (max_parameters is None):
            raise ValueError(
                f"width: {width} and max_parameters: {max_parameters}; give exactly one of them"
            )
        if kernel_size == 1 and length > 1:
            raise ValueError(
                f"kernel_size: 1 sees one step however deep the net, not length={length}; use at "
                "least 2"
            )

        def build(levels: int, width: int) -> TCN:
            return cls(in_channels, [width] * levels, kernel_size, dropout=dropout, norm=norm,
                       block=block, initialization=initialization)  # fmt: skip

        def count(levels: int, width: int) -> int:
            with torch.device("meta"):
                return sum(parameter.numel() for parameter in build(levels, width).parameters())

        levels = levels_for(length, kernel_size, block)
        if max_parameters is not None:
            width = _largest(lambda width: count(levels, width) <= max_parameters)
            if width == 0:
                raise ValueError(
                    f"max_parameters: {max_parameters} is too few for the {levels} levels that "
                    f"cover length={length} with kernel_size={kernel_size}; one channel takes "
                    f"{count(levels, 1)}"
                )
        assert width is not None
        return build(levels, width)

    @classmethod
    def from_locuslab(cls, state_dict: Mapping[str, Tensor], *, dropout: float = 0.0) -> TCN:
        """Loads the weights of a ``TemporalConvNet`` of the authors' code.

        The checkpoint may be that of the bare net or of a task's model around it, and may have the
        keys of PyTorch's old weight norm (``weight_g``) or of the parametrized one.

        Args:
            state_dict: the checkpoint's tensors.
            dropout: share of values dropped in training, which checkpoints do not hold.

        Returns:
            A net with the same outputs.

        Raises:
            ValueError: if a tensor of the ``TemporalConvNet`` is missing.
        """
        levels = _locuslab_levels(state_dict)
        directions = [level["layer1.convolution.weight_v"] for level in levels]
        net = cls(
            directions[0].shape[1],
            [weight.shape[0] for weight in directions],
            directions[0].shape[2],
            dropout=dropout,
        )
        renamed = {}
        for index, level in enumerate(levels):
            for name, tensor in level.items():
                branch = "" if name.startswith("shortcut") else "body."
                renamed[f"levels.{index}.sum.{branch}{name}"] = tensor
        net.load_state_dict(renamed)
        return net


def _causal_axes(causal: bool | Sequence[bool] | None, ndim: int) -> tuple[bool, ...]:
    if causal is None and ndim == 2:
        raise unsaid("causal", "(False, True)", "False", [True, False])
    axes = per_axis("causal", True if causal is None else causal, ndim)
    for axis in axes:
        check_switch(causal=axis)
    return tuple(map(bool, axes))


_LOCUSLAB_KEY = re.compile(
    r"(?:^|.*\.)network\.(?P<level>\d+)\."
    r"(?:(?P<convolution>conv1|conv2|net\.0|net\.4)|(?P<shortcut>downsample))\."
    r"(?P<parameter>weight_g|weight_v|weight|bias|parametrizations\.weight\.original[01])$"
)
_LAYER = {"conv1": "layer1", "net.0": "layer1", "conv2": "layer2", "net.4": "layer2"}
_PARAMETER = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def _locuslab_levels(state_dict: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors of each level under the names of a :class:`ResidualBlock`'s parts."""
    levels: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state_dict.items():
        match = _LOCUSLAB_KEY.match(key)
        if match is None:
            continue
        parameter = _PARAMETER.get(match["parameter"], match["parameter"])
        layer = _LAYER.get(match["convolution"] or "")
        name = f"{layer}.convolution.{parameter}" if layer else f"shortcut.{parameter}"
        levels.setdefault(int(match["level"]), {})[name] = tensor
    needed = [f"layer{i}.convolution.{p}" for i in (1, 2) for p in ("weight_g", "weight_v", "bias")]
    for index in range(max(levels, default=0) + 1):
        level = levels.get(index, {})
        missing = [name for name in needed if name not in level]
        if not missing and _changes_width(level):
            missing = [name for name in ("shortcut.weight", "shortcut.bias") if name not in level]
        if missing:
            raise ValueError(
                f"state_dict: no tensor for {missing[0]} of level {index}; expected the keys of a "
                f"TemporalConvNet, such as 'network.{index}.conv1.weight_g', found "
                f"{sorted(state_dict)[:4]} ..."
            )
    return [levels[index] for index in sorted(levels)]


def _changes_width(level: dict[str, Tensor]) -> bool:
    direction = level["layer1.convolution.weight_v"]
    return direction.shape[0] != direction.shape[1]


def levels_for(length: int, kernel_size: int, block: str | Block = "residual") -> int:
    """The fewest levels whose convolutions cover ``length`` steps."""
    levels = 1
    with torch.device("meta"):
        # Without a norm: one over all the past would cover everything by its statistics alone.
        while TCN(1, [1] * levels, kernel_size, norm="none", block=block).receptive_field < length:  # type: ignore[operator]
            levels += 1
    return levels


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest positive integer that fits, 0 if none does; found by doubling and halving."""
    if not fits(1):
        return 0
    low = 1
    while fits(2 * low):
        low *= 2
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
