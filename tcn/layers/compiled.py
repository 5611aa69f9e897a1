"""A net inside ``torch.compile(net)``: the one place that looks through the wrapper.

The wrapper is a module of its own class, with ``_orig_mod.`` before every name in its
``state_dict``. Whoever asks a net about itself or keeps it looks inside; whoever only calls it
calls the wrapper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

N = TypeVar("N")

PREFIX = "_orig_mod."
"""What the wrapper puts before the names of parameters."""


def uncompiled(net: N) -> N:
    """The net inside ``torch.compile(net)``, whose parameters it shares; any other as it is."""
    # The compiler takes a second to load. Where nobody has loaded it, nothing is compiled.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is not None and isinstance(net, compiler.OptimizedModule):
        net = net._orig_mod
    return net


@contextmanager
def uncompiled_calls() -> Iterator[None]:
    """A context in which whatever is compiled, a net or parts of it, runs as it was written.

    So hooks see all of its parts, and each shape is not compiled anew.
    """
    if "torch._dynamo.eval_frame" not in sys.modules or torch.compiler.is_compiling():
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def compiled_method(net: Any, name: str) -> Callable[..., Any]:
    """A method of the net inside ``torch.compile(net)``, compiled as the net is; or as it is.

    The wrapper compiles ``forward`` alone, and hands out other methods as they are.
    """
    inner = uncompiled(net)
    method: Callable[..., Any] = getattr(inner, name)
    return method if inner is net else net.dynamo_ctx(method)


def without_wrapper(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *others: Any
) -> None:
    """Takes the wrapper out of the names of a state that is being loaded.

    For ``register_load_state_dict_pre_hook``: checkpoints of a compiled net had it there.
    """
    own = module.state_dict(prefix=prefix)  # with the wrapper where a part of the net has one
    for name in [name for name in state_dict if PREFIX in name and name not in own]:
        state_dict[name.replace(PREFIX, "")] = state_dict.pop(name)
