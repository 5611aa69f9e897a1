"""A file server on this machine, and folders that keep a test away from the user's own."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tcn.data import fetch


@dataclass
class Answer:
    """What the server says to one request."""

    body: bytes = b""
    status: int = 200
    announced: int | None = None
    """Content-Length, when it is not the truth."""
    delay: float = 0.0


@dataclass
class FileServer:
    """A real HTTP server; the last answer of a path is repeated."""

    address: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def serve(self, path: str, *answers: Answer) -> str:
        """The address at which `answers` are given, one after the other."""
        self.answers[f"/{path}"] = list(answers)
        return f"{self.address}/{path}"

    def answer(self, path: str) -> Answer:
        self.requests.append(path)
        waiting = self.answers[path]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@pytest.fixture
def answer() -> type[Answer]:
    """The class, since a test cannot import from this file."""
    return Answer


@pytest.fixture
def server() -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = files.answer(self.path)
            time.sleep(answer.delay)
            self.send_response(answer.status)
            announced = len(answer.body) if answer.announced is None else answer.announced
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: pytest shows enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        files = FileServer(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield files
        http.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, no data folder, no proxy, no waiting between rounds."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TCN_CACHE_DIR", str(folder))
    monkeypatch.delenv("TCN_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    return folder


@pytest.fixture
def data_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `TCN_DATA_DIR` beside the empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TCN_DATA_DIR", str(folder))
    return folder
