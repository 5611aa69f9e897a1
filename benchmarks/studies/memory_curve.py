"""How far back a model can remember: copying and adding at lengths from 50 to 2000.

The curve of Bai et al. 2018, figure 5, with a budget that two cores can handle: about 15,000
parameters and 1,565 optimizer steps for every model at every length. Settings are those of the
quick configs. The TCN has the smallest depth that covers the length, and the width that the
parameters allow, which is also how the paper chooses them. What longer training would change
cannot be read from it.
"""

from functools import cache
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.report.paper import LAST_ACCURACY, MSE, Metric
from benchmarks.report.plots import SOFT, look
from benchmarks.report.summary import TaskSummary
from benchmarks.studies.study import Point, summary_of
from tcn.models import TCN

NAME = "memory_curve"
LENGTHS = (50, 100, 200, 500, 1000, 2000)
MODELS = ("tcn", "lstm", "gru")
EPOCHS = 5
EXAMPLES = 10_000  # as in the authors' code of copying memory: 313 steps of 32 an epoch
BACKBONE = "model.init_args.net.init_args.backbone.init_args"

# For each problem: steps beyond T, input channels, taps and parameters of the quick config.
PROBLEMS = {"copying": (20, 1, 8, 14_922), "adding": (0, 2, 4, 15_041)}
METRICS = {"copying": LAST_ACCURACY, "adding": MSE}
CHANCE = {"copying": 100 / 8, "adding": 1 / 6}


def points() -> list[Point]:
    """Every problem at every length, the short ones first."""
    return [_point(problem, length) for length in LENGTHS for problem in PROBLEMS]


@cache  # finding the widths means building nets
def _point(problem: str, length: int) -> Point:
    further, channels, kernel_size, most = PROBLEMS[problem]
    net = TCN.for_length(length + further, channels, kernel_size, max_parameters=most)
    widths = [net.out_channels] * len(net.levels)  # type: ignore[arg-type]
    return Point(
        name=f"{problem}_{length}",
        label=f"T = {length}",
        task=f"{problem}_quick",
        models=MODELS,
        overrides=(
            f"data.init_args.length={length}",
            f"data.init_args.train_size={EXAMPLES}",
            f"trainer.max_epochs={EPOCHS}",
        ),
        drawn={"tcn": (f"{BACKBONE}.channels={widths}",)},
    )


def curves(folder: Path) -> dict[str, dict[int, TaskSummary]]:
    """For each problem, what is known, by length."""
    found: dict[str, dict[int, TaskSummary]] = {problem: {} for problem in PROBLEMS}
    for problem in PROBLEMS:
        for length in LENGTHS:
            summary = summary_of(folder, NAME, _point(problem, length))
            if summary is not None:
                found[problem][length] = summary
    return found


def draw(axes: Axes, problem: str, known: dict[int, TaskSummary]) -> None:
    """One line per model through the means, a mark for every seed."""
    metric = METRICS[problem]
    for model in MODELS:
        style = look(model)
        seeds = {length: seed_values(known[length], model, metric) for length in known}
        seeds = {length: values for length, values in seeds.items() if values}
        axes.plot(
            list(seeds),
            [sum(values) / len(values) for values in seeds.values()],
            color=style.color, linestyle=(0, style.dashes) if style.dashes else "-",
            linewidth=1.8, label=style.label,
        )  # fmt: skip
        pairs = [(length, value) for length, values in seeds.items() for value in values]
        axes.scatter(
            [length for length, _ in pairs], [value for _, value in pairs], s=26,
            color=style.color, marker=style.marker, edgecolor="white", linewidth=0.5, zorder=3,
        )  # fmt: skip
    axes.axhline(CHANCE[problem], color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
    axes.annotate(
        "chance", (1, CHANCE[problem]), (-2, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", fontsize=8.5, color=SOFT,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(LENGTHS, [str(length) for length in LENGTHS])
    axes.set_xticks([], minor=True)
    axes.set_xlim(LENGTHS[0] / 1.2, LENGTHS[-1] * 1.2)
    axes.set_xlabel("length T, steps")
    titles = {"copying": "Copying: last-10 accuracy (%)", "adding": "Adding: MSE"}
    axes.set_title(titles[problem])
    if problem == "copying":
        axes.set_ylim(0, 105)
    else:
        axes.set_yscale("log")
        axes.set_ylim(top=1)
    axes.legend(loc="best", fontsize=8.5)


def seed_values(summary: TaskSummary, model: str, metric: Metric) -> list[float]:
    """The test value of every finished seed of a model."""
    rows = [row for row in summary.rows if row.model == model]
    return [value for row in rows for value in row.values(metric) if value is not None]
