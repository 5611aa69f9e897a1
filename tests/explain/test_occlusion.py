"""What is said while a patch slides, on nets whose answers are known by construction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.explain import correspondence, occlusion
from tcn.models import TCN

PATTERNS = {
    1: torch.tensor([1.0, -2.0, 3.0, -1.0, 2.0]),
    2: torch.tensor([[1.0, -1.0, 2.0], [-1.0, 3.0, -2.0], [2.0, 0.0, 1.0]]),
}


def detector(ndim: int) -> nn.Sequential:
    """Class 1 if the pattern is somewhere, class 0 otherwise."""
    pattern = PATTERNS[ndim]
    convolution = (nn.Conv1d, nn.Conv2d)[ndim - 1](1, 2, pattern.shape)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[1, 0] = pattern
        convolution.bias.copy_(torch.tensor([1.0, -float((pattern**2).sum()) / 2]))
    pool = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)[ndim - 1](1)
    return nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten())


def planted(ndim: int, at: tuple[int, ...]) -> Tensor:
    x = 0.1 * torch.randn(1, 1, *[20] * ndim)
    spans = (slice(a, a + n) for a, n in zip(at, PATTERNS[ndim].shape, strict=True))
    x[(0, 0, *spans)] += PATTERNS[ndim]
    return x


@pytest.mark.parametrize(("ndim", "at"), [(1, (7,)), (2, (4, 11))])
def test_the_answer_falls_where_the_planted_pattern_is_covered(
    ndim: int, at: tuple[int, ...]
) -> None:
    x = planted(ndim, at)
    size = PATTERNS[ndim].shape
    found = occlusion(detector(ndim), x, size=size, stride=1, layer="1", value="mean")
    assert found.targets.tolist() == found.units.tolist() == [1]
    for chart in (found.answer[0], found.activity[0]):
        assert chart[at] == chart.min()
        for lowest in (chart == chart.min()).nonzero():  # the patch overlaps the pattern
            assert all(abs(int(a) - b) < n for a, b, n in zip(lowest, at, size, strict=True))
    assert found.predicted[(0, *at)] == 0
    assert found.predicted[(0, *[0] * ndim)] == 1
    assert found.answer[(0, *at)] < 0.5 < found.uncovered[0]
    far = found.answer[(0, *[0] * ndim)]
    torch.testing.assert_close(far, found.uncovered[0])
    assert found.answer.shape == (1, *(20 - n + 1 for n in size))


def test_answers_and_activity_by_hand() -> None:
    """A sum over everything: covering two of four ones with 0 leaves two."""
    net = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 3]]))
    x = torch.ones(1, 1, 4)
    found = occlusion(net, x, 1, size=2, value=0.0, layer="0", raw=True)
    assert found.starts[0].tolist() == [0, 2]
    assert found.answer.tolist() == [[3, 0]]
    assert found.activity.tolist() == [[2, 2]]
    assert found.uncovered.tolist() == [3]
    assert found.uncovered_activity.tolist() == [4]
    assert found.predicted.tolist() == [[1, 0]]
    softmax = occlusion(net, x, 1, size=2, value=0.0)
    expected = [math.exp(3) / (math.exp(3) + math.exp(2)), 1 / (1 + math.exp(2))]
    torch.testing.assert_close(softmax.answer, torch.tensor([expected]))
    assert softmax.activity is None


def test_what_covers_is_gray_or_the_mean_or_a_number() -> None:
    """By hand: of 0 and 4 the middle is 2; of 0, 0, 0, 4 the mean is 1."""
    net = nn.Sequential(nn.Flatten())
    x = torch.tensor([[[0.0, 0.0, 0.0, 4.0]]])
    for value, expected in (("gray", 2.0), ("mean", 1.0), (7.0, 7.0)):
        found = occlusion(net, x, 0, size=1, value=value, raw=True)
        assert found.answer.tolist() == [[expected, 0, 0, 0]]


def test_a_sequence_is_asked_about_a_channel_at_a_step() -> None:
    """A causal net's answer at step 10 cannot depend on what is covered later."""
    net = TCN(1, [4, 4], kernel_size=3)
    found = occlusion(net, torch.randn(3, 1, 20), (2, 10), size=3, stride=1, raw=True)
    later = found.starts[0] > 10
    torch.testing.assert_close(
        found.answer[:, later], found.uncovered[:, None].expand(3, int(later.sum()))
    )
    assert (found.answer[:, 8] != found.uncovered).all()


@settings(max_examples=20)
@given(st.integers(4, 12), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_every_step_is_covered_and_batches_make_no_difference(
    time: int, size: int, stride: int, batch: int
) -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    x = torch.randn(batch, 2, time)
    net(x)
    found = occlusion(net, x, 3, size=size, stride=stride, layer="1", unit=2)
    starts = found.starts[0]
    assert (starts[0], starts[-1]) == (0, time - size)
    assert found.answer.shape == found.activity.shape == (batch, len(starts))
    single = occlusion(net, x[-1:], 3, size=size, stride=stride, layer="1", unit=2)
    torch.testing.assert_close(found.answer[-1:], single.answer)
    torch.testing.assert_close(found.activity[-1:], single.activity)


def test_wrong_arguments_are_refused_by_name() -> None:
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.randn(2, 1, 12)
    with pytest.raises(ValueError, match=r"size: 13 on an axis of 12; give 12 or less"):
        occlusion(net, x, size=13)
    with pytest.raises(ValueError, match=r"stride: 0 "):
        occlusion(net, x, size=2, stride=0)
    with pytest.raises(ValueError, match=r"value: 'black'; give a number or 'gray' or 'mean'"):
        occlusion(net, x, size=2, value="black")
    with pytest.raises(ValueError, match=r"unit: 1 of no layer; give layer, too"):
        occlusion(net, x, size=2, unit=1)
    with pytest.raises(ValueError, match=r"target: 3 of an output of \(3,\)"):
        occlusion(net, x, 3, size=2)
    with pytest.raises(ValueError, match=r"target: None, but there are 24 numbers"):
        occlusion(nn.Conv1d(1, 2, 1), x, size=2)
    with pytest.raises(ValueError, match=r"raw: the softmax over a single number is always 1"):
        occlusion(nn.Sequential(nn.Flatten(), nn.Linear(12, 1)), x, size=2)
    with pytest.raises(ValueError, match=r"x: shape \(2, 12\) has nothing to slide over"):
        occlusion(net, x[:, 0], size=2)


def test_correspondence_by_hand() -> None:
    """Features are the inputs; covered with 0, they change by their own sign where covered."""
    net = nn.Sequential(nn.Identity())
    x = torch.tensor([[[1.0, -1.0, 2.0, 2.0]], [[1.0, 1.0, 2.0, 2.0]], [[-1.0, 1.0, 2.0, 2.0]]])
    found = correspondence(net, x, [(slice(0, 2),)] * 3, "0", value=0.0)
    expected = [[0, 1 / 4, 2 / 4], [1 / 4, 0, 1 / 4], [2 / 4, 1 / 4, 0]]
    torch.testing.assert_close(found.distances, torch.tensor(expected))
    assert found.score == pytest.approx(1 / 3)
    assert found.spread == pytest.approx(math.sqrt(2) / 12)


def test_the_same_part_changes_features_alike_and_random_parts_do_not() -> None:
    """The pattern at another place in each input: pooled features know it as the same part."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 64, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
    starts = (2, 7, 11, 14)
    x = torch.cat([planted(1, (start,)) for start in starts])
    same = correspondence(net, x, [(slice(a, a + 5),) for a in starts], "2", value=0.0)
    others = [((a + 8) % 15) for a in starts]
    random = correspondence(net, x, [(slice(a, a + 3),) for a in others], "2", value=0.0)
    assert same.score < random.score / 2


def test_parts_are_checked() -> None:
    net, x = nn.Sequential(nn.Identity()), torch.randn(2, 1, 12)
    with pytest.raises(ValueError, match=r"parts: 1 for 2 inputs"):
        correspondence(net, x, [(slice(0, 2),)], "0")
    with pytest.raises(ValueError, match=r"parts: \(slice\(3, 3, None\),\) of sizes \(12,\)"):
        correspondence(net, x, [(slice(0, 2),), (slice(3, 3),)], "0")
