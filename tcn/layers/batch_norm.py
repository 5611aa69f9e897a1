"""Batch norm that knows padding, half precision and other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import SequenceModule
from tcn.layers.running import EPSILON, at_least_float32, valid_steps
from tcn.layers.state import State
from tcn.layers.validation import check_input_of_any_rank, check_positive
from tcn.saving.description import recorded

HALVES = (torch.float16, torch.bfloat16)


class BatchNorm(SequenceModule, nn.BatchNorm1d):
    """Batch norm over batch and time; in evaluation mode a fixed scale. Ioffe & Szegedy 2015.

    ``nn.SyncBatchNorm.convert_sync_batchnorm(net)`` and ``Trainer(sync_batchnorm=True)`` keep this
    layer and set ``synchronized``: in training its statistics are then those of the valid steps of
    all processes, on any device, as if one process held the joined batch.
    ``half()`` and ``bfloat16()`` leave the running averages in float32: a variance above 65504 does
    not fit into float16, and neither type can hold a small step of an average.

    Attributes:
        synchronized: whether statistics are taken over all processes of ``process_group``.
        process_group: of ``torch.distributed``; None for all processes.
    """

    synchronized: bool = False
    process_group: Any = None
    _counts: bool = True

    @recorded
    def __init__(self, channels: int, *, epsilon: float = EPSILON) -> None:
        """Normalizes ``channels`` channels; ``epsilon`` is added to every variance.

        Raises:
            ValueError: if ``channels`` is below 1.
        """
        check_positive("channels", [channels])
        super().__init__(channels, eps=epsilon)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Normalizes by batch statistics in training, by the running ones in evaluation.

        Raises:
            ValueError: in training, if there is a single value per channel.
        """
        check_input_of_any_rank(self, x, self.num_features)
        flat, measures = x.flatten(2), self.training or self.running_mean is None
        valid = None
        if context.mask is not None and measures:
            valid = valid_steps(x, context.mask).flatten(2)
        if measures and (self._is_shared() or self._is_half()):
            return self._measured(flat, valid).view_as(x), ()
        if self._is_half():
            return self._remembered(flat).view_as(x), ()
        if valid is None:
            if measures and flat.shape[0] * flat.shape[2] == 1:
                raise _single_step()
            return nn.BatchNorm1d.forward(self, flat).view_as(x), ()
        steps, valid = flat.transpose(1, 2), valid[:, 0]
        rows = steps[valid]
        if len(rows) == 1:
            raise _single_step()
        normalized = nn.BatchNorm1d.forward(self, rows)
        placed = torch.zeros_like(steps).masked_scatter(valid.unsqueeze(-1), normalized)
        return placed.transpose(1, 2).reshape_as(x), ()

    def replaced_by(self, module: nn.Module) -> nn.Module:
        """Keeps this layer where PyTorch's converter would put a ``SyncBatchNorm``.

        PyTorch's layer would not know what is padding, and does not train on a CPU.
        """
        if not isinstance(module, nn.SyncBatchNorm):
            return module
        self.synchronized, self.process_group = True, module.process_group
        return self

    @property
    def streaming_obstacle(self) -> str | None:
        """Training mode."""
        if not self.training:
            return None
        return "batch norm in training mode takes statistics over batch and time (call eval())"

    def needs(self, want: Grid) -> Grid:
        """Every position in training, the same positions in evaluation."""
        return super().needs(want) if self.training else want

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """In evaluation mode every position is treated alike."""
        if self.training:
            return super().on_grid(x, have, want, context)
        return self.advance(x, None, Context())[0]

    def _is_half(self) -> bool:
        return self.weight.dtype in HALVES

    def _is_shared(self) -> bool:
        if not (self.synchronized and distributed.is_available() and distributed.is_initialized()):
            return False
        return distributed.get_world_size(self.process_group) > 1

    def _measured(self, flat: Tensor, valid: Tensor | None) -> Tensor:
        """Normalizes ``(batch, channels, time)`` by its statistics, and remembers them."""
        x, shared = at_least_float32(flat), self._is_shared()
        counts = x.new_full((len(x), 1, x.shape[-1]), float(self._counts or not shared))
        if valid is not None:
            x, counts = x.masked_fill(~valid, 0), counts * valid
        sums = torch.cat([counts.sum().view(1), (x * counts).sum((0, 2))])
        sums = _Sum.apply(sums, self.process_group) if shared else sums
        count = sums[0].detach()
        if count == 1:
            raise _single_step()
        mean = sums[1:] / count.clamp_min(1)
        centered = x - mean[:, None]
        squares = (centered.square() * counts).sum((0, 2))
        squares = _Sum.apply(squares, self.process_group) if shared else squares
        if count > 0:
            self._remember(mean.detach(), squares.detach() / (count - 1))
        y = centered * (squares / count.clamp_min(1) + self.eps).rsqrt()[:, None]
        y = y * self.weight.to(y.dtype)[:, None] + self.bias.to(y.dtype)[:, None]
        return (y if valid is None else y.masked_fill(~valid, 0)).to(flat.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:  # a plain average over all batches, as torch.optim.swa_utils wants it
            momentum = 1 / int(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)

    def _remembered(self, flat: Tensor) -> Tensor:
        """Normalizes by the running averages, in float32."""
        x = at_least_float32(flat)
        kept = (self.running_mean, self.running_var, self.weight, self.bias)
        mean, variance, weight, bias = (None if t is None else t.to(x.dtype) for t in kept)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, self.eps).to(flat.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BatchNorm:
        before = self.running_mean, self.running_var
        super()._apply(fn, recurse)
        self.running_mean, self.running_var = (
            _kept_in_float32(now, then)
            for now, then in zip((self.running_mean, self.running_var), before, strict=True)
        )
        return self


def _kept_in_float32(now: Tensor | None, then: Tensor | None) -> Tensor | None:
    """A running average after a change of device or dtype, from what it was before."""
    if now is None or then is None or now.dtype not in HALVES:
        return now
    return then.to(now.device, torch.float32)


@contextmanager
def uncounted(net: nn.Module) -> Iterator[None]:
    """A context in which synchronized norms of ``net`` add nothing to their sums.

    For a process whose share of the batch is empty, and which runs a row of zeros so that the
    others need not wait for it.
    """
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm._counts = False
    try:
        yield
    finally:
        for norm in norms:
            norm._counts = True


class _Sum(torch.autograd.Function):
    """The sum over all processes; what any of them makes of it comes back to each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None


def _summed(x: Tensor, group: Any) -> Tensor:
    total = x.detach().clone()
    distributed.all_reduce(total, group=group)
    return total


def _single_step() -> ValueError:
    return ValueError(
        "x: 1 valid step in the batch, too few for the deviation of a norm over batch and time; "
        "train with more steps or sequences (a last batch of one row is left out by drop_last=True "
        "of the loader, or avoided by another batch_size), build the net with norm='layer', or "
        "call eval()"
    )
