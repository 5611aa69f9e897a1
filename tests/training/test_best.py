"""The best of a run's values, against the best of them all, found afterwards."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcn.training.best import Best

values = st.one_of(st.just(math.nan), st.integers(-2, 2).map(float), st.just(math.inf))


@given(st.lists(values, min_size=1, max_size=8), st.sampled_from(["min", "max"]))
def test_it_is_the_earliest_of_the_best(found: list[float], mode: str) -> None:
    best, kept = Best(mode), []
    for at, value in enumerate(found):
        if best.take(value, at):
            kept.append(at)
    sign = 1 if mode == "min" else -1
    rank = [(math.isnan(v), 0.0 if math.isnan(v) else sign * v, at) for at, v in enumerate(found)]
    assert best.at == kept[-1] == min(rank)[2]
    assert str(best.value) == str(found[best.at])


def test_nothing_is_the_best_of_nothing() -> None:
    assert Best().at is None
    assert math.isnan(Best().value)


def test_a_mode_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="mode: 'least' is not known; give 'min' or 'max'"):
        Best("least")
