"""Nets made of the layers: the TCN and, on the same contract, its recurrent baselines."""

from tcn.models.joint import JointModel
from tcn.models.language import TokenModel
from tcn.models.modern_tcn import LargeKernel, LargeKernelTCN
from tcn.models.recurrent import GRU, LSTM, RNN
from tcn.models.sequence import SequenceModel
from tcn.models.tcn import TCN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TCN",
    "JointModel",
    "LargeKernel",
    "LargeKernelTCN",
    "SequenceModel",
    "TokenModel",
]
