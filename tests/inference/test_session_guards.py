"""A session refuses what would poison it and what it cannot use, before anything advances."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import StreamSession
from tcn.inference.engines import TorchRows
from tcn.inference.state import clone, flatten, map_tensors
from tcn.layers import Add, Chain, Conv1d, FiLM, SequenceModule
from tcn.models import TCN, SequenceModel
from tcn.saving import tensors as tensors_file

TOKENS = 5
NETS: dict[str, Callable[[], SequenceModule]] = {
    "tcn": lambda: TCN(2, [4, 3], 3),
    "tokens": lambda: SequenceModel(TCN(3, [4, 4], 2), TOKENS, embedding=TOKENS),
    "conditioned": lambda: TCN(2, [3, 4], 2, modulation=lambda channels: FiLM(channels, 3)),
}


def build(name: str) -> SequenceModule:
    torch.manual_seed(0)
    return NETS[name]().eval()


# ------------------------------------------------------------------- what must not get in


def lazy(x: Tensor) -> Tensor:
    """-x, as a view whose sign is yet to be changed."""
    return torch.complex(torch.zeros_like(x), x).conj().imag


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("rows", [None, [1, 0]])
def test_the_sign_of_a_lazy_view_is_not_lost(native: bool | None, rows: list[int] | None) -> None:
    net, x, condition = build("conditioned"), torch.randn(2, 2, 4), torch.randn(2, 3)
    assert lazy(x).is_neg()
    plain, other = (StreamSession(net, 2, native=native) for _ in range(2))
    for part in x.split([1, 1, 2], -1):
        expected = plain.push(-part, rows, -condition)
        assert torch.equal(other.push(lazy(part), rows, lazy(condition)), expected)
    state = plain.state
    other.state = map_tensors(lambda t: lazy(-t) if t.is_floating_point() else t, state)
    for a, b in zip(flatten(state), flatten(other.state), strict=True):
        assert torch.equal(a, b)


def poisoned(state: Any, value: float) -> Any:
    state = clone(state)
    next(t for t in flatten(state) if t.numel())[-1].fill_(value)
    return state


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("nan", ["raise", "hold", "skip"])
def test_a_state_that_is_not_finite_is_refused_everywhere(
    nan: str, value: float, native: bool | None, tmp_path: Path
) -> None:
    net = build("tcn")
    session = StreamSession(net, 2, nan=nan, native=native)
    session.push(torch.randn(2, 2, 5))
    good = session.state
    bad = poisoned(good, value)
    with pytest.raises(ValueError, match=rf"state: {value} in the state of row 1, at '"):
        session.state = bad
    with pytest.raises(ValueError, match=rf"initial: {value} in the state of row 1"):
        StreamSession(net, 2, initial=bad, native=native)
    sick = StreamSession(net, 2, nan=nan, native=native)
    sick.push(torch.randn(2, 2, 5))
    sick._engine.set_state(bad)  # as weights that overflow would leave it
    with pytest.raises(ValueError, match=f"rows: {value} in the state"):
        sick.fork()
    with pytest.raises(ValueError, match=f"other: {value} in the state"):
        session.scatter([0, 1], sick)
    sick.save(tmp_path / "sick.safetensors")
    with pytest.raises(ValueError, match=rf"path: .*sick.safetensors .*{value} in the state"):
        StreamSession.load(tmp_path / "sick.safetensors", net)
    for a, b in zip(flatten(good), flatten(session.state), strict=True):
        assert torch.equal(a, b)


def test_rows_that_have_not_begun_have_no_state() -> None:
    with pytest.raises(ValueError, match="rows: none has begun, so there is no state yet"):
        TorchRows(build("tcn"), 2).get_state()


NO_TENSORS: dict[str, Callable[[Any], object]] = {
    "chunk": lambda session: session.push([[[1.0]]]),
    "condition": lambda session: session.push(torch.zeros(1, 2, 1), condition=[[1.0]]),
    "rows": lambda session: session.push(torch.zeros(1, 2, 1), rows="0"),
    "tokens": lambda session: session.sample([0], torch.zeros(1, 1, 3)),
    "noise": lambda session: session.sample(torch.tensor([0]), [[[0.0]]]),
    "other": lambda session: session.scatter([0], "session"),
}


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("what", NO_TENSORS)
def test_what_is_no_tensor_is_a_type_error(what: str, native: bool | None) -> None:
    session = StreamSession(build("tcn"), native=native)
    session.push(torch.zeros(1, 2, 1))
    with pytest.raises(TypeError, match=f"{what}: "):
        NO_TENSORS[what](session)


@pytest.mark.parametrize("native", [None, False])
def test_sampling_no_steps_gives_none(native: bool | None) -> None:
    session = StreamSession(build("tokens"), 2, native=native)
    session.push(torch.zeros(2, 1, dtype=torch.int64))
    assert session.sample(torch.tensor([0, 1]), torch.zeros(0, 2, TOKENS)).shape == (2, 0)
    with pytest.raises(ValueError, match=r"noise: shape \(1, 3, 5\); expected \(steps, 2, 5\)"):
        session.sample(torch.tensor([0, 1]), torch.zeros(1, 3, TOKENS))


@pytest.mark.parametrize("dilation", [2**30 + 1, 2**32 + 1, 2**48])
def test_a_past_beyond_all_memory_is_refused_by_name(dilation: int) -> None:
    net = TCN(1, [1], 5, dilations=[dilation], norm="none").eval()
    with pytest.raises(ValueError, match=r"net: TCN\..*dilation: remembered steps: \d{10,}"):
        StreamSession(net).push(torch.randn(1, 1, 200))


def test_a_dilation_beyond_any_machine_is_refused_when_the_net_is_built() -> None:
    with pytest.raises(ValueError, match=rf"dilations: {2**62} is more than a machine can hold"):
        TCN(1, [1], 5, dilations=[2**62], norm="none")


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [("conv", "bias"), ("conv", "weight"), ("norm", "weight"), ("norm", "bias"), ("head", "bias")],
)
def test_a_parameter_of_another_size_is_named(layer: str, parameter: str) -> None:
    net = SequenceModel(TCN(2, [3], 2, norm="layer"), 4).eval()
    module = next(
        m for name, m in net.named_modules()
        if layer in name.lower() and isinstance(getattr(m, parameter, None), nn.Parameter)
    )  # fmt: skip
    old = getattr(module, parameter)
    setattr(module, parameter, nn.Parameter(torch.cat([old, old])))
    with pytest.raises(ValueError, match=rf"net: SequenceModel.*{parameter}: shape \("):
        StreamSession(net)


def test_one_channel_added_to_several_is_refused() -> None:
    net = Add(Chain(Conv1d(2, 3, 2)), Chain(Conv1d(2, 1, 2))).eval()
    session = StreamSession(net)
    assert not session.native
    with pytest.raises(ValueError, match=r"Add: its branches return .* differ in channels"):
        session.push(torch.randn(1, 2, 4))


# ------------------------------------------------------------------------ forged files

WILD = st.sampled_from(
    [None, -1, 0, 1, 2**31, 2**62, 2**70, 1e308, math.nan, "x", [], [None], {}, {"a": 1}, True, 1.5]
)


def forge(data: st.DataObject, whole: bytes) -> bytes:
    """A file with something else in one place of its content or for one of its tensors."""
    tensors = safetensors.torch.load(whole)
    metadata = dict(tensors_file.header(whole)["__metadata__"])
    content = json.loads(metadata["content"])
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(tensors)))
        tensor = tensors.pop(name)
        changed = data.draw(
            st.sampled_from([None, tensor[:1], tensor.sum(), tensor.double(), tensor.float() / 0])
        )
        if changed is not None:
            tensors[data.draw(st.sampled_from([name, f"{name}x"]))] = changed.clone()
    else:
        place, key = content, data.draw(st.sampled_from(sorted(content)))
        while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
        if isinstance(place, dict) and data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(WILD)
    metadata["content"] = json.dumps(content)
    plain = safetensors.torch.save(tensors)
    metadata["checksum"] = tensors_file.checksum(metadata["content"], plain)
    return safetensors.torch.save(tensors, metadata)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    session = StreamSession(build("tcn"), 3, nan="hold")
    session.push(torch.randn(2, 2, 5), rows=[0, 2])
    path = tmp_path_factory.mktemp("sessions") / "users.safetensors"
    session.save(path)
    return path, path.read_bytes()


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_a_file_holds_it_loads_or_is_refused_by_name(
    saved: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, whole = saved
    how = data.draw(st.sampled_from(["forged", "forged", "cut", "random", "length", "changed"]))
    if how == "forged":
        damaged = forge(data, whole)
    elif how == "cut":
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif how == "random":
        damaged = data.draw(st.binary(max_size=200))
    elif how == "length":
        damaged = data.draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little") + whole[8:]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + data.draw(st.binary(min_size=1, max_size=3)) + whole[at + 1 :]
    path.write_bytes(damaged)
    try:
        session = StreamSession.load(path, build("tcn"))
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = str(path)
        assert session.push(torch.zeros(3, 2, 2)).isfinite().all()
    assert str(path) in refusal
