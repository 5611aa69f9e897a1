import subprocess
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.quick import quick_runs
from benchmarks.runs import ROOT, Store


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
