"""The model of a task: embedding, backbone, readout and head, each doing its part."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import Attention, Conv1d
from tcn.models import LSTM, TCN, SequenceModel

READOUTS = ["every", "last", "mean", "max", "attention"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def model(readout: str, **keywords) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(TCN(2, [3, 4], 2), 5, readout=readout, **keywords).double()


def by_hand(net: SequenceModel, row: Tensor) -> Tensor:
    """The outputs of one row ``(channels, time)`` without padding."""
    hidden = net.backbone(row[None])[0]
    if net.readout_name == "every":
        return (net.head.weight @ hidden.flatten(1) + net.head.bias[:, None]).view(5, -1)
    read = {
        "last": lambda: hidden[:, -1],
        "mean": lambda: hidden.mean(1),
        "max": lambda: hidden.amax(1),
        "attention": lambda: hidden @ torch.softmax(net.readout.score(hidden.T).flatten(), 0),
    }[net.readout_name]()
    return net.head.weight @ read + net.head.bias


@pytest.mark.parametrize("readout", READOUTS)
@given(st.integers(2, 12), st.booleans(), st.integers(0, 99))
def test_each_row_is_that_of_the_row_alone(
    readout: str, time: int, padded: bool, seed: int
) -> None:
    net = model(readout)
    torch.manual_seed(seed)
    x = torch.randn(3, 2, time, dtype=torch.float64)
    lengths = torch.randint(1, time + 1, (3,)) if padded else torch.full((3,), time)
    hidden = x.masked_fill(torch.arange(time) >= lengths[:, None, None], float("nan"))
    y = net(hidden, lengths if padded else None)
    assert y.shape == ((3, 5, time) if readout == "every" else (3, 5))
    for row, length in enumerate(lengths.tolist()):
        found = y[row, :, :length] if readout == "every" else y[row]
        torch.testing.assert_close(found, by_hand(net, x[row, :, :length]), **EXACT)


@pytest.mark.parametrize("readout", READOUTS)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 99))
def test_a_stream_returns_the_readout_of_everything_so_far(
    readout: str, sizes: list[int], seed: int
) -> None:
    net = model(readout)
    torch.manual_seed(seed)
    x = torch.randn(2, 2, sum(sizes), dtype=torch.float64)
    state, end = None, 0
    for chunk in x.split(sizes, dim=-1):
        y, state = net.step(chunk, state)
        end += chunk.shape[-1]
        expected = net(x[..., :end])
        expected = expected[..., end - chunk.shape[-1] :] if readout == "every" else expected
        torch.testing.assert_close(y, expected, **EXACT)


def test_an_image_model_reads_its_last_corner() -> None:
    net = SequenceModel(TCN(1, [3], 2, ndim=2, causal=True), 4, readout="last")
    x = torch.randn(2, 1, 5, 6)
    torch.testing.assert_close(net(x), net.head(net.backbone(x)[:, :, -1, -1]))
    every = SequenceModel(net.backbone, 4)
    every.head = net.head
    torch.testing.assert_close(every(x)[:, :, -1, -1], net(x))


def test_tokens_are_looked_up() -> None:
    net = SequenceModel(TCN(4, [4], 2), 7, embedding=7)
    tokens = torch.tensor([[0, 6, 3]])
    bare = SequenceModel(net.backbone, 7)
    bare.head = net.head
    assert net.embedding.weight.shape == (7, 4)
    torch.testing.assert_close(net(tokens), bare(net.embedding.weight[tokens].movedim(-1, 1)))
    first, state = net.step(tokens[:, :1])
    torch.testing.assert_close(
        torch.cat([first, net.step(tokens[:, 1:], state)[0]], -1), net(tokens)
    )


def test_tied_weights_are_one_parameter() -> None:
    net = SequenceModel(LSTM(4, 4), 7, embedding=7, tie_weights=True)
    assert net.head.weight is net.embedding.weight
    apart = SequenceModel(LSTM(4, 4), 7, embedding=7)
    count = [sum(p.numel() for p in n.parameters()) for n in (net, apart)]
    assert count[1] - count[0] == 7 * 4
    net(torch.tensor([[1, 2]])).sum().backward()
    assert net.embedding.weight.grad.abs().sum(1).count_nonzero() == 7  # the head uses every row


def test_a_zero_head_begins_with_its_bias_alone() -> None:
    net = SequenceModel(TCN(2, [4], 2, activation="tanh"), 5, readout="last", zero_head=True)
    torch.testing.assert_close(net(torch.randn(3, 2, 6)), net.head.bias.expand(3, 5))
    net(torch.randn(3, 2, 6)).sum().backward()
    assert net.head.weight.grad.abs().sum() > 0  # and it learns


def test_head_and_parts_are_what_their_names_say() -> None:
    net = SequenceModel(TCN(2, [3, 4], 2), 5, readout="attention")
    assert isinstance(net.head, nn.Linear)
    assert (net.head.in_features, net.head.out_features) == (4, 5)
    assert isinstance(net.readout, Attention)
    assert (net.in_channels, net.out_channels, net.ndim) == (2, 5, 1)
    assert net.receptive_field == float("inf")
    assert SequenceModel(TCN(2, [3, 4], 2), 5, readout="last").receptive_field == 7


@pytest.mark.parametrize(("arguments", "match"), [
    ({"out_channels": 0}, r"out_channels: 0 must be at least 1"),
    ({"readout": "first"}, r"readout: 'first' is not one of 'every', 'last', 'mean', 'max'"),
    ({"embedding": 0}, r"embedding: 0 must be at least 1"),
    ({"tie_weights": True}, r"tie_weights: True, but there is no embedding; set embedding"),
    ({"tie_weights": True, "embedding": 5}, r"tie_weights: the embedding's weight \(5, 2\) and the "
                                            r"head's \(5, 4\) differ; the backbone must return"),
])  # fmt: skip
def test_bad_arguments_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SequenceModel(TCN(2, [3, 4], 2), **{"out_channels": 5, **arguments})


def test_a_zero_head_cannot_be_tied() -> None:
    with pytest.raises(ValueError, match=r"zero_head: True with tie_weights=True would make"):
        SequenceModel(LSTM(4, 4), 7, embedding=7, tie_weights=True, zero_head=True)


def test_a_backbone_of_another_kind_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"backbone: LSTM is not a tcn.layers.SequenceModule; use T"
    ):
        SequenceModel(nn.LSTM(2, 4), 5)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize(("shape", "match"), [
    ((3, 9, 2), r"does not fit SequenceModel: .*channels seem to be last: use x.movedim\(-1, 1\)"),
    ((3, 4, 9), r"does not fit SequenceModel: expected \(batch, 2 channels, time\)$"),
    ((2, 9), r"does not fit SequenceModel: .*an axis is missing: x.unsqueeze\(0\) for the batch"),
])  # fmt: skip
def test_bad_inputs_are_refused(readout: str, shape: tuple[int, ...], match: str) -> None:
    net = model(readout).float()
    with pytest.raises(ValueError, match=match):
        net(torch.zeros(shape))
    with pytest.raises(ValueError, match=match):
        net.step(torch.zeros(shape))
    with pytest.raises(ValueError, match=match):  # before anything is said of the lengths
        net(torch.zeros(shape), torch.tensor([9, 9, 9]))


@pytest.mark.parametrize("readout", READOUTS)
def test_bad_lengths_states_and_chunks_are_refused(readout: str) -> None:
    net, x = model(readout).float(), torch.zeros(3, 2, 9)
    with pytest.raises(
        ValueError, match=r"lengths: \[9, 10, 3\] must lie between 0 and the 9 steps"
    ):
        net(x, torch.tensor([9, 10, 3]))
    with pytest.raises(ValueError, match=r"x: a chunk of length 0"):
        net.step(x[..., :0])
    with pytest.raises(
        ValueError, match=r"state: SequenceModel expected a pair of states, got Ten"
    ):
        net.step(x, x)
    with pytest.raises(ValueError, match=r"state: .*another net or batch"):
        net.step(x, net.step(x[:2])[1])


def test_bad_tokens_are_refused() -> None:
    net = SequenceModel(TCN(4, [3], 2), 5, embedding=7)
    for tokens, found in [([[0, 7]], "0 to 7"), ([[-1, 2]], "-1 to 2")]:
        with pytest.raises(
            ValueError, match=rf"x: tokens from {found} for a vocabulary of 7; toke"
        ):
            net(torch.tensor(tokens))
    with pytest.raises(
        ValueError, match=r"x: torch.float32 of shape \(1, 2\); an embedded input is"
    ):
        net(torch.zeros(1, 2))
    with pytest.raises(
        ValueError, match=r"x: torch.int64 of shape \(1, 4, 2\); an embedded input i"
    ):
        net(torch.zeros(1, 4, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x: a chunk of length 0"):
        net.step(torch.zeros(1, 0, dtype=torch.int64))


def test_a_backbone_that_looks_ahead_has_no_step() -> None:
    net = SequenceModel(TCN(2, [3], 3, causal=False), 5)
    with pytest.raises(TypeError, match=r"SequenceModel has no step\(\): .*reads future steps"):
        net.step(torch.zeros(1, 2, 5))


def test_a_single_layer_serves_as_backbone() -> None:
    net = SequenceModel(Conv1d(2, 4, 3, padding="strictly_causal"), 5, readout="last")
    x = torch.randn(2, 2, 9)
    torch.testing.assert_close(net(x), net.head(net.backbone(x)[..., -1]))
    # A convolution that shortens is read the slow way.
    net = SequenceModel(Conv1d(2, 4, 3, padding="valid"), 5, readout="last")
    torch.testing.assert_close(net(x), net.head(net.backbone(x)[..., -1]))
