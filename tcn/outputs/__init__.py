"""From a net's raw numbers to a loss, point forecasts, quantiles and samples.

    size, name       raw numbers per target and step; the name `output` takes
    loss             what is minimized, over what was observed
    mean             the point forecast
    quantile, sample of a distribution; point outputs refuse, and name conformal intervals

`output("student_t")`, `output(Quantiles((0.1, 0.5, 0.9)))`, `build(some_output.describe())`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from tcn.outputs.adaptive import AdaptiveSoftmax
from tcn.outputs.base import OUTPUTS, Output, Support
from tcn.outputs.classes import Bernoulli, Categorical
from tcn.outputs.counts import NegativeBinomial, Poisson
from tcn.outputs.distributions import Mixture, Normal, StudentT
from tcn.outputs.joint import NADE
from tcn.outputs.points import MAE, MASE, MSE, Huber, Point, seasonal_error
from tcn.outputs.quantiles import Quantiles
from tcn.outputs.sound import Logistics, MuLaw, mu_law_decode, mu_law_encode

__all__ = [
    "MAE",
    "MASE",
    "MSE",
    "NADE",
    "OUTPUTS",
    "AdaptiveSoftmax",
    "Bernoulli",
    "Categorical",
    "Huber",
    "Logistics",
    "Mixture",
    "MuLaw",
    "NegativeBinomial",
    "Normal",
    "Output",
    "Point",
    "Poisson",
    "Quantiles",
    "StudentT",
    "Support",
    "build",
    "mu_law_decode",
    "mu_law_encode",
    "output",
    "seasonal_error",
]


def output(given: str | Output, argument: str = "loss") -> Output:
    """The output of that name with its defaults, or the one that was given.

    Args:
        given: a name or an output.
        argument: what errors call it.

    Raises:
        TypeError: neither a name nor an output.
        ValueError: no output has this name.
    """
    if isinstance(given, Output):
        return given
    if not isinstance(given, str):
        raise _no_output(argument, given)
    return build({"name": given}, argument)


def build(description: Mapping[str, Any], argument: str = "loss") -> Output:
    """The output that ``Output.describe`` described.

    Args:
        description: its ``name`` and its arguments.
        argument: what errors call it.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: no output has this name, or it does not take these arguments.
    """
    arguments = {key: value for key, value in description.items() if key != "name"}
    name = description.get("name")
    if not isinstance(name, str) or name not in OUTPUTS:
        raise ValueError(f"{argument}: no output is named {name!r}; names are {_names()}")
    taken = inspect.signature(OUTPUTS[name]).parameters
    if unknown := [key for key in arguments if key not in taken]:
        raise ValueError(
            f"{argument}: {name!r} has no argument {unknown[0]!r}; it takes {list(taken)}"
        )
    needed = [key for key, parameter in taken.items() if parameter.default is parameter.empty]
    if missing := [key for key in needed if key not in arguments]:
        raise ValueError(
            f"{argument}: {name!r} needs {', '.join(missing)}; give the output itself, such as "
            f"{OUTPUTS[name].__name__}({', '.join(f'{key}=...' for key in needed)})"
        )
    return OUTPUTS[name](**arguments)


def _no_output(argument: str, given: object) -> TypeError:
    said, cure = repr(given), "give one of them"
    if isinstance(given, type):
        said = f"the class {given.__name__}"
        cure = f"write {given.__name__}(...)" if issubclass(given, Output) else cure
    elif isinstance(given, nn.Module):  # whose text is as long as it has parts
        said = f"a {type(given).__name__}"
    return TypeError(
        f"{argument}: {said} is neither a name nor an Output; {cure}; names are {_names()}"
    )


def _names() -> str:
    return ", ".join(sorted(OUTPUTS))
