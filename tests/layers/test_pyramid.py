"""Pyramid pooling against PyTorch's adaptive pools and by hand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tcn.layers import Attention, Last, Max, Mean, PyramidPool

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("pool", ["max", "average"])
@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_a_pyramid_is_pytorch_adaptive_pools_of_the_valid_steps(
    pool: str, height: int, time: int, levels: list[int]
) -> None:
    # The whole through PyTorch's pools, and padded: what there is between them is the library's.
    functions = {
        3: {"max": F.adaptive_max_pool1d, "average": F.adaptive_avg_pool1d},
        4: {"max": F.adaptive_max_pool2d, "average": F.adaptive_avg_pool2d},
    }
    for sizes in ((time,), (height, time)):
        x = torch.randn(2, 3, *sizes, dtype=torch.float64)
        pyramid, function = PyramidPool(levels, pool=pool), functions[x.dim()][pool]
        expected = torch.cat([function(x, n).flatten(1) for n in levels], 1)
        assert expected.shape == (2, 3 * sum(n ** len(sizes) for n in levels))
        torch.testing.assert_close(pyramid(x), expected, **EXACT)
        padded = F.pad(x, (0, 4), value=float("nan"))
        found = pyramid(padded, torch.tensor([time, 0]))
        torch.testing.assert_close(found[0], expected[0], **EXACT)
        assert (found[1] == 0).all()


def test_pyramid_by_hand() -> None:
    # 1 to 5 in halves: 1 2 3 and 3 4 5, which share the step in the middle.
    x = torch.arange(1.0, 6.0).view(1, 1, 5)
    assert PyramidPool((1, 2))(x).tolist() == [[5, 3, 5]]
    assert PyramidPool((1, 2), pool="average")(x).tolist() == [[3, 2, 4]]
    # Steps 2, 3 and 5 valid: their halves are 2 3 and 3 5.
    mask = torch.tensor([[False, True, True, False, True]])
    assert PyramidPool((2,), pool="average")(x, mask=mask).tolist() == [[2.5, 4]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": ()}, r"levels: none; give the parts"),
        ({"levels": (1, 0)}, r"levels: 0 must be at least 1"),
        ({"pool": "sum"}, r"pool: 'sum' is not one of 'max', 'average'"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PyramidPool(**arguments)


def test_it_does_not_stream() -> None:
    with pytest.raises(TypeError, match="whose end a stream does not know"):
        PyramidPool().step(torch.randn(1, 2, 6))


@pytest.mark.parametrize("layer", [PyramidPool(), Mean(), Last(), Max(), Attention(4)], ids=repr)
def test_inputs_without_positions_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"x: shape \(2, 4\) does not fit .*; of one position add"):
        layer(torch.zeros(2, 4))
