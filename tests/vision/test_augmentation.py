"""Changes of images, against the plain loops that say what they do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.training import Batch
from tcn.vision import Cutout, HorizontalFlip, Mixup, RandomCrop


def batch(size: int = 4, height: int = 6, width: int = 5) -> Batch:
    x = torch.arange(1.0, size * 2 * height * width + 1).view(size, 2, height, width)
    return Batch(x, torch.arange(size) % 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows(image: Tensor, padding: int) -> list[Tensor]:
    """Every window of the image's size in the image with zeros around it."""
    _, height, width = image.shape
    wide = torch.zeros(len(image), height + 2 * padding, width + 2 * padding)
    wide[:, padding : padding + height, padding : padding + width] = image
    starts = range(2 * padding + 1)
    return [wide[:, r : r + height, c : c + width] for r in starts for c in starts]


@settings(max_examples=20)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6))
def test_a_crop_is_a_window_of_the_padded_image(
    seed: int, padding: int, height: int, width: int
) -> None:
    before = batch(3, height, width)
    after = RandomCrop(padding)(before, seeded(seed), classes=3)
    assert torch.equal(after.y, before.y)
    for image, changed in zip(before.x, after.x, strict=True):
        assert any(torch.equal(changed, window) for window in windows(image, padding))


def test_crops_go_everywhere() -> None:
    image = batch(1).x.expand(200, -1, -1, -1)
    found = RandomCrop(1)(Batch(image, torch.zeros(200).long()), seeded(0), classes=3).x
    assert len(found.unique(dim=0)) == 9  # 3 rows and 3 columns to begin at


def test_flips_are_mirror_images_in_their_share() -> None:
    before = Batch(batch(1).x.expand(400, -1, -1, -1), torch.zeros(400).long())
    flipped = before.x.flip(-1)
    assert torch.equal(HorizontalFlip(1.0)(before, seeded(0), classes=3).x, flipped)
    assert torch.equal(HorizontalFlip(0.0)(before, seeded(0), classes=3).x, before.x)
    half = HorizontalFlip()(before, seeded(0), classes=3).x
    mirrored = (half == flipped).all(dim=(1, 2, 3))
    assert torch.equal(half[~mirrored], before.x[~mirrored])
    # 400 flips of a fair coin: more than 5 standard deviations of 10 from 200 does not happen.
    assert abs(int(mirrored.sum()) - 200) < 50


@settings(max_examples=20)
@given(st.integers(0, 99), st.integers(1, 7))
def test_cutout_is_a_square_clipped_by_the_edges(seed: int, size: int) -> None:
    before = batch(5)
    after = Cutout(size)(before, seeded(seed), classes=3)
    for image, changed in zip(before.x, after.x, strict=True):
        gone = changed == 0  # no pixel was 0 before
        assert torch.equal(changed[~gone], image[~gone])
        assert torch.equal(gone[0], gone[1])
        rows, columns = gone[0].any(1).nonzero()[:, 0], gone[0].any(0).nonzero()[:, 0]
        assert gone[0].sum() == len(rows) * len(columns)
        for steps, found in ((6, rows), (5, columns)):
            assert len(found) == found[-1] - found[0] + 1 <= size
            # Smaller than asked for only at an edge.
            assert len(found) == size or found[0] == 0 or found[-1] == steps - 1


def test_cutout_by_hand() -> None:
    """A side of 1 takes out one pixel of each image, anywhere, in all channels."""
    image = Batch(torch.ones(300, 2, 2, 2), torch.zeros(300).long())
    after = Cutout(1)(image, seeded(0), classes=3).x
    assert torch.equal((after == 0).sum(dim=(1, 2, 3)), torch.full((300,), 2))
    assert len(after.unique(dim=0)) == 4


def test_mixup_mixes_images_and_targets_alike() -> None:
    """Zhang et al. 2018: x and y are mixed with the same partner in the same proportion."""
    before = Batch(torch.eye(6)[:, :, None, None], torch.arange(6))
    after = Mixup()(before, seeded(3), classes=6)
    # An image says here what its target is: both are mixed in the same way.
    torch.testing.assert_close(after.x[:, :, 0, 0], after.y)
    torch.testing.assert_close(after.y.sum(1), torch.ones(6))
    shares = after.y[after.y > 0].unique()
    assert 1 < len(shares) <= 3  # one proportion, the rest, and 1 for an image that met itself
    again = Mixup()(after, seeded(4), classes=6)  # mixed targets may be mixed again
    torch.testing.assert_close(again.x[:, :, 0, 0], again.y)


def test_proportions_follow_alpha() -> None:
    """A beta distribution of 0.1 is near 0 or 1, of 100 near 1/2."""

    def share(alpha: float, seed: int) -> float:
        pair = Batch(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]))
        return float(Mixup(alpha)(pair, seeded(seed), classes=2).y.max())

    assert sum(share(0.1, seed) > 0.95 for seed in range(40)) > 30
    # A batch of two leaves each image alone in half of the draws.
    assert sum(share(100.0, seed) < 0.65 for seed in range(40)) > 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(0), "padding: 0 must be at least 1"),
        (lambda: HorizontalFlip(1.5), "probability is 1.5: give a share between 0 and 1"),
        (lambda: Cutout(0), "size: 0 must be at least 1"),
        (lambda: Mixup(0.0), "alpha: 0.0 is not a finite number above 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
