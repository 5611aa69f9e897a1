"""Results as a worker would write them, with numbers a test chooses."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.grid.recipes import content_sha256
from benchmarks.grid.results import Result
from benchmarks.grid.runs import OURS, Run

REASONS = {
    "failed": "training loss is nan in epoch 2, batch 3",
    "unfinished": "its time was over after 2 of 9 epochs",
}


def sha256_of(path: Path) -> str:
    return content_sha256(path) if path.exists() else "0" * 64


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    def make(
        task: str = "adding_600",
        model: str = "tcn",
        seed: int = 0,
        *,
        test: float = 0.5,
        key: str = "mse",
        validation: tuple[float, ...] = (0.4, 0.2),
        status: str = "finished",
        overrides: tuple[str, ...] = (),
        length: int = 600,
        settings: str = OURS,
    ) -> Result:
        epochs = range(1, len(validation) + 1)
        history = [
            {"epoch": n, "step": 10 * n, "seconds": 2.0 * n, "train_loss": 1.0, f"val_{key}": value}
            for n, value in zip(epochs, validation, strict=True)
        ]
        finished = status == "finished"
        return Result(
            task=task,
            model=model,
            seed=seed,
            status=status,
            command="python -m benchmarks run --tasks adding_600",
            date="2026-01-02T03:04:05+00:00",
            config_file=f"configs/{task}/{model}.yaml",
            config_sha256=sha256_of(Run(task, model, seed, settings).config),
            overrides=list(overrides),
            config={"data": {"init_args": {"length": length}}},
            commit={"hash": "0123456789abcdef", "dirty": False},
            versions={"torch": "2.14.1"},
            machine={"cpu": "A Processor", "cores": 2, "threads": 1, "workers": 2, "memory": 2**34},
            parameters=70369,
            selection={"metric": f"val_{key}", "mode": "max" if key == "accuracy" else "min"},
            history=history,
            best={"epoch": len(history), "value": validation[-1]},
            test={f"test_{key}": test} if finished else {},
            steps=10 * len(history),
            steps_per_second=5.0,
            wall_seconds=2.0 * len(history),
            peak_memory=512 * 2**20,
            reason=REASONS.get(status),
            settings=settings,
            budget={"limit": "trainer.max_epochs=9"},
        )

    return make


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that no rename reaches from ``tmp_path``."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system: /dev/shm, in memory")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
