"""Norms against PyTorch's own and plain loops; padding enters no statistic."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import NORMS, BatchNorm, ChannelNorm, CumulativeNorm, GroupNorm, RMSNorm
from tcn.models import TCN

EXACT = {"rtol": 1e-12, "atol": 1e-12}
SIZES = [(7,), (3, 5)]
WITH_MODULES = [ChannelNorm, RMSNorm, CumulativeNorm, BatchNorm, GroupNorm]


def random_parameters(norm: nn.Module) -> nn.Module:
    """Scale and shift that are not 1 and 0."""
    norm = norm.double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return norm


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("sizes", SIZES)
def test_channel_norm_is_layer_norm_of_each_step(sizes: tuple[int, ...]) -> None:
    norm, x = random_parameters(ChannelNorm(4)), inputs(2, 4, *sizes)
    steps = x.movedim(1, -1)
    expected = F.layer_norm(steps, (4,), norm.weight, norm.bias).movedim(-1, 1)
    torch.testing.assert_close(norm(x), expected, **EXACT)


@pytest.mark.parametrize("sizes", SIZES)
def test_rms_norm_is_pytorch_own(sizes: tuple[int, ...]) -> None:
    norm, x = random_parameters(RMSNorm(4)), inputs(2, 4, *sizes)
    own = nn.RMSNorm(4, eps=1e-5, dtype=torch.float64)
    own.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), own(x.movedim(1, -1)).movedim(-1, 1), **EXACT)


@pytest.mark.parametrize("own_class", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_batch_norm_is_pytorch_own_in_both_modes(own_class: type) -> None:
    x = inputs(3, 4, 7) if own_class is nn.BatchNorm1d else inputs(3, 4, 3, 5)
    norm, own = random_parameters(BatchNorm(4)), own_class(4).double()
    own.load_state_dict(norm.state_dict())
    for _ in range(2):
        torch.testing.assert_close(norm(x), own(x), **EXACT)
    torch.testing.assert_close(norm.running_var, own.running_var, **EXACT)
    assert int(norm.num_batches_tracked) == 2
    torch.testing.assert_close(norm.eval()(x), own.eval()(x), **EXACT)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_is_pytorch_own(groups: int, sizes: tuple[int, ...]) -> None:
    norm, x = random_parameters(GroupNorm(6, groups=groups)), inputs(2, 6, *sizes)
    own = nn.GroupNorm(groups, 6).double()
    own.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), own(x), **EXACT)
    # The masked formula, with nothing masked, is another way to the same.
    everything = torch.ones(2, *sizes, dtype=torch.bool)
    torch.testing.assert_close(norm(x, mask=everything), own(x), **EXACT)


def test_groups_by_default_divide_the_channels() -> None:
    # 8, or the largest smaller power of two that divides.
    assert [GroupNorm(c).groups for c in (16, 8, 12, 25, 2, 1)] == [8, 8, 4, 1, 2, 1]


@given(st.integers(1, 3), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_cumulative_norm_equals_the_loop(channels: int, time: int, image: bool, seed: int) -> None:
    torch.manual_seed(seed)
    norm = random_parameters(CumulativeNorm(channels))
    x = torch.randn(2, channels, *([3] if image else []), time, dtype=torch.float64)
    y = norm(x).detach().numpy()
    scale, shift = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    for b in range(2):
        for t in range(time):
            seen = x[b, ..., : t + 1].numpy()  # every channel and row of every step so far
            deviation = np.sqrt(seen.var() + 1e-5)
            for c in range(channels):
                expected = (x[b, c, ..., t].numpy() - seen.mean()) / deviation * scale[c] + shift[c]
                np.testing.assert_allclose(y[b, c, ..., t], expected, rtol=1e-9, atol=1e-9)


def test_hand_computed_values() -> None:
    # Channels 1 and 3 of one step: mean 2, deviation 1; root mean square sqrt(5).
    x = torch.tensor([[[1.0], [3.0]]])
    plus_minus_one = torch.tensor([[[-1.0], [1.0]]])
    for norm in (ChannelNorm(2), CumulativeNorm(2), GroupNorm(2, groups=1)):
        torch.testing.assert_close(norm(x), plus_minus_one, rtol=1e-4, atol=0)
    torch.testing.assert_close(RMSNorm(2)(x), x / 5**0.5, rtol=1e-4, atol=0)
    # Steps 1 and 3 of one channel: the first alone has no deviation.
    y = CumulativeNorm(1)(torch.tensor([[[1.0, 3.0]]]))
    torch.testing.assert_close(y, torch.tensor([[[0.0, 1.0]]]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", WITH_MODULES)
def test_the_size_of_the_input_does_not_matter(kind: type) -> None:
    norm, x = kind(4).double(), inputs(2, 4, 7) * 10
    torch.testing.assert_close(norm(x * 1000), norm(x), rtol=1e-5, atol=1e-5)


def trimmed(x: Tensor, lengths: list[int]) -> list[Tensor]:
    return [row[None, ..., :length] for row, length in zip(x, lengths, strict=True)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", [CumulativeNorm, GroupNorm])
def test_masked_statistics_are_those_of_the_trimmed_rows(kind: type, sizes: tuple) -> None:
    norm, x, lengths = random_parameters(kind(4)), inputs(3, 4, *sizes), [5, 3, 2]
    hidden = x.clone()
    for row, length in zip(hidden, lengths, strict=True):
        row[..., length:] = float("nan")
    y = norm(hidden, torch.tensor(lengths))
    for row, part in enumerate(trimmed(x, lengths)):
        found = y[row : row + 1, ..., : lengths[row]]
        torch.testing.assert_close(found, norm(part), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sizes", SIZES)
def test_masked_batch_statistics_are_those_of_the_valid_steps(sizes: tuple[int, ...]) -> None:
    norm, x, lengths = random_parameters(BatchNorm(4)), inputs(3, 4, *sizes), [5, 3, 1]
    own = copy.deepcopy(norm)
    hidden = x.clone()
    for row, length in zip(hidden, lengths, strict=True):
        row[..., length:] = float("nan")
    y = norm(hidden, torch.tensor(lengths))
    # PyTorch's own over one long row of the valid steps.
    parts = [part.flatten(2) for part in trimmed(x, lengths)]
    expected = nn.BatchNorm1d.forward(own, torch.cat(parts, dim=2))
    found = torch.cat([part.flatten(2) for part in trimmed(y, lengths)], dim=2)
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(norm.running_mean, own.running_mean, **EXACT)
    torch.testing.assert_close(norm.running_var, own.running_var, **EXACT)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_cumulative_norm_streams(sizes: list[int]) -> None:
    norm, x = random_parameters(CumulativeNorm(3)), inputs(2, 3, sum(sizes))
    state, outputs = None, []
    for chunk in x.split(sizes, dim=-1):
        y, state = norm.step(chunk, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, -1), norm(x), rtol=1e-10, atol=1e-10)


def test_a_long_stream_keeps_its_precision_in_float32() -> None:
    # After two million steps of ones and sevens by turns: mean 4, deviation 3.
    norm = CumulativeNorm(1)
    state = torch.tensor([[[4.0], [25.0], [1.0]]], dtype=torch.float64) * 2e6
    y, _ = norm.step(torch.tensor([[[7.0, 1.0]]]), state)
    torch.testing.assert_close(y, torch.tensor([[[1.0, -1.0]]]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "streams"), [
    ("none", True), ("weight", True), ("layer", True), ("rms", True), ("cumulative", True),
    ("batch", False), ("group", False),
])  # fmt: skip
def test_which_stream_in_training(name: str, streams: bool) -> None:
    assert TCN(2, [4], 2, norm=name).causal is streams
    assert name in NORMS


def test_those_that_do_not_stream_say_why() -> None:
    x = torch.zeros(1, 4, 5)
    with pytest.raises(
        TypeError, match=r"GroupNorm has no step\(\): group norm takes statistics o"
    ):
        GroupNorm(4).eval().step(x)
    net = TCN(4, [4], 2, norm="batch")
    with pytest.raises(
        TypeError, match=r"TCN has no step\(\): batch norm in training mode.*call ev"
    ):
        net.step(x)
    assert net.eval().step(x)[0].shape == (1, 4, 5)


@pytest.mark.parametrize("kind", WITH_MODULES)
def test_inputs_and_sizes_that_do_not_fit_are_refused(kind: type) -> None:
    with pytest.raises(ValueError, match=r"channels: 0 must be at least 1"):
        kind(0)
    for channels in (1, 5):  # a single channel would broadcast
        with pytest.raises(ValueError, match=rf"x: shape \(2, {channels}, 6\) does not fit "):
            kind(4)(torch.zeros(2, channels, 6))


def test_unknown_names_and_groups_are_refused() -> None:
    with pytest.raises(ValueError, match=r"norm: 'batchnorm' is not one of 'none', 'weight', 'lay"):
        TCN(1, [2], 2, norm="batchnorm")
    with pytest.raises(ValueError, match=r"groups: 3 does not divide channels=4"):
        GroupNorm(4, groups=3)


def test_a_state_that_does_not_fit_is_refused() -> None:
    norm = CumulativeNorm(2)
    _, state = norm.step(torch.zeros(2, 2, 3))
    with pytest.raises(ValueError, match=r"state: CumulativeNorm expected shape \(5, 3, '...'\)"):
        norm.step(torch.zeros(5, 2, 3), state)


def test_group_norm_of_one_value_is_the_shift() -> None:
    """Its deviation is 0, as that of one valid value among padding."""
    norm = GroupNorm(1)
    torch.nn.init.constant_(norm.bias, 3.0)
    one = norm(torch.tensor([[[5.0]]]))
    assert one.item() == pytest.approx(3.0, abs=1e-3)
    padded = TCN(1, [1], 1, norm="group")
    x = torch.randn(1, 1, 4)
    alone, among = padded(x[..., :1]), padded(x, lengths=torch.tensor([1]))[..., :1]
    torch.testing.assert_close(alone, among, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_of_one_value_in_training_says_what_to_do(dtype: torch.dtype) -> None:
    net = TCN(2, [4], 2, norm="batch").to(dtype)
    cure = r"x: 1 valid step in the batch, .* drop_last=True .* norm='layer', or call eval\(\)"
    with pytest.raises(ValueError, match=cure):
        net(torch.randn(1, 2, 1, dtype=dtype))
    with pytest.raises(ValueError, match=cure):
        net(torch.randn(1, 2, 5, dtype=dtype), lengths=torch.tensor([1]))
    assert net.eval()(torch.randn(1, 2, 1, dtype=dtype)).shape == (1, 4, 1)
