"""SpecAugment: what it leaves out, from which random numbers, and what it leaves alone."""

import pytest
import torch
from torchaudio import functional

from tcn.layers import BatchNorm, Chain, Conv1d, SpecAugment
from tcn.layers.spec_augment import mask_stretches
from tcn.testing import check_sequence_module


@pytest.mark.parametrize(("axis", "width"), [(-1, 20), (-2, 8)])
def test_the_stretches_are_those_of_torchaudio(axis: int, width: int) -> None:
    """Drawn from the same seed, torchaudio's function leaves out the same."""
    x = torch.randn(50, 16, 60)
    torch.manual_seed(3)
    expected = functional.mask_along_axis_iid(x[:, None], width, 0.0, axis + 4)[:, 0]
    torch.manual_seed(3)
    widths, sizes = torch.full((50,), float(width)), torch.full((50,), float(x.shape[axis]))
    assert torch.equal(mask_stretches(x, widths, sizes, axis=axis), expected)
    generator = torch.Generator().manual_seed(3)
    found = mask_stretches(x, widths, sizes, axis=axis, generator=generator)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("shape", [(64, 16, 60), (64, 3, 16, 60)])
def test_what_is_left_out(shape: tuple[int, ...]) -> None:
    """Whole bands and whole stretches, other ones in each row, no longer than they may be."""
    net = SpecAugment(frequency_masks=1, frequency_width=5, time_masks=1, time_width=7)
    gone = net(torch.ones(shape)) == 0
    rows = gone.flatten(1, -3).flatten(0, 1) if len(shape) == 4 else gone
    bands, stretches = rows.all(-1).sum(-1), rows.all(-2).sum(-1)
    assert set(bands.tolist()) == {0, 1, 2, 3, 4}
    assert set(stretches.tolist()) == {0, 1, 2, 3, 4, 5, 6}
    outside = ~(rows.all(-1)[..., None] | rows.all(-2)[..., None, :])
    assert not (rows & outside).any()


def test_the_seed_decides() -> None:
    net, x = SpecAugment(), torch.ones(4, 40, 90)
    first = net.masked(x, generator=torch.Generator().manual_seed(1))
    assert torch.equal(net.masked(x, generator=torch.Generator().manual_seed(1)), first)
    assert not torch.equal(net.masked(x, generator=torch.Generator().manual_seed(2)), first)
    torch.manual_seed(7)
    own = net(x)
    torch.manual_seed(7)
    assert torch.equal(net(x), own)


def test_padding_is_no_place_for_stretches() -> None:
    """In a row of 10 valid steps everything happens within these, and half of them at most."""
    net = SpecAugment(frequency_masks=0, time_masks=1, time_width=40, time_share=0.5)
    x, lengths = torch.ones(200, 4, 60), torch.full((200,), 10)
    gone = (net(x, lengths)[:, 0, :10] == 0).sum(-1)
    assert set(gone.tolist()) == {0, 1, 2, 3, 4}


def test_nothing_happens_outside_of_training() -> None:
    net, x = SpecAugment().eval(), torch.randn(2, 8, 30)
    assert torch.equal(net(x), x)
    assert torch.equal(SpecAugment(frequency_masks=0, time_masks=0)(x), x)


def test_contract() -> None:
    check_sequence_module(Chain(BatchNorm(3), SpecAugment(), Conv1d(3, 2, 3)).eval())
    check_sequence_module(SpecAugment(), torch.randn(3, 6, 24))


def test_errors() -> None:
    with pytest.raises(ValueError, match="time_masks: -1 is below 0; 0 leaves nothing out"):
        SpecAugment(time_masks=-1)
    with pytest.raises(TypeError, match=r"frequency_width: 2\.5 is not an integer"):
        SpecAugment(frequency_width=2.5)
    with pytest.raises(ValueError, match="time_share is 2"):
        SpecAugment(time_share=2)
