"""`tcn` itself: its help, what it answers before anything is loaded, classes of one's own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tcn.commands import COMMANDS, main
from tcn.commands.fit import OPTIONS
from tcn.commands.names import suggestion
from tcn.commands.training import TCNCLI, build

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# What must not be loaded for a help or a wrong option.
HEAVY = "print([name for name in ('torch', 'pandas', 'jsonargparse') if name in sys.modules])"


def cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=ENVIRONMENT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"]])
def test_help_costs_little_more_than_python(arguments: list[str]) -> None:
    assert cpu_seconds("-m", "tcn", *arguments) - cpu_seconds("-c", "pass") < 0.5


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    assert {"fit", "validate", "test", "predict", "export", "forecast"} <= set(COMMANDS)
    for name, command in COMMANDS.items():
        assert f"  {name} " in said
        assert command.summary in said
        assert (ROOT / "tcn" / "commands" / f"{command.module}.py").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ftt"], "tcn: error: ftt is not a command; did you mean fit?"),
        ([], "tcn: error: no command given; the commands are fit, validate"),
        (["--hlep"], "--hlep is not a command; did you mean --help?"),
        (
            ["fit", "--trainr.max_epochs=3"],
            "--trainr.max_epochs; did you mean --trainer?",
        ),
        (["fit", "--verbose=true"], "verbose: there is no option --verbose"),
        (["test", "--config", "absent.yaml"], "config: 'absent.yaml' is not a file; give the path"),
        (["predict", "-c=absent.yaml"], "c: 'absent.yaml' is not a file; give the path"),
        (["forecast", "--dtaa", "x.csv"], "there is no option --dtaa; did you mean --data?"),
        (["export", "--steaming"], "unrecognized arguments: --steaming; did you mean --streaming?"),
        (["export", "--stream", "a", "b"], "unrecognized arguments: --stream; did you mean"),
        (["export", "absent", "net.onnx"], "FOLDER: 'absent' is not a folder; save_pretrained"),
        (["export", ".", "net.tflite"], "suffix of 'net.tflite' is not one of 'onnx', 'pt2'"),
        (
            ["generate", "a.wav", "--checkpoint=.", "--seconds=1", "--cuont=2"],
            "--cuont=2; did you mean --count",
        ),
        (["generate", "a.wav"], "the following arguments are required: --checkpoint, --seconds"),
        (["generate", "a.mid", "--checkpoint=.", "--seconds=1"], "suffix of 'a.mid' is not one"),
        (["generate", "a.wav", "--checkpoint=x", "--seconds=1"], "'x' is not there; give the"),
        (
            ["export", "--config=absent.yaml", "--ckpt_path=a.ckpt", "net.onnx"],
            "config: 'absent.yaml' is not a file; give the path of one",
        ),
    ],
)
def test_a_wrong_call_is_answered_before_anything_is_loaded(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    code = f"import sys; from tcn.commands import main\ntry: main({arguments!r})\nfinally: {HEAVY}"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True
    )
    assert message in answer.stderr
    assert answer.returncode in (1, 2)
    assert answer.stdout.split() == ["[]"]


def test_suggestions_compare_the_last_part_of_a_dotted_name() -> None:
    known = ["trainer.max_epochs", "trainer.logger", "max_epochs", "data"]
    assert suggestion("trainer.max_epoch", known) == "; did you mean trainer.max_epochs?"
    assert suggestion("trainer.xyzzy", known) == ""


def test_the_options_looked_at_first_are_those_of_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TCNCLI, "parse_arguments", lambda self, parser, args: 1 / 0)
    parsers = []
    prepare = TCNCLI._prepare_subcommand_parser

    def kept(self, *arguments, **settings):
        parsers.append(prepare(self, *arguments, **settings))
        return parsers[-1]

    monkeypatch.setattr(TCNCLI, "_prepare_subcommand_parser", kept)
    with pytest.raises(ZeroDivisionError):
        TCNCLI(["fit"])
    for (name, options), parser in zip(OPTIONS.items(), parsers, strict=True):
        shown = {
            flag[2:].partition(".")[0].removesuffix("+")
            for flag, action in parser._option_string_actions.items()
            if flag.startswith("--") and (action.help != "==SUPPRESS==" or flag == "--print_config")
        }
        assert shown == set(options), name


NET = """
import torch
from tcn.models import TCN

class MyNet(TCN):
    def __init__(self, width: int = 3):
        super().__init__(2, [width], 2)
"""
CONFIG = {
    "model": {
        "class_path": "tcn.training.Regression",
        "init_args": {"net": {"class_path": "mynet.MyNet", "init_args": {"width": 4}}},
    },
    "data": {"class_path": "tcn.data.AddingProblem", "init_args": {"length": 10}},
}


def console_script(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """As a console script runs: Python itself does not look into the working directory."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    code = "from tcn.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, "fit", "--print_config", "--config=config.yaml"],
        env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip


def test_a_class_in_the_working_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(NET)
    answer = console_script(tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "args parameter" not in answer.stderr  # what Lightning says to programs
    net = yaml.safe_load(answer.stdout)["model"]["init_args"]["net"]
    assert net == {"class_path": "mynet.MyNet", "init_args": {"width": 4}}


def test_a_class_that_is_nowhere_is_answered_with_where_to_put_it(tmp_path: Path) -> None:
    answer = console_script(tmp_path)
    assert answer.returncode == 2
    assert "put mynet.py into the working directory of tcn" in answer.stderr


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainer", {"max_epoch": 3}, "did you mean trainer.max_epochs"),
        ("checkpoint", {"moniter": "val_loss"}, r"did you mean checkpoint\.monitor\?"),
        ("modle", 1, r"did you mean model\?"),
        ("data", {"class_path": "AddingProblen"}, r"did you mean AddingProblem\?"),
        ("data", {"class_path": "tcn.data.Adding"}, r"has no attribute 'Adding'"),
        (
            "data",
            {"class_path": "tcn.data.AddingProblem", "init_args": {"lenght": 3}},
            r"Option 'lenght' is not accepted; did you mean length\?",
        ),
    ],
)
def test_a_wrong_key_of_a_file_is_answered_with_the_nearest(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    net = {"class_path": "tcn.models.TCN"}
    net["init_args"] = {"in_channels": 2, "channels": [4], "kernel_size": 2}
    model = {"class_path": "tcn.training.Regression", "init_args": {"net": net}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "model": model, key: value}))
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "config.yaml")
