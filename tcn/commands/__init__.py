"""The command line: ``tcn COMMAND ...``, or ``python -m tcn COMMAND ...``.

tcn fit|validate|test|predict --config configs/<task>/<model>.yaml
tcn export [FOLDER] FILE [--config CONFIG --ckpt_path CHECKPOINT]
tcn generate --checkpoint RUN_OR_FOLDER --seconds S FILE
tcn play --model amp.nam --in guitar.wav --out amp.wav
tcn forecast --config configs/forecasting/<name>.yaml --data FILE
tcn explain PAGE.html --checkpoint RUN

A command is loaded when it is called, and what it needs besides torch after its options have been
checked: help and a wrong option cost no more than Python itself. Programs use
:func:`tcn.commands.training.build`.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import tcn
from tcn.commands.names import refuse, suggestion


class Command(NamedTuple):
    """What ``tcn --help`` says of a command, and the module with its ``run(name, arguments)``."""

    summary: str
    module: str


COMMANDS = {
    "fit": Command("train a net on data, as a YAML file says", "fit"),
    "validate": Command("measure a net on the validation data", "fit"),
    "test": Command("measure a net on the test data", "fit"),
    "predict": Command("write what a net predicts on the test data", "fit"),
    "export": Command("write a trained net to an ONNX or torch.export file", "export"),
    "generate": Command("make sound with a trained net, sample by sample", "generate"),
    "play": Command("play a sound file through a captured amplifier", "play"),
    "forecast": Command("forecast a table, from a file to a file", "forecast"),
    "explain": Command("show in pictures what a net has learned", "explain"),
}
"""By name, in the order of the help; a new one is one line here and one module next to this."""

BEFORE_A_COMMAND = ("--config", "-c", "--print_config")
"""What fit, validate, test and predict also take in front of their name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command, that of ``sys.argv`` unless arguments are given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = given[0] if given else ""
    if first in ("-h", "--help"):
        print(_help())
    elif first == "--version":
        print(tcn.__version__)
    elif first.split("=")[0] in BEFORE_A_COMMAND:
        _run("fit", "", given)
    elif first in COMMANDS:
        _run(COMMANDS[first].module, first, given[1:])
    else:
        known = [*COMMANDS, *BEFORE_A_COMMAND, "--help", "--version"]
        what = f"{first} is not a command" if first else "no command given"
        refuse("tcn", f"{what}{suggestion(first, known)}; the commands are {', '.join(COMMANDS)}")


def _run(module: str, name: str, arguments: list[str]) -> None:
    # A console script does not look into the working directory, where your own classes are.
    # At the end: a file there must not take the place of a library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    import_module(f"tcn.commands.{module}").run(name, arguments)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([
        "usage: tcn COMMAND ...",
        "",
        "Convolutional nets for sequences, from files to files.",
        "",
        "commands:",
        *lines,
        "",
        "`tcn COMMAND --help` lists the options of a command; `tcn --version` prints the version.",
        "Classes of your own in a YAML file (class_path: mynet.MyNet) are found in the working",
        "directory.",
    ])  # fmt: skip
