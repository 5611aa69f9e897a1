"""Small recordings in folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tcn.audio import save_sound


def level(value: int, steps: int) -> Tensor:
    """A recording that can be told from others by its value: that many 1000ths, at every step."""
    return torch.full((1, steps), value / 1000)


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes one: ``write(path, value, steps=100, sample_rate=8000, channels=1)``."""

    def write(
        path: Path, value: int, steps: int = 100, sample_rate: int = 8000, channels: int = 1
    ) -> Path:
        samples = level(value, steps).repeat(channels, 1)
        return save_sound(path, samples, sample_rate=sample_rate)

    return write
