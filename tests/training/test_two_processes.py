"""Two processes (gloo, CPU) beside one: synchronized norms, loaders of one's own, shards."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from tcn.layers import BatchNorm, Chain, Conv1d
from tcn.models import TCN
from tcn.training.repetition import _repeated

SCRIPT = Path(__file__).with_name("two_processes.py")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(SCRIPT.parent))
import two_processes  # noqa: E402


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Of one process alone, and of each of two."""
    folder = tmp_path_factory.mktemp("answers")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr"]
    launch += ["127.0.0.1", "--nproc-per-node", "2", str(SCRIPT), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    parts = [torch.load(folder / f"process{index}.pt") for index in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: [ask(), *(part[name] for part in parts)]
            for name, ask in two_processes.QUESTIONS.items()
        }


def of(answers: dict[str, list[dict[str, Any]]], question: str) -> list[dict[str, Any]]:
    for answer in answers[question][1:]:
        assert "error" not in answer, answer["error"]
    return answers[question]


@pytest.mark.parametrize("question", ["norm", "norm, padded", "norm, padded, half"])
def test_a_converted_norm_is_that_of_the_joined_batch(answers: Any, question: str) -> None:
    """Outputs, gradients and running averages; the second process has fewer rows and steps."""
    one, *two = of(answers, question)
    near = {"rtol": 0.02, "atol": 0.02} if "half" in question else {"rtol": 1e-9, "atol": 1e-9}
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([each[name] for each in two]), one[name], **near)
    for each in two:
        torch.testing.assert_close(each["gradients"], one["gradients"], **near)
        torch.testing.assert_close(each["state"], one["state"], **near)
    assert int(one["state"]["levels.0.sum.body.layer1.norm.num_batches_tracked"]) == 3


@pytest.mark.parametrize(
    "question", ["loader", "loader, even", "loader, synchronized", "loader, one row"]
)
def test_a_row_that_is_handed_out_twice_counts_once(answers: Any, question: str) -> None:
    one, *two = of(answers, question)
    for each in two:
        assert each["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
        torch.testing.assert_close(each["weights"], one["weights"], rtol=1e-5, atol=1e-6)


def test_accumulated_gradients_of_two_processes_take_the_steps_of_one(answers: Any) -> None:
    one, *two = of(answers, "accumulated")
    for each in two:
        torch.testing.assert_close(each["weights"], one["weights"], rtol=1e-5, atol=1e-7)


def test_weights_in_shards_take_the_steps_of_one_process(answers: Any) -> None:
    one, *two = of(answers, "sharded")
    for each in two:
        torch.testing.assert_close(each["losses"], one["losses"], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(each["weights"], one["weights"], rtol=1e-7, atol=1e-9)


def test_the_converter_of_pytorch_leaves_the_layer_in_its_place() -> None:
    """Of a container too that is converted again, and without processes nothing changes."""
    net = TCN(1, [4, 4], 3, norm="batch").double()
    x, lengths = two_processes.numbers(0, 3, 1, 9), torch.tensor([9, 4, 2])
    before, keys = net(x, lengths=lengths), list(net.state_dict())
    parameters = [id(parameter) for parameter in net.parameters()]
    for _ in range(2):
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        assert torch.equal(net(x, lengths=lengths), before)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    assert len(norms) == 4
    assert all(type(norm) is BatchNorm and norm.synchronized for norm in norms)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in net.modules())
    assert list(net.state_dict()) == keys
    assert [id(parameter) for parameter in net.parameters()] == parameters


def test_the_process_group_of_the_converter_is_kept_and_others_replace_the_layer() -> None:
    chain = Chain(convolution=Conv1d(1, 2, 3), norm=BatchNorm(2))
    group = object()
    nn.SyncBatchNorm.convert_sync_batchnorm(chain, group)
    assert chain.norm.process_group is group
    chain.add_module("norm", nn.Identity())
    assert type(chain.norm) is nn.Identity


@pytest.mark.parametrize(("count", "size"), [(5, 2), (6, 2), (7, 3), (1, 1), (2, 4), (9, 1)])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_row_is_left_in_one_process(count: int, size: int, processes: int) -> None:
    """By enumeration: what all batches of all processes keep is every row once."""
    kept: list[int] = []
    for rank in range(processes):
        sampler = DistributedSampler(range(count), processes, rank, shuffle=False)
        loader = DataLoader(range(count), batch_size=size, sampler=sampler)
        for index, batch in enumerate(loader):
            kept += batch.tolist()[: len(batch) - _repeated(loader, index, len(batch))]
    assert sorted(kept) == list(range(count))
