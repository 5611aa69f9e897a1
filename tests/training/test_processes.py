"""Two processes (gloo, CPU) take the steps that one takes, and share what one would compute."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.training import Batch
from tcn.training.language_model import FirstChunk
from tcn.training.processes import gathered, process_count, process_index, share, summed

SCRIPT = Path(__file__).with_name("several_processes.py")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(SCRIPT.parent))
import several_processes  # noqa: E402

CASES = list(several_processes.CASES)
RESUMED = ("adding", "digits", "stream", "rare")
PATIENCE = 600.0  # seconds, on a busy machine


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All runs in one process, in two, and begun in one and ended in two, and the reverse."""
    folder = tmp_path_factory.mktemp("runs")
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in CASES:
            found[case] = {"one": several_processes.run(case, folder / case)}
        for case in RESUMED:
            (folder / "one" / case).mkdir(parents=True)
            (folder / case / "epoch=1.ckpt").rename(folder / "one" / case / "epoch=1.ckpt")
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr"]
        launch += ["127.0.0.1", "--nproc-per-node", "2", str(SCRIPT), str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            launch, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr[-4000:]
        parts = [torch.load(folder / f"process{index}.pt") for index in (0, 1)]
        for case in CASES:
            found[case]["two"], found[case]["second"] = (part[case] for part in parts)
        for case in RESUMED:
            found[case]["one, two"] = parts[0][f"{case} resumed"]
            earlier = folder / "two" / case / "epoch=1.ckpt"
            found[case]["two, one"] = several_processes.run(case, folder / "back" / case, earlier)
    found["refusals"] = [part["refusals"] for part in parts]
    return found


def check_same(actual: dict[str, Any], expected: dict[str, Any], first: int = 0) -> None:
    """The curve from epoch `first` on, the test and the weights, to float error."""
    assert actual["steps"] == expected["steps"]
    assert sorted(actual["epochs"]) == list(range(first, several_processes.EPOCHS))
    for epoch, metrics in actual["epochs"].items():
        # `train_loss` alone is that of the last step.
        assert metrics == pytest.approx(expected["epochs"][epoch], rel=1e-4, abs=1e-6)
    assert actual["rates"] == pytest.approx(expected["rates"][-len(actual["rates"]) :])
    assert actual["balance"] == expected["balance"]
    torch.testing.assert_close(actual["confusion"], expected["confusion"])
    assert actual["test"] == pytest.approx(expected["test"], rel=1e-4, abs=1e-6)
    torch.testing.assert_close(actual["weights"], expected["weights"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_numbers_of_one(runs: dict[str, Any], case: str):
    check_same(runs[case]["two"], runs[case]["one"])
    check_same(runs[case]["second"], runs[case]["one"])
    assert all(math.isfinite(value) for value in runs[case]["one"]["test"].values())


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_goes_on_in_another_number_of_processes(runs: dict[str, Any], case: str):
    check_same(runs[case]["one, two"], runs[case]["one"], first=2)
    check_same(runs[case]["two, one"], runs[case]["one"], first=2)


def test_a_share_that_is_no_number_stops_all(runs: dict[str, Any]):
    """Nobody waits for a process that has left, and all say what was wrong and where."""
    told = [each["spoiled"] for each in runs["refusals"]]
    assert told[0] == told[1]
    assert "input x holds" in told[0]


def test_what_cannot_be_shared_is_refused(runs: dict[str, Any]):
    for told in runs["refusals"]:
        assert "batch_size is 1 and 2 processes share each batch: raise batch_size" in told["batch"]
        assert "predict with one device (trainer.devices=1)" in told["predict"]
        assert "use ddp_find_unused_parameters_true" in told["clusters"]


@given(rows=st.integers(0, 9), count=st.integers(1, 5))
def test_shares_make_up_the_batch(rows: int, count: int):
    batch = FirstChunk(torch.arange(rows), torch.arange(rows) + 10)
    shares = [share(batch, index=index, count=count) for index in range(count)]
    assert all(type(each) is FirstChunk and each.lengths is None for each in shares)
    assert torch.equal(torch.cat([each.x for each in shares]), batch.x)
    assert torch.equal(torch.cat([each.y for each in shares]), batch.y)
    sizes = [len(each.x) for each in shares]
    assert max(sizes) - min(sizes) <= 1


def test_lengths_are_shared_with_their_rows():
    batch = Batch(torch.zeros(3, 2, 4), torch.zeros(3), torch.tensor([4, 2, 1]))
    assert share(batch, index=1, count=2).lengths.tolist() == [1]


def test_alone_there_is_nobody_to_ask():
    assert (process_count(), process_index()) == (1, 0)
    assert gathered("a") == ["a"]
    assert summed(torch.ones(2)).tolist() == [1, 1]


def command(folder: Path, processes: int, *arguments: str) -> list[str]:
    """`tcn fit` as in the README, on a small adding problem whose last batch is one sequence."""
    settings = {
        "trainer.default_root_dir": folder,
        "trainer.accelerator": "cpu",
        "trainer.devices": processes,
        "trainer.strategy": "ddp" if processes > 1 else "auto",
        "trainer.enable_progress_bar": "false",
        "data.init_args.train_size": 321,
        "data.init_args.validation_size": 33,
        "data.init_args.test_size": 8,
    }
    config = str(ROOT / "configs" / "adding_quick" / "tcn.yaml")
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return [sys.executable, "-m", "tcn", "fit", "--config", config, *flags, *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_the_command_line_in_two_processes(tmp_path: Path):
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        made = command(folder, processes, "--trainer.max_epochs=2")
        done = subprocess.run(
            made, env=environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr[-4000:]
        (version,) = folder.glob("version_*")
        with (version / "metrics.csv").open() as table:
            rows = [row["val_mse"] for row in csv.DictReader(table) if row["val_mse"]]
        curves.append([float(value) for value in rows])
        assert {path.name for path in (version / "checkpoints").iterdir()} == {
            "best.ckpt",
            "last.ckpt",
        }
    assert len(curves[0]) == 2
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


@pytest.mark.slow
def test_a_process_that_dies_takes_the_others_along(tmp_path: Path):
    """Nobody waits for it for the half hour that a collective may take."""
    made = command(tmp_path, 2, "--trainer.max_epochs=1000")
    first = subprocess.Popen(made, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        other = _child_after_an_epoch(first.pid, tmp_path)
        os.kill(other, signal.SIGKILL)
        first.communicate(timeout=PATIENCE)
        assert first.returncode != 0
    finally:
        first.kill()


def _child_after_an_epoch(pid: int, folder: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if list(folder.glob("version_*/checkpoints/last.ckpt")):
            listing = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return int(listing[0])
        time.sleep(0.1)
    pytest.fail("no epoch was finished")
