"""One look for every plot: settings for matplotlib, and a color for each model.

``matplotlib.rc_context(STYLE)`` draws in it. Colors are Okabe and Ito's, which people with any
common color blindness can tell apart; a model keeps its color in all figures.
"""

from typing import Any

INK = "#1f2933"
SOFT = "#6b7785"
PALE = "#e4e8ec"

COLORS = {"TCN": "#0072B2", "LSTM": "#D55E00", "GRU": "#009E73", "RNN": "#CC79A7"}
FURTHER = ("#E69F00", "#56B4E9", "#000000", "#F0E442")
"""For models without their own color."""

_GIVEN: dict[str, str] = {}


def color_of(model: str) -> str:
    """The color of a model, the same in all figures of a process.

    Its own, or the next of :data:`FURTHER` when it is first drawn; these come round again.
    """
    if model in COLORS:
        return COLORS[model]
    return _GIVEN.setdefault(model, FURTHER[len(_GIVEN) % len(FURTHER)])


STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "savefig.dpi": 160,
}
