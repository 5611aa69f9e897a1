"""The public contract check passes honest nets (tests/layers, tests/models) and catches faults.

Every fault here is planted in a net that is right but for it, and named by the message.
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tcn.layers import Chain, Context, Conv1d, GroupNorm, Pointwise, Reach, SequenceModule
from tcn.layers.context import silence
from tcn.models import TCN, SequenceModel
from tcn.testing import check_sequence_module


def check(net: nn.Module, x: Tensor | None = None, **keywords: Any) -> None:
    keywords = {"compile_backend": None, "export": False, "dtypes": [torch.float64], **keywords}
    check_sequence_module(net, torch.randn(3, 2, 14) if x is None else x, **keywords)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


class Honest(Conv1d):
    """A causal convolution of two channels, into which the faults are planted."""

    def __init__(self) -> None:
        super().__init__(2, 2, 3)


def test_the_honest_one_passes() -> None:
    check(Honest())
    check(Chain(Honest(), nn.ReLU(), Honest()))


class LooksAhead(Conv1d):
    """A convolution with ``"same"`` padding that says it is causal."""

    causal = True

    def __init__(self) -> None:
        super().__init__(2, 2, 3, padding="same")


def test_a_look_ahead() -> None:
    with pytest.raises(
        AssertionError, match=r"LooksAhead looks ahead: with the inputs from 1 on ch"
    ):
        check(LooksAhead())


class LooksAheadOnce(Honest):
    """Looks one step ahead at a single place far into the sequence."""

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        y = y.clone()
        y[..., 12] += 1e-3 * x[..., 13]
        return y, after


def test_a_small_look_ahead_at_the_end() -> None:
    with pytest.raises(AssertionError, match=r"looks ahead: with the inputs from 13 on changed"):
        check(LooksAheadOnce())


class LooksAheadInHeight(SequenceModule):
    """Claims to be causal along the height of an image, where it reads the row below."""

    ndim, in_channels, out_channels = 2, 2, 2

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        return x + x.roll(-1, dims=-2), ()

    @property
    def reach(self) -> tuple[Reach, ...]:
        return (Reach(1, 0), Reach())


def test_a_look_ahead_along_another_axis() -> None:
    with pytest.raises(AssertionError, match=r"looks ahead: .* changed along axis -2"):
        check(LooksAheadInHeight(), torch.randn(3, 2, 5, 10))


class StridedAhead(Conv1d):
    """Every second output, each of them one step early."""

    def __init__(self) -> None:
        super().__init__(2, 2, 3, stride=2)

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        return super().advance(x.roll(-1, dims=-1), state, context)


def test_a_look_ahead_behind_a_stride() -> None:
    check(Conv1d(2, 2, 3, stride=2))
    with pytest.raises(AssertionError, match=r"StridedAhead looks ahead"):
        check(StridedAhead())


def test_statistics_of_the_batch_in_training() -> None:
    net = TCN(2, [3], 2, norm="batch")
    check(net.eval())
    with pytest.raises(
        AssertionError, match=r"TCN leaks across the batch in training mode: with ro"
    ):
        check(net.train())


class LeaksAcrossRows(Honest):
    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        return y + 1e-6 * x.sum((0, 1))[None, None], after


def test_a_leak_across_the_batch() -> None:
    with pytest.raises(
        AssertionError, match=r"LeaksAcrossRows leaks across the batch in evaluation"
    ):
        check(LeaksAcrossRows().eval())


@pytest.mark.parametrize("declared", [2, 4, float("inf")])
def test_a_wrong_receptive_field(declared: float) -> None:
    class Boasts(Honest):
        receptive_field = declared

    found = r"Boasts declares a receptive field of \(.*\), the gradient shows \(3,\)"
    with pytest.raises(AssertionError, match=found):
        check(Boasts())


def test_a_long_receptive_field_is_measured_to_its_end() -> None:
    check(Conv1d(2, 2, 2, dilation=9000), torch.randn(2, 2, 8))


class KeepsStateInABuffer(Honest):
    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        if context.streaming:
            self.register_buffer("past", after.detach())
        return y, after


class KeepsStateOnItself(Honest):
    """Hands out an empty state and reads its own past; a stream from its beginning is right."""

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, None if state is None else self.past, context)
        self.past = after
        return y, ()


class ChangesTheState(Honest):
    """Writes the next state over the one it was given."""

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        if state is not None and not torch.is_grad_enabled():
            state.copy_(after)
        return y, after


def test_a_state_kept_on_the_module() -> None:
    with pytest.raises(AssertionError, match=r"KeepsStateInABuffer keeps its state on the module"):
        check(KeepsStateInABuffer())
    with pytest.raises(AssertionError, match=r"KeepsStateOnItself keeps its state on the module"):
        check(KeepsStateOnItself())
    with pytest.raises(AssertionError, match=r"ChangesTheState .*changes the one handed in"):
        check(ChangesTheState())


class ForgetsItsPast(Honest):
    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        return y, torch.zeros_like(after) if context.streaming else after


class ScalesWhenStreaming(Honest):
    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        return y * (1 + 1e-6) if context.streaming else y, after


class DetachesItsState(Honest):
    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        y, after = super().advance(x, state, context)
        return y, after.detach() if context.streaming else after


class StepsWithoutGradient(Honest):
    @torch.no_grad()
    def step(self, *arguments: Any, **keywords: Any) -> tuple[Tensor, Any]:
        return super().step(*arguments, **keywords)


@pytest.mark.parametrize(("kind", "message"), [
    (ForgetsItsPast, r"in torch.float64, chunks of \[1, 1, .* steps differ from the whole"),
    (ScalesWhenStreaming, r"chunks of \[14\] steps differ from the whole"),
    (DetachesItsState, r"chunks of \[1, 1, .* give another gradient of (x|weight)"),
    (StepsWithoutGradient, r"chunks of \[14\] steps give no gradient of bias, weight, x"),
])  # fmt: skip
def test_a_step_that_is_not_the_forward(kind: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(kind())


class AveragesOverPadding(SequenceModule):
    """Subtracts the mean over time, padding included."""

    in_channels = out_channels = 2

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        x = silence(x, context.mask)
        return x - x.mean(-1, keepdim=True), ()

    @property
    def streaming_obstacle(self) -> str:
        return "it averages over the whole sequence"

    @property
    def reach(self) -> tuple[Reach, ...]:
        return (Reach(float("inf"), float("inf")),)


class ReadsPadding(Honest):
    """Lets what stands in the padding through to the outputs of valid steps."""

    def __init__(self) -> None:
        Conv1d.__init__(self, 2, 2, 3, padding="same")

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        return super().advance(x + 1, state, context._replace(mask=None))


@pytest.mark.parametrize("kind", [AveragesOverPadding, ReadsPadding])
def test_padding_that_shows(kind: type) -> None:
    match = rf"{kind.__name__}: padding changes the outputs of a row of \d+ steps"
    with pytest.raises(AssertionError, match=match):
        check(kind())


def test_a_readout_that_reads_padding() -> None:
    class MeanOfAll(SequenceModel):
        def _read(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
            y, past = self.backbone.advance(x, None, context)
            return self.head(y.mean(2)), (past, None)

    with pytest.raises(AssertionError, match=r"MeanOfAll: padding changes the outputs of a row"):
        check(MeanOfAll(TCN(2, [3], 2), 4, readout="mean"))


class LosesItsBias(Honest):
    """A copy that begins with another bias."""

    def __deepcopy__(self, memo: dict) -> "LosesItsBias":
        other = LosesItsBias()
        other.load_state_dict(self.state_dict())
        with torch.no_grad():
            other.bias += getattr(self, "lost", 0.0)
        other.lost = 0.5
        return other


class PicklesHalf(Honest):
    def __getstate__(self) -> dict:
        state = copy.deepcopy(self.__dict__)
        state["_parameters"]["bias"] = None
        return state

    def __deepcopy__(self, memo: dict) -> "PicklesHalf":
        other = PicklesHalf()
        other.load_state_dict(self.state_dict())
        return other.train(self.training)


class SavesHalf(Honest):
    """Leaves the bias out of its checkpoints and does not miss it."""

    def state_dict(self, *arguments: Any, **keywords: Any) -> dict:
        saved = super().state_dict(*arguments, **keywords)
        return {name: value for name, value in saved.items() if name != "bias"}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(state, strict=False, assign=assign)


@pytest.mark.parametrize(("kind", "message"), [
    (LosesItsBias, r"LosesItsBias: deepcopy computes another output"),
    (PicklesHalf, r"PicklesHalf: pickle computes another output"),
    (SavesHalf, r"SavesHalf: state_dict does not hold everything"),
])  # fmt: skip
def test_copies_that_lose_something(kind: type, message: str) -> None:
    net = kind()
    nn.init.ones_(net.bias)
    with pytest.raises(AssertionError, match=message):
        check(net)


class DoesNotRefuse(GroupNorm):
    """Looks at everything and steps all the same."""

    causal = False

    def step(self, x: Tensor, *rest: Any, **keywords: Any) -> tuple[Tensor, Any]:
        return self.forward(x), ()


def test_a_net_that_is_not_causal_must_refuse_to_step() -> None:
    check(GroupNorm(2, groups=1))
    with pytest.raises(
        AssertionError, match=r"DoesNotRefuse is not causal, yet step\(\) does not re"
    ):
        check(DoesNotRefuse(2, groups=1))


class FreezesItsLength(nn.Module):
    """Serves one length only."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(14)


class DiffersWhenCompiled(Pointwise):
    in_channels = out_channels = 2

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x + 1 if torch.compiler.is_compiling() else x


def test_graphs_that_differ() -> None:
    with pytest.raises(
        AssertionError, match=r"DiffersWhenCompiled: torch.compile differs from eag"
    ):
        check(DiffersWhenCompiled(), compile_backend="eager")
    with pytest.raises(AssertionError, match=r"DiffersWhenCompiled: torch.export differs"):
        check(DiffersWhenCompiled(), export=True)
    with pytest.raises(AssertionError, match=r"x.size\(\)\[2\] == 14"):  # in PyTorch's own words
        check(FreezesItsLength(), export=True)


def test_a_net_of_anyone_is_checked_as_far_as_it_goes() -> None:
    """A module of PyTorch without step, lengths or receptive field."""
    check(nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Tanh()))
    with pytest.raises(AssertionError, match=r"Sequential leaks across the batch in training mode"):
        check(nn.Sequential(nn.BatchNorm1d(2)))


def test_tokens_with_a_readout_have_no_time_axis() -> None:
    net = SequenceModel(TCN(4, [4], 2), 9, readout="mean", embedding=9)
    check(net, torch.randint(9, (3, 14)))


def test_the_net_is_left_as_it_was() -> None:
    net = TCN(2, [3], 2, dropout=0.5).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check(net)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_net_that_does_not_say_what_it_takes_needs_an_example() -> None:
    with pytest.raises(
        ValueError, match=r"example: not given, and Tanh has no in_channels; pass an"
    ):
        check_sequence_module(nn.Tanh())
