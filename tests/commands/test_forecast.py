"""`tcn forecast`: from a file to a file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.commands.forecast import parser, run
from tcn.forecasting import Forecaster
from tcn.forecasting.frames.files import read_table

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "forecasting").glob("*.yaml"))
QUICK = ["--forecaster.h=3", "--forecaster.input_size=6", "--forecaster.max_steps=3"]
QUICK += ["--forecaster.accelerator=cpu"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    times = pd.date_range("2024-01-01", periods=40, freq="MS").strftime("%Y-%m")
    step = np.arange(40.0)
    df = pd.DataFrame({"month": times, "sold": step**1.5 % 12, "price": step % 5})
    df.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


@pytest.fixture
def names() -> list[str]:
    return ["--forecaster.time_col=month", "--forecaster.target_col=sold"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_builds(config: Path) -> None:
    made = parser()
    given = made.instantiate(made.parse_args(["--config", str(config)]))
    assert isinstance(given.forecaster, Forecaster)


def test_one_series_from_a_csv_file_to_another(data: Path, names: list[str]) -> None:
    output, folder = data.with_name("out.csv"), data.with_name("saved")
    plot = data.with_name("plot.svg")
    run("forecast", [
        "--data", str(data), "--output", str(output), "--save", str(folder), "--plot", str(plot),
        "--level=[80]", "--forecaster.loss=normal", *QUICK, *names,
    ])  # fmt: skip
    result = pd.read_csv(output)
    assert list(result.columns) == ["unique_id", "month", "TCN", "TCN-lo-80", "TCN-hi-80"]
    assert result["month"].tolist() == ["2027-05-01", "2027-06-01", "2027-07-01"]
    loaded = Forecaster.load(folder).predict(level=[80])
    np.testing.assert_allclose(loaded["TCN"], result["TCN"])
    assert plot.read_text().startswith("<?xml")


def test_windows_are_reported_beside_the_naive_forecast(
    data: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = data.with_name("windows.csv")
    run("forecast", ["--data", str(data), "--n_windows=2", "--output", str(output),
                      *QUICK, *names])  # fmt: skip
    assert len(pd.read_csv(output)) == 6
    said = capsys.readouterr().out
    assert "mase" in said
    assert "SeasonalNaive" in said


def test_covariates_of_the_future_come_from_a_file(
    data: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    later = pd.DataFrame({"month": ["2027-05", "2027-06", "2027-07"], "price": [1, 2, 3]})
    later.to_csv(data.with_name("later.csv"), index=False)
    run("forecast", ["--data", str(data), "--future", str(data.with_name("later.csv")),
                      "--forecaster.futr_exog_list=[price]", *QUICK, *names])  # fmt: skip
    assert "2027-07-01" in capsys.readouterr().out


@pytest.mark.parametrize(("apart", "decimal"), [(";", ","), (";", "."), ("\t", ".")])
def test_a_table_that_is_not_apart_by_commas(
    data: Path, names: list[str], apart: str, decimal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As spreadsheets write it where a comma stands in numbers: the same forecast."""
    run("forecast", ["--data", str(data), *QUICK, *names])
    expected = capsys.readouterr().out
    df = pd.read_csv(data)
    df.to_csv(data, index=False, sep=apart, decimal=decimal, encoding="utf-8-sig")
    run("forecast", ["--data", str(data), *QUICK, *names])
    assert capsys.readouterr().out == expected


def test_a_column_of_ids_that_is_not_there_is_not_invented(
    data: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("forecast", ["--data", str(data), "--forecaster.id_col=shop", *QUICK, *names])
    said = capsys.readouterr().err
    assert "id_col: 'shop' is not a column of" in said
    assert "which has month, sold, price; of one series leave id_col out" in said
    assert len(said.splitlines()) < 5  # no page of usage


def several(ids: list[str], times: pd.DatetimeIndex, written: str) -> pd.DataFrame:
    count = len(times)
    return pd.DataFrame({
        "unique_id": np.repeat(ids, count), "ds": np.tile(times.strftime(written), len(ids)),
        "y": np.arange(count * len(ids)) % 7.0,
    })  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize("ids", [["007", "010"], ["NA", "null"], ["7", "10"]])
def test_ids_are_written_as_they_were_read(tmp_path: Path, ids: list[str], suffix: str) -> None:
    df = several(ids, pd.date_range("2024-01-01", periods=20), "%Y-%m-%d")
    path, output = tmp_path / f"data.{suffix}", tmp_path / "out.csv"
    df.to_csv(path, index=False) if suffix == "csv" else df.to_json(path, orient="records")
    run("forecast", ["--data", str(path), "--output", str(output), *QUICK])
    found = pd.read_csv(output, dtype="str", keep_default_na=False)["unique_id"]
    assert found.unique().tolist() == ids


@pytest.mark.parametrize("written", ["%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d"])
def test_dates_of_any_country_are_read_where_they_can_be_one_alone(
    tmp_path: Path, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    df = several(["a"], pd.date_range("2024-01-01", periods=20), written)
    df.to_csv(tmp_path / "data.csv", index=False)
    run("forecast", ["--data", str(tmp_path / "data.csv"), *QUICK])
    said = capsys.readouterr().out
    assert all(f"2024-01-{day}" in said for day in (21, 22, 23))


def test_months_that_could_be_days_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """01.01.2024 to 01.12.2024 were the first twelve days of January."""
    df = several(["a"], pd.date_range("2024-01-01", periods=12, freq="MS"), "%d.%m.%Y")
    df.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(SystemExit):
        run("forecast", ["--data", str(tmp_path / "data.csv"), *QUICK])
    assert "'01.02.2024' may be January 2 or February 1" in capsys.readouterr().err


def test_hours_of_both_offsets_of_a_zone_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = pd.date_range("2024-03-30 12:00", periods=20, freq="h", tz="Europe/Paris")
    several(["a"], times, "%Y-%m-%dT%H:%M%z").to_csv(tmp_path / "data.csv", index=False)
    run("forecast", ["--data", str(tmp_path / "data.csv"), *QUICK])
    assert "2024-03-31 07:00:00+00:00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ds;y\n2024-01-01;20\n2024-01-02;19,8\n", [20, 19.8]),  # no comma in the first row
        ("ds\ty\n2024-01-01\t20,5\n2024-01-02\t19,8\n", [20.5, 19.8]),
        ("ds\ty\n2024-01-01\t1,234\n2024-01-02\t1,235\n", ["1,234", "1,235"]),  # thousands?
        ("ds,y\n2024-01-01,20.5\n2024-01-02,19.8\n", [20.5, 19.8]),
    ],
)
def test_commas_in_numbers(tmp_path: Path, text: str, expected: list[Any]) -> None:
    (tmp_path / "data.CSV").write_text(text)
    assert read_table(str(tmp_path / "data.CSV"), "unique_id")["y"].tolist() == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("latin.csv", "unique_id,ds,y\nCafé,2024-01-01,1\n".encode("latin-1")),
        ("ragged.csv", b"unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,1,2,3\n"),
        ("broken.json", b"{"),
        ("broken.parquet", b"not"),
        ("dates.csv", b"unique_id,ds,y\na,2024-01-01,1\na,tomorrow,1\n"),
        ("no_ids.csv", b"shop,ds,y\na,2024-01-01,1\nb,2024-01-01,1\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_a_line(
    tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit):
        run("forecast", ["--data", str(tmp_path / name), *QUICK])
    said = capsys.readouterr().err.splitlines()
    assert name in said[0]
    assert len(said) == 2  # and where help is


def test_what_was_trained_is_kept_whatever_is_wrong_with_the_future(
    data: Path, names: list[str]
) -> None:
    folder = data.with_name("saved")
    with pytest.raises(SystemExit):
        run("forecast", ["--data", str(data), "--save", str(folder),
                          "--forecaster.futr_exog_list=[price]", *QUICK, *names])  # fmt: skip
    assert Forecaster.load(folder).futr_exog_list == ["price"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--level=[80]", "gives points alone"),
        ("--horizon=0", "horizon: 0"),
        ("--output={folder}/a.csv", "is a folder; give the name of a file"),
        ("--output={data}/out.csv", "is a file; give another folder"),
        ("--save={data}", "is a file; give another folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_training(
    data: Path, names: list[str], argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data.with_name("a.csv").mkdir()
    data.with_name("empty.csv").touch()  # is not even read
    argument = argument.format(folder=data.parent, data=data)
    with pytest.raises(SystemExit):
        run("forecast", ["--data", str(data.with_name("empty.csv")), argument, *QUICK, *names])
    assert message in capsys.readouterr().err


def test_one_level_needs_no_brackets(
    data: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("forecast", ["--data", str(data), "--level=80", "--forecaster.loss=normal",
                      *QUICK, *names])  # fmt: skip
    assert "TCN-lo-80" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data: no file is named"),
        (["--data=absent.csv"], "absent.csv"),
        (["--data=data.xls"], "data.xls: not one of .csv, .parquet"),
        (["--forecaster.dropout=2"], "dropout: 2"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("forecast", [*QUICK, *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_console_script_knows_the_command() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tcn", "forecast", "--help"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "--forecaster.input_size" in answer.stdout


def test_a_saved_forecaster_forecasts_without_training(
    data: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = data.with_name("saved"), data.with_name("out.csv")
    run("forecast", ["--data", str(data), "--save", str(folder), "--output", str(output),
                     "--forecaster.loss=normal", *QUICK, *names])  # fmt: skip
    trained = pd.read_csv(output)
    run("forecast", ["--load", str(folder), "--output", str(output)])
    pd.testing.assert_frame_equal(pd.read_csv(output), trained)
    longer = pd.read_csv(data)
    longer.loc[40] = ["2027-05", 5.0, 0.0]
    longer.to_csv(data, index=False)
    plot = data.with_name("plot.svg")
    run("forecast", [f"--load={folder}", "--data", str(data), "--horizon=2", "--level=80",
                     "--output", str(output), "--plot", str(plot)])  # fmt: skip
    found = pd.read_csv(output)
    assert found["month"].tolist() == ["2027-06-01", "2027-07-01"]
    expected = Forecaster.load(folder).predict(read_table(data, None).assign(unique_id="series"),
                                               h=2, level=[80])  # fmt: skip
    np.testing.assert_allclose(found["TCN-lo-80"], expected["TCN-lo-80"])
    assert plot.stat().st_size > 10_000
    for arguments, message in (
        (["--load", str(data.parent / "absent")], "absent"),
        (["--load", str(folder), "--forecaster.h=3"], "forecaster.h"),
        (["--load", str(folder), "--val_size=3"], "val_size"),
        (["--load", str(folder), "--plot", str(plot)], "plot: a past is drawn, too"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run("forecast", arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
