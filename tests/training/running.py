"""What tests of tasks share: a net whose outputs can be written down, quiet runs, a config."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tcn.training import Batch, Task


class Passes(nn.Module):
    """A net that returns its input."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return x


def trainer(**settings: Any) -> pl.Trainer:
    """A trainer on the CPU that says and writes nothing unless asked to."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(accelerator="cpu", **(quiet | {"enable_checkpointing": False} | settings))


def as_loader(*batches: Batch) -> DataLoader:
    """The batches as they are, in this order."""
    return DataLoader(list(batches), batch_size=None)


def measured(task: Task, *batches: Batch) -> dict[str, float]:
    """What a test of the task on these batches logs."""
    return dict(trainer().test(task, as_loader(*batches), verbose=False)[0])


def adding_config(output: str, sizes: str) -> str:
    """The YAML file of a regression on the adding problem.

    Args:
        output: the line that says what the net returns, such as ``"out_channels: 1"``.
        sizes: of the data, such as ``"length: 20"``.
    """
    return f"""
model:
  class_path: tcn.training.Regression
  init_args:
    net:
      class_path: tcn.models.SequenceModel
      init_args:
        backbone:
          class_path: tcn.models.TCN
          init_args: {{in_channels: 2, channels: [4], kernel_size: 2}}
        {output}
        readout: last
data:
  class_path: tcn.data.AddingProblem
  init_args: {{{sizes}}}
"""
