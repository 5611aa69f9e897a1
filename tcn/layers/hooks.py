"""Whether somebody watches a module by a hook, so that shortcuts around it must not be taken."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module


def watched(*modules: nn.Module | None) -> bool:
    """Whether a hook, forward or backward, sits on one of the modules or a part of them."""
    return everywhere() or any(module is not None and _is_watched(module) for module in modules)


def everywhere() -> bool:
    """Whether a hook sits on every module there is, as a profiler's may."""
    return bool(
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def _is_watched(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or any(_is_watched(child) for child in module._modules.values() if child is not None)
    )
