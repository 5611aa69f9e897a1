"""`tcn forecast`: from a file to a file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcn.commands.forecast import parser, run
from tcn.forecasting import Forecaster

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
