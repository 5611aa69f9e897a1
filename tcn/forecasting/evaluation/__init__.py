"""How good forecasts are, and what they rest on.

cutoffs, cross_validation                rolling windows
comparison, naive, metrics, custom       beside the seasonal naive forecast
plots, tables                            figures, and the files of ``tcn forecast``
explaining, explained_net, explanation   which inputs a forecast rests on
"""

from tcn.forecasting.evaluation.custom import Metric
from tcn.forecasting.evaluation.metrics import (
    NAIVE,
    coverage_by_level,
    error_by_step,
    evaluate,
)

__all__ = ["NAIVE", "Metric", "coverage_by_level", "error_by_step", "evaluate"]
