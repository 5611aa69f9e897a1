"""Layers beside brains: by hand, against SciPy, and on the 92 pictures."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from tcn.explain import (
    arrangement,
    compare,
    dissimilarities_of,
    load_brain92,
    plot_agreement,
    plot_arrangement,
    plot_dissimilarities,
)


def matrix(*pairs):
    return squareform(np.array(pairs, dtype=float))


def population(subjects=4, conditions=9, noise=0.5, seed=0):
    """What is true of all, and of each with noise."""
    draw = np.random.default_rng(seed)
    true = draw.uniform(size=conditions * (conditions - 1) // 2)
    return squareform(true), np.stack(
        [squareform(true + noise * draw.uniform(size=len(true))) for _ in range(subjects)]
    )


def test_tau_by_hand():
    # Pairs of dissimilarities: 1 < 2 and 1 < 3 are in the same order in both, 2 and 3 are not.
    found = compare({"a": matrix(1, 2, 3), "ties": matrix(1, 1, 1)}, matrix(1, 3, 2))
    assert found.names == ("a", "ties")
    np.testing.assert_allclose(found.values, [1 / 3, 0])
    assert np.isnan(found.errors).all()
    assert all(map(math.isnan, found.ceiling))
    assert found.best == "a"


@pytest.mark.parametrize(("method", "theirs"), [("spearman", spearmanr), ("corr", pearsonr)])
def test_correlations_are_scipys(method, theirs):
    true, brains = population()
    found = compare({"true": true}, brains, method=method)
    upper = np.triu_indices(len(true), 1)
    expected = np.mean([theirs(true[upper], each[upper])[0] for each in brains])
    np.testing.assert_allclose(found.values, [expected])


def test_cosine_by_hand():
    found = compare({"a": matrix(1, 0, 2)}, matrix(2, 1, 0), method="cosine")
    np.testing.assert_allclose(found.values, [2 / 5])


def test_the_ceiling_holds_the_truth_and_is_one_without_noise():
    true, brains = population(subjects=8)
    found = compare({"true": true}, brains)
    assert found.ceiling[0] < found.ceiling[1]
    assert found.values[0] == pytest.approx(np.mean(found.ceiling), abs=0.06)
    np.testing.assert_allclose(compare({"true": true}, [true, true]).ceiling, [1, 1])


def test_sessions_of_a_person_are_averaged_first():
    true, brains = population(subjects=6)
    found = compare({"true": true}, brains, subjects=["a", "b", "a", "c", "b", "c"])
    means = np.stack([brains[[0, 2]].mean(0), brains[[1, 4]].mean(0), brains[[3, 5]].mean(0)])
    expected = compare({"true": true}, means)
    np.testing.assert_allclose(found.values, expected.values)
    np.testing.assert_allclose(found.ceiling, expected.ceiling)


@pytest.mark.parametrize("over", ["both", "conditions", "subjects"])
def test_the_bootstrap_follows_from_its_seed_alone(over, capsys):
    true, brains = population()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    errors = [
        compare({"true": true, "other": true**2 + brains[0]}, brains, method="corr", bootstrap=20,
                over=over, seed=seed).errors
        for seed in (3, 3, 4)
    ]  # fmt: skip
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.testing.assert_array_equal(errors[0], errors[1])
    assert (errors[0] != errors[2]).all()
    assert (errors[0] > 0).all()
    assert capsys.readouterr() == ("", "")


def test_standard_errors_are_those_of_many_experiments():
    # The spread of the value over new subjects, drawn 200 times.
    values, errors = [], []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        true, brains = population(subjects=12, noise=0)
        brains = brains + np.stack([squareform(draw.normal(size=36)) for _ in brains]) / 2
        bootstrap = 100 if seed < 5 else 0
        found = compare({"a": true}, brains, method="corr", bootstrap=bootstrap, over="subjects")
        values.append(found.values[0])
        errors.append(found.errors[0])
    assert np.nanmean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_points_of_a_plane_are_arranged_as_they_lie():
    points = np.random.default_rng(0).normal(size=(12, 2)) * [3, 1]
    found = arrangement(squareform(pdist(points, "sqeuclidean")))
    np.testing.assert_allclose(pdist(found), pdist(points))
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    assert found[:, 0].std() > found[:, 1].std()
    np.testing.assert_allclose(arrangement([[0, 9], [9, 0]], axes=1), [[1.5], [-1.5]])


def test_what_correlation_gives_is_half_a_squared_distance():
    rows = np.random.default_rng(1).normal(size=(6, 4))
    standard = (rows - rows.mean(1, keepdims=True)) / (
        rows.std(1, keepdims=True) * math.sqrt(rows.shape[1])
    )
    found = arrangement(2 * dissimilarities_of(rows), axes=3)
    np.testing.assert_allclose(pdist(found), pdist(standard))


@pytest.mark.parametrize(
    ("models", "brains", "arguments", "message"),
    [
        ({}, matrix(1, 2, 3), {}, "models: none given"),
        ({"a": np.eye(3)}, matrix(1, 2, 3), {}, r"models\['a'\]: the diagonal is not 0"),
        ({"a": np.zeros((4, 4))}, matrix(1, 2, 3), {}, "4 conditions, the brains have 3"),
        ({"a": matrix(1, 2, 3)}, [1, 2], {}, r"brains: shape \(2,\); give dissimilarities"),
        ({"a": matrix(1, 2, 3)}, np.triu(np.ones((3, 3)), 1), {}, "brains: not symmetric"),
        ({"a": matrix(1, 2, 3)}, matrix(1, 2, 3), {"method": "tau"}, "method: 'tau' is not known"),
        ({"a": matrix(1, 2, 3)}, matrix(1, 2, 3), {"over": "all"}, "over: 'all' is not known"),
        ({"a": matrix(1, 2, 3)}, matrix(1, 2, 3), {"bootstrap": -1}, "bootstrap: -1 must be at"),
        ({"a": matrix(1, 2, 3)}, matrix(1, 2, 3), {"bootstrap": 9}, "over: 'both' with one subj"),
        ({"a": matrix(1, 2, 3)}, matrix(1, 2, 3), {"subjects": "ab"}, "subjects: 2 for 1 brain"),
    ],
)
def test_what_does_not_fit_is_refused(models, brains, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(models, brains, **arguments)


def test_too_many_axes_are_refused():
    with pytest.raises(ValueError, match="axes: 4 for 3 conditions"):
        arrangement(matrix(1, 2, 3), axes=4)


def test_bars_stand_at_their_values_within_the_ceiling():
    true, brains = population()
    both = compare({"a": true, "b": brains[0]}, brains, bootstrap=5, method="corr")
    one = compare({"b": brains[0]}, brains, method="corr")
    axes = plot_agreement({"two": both, "one": one}, title="title").axes[0]
    heights = sorted(bar.get_height() for box in axes.containers for bar in _bars(box))
    np.testing.assert_allclose(heights, sorted([*both.values, *one.values]))
    centers = [bar.get_x() + bar.get_width() / 2 for box in axes.containers for bar in _bars(box)]
    # "a" has one bar, in the middle of its name; "b" has one at each side.
    np.testing.assert_allclose(sorted(centers), [0, 0.8, 1.2])
    assert axes.get_title(loc="left") == "title"
    assert {label.get_text() for label in axes.get_xticklabels()} == {"a", "b"}


def _bars(container):
    return container.patches if hasattr(container, "patches") else []


def test_matrices_are_drawn_as_percentiles():
    figure = plot_dissimilarities({"a": matrix(5, 7, 6), "b": matrix(1, 1, 2)}, groups="xxy")
    first, second = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_allclose(first, [[0, 0, 100], [0, 0, 50], [100, 50, 0]])
    np.testing.assert_allclose(second[0], [0, 25, 25])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "y"]
    with pytest.raises(ValueError, match="groups: 2 for 3 conditions"):
        plot_dissimilarities({"a": matrix(5, 7, 6)}, groups="xy")


def test_pictures_lie_at_their_points():
    points, pictures = np.array([[0.0, 1], [2, 3], [4, 5]]), torch.rand(3, 1, 8, 8)
    pictures[:, :, 0] = 0.5
    figure = plot_arrangement(points, pictures, groups="aab", background=[0.5] * 3)
    stamps = [artist for artist in figure.axes[0].artists if hasattr(artist, "xybox")]
    np.testing.assert_allclose([stamp.xybox for stamp in stamps], points)
    shown = stamps[1].offsetbox.get_data()
    np.testing.assert_allclose(shown[1:, :, 0], pictures[1, 0, 1:])
    assert (shown[0, :, 3] == 0).all()
    assert (shown[1:, :, 3] == 1).mean() > 0.9
    with pytest.raises(ValueError, match=r"points: shape \(3, 2\) for 2 pictures"):
        plot_arrangement(points, pictures[:2])


@pytest.mark.requires_data("brain92")
def test_people_monkeys_and_pixels(data_dir):
    brain = load_brain92(data_dir / "brain92")
    assert brain.pictures.shape == (92, 3, 175, 175)
    assert brain.human.shape == (8, 92, 92)
    assert brain.subjects == ("BE", "BE", "KO", "KO", "SN", "SN", "TI", "TI")
    # As the paper counts them: 12 + 12 body parts and faces of people, as many of animals, 44.
    assert brain.categories.count("human face") == 12
    assert sum("inanimate" in each for each in brain.categories) == 44
    gray = (brain.pictures * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    found = compare(
        {"monkey": brain.monkey, "pixels": dissimilarities_of(gray)},
        brain.human,
        subjects=brain.subjects,
    )
    np.testing.assert_allclose(found.ceiling, [0.254, 0.477], atol=0.001)
    np.testing.assert_allclose(found.values, [0.201, 0.014], atol=0.001)
    # Both species keep animate and inanimate things apart.
    across = np.array(["inanimate" in each for each in brain.categories])
    apart = across[:, None] != across
    for rdm in (brain.monkey, *brain.human):
        assert rdm[apart].mean() > rdm[~apart].mean()


def test_absent_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"supplementalData.mat is absent; it comes from"):
        load_brain92(tmp_path)
    (tmp_path / "Kriegeskorte_Neuron2008_supplementalData.mat").write_bytes(b"x" * 200)
    with pytest.raises(ValueError, match=r"supplementalData.mat: cannot be read"):
        load_brain92(tmp_path)


def test_models_are_named_and_may_be_tensors_with_gradients() -> None:
    rdm = torch.from_numpy(dissimilarities_of(torch.randn(6, 9)))
    found = compare({"itself": rdm.clone().requires_grad_()}, rdm)
    assert found.values == pytest.approx([1])
    with pytest.raises(TypeError, match="models: list; give dissimilarities by name"):
        compare([rdm], rdm)
