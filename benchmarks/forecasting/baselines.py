"""What every forecast has to beat: the last value, the last season, and two linear maps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.forecasting.long_horizon import Problem, chunks
from tcn.training.best import Best


@dataclass(frozen=True)
class SeasonalNaive:
    """Repeats the last ``season`` rows; with season 1, the last row."""

    problem: Problem
    season: int

    def forecast(self, first: int, last: int) -> np.ndarray:
        """``(last - first, channels, horizon)``."""
        cycle = self.problem.past(first, last)[..., -self.season :]
        return cycle[..., np.arange(self.problem.horizon) % self.season]


class DLinear(nn.Module):
    """Zeng et al. 2023 (arXiv:2205.13504, section 4): one linear map for trend, one for the rest.

    The trend is a moving average with the ends repeated; all channels share both maps.

    Args:
        look_back: steps read.
        horizon: steps forecast.
        kernel_size: of the moving average, odd; 25 in the paper.
    """

    def __init__(self, look_back: int, horizon: int, *, kernel_size: int = 25) -> None:
        super().__init__()
        self.reach = kernel_size // 2
        self.trend = nn.Linear(look_back, horizon)
        self.rest = nn.Linear(look_back, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, look_back)`` -> ``(batch, channels, horizon)``."""
        padded = F.pad(x, (self.reach, self.reach), mode="replicate")
        trend = F.avg_pool1d(padded, 2 * self.reach + 1, stride=1)
        forecast: Tensor = self.trend(trend) + self.rest(x - trend)
        return forecast


@dataclass(frozen=True)
class LinearSettings:
    """How DLinear is trained, with the numbers of its authors' scripts.

    Attributes:
        learning_rate: of Adam in the first epoch, halved in every later one.
        batch_size: windows of all channels.
        epochs: at most.
        patience: epochs without a better validation error before training stops.
    """

    learning_rate: float
    batch_size: int
    epochs: int = 10
    patience: int = 3


@dataclass(frozen=True)
class FittedLinear:
    """A trained DLinear with the weights of its best validation epoch."""

    problem: Problem
    net: DLinear
    steps: int

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())

    @torch.inference_mode()
    def forecast(self, first: int, last: int) -> np.ndarray:
        """``(last - first, channels, horizon)``."""
        past = torch.tensor(self.problem.past(first, last), dtype=torch.float32)
        return self.net(past).numpy()


def fit_linear(
    problem: Problem,
    settings: LinearSettings,
    *,
    seed: int,
    error: Callable[["FittedLinear"], float],
) -> FittedLinear:
    """Trains DLinear on the training part; ``error`` rates each epoch on the validation part."""
    torch.manual_seed(seed)
    net = DLinear(problem.look_back, problem.horizon)
    size = problem.look_back + problem.horizon
    rows = torch.tensor(problem.values[: problem.train], dtype=torch.float32)
    windows = rows.unfold(0, size, 1)  # (windows, channels, size), a view
    fitted, best = FittedLinear(problem, net, 0), Best()
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    steps = 0
    for epoch in range(settings.epochs):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5**epoch
        order = torch.randperm(len(windows))
        for start, stop in chunks(range(len(windows)), settings.batch_size):
            batch = windows[order[start:stop]]
            loss = F.mse_loss(net(batch[..., : problem.look_back]), batch[..., problem.look_back :])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
        if best.take(error(fitted), epoch):
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        if best.at is not None and epoch - best.at == settings.patience:
            break
    net.load_state_dict(kept)
    return FittedLinear(problem, net, steps)
