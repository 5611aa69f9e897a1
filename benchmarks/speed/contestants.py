"""The nets that are timed against ours: a peer's package, the textbook form, recurrent nets.

The convolutional ones compute the same function from the same weights, which is checked before
anything is timed; the recurrent ones have as many parameters.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tcn.models import TCN

PEER = "pytorch-tcn"
TEXTBOOK = "textbook (pad both sides, cut)"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Net:
    """The shape of a TCN."""

    in_channels: int
    channels: tuple[int, ...]
    kernel_size: int
    dropout: float = 0.0

    def __str__(self) -> str:
        return f"{len(self.channels)} x {self.channels[0]}, kernel {self.kernel_size}"

    @property
    def multiplications(self) -> int:
        """Multiply-accumulates of the convolutions at one step, shortcuts included."""
        total = 0
        for before, width in zip((self.in_channels, *self.channels), self.channels, strict=False):
            total += (before + width) * width * self.kernel_size
            total += before * width if before != width else 0
        return total


class TextbookBlock(nn.Module):
    """Bai et al. 2018, figure 1b, as usually written: padding on both sides, the right side cut."""

    def __init__(self, before: int, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.cut = (kernel - 1) * dilation
        settings: dict[str, Any] = {"padding": self.cut, "dilation": dilation}
        self.conv1 = weight_norm(nn.Conv1d(before, width, kernel, **settings))
        self.conv2 = weight_norm(nn.Conv1d(width, width, kernel, **settings))
        self.downsample = nn.Conv1d(before, width, 1) if before != width else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for convolve in (self.conv1, self.conv2):
            y = convolve(y)
            y = y[..., : y.shape[-1] - self.cut].contiguous()
            y = self.dropout(torch.relu(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(y + shortcut)


class TextbookTCN(nn.Module):
    """The blocks in a row; keys of its ``state_dict`` as in the authors' code."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        widths = zip((net.in_channels, *net.channels), net.channels, strict=False)
        blocks = [
            TextbookBlock(before, width, net.kernel_size, 2**level, net.dropout)
            for level, (before, width) in enumerate(widths)
        ]
        self.network = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x)
        return y


def peer_installed() -> bool:
    return importlib.util.find_spec("pytorch_tcn") is not None


def peer(net: Net) -> nn.Module:
    """The TCN of the package pytorch-tcn, as its documentation builds one."""
    import pytorch_tcn

    built: nn.Module = pytorch_tcn.TCN(
        net.in_channels, list(net.channels), net.kernel_size, dropout=net.dropout, causal=True
    )
    return built


def convolutional(net: Net) -> dict[str, nn.Module]:
    """Ours, the textbook's and the peer's (if installed), with the same weights.

    Raises:
        RuntimeError: they do not compute the same outputs.
    """
    textbook = TextbookTCN(net)
    weights = textbook.state_dict()
    nets: dict[str, nn.Module] = {
        "tcn": TCN.from_locuslab(weights, dropout=net.dropout),
        TEXTBOOK: textbook,
    }
    if peer_installed():
        nets[PEER] = peer(net)
        nets[PEER].load_state_dict(weights, strict=False)
    check_equal(nets, torch.randn(2, net.in_channels, 50))
    return nets


@torch.no_grad()
def check_equal(nets: dict[str, nn.Module], x: Tensor) -> None:
    """Refuses contestants that compute something other than the first does.

    Raises:
        RuntimeError: a contestant differs; the message names it and the difference.
    """
    outputs = {name: module.eval()(x) for name, module in nets.items()}
    expected = next(iter(outputs.values()))
    for name, module in nets.items():
        module.train()
        difference = (outputs[name] - expected).abs().max().item()
        if difference > TOLERANCE:
            raise RuntimeError(f"{name} differs from {next(iter(nets))} by {difference}")


class ChannelsFirst(nn.Module):
    """PyTorch's own recurrent layer, with time as the last axis like the convolutions."""

    def __init__(self, recurrence: nn.RNNBase) -> None:
        super().__init__()
        self.recurrence = recurrence

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.recurrence(x.transpose(1, 2))
        return y.transpose(1, 2)


def recurrent(net: Net) -> dict[str, ChannelsFirst]:
    """PyTorch's LSTM and GRU with as many parameters as the TCN, as far as whole units allow."""
    budget = count(TCN(net.in_channels, net.channels, net.kernel_size))
    built: dict[str, ChannelsFirst] = {}
    for cell, gates in ((nn.LSTM, 4), (nn.GRU, 3)):
        hidden = hidden_for(budget, net.in_channels, gates)
        layer = cell(net.in_channels, hidden, batch_first=True)
        built[f"nn.{cell.__name__}, {hidden} units"] = ChannelsFirst(layer)
    return built


def hidden_for(budget: int, in_channels: int, gates: int) -> int:
    """The most units whose ``gates * (h * (h + in_channels) + 2 h)`` parameters fit the budget."""
    hidden = 1
    while gates * (hidden + 1) * (hidden + 1 + in_channels + 2) <= budget:
        hidden += 1
    return hidden


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
