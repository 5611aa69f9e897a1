"""What `test_two_processes.py` asks of two processes (gloo, CPU), each answer beside that of one.

torchrun --nproc-per-node 2 two_processes.py FOLDER
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from tcn.layers import BatchNorm
from tcn.models import TCN, SequenceModel
from tcn.training import Regression

LENGTHS = torch.tensor([9, 2, 5, 7, 1])
SHARES = [slice(0, 3), slice(3, 5)]  # unlike many rows, and fewer steps, for the second process


def numbers(key: int, *sizes: int) -> Tensor:
    generator = torch.Generator().manual_seed(key)
    return torch.randn(*sizes, generator=generator, dtype=torch.float64)


def is_alone() -> bool:
    return not distributed.is_initialized()


def my_rows() -> slice:
    return slice(0, 5) if is_alone() else SHARES[distributed.get_rank()]


def settings(**others: Any) -> dict[str, Any]:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    several = {} if is_alone() else {"strategy": "ddp", "devices": 2}
    return {"accelerator": "cpu", "enable_checkpointing": False} | quiet | several | others


# ------------------------------------------------------------------- synchronized norm


def norms(masked: bool, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Three steps of a net converted by PyTorch, and what it remembers."""
    torch.manual_seed(0)
    net = TCN(2, [4, 4], 3, norm="batch").to(dtype)
    if not is_alone():
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[assignment]
    assert any(type(module) is BatchNorm for module in net.modules())
    mine = my_rows()
    x = (numbers(1, 5, 2, 9) * 3 + 1).to(dtype)[mine].requires_grad_()
    lengths = LENGTHS[mine] if masked else None
    for _ in range(3):
        net.zero_grad()
        x.grad = None
        y = net(x, lengths=lengths)
        if masked:
            y = y.masked_fill(torch.arange(9) >= LENGTHS[mine].view(-1, 1, 1), 0)
        (y * numbers(2, 5, 4, 9).to(dtype)[mine]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    if not is_alone():
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
    return {"y": y.detach(), "x": x.grad, "gradients": gradients, "state": dict(net.state_dict())}


# -------------------------------------------------------------------- a loader of one's own


class Rows(Dataset[Any]):
    """Rows of 3 to 9 steps; the first, which are handed out twice, are far from the others."""

    def __init__(self, count: int) -> None:
        self.x = numbers(count, count, 2, 9)
        self.x[0] *= 9

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        x = self.x[index]
        return x, x.cumsum(-1)[:1], torch.tensor(3 + index * 5 % 7)


def net(**options: Any) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(TCN(2, [4, 4], 3, **options), 1).double()


def sgd(parameters: Any) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.001)


def own_loader(count: int, norm: str = "weight") -> dict[str, Any]:
    """An epoch of one step, two validations and a test; `count` rows, the whole batch in one."""
    task = Regression(net(norm=norm), optimizer=sgd)
    share = -(-count // (1 if is_alone() else 2))
    trainer = pl.Trainer(**settings(max_epochs=1, sync_batchnorm=not is_alone()))
    loaders = [DataLoader(Rows(count), batch_size=size) for size in (share, 2)]
    trainer.fit(task, *loaders)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    found |= trainer.validate(task, loaders[0], verbose=False)[0]
    found |= trainer.test(task, loaders[1], verbose=False)[0]
    return {"metrics": found, "weights": {n: w.clone() for n, w in task.state_dict().items()}}


def accumulated() -> dict[str, Any]:
    """Two batches to a step, of which each process has a part."""
    task, data = Regression(net(), optimizer=sgd), Rows(12)
    # Lightning would shuffle. Dealt out one by one, twice two rows of each process are 0 to 7.
    order = None if is_alone() else DistributedSampler(data, shuffle=False)
    trainer = pl.Trainer(**settings(max_epochs=2, accumulate_grad_batches=1 if is_alone() else 2))
    trainer.fit(task, DataLoader(data, batch_size=8 if is_alone() else 2, sampler=order))
    return {"weights": {n: w.clone() for n, w in task.state_dict().items()}}


# ------------------------------------------------------------------------------ shards


def sharded() -> dict[str, Any]:
    """Three steps with weights, gradients and optimizer states spread over the processes."""
    torch.manual_seed(0)
    model = SequenceModel(TCN(2, [4, 4, 4], 3), 1).double()
    if not is_alone():
        mesh = distributed.init_device_mesh("cpu", (2,))
        for level in model.backbone.levels:
            fully_shard(level, mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rows = slice(0, 4) if is_alone() else slice(2 * distributed.get_rank(), None)
    rows = rows if is_alone() else slice(rows.start, rows.start + 2)
    losses = []
    for step in range(3):
        x = numbers(step, 4, 2, 9)
        loss = (model(x[rows]) - x[rows].cumsum(-1)[:, :1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = torch.stack(losses)
    if not is_alone():
        distributed.all_reduce(mean)
        mean /= 2
    full = {n: getattr(w, "full_tensor", lambda w=w: w)() for n, w in model.state_dict().items()}
    return {"losses": mean, "weights": full}


QUESTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "norm": lambda: norms(masked=False),
    "norm, padded": lambda: norms(masked=True),
    "norm, padded, half": lambda: norms(masked=True, dtype=torch.float16),
    "loader": lambda: own_loader(7),
    "loader, even": lambda: own_loader(6),
    "loader, synchronized": lambda: own_loader(7, "batch"),
    "loader, one row": lambda: own_loader(1),
    "accumulated": accumulated,
    "sharded": sharded,
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group("gloo")
    found: dict[str, Any] = {}
    for name, ask in QUESTIONS.items():
        try:
            found[name] = ask()
        except Exception as error:  # the other questions are still answered
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    torch.save(found, folder / f"process{distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
