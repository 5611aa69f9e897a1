"""Files of captures written by hand."""

import json
from pathlib import Path


def write(path: Path, architecture: str, config: dict, weights: list, version="0.7.0") -> Path:
    """A file with these contents, whether they fit together or not."""
    content = {
        "version": version, "architecture": architecture, "config": config, "weights": weights,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path
