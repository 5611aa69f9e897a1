"""The layers of any net by name, and what they return in a forward pass."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence as Packed
from torch.nn.utils.rnn import pad_packed_sequence

from tcn.layers import SequenceModule
from tcn.layers.compiled import uncompiled, uncompiled_calls
from tcn.native import switched_off

LISTED = 12
"""Names that an error lists before it only counts."""


def layer_names(net: nn.Module) -> list[str]:
    """The names of all layers, in the order in which they were registered."""
    return [name for name, _ in uncompiled(net).named_modules() if name]


def check_layers(net: nn.Module, layers: Sequence[str]) -> None:
    """Refuses names that no layer has.

    Raises:
        TypeError: a name is not a text.
        ValueError: there is no such layer; the nearest are named. Or it is a
            ``ScriptModule``, which takes no hooks, or a part of one.
    """
    known = layer_names(net)
    if layers:
        _check_seen(net, [_split(layer)[0] for layer in layers if isinstance(layer, str)])
    for layer in layers:
        if not isinstance(layer, str):
            raise TypeError(
                f"layer: {layer!r} is not a name; give one such as {known[0] if known else ''!r}"
            )
        name, call = _split(layer)
        if name in known and (not call or (call.isdigit() and int(call) > 0)):
            continue
        if name in known:
            raise ValueError(f"layer: {layer!r} counts no call; write {name}#1 for the first")
        near = difflib.get_close_matches(name, known, n=LISTED, cutoff=0.5) or known
        listed = ", ".join(near[:LISTED]) + (" ..." if len(near) > LISTED else "")
        raise ValueError(
            f"layer: {type(net).__name__} has none named {layer!r}; choose one of {listed}"
        )


@contextmanager
def seen_through(net: nn.Module) -> Iterator[None]:
    """A context in which PyTorch's own operations compute the net, in evaluation mode.

    Each module is called, so that hooks see it; afterwards each is in the mode it was in before.
    """
    # A frozen ScriptModule has no mode.
    modes = [(each, each.training) for each in net.modules() if hasattr(each, "training")]
    net.eval()
    try:
        with switched_off(), uncompiled_calls():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """A context in which what is computed asks for no gradients of the net's parameters.

    Those of the input pass; a ``backward`` later on leaves the parameters' ``grad`` alone.
    """
    held = [parameter for parameter in net.parameters() if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


class Recording:
    """What layers returned in the forward passes since the last :meth:`take`.

    Attributes:
        steps: of each row, by name of a recurrent layer that was given packed sequences.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = list(layers)
        self.steps: dict[str, Tensor] = {}
        self._seen: dict[str, list[Tensor]] = {}

    def add(self, name: str, module: nn.Module, output: Any) -> None:
        """Keeps what a layer returned; of several tensors the first."""
        while isinstance(output, tuple | list) and output and not isinstance(output, Packed):
            output = output[0]
        self.steps.pop(name, None)
        if isinstance(output, Packed):
            output, self.steps[name] = pad_packed_sequence(output, batch_first=True)
            output = output.transpose(1, 2)
        elif isinstance(module, nn.RNNBase) and isinstance(output, Tensor) and output.dim() == 3:
            output = output.movedim(*((1, 2) if module.batch_first else (0, 2)))
        if isinstance(output, Tensor):
            # A copy: a ReLU that follows may change it in place.
            self._seen.setdefault(name, []).append(output.clone())

    def take(self) -> dict[str, Tensor]:
        """Output by layer, of the forward pass that has just ended.

        Raises:
            ValueError: a layer was not called, returned no tensor, or was called several times and
                the name does not say which call is meant.
        """
        seen, self._seen = self._seen, {}
        return {layer: _chosen(layer, seen) for layer in self.layers}


@contextmanager
def recording(net: nn.Module, layers: Sequence[str]) -> Iterator[Recording]:
    """A context in which the outputs of layers are kept, the net being in evaluation mode.

    Args:
        net: any module.
        layers: names as in ``net.named_modules()``. A layer that is called several times in a
            forward pass, as a ReLU that serves a whole block, is named with the number of the call:
            ``"layer1.0.relu#2"`` is its second.

    Raises:
        TypeError: a name is not a text.
        ValueError: there is no such layer.
    """
    check_layers(net, layers)
    inner = uncompiled(net)
    made = Recording(layers)
    with ExitStack() as hooks:
        for name in dict.fromkeys(_split(layer)[0] for layer in layers):
            handle = inner.get_submodule(name).register_forward_hook(
                lambda module, _inputs, output, name=name: made.add(name, module, output)
            )
            hooks.callback(handle.remove)
        hooks.enter_context(seen_through(inner))
        yield made


def activations(net: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What layers return for an input.

    Works on any module, with PyTorch's own forward hooks; the net is evaluated in evaluation mode,
    without gradients, and left as it was. What ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` return comes
    as ``(batch, units, time)``, whichever axis they have first.

    Args:
        net: any module.
        x: what the net takes, such as ``(batch, channels, time)`` or ``(batch, channels, height,
            width)``; it is moved to where the net is.
        layers: names as in ``net.named_modules()``; see :func:`recording`.

    Returns:
        Output by layer, in the order given.

    Raises:
        TypeError: a name is not a text.
        ValueError: there is no such layer, or it is called never or several times.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        activations(net, torch.randn(2, 1, 20), ["levels.0"])["levels.0"].shape  # (2, 8, 20)
    """
    with recording(net, layers) as record, torch.no_grad():
        evaluate(net, x)
        return record.take()


def called(net: nn.Module, x: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    """The layers of some kinds that the net calls for an input, in the order of the calls.

    One that is called several times is there for each, as ``"conv#1"`` and ``"conv#2"``.

    Raises:
        ValueError: the net does not take ``x``.
    """
    seen: list[str] = []
    with ExitStack() as hooks, torch.no_grad():
        for name, module in uncompiled(net).named_modules():
            if name and isinstance(module, kinds):
                hook = module.register_forward_hook(lambda *_, name=name: seen.append(name))
                hooks.callback(hook.remove)
        hooks.enter_context(seen_through(net))
        evaluate(net, x)
    calls = [(name, seen[: at + 1].count(name)) for at, name in enumerate(seen)]
    return [f"{name}#{call}" if seen.count(name) > 1 else name for name, call in calls]


def place_of(net: nn.Module) -> torch.device:
    """Where the net is: where its first parameter or buffer is, the CPU if it has none.

    Raises:
        ValueError: it is on the ``meta`` device, where there are no numbers.
    """
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_meta:
            raise ValueError(
                f"net: the weights of {type(net).__name__} are on the meta device, which holds no "
                'numbers; use net.to_empty(device="cpu") and load them'
            )
        return tensor.device
    return torch.device("cpu")


def type_of(net: nn.Module) -> torch.dtype:
    """The floating type of the net's parameters; the default one if it has none."""
    for tensor in net.parameters():
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def as_input(net: nn.Module, x: Tensor) -> Tensor:
    """An input in the place, and if it is floating in the type, of the net.

    Raises:
        TypeError: it is not a tensor.
        ValueError: it holds nothing, or the net is on the ``meta`` device.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x: {type(x).__name__} is not a tensor; use torch.as_tensor(x)")
    if x.numel() == 0:
        raise ValueError(f"x: shape {tuple(x.shape)} holds nothing; give at least one example")
    return x.to(place_of(net), type_of(net) if x.is_floating_point() else x.dtype)


def evaluate(net: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Any:
    """What the net returns, with the shape of the input in the error where it does not take it.

    Args:
        net: any module.
        x: what it takes.
        lengths: valid steps of each row, which nets of this library take; others get all.

    Raises:
        TypeError: ``x`` is not a tensor.
        ValueError: the net does not take it.
    """
    x = as_input(net, x)
    masked = lengths is not None and isinstance(uncompiled(net), SequenceModule)
    try:
        return net(x, lengths.to(x.device)) if masked and lengths is not None else net(x)
    except (RuntimeError, IndexError, AssertionError) as error:
        if "out of memory" in str(error):
            raise
        raise ValueError(
            f"x: {type(net).__name__} does not take {x.dtype} of shape {tuple(x.shape)} "
            f"({' '.join(str(error).split())}); give inputs of the size that it was trained on"
        ) from error


def _check_seen(net: nn.Module, names: Sequence[str]) -> None:
    for scripted, module in uncompiled(net).named_modules():
        within = [name for name in names if not scripted or f"{name}.".startswith(f"{scripted}.")]
        if within and isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"layer: {within[0]!r} is TorchScript, {type(module).__name__}, which does not "
                "show its layers; give the net that was scripted, traced or frozen"
            )


def _split(layer: str) -> tuple[str, str]:
    """``"relu#2"`` -> ``("relu", "2")``; a name without a number gets an empty one."""
    name, mark, call = layer.partition("#")
    return name, call or mark


def _chosen(layer: str, seen: dict[str, list[Tensor]]) -> Tensor:
    name, call = _split(layer)
    calls = seen.get(name, [])
    if not calls:
        raise ValueError(
            f"layer: {layer!r} returned no tensor in this forward pass; choose a layer that the "
            "net calls for this input"
        )
    if call:
        if int(call) > len(calls):
            raise ValueError(f"layer: {layer!r}, but {name} is called {len(calls)} times")
        return calls[int(call) - 1]
    if len(calls) > 1:
        raise ValueError(
            f"layer: {layer!r} is called {len(calls)} times in a forward pass; write {name}#1 to "
            f"{name}#{len(calls)} for one of them"
        )
    return calls[0]
