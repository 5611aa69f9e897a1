import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store
from benchmarks.report.summary import summarize
from benchmarks.studies.quick import print_summary, quick_runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--tasks", "jbs"], "unknown task 'jbs'; known tasks: adding_200, adding_400"),
        (["run", "--tasks", "jsb", "--models", "tnc"], "unknown model 'tnc' for jsb; known: ["),
        (["run", "--tasks", "jsb", "--override", "x"], "override 'x' is not key=value"),
        (["run", "--tasks", "jsb", "--workers", "0"], "--workers is 0: give 1 or more"),
        (["run", "--tasks", "jsb", "--threads", "0"], "--threads is 0: give 1 or more"),
        (["report", "--results", "nowhere"], "no results in nowhere; make some with"),
        (["run"], "the following arguments are required: --tasks"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_wrong_arguments_are_explained(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_report_from_the_command_line(tmp_path, capsys, make_result):
    Store(tmp_path).write(make_result())
    assert main(["report", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "report.md"),
        str(tmp_path / "report.html"),
    ]


def test_quick_is_three_tasks_four_models_two_seeds():
    assert len(quick_runs()) == 3 * 4 * 2


def test_help_and_errors_do_not_wait_for_torch():
    program = "import sys, benchmarks.__main__; print('torch' in sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert finished.stdout == "False\n"


def test_summary_on_the_terminal_fits_80_columns(capsys, monkeypatch, make_result):
    monkeypatch.setenv("COLUMNS", "80")
    results = [make_result(seed=s, test=v) for s, v in enumerate((2e-5, 3e-5, 4e-5))]
    results += [make_result(model="lstm", test=0.25), make_result(model="lstm", status="failed")]
    print_summary(summarize(results), [Path("report.md")])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("TCN" in line and "(3.00 ± 1.00)e-5" in line and "70,369" in line for line in lines)
    assert any("LSTM" in line and "0.250" in line and "1 + 1 failed" in line for line in lines)
    assert any("chance: 0.167" in line for line in lines)
    assert lines[-1] == "report: report.md"
