"""A page of pictures in one file, which a browser shows without anything else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tcn.extras import need
from tcn.saving.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --soft: #6b7785; --pale: #e4e8ec; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.25rem; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .35rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 0;
  padding: 1rem 0; border: solid var(--pale); border-width: 1px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
p { margin: 0 0 .9rem; max-width: 46rem; }
figure { margin: 0 0 1.5rem; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .35rem; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
"""


class Page:
    """A page that is built section by section and written at the end, whole or not at all.

    ::

        page = Page("LeNet-5", {"net": "LeNet5, 61,706 parameters", "data": "MNIST, test"})
        page.section("Strongest patches", "What each map answers to.")
        page.picture(figure, "C3, units 0 to 7")
        page.write("lenet.html")
    """

    def __init__(self, title: str, facts: Mapping[str, str]) -> None:
        """Begins a page.

        Args:
            title: its heading.
            facts: what stands below, by name: net, data, command.
        """
        self.title = title
        self._parts: list[str] = []
        rows = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items()
        )
        self._facts = f"<dl>{rows}</dl>"

    def section(self, title: str, text: str = "") -> None:
        """Begins a section."""
        said = f"<p>{html.escape(text)}</p>" if text else ""
        self._parts.append(f"<h2>{html.escape(title)}</h2>{said}")

    def picture(self, figure: Figure, caption: str) -> None:
        """Adds a picture: what is seen in it, and net, layer, unit and data, is its caption."""
        need("tcn.explain.Page", "explain", "matplotlib")
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=130)
        source = base64.b64encode(written.getvalue()).decode("ascii")
        said = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{said}" src="data:image/png;base64,{source}">'
            f"<figcaption>{said}</figcaption></figure>"
        )

    def __str__(self) -> str:
        """The page as text."""
        title = html.escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head>\n"
            f"<body><h1>{title}</h1>{self._facts}\n" + "\n".join(self._parts) + "\n</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Writes the page, whole or not at all.

        Args:
            path: of a file that ends in ``.html``.

        Raises:
            OSError: the system cannot write it.
            ValueError: the path does not end so.
        """
        place = Path(path)
        if place.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"path: {str(path)!r} does not end in .html; name a page")
        with replacing(place) as file:
            file.write_text(str(self), encoding="utf-8")
        return place


def _text(value: str) -> str:
    """A fact; what stands between backquotes is code."""
    parts = html.escape(value).split("`")
    if len(parts) % 2 == 0:
        return html.escape(value)
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )
