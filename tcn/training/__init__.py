"""Lightning modules that train a net: loss, metrics, optimizer, nothing of the net itself."""

from tcn.extras import need

need("tcn.training", "training", "pytorch_lightning", "torchmetrics", "typing_extensions")

from tcn.training.batch import Batch, Prediction
from tcn.training.checkpoint import BestCheckpoint
from tcn.training.classification import Classification
from tcn.training.denormals import FlushDenormals
from tcn.training.estimators import Classifier, Regressor
from tcn.training.language_model import LanguageModel
from tcn.training.multi_label import JointMultiLabel, MultiLabel
from tcn.training.regression import Regression
from tcn.training.reproducibility import SeedEveryEpoch
from tcn.training.schedules import CosineDecay, OneCycle, Schedule
from tcn.training.task import Task

__all__ = [
    "Batch",
    "BestCheckpoint",
    "Classification",
    "Classifier",
    "CosineDecay",
    "FlushDenormals",
    "JointMultiLabel",
    "LanguageModel",
    "MultiLabel",
    "OneCycle",
    "Prediction",
    "Regression",
    "Regressor",
    "Schedule",
    "SeedEveryEpoch",
    "Task",
]
