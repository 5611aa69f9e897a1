"""Conformal intervals against the papers' bounds, and against numbers counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting.intervals import (
    AdaptiveConformal,
    AdaptiveStreams,
    ConformalizedQuantiles,
    SplitConformal,
    finite_sample_quantile,
    nested,
    smallest_calibration,
)

ONE = (1, 1)  # target channels, horizon


def errors(windows: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(windows, *(shape or ONE)))


# ----------------------------------------------------------------------- the finite-sample quantile


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [
        (9, 90, 9),  # ceil(10 * 0.9)
        (19, 95, 19),  # ceil(20 * 0.95)
        (10, 90, 10),  # ceil(11 * 0.9) = ceil(9.9)
        (99, 90, 90),  # ceil(100 * 0.9), though 100 * (1 - 0.1) is not 90 in binary
        (99, 7, 7),  # ceil(100 * 0.07), which is 7.000000000000001 in binary
        (999, 99.9, 999),
        (4, 50, 3),  # ceil(5 * 0.5)
    ],
)
def test_the_rank_is_that_of_one_more_window(n: int, level: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert finite_sample_quantile(scores, level) == rank


def test_too_few_windows_give_an_infinite_quantile() -> None:
    assert np.isinf(finite_sample_quantile(np.arange(8.0), 90))
    assert np.isinf(finite_sample_quantile(np.full(50, np.nan), 90))
    for level in (50, 80, 90, 95, 97.5, 99, 99.9):
        n = smallest_calibration(level)
        assert np.isfinite(finite_sample_quantile(np.arange(float(n)), level))
        assert np.isinf(finite_sample_quantile(np.arange(n - 1.0), level))
    assert [smallest_calibration(level) for level in (50, 80, 90, 95, 99)] == [1, 4, 9, 19, 99]


def test_missing_scores_count_nowhere() -> None:
    scores = errors(40, 2, 3)
    scores[::3, 0, 1] = np.nan
    expected = finite_sample_quantile(scores[:, 0, 1][~np.isnan(scores[:, 0, 1])], 80)
    assert finite_sample_quantile(scores, 80)[0, 1] == expected


@given(
    scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    levels=st.lists(st.floats(1, 99), min_size=2, max_size=2),
)
@settings(max_examples=50)
def test_higher_levels_are_wider(scores: list[float], levels: list[float]) -> None:
    low, high = sorted(levels)
    assert finite_sample_quantile(scores, low) <= finite_sample_quantile(scores, high)


# ---------------------------------------------------------------------------------- split conformal


def test_a_band_has_the_width_of_its_step() -> None:
    past = np.stack([np.arange(-9.0, 10), 10 * np.arange(-9.0, 10)], axis=1)[:, None]  # (19, 1, 2)
    split = SplitConformal().calibrate(past)
    # |errors| are 0, 1, 1, 2, 2, ... 9, 9; of 19 the 16th is 8, the 18th 9.
    assert split.width(80).tolist() == [[8.0, 80.0]]
    assert split.width(90).tolist() == [[9.0, 90.0]]
    center = np.array([[[1.0, 2.0]], [[3.0, 4.0]]])
    low, high = split.interval(center, 80)
    assert low.tolist() == [[[-7.0, -78.0]], [[-5.0, -76.0]]]
    assert high.tolist() == [[[9.0, 82.0]], [[11.0, 84.0]]]
    short, _ = split.interval(center[..., :1], 80)
    assert np.array_equal(short, low[..., :1])


@pytest.mark.parametrize("level", [50, 80, 95])
def test_split_intervals_cover_as_often_as_they_say(level: float) -> None:
    """Coverage lies in [level, level + 1 / (n + 1)]: Lei et al. 2018, theorem 2.2."""
    n, trials = 40, 20_000
    generator = np.random.default_rng(1)
    drawn = np.abs(generator.standard_t(3, size=(n + 1, trials)))
    covered = (drawn[-1] <= finite_sample_quantile(drawn[:-1], level)).mean()
    slack = 4 * (level / 100 * (1 - level / 100) / trials) ** 0.5
    assert level / 100 - slack <= covered <= level / 100 + 1 / (n + 1) + slack


def test_kept_scores_are_enough() -> None:
    split = SplitConformal().calibrate(errors(50, 2, 3))
    again = SplitConformal(split.scores)
    assert np.array_equal(again.width(90), split.width(90))


def test_too_few_windows_for_a_level_are_named() -> None:
    split = SplitConformal().calibrate(errors(30))
    with pytest.raises(
        ValueError,
        match=r"level: 99 needs 99 calibration windows .* one has 30; .*val_size.* at most 96.7",
    ):
        split.width(99)
    split.width(96.7)  # what the message allows


# ---------------------------------------------------------------- conformalized quantile regression


def test_conformalized_intervals_move_by_how_far_values_lay_outside() -> None:
    low, high = np.zeros((9, *ONE)), np.full((9, *ONE), 10.0)
    came = np.array([5.0, 4, 1, 9, 12, -1, 6, 3, 13]).reshape(9, *ONE)
    # max(low - y, y - high): -5, -4, -1, -1, 2, 1, -4, -3, 3. The 8th of 9 is 2 at 80 %.
    cqr = ConformalizedQuantiles().calibrate(low, high, came, level=80)
    assert [float(end[0, 0]) for end in cqr.interval([[0.0]], [[10.0]], 80)] == [-2.0, 12.0]
    # The 5th is -1 at 50 %: a level that was too wide becomes narrower.
    cqr.calibrate(low, high, came, level=50)
    assert [float(end[0, 0]) for end in cqr.interval([[0.0]], [[10.0]], 50)] == [1.0, 9.0]


def test_ends_that_would_cross_meet_halfway() -> None:
    wide = ConformalizedQuantiles().calibrate(
        np.full((9, *ONE), -9.0), np.full((9, *ONE), 9.0), np.zeros((9, *ONE)), level=50
    )
    low, high = wide.interval([[1.0]], [[3.0]], 50)
    assert low.item() == high.item() == 2.0


def test_conformalized_intervals_cover_and_keep_the_shape_of_the_noise() -> None:
    """Romano et al. 2019, theorem 1: noise that grows with x, quantiles that are too narrow."""
    n, trials, level = 60, 4_000, 90
    generator = np.random.default_rng(2)
    x = generator.uniform(0.5, 3, size=(n + 1, trials))
    y = x * generator.normal(size=x.shape)
    low, high = -0.8 * x, 0.8 * x
    cqr = ConformalizedQuantiles().calibrate(
        low[:-1, None], high[:-1, None], y[:-1, None], level=level
    )
    bottom, top = cqr.interval(low[-1:], high[-1:], level)
    covered = ((bottom <= y[-1]) & (y[-1] <= top)).mean()
    slack = 4 * (0.9 * 0.1 / trials) ** 0.5
    assert 0.9 - slack <= covered <= 0.9 + 1 / (n + 1) + slack
    wider = cqr.interval(2 * low[-1:], 2 * high[-1:], level)
    assert np.allclose((wider[1] - wider[0]) - (top - bottom), 1.6 * x[-1])


def test_inner_intervals_stay_inside_outer_ones() -> None:
    inner = (np.array([0.0, -3.0]), np.array([5.0, 1.0]))
    outer = (np.array([1.0, -2.0]), np.array([4.0, 3.0]))
    result = nested({90: outer, 50: inner})
    assert list(result) == [50, 90]
    assert result[90][0].tolist() == [0.0, -3.0]
    assert result[90][1].tolist() == [5.0, 3.0]
    assert outer[0].tolist() == [1.0, -2.0]


# ----------------------------------------------------------------------------------------- adaptive


def follow(adaptive: AdaptiveConformal, values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Whether the one-step intervals held each value; an empty one, shown as a point, does not."""
    held = []
    for value, center in zip(values, centers, strict=True):
        empty = (adaptive.width() < 0).any()
        low, high = adaptive.issue([[center]])
        held.append(not empty and bool((low <= value).all() and (value <= high).all()))
        adaptive.observe([value])
    return np.array(held)


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    level=st.sampled_from([50, 80, 90]),
    rate=st.sampled_from([0.05, 0.2]),
)
@settings(max_examples=20)
def test_misses_of_any_stream_keep_to_the_bound(
    values: list[float], level: float, rate: float
) -> None:
    """Gibbs & Candès 2021, proposition 4.1, on whatever hypothesis comes up with."""
    steps = 400
    adaptive = AdaptiveConformal(level=level, rate=rate, window=30).start(errors(20))
    centers = np.random.default_rng(0).normal(size=steps)
    misses = 1 - follow(adaptive, np.resize(values, steps), centers).mean()
    alpha = 1 - level / 100
    assert abs(misses - alpha) <= (max(alpha, 1 - alpha) + rate) / (rate * steps) + 1e-9


def test_misses_far_ahead_keep_to_the_bound_of_their_delay() -> None:
    """A shock of growing errors, the worst an interval can meet, three steps ahead."""
    rate, alpha, steps, horizon = 0.1, 0.1, 200, 3
    adaptive = AdaptiveConformal(level=90, rate=rate, window=20).start(errors(20, 1, horizon))
    counted = np.zeros((1, horizon))
    for step in range(steps):
        before = adaptive.alpha
        adaptive.issue(np.zeros((1, horizon)))
        adaptive.observe([1.5**step if step < 100 else 0.1])
        counted += alpha - (adaptive.alpha - before) / rate
    # The interval d steps ahead is first judged at step d.
    judged = steps - np.arange(horizon)
    delay = np.arange(1, horizon + 1)
    # Steps that were not judged moved nothing, and so counted as alpha.
    misses = (counted[0] - alpha * np.arange(horizon)) / judged
    assert (np.abs(misses - alpha) <= (0.9 + delay * rate) / (judged * rate) + 1e-9).all()


def test_it_finds_its_level_again_after_a_change() -> None:
    generator = np.random.default_rng(3)
    noise = np.concatenate([generator.normal(size=1000), 4 * generator.normal(size=4000)])
    adaptive = AdaptiveConformal(level=90, rate=0.01).start(errors(200))
    held = follow(adaptive, noise, np.zeros(5000))
    split = SplitConformal().calibrate(errors(200))
    fixed = np.abs(noise) <= split.width(90).item()
    assert held[1000:].mean() == pytest.approx(0.9, abs=0.01)
    assert fixed[1000:].mean() < 0.5  # so the change was one


def test_one_update_is_the_papers_equation() -> None:
    adaptive = AdaptiveConformal(level=90, rate=0.05).start(errors(50, 1, 3))
    adaptive.update([[True, False, True]], observed=[[True, True, False]])
    # Each 0.1 moves by 0.05 times 0.1 less the miss; the last was not observed.
    assert adaptive.alpha == pytest.approx(np.array([[0.105, 0.055, 0.1]]))


@pytest.mark.parametrize("level", [30, 56, 68, 80, 90, 95])
def test_it_begins_as_split_conformal(level: float) -> None:
    center = np.ones((2, 3))
    for windows in (19, 24, 74, 80, 99):  # 25 * 0.56 is more than 14 in binary
        past = errors(windows, 2, 3)
        adaptive = AdaptiveConformal(level=level).start(past)
        split = SplitConformal().calibrate(past)
        pairs = zip(adaptive.interval(center), split.interval(center, level), strict=True)
        assert all(np.array_equal(ends, expected) for ends, expected in pairs)


def test_every_forecast_is_judged_by_the_value_it_was_made_for() -> None:
    adaptive = AdaptiveConformal(level=50, rate=0.1, window=4).start(np.ones((4, 1, 3)))
    adaptive.issue([[10.0, 20.0, 30.0]])  # intervals of width 1 around 10, 20, 30
    adaptive.observe([10.5])
    assert adaptive.alpha == pytest.approx(np.array([[0.55, 0.5, 0.5]]))
    adaptive.observe([25.0])  # nothing was issued in between: only the 20 two steps ahead
    assert adaptive.alpha == pytest.approx(np.array([[0.55, 0.45, 0.5]]))
    adaptive.observe([30.0])
    assert adaptive.alpha == pytest.approx(np.array([[0.55, 0.45, 0.55]]))
    adaptive.observe([0.0])
    assert adaptive.alpha == pytest.approx(np.array([[0.55, 0.45, 0.55]]))
    kept = np.sort(adaptive.scores[0])
    assert kept.tolist() == [[0.5, 1, 1, 1], [1, 1, 1, 5], [0, 1, 1, 1]]


def test_the_oldest_errors_are_forgotten_first() -> None:
    adaptive = AdaptiveConformal(level=50, window=3).start(np.arange(1.0, 6.0).reshape(5, *ONE))
    assert sorted(adaptive.scores.ravel()) == [3, 4, 5]
    for score, kept in ((9.0, [4, 5, 9]), (np.nan, [4, 5, 9]), (1.0, [1, 5, 9]), (2.0, [1, 2, 9])):
        adaptive.update([[True]], scores=[[score]])
        assert sorted(adaptive.scores.ravel()) == kept


def test_a_value_that_did_not_come_judges_nothing() -> None:
    adaptive = AdaptiveConformal(level=90).start(errors(50, 2, 2))
    adaptive.issue(np.zeros((2, 2)))
    scores = adaptive.scores.copy()
    adaptive.observe([np.nan, 50.0])
    assert adaptive.alpha == pytest.approx(np.array([[0.1, 0.1], [0.1 - 0.005 * 0.9, 0.1]]))
    assert np.array_equal(adaptive.scores[0], scores[0], equal_nan=True)
    assert np.nanmax(adaptive.scores, axis=-1)[1, 0] == 50


def test_aims_beyond_0_and_1() -> None:
    adaptive = AdaptiveConformal(level=90, rate=0.5).start(errors(50))
    adaptive.update([[False]])
    assert adaptive.alpha.item() < 0
    low, high = adaptive.interval([[3.0]])
    assert low.item() == -np.inf
    assert high.item() == np.inf
    for _ in range(40):
        adaptive.update([[True]])
    assert adaptive.alpha.item() > 1
    assert [end.item() for end in adaptive.interval([[3.0]])] == [3.0, 3.0]
    adaptive.issue([[3.0]])
    before = adaptive.alpha
    adaptive.observe([3.0])  # an empty interval holds nothing, not even its middle
    assert adaptive.alpha < before


def test_a_restored_stream_goes_on_the_same() -> None:
    values = np.random.default_rng(4).normal(size=(30, 2))
    whole = AdaptiveConformal(level=80, window=10).start(errors(12, 2, 3))
    for step, value in enumerate(values):
        if step == 13:
            state = whole.state()
        whole.issue(np.zeros((2, 3)))
        whole.observe(value)
    again = AdaptiveConformal(level=80, window=10).restore(state)
    for value in values[13:]:
        again.issue(np.zeros((2, 3)))
        again.observe(value)
    for name, array in whole.state().items():
        assert np.array_equal(array, again.state()[name], equal_nan=True)


def test_streams_in_step_do_not_touch_each_other() -> None:
    past, values = errors(30, 4, 2), np.random.default_rng(5).normal(size=(40, 4))
    together = AdaptiveConformal(level=80).start(past)
    alone = AdaptiveConformal(level=80).start(past[:, 2:3])
    for value in values:
        both = together.issue(np.zeros((4, 2))), alone.issue(np.zeros((1, 2)))
        assert np.array_equal(both[0][0][2:3], both[1][0])
        together.observe(value)
        alone.observe(value[2:3])
    assert np.array_equal(together.alpha[2:3], alone.alpha)


def test_streams_that_move_on_apart_are_as_many_that_are_alone() -> None:
    # Another implementation: one AdaptiveConformal each. Some move on together, some apart, and
    # streams begin late; halfway all are restored from their arrays.
    draw, past = np.random.default_rng(6), errors(12, 2, 3)
    streams, alone = AdaptiveStreams(level=80), {}
    for turn in range(40):
        numbers = np.sort(draw.permutation(3 + turn // 4)[: draw.integers(1, 8)])
        new = numbers[~streams.begun(numbers)]
        streams.start(new, past)
        alone |= {number: AdaptiveConformal(level=80).start(past) for number in new.tolist()}
        center, value = draw.normal(size=(len(numbers), 2, 3)), draw.normal(size=(len(numbers), 2))
        found = streams.issue(numbers, center)
        streams.observe(numbers, value)
        for place, number in enumerate(numbers.tolist()):
            expected = alone[number].issue(center[place])
            assert np.array_equal([end[place] for end in found], expected)
            alone[number].observe(value[place])
        if turn == 20:
            streams = AdaptiveStreams(level=80).restore(streams.numbers, streams.state())
    assert sorted(streams.numbers.tolist()) == sorted(alone)
    for name, array in streams.state().items():
        expected = np.stack([alone[number].state()[name] for number in streams.numbers.tolist()])
        assert np.array_equal(array, expected, equal_nan=True)


# ------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_calibration(100), "level: 100 is not between 0 and 100 percent"),
        (lambda: finite_sample_quantile([1.0], 0), "level: 0 is not between"),
        (lambda: SplitConformal().width(90), r"SplitConformal: no errors yet; call calibrate"),
        (lambda: SplitConformal().calibrate([]), r"errors: shape \(0,\); expected \(windows"),
        (
            lambda: SplitConformal().calibrate(np.array([[1.0], [np.inf]])),
            "errors: 1 values are infinite",
        ),
        (
            lambda: SplitConformal().calibrate(errors(30, 1, 3)).interval(np.zeros((1, 4)), 90),
            "center: 4 horizon steps, but only 3 were calibrated",
        ),
        (
            lambda: SplitConformal().calibrate(errors(30, 1, 3)).interval(np.zeros((2, 3)), 90),
            r"center: shape \(2, 3\) does not end in .* = \(1, 3\)",
        ),
        (
            lambda: ConformalizedQuantiles().interval([[0.0]], [[1.0]], 90),
            r"level: 90 was not calibrated, only \[\]",
        ),
        (
            lambda: ConformalizedQuantiles().calibrate(errors(5), errors(5), errors(4), level=50),
            r"lower, upper and target: shapes \(5, 1, 1\), \(5, 1, 1\) and \(4, 1, 1\) differ",
        ),
        (lambda: AdaptiveConformal(rate=0), "rate: 0 is not between 0 and 1"),
        (lambda: AdaptiveConformal(window=0), "window: 0 errors"),
        (lambda: AdaptiveConformal(level=0.0), "level: 0.0 is not between"),
        (lambda: AdaptiveConformal().interval([[1.0]]), "no errors yet; call start"),
        (
            lambda: AdaptiveConformal().start(errors(5, 1, 2)).issue([[1.0]]),
            r"center: shape \(1, 1\); expected \(1, 2\)",
        ),
        (lambda: AdaptiveConformal().restore({}), "state: no 'alpha'"),
        (
            lambda: AdaptiveStreams(level=90).restore(np.array([4, 4]), {}),
            "numbers: 2, of which some are the same",
        ),
        (
            lambda: AdaptiveConformal(window=9).restore(
                AdaptiveConformal(window=8).start(errors(5)).state()
            ),
            r"'scores': \(1, 1, 8\).* window=9",
        ),
    ],
)
def test_faults(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()
