"""The contract of a sequence module as checks that anyone can run on their own net.

    from tcn.testing import check_sequence_module
    check_sequence_module(my_net, torch.randn(3, 2, 24))

The contract: ``forward(x)`` is ``step(x)[0]``; chunks of any length give the outputs and gradients
of the whole; no output depends on a later input or on another row; padding is invisible; what the
net declares about itself (receptive field, rate, block size) is true; a hook on any module sees it
once and changes nothing; copies, ``torch.compile`` and ``torch.export`` compute the same.
"""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tcn.layers.compiled import uncompiled
from tcn.layers.receptive_field import ReceptiveField, receptive_field
from tcn.layers.validation import check_switch, is_integer

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""Largest difference between two ways of computing the same, relative and absolute."""


def check_sequence_module(
    net: nn.Module,
    example: Tensor | None = None,
    *,
    condition: Tensor | None = None,
    dtypes: Iterable[torch.dtype] = (torch.float32, torch.float64),
    compile_backend: str | None = "aot_eager",
    export: bool = True,
) -> None:
    """Checks that a net keeps the contract of sequence modules.

    Causality and the independence of the rows are checked in the mode the net is in, so a net that
    mixes rows in training is caught in training; everything else is checked in evaluation mode. A
    net whose ``streams`` is False must refuse ``step`` with its reason. The net itself is not
    changed.

    Args:
        net: maps ``(batch, channels, *sizes)`` to outputs with the same batch.
        example: an input, at least 2 rows and 8 steps, a multiple of the net's ``multiple_of``;
            random unless given, of the net's own ``in_channels`` and ``ndim``.
        condition: a condition for the example, if the net takes one.
        dtypes: floating types in which chunks are compared with the whole.
        compile_backend: backend of ``torch.compile``; None to leave it out.
        export: whether ``torch.export`` is tried, with batch and (unless recurrent) time dynamic.

    Raises:
        AssertionError: naming the promise that is broken.
        ValueError: if no example is given and the net does not say what it takes, or its length is
            not a multiple of what the net takes.
    """
    check_switch(export=export)
    net = uncompiled(net)
    example = _example(net) if example is None else example
    multiple = getattr(net, "multiple_of", 1)
    if example.shape[-1] % multiple:
        raise ValueError(
            f"example: {example.shape[-1]} steps; {type(net).__name__} takes a multiple of "
            f"{multiple}, such as {-(-example.shape[-1] // multiple) * multiple}"
        )
    check = _Check(net, example, condition)
    check.causality()
    check.rows()
    check.padding()
    check.declared_receptive_field()
    check.copies()
    check.state_is_a_value()
    check.declared_rate()
    check.hooks()
    for dtype in dtypes:
        check.chunks(dtype)
    if compile_backend is not None:
        check.compiled(compile_backend)
    if export:
        check.exported()


class _Check:
    """One net, one example, and the promises one by one."""

    def __init__(self, net: nn.Module, example: Tensor, condition: Tensor | None) -> None:
        self.as_given = copy.deepcopy(net)
        self.net = copy.deepcopy(net).eval()
        self.example = example
        self.condition = condition
        self.causal = bool(getattr(net, "causal", hasattr(net, "step")))
        self.streams = bool(getattr(net, "streams", self.causal))

    def causality(self) -> None:
        """Changing the future leaves every earlier output bit-equal, along each causal axis."""
        whole = self._seeded(self.example)
        if not self._keeps_time(whole):
            return  # a readout over time has one output, which sees everything
        for axis in self._causal_axes():
            size = self.example.shape[axis]
            for cut in (1, size // 2, size - 1):
                changed = self._seeded(_with_other_end(self.example, axis, cut))
                seen = self._outputs_before(cut, axis, whole.shape[axis])
                same = torch.equal(whole.narrow(axis, 0, seen), changed.narrow(axis, 0, seen))
                assert same, (
                    f"{self._name} looks ahead: with the inputs from {cut} on changed along axis "
                    f"{axis}, an output before {seen} changed too"
                )

    def rows(self) -> None:
        """Changing one row leaves the others bit-equal."""
        whole = self._seeded(self.example)
        changed = self.example.clone()
        changed[0] = _other(changed[0])
        same = torch.equal(whole[1:], self._seeded(changed)[1:])
        mode = "training" if self.as_given.training else "evaluation"
        assert same, (
            f"{self._name} leaks across the batch in {mode} mode: with row 0 changed, "
            "another row's output changed too"
        )

    def padding(self) -> None:
        """What comes after a row's length, NaN included, never changes its outputs."""
        if "lengths" not in inspect.signature(self.net.forward).parameters:
            return
        x, (batch, time) = self.example.clone(), (self.example.shape[0], self.example.shape[-1])
        step = self.multiple
        lengths = torch.tensor([
            max(step, (time - 5 * row) // step * step) for row in range(batch)
        ])  # fmt: skip
        for row, length in enumerate(lengths.tolist()):
            rest = x[row, ..., length:]
            rest.fill_(math.nan if x.is_floating_point() else 0)
        padded = self.net(x, lengths=lengths, **self._condition())
        for row, length in enumerate(lengths.tolist()):
            alone = self.net(x[row : row + 1, ..., :length], **self._condition(row, length))
            valid = padded[row : row + 1]
            if padded.dim() > 2:
                valid = valid[..., : alone.shape[-1]]
            self._close(valid, alone, f"padding changes the outputs of a row of {length} steps")

    def declared_receptive_field(self) -> None:
        """``net.receptive_field`` is what the gradient shows, where the sizes agree."""
        measurable = self.example.is_floating_point() and self.condition is None
        axes = self.example.dim() - 2
        given, sizes = self.example.shape[2:], self._seeded(self.example).shape[2:]
        rates = tuple(getattr(self.net, "rates", ()))
        rates = (1,) * (axes - len(rates)) + rates
        as_rated = len(sizes) == axes == len(rates) and all(
            n == math.ceil(steps / rate) for n, steps, rate in zip(sizes, given, rates, strict=True)
        )
        if not (hasattr(self.net, "receptive_field") and measurable and as_rated):
            return
        declared: Any = self.net.receptive_field
        declared = declared if isinstance(declared, tuple) else (declared,)
        measured = receptive_field(
            self.net,
            in_channels=self.example.shape[1],
            ndim=axes,
            max_length=_longest_window(declared, axes),
        )
        fields = (measured,) if isinstance(measured, ReceptiveField) else measured
        # A layer that serves any rank declares the last axis alone.
        found = tuple(field.size for field in fields)[-len(declared) :]
        assert declared == found, (
            f"{self._name} declares a receptive field of {declared}, the gradient shows {found}"
        )

    def declared_rate(self) -> None:
        """``net.rate`` and ``net.block_size`` are those of a stream pushed step by step."""
        if not self.streams or not hasattr(self.net, "block_size"):
            return
        net: Any = self.net
        block, rate = net.block_size, net.rate
        length = 2 * block
        x = self.example.repeat_interleave(-(-length // self.example.shape[-1]), -1)[..., :length]
        if self.condition is not None and self.condition.dim() > 2:
            return
        with torch.no_grad():
            counts = self._counts(x)
        if counts is None:
            return
        latency = getattr(self.net, "latency", 0)
        first, second = counts[: length // 2], counts[length // 2 :]
        expected = block / rate
        assert latency or (sum(first) == sum(second) == expected and first == second), (
            f"{self._name} declares a rate of {rate} and a block_size of {block}; pushed step by "
            f"step it returns {counts}"
        )

    def _counts(self, x: Tensor) -> list[int] | None:
        """Outputs after every single step; None for a readout over time."""
        state, counts = None, []
        for step in x.split(1, dim=-1):
            y, state = self.net.step(step, state, **self._condition())  # type: ignore[operator]
            counts.append(y.shape[-1])
        return counts if y.dim() == max(x.dim(), 3) else None

    def hooks(self) -> None:
        """A hook fires once on every module whose parameters matter, and changes nothing."""
        fired, run, dtype = Counter[str](), partial(self._run, self.net), self.example.dtype
        plain, gradients = self._with_gradients(self.net, dtype, run)
        hooks = [
            module.register_forward_hook(partial(_count, fired, name))
            for name, module in self.net.named_modules()
        ]
        hooked, own = self._with_gradients(self.net, dtype, run)
        for hook in hooks:
            hook.remove()
        self._close(hooked, plain, "a forward hook changes the outputs")
        for name, gradient in own.items():
            self._close(gradient, gradients[name], f"a forward hook changes the gradient of {name}")
        often = sorted(name for name, times in fired.items() if times > 1)
        assert not often, f"{self._name}: hooks fire more than once on {', '.join(often)}"
        passed_by = {name.rpartition(".")[0] for name in own if name != "x"} - fired.keys()
        assert not passed_by, f"{self._name}: no hook fires on {', '.join(sorted(passed_by))}"

    def copies(self) -> None:
        """``deepcopy``, pickle and ``state_dict`` compute the same; no state is kept."""
        expected, keys = self._run(self.net), set(self.net.state_dict())
        unpickled = pickle.loads(pickle.dumps(self.net))  # noqa: S301  (bytes of our own)
        self._close(
            self._run(copy.deepcopy(self.net)), expected, "deepcopy computes another output"
        )
        self._close(self._run(unpickled), expected, "pickle computes another output")
        other = copy.deepcopy(self.net)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        other.load_state_dict(self.net.state_dict())
        self._close(self._run(other), expected, "state_dict does not hold everything")
        if self.streams:
            self._steps(self.net, self.example, [self.example.shape[-1]])
            assert set(self.net.state_dict()) == keys, f"{self._name} keeps its state on the module"

    def state_is_a_value(self) -> None:
        """The state handed in decides alone: a chunk computed twice is the same twice."""
        if not self.streams:
            return
        cut = self.example.shape[-1] // 2
        before, chunk = self.example[..., :cut], self.example[..., cut:]
        condition, later = self._condition(time=cut), self._condition(start=cut)
        with torch.no_grad():
            state = self.net.step(before, **condition)[1]  # type: ignore[operator]
            once = self.net.step(chunk, state, **later)[0]  # type: ignore[operator]
            self.net.step(_other(before), **condition)  # type: ignore[operator]
            again = self.net.step(chunk, state, **later)[0]  # type: ignore[operator]
        assert torch.equal(once, again), (
            f"{self._name} keeps its state on the module, or changes the one handed in: the same "
            "chunk after the same state gave another output"
        )

    def chunks(self, dtype: torch.dtype) -> None:
        """Chunks of any length give the whole's outputs and gradients; others refuse ``step``."""
        if not self.streams:
            self._refuses_step()
            return
        net = copy.deepcopy(self.net).to(dtype)
        time = self.example.shape[-1]
        whole, gradients = self._with_gradients(net, dtype, partial(self._run, net))
        for sizes in ([time], [1] * time, [1, 5, time - 6], [time - 1, 1]):
            streamed, own = self._with_gradients(net, dtype, partial(self._steps, net, sizes=sizes))
            what = f"in {dtype}, chunks of {sizes} steps"
            self._close(streamed, whole, f"{what} differ from the whole", dtype)
            lost = sorted(gradients.keys() - own.keys())
            assert not lost, f"{self._name}: {what} give no gradient of {', '.join(lost)}"
            for name, gradient in own.items():
                message = f"{what} give another gradient of {name}"
                self._close(gradient, gradients[name], message, dtype)

    def compiled(self, backend: str) -> None:
        """``torch.compile`` agrees with eager."""
        torch._dynamo.reset()
        compiled = torch.compile(self.net, backend=backend)
        self._close(self._run(compiled), self._run(self.net), "torch.compile differs from eager")
        torch._dynamo.reset()

    def exported(self) -> None:
        """``torch.export`` agrees with eager, at another batch size and length too."""
        auto = torch.export.Dim.AUTO
        arguments = (self.example,)
        # PyTorch's exporter unrolls a recurrent net over the steps of the example.
        recurrent = any(isinstance(module, nn.RNNBase) for module in self.net.modules())
        time = {} if recurrent else {self.example.dim() - 1: auto}
        shapes: dict[str, Any] = {"x": {0: auto, **time}}
        keywords = self._condition()
        if self.condition is not None:
            local = {self.condition.dim() - 1: auto} if self.condition.dim() > 2 else {}
            shapes["condition"] = {0: auto, **local}
        if self.multiple > 1:
            shapes["x"][self.example.dim() - 1] = self.multiple * torch.export.Dim("blocks", min=1)
        program = torch.export.export(
            self.net, arguments, keywords, dynamic_shapes=self._by_name(shapes), strict=False
        )
        module = program.module()
        self._close(module(self.example, **keywords), self._run(self.net), "torch.export differs")
        cut = -(-3 // self.multiple) * self.multiple
        shorter = self.example[:2] if recurrent else self.example[:2, ..., :-cut]
        keywords = self._condition(slice(0, 2), shorter.shape[-1])
        self._close(
            module(shorter, **keywords),
            self.net(shorter, **keywords),
            "torch.export is not dynamic",
        )

    # ------------------------------------------------------------------- helpers

    @property
    def multiple(self) -> int:
        """Steps of which a sequence must be a multiple."""
        return getattr(self.net, "multiple_of", 1)

    @property
    def _name(self) -> str:
        return type(self.net).__name__

    def _by_name(self, shapes: dict[str, Any]) -> dict[str, Any]:
        """The first parameter of ``forward`` may have another name than ``x``."""
        first = next(iter(inspect.signature(self.net.forward).parameters))
        return {first if name == "x" else name: shape for name, shape in shapes.items()}

    def _outputs_before(self, cut: int, axis: int, outputs: int) -> int:
        """How many outputs of an axis stand before the input at ``cut``, whatever the stride."""
        reach = getattr(self.net, "reach", None)
        if reach is None:
            return cut * outputs // self.example.shape[axis]
        return min(outputs, math.ceil(cut / reach[axis].jump)) if -axis <= len(reach) else cut

    def _keeps_time(self, output: Tensor) -> bool:
        """Whether there is an output per step; tokens have no channel axis, outputs have."""
        return output.dim() == max(self.example.dim(), 3)

    def _condition(
        self, row: int | slice | None = None, time: int | None = None, start: int = 0
    ) -> dict[str, Any]:
        if self.condition is None:
            return {}
        rows = slice(row, row + 1) if isinstance(row, int) else row or slice(None)
        condition = self.condition[rows]
        return {"condition": condition[..., start:time] if condition.dim() > 2 else condition}

    def _run(self, net: Callable[..., Tensor], x: Tensor | None = None) -> Tensor:
        x = self.example if x is None else x
        keywords = {key: value.to(x.dtype) for key, value in self._condition().items()}
        return net(x, **keywords)

    def _seeded(self, x: Tensor) -> Tensor:
        """The net as it was given, its own mode included, under the same random numbers."""
        net = copy.deepcopy(self.as_given)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self._run(net, x).detach()

    def _steps(self, net: nn.Module, x: Tensor, sizes: Sequence[int]) -> Tensor:
        state, outputs, start = None, [], 0
        for size in sizes:
            keywords = {key: value.to(x.dtype) for key, value in self._condition().items()}
            condition = keywords.get("condition")
            if condition is not None and condition.dim() > 2:
                keywords["condition"] = condition[..., start : start + size]
            y, state = net.step(x[..., start : start + size], state, **keywords)  # type: ignore[operator]
            outputs.append(y)
            start += size
        latency = getattr(net, "latency", 0)
        if latency:
            outputs.append(self._last_steps(net, x, state, latency))
        if outputs[0].dim() == 2:
            return outputs[-1]
        return torch.cat(outputs, dim=-1)[..., latency:]

    def _last_steps(self, net: nn.Module, x: Tensor, state: Any, latency: int) -> Tensor:
        """What a look-ahead still owes at the end: padding pushes it out."""
        nothing = torch.zeros_like(x[..., :1]).expand(*x.shape[:-1], latency)
        sizes = nothing.shape[2:] if x.is_floating_point() else nothing.shape[1:]
        keywords: dict[str, Any] = {"mask": torch.zeros((x.shape[0], *sizes), dtype=torch.bool)}
        if self.condition is not None:
            condition = self.condition.to(x.dtype)
            local = condition.dim() > 2
            last = condition[..., -1:].expand(*condition.shape[:-1], latency)
            keywords["condition"] = last if local else condition
        return net.step(nothing, state, **keywords)[0]  # type: ignore[operator]

    def _with_gradients(
        self, net: nn.Module, dtype: torch.dtype, run: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.example.clone()
        if x.is_floating_point():
            x = x.to(dtype).requires_grad_()
        net.zero_grad()
        y = run(x)
        if y.requires_grad:
            weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y) / y.numel()
            (y * weights).sum().backward()
        gradients = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
        if x.grad is not None:
            gradients["x"] = x.grad
        return y.detach(), gradients

    def _causal_axes(self) -> list[int]:
        if not self.causal:
            return []
        reach = getattr(self.net, "reach", ())
        ndim = self.example.dim() - 2
        return sorted(
            {-1} | {-i for i, axis in enumerate(reach[: -ndim - 1 : -1], 1) if axis.right <= 0}
        )

    def _refuses_step(self) -> None:
        if not hasattr(self.net, "step"):
            return
        try:
            self.net.step(self.example, **self._condition())  # type: ignore[operator]
        except TypeError:
            return
        raise AssertionError(f"{self._name} is not causal, yet step() does not refuse")

    def _close(
        self, found: Tensor, expected: Tensor, message: str, dtype: torch.dtype | None = None
    ) -> None:
        tolerance = TOLERANCE[dtype or (found.dtype if found.dtype in TOLERANCE else torch.float32)]
        torch.testing.assert_close(
            found,
            expected,
            rtol=tolerance,
            atol=tolerance,
            msg=lambda details: f"{self._name}: {message}\n{details}",
        )


def _count(fired: Counter[str], name: str, *_: Any) -> None:
    """A forward hook that counts."""
    fired[name] += 1


def _example(net: nn.Module) -> Tensor:
    """Three random rows of about 24 steps of what the net says it takes."""
    generator = torch.Generator().manual_seed(0)
    multiple = getattr(net, "multiple_of", 1)
    steps = -(-24 // multiple) * multiple
    embedding = getattr(net, "embedding", None)
    if isinstance(embedding, nn.Embedding):
        return torch.randint(embedding.num_embeddings, (3, steps), generator=generator)
    channels = getattr(net, "in_channels", None)
    if not is_integer(channels):
        raise ValueError(
            f"example: not given, and {type(net).__name__} has no in_channels; pass an input"
        )
    sizes = [steps] if getattr(net, "ndim", 1) == 1 else [9, steps]
    return torch.randn(3, channels, *sizes, generator=generator)


def _longest_window(declared: Sequence[float], axes: int) -> int | None:
    """A window in which the declared field shows its end, no longer than that if it has none."""
    if math.inf in declared:
        return 256 // axes
    default = 2**14 if axes == 1 else 2**9
    return max(default, int(4 * max(declared)))  # the output stands in the middle of the window


def _other(x: Tensor) -> Tensor:
    """Different values everywhere, of the same kind."""
    return x.roll(1, -1) * 2 + 1 if x.is_floating_point() else x.flip(-1)


def _with_other_end(x: Tensor, axis: int, start: int) -> Tensor:
    changed = x.clone()
    end = changed.narrow(axis, start, x.shape[axis] - start)
    end.copy_(_other(end))
    return changed
