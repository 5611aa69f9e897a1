"""Sound block by block: the outputs of the whole, and times that add up."""

import time

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.audio import Live, Sound, as_if_live
from tcn.audio.live import timing_of
from tcn.models import TCN, SequenceModel


def net(channels: int = 1, **given) -> TCN:
    torch.manual_seed(0)
    return TCN(channels, [4, 4], 3, **given).eval()


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), channels=st.integers(1, 2))
def test_blocks_of_any_length_give_what_the_whole_gives(cuts: list[int], channels: int) -> None:
    model, x = net(channels), torch.randn(channels, sum(cuts))
    live = Live(model, sample_rate=8000)
    y = torch.cat(list(live.play(x.split(cuts, -1))), -1)
    with torch.no_grad():
        torch.testing.assert_close(y, model(x[None])[0], rtol=1e-5, atol=1e-5)
    timing = live.timing()
    assert timing.blocks == len(cuts)
    assert timing.seconds == pytest.approx(sum(cuts) / 8000)
    assert timing.longest_latency > 1000 * max(cuts) / 8000
    assert timing.real_time_factor > 0


def test_arrays_of_mono_sound_and_a_readout() -> None:
    live = Live(SequenceModel(net(), 3, readout="last").eval(), sample_rate=8000)
    assert live.hear(numpy.zeros(17)).shape == (3,)


def test_times_by_hand() -> None:
    """At 1000 Hz, 10 and 30 ms of sound and 5 more ahead, computed in 2 and 4 ms: 17 and 39."""
    timing = timing_of([10, 30], [0.002, 0.004], sample_rate=1000, ahead=5)
    assert timing.blocks == 2
    assert timing[1:] == pytest.approx((0.04, 28.0, 39.0, 0.15))
    assert str(timing).startswith("2 blocks, 0.04 s of sound: latency 28.00 ms (longest 39.00 ms)")


def test_what_a_net_looks_ahead_counts() -> None:
    live = Live(net(lookahead=8), sample_rate=800)  # 10 ms
    live.hear(torch.zeros(16))  # 20 ms
    assert live.timing().latency > 30


def test_a_recording_takes_its_time_unless_it_need_not() -> None:
    """1600 samples at 8000 Hz are 0.2 s; the first block is whole after a quarter of them."""
    sound = Sound(torch.arange(1600.0).view(1, -1), 8000)
    start = time.perf_counter()
    blocks = as_if_live(sound, block=400)
    first = next(blocks)
    assert time.perf_counter() - start >= 0.05
    rest = list(blocks)
    assert time.perf_counter() - start >= 0.2
    assert torch.equal(torch.cat([first, *rest], -1), sound.samples)
    unpaced = list(as_if_live(sound, block=700, paced=False))
    assert [part.shape[-1] for part in unpaced] == [700, 700, 200]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks: none was heard"):
        Live(net(), sample_rate=8000).timing()
    with pytest.raises(ValueError, match="block"):
        as_if_live(Sound(torch.zeros(1, 3), 8000), block=0)
    live = Live(net(), sample_rate=8000)
    with pytest.raises(ValueError, match="chunk"):
        live.hear(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="chunk: nan in row 0"):
        live.hear(torch.full((5,), torch.nan))
    with pytest.raises(ValueError, match="blocks: none"):  # what was refused does not count
        live.timing()


def test_levels_of_16_bits_are_refused() -> None:
    """They would be heard 32768 times too loud."""
    live = Live(net(), sample_rate=8000)
    with pytest.raises(TypeError, match=r"block: torch.int16, not floats .* divide it by 32768"):
        live.hear(numpy.zeros(17, numpy.int16))


def test_what_is_no_recording() -> None:
    with pytest.raises(TypeError, match=r"sound: Tensor is not a Sound; give Sound\(samples"):
        as_if_live(torch.zeros(1, 9), block=4)
    assert not list(as_if_live(Sound(torch.zeros(1, 0), 8000), block=4))
