"""The contestants, by the names that the command line takes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from benchmarks.forecasting.baselines import SeasonalNaive, fit_linear
from benchmarks.forecasting.errors import Fitted, errors
from benchmarks.forecasting.long_horizon import LongHorizonSet, Problem
from benchmarks.forecasting.settings import LINEAR, LONG_HORIZON, forecaster_settings


@dataclass(frozen=True)
class Contestant:
    """A model that can take part.

    Attributes:
        label: the name as shown.
        settings: everything that decides its numbers besides data and seed, JSON-able.
        fit: trains it with those ``settings``.
        random: whether the seed matters.
        long_horizon: whether it takes part in sets of long horizon; if not, in those of many
            series alone, see ``competition.py``.
    """

    label: str
    settings: Callable[[LongHorizonSet], dict[str, Any]]
    fit: Callable[[Problem, int], Fitted]
    random: bool = True
    long_horizon: bool = True


def _naive(label: str, season: Callable[[LongHorizonSet], int]) -> Contestant:
    return Contestant(
        label,
        settings=lambda data: {"season": season(data)},
        fit=lambda problem, seed: SeasonalNaive(problem, season(problem.data)),
        random=False,
    )


def _ours(label: str, model: str) -> Contestant:
    def fit(problem: Problem, seed: int) -> Fitted:
        from benchmarks.forecasting.ours import fit_forecaster

        return fit_forecaster(problem, forecaster_settings(problem.data.name, model), seed=seed)

    return Contestant(label, lambda data: forecaster_settings(data.name, model), fit)


def _many_series_alone(label: str, *, random: bool) -> Contestant:
    def refuse(*_: Any) -> Any:
        raise ValueError(f"{label} takes part in sets of many series alone")

    return Contestant(label, refuse, refuse, random, long_horizon=False)


def _linear(problem: Problem, seed: int) -> Fitted:
    return fit_linear(
        problem,
        LINEAR[problem.data.name],
        seed=seed,
        error=lambda fitted: errors(problem, fitted, "validation")["mse"],
    )


def _darts(problem: Problem, seed: int) -> Fitted:
    from benchmarks.forecasting.peers import fit_darts

    return fit_darts(problem, LONG_HORIZON[problem.data.name], seed=seed)


def _neuralforecast(problem: Problem, seed: int, loss: Literal["MSE", "MAE"] = "MSE") -> Fitted:
    from benchmarks.forecasting.peers import fit_neuralforecast

    return fit_neuralforecast(problem, LONG_HORIZON[problem.data.name], seed=seed, loss=loss)


def _budget(data: LongHorizonSet, **chosen: Any) -> dict[str, Any]:
    budget = asdict(LONG_HORIZON[data.name])
    return budget | chosen | {"otherwise": "the package's defaults"}


CONTESTANTS = {
    "tcn": _ours("TCN", "tcn"),
    "tcn_auto": _ours("TCN, window scaler chosen", "tcn_auto"),
    "lstm": _ours("LSTM", "lstm"),
    "gru": _ours("GRU", "gru"),
    "tcn_default": _many_series_alone("TCN, the defaults", random=True),
    "tcn_search": _many_series_alone("settings searched", random=True),
    "auto_ets": _many_series_alone("statsforecast's AutoETS", random=False),
    "auto_theta": _many_series_alone("statsforecast's AutoTheta", random=False),
    "dlinear": Contestant("DLinear", lambda data: asdict(LINEAR[data.name]), _linear),
    "seasonal_naive": _naive("seasonal naive", lambda data: data.season),
    "repeat": _naive("last value", lambda _: 1),
    "neuralforecast_tcn": Contestant("neuralforecast's TCN", _budget, _neuralforecast),
    "neuralforecast_tcn_mae": Contestant(
        "neuralforecast's TCN, its own loss (MAE)",
        partial(_budget, loss="MAE"),
        partial(_neuralforecast, loss="MAE"),
    ),
    "darts_tcn": Contestant("darts' TCN", _budget, _darts),
}
