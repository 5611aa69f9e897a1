"""Errors of the parser of YAML files and flags, with the nearest valid names."""

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser
from pytorch_lightning.cli import LightningArgumentParser
from typing_extensions import override

from tcn.commands.names import refuse, suggestion

__all__ = ["ActionConfigFile", "Parser", "TrainingParser"]

SHORT = ("tcn.training", "tcn.data", "tcn.models")
"""Modules whose classes need no path in a YAML file."""


def explained(parser: ArgumentParser, message: str) -> str:
    """The message of jsonargparse, followed by what was probably meant."""
    hints = dict.fromkeys(_hints(parser, message))
    # An error within an error comes by more than once.
    return message + "".join(hint for hint in hints if hint not in message)


class Parser(ArgumentParser):
    """jsonargparse, whose answer to a wrong call is one message rather than pages of usage."""

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            raise ArgumentError(None, explained(self, message)) from ex
        parser = getattr(ex, "subcommand_parser", None) or self
        refuse(parser.prog.replace(" [options]", ""), explained(parser, message))


class TrainingParser(Parser, LightningArgumentParser):
    """The same for LightningCLI."""


def _hints(parser: ArgumentParser, message: str) -> Iterator[str]:
    for option in re.findall(r"unrecognized arguments: (--[\w.]+)", message):
        yield suggestion(option, _options(parser))
    for option in re.findall(
        r"^(?:Option|Subcommand '\w+' does not accept option) '([\w.]+)'", message
    ):
        yield suggestion(option, _names(parser))
    for group, option in re.findall(r"Group '(\w+)' does not accept option '([\w.]+)'", message):
        yield suggestion(f"{group}.{option}", _names(parser))
    for path, option in re.findall(
        r"class_path '([\w.]+)': Option '([\w.]+)' is not accepted", message
    ):
        yield suggestion(option, _parameters(path))
    for path, name in re.findall(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        yield suggestion(name, _public(path))
    for name in re.findall(r"Expected a dot import path string: (\w+)", message):
        yield suggestion(name, [each for module in SHORT for each in _public(module)])
    for module in re.findall(r"No module named '([\w.]+)'", message):
        yield f"; put {module}.py into the working directory of tcn, or its folder onto PYTHONPATH"


def _options(parser: ArgumentParser) -> list[str]:
    """Every flag of the parser and of its commands."""
    parsers = [parser, *getattr(parser._subcommands_action, "_name_parser_map", {}).values()]
    return [flag for each in parsers for flag in each._option_string_actions]


def _names(parser: ArgumentParser) -> list[str]:
    return [flag.removeprefix("--") for flag in _options(parser)]


def _parameters(path: str) -> Iterable[str]:
    found: Any = _found(path)
    return inspect.signature(found).parameters if callable(found) else []


def _public(path: str) -> Iterable[str]:
    module = _found(path)
    return getattr(module, "__all__", None) or dir(module)


def _found(path: str) -> object:
    """What has this dotted path: a module, or an attribute of one."""
    parent, _, name = path.rpartition(".")
    try:
        return import_module(path)
    except ImportError:
        return getattr(import_module(parent), name, None) if parent else None
