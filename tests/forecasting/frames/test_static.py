"""Columns of one value per series."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import Panel, panel_from_frame

LongFrame = Callable[..., pd.DataFrame]
COLUMNS = Columns(stat=("size", "region"), categorical=("region",))


def static() -> pd.DataFrame:
    return pd.DataFrame({
        "unique_id": ["c", "b", "a"], "size": [3, 2, 1], "region": ["south", "north", "south"]
    })  # fmt: skip


def panel_of(df: pd.DataFrame, static_df: object, **arguments: object) -> Panel:
    return panel_from_frame(df, columns=COLUMNS, static_df=static_df, **arguments)


def test_static_rows_are_matched_by_id(long_frame: LongFrame) -> None:
    panel = panel_of(long_frame((4, 3)), static())
    np.testing.assert_array_equal(panel.stat, [[1], [2]])
    # Codes count from 1 in the order of the alphabet; "c" is not in the panel, its row not read.
    assert panel.vocabularies == {"region": ["north", "south"]}
    np.testing.assert_array_equal(panel.categories, [[2], [1]])


def test_a_category_that_was_not_there_in_training_is_code_0(long_frame: LongFrame) -> None:
    known = {"region": ["east", "south"]}
    with pytest.warns(UserWarning, match=r"'region' has 1 categories .* in training: 'north'"):
        panel = panel_of(long_frame((4, 3)), static(), vocabularies=known)
    np.testing.assert_array_equal(panel.categories, [[2], [0]])
    assert panel.vocabularies == known


def test_integers_and_booleans_name_categories_too(long_frame: LongFrame) -> None:
    for values in ([7, 3, 7], [True, False, True]):
        panel = panel_of(long_frame((4, 3)), static().assign(region=values))
        np.testing.assert_array_equal(panel.categories, [[2], [1]])
        assert panel.vocabularies == {"region": sorted(set(values))}
        assert type(panel.vocabularies["region"][0]) is type(values[0])  # JSON holds it


def test_missing_values_are_masked_when_asked(long_frame: LongFrame) -> None:
    holes = static().assign(size=[1, np.nan, 2], region=["south", "north", None])
    panel = panel_of(long_frame((4, 3)), holes, missing="mask")
    np.testing.assert_array_equal(panel.stat, [[2], [np.nan]])
    np.testing.assert_array_equal(panel.categories, [[0], [1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: None, r"static_df: it is missing; give one row per series with \['size', 'r"),
        (lambda df: df.drop(columns="size"), r"static_df: no column 'size' among"),
        (lambda df: df.iloc[:2], r"static_df: 1 series have no row: 'a'; add them"),
        (lambda df: pd.concat([df, df]), r"static_df: 3 ids have several rows: 'c', 'b', 'a'"),
        (lambda df: df.assign(size=np.inf), r"column 'size' is infinite for the series 'a', 'b'"),
        (lambda df: df.assign(size=np.nan), r"'size' is missing for the series 'a', 'b'; .*mask"),
        (lambda df: df.assign(region=None), r"'region' is missing for the series 'a', 'b'"),
    ],
)
def test_a_static_frame_that_does_not_fit_is_refused(
    long_frame: LongFrame, change: Callable[[pd.DataFrame], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        panel_of(long_frame((4, 3)), change(static()))


def test_text_that_is_not_declared_a_category_is_refused(long_frame: LongFrame) -> None:
    columns = Columns(stat=("region",))
    with pytest.raises(TypeError, match=r"'region' holds text .*name the column among the categ"):
        panel_from_frame(long_frame((4, 3)), columns=columns, static_df=static())
