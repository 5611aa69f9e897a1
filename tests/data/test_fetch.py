import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pooch
import pytest

from tcn.data import fetch
from tcn.data.fetch import FileUnavailableError, RemoteFile, locate

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "set/part one.gz"


def remote(*addresses: str) -> RemoteFile:
    return RemoteFile(PATH, SHA256, addresses)


def left_behind(folder: Path) -> list[str]:
    """Everything in the folder but the locks, which stay on purpose."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file"


def test_downloads_once_and_then_reads_the_cache(server, cache, answer):
    file = remote(server.serve("file", answer(CONTENT)))
    first = locate(file)
    assert first == cache / "set" / "part one.gz"
    assert first.read_bytes() == CONTENT
    assert locate(file) == first
    assert server.requests == ["/file"]
    assert left_behind(cache) == ["part one.gz"]


def test_server_error_is_tried_again(server, cache, answer):
    file = remote(server.serve("file", answer(b"", 500), answer(CONTENT)))
    assert locate(file).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_truncated_body_is_tried_again(server, cache, answer):
    broken = answer(CONTENT[:1000], announced=len(CONTENT))
    file = remote(server.serve("file", broken, answer(CONTENT)))
    assert locate(file).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_second_address_is_used_when_the_first_has_no_file(server, cache, answer):
    file = remote(
        server.serve("gone", answer(b"", 404)),
        server.serve("file", answer(b"", 500), answer(CONTENT)),
    )
    assert locate(file).read_bytes() == CONTENT
    # 404 is final, so only the second address is asked again.
    assert server.requests == ["/gone", "/file", "/file"]


@pytest.mark.parametrize(
    ("body", "status", "announced", "reason", "requests"),
    [
        (CONTENT[:1000], 200, len(CONTENT), "IncompleteRead", fetch.ROUNDS),
        (CONTENT[:1000], 200, None, "does not match the known hash", fetch.ROUNDS),
        (b"<html>Please log in</html>", 200, None, "does not match the known hash", fetch.ROUNDS),
        (b"", 404, None, "404 Client Error", 1),
        (b"", 500, None, "500 Server Error", fetch.ROUNDS),
        (b"", 429, None, "429 Client Error", fetch.ROUNDS),
    ],
    ids=["connection cut", "cut earlier", "login page", "404", "500", "rate limit"],
)
def test_what_is_not_the_file_is_refused_and_leaves_nothing(
    server, cache, answer, body, status, announced, reason, requests
):
    address = server.serve("file", answer(body, status, announced))
    with pytest.raises(FileUnavailableError) as caught:
        locate(remote(address))
    message = str(caught.value)
    for part in (address, reason, SHA256, str(cache / PATH), "TCN_DATA_DIR", PATH):
        assert part in message
    assert len(server.requests) == requests
    assert left_behind(cache) == []


def test_login_page_error_names_both_checksums(server, cache, answer):
    page = b"<html>Please log in</html>"
    with pytest.raises(FileUnavailableError, match=hashlib.sha256(page).hexdigest()):
        locate(remote(server.serve("file", answer(page))))


def test_offline_is_one_clear_error(cache, closed_port):
    with pytest.raises(FileUnavailableError, match=r"part one\.gz is not on this machine") as info:
        locate(remote(closed_port))
    assert closed_port in str(info.value)
    assert "Connection refused" in str(info.value)
    assert left_behind(cache) == []


def test_pauses_double(server, cache, answer, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(fetch, "PAUSE", 1.0)
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    with pytest.raises(FileUnavailableError):
        locate(remote(server.serve("file", answer(b"", 500))))
    # The server sleeps for its delay of 0 through the same function.
    assert [pause for pause in pauses if pause] == [1.0, 2.0]


def test_data_folder_comes_first_and_is_only_read(data_folder, cache, closed_port):
    given = data_folder / PATH
    given.parent.mkdir()
    given.write_bytes(CONTENT)
    given.parent.chmod(0o555)
    data_folder.chmod(0o555)
    before = sorted(data_folder.rglob("*"))
    assert locate(remote(closed_port)) == given
    assert sorted(data_folder.rglob("*")) == before
    assert not cache.exists()


def test_data_folder_without_the_file_leads_to_the_cache(data_folder, cache, server, answer):
    file = remote(server.serve("file", answer(CONTENT)))
    assert locate(file) == cache / PATH
    assert list(data_folder.iterdir()) == []


def test_altered_file_in_data_folder_is_refused(data_folder, cache, server, answer):
    given = data_folder / PATH
    given.parent.mkdir()
    given.write_bytes(CONTENT[:-1] + b"x")
    got = hashlib.sha256(given.read_bytes()).hexdigest()
    address = server.serve("file", answer(CONTENT))
    with pytest.raises(ValueError, match="is not the expected file") as caught:
        locate(remote(address))
    for part in (str(given), got, SHA256, address, "remove it"):
        assert part in str(caught.value)
    assert server.requests == []


def test_data_folder_that_is_no_folder_is_refused(cache, tmp_path, monkeypatch, closed_port):
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"TCN_DATA_DIR is .*absent.*correct or unset it"):
        locate(remote(closed_port))


def test_filled_cache_is_only_read(cache, closed_port):
    # It may lie on a read-only disk: not even a lock is written.
    kept = cache / PATH
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)
    assert locate(remote(closed_port)) == kept
    assert [path for path in cache.rglob("*") if path.is_file()] == [kept]


def test_altered_file_in_cache_is_downloaded_again(cache, server, answer):
    kept = cache / PATH
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half a file")
    assert locate(remote(server.serve("file", answer(CONTENT)))).read_bytes() == CONTENT


def test_altered_file_in_cache_survives_a_failed_download(cache, closed_port):
    kept = cache / PATH
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half a file")
    with pytest.raises(FileUnavailableError):
        locate(remote(closed_port))
    assert left_behind(cache) == ["part one.gz"]


def test_cache_that_cannot_be_written_says_what_to_set(cache, server, answer):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(FileUnavailableError, match="set TCN_CACHE_DIR to a folder that can"):
        locate(remote(server.serve("file", answer(CONTENT))))
    assert server.requests == []


def test_cache_folder_is_the_systems_when_none_is_chosen(monkeypatch):
    monkeypatch.delenv("TCN_CACHE_DIR", raising=False)
    assert fetch.cache_folder() == Path(pooch.os_cache("tcn"))


def test_checksum_is_computed_once_per_version_of_a_file(data_folder, closed_port, monkeypatch):
    read: list[str] = []

    def counting(path: str, alg: str) -> str:
        read.append(path)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    monkeypatch.setattr(pooch, "file_hash", counting)
    given = data_folder / PATH
    given.parent.mkdir()
    given.write_bytes(CONTENT)
    locate(remote(closed_port))
    locate(remote(closed_port))
    assert len(read) == 1
    given.write_bytes(CONTENT[::-1])
    os.utime(given, ns=(1, 1))
    with pytest.raises(ValueError, match="is not the expected file"):
        locate(remote(closed_port))
    assert len(read) == 2


def test_progress_bar_is_for_terminals_only(server, cache, answer, monkeypatch, capsys):
    locate(RemoteFile("quiet", SHA256, (server.serve("file", answer(CONTENT)),)))
    assert "256k/256k" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    locate(RemoteFile("shown", SHA256, (f"{server.address}/file",)))
    assert "256k/256k" in capsys.readouterr().err


# fetch.py is loaded by its path, which spares each process the seconds of importing PyTorch.
ONE_OF_TWO = """
import importlib.util, sys
path, name, sha256, address = sys.argv[1:]
spec = importlib.util.spec_from_file_location("fetch", path)
sys.modules["fetch"] = fetch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fetch)
print("ready", flush=True)
input()
print(fetch.locate(fetch.RemoteFile(name, sha256, (address,))))
"""


def test_two_processes_at_once_download_once(server, cache, answer):
    # The answer takes its time, so that the second process arrives while the first one downloads.
    address = server.serve("file", answer(CONTENT, delay=0.5))
    command = [sys.executable, "-c", ONE_OF_TWO, fetch.__file__, PATH, SHA256, address]
    pair = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for process in pair:
        assert process.stdout.readline() == "ready\n"
    for process in pair:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=300)[0] for process in pair]
    assert outputs == [f"{cache / PATH}\n"] * 2
    assert (cache / PATH).read_bytes() == CONTENT
    assert server.requests == ["/file"]
