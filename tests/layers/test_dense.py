"""Dense layers, flattening, and layers that pick or add channels."""

import math

import pytest
import torch
from torch import nn

from tcn.layers import Dense, Flatten, PadChannels, PyramidPool, ScaledTanh, Select


def test_flatten_is_that_of_pytorch() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(Flatten(3, (4, 5))(x), nn.Flatten()(x))


def test_a_shorter_sequence_is_as_if_zeros_followed() -> None:
    x = torch.randn(2, 3, 4)
    assert torch.equal(Flatten(3, (6,))(x), nn.functional.pad(x, (0, 2)).flatten(1))


@pytest.mark.parametrize("sizes", [(4, 4), (5, 5), (3, 5)])
def test_an_image_of_another_size_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"x: \(\d, \d\) steps reach Flatten.*for \(4, 5\); give"):
        Flatten(3, (4, 5))(torch.randn(2, 3, *sizes))


def test_a_longer_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x: \(7,\) steps reach Flatten"):
        Flatten(3, (6,))(torch.randn(2, 3, 7))


def test_a_dense_layer_is_that_of_pytorch_at_every_position() -> None:
    dense, rows, image = Dense(3, 2), torch.randn(4, 3), torch.randn(4, 3, 5, 6)
    plain = nn.Linear(3, 2)
    plain.load_state_dict(dense.state_dict())
    torch.testing.assert_close(dense(rows), plain(rows))
    torch.testing.assert_close(dense(image)[:, :, 1, 2], plain(image[:, :, 1, 2]))


def test_a_dense_layer_refuses_other_channels() -> None:
    with pytest.raises(ValueError, match=r"x: shape \(2, 4\) does not fit Dense: .*3 channels"):
        Dense(3, 2)(torch.randn(2, 4))


def test_scaled_tanh_passes_through_one() -> None:
    # The constants are chosen so that f(1) = 1 and f(-1) = -1 (LeCun et al. 1998, appendix A).
    y = ScaledTanh()(torch.tensor([[-1.0, 0.0, 1.0, 1e4]]))
    torch.testing.assert_close(y, torch.tensor([[-1.0, 0.0, 1.0, 1.7159]]), rtol=1e-4, atol=1e-4)
    assert math.isclose(1.7159 * math.tanh(2 / 3), 1, abs_tol=1e-4)


def test_selected_channels_keep_their_order() -> None:
    x = torch.arange(3.0).view(1, 3, 1)
    assert Select(3, [2, 0])(x).flatten().tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"channels: \[3\] of 3; give at least one number from 0"):
        Select(3, [3])


def test_added_channels_are_zeros() -> None:
    x = torch.ones(1, 2, 3, 3)
    assert PadChannels(2, 4)(x).sum((0, 2, 3)).tolist() == [9, 9, 0, 0]
    with pytest.raises(ValueError, match=r"out_channels: 1 is below in_channels=2"):
        PadChannels(2, 1)


def test_a_single_level_can_keep_its_axes() -> None:
    x = torch.randn(2, 3, 14, 14)
    pool = PyramidPool((4,), pool="average", flat=False)
    torch.testing.assert_close(pool(x), nn.functional.adaptive_avg_pool2d(x, 4))
    mask = torch.ones(2, 14, 14, dtype=torch.bool)
    torch.testing.assert_close(pool(x, mask=mask), pool(x))
    with pytest.raises(ValueError, match=r"flat: False with levels=\(1, 2\)"):
        PyramidPool((1, 2), flat=False)
