"""The backbones of a forecast net by their names."""

from __future__ import annotations

import copy
from functools import partial

from tcn.forecasting.fitted.setting_groups import NetSettings
from tcn.forecasting.fitted.sizes import Sizes
from tcn.layers import FiLM, SequenceModule
from tcn.layers.validation import check_positive
from tcn.models import GRU, LSTM, TCN, LargeKernel

BACKBONES = {"tcn": "TCN", "lstm": "LSTM", "gru": "GRU", "large_kernel": "LargeKernel"}
"""Names of backbones, and of the columns of their forecasts."""


def takes_condition(net: SequenceModule) -> bool:
    """Whether a layer of the net reads a condition."""
    return any(m.reads_condition for m in net.modules() if isinstance(m, SequenceModule))


def backbone_of(settings: NetSettings, sizes: Sizes) -> SequenceModule:
    """The backbone that is asked for, or a copy of the one that was handed in.

    Static covariates and categories scale and shift the levels of a TCN; others read them at every
    step.

    Args:
        settings: of the net. ``layers=None`` is for a TCN as many levels as cover the look-back
            (``TCN.for_length``), for others one.
        sizes: of what it reads.

    Raises:
        ValueError: if a name is unknown or a size not possible.
    """
    name, width, layers, dropout = (
        settings.model, settings.width, settings.layers, settings.dropout
    )  # fmt: skip
    if isinstance(name, SequenceModule):
        return copy.deepcopy(name)
    if name not in BACKBONES:
        raise ValueError(
            f"model: {name!r} is not one of {', '.join(map(repr, BACKBONES))}; or hand in a net"
        )
    channels = sizes.channels + sizes.constants
    if name == "large_kernel":
        return LargeKernel(
            channels, sizes.input_size, channels=width, layers=layers or 1, dropout=dropout
        )
    if name != "tcn":
        cell = {"lstm": LSTM, "gru": GRU}[name]
        return cell(channels, width, 1 if layers is None else layers, dropout=dropout)
    published = "pytorch"  # the initial weights with which the published forecasts were made
    if layers is None:
        covering = TCN.for_length(
            sizes.input_size, 1, settings.kernel_size, width=1, initialization=published
        )
        (levels,) = covering.children()
        layers = len(list(levels.children()))
    check_positive("layers", [layers])
    modulation = partial(FiLM, condition_channels=sizes.constants)
    return TCN(
        sizes.channels,
        [width] * layers,
        settings.kernel_size,
        dropout=dropout,
        modulation=modulation if sizes.constants else None,
        initialization=published,
    )
