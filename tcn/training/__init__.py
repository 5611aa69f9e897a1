"""Lightning modules that train a net: loss, metrics, optimizer, nothing of the net itself."""

from tcn.extras import need

need("tcn.training", "training", "pytorch_lightning", "torchmetrics", "typing_extensions")

from tcn.training.batch import Batch, Prediction
from tcn.training.denormals import FlushDenormals
from tcn.training.reproducibility import SeedEveryEpoch
from tcn.training.schedules import CosineDecay, OneCycle, Schedule
from tcn.training.task import Task
from tcn.training.tasks import (
    Classification,
    JointMultiLabel,
    LanguageModel,
    MultiLabel,
    Regression,
)

__all__ = [
    "Batch",
    "Classification",
    "CosineDecay",
    "FlushDenormals",
    "JointMultiLabel",
    "LanguageModel",
    "MultiLabel",
    "OneCycle",
    "Prediction",
    "Regression",
    "Schedule",
    "SeedEveryEpoch",
    "Task",
]
