"""The benchmark data as Lightning data modules: deterministic, in memory, ready for a config.

Every module hands out :class:`tcn.training.batch.Batch`, says how many channels a net needs
(``in_channels``, ``out_channels``) and names its data by a ``fingerprint``.
"""

from tcn.extras import need

need("tcn.data", "training", "pytorch_lightning", "torchmetrics", "pooch", "requests", "filelock")

from tcn.data.digits import SequentialDigits
from tcn.data.fetch import FileUnavailableError, RemoteFile, locate
from tcn.data.lambada import Lambada
from tcn.data.language import PennTreebankCharacters, PennTreebankWords, Text8, WikiText103
from tcn.data.loading import SequenceDataModule
from tcn.data.mnist import SequentialMNIST
from tcn.data.music import PolyphonicMusic
from tcn.data.synthetic import AddingProblem, CopyingMemory
from tcn.data.ts import load_ts

__all__ = [
    "AddingProblem",
    "CopyingMemory",
    "FileUnavailableError",
    "Lambada",
    "PennTreebankCharacters",
    "PennTreebankWords",
    "PolyphonicMusic",
    "RemoteFile",
    "SequenceDataModule",
    "SequentialDigits",
    "SequentialMNIST",
    "Text8",
    "WikiText103",
    "load_ts",
    "locate",
]
