"""Predicting recorded sites: against scikit-learn, and with populations of known predictivity."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from tcn.explain import load_recordings, predictivity, split_half_reliability


def population(stimuli, sites, trials, truth, noise, seed=0):
    """Sites of which a share is linear in features, the rest of something else, with noise.

    ``truth`` is the correlation of each site's mean with the best prediction from the features.
    """
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(stimuli, 12))
    linear = features @ np.linalg.qr(draw.normal(size=(12, sites)))[0]
    other = draw.normal(size=(stimuli, sites))
    mean = truth * linear + np.sqrt(1 - truth**2) * other
    return features, mean + noise * draw.normal(size=(trials, stimuli, sites))


@pytest.mark.parametrize("method", ["pls", "ridge"])
def test_known_predictivity_is_recovered(method):
    truth = np.array([0.3, 0.5, 0.6, 0.8, 0.95])
    features, trials = population(6000, 5, 8, truth, noise=1.5)
    found = predictivity(features, trials, method=method, components=8, folds=5)
    np.testing.assert_allclose(found.sites, truth, atol=0.02)
    assert found.median == pytest.approx(0.6, abs=0.02)
    # Variance 1 of the mean, 1.5 ** 2 / 8 of the noise that is left in it.
    np.testing.assert_allclose(found.reliability, 1 / (1 + 1.5**2 / 8), atol=0.02)
    assert (found.raw < found.sites).all()


def reference(features, mean, folds, seed, method):
    r = []
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(features):
        if method == "pls":
            model = PLSRegression(n_components=25, scale=True).fit(features[train], mean[train])
            predicted = model.predict(features[test])
        else:
            scaler = StandardScaler().fit(features[train])
            predicted = np.stack([
                RidgeCV(alphas=np.logspace(-2, 6, 17)).fit(
                    scaler.transform(features[train]), site[train]
                ).predict(scaler.transform(features[test]))
                for site in mean.T
            ], axis=1)  # fmt: skip
        r.append([np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, mean[test].T, strict=True)])
    return np.mean(r, axis=0)


@pytest.mark.parametrize("method", ["pls", "ridge"])
def test_as_scikit_learn_predicts(method):
    draw = np.random.default_rng(0)
    features = draw.normal(size=(80, 40)) * draw.uniform(0.1, 5, size=40)
    mean = features @ draw.normal(size=(40, 6)) + 9 * draw.normal(size=(80, 6))
    found = predictivity(features, mean, method=method, folds=4, seed=5)
    np.testing.assert_allclose(found.raw, reference(features, mean, 4, 5, method), atol=1e-10)
    np.testing.assert_array_equal(found.reliability, 1)
    np.testing.assert_array_equal(found.sites, found.raw)
    assert found.median == np.median(found.raw)


def test_reliability_by_hand():
    # Two trials can be halved in one way: 2 r / (1 + r).
    trials = np.random.default_rng(0).normal(size=(2, 30, 3)) + np.linspace(0, 3, 30)[:, None]
    r = np.array([np.corrcoef(*trials[:, :, site])[0, 1] for site in range(3)])
    np.testing.assert_allclose(split_half_reliability(trials), 2 * r / (1 + r))
    # Of three trials, halves of one each: 3 r / (1 + 2 r), exactly where all r are alike.
    same = np.repeat(trials[:1], 3, axis=0)
    np.testing.assert_allclose(split_half_reliability(same), 1)
    np.testing.assert_array_equal(split_half_reliability(trials[:1]), 1)


@pytest.mark.parametrize("trials", [4, 5])
def test_reliability_is_that_of_the_mean_over_all_trials(trials):
    draw = np.random.default_rng(1)
    signal = draw.normal(size=(20000, 2))
    noisy = signal + draw.normal(size=(trials, 20000, 2))
    np.testing.assert_allclose(split_half_reliability(noisy), trials / (trials + 1), atol=0.01)


def test_scale_and_order_of_sites_do_not_matter():
    features, trials = population(120, 4, 3, 0.7, 0.5)
    found = predictivity(features, trials, method="ridge", folds=3)
    turned = predictivity(
        torch.from_numpy(features), 7 * trials[:, :, ::-1] + 2, method="ridge", folds=3
    )
    np.testing.assert_allclose(turned.sites, found.sites[::-1])


def test_recordings_from_files(tmp_path):
    features, trials = population(60, 3, 4, 0.7, 0.5)
    np.save(tmp_path / "a.npy", trials)
    np.savez(tmp_path / "b.npz", recordings=trials, other=1)
    expected = predictivity(features, trials, components=5, folds=3)
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(load_recordings(tmp_path / name), trials)
        found = predictivity(features, tmp_path / name, components=5, folds=3)
        np.testing.assert_array_equal(found.sites, expected.sites)
    np.savez(tmp_path / "c.npz", cells=trials)
    with pytest.raises(ValueError, match=r"c\.npz holds no array named 'recordings'"):
        load_recordings(tmp_path / "c.npz")
    (tmp_path / "d.npy").write_text("no numbers")
    with pytest.raises(ValueError, match=r"d\.npy is not a \.npy or \.npz file of numbers"):
        load_recordings(tmp_path / "d.npy")
    np.save(tmp_path / "e.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"e\.npy is not a \.npy or \.npz file of numbers"):
        load_recordings(tmp_path / "e.npy")
    with pytest.raises(FileNotFoundError):
        load_recordings(tmp_path / "absent.npy")


@pytest.mark.parametrize(
    ("features", "recordings", "arguments", "message"),
    [
        ((30,), (30, 2), {}, r"features: shape \(30,\); give \(stimuli, features\)"),
        ((30, 5), (20, 2), {}, r"recordings: shape \(20, 2\) for 30 stimuli"),
        ((30, 5), (30, 2), {"method": "lasso"}, "method: 'lasso' is not known; give one of pls, r"),
        ((30, 5), (30, 2), {"folds": 1}, "folds: 1 of 30 stimuli; give 2 or more"),
        ((30, 5), (30, 2), {"folds": 11}, "folds: 11 of 30 stimuli; give 2 or more, with three"),
        ((30, 5), (30, 2), {}, "components: 25, with 5 features and 30 stimuli in 10 folds at"),
        ((30, 5), (30, 2), {"components": 0}, "components: 0 must be at least 1"),
        ((30, 5), (30, 2), {"halves": 0}, "halves: 0 must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(features, recordings, arguments, message):
    draw = np.random.default_rng(0)
    with pytest.raises(ValueError, match=message):
        predictivity(draw.normal(size=features), draw.normal(size=recordings), **arguments)


def test_silent_and_unreliable_sites_are_named():
    features, trials = population(60, 3, 2, 0.7, 0.5)
    silent = trials.copy()
    silent[:, :, 1] = 4
    with pytest.raises(ValueError, match="site 1 answers all stimuli of a part alike"):
        predictivity(features, silent, method="ridge", folds=3)
    with pytest.raises(ValueError, match="recordings: holds NaN or infinity"):
        predictivity(features, np.where(trials > 2, np.nan, trials), method="ridge")
    against = np.stack([trials[0], -trials[0] + 0.1 * trials[1]])
    with pytest.raises(ValueError, match="no site answers alike twice"):
        predictivity(features, against, method="ridge", folds=3)
