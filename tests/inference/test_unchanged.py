"""A net that was changed after it was built is not saved as what it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tcn
from tcn.inference import StreamSession, from_pretrained, save_pretrained
from tcn.inference.unchanged import difference
from tcn.layers import Chain, Context, Conv1d, GroupNorm, SequenceModule, SqueezeExcite
from tcn.models import RNN, TCN, SequenceModel


def group(net: Any) -> None:
    next(m for m in net.modules() if isinstance(m, GroupNorm)).groups = 2


def past(net: Any) -> None:
    next(m for m in net.modules() if isinstance(m, SqueezeExcite)).averages_past = False


def one_for_true(net: Any) -> None:
    next(m for m in net.modules() if isinstance(m, SqueezeExcite)).averages_past = 1


def mode(net: Any) -> None:
    net.recurrence.mode = "RNN_RELU"


def ahead(net: Any) -> None:
    net[0].lookahead = 0
    net[0].axis_padding = ("strictly_causal",)


def gone(net: Any) -> None:
    del net[0].lookahead


def reads(net: Any) -> None:
    net[0].reads_condition = True


def excited() -> TCN:
    return TCN(2, [4], 3, modulation=SqueezeExcite)


@pytest.mark.parametrize(
    ("build", "edit", "message"),
    [
        (lambda: TCN(2, [4], 3, norm="group"), group, r"layer1\.norm\.groups is 2, built anew 4"),
        (excited, past, r"modulation\.averages_past is False, built anew True"),
        (excited, one_for_true, r"modulation\.averages_past is 1, built anew True"),
        (lambda: RNN(2, 3), mode, r"recurrence\.mode is 'RNN_RELU', built anew 'RNN_TANH'"),
        (lambda: Chain(Conv1d(2, 3, 2)), ahead, r"it prints .*'strictly_causal'"),
        (lambda: Chain(Conv1d(2, 3, 2)), gone, r"0\.lookahead is absent, built anew 0"),
        (lambda: Chain(Conv1d(2, 3, 2)), reads, r"0\.reads_condition is True, built anew absent"),
    ],
)
def test_an_attribute_that_was_changed_is_named(
    build: Callable[[], Any], edit: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    net = build()
    save_pretrained(net, tmp_path / "before")
    edit(net)
    with pytest.raises(
        ValueError, match=f"net: it has been changed since it was built: .*{message}"
    ):
        save_pretrained(net, tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_what_was_used_and_watched_is_saved(tmp_path: Path) -> None:
    # Nothing that nets do, and nothing that others hang on them, makes them other nets.
    for number, net in enumerate([
        SequenceModel(TCN(2, [4, 4], 3, dropout=0.1), 2, readout="attention"),
        SequenceModel(RNN(2, 3), 2),
        TCN(2, [4], 3, norm="batch"),
    ]):  # fmt: skip
        net(torch.randn(3, 2, 9)).sum().backward()
        net.register_full_backward_hook(lambda *given: None)
        net.register_forward_hook(lambda *given: None)
        net.note = "the best of three"
        if number < 2:
            StreamSession(net.eval()).push(torch.randn(1, 2, 4))
        net.compile()  # of no effect before the next call
        save_pretrained(net, tmp_path / f"{number}")
        from_pretrained(tmp_path / f"{number}")


class Own(SequenceModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_channels = width
        self.layer = Conv1d(width, width, 2)
        self.function = F.relu
        self.inline = lambda x: x
        self.kind = Conv1d
        self.settings = {"a": (1, 2.0), "b": [float("nan"), None]}
        self.table = torch.zeros(3)

    def advance(self, x: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        return self.layer.advance(x, state, context)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("function", F.gelu, "function is <.*gelu.*, built anew <function relu"),
        ("kind", nn.Conv1d, "kind is .*torch.*, built anew .*tcn"),
        ("settings", {"a": (1, 2.0), "b": [0.0, None]}, r"settings is .*\[0\.0, .*\[nan, None\]"),
        ("settings", {"a": [1, 2.0], "b": [float("nan"), None]}, r"settings is .*\[1, .*\(1, 2"),
        ("table", 3, "table is 3, built anew tensor"),
        ("inline", lambda x: -x, None),
    ],
)
def test_settings_of_a_class_of_ones_own(name: str, value: Any, told: str | None) -> None:
    net = Own(2)
    assert difference(net, Own(2)) is None
    setattr(net, name, value)
    found = difference(net, Own(2))
    if told is None:
        assert found is None
    else:
        assert found is not None
        with pytest.raises(ValueError, match=told):
            raise ValueError(found)


def test_parts_of_another_class_are_named() -> None:
    class Like(nn.ReLU):
        def __repr__(self) -> str:
            return "ReLU()"

    found = difference(Chain(Conv1d(2, 3, 2), Like()), Chain(Conv1d(2, 3, 2), nn.ReLU()))
    assert found == "1 is a Like, built anew a ReLU"


def test_settings_of_a_registered_class_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcn.saving.description, "_OWN", {})
    tcn.saving.register("own")(Own)
    net = Own(2)
    save_pretrained(net, tmp_path)
    net.function = F.gelu
    with pytest.raises(ValueError, match="changed since it was built: function is"):
        save_pretrained(net, tmp_path)
