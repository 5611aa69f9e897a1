"""Whether somebody watches a module by a hook, so that shortcuts around it must not be taken."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules import module as torch_module


def watched(*modules: nn.Module | None) -> bool:
    """Whether a hook, or a ``forward`` of the instance's own, sits on a module or a part of it."""
    return everywhere() or _any_watched(modules)


def everywhere() -> bool:
    """Whether a hook sits on every module there is, as a profiler's may."""
    return bool(
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def _any_watched(modules: Iterable[nn.Module | None]) -> bool:
    # Plain loops: a generator per module would cost a small net a tenth of its time.
    for module in modules:
        if module is None:
            continue
        if (
            "forward" in vars(module)  # put on the instance, as libraries that move weights do
            or module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
        ):
            return True
        parts = module._modules
        if parts and _any_watched(parts.values()):
            return True
    return False
