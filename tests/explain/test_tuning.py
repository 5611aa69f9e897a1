"""Tuning to curvature: known populations are recovered, and nets are measured as by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis
from torch import nn

from tcn.explain import (
    CurvatureTuning,
    Shape,
    activations,
    curvature_responses,
    fit_curvature,
    pictures_of,
    plot_tuning,
    shape_set,
    squashed,
    translation_invariance,
    tune,
)


def population(units, seed=0):
    """Units tuned as cells of V4 are: to tips, notches and all between, in all directions."""
    draw = np.random.default_rng(seed)
    ranges = [(0, 2 * math.pi), (0.4, 1.2), (-0.9, 0.9), (0.1, 0.4), (1, 20), (-1, 1), (1, 1)]
    return CurvatureTuning(*(draw.uniform(*limits, size=units) for limits in ranges))


def apart(one, other):
    """Between two angles."""
    return np.abs((one - other + math.pi) % (2 * math.pi) - math.pi)


def test_a_response_by_hand():
    shape = Shape([1.0, 1.2, 0.8, 1.1, 0.9])
    tuning = CurvatureTuning(*np.array([[1.0], [0.5], [0.3], [0.2], [4.0], [-1.0], [1.0]]))
    best = max(
        math.exp((math.cos(angle - 1) - 1) / 0.25)
        * math.exp(-((2 / (1 + math.exp(-0.3 * curvature)) - 1 - 0.3) ** 2) / 0.08)
        for angle in np.arange(128) * 2 * math.pi / 128
        for curvature in shape.curvature([angle])
    )
    assert curvature_responses([shape], tuning).item() == pytest.approx(4 * best - 1)
    np.testing.assert_allclose(squashed([0.0, 1e3, -1e3]), [0, 1, -1])


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_population_like_v4_is_recovered(noise):
    shapes, true = shape_set(), population(16)
    responses = curvature_responses(shapes, true)
    draw = np.random.default_rng(1)
    responses = responses + noise * responses.std(0) * draw.normal(size=responses.shape)
    found = fit_curvature(shapes, responses)
    # Within 10 %: of the widths, and for what is preferred of the width around it.
    assert (apart(found.angle, true.angle) < 0.1 * true.angle_width).all()
    assert (np.abs(found.curvature - true.curvature) < 0.1 * true.curvature_width).all()
    np.testing.assert_allclose(found.angle_width, true.angle_width, rtol=0.1)
    np.testing.assert_allclose(found.curvature_width, true.curvature_width, rtol=0.1)
    np.testing.assert_allclose(found.gain, true.gain, rtol=0.1)
    np.testing.assert_allclose(found.r, 1 / math.sqrt(1 + noise**2), atol=0.002)


def test_turned_shapes_turn_the_preferred_direction():
    shapes, tuning = shape_set(), population(3)
    responses = curvature_responses(shapes, tuning)
    found = fit_curvature([shape.turned(2) for shape in shapes], responses)
    assert (apart(found.angle, tuning.angle + math.pi / 4) < 0.01).all()
    np.testing.assert_allclose(found.curvature, tuning.curvature, atol=0.01)


def test_gain_and_baseline_alone_follow_the_scale_of_responses():
    shapes, tuning = shape_set(["notched"]), population(2)
    responses = curvature_responses(shapes, tuning)
    one, other = fit_curvature(shapes, responses), fit_curvature(shapes, 5 * responses - 3)
    for name in ("angle", "angle_width", "curvature", "curvature_width", "r"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-5)
    np.testing.assert_allclose(other.gain, 5 * one.gain, rtol=1e-5)
    np.testing.assert_allclose(other.baseline, 5 * one.baseline - 3, rtol=1e-4)


def test_noise_is_not_described_and_silence_has_no_tuning():
    shapes = shape_set(["pointed"])
    responses = np.random.default_rng(0).normal(size=(len(shapes), 2))
    responses[:, 1] = 3
    found = fit_curvature(shapes, responses)
    assert found.r[0] < 0.4
    assert all(np.isnan(each[1]) for each in found)


def test_invariance_by_hand():
    once = np.array([[0.0, 1, 2, 1], [3, 0, 0, 1]]).T  # (shapes, units)
    np.testing.assert_allclose(translation_invariance(np.stack([once, 2 * once + 1])), [1, 1])
    np.testing.assert_allclose(translation_invariance(np.stack([once, -once])), [-1, -1])
    # Deviations (-1, 0, 1, 0), (1, 0, -1, 0) / 2 and (0, -1, 0, 1): covariances -1/4, 0, 0; the
    # standard deviations are 1, 1/2, 1 by the square root of 2.
    three = np.array([[0, 1, 2, 1], [1, 0.5, 0, 0.5], [1, 0, 1, 2]])[..., None]
    np.testing.assert_allclose(translation_invariance(three), [-0.25 / (0.25 + 0.5 + 0.25)])
    assert np.isnan(translation_invariance(np.ones((2, 4, 1)))).all()
    assert np.isnan(translation_invariance(once[None])).all()
    with pytest.raises(ValueError, match=r"responses: shape \(4, 2\); give \(positions, sh"):
        translation_invariance(once)


def net_of_edges():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 7, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 5), nn.AdaptiveMaxPool2d(1)
    )


def test_a_net_is_measured_in_the_middle_of_its_maps():
    net, shapes = net_of_edges(), shape_set(["pointed"])[::5]
    found = tune(
        net, "2", size=30, scale=10, shapes=shapes, units=[3, 1], shifts=[(2, 0)], levels=(-1, 1)
    )
    assert found.layer == "2"
    assert found.units.tolist() == [3, 1]
    for position, shift in enumerate([(0, 0), (2, 0)]):
        x = pictures_of(shapes, 30, scale=10, shift=shift, levels=(-1, 1))
        maps = activations(net, x, ["2"])["2"]  # (shapes, 4, 8, 8)
        expected = maps[:, [3, 1], 4, 4].double().numpy()
        np.testing.assert_allclose(found.responses[position], expected)
    for mine, theirs in zip(found.fit, fit_curvature(shapes, found.responses[0]), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(found.kurtosis, kurtosis(found.responses[0], fisher=False))
    np.testing.assert_allclose(found.invariance, translation_invariance(found.responses))
    assert found.best(2) == ([0, 1] if found.fit.r[0] >= found.fit.r[1] else [1, 0])


def test_a_pool_over_all_positions_is_invariant():
    net = nn.Sequential(nn.Conv2d(1, 3, 5), nn.AdaptiveMaxPool2d(1))
    shapes = shape_set(["pointed"])[::20]
    arguments = {"size": 48, "scale": 9, "shapes": shapes, "shifts": [(4, 0), (-3, 5)]}
    pooled = tune(net, "1", channels=1, **arguments)
    maps = tune(net, "0", channels=1, **arguments)
    np.testing.assert_allclose(pooled.invariance, 1, atol=1e-4)
    assert (maps.invariance < 0.95).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": "9"}, ValueError, "layer: Sequential has none named '9'"),
        ({"units": [4]}, ValueError, "unit: 4 of a layer with 4; give 0 to 3"),
        ({"units": [0.5]}, TypeError, "unit: 0.5 is not an integer"),
        ({"size": 0}, ValueError, "size: 0 must be at least 1"),
        ({"channels": 1}, ValueError, "x: Sequential does not take torch.float32 of shape"),
        ({"shapes": shape_set()[:6]}, ValueError, "of at least seven shapes"),
        ({"shapes": []}, ValueError, "shapes: none given"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, error, message):
    given = {"layer": "2", "size": 30, "scale": 10, "shapes": shape_set()[:8]} | arguments
    with pytest.raises(error, match=message):
        tune(net_of_edges(), given.pop("layer"), **given)


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        (np.zeros(9), r"responses: shape \(9,\) for 9 shapes; give \(shapes, units\)"),
        (np.full((9, 2), np.nan), "responses: hold NaN or infinity"),
    ],
)
def test_responses_of_other_shapes_are_refused(responses, message):
    with pytest.raises(ValueError, match=message):
        fit_curvature(shape_set()[:9], responses)


def test_the_strongest_shapes_of_the_best_units_are_drawn():
    shapes = shape_set(["pointed"])[::5]
    found = tune(net_of_edges(), "2", size=30, scale=10, shapes=shapes)
    figure = plot_tuning(found, count=2, shown=3, title="title")
    assert len(figure.axes) == 2 * (1 + 3)
    unit = found.best()[0]
    strongest = np.sort(found.responses[0][:, unit])[::-1]
    labels = [axes.get_xlabel() for axes in figure.axes[1:4]]
    assert labels == [f"{value:.3g}" for value in strongest[:3]]
    assert figure.axes[0].get_title(loc="left") == (
        f"unit {found.units[unit]}, r = {found.fit.r[unit]:.2f}"
    )
    with pytest.raises(ValueError, match="shown: 0 must be at least 1"):
        plot_tuning(found, shown=0)
