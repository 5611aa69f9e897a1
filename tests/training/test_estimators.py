"""Classifier and Regressor as scikit-learn's own checks and its pipelines meet them."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tcn.data import load_ts
from tcn.training import Classifier, Regressor
from tcn.training.series import read_series

FEW: dict[str, Any] = {"width": 8, "layers": 2, "max_steps": 30, "random_state": 0}


def waves(count: int = 40, length: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Slow waves and fast ones at random phases, ``(count, 1, length)``, and which they are."""
    random = np.random.default_rng(0)
    y = np.where(np.arange(count) % 2, "fast", "slow")
    speed = np.where(y == "fast", 1.5, 0.4)[:, None]
    X = np.sin(speed * np.arange(length) + random.uniform(0, 6, (count, 1)))
    return X[:, None], y


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Classifier, Regressor])
def test_scikit_learns_checks_pass(kind: type) -> None:
    few = {"width": 16, "layers": 2, "max_steps": 60, "random_state": 0}
    expected = {}
    if kind is Regressor:
        expected["check_regressors_train"] = (
            "the mean over time answers, so that which step a number stood at is learned slowly: "
            "the columns of a table without an order are not a series"
        )
    results = check_estimator(kind(**few), expected_failed_checks=expected, on_fail=None)
    assert [each["check_name"] for each in results if each["status"] == "failed"] == []
    assert len(results) > 40


@pytest.mark.parametrize("model", ["tcn", "lstm", "gru"])
def test_waves_are_told_apart_by_their_speed(model: str) -> None:
    X, y = waves()
    state = torch.get_rng_state()
    classifier = Classifier(model, **FEW | {"max_steps": 150, "learning_rate": 1e-2}).fit(
        X[:30], y[:30]
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert classifier.score(X[30:], y[30:]) == 1.0
    assert classifier.predict_proba(X).sum(1) == pytest.approx(np.ones(40))
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    repeated = clone(classifier).fit(X[:30], y[:30])
    assert np.array_equal(repeated.predict_proba(X), classifier.predict_proba(X))


def test_series_of_other_lengths_are_answered_as_if_alone() -> None:
    X, y = waves(12)
    ragged = [series[:, : 20 + number] for number, series in enumerate(X[:10])]
    classifier = Classifier(**FEW).fit(ragged, y[:10])
    alone = np.concatenate([classifier.predict_proba([series]) for series in ragged])
    np.testing.assert_allclose(classifier.predict_proba(ragged), alone, rtol=1e-4)


def test_one_channel_may_have_an_axis_or_not() -> None:
    X, y = waves(12)
    whole, flat, ragged = (
        Classifier(**FEW).fit(given, y) for given in (X, X[:, 0], [X[0], *X[1:, 0]])
    )
    expected = whole.predict_proba(X)
    for trained in (whole, flat, ragged):
        for given in (X, X[:, 0], list(X), list(X[:, 0])):
            np.testing.assert_allclose(trained.predict_proba(given), expected, rtol=1e-5)
    assert whole.predict(X[..., :20]).shape == (12,)
    with pytest.raises(ValueError, match="X has 20 features, but Classifier is expecting 30"):
        flat.predict(X[:, 0, :20])
    with pytest.raises(ValueError, match="X: series of 2 channels; this was trained with 1; give"):
        whole.predict(np.concatenate([X, X], 1))
    wide = Classifier(**FEW).fit(np.ones((4, 3, 5)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"5 channels.* with 3; .*whose channels seem to be last"):
        wide.predict(np.ones((4, 5, 3)))
    assert flat.predict([*X[:2, 0], X[2, 0, :20]]).shape == (3,)  # in a list steps may differ
    with pytest.raises(ValueError, match="X: series of 2 channels; this was trained with 1"):
        whole.predict([np.ones((2, 5))])


def test_scales_are_those_of_the_steps_that_are_there() -> None:
    # By hand: of 1, 2, 3 and 4, 5, 6, 7 the mean is 4 and the deviation 2; padding is not counted.
    ragged = [np.array([1.0, 2, 3]), np.array([4.0, 5, 6, 7])]
    classifier = Classifier(**FEW | {"max_steps": 1}).fit(ragged, [0, 1])
    assert classifier.scaling_.location.tolist() == [4.0]
    assert classifier.scaling_.scale.tolist() == [2.0]


def test_several_targets_have_a_column_each() -> None:
    X, _ = waves()
    y = np.stack([X.mean((1, 2)), 1e6 + 1e3 * X[:, 0, -1]], axis=1)
    regressor = Regressor(**FEW | {"max_steps": 5}).fit(X, y)
    assert regressor.predict(X).shape == (40, 2)
    assert abs(regressor.predict(X)[:, 1] - 1e6).max() < 1e4
    assert Regressor(**FEW | {"max_steps": 5}).fit(X, y[:, 0]).predict(X).shape == (40,)


def test_pipelines_and_searches_take_them() -> None:
    X, y = waves(16, 12)
    pipeline = make_pipeline(StandardScaler(), Classifier(**FEW | {"max_steps": 3}))
    search = GridSearchCV(pipeline, {"classifier__width": [2, 4]}, cv=2).fit(X[:, 0], y)
    assert search.best_params_["classifier__width"] in (2, 4)


def test_rare_classes_weigh_as_much_when_balanced() -> None:
    X = np.zeros((32, 1, 10))  # all alike: nothing but the share of a class can be answered
    y = np.arange(32) % 8 == 0
    settings = FEW | {"max_steps": 200, "learning_rate": 5e-2, "dropout": 0.0}
    plain, balanced = (
        Classifier(**settings, class_weight=weight).fit(X, y).predict_proba(X)[0, 1]
        for weight in (None, "balanced")
    )
    assert plain == pytest.approx(1 / 8, abs=0.02)
    assert balanced == pytest.approx(1 / 2, abs=0.02)


def test_threads_fit_as_one_alone_does() -> None:
    X, y = waves(16, 12)
    state = torch.get_rng_state()

    def fitted(_: int) -> np.ndarray:
        return Classifier(**FEW).fit(X, y).predict_proba(X)

    alone = fitted(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(fitted, range(4)):
            assert np.array_equal(found, alone)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_level_that_float32_could_not_hold_is_taken_away_first() -> None:
    X, y = waves()
    low, high = (Classifier(**FEW).fit(X + level, y).predict_proba(X + level) for level in (0, 1e9))
    np.testing.assert_allclose(high, low, atol=1e-4)
    halves = np.linspace(0, 3000, 40).astype(np.float16)  # whose squares float16 cannot hold
    regressor = Regressor(**FEW | {"max_steps": 1}).fit(X, halves)
    assert regressor.target_scale_ == pytest.approx([halves.astype(float).std()])


def test_a_long_series_costs_no_more_than_itself() -> None:
    short = [np.ones(10) * number for number in range(2000)]
    series = read_series(Classifier(), [*short, np.arange(100_000.0)], reset=True)
    assert sum(each.nbytes for each in series.values) == 8 * (2000 * 10 + 100_000)
    x, lengths = series.scaling().batch(series.values[:32])
    assert (x.shape, lengths) == ((32, 1, 10), None)


def test_a_fit_that_fails_leaves_what_was() -> None:
    X, y = waves(12)
    classifier = Classifier(**FEW).fit(X, y)
    before = classifier.predict_proba(X)
    with pytest.raises(ValueError, match="y: one class, 'a'"):
        classifier.fit([np.ones((2, 5)), np.ones((2, 4))], ["a", "a"])
    with pytest.raises(ValueError, match=r"learning_rate: 1e\+30: after [1-9] steps the loss"):
        clone(classifier).set_params(learning_rate=1e30).fit(X, y)
    assert np.array_equal(classifier.predict_proba(X), before)


def test_settings_of_torch_around_it_do_not_matter() -> None:
    X, y = waves(12)
    expected = Classifier(**FEW).fit(X, y).predict_proba(X)
    torch.set_default_dtype(torch.float64)
    with torch.inference_mode():
        found = Classifier(**FEW | {"max_steps": np.int64(30)}).fit(X, y)
        assert found.predict_proba(X).shape == expected.shape
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        assert np.array_equal(Classifier(**FEW).fit(X, y).predict_proba(X), expected)


def test_values_of_another_unit_are_refused() -> None:
    X, y = waves(12)
    classifier = Classifier(**FEW).fit(X * 1e-30, y)
    with pytest.raises(ValueError, match="X: values that are more than 1e38 times"):
        classifier.predict(X * 1e10)


@pytest.mark.parametrize(
    ("settings", "X", "y", "message"),
    [
        ({"model": "cnn"}, np.ones((4, 1, 5)), [0, 1, 0, 1], "model: 'cnn' is not one of tcn, lst"),
        ({"model": torch.nn.ReLU()}, np.ones((4, 5)), [0, 1, 0, 1], "model: a ReLU is not a name"),
        ({}, [np.ones((5, 2)), np.ones((4, 2))], [0, 1], "4 to 5 channels.*seem to be last"),
        ({"width": 0}, np.ones((4, 1, 5)), [0, 1, 0, 1], "width"),
        ({"dropout": 1.0}, np.ones((4, 1, 5)), [0, 1, 0, 1], "dropout"),
        (
            {"learning_rate": 0},
            np.ones((4, 1, 5)),
            [0, 1, 0, 1],
            "learning_rate: 0 is not a finite",
        ),
        (
            {"learning_rate": "1"},
            np.ones((4, 1, 5)),
            [0, 1, 0, 1],
            "learning_rate: '1' is not a nu",
        ),
        (
            {},
            np.ones((4, 1, 0)),
            [0, 1, 0, 1],
            r"X: shape \(4, 1, 0\); give series of at least one",
        ),
        ({}, np.ones((4, 1, 5, 2)), [0, 1, 0, 1], "X: 4 axes; give"),
        ({}, np.ones((4, 1, 5)), [0, 0, 0, 0], "y: one class"),
        ({}, [np.ones((1, 5)), np.ones((2, 5))], [0, 1], "X: series of 1 to 2 channels"),
        (
            {},
            [np.ones((1, 5)), np.full((1, 4), np.nan)],
            [0, 1],
            r"X: NaN .* in 1 of 2 .* X\[1\]",
        ),
        ({}, [np.ones((1, 5)), np.ones((1, 4))], [0, 1, 1], "inconsistent numbers of samples"),
        ({}, [np.ones((1, 5)), np.ones((1, 4))], None, "y: None; the estimator requires y"),
        ({"class_weight": {0: 0, 1: 0}}, np.ones((4, 5)), [0, 1, 0, 1], r"weights of \[0.*, 0"),
        ({"class_weight": {0: 1, 1: -1}}, np.ones((4, 5)), [0, 1, 0, 1], "weights of .* at least"),
    ],
)
def test_what_does_not_fit_is_named(
    settings: dict[str, Any], X: Any, y: list[int], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Classifier(**FEW | settings).fit(X, y)


@pytest.mark.slow
@pytest.mark.requires_data("ucr_uea")
def test_speakers_of_japanese_vowels_are_told_apart(data_dir: Path) -> None:
    folder = data_dir / "ucr_uea" / "JapaneseVowels"
    X, y = load_ts(folder / "JapaneseVowels_TRAIN.ts")
    classifier = Classifier(random_state=0).fit(X, y)
    assert classifier.score(*load_ts(folder / "JapaneseVowels_TEST.ts")) > 0.95
