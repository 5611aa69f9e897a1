"""What each part of the TCN is worth: kernel size, shortcuts, gates, weight norm, dropout.

After Bai et al. 2018, figure 6 (kernel size, residual) and table 5 (gating), with a budget of
minutes: every variant has 6 levels, at most as many parameters as the net of the quick config (its
width follows), and as many optimizer steps. Copying memory is run at T = 100, digits as configured.
"""

from bisect import bisect_right
from functools import cache
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import nn

from benchmarks.report.paper import ACCURACY, LAST_ACCURACY
from benchmarks.report.plots import INK, look
from benchmarks.report.summary import TaskSummary
from benchmarks.studies.study import Point, summary_of
from tcn.figures import PALE
from tcn.layers import Chain, Dropout, ResidualBlock
from tcn.models import TCN, SequenceModel

NAME = "ablations"
LENGTH = 100
LEVELS = 6  # kernels of size 2 then see 127 steps, which is all of them
KERNEL_SIZES = (2, 3, 4, 6, 8)
BASE = "kernel_8"
DROPOUT = 0.1
PARAMETERS = 14_922
BACKBONE = "model.init_args.net.init_args.backbone"

OVERRIDES = {
    "copying_quick": (
        f"data.init_args.length={LENGTH}",
        "data.init_args.train_size=10000",
        "trainer.max_epochs=5",
    ),
    "digits": (),
}
METRICS = {"copying_quick": LAST_ACCURACY, "digits": ACCURACY}
TITLES = {"copying_quick": f"Copying, T = {LENGTH}", "digits": "Digits"}

# For each variant, its label and how it differs from the net of kernel size 8.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"kernel_{k}": (f"kernel size {k}", {"kernel_size": k}) for k in KERNEL_SIZES},
    "without_shortcuts": ("without residual", {"shortcuts": False}),
    "gated": ("gated (GLU)", {"block": "gated", "activation": "none"}),
    "without_weight_norm": ("without weight norm", {"norm": "none"}),
    "dropout_values": (f"dropout of values, {DROPOUT}", {"dropout": (DROPOUT, False)}),
    "dropout_channels": (f"dropout of channels, {DROPOUT}", {"dropout": (DROPOUT, True)}),
}


class WithoutShortcuts(TCN):
    """A TCN whose blocks consist of only their two layers."""

    def __init__(
        self, in_channels: int, channels: list[int], kernel_size: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            kernel_size,
            dropout=dropout,
            block=_layers_of_a_block,
            initialization="pytorch",  # as the configs of the other variants
        )


def _layers_of_a_block(*sizes: int, **settings: Any) -> nn.Module:
    block = ResidualBlock(*sizes, **settings)
    return Chain(**dict(block.get_submodule("sum.body").named_children()))


def points() -> list[Point]:
    """Every variant on every task."""
    return [_point(task, variant) for task in OVERRIDES for variant in VARIANTS]


@cache
def _point(task: str, variant: str) -> Point:
    return Point(
        name=f"{task}/{variant}",
        label=VARIANTS[variant][0],
        task=task,
        models=("tcn",),
        overrides=(*OVERRIDES[task], *_overrides(variant)),
    )


@cache  # the widths are found by building nets
def _overrides(variant: str) -> list[str]:
    settings = VARIANTS[variant][1]
    given = dict(settings)
    written = (
        [] if given.pop("shortcuts", True) else [_key("class_path", __name__ + ".WithoutShortcuts")]
    )
    if "dropout" in given:
        probability, spatial = given.pop("dropout")
        dropout = {"probability": probability, "spatial": spatial}
        written.append(_key("init_args.dropout.class_path", "tcn.layers.Dropout"))
        written += [_key(f"init_args.dropout.init_args.{k}", v) for k, v in dropout.items()]
    given = {"kernel_size": 8, **given, "channels": [width(settings)] * LEVELS}
    return written + [_key(f"init_args.{key}", value) for key, value in given.items()]


def _key(name: str, value: Any) -> str:
    return f"{BACKBONE}.{name}={str(value).lower() if isinstance(value, bool) else value}"


def width(settings: dict[str, Any]) -> int:
    """The largest width of the levels within the parameter budget."""
    with torch.device("meta"):
        return (
            bisect_right(
                range(PARAMETERS), PARAMETERS, lo=1, hi=1000, key=lambda w: _parameters(w, settings)
            )
            - 1
        )


def _parameters(width: int, settings: dict[str, Any]) -> int:
    given: dict[str, Any] = {"kernel_size": 8, **settings}
    build = TCN if given.pop("shortcuts", True) else WithoutShortcuts
    if "dropout" in given:
        probability, spatial = given.pop("dropout")
        given["dropout"] = Dropout(probability, spatial=spatial)
    net = SequenceModel(build(1, [width] * LEVELS, **given), 10)
    return sum(parameter.numel() for parameter in net.parameters())


def known(folder: Path) -> dict[str, dict[str, TaskSummary]]:
    """For each task, what is known, by variant."""
    return {
        task: {
            variant: summary
            for variant in VARIANTS
            if (summary := summary_of(folder, NAME, _point(task, variant))) is not None
        }
        for task in OVERRIDES
    }


def draw(axes: Axes, task: str, found: dict[str, TaskSummary]) -> None:
    """A bar to the mean of every variant, a dot for every seed, a line at the base."""
    metric, color = METRICS[task], look("tcn").color
    for place, variant in enumerate(VARIANTS):
        summary = found.get(variant)
        values = (
            [] if summary is None else [v for v in summary.rows[0].values(metric) if v is not None]
        )
        if not values:
            axes.annotate("not run", (0, place), (4, 0), textcoords="offset points", va="center")
            continue
        mean = sum(values) / len(values)
        shade = color if variant == BASE else "#9cc4e0"
        axes.barh(place, mean, color=shade, height=0.62)
        axes.scatter(values, [place] * len(values), s=16, color=INK, zorder=3, linewidth=0)
        if variant == BASE:
            axes.axvline(mean, color=color, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(range(len(VARIANTS)), [label for label, _ in VARIANTS.values()])
    axes.set_ylim(len(VARIANTS) - 0.4, -0.6)
    axes.set_xlim(0, 105)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(color=PALE, axis="x")
    axes.set_title(f"{TITLES[task]}: {metric.name} (%)")
