"""A small net whose every choice is an argument, so that two nets differ in one of them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from tcn.layers import BasicBlock, BatchNorm, Chain, LocallyConnected2d, convolution
from tcn.layers.pooling import AVERAGE_POOLS, MAX_POOLS

REDUCTIONS = ("none", "max", "average", "stride", "convolution")
WHERE = ("same", "valid")


class StagedNet(Chain):
    """Stages of convolutions, each of which may see twice as far as the one before.

    ::

        x -> [convolution, norm, relu] x layers -> reduction -> the next stage

    ``(batch, in_channels, *sizes)`` to ``(batch, channels[-1], *sizes)``, the sizes halved by every
    reduction. For a readout and a head put it into :class:`tcn.models.SequenceModel`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        *,
        kernel_size: int = 3,
        layers: int = 1,
        reduction: str = "max",
        window: int = 2,
        dilated: bool = False,
        shortcuts: bool = False,
        padding: str = "same",
        local_sizes: Sequence[int] | None = None,
        ndim: int = 2,
        causal: bool = False,
    ) -> None:
        """Builds the stages.

        Args:
            in_channels: channels of the input.
            channels: width of every stage.
            kernel_size: taps of a convolution per axis.
            layers: convolutions of a stage.
            reduction: what halves the sizes behind a stage: ``"max"`` and ``"average"`` pools,
                ``"stride"`` of the stage's last convolution, a further ``"convolution"`` with a
                stride in the place of a pool (Springenberg et al. 2015), or ``"none"``.
            window: taps of the reduction per axis.
            dilated: whether the taps of stage ``i`` lie ``2**i`` steps apart.
            shortcuts: whether every convolution pair is a residual block.
            padding: ``"same"`` for zeros around the input, ``"valid"`` for none.
            local_sizes: height and width of the input, if the first convolution shares no weights
                between positions.
            ndim: 1 for sequences, 2 for images.
            causal: whether outputs see the past only.

        Raises:
            ValueError: a name is unknown, or a stage of residual blocks has not two convolutions.
        """
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction: {reduction!r} is none of {', '.join(REDUCTIONS)}")
        if padding not in WHERE:
            raise ValueError(f"padding: {padding!r} is none of {', '.join(WHERE)}")
        if shortcuts and (layers != 2 or padding != "same"):
            raise ValueError(
                f"shortcuts: True with layers={layers} and padding={padding!r}; a residual block "
                'has layers=2 and padding="same"'
            )
        where = ["causal" if causal else padding] * ndim
        parts: dict[str, nn.Module] = {}
        for stage, width in enumerate(channels):
            stride = 2 if reduction == "stride" else 1
            place: dict[str, Any] = {"padding": where, "dilation": 2**stage if dilated else 1}
            if shortcuts:
                parts[f"block{stage}"] = BasicBlock(
                    in_channels, width, kernel_size, ndim=ndim, stride=stride, **place
                )
            else:
                for layer in range(layers):
                    kind: Any = convolution(ndim)
                    if local_sizes is not None and not parts:
                        kind = partial(LocallyConnected2d, sizes=local_sizes)
                    last = layer == layers - 1
                    parts[f"layer{stage}_{layer}"] = _layer(
                        kind(
                            in_channels if layer == 0 else width, width, kernel_size=kernel_size,
                            stride=stride if last else 1, bias=False, **place,
                        )
                    )  # fmt: skip
            parts |= _reduced(stage, width, reduction, window, "causal" if causal else "same", ndim)
            in_channels = width
        super().__init__(**parts)
        self.ndim = ndim


def _layer(convolved: Any) -> Chain:
    norm = BatchNorm(convolved.out_channels)
    return Chain(convolution=convolved, norm=norm, activation=nn.ReLU())


def _reduced(
    stage: int, width: int, reduction: str, window: int, where: str, ndim: int
) -> dict[str, nn.Module]:
    """What stands between two stages."""
    place: dict[str, Any] = {"stride": 2, "padding": [where] * ndim}
    if reduction in ("max", "average"):
        pools: Any = MAX_POOLS if reduction == "max" else AVERAGE_POOLS
        return {f"pool{stage}": pools[ndim](window, **place)}
    if reduction == "convolution":
        convolved = convolution(ndim)(width, width, window, bias=False, **place)
        return {f"reduce{stage}": _layer(convolved)}
    return {}
