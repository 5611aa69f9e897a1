"""The recurrent nets are PyTorch's own, with padding anywhere and a state that is a value."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.models import GRU, LSTM, RNN, TCN, SequenceModel

EXACT = {"rtol": 1e-12, "atol": 1e-12}
PAIRS = [(LSTM, nn.LSTM), (GRU, nn.GRU), (RNN, nn.RNN)]
OURS = [LSTM, GRU, RNN]


def own_state(state: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Our ``(batch, layers, hidden)`` as PyTorch has it."""
    parts = tuple(part.transpose(0, 1) for part in state)
    return parts if len(parts) > 1 else parts[0]


@pytest.mark.parametrize(("ours", "own"), PAIRS)
@pytest.mark.parametrize("layers", [1, 3])
def test_it_is_pytorch_own(ours: type, own: type, layers: int) -> None:
    net = ours(2, 4, layers).double()
    reference = own(2, 4, layers, batch_first=True).double()
    reference.load_state_dict(
        {name.removeprefix("recurrence."): value for name, value in net.state_dict().items()}
    )
    x = torch.randn(3, 2, 7, dtype=torch.float64)
    expected, expected_state = reference(x.transpose(1, 2))
    torch.testing.assert_close(net(x), expected.transpose(1, 2), **EXACT)
    y, state = net.step(x)
    torch.testing.assert_close(y, expected.transpose(1, 2), **EXACT)
    torch.testing.assert_close(own_state(state), expected_state, **EXACT)
    # From this state on, too.
    expected, _ = reference(x.transpose(1, 2), expected_state)
    torch.testing.assert_close(net.step(x, state)[0], expected.transpose(1, 2), **EXACT)


def test_rnn_hand_computed_value() -> None:
    # h = tanh(x + h / 2): 1 gives 0.7616 (tanh 1), then 0 gives tanh(0.3808) = 0.3634.
    net = RNN(1, 1)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(1.0 if "weight_ih" in name else 0.5 if "weight_hh" in name else 0.0)
    y = net(torch.tensor([[[1.0, 0.0]]])).flatten().tolist()
    assert y == pytest.approx([0.7616, 0.3634], abs=5e-5)


@pytest.mark.parametrize("value", [1.0, 10.0, -2.0])
def test_forget_bias_is_the_one_that_acts(value: float) -> None:
    net = LSTM(2, 3, 2, forget_bias=value)
    plain = LSTM(2, 3, 2)
    for layer in range(2):
        parts = [getattr(net.recurrence, f"bias_{kind}_l{layer}") for kind in ("ih", "hh")]
        gates = sum(parts).view(4, 3)  # input, forget, cell, output
        assert gates[1].tolist() == [value] * 3
        assert value not in gates[[0, 2, 3]].tolist()
        others = getattr(plain.recurrence, f"bias_ih_l{layer}").view(4, 3)
        assert float(others[1].detach().abs().max()) <= 3**-0.5  # PyTorch: U(-1/sqrt(h), 1/sqrt(h))


def test_chrono_gives_every_cell_a_memory_of_its_own() -> None:
    """Tallec & Ollivier 2018, section 2: forget bias log U(1, T - 1), input bias its negative."""
    net = LSTM(2, 500, 2, chrono=100)
    for layer in range(2):
        parts = [getattr(net.recurrence, f"bias_{kind}_l{layer}") for kind in ("ih", "hh")]
        into, keep, *_ = sum(parts).view(4, 500)
        assert torch.equal(into, -keep)
        memory = keep.exp()
        assert memory.min() >= 0.999
        assert memory.max() <= 99.001
        assert memory.mean().item() == pytest.approx(50, abs=4)  # three standard errors are 3.8
    update = GRU(2, 500, chrono=100).recurrence.bias_ih_l0[500:1000].exp()
    assert update.mean().item() == pytest.approx(50, abs=4)
    assert update.std().item() == pytest.approx(98 / 12**0.5, rel=0.1)


def test_a_gru_with_chrono_keeps_what_it_saw_for_so_long() -> None:
    # Without weights a state decays as sigmoid(bias) ** t, which is about exp(-t / memory).
    net = GRU(1, 4, chrono=10_000)
    with torch.no_grad():
        net.recurrence.weight_hh_l0.zero_()
        net.recurrence.weight_ih_l0.zero_()
        net.recurrence.bias_ih_l0[8:].zero_()
        net.recurrence.bias_hh_l0[8:].zero_()
    memory = net.recurrence.bias_ih_l0[4:8].exp()
    _, (state,) = net.step(torch.zeros(1, 1, 200), (torch.ones(1, 1, 4),))
    torch.testing.assert_close(
        state.flatten(), torch.exp(-200 / (memory + 0.5)), rtol=1e-2, atol=1e-4
    )


@pytest.mark.parametrize(("build", "match"), [
    (lambda: LSTM(1, 2, chrono=2), "chrono: 2 steps must be at least 3"),
    (lambda: GRU(1, 2, chrono=0), "chrono: 0 steps must be at least 3"),
    (lambda: LSTM(1, 2, forget_bias=1.0, chrono=9), "forget_bias: 1.0 with chrono=9"),
])  # fmt: skip
def test_bad_chrono_is_refused(build: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build()


def test_the_forget_bias_acts_on_the_forget_gate() -> None:
    # All else zero, the cell is its old self times sigmoid(bias): sigmoid(ln 3) = 3/4.
    net = LSTM(1, 1, forget_bias=float(torch.log(torch.tensor(3.0))))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "weight" in name:
                parameter.zero_()
            else:
                parameter.view(4, 1)[[0, 2, 3]] = 0.0
    zero, cell = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 8.0)
    _, (_, after) = net.step(torch.ones(1, 1, 1), (zero, cell))
    assert after.item() == pytest.approx(6.0)


MASKS = st.lists(
    st.lists(st.booleans(), min_size=6, max_size=6), min_size=3, max_size=3
)  # anywhere: left, middle, right, a whole row


@pytest.mark.parametrize("kind", OURS)
@given(MASKS, st.integers(1, 2))
def test_masked_steps_are_skipped_wherever_they_are(
    kind: type, mask: list[list[bool]], layers: int
) -> None:
    net, valid = kind(2, 3, layers).double(), torch.tensor(mask)
    x = torch.randn(3, 2, 6, dtype=torch.float64)
    hidden = x.masked_fill(~valid[:, None], float("nan"))
    before = net.step(torch.randn(3, 2, 2, dtype=torch.float64))[1]
    y, after = net.step(hidden, before, mask=valid)
    for row in range(3):
        past = tuple(part[row : row + 1] for part in before)
        compact = x[row : row + 1, :, valid[row]]
        found = tuple(part[row : row + 1] for part in after)
        if compact.shape[-1] == 0:
            torch.testing.assert_close(found, past, rtol=0, atol=0)
            continue
        expected, state = net.step(compact, past)
        torch.testing.assert_close(y[row : row + 1, :, valid[row]], expected, **EXACT)
        torch.testing.assert_close(found, state, **EXACT)


@pytest.mark.parametrize("kind", OURS)
def test_the_state_after_padding_is_that_of_the_last_valid_step(kind: type) -> None:
    net, x, lengths = kind(2, 3).double(), torch.randn(3, 2, 6, dtype=torch.float64), [6, 2, 4]
    _, state = net.step(x, None, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        _, expected = net.step(x[row : row + 1, :, :length])
        torch.testing.assert_close(tuple(p[row : row + 1] for p in state), expected, **EXACT)


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_follows_every_layer_in_training(layers: int) -> None:
    torch.manual_seed(0)
    net, x = LSTM(2, 50, layers, dropout=0.4), torch.randn(20, 2, 10)
    zeros = (net(x) == 0).float().mean()
    assert float(zeros) == pytest.approx(0.4, abs=5 * (0.24 / 10_000) ** 0.5)
    assert net.recurrence.dropout == (0.4 if layers > 1 else 0.0)
    assert not (net.eval()(x) == 0).any()


@pytest.mark.parametrize("kind", OURS)
def test_the_whole_past_is_seen(kind: type) -> None:
    net = kind(2, 3)
    assert net.receptive_field == float("inf")
    assert (net.in_channels, net.out_channels) == (2, 3)
    assert net.causal


@pytest.mark.parametrize(("arguments", "match"), [
    ({"in_channels": 0}, r"in_channels: 0 must be at least 1"),
    ({"hidden": 0}, r"hidden: 0 must be at least 1"),
    ({"layers": 0}, r"layers: 0 must be at least 1"),
    ({"dropout": 1.0}, r"dropout: 1.0 is not in \[0, 1\)"),
])  # fmt: skip
@pytest.mark.parametrize("kind", OURS)
def test_bad_arguments_are_refused(kind: type, arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        kind(**{"in_channels": 1, "hidden": 2, **arguments})


@pytest.mark.parametrize("kind", OURS)
def test_bad_inputs_and_states_are_refused(kind: type) -> None:
    net, x = kind(2, 3), torch.zeros(2, 2, 5)
    with pytest.raises(
        ValueError, match=rf"does not fit {kind.__name__}: .*channels seem to be last"
    ):
        net(x.movedim(1, -1))
    _, state = net.step(x)
    with pytest.raises(
        ValueError, match=r"state: .* tensors of shape \(3, 1, 3\), got \[\(2, 1, 3\)"
    ):
        net.step(torch.zeros(3, 2, 5), state)
    with pytest.raises(
        ValueError, match=r"state: .* tensors of shape \(2, 1, 3\), got \[\(2, 2, 3\)"
    ):
        net.step(x, kind(2, 3, 2).step(x)[1])
    with pytest.raises(ValueError, match=r"state: .*another net or batch"):
        net.step(x, TCN(2, [3], 2).step(x)[1])
    with pytest.raises(ValueError, match=r"state: .*another net or batch"):
        net.step(x, x)
    with pytest.raises(ValueError, match=r"state: torch.float64 on cpu for .*, x is torch.float32"):
        net.step(x, tuple(part.double() for part in state))
    with pytest.raises(ValueError, match=r"x: a chunk of length 0"):
        net.step(x[..., :0])


class WithLengths(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x, lengths):
        return self.net(x, lengths=lengths)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the exporter, about nn.LSTM's own weights
@pytest.mark.parametrize("cell", [LSTM, GRU, RNN])
@pytest.mark.parametrize("readout", ["last", "every"])
def test_torch_export_with_lengths(cell, readout: str) -> None:
    """PyTorch packs padded rows, which no graph can hold."""
    net = SequenceModel(cell(2, 4, layers=2), 3, readout=readout).eval()
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        WithLengths(net),
        (torch.randn(3, 2, 9), torch.tensor([3, 9, 2])),
        dynamic_shapes=({0: dynamic, 2: dynamic}, {0: dynamic}),
        strict=False,
    )
    x, lengths = torch.randn(4, 2, 20), torch.tensor([20, 7, 1, 13])
    y = program.module()(x, lengths)
    torch.testing.assert_close(y, net(x, lengths=lengths), rtol=1e-4, atol=1e-5)
