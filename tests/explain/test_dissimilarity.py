"""Dissimilarities of layers: against NumPy's and SciPy's, in batches, in one and two dimensions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from torch import nn

from tcn.explain import activations, dissimilarities, dissimilarities_of, patterns
from tcn.models import TCN


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3, stride=2))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_images_as_numpy_correlates_them(batch_size):
    net, x = small_net(), torch.randn(7, 3, 12, 10)
    found = dissimilarities(net, x, ["0", "2"], batch_size=batch_size)
    assert list(found) == ["0", "2"]
    for layer, y in activations(net, x, ["0", "2"]).items():
        expected = 1 - np.corrcoef(y.flatten(1).double().numpy())
        np.testing.assert_allclose(found[layer], expected, atol=2e-7)


def test_sequences_as_scipy_measures_them():
    net, x = TCN(2, [5, 5], kernel_size=3), torch.randn(6, 2, 30)
    found = dissimilarities(net, x, ["levels.1"], method="euclidean")["levels.1"]
    rows = activations(net, x, ["levels.1"])["levels.1"].flatten(1).double().numpy()
    expected = squareform(pdist(rows, "sqeuclidean")) / rows.shape[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_by_hand():
    rows = [[1, 2, 3], [2, 4, 6], [3, 2, 1]]
    np.testing.assert_allclose(
        dissimilarities_of(rows), [[0, 0, 2], [0, 0, 2], [2, 2, 0]], atol=1e-12
    )
    # Differences (1, 2, 3) and (2, 0, -2): their squares over three units.
    np.testing.assert_allclose(
        dissimilarities_of(rows, method="euclidean")[0], [0, 14 / 3, 8 / 3], atol=1e-12
    )


@settings(max_examples=20)
@given(
    st.integers(2, 6),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).filter(lambda s: np.prod(s) > 2),
    st.randoms(use_true_random=False),
)
def test_any_shape_and_order(conditions, sizes, random):
    rows = torch.randn(conditions, *sizes, generator=torch.Generator().manual_seed(conditions))
    found = dissimilarities_of(rows)
    assert found.shape == (conditions, conditions)
    order = random.sample(range(conditions), conditions)
    np.testing.assert_allclose(dissimilarities_of(rows[order]), found[np.ix_(order, order)])
    np.testing.assert_allclose(found, found.T)
    assert (np.diagonal(found) == 0).all()


def test_patterns_are_rows_of_what_layers_return():
    net, x = small_net(), torch.randn(5, 3, 9, 9)
    found = patterns(net, [x[:2], x[2:]], ["1"])["1"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, activations(net, x, ["1"])["1"].flatten(1).numpy())


def test_the_net_is_left_as_it_was():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Dropout())
    net[0].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    dissimilarities(net, torch.randn(4, 1, 9), ["2"])
    assert [module.training for module in net] == [False, True, True]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ["3"]}, "layer: Sequential has none named '3'"),
        ({"layers": "0"}, "layers: '0'; give a list with at least one name"),
        ({"method": "cosine"}, "method: 'cosine' is not known; give one of correlation, eucl"),
        ({"batch_size": 0}, "batch_size: 0 must be at least 1"),
        ({"data": torch.randn(1, 3, 9, 9)}, r"0: shape \(1, 196\); give at least two conditions"),
        ({"data": torch.zeros(3, 3, 9, 9), "layers": ["1"]}, "pattern of condition 0 is constant"),
        (
            {"data": [torch.randn(2, 3, 9, 9), torch.randn(2, 3, 8, 8)]},
            "'0' returns 144 numbers for an example, 196 before; give examples of one size",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, message):
    net = small_net()
    nn.init.zeros_(net[0].bias)
    given = {"data": torch.randn(4, 3, 9, 9), "layers": ["0"]} | arguments
    with pytest.raises(ValueError, match=message):
        dissimilarities(net, given.pop("data"), given.pop("layers"), **given)


def test_nan_is_refused_by_name():
    with pytest.raises(ValueError, match="pixels: holds NaN or infinity"):
        dissimilarities_of(torch.tensor([[1.0, torch.nan], [1.0, 2.0]]), name="pixels")
