"""A report: ``report.md`` and one self-contained ``report.html``, in one style for all studies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.grid.files import write_atomically
from benchmarks.report.tables import Table


def write_pages(
    package: str,
    content: Mapping[str, Any],
    folder: Path,
    *,
    figures: Mapping[str, str] | None = None,
) -> tuple[Path, Path]:
    """Writes both into ``folder``, or leaves what was there before; returns their paths.

    Args:
        package: whose ``templates`` extend ``base.html.j2`` and ``base.md.j2``.
        content: the values that fill the templates, including ``provenance``.
        folder: where to write.
        figures: SVG text by file name, written next to them.

    Raises:
        ValueError: it is not possible to write there.
    """
    environment = _environment(package, "benchmarks.report")
    pages = folder / "report.md", folder / "report.html"
    written = {
        page: environment.get_template(f"{page.name}.j2").render(content).rstrip() + "\n"
        for page in pages
    }
    written |= {folder / name: text for name, text in (figures or {}).items()}
    try:
        for path, text in written.items():
            write_atomically(path, text.encode())
    except OSError as error:
        raise ValueError(
            f"the report cannot be written into {folder} ({error.strerror}): make room, or give "
            "another folder"
        ) from error
    return pages


def markdown(table: Table) -> str:
    """The table as it stands in a ``report.md``."""
    macro = '{% from "tables.md.j2" import tabulate %}{{ tabulate(table) }}'
    written = _environment("benchmarks.report").from_string(macro).render(table=table)
    return written.strip() + "\n"


def _environment(*packages: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def commit_name(found: Mapping[str, Any] | None) -> str:
    """The first digits of a result's commit, and whether the code was changed after it."""
    if found is None:
        return "unknown (no git)"
    return str(found["hash"][:10]) + (" with uncommitted changes" if found["dirty"] else "")
