"""Packages that may be missing, or in the way: the one place that says which, and what to do."""

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

_CURE = (
    "keras-tcn installs an import package tcn, too, into the same folder; keep the two in separate "
    "environments, here: pip uninstall keras-tcn, then pip install --force-reinstall --no-deps tcn"
)


def warn_of_keras_tcn(folder: Path) -> None:
    """Warns if keras-tcn was installed here before: its files lie beside ours, and do not work.

    Args:
        folder: of the import package ``tcn``.
    """
    if (folder / "tcn.py").is_file():
        warnings.warn(f"import tcn: {_CURE}", UserWarning, stacklevel=3)


def refuse_keras_tcn() -> None:
    """Says so if keras-tcn was installed here after us: ``tcn/__init__.py`` is its own.

    Raises:
        ImportError: what to do about it.
    """
    ours = sys.modules.get("tcn")
    if ours is not None and not hasattr(ours, "__getattr__"):
        raise ImportError(f"import tcn: {_CURE}", name="tcn")


def need(who: str, extra: str | None, *packages: str) -> None:
    """Refuses to go on without packages that ``pip install "tcn[extra]"`` brings.

    To be called before they are imported, at the top of a package or in the function that needs
    them; nothing is loaded by it.

    Args:
        who: what needs them, such as ``"tcn.training"``.
        extra: its name in ``pyproject.toml``; None if no extra brings them.
        packages: by the names under which they are imported.

    Raises:
        ModuleNotFoundError: naming the extra and the packages, and how to install them.
    """
    missing = [package for package in packages if not _is_there(package)]
    if not missing:
        return
    if extra is None:
        message = f"{who} needs {', '.join(missing)}: pip install {' '.join(missing)}"
    else:
        message = (
            f'{who} needs the extra {extra!r}: pip install "tcn[{extra}]" '
            f"(missing: {', '.join(missing)})"
        )
    raise ModuleNotFoundError(message, name=missing[0])


def _is_there(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None
