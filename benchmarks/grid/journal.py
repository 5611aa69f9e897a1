"""The progress of a run while it is made: one JSON line per event, appended by its worker.

Events: ``start`` (pid, epochs, after), ``progress`` (epoch, fraction, loss, seconds), ``epoch``
(epoch, epochs, seconds, metric, value), ``test``. It is only for showing progress; results never
depend on it, so a torn or missing line does no harm.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

NAME = "journal.jsonl"


class JournalWriter:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}) + "\n"
        with suppress(OSError), self._path.open("a") as file:  # such as a full disk
            file.write(line)


class JournalReader:
    """Continues from where it stopped; starts over when the file was replaced by a shorter one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._offset = 0

    def events(self) -> Iterator[dict[str, Any]]:
        try:
            size = self._path.stat().st_size
            self._offset = self._offset if size >= self._offset else 0
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            self._offset = 0
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
