"""The tasks: their metric, what guessing scores, and what Bai, Kolter & Koltun (2018) report.

Numbers are Table 1 of arXiv:1803.01271v2. Each metric is computed as in the authors' code unless
the remark of a task says otherwise.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CITATION = (
    "S. Bai, J. Z. Kolter, V. Koltun. An Empirical Evaluation of Generic Convolutional and "
    "Recurrent Networks for Sequence Modeling. arXiv:1803.01271v2, 2018, Table 1."
)

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A number of a run, read as ``val_<key>`` and ``test_<key>`` and shown times ``scale``."""

    key: str
    name: str
    definition: str
    higher_is_better: bool = False
    scale: float = 1.0
    unit: str = ""

    @property
    def heading(self) -> str:
        """``"accuracy (%) ↑"``."""
        arrow = "↑" if self.higher_is_better else "↓"
        return f"{self.name}{f' ({self.unit})' if self.unit else ''} {arrow}"


@dataclass(frozen=True)
class Task:
    """A benchmark task.

    Attributes:
        title: for headings.
        metric: the metric that models are compared by.
        paper: the paper's numbers by model, as printed and in the shown scale; empty if it has
            none.
        chance: gives the score, in the shown scale, of the best answer that ignores the input,
            from the resolved config; ``None`` if it is not known.
        chance_definition: what that answer is.
        extra: further metrics worth a column.
        remark: what a reader must know to compare.
        quality: a model has learned the task when the metric reaches this value on the validation
            set, in the scale that is shown; costs are compared up to there.
        data: why the data may be missing; shown if there are no results.
    """

    title: str
    metric: Metric
    paper: Mapping[str, str] = field(default_factory=dict)
    chance: Callable[[Config], float] | None = None
    chance_definition: str = ""
    extra: tuple[Metric, ...] = ()
    remark: str = ""
    quality: float | None = None
    data: str = ""


MSE = Metric("mse", "MSE", "mean squared error over the test examples")
COPY_LOSS = Metric(
    "loss",
    "cross entropy",
    "mean cross entropy in nats over all T + 20 positions, of which only the last 10 carry "
    "information",
)
LAST_ACCURACY = Metric(
    "last_accuracy",
    "last-10 accuracy",
    "share of the 10 symbols to be recalled that are right",
    higher_is_better=True,
    scale=100.0,
    unit="%",
)
ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "share of test sequences classified right",
    higher_is_better=True,
    scale=100.0,
    unit="%",
)
FRAME_NLL = Metric(
    "nll",
    "NLL per frame",
    "negative log likelihood in nats, summed over the 88 keys and all frames of all sequences, "
    "divided by the number of frames",
)
PERPLEXITY = Metric("perplexity", "perplexity", "exponential of the mean nats per word")
LAST_WORD_ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "share of passages whose last word was the likeliest",
    higher_is_better=True,
    scale=100.0,
    unit="%",
)
BITS = Metric("bits", "bits per character", "mean cross entropy per character in bits")

# Strings, as printed, so that no digit is added or lost.
TABLE_1: dict[str, dict[str, str]] = {
    "sequential_mnist": {"tcn": "99.0", "lstm": "87.2", "gru": "96.2", "rnn": "21.5"},
    "permuted_mnist": {"tcn": "97.2", "lstm": "85.7", "gru": "87.3", "rnn": "25.3"},
    "adding_600": {"tcn": "5.8e-5", "lstm": "0.164", "gru": "5.3e-5", "rnn": "0.177"},
    "copying_1000": {"tcn": "3.5e-5", "lstm": "0.0204", "gru": "0.0197", "rnn": "0.0202"},
    "jsb": {"tcn": "8.10", "lstm": "8.45", "gru": "8.43", "rnn": "8.91"},
    "nottingham": {"tcn": "3.07", "lstm": "3.29", "gru": "3.46", "rnn": "4.05"},
    "ptb_words": {"tcn": "88.68", "lstm": "78.93", "gru": "92.48", "rnn": "114.50"},
    "wikitext_103": {"tcn": "45.19", "lstm": "48.4"},
    "lambada": {"tcn": "1279", "lstm": "4186", "rnn": "14725"},
    "ptb_characters": {"tcn": "1.31", "lstm": "1.36", "gru": "1.37", "rnn": "1.48"},
    "text8": {"tcn": "1.45", "lstm": "1.50", "gru": "1.53", "rnn": "1.69"},
}

# The approximate parameters of every model of a task, as printed; for two tasks there are none.
SIZES = {
    "sequential_mnist": "70K",
    "permuted_mnist": "70K",
    "adding_600": "70K",
    "copying_1000": "16K",
    "jsb": "300K",
    "nottingham": "1M",
    "ptb_words": "13M",
    "wikitext_103": "–",
    "lambada": "–",
    "ptb_characters": "3M",
    "text8": "5M",
}


def _adding_chance(config: Config) -> float:
    """Always answering 1 gives the variance of the sum of two uniform numbers, 2/12."""
    return 1 / 6


def _copying_chance(config: Config) -> float:
    """Blanks with certainty, then one of 8 symbols at random at 10 of T + 20 positions."""
    length = config["data"]["init_args"]["length"]
    return 10 * math.log(8) / (length + 20)


def _adding(title: str, name: str, remark: str = "") -> Task:
    return Task(
        title,
        MSE,
        TABLE_1.get(name, {}),
        _adding_chance,
        "always answering 1: 1/6",
        remark=remark,
        quality=1e-3,
    )


def _copying(title: str, name: str, remark: str = "") -> Task:
    return Task(
        title,
        COPY_LOSS,
        TABLE_1.get(name, {}),
        _copying_chance,
        "guessing the 10 symbols among 8: 10 ln 8 / (T + 20)",
        (LAST_ACCURACY,),
        remark,
        quality=1e-3,
    )


def _classes(
    title: str, name: str, remark: str = "", *, most: int, of: int, quality: float = 95.0
) -> Task:
    """A task of classes; ``most`` of its ``of`` test images are of the most frequent class."""
    return Task(
        title,
        ACCURACY,
        TABLE_1.get(name, {}),
        lambda config: 100 * most / of,
        f"always answering the most frequent digit: {most:,} of {of:,} test images",
        remark=remark,
        quality=quality,
    )


_OTHER_LENGTH = "The paper's Table 1 has another length: not comparable."
_EVERY_TOKEN = (
    "Every token is scored once; the authors' windows leave some out and give others less context."
)
_OURS = "A small task of our own, to see in minutes that everything works: not in the paper."
_DOWNLOADED = "The data are downloaded at the first run; where these results were made"

TASKS: dict[str, Task] = {
    "sequential_mnist": _classes("Sequential MNIST", "sequential_mnist", most=1135, of=10_000),
    "permuted_mnist": _classes(
        "Permuted MNIST", "permuted_mnist", most=1135, of=10_000, quality=90.0
    ),
    "adding_200": _adding("Adding problem, T = 200", "adding_200", _OTHER_LENGTH),
    "adding_400": _adding("Adding problem, T = 400", "adding_400", _OTHER_LENGTH),
    "adding_600": _adding(
        "Adding problem, T = 600",
        "adding_600",
        "The paper averages the test results of the last three epochs; here it is the test result "
        "of the best validation epoch.",
    ),
    "copying_500": _copying("Copying memory, T = 500", "copying_500", _OTHER_LENGTH),
    "copying_1000": _copying("Copying memory, T = 1000", "copying_1000"),
    "copying_2000": _copying("Copying memory, T = 2000", "copying_2000", _OTHER_LENGTH),
    "jsb": Task("JSB chorales", FRAME_NLL, TABLE_1["jsb"], quality=8.5),
    "nottingham": Task("Nottingham", FRAME_NLL, TABLE_1["nottingham"], quality=3.5),
    "ptb_words": Task(
        "Penn Treebank, words",
        PERPLEXITY,
        TABLE_1["ptb_words"],
        remark=f"{_EVERY_TOKEN} Our settings stop after 5 epochs, the authors' code after 100.",
        quality=120.0,
    ),
    "wikitext_103": Task(
        "WikiText-103",
        PERPLEXITY,
        TABLE_1["wikitext_103"],
        remark=_EVERY_TOKEN,
        quality=60.0,
        data=f"{_DOWNLOADED} only the validation and test parts were at hand, not the 103 million "
        "words of training text.",
    ),
    "lambada": Task(
        "LAMBADA",
        PERPLEXITY,
        TABLE_1["lambada"],
        extra=(LAST_WORD_ACCURACY,),
        remark="Over the last word of each passage, which the net has not read. The authors' code "
        "feeds that word too and asks for it again (evaluation: authors): not comparable.",
        data=f"{_DOWNLOADED} only the passages of the validation and test sets and the list of "
        "words were at hand, not the 203 million words of the training novels.",
    ),
    "ptb_characters": Task(
        "Penn Treebank, characters",
        BITS,
        TABLE_1["ptb_characters"],
        remark=f"{_EVERY_TOKEN} Read as the authors' code reads it, the end of a line spelt <eos>, "
        "of which four characters cost next to nothing. Our settings stop after 10 epochs, the "
        "authors' code after 100.",
        quality=1.5,
    ),
    "text8": Task(
        "text8",
        BITS,
        TABLE_1["text8"],
        remark=_EVERY_TOKEN,
        quality=1.6,
        data=f"{_DOWNLOADED} only the first 6.8 of 100 million characters were at hand, all of "
        "them of the training part.",
    ),
    "adding_quick": _adding("Adding problem, quick", "adding_quick", _OURS),
    "copying_quick": _copying("Copying memory, quick", "copying_quick", _OURS),
    "digits": _classes("Digits, 8 x 8 pixels in sequence", "digits", _OURS, most=31, of=300),
}

SETTINGS = {
    "paper": "settings of the paper's Tables 2 and 3",
    "code": "settings of the authors' code",
    "joint": "each key of a frame is told of those below it (NADE)",
    "modern": "a net of today's parts: long depthwise kernels, wide 1x1 layers, norms",
}
"""What the settings other than ours are, by the folder of their configs."""


def describe(name: str, selected_by: str, mode: str) -> Task:
    """The task called ``name``; for one not listed, what its model selection tells about it."""
    if name in TASKS:
        return TASKS[name]
    key = selected_by.removeprefix("val_")
    metric = Metric(key, key, f"test_{key} as logged", higher_is_better=mode == "max")
    return Task(name, metric, remark="Not in the paper.")
