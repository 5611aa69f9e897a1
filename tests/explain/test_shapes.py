"""Silhouettes: curvature against geometry, pictures against area, turns and shifts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.explain import Shape, pictures_of, shape_set

ANGLES = np.linspace(0, 2 * math.pi, 4096, endpoint=False)


def test_a_circle_is_curved_alike_everywhere():
    shape = Shape([2.0] * 8)
    np.testing.assert_allclose(shape.curvature(ANGLES), 0.5)
    np.testing.assert_allclose(shape.outline([0.0, math.pi / 2]), [[2, 0], [0, 2]], atol=1e-12)


def test_an_ellipse_is_curved_as_geometry_says():
    a, b = 2.0, 1.0
    angles = np.linspace(0, 2 * math.pi, 256, endpoint=False)
    shape = Shape(a * b / np.hypot(b * np.cos(angles), a * np.sin(angles)))
    t = np.arctan2(a * np.sin(ANGLES), b * np.cos(ANGLES))
    expected = a * b / (a**2 * np.sin(t) ** 2 + b**2 * np.cos(t) ** 2) ** 1.5
    np.testing.assert_allclose(shape.curvature(ANGLES), expected, rtol=2e-3)
    assert shape.curvature([0.0])[0] == pytest.approx(a / b**2, rel=2e-3)


@settings(max_examples=25)
@given(st.lists(st.floats(0.6, 1.4), min_size=3, max_size=12))
def test_any_closed_outline_turns_once(radii):
    # The integral of curvature along a simple closed curve is 2 pi.
    shape = Shape(radii)
    points = shape.outline(ANGLES)
    lengths = np.linalg.norm(np.roll(points, -1, 0) - np.roll(points, 1, 0), axis=1) / 2
    assert (shape.curvature(ANGLES) * lengths).sum() == pytest.approx(2 * math.pi, rel=1e-3)


@settings(max_examples=25)
@given(st.lists(st.floats(0.7, 1.3), min_size=3, max_size=9), st.integers(-20, 20))
def test_turning_moves_curvature_and_nothing_else(radii, steps):
    shape = Shape(radii)
    by = steps * 2 * math.pi / len(radii)
    turned = shape.turned(steps).curvature((ANGLES + by) % (2 * math.pi))
    np.testing.assert_allclose(turned, shape.curvature(ANGLES), atol=1e-9)


def test_the_picture_covers_the_area_of_the_outline():
    for shape in shape_set()[::50]:
        area = (shape.radius(ANGLES) ** 2).mean() * math.pi * 20**2
        assert shape.picture(64, scale=20).sum().item() == pytest.approx(area, rel=2e-3)


def test_the_edge_is_smooth_and_where_the_outline_is():
    picture = Shape([1.0] * 8).picture(33, scale=10)
    assert picture[16, 16] == 1
    assert picture[0, 0] == 0
    row = picture[16, 16:]
    # The pixel at 10 pixels is half covered; those beside it all and nothing.
    np.testing.assert_allclose(row[8:13], [1, 1, 0.5, 0, 0], atol=1e-6)


def test_turns_and_shifts_are_seen():
    shape = Shape([1.0] + [0.5] * 15)  # a tip to the right
    picture = shape.picture(41, scale=15)
    assert picture[20, 33] > picture[20, 7]
    torch.testing.assert_close(shape.turned(4).picture(41, scale=15), picture.rot90())
    moved = shape.picture(41, scale=15, shift=(3, 2))
    torch.testing.assert_close(moved, picture.roll((-2, 3), (0, 1)))


def test_the_set_is_closed_under_turns_of_45_degrees():
    shapes = shape_set()
    assert len(shapes) == 1 + 2 * 254
    assert len({shape.radii for shape in shapes}) == len(shapes)
    assert {shape.turned(2).radii for shape in shapes} == {shape.radii for shape in shapes}
    assert len(shape_set(["pointed"])) == 255
    curvatures = np.concatenate([shape.curvature(ANGLES[::16]) for shape in shapes])
    assert curvatures.max() > 15
    assert curvatures.min() < -15
    pointed = [shape for shape in shape_set(["pointed"]) if sum(r == 1 for r in shape.radii) == 1]
    assert len(pointed) == 8  # one tip, in eight turns


def test_pictures_as_a_net_takes_them():
    shapes = shape_set()[:3]
    found = pictures_of(shapes, 24, scale=9, channels=2, levels=(-1, 3))
    assert found.shape == (3, 2, 24, 24)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1, 1], -1 + 4 * shapes[1].picture(24, scale=9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shape([1.0, 2.0]), r"radii: \(1.0, 2.0\); give three or more positive numbers"),
        (lambda: Shape([1.0, -1.0, 1.0]), "give three or more positive numbers"),
        (lambda: Shape([0.01, 5.0, 0.01, 0.01]), "so much that the outline passes the center"),
        (lambda: shape_set(["round"]), "forms: 'round' is not known; give some of pointed, not"),
        (lambda: shape_set([]), "forms: none; give some of pointed, notched"),
        (lambda: pictures_of([], 9, scale=3), "shapes: none given"),
        (lambda: Shape([1.0] * 3).picture(0, scale=3), "size: 0 must be at least 1"),
    ],
)
def test_what_is_no_shape_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("scale", [0, -3.0, math.inf, math.nan])
def test_a_shape_has_a_size(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale: {scale}; give pixels above 0, such as 11"):
        Shape([1.0] * 8).picture(32, scale=scale)
