"""Wrong names on the command line: found before anything is loaded, answered with the nearest."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from tcn.extras import need

FILES = (".yaml", ".yml", ".json")


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` with the nearest of ``known``, or nothing if none is near."""
    # Of a dotted name the last part is compared, or all that has the same beginning looks near.
    names = list(dict.fromkeys(known))
    parent, _, last = wrong.rpartition(".")
    within = {name.rpartition(".")[2]: name for name in names if parent == name.rpartition(".")[0]}
    near = [within[name] for name in difflib.get_close_matches(last, within, n=2)]
    near = near or difflib.get_close_matches(wrong, names, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def refuse(program: str, message: str) -> NoReturn:
    """Ends the process as argparse does, without the usage, which is pages long."""
    sys.stderr.write(f"{program}: error: {message}\nSee `{program} --help`.\n")
    raise SystemExit(2)


def check_options(program: str, arguments: Sequence[str], known: Sequence[str]) -> None:
    """Refuses an option whose first part is not among ``known``, and a config that is not there.

    ``--trainer.max_epochs=3`` has the first part ``trainer``. The parser, which takes seconds to
    build, checks the rest.
    """
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if argument == "--":
            return
        if name in ("--config", "-c"):
            following = "".join(arguments[index + 1 : index + 2])
            _check_file(program, name, value if equals else following)
        if not name.startswith("--"):
            continue
        first, dot, rest = name[2:].partition(".")
        if first.removesuffix("+") not in known:
            near = suggestion(f"--{first}", [f"--{each}" for each in known])
            refuse(program, f"{first}{dot}{rest}: there is no option {name}{near}")


def _check_file(program: str, name: str, value: str) -> None:
    if value.endswith(FILES) and "\n" not in value and not Path(value).is_file():
        refuse(program, f"{name.strip('-')}: {value!r} is not a file; give the path of a YAML file")


def check_extra(program: str, extra: str, *packages: str) -> None:
    """Refuses a command whose extra is not installed, and says which one it is."""
    try:
        need(program, extra, *packages)
    except ImportError as error:
        refuse(program, str(error))


class Parser(argparse.ArgumentParser):
    """argparse, with the nearest option in the answer to a wrong one."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with the message and the nearest option."""
        wrong = message.removeprefix("unrecognized arguments: ").split("=")[0].split()[0]
        known = self._option_string_actions
        refuse(self.prog, message + (suggestion(wrong, known) if wrong.startswith("-") else ""))


def split_override(item: str) -> tuple[str, str]:
    """``"--trainer.max_epochs=3"`` or ``"trainer.max_epochs=3"`` -> its key and value.

    Raises:
        ValueError: there is no ``=``, or nothing before it.
    """
    key, equals, value = item.lstrip("-").partition("=")
    if not equals or not key:
        raise ValueError(
            f"override {item!r} is not key=value; write for example trainer.max_epochs=3"
        )
    return key, value
