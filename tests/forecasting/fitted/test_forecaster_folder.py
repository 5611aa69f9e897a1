"""A forecaster in a folder: the same forecasts from it, and nothing that was tampered with."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jsonschema import Draft202012Validator

from tcn.forecasting import Forecaster
from tcn.forecasting.fitted.folder import ARRAYS, SCHEMA, SETTINGS
from tcn.layers import FiLM, SequenceModule
from tcn.models import TCN
from tcn.outputs import Quantiles
from tcn.saving.folder import seal

SMALL = {"h": 3, "input_size": 8, "width": 3, "max_steps": 4, "accelerator": "cpu"}
STATIC = pd.DataFrame({"unique_id": ["a", "b"], "area": [1.0, 2], "kind": ["u", "v"]})
KINDS: dict[str, dict[str, Any]] = {
    "tcn": {},
    "cqr": {"loss": Quantiles((0.1, 0.5, 0.9)), "intervals": "cqr", "window_scaler": "revin"},
    "conformal": {"model": "gru", "intervals": "conformal", "scaler": "robust"},
    "covariates": {
        "futr_exog_list": ["price"], "stat_exog_list": ["area"], "categorical_list": ["kind"],
        "calendar": ["hour_sin"], "loss": "mixture",
    },
    "a net": {"model": TCN(1, [3, 3], 3)},
    "counts": {"loss": "poisson"},
    "several targets": {"target_col": ["y", "price"]},
}  # fmt: skip


def frame(kind: str = "tcn", *, timezone: str | None = "Europe/Paris") -> pd.DataFrame:
    generator = np.random.default_rng(0)
    times = pd.date_range("2024-03-20", periods=60, freq="h", tz=timezone)
    return pd.DataFrame({
        "unique_id": np.repeat(["a", "b"], 60),
        "ds": times.append(times),
        "y": generator.poisson(5.0, 120) if kind == "counts" else generator.normal(size=120),
        "price": generator.normal(size=120),
    })  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forecaster that was saved; copy it before changing anything."""
    forecaster = Forecaster(**SMALL, intervals="conformal").fit(frame(), val_size=20)
    return forecaster.save(tmp_path_factory.mktemp("saved") / "forecaster")


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "changed"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_forecasts_the_same(kind: str, tmp_path: Path) -> None:
    df = frame(kind)
    static = STATIC if kind == "covariates" else None
    forecaster = Forecaster(**SMALL | KINDS[kind])
    forecaster.fit(df, static, 20 if "intervals" in KINDS[kind] else 0)
    later = df.assign(ds=df["ds"] + pd.Timedelta(60, unit="h"))
    before = torch.get_rng_state()
    loaded = Forecaster.load(forecaster.save(tmp_path / "saved"))
    assert torch.equal(torch.get_rng_state(), before)
    for arguments in ({}, {"h": 5}, {"df": df[df["unique_id"] == "b"]}):
        expected = forecaster.predict(futr_df=later, **arguments)
        pd.testing.assert_frame_equal(loaded.predict(futr_df=later, **arguments), expected)
    row = later.groupby("unique_id").head(1)
    pd.testing.assert_frame_equal(loaded.update(row, later), forecaster.update(row, later))


def test_settings_come_back_and_can_be_fitted_again(tmp_path: Path) -> None:
    forecaster = Forecaster(**SMALL, loss=Quantiles((0.2, 0.5, 0.8)), alias="net").fit(frame())
    loaded = Forecaster.load(forecaster.save(tmp_path))
    as_lists = {k: list(v) if v == () else v for k, v in forecaster.get_params().items()}
    assert loaded.get_params() == as_lists
    pd.testing.assert_frame_equal(loaded.fit(frame()).predict(), forecaster.predict())


def test_a_net_saved_before_its_code_was_bounded_has_no_bound(tmp_path: Path) -> None:
    forecaster = Forecaster(**SMALL, futr_exog_list=["price"]).fit(frame())
    folder = forecaster.save(tmp_path / "saved")
    assert forecaster.trained_.net.code_bound == 2
    assert Forecaster.load(folder).trained_.net.code_bound == 2
    rewritten(folder, lambda content: content.pop("code_bound"))
    assert Forecaster.load(folder).trained_.net.code_bound is None


def test_integer_times_and_ids_come_back(tmp_path: Path) -> None:
    df = frame().assign(unique_id=np.repeat([7, 9], 60), ds=np.tile(np.arange(60), 2))
    forecaster = Forecaster(**SMALL).fit(df)
    loaded = Forecaster.load(forecaster.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.predict(), forecaster.predict())


def test_the_settings_are_plain_json_that_fits_the_schema(folder: Path) -> None:
    # Another implementation of JSON schema agrees with ours.
    content = json.loads((folder / SETTINGS).read_text())
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(content)
    assert sorted(path.name for path in folder.iterdir()) == [SETTINGS, ARRAYS]


def test_nothing_is_written_by_halves(changed: Path) -> None:
    before = {path.name: path.read_bytes() for path in changed.iterdir()}
    dates = np.repeat(pd.to_datetime(["2024-01-01", "2024-01-02"]).date, 60)
    forecaster = Forecaster(**SMALL).fit(frame().assign(unique_id=dates))
    with pytest.raises(ValueError, match=r"ids: .* is neither text nor an integer"):
        forecaster.save(changed)
    assert {path.name: path.read_bytes() for path in changed.iterdir()} == before


def rewritten(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / SETTINGS).read_text())
    change(content)
    (folder / SETTINGS).write_text(seal(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), "format: 'other' is not 'tcn forecaster'"),
        (lambda c: c.update(format_version=3), "format_version: 3 is not one of 1, 2; "),
        (lambda c: c.pop("sizes"), "sizes is missing"),
        (lambda c: c.update(command="rm"), "command is not known"),
        (lambda c: c["sizes"].update(h=-1), "sizes.h: -1 is below 0"),
        (lambda c: c["sizes"].update(h=4), "its files do not fit each other: Error"),
        (lambda c: c["backbone"].update({"class": "os.system"}), "not a class of this version"),
        (lambda c: c["output"].update(name="eval"), "no output is named 'eval'"),
        (lambda c: c["history_ids"].pop(), "history.offsets has 3 entries, expected 2"),
        (lambda c: c["parameters"].update(wrong=1), r"\['wrong'\] are not settings"),
        (lambda c: c.update(frequency="no"), "freq: 'no' is not usable"),
        (lambda c: c.update(timezone="x"), "timezone: 'x' is not a time zone"),
        (lambda c: c.update(frequency=1), "timezone: 'Europe/Paris' of times that are integers"),
    ],
)
def test_settings_that_were_changed_are_refused(
    changed: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    rewritten(changed, change)
    with pytest.raises(ValueError, match=message):
        Forecaster.load(changed)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_bit_is_found(changed: Path, place: int) -> None:
    data = bytearray((changed / ARRAYS).read_bytes())
    data[place] ^= 1
    (changed / ARRAYS).write_bytes(data)
    with pytest.raises(ValueError, match=f"{ARRAYS}: .* truncated, changed or of another"):
        Forecaster.load(changed)


@pytest.mark.parametrize("name", [SETTINGS, ARRAYS])
def test_files_that_are_missing_or_cut_off_are_named(changed: Path, name: str) -> None:
    data = (changed / name).read_bytes()
    (changed / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=f"{name}: "):
        Forecaster.load(changed)
    (changed / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: there is no such file"):
        Forecaster.load(changed)


def test_a_net_that_cannot_be_built_again_is_refused(tmp_path: Path) -> None:
    class Own(SequenceModule):
        in_channels = 1
        out_channels = 1

        def advance(self, x, state, context):
            return x, ()

    forecaster = Forecaster(**SMALL | {"model": Own()}).fit(frame())
    with pytest.raises(ValueError, match=r"model: .*Own.* cannot be written to a file"):
        forecaster.save(tmp_path / "own")
    assert not (tmp_path / "own").exists()
    shown = TCN(1, [3], 2, modulation=partial(FiLM, condition_channels=2))
    assert shown.construction["arguments"]["modulation"]["class"] == "FiLM"
