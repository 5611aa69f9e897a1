"""The format of a folder, from the outside: its files, its versions, and what a reader does."""

import errno
import hashlib
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tcn.saving import folder as saving
from tcn.saving.files import replacing, writing
from tcn.saving.folder import Layout, entry, read, seal, write
from tcn.saving.schema import DEEPEST, first_error, parse

LAYOUT = Layout("config.json", "model.safetensors", "weights", "{}: no {}".format)
SCHEMA: Any = {
    "type": "object",
    "required": ["weights", "name"],
    "properties": {"weights": saving.tensors_schema("model.safetensors")},
}


def save(folder: Path, name: str) -> None:
    data = name.encode() * 10
    write(folder, LAYOUT, {"format_version": 2, "name": name, **entry(LAYOUT, data)}, data)


def load(folder: Path) -> tuple[str, bytes]:
    pair = read(folder, LAYOUT, SCHEMA)
    return pair.settings["name"], pair.tensors


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def staged(name: str) -> str:
    return f"model-{hashlib.sha256(name.encode() * 10).hexdigest()}.safetensors"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b", "one")
    assert load(tmp_path / "a" / "b") == ("one", b"one" * 10)
    assert names(tmp_path / "a" / "b") == ["config.json", "model.safetensors"]


def test_the_checksum_is_that_of_the_text_with_zeros_in_its_place(tmp_path: Path) -> None:
    # By hand, as another program would.
    save(tmp_path, "one")
    text = (tmp_path / "config.json").read_text()
    settings = json.loads(text)
    blank = text.replace(settings["checksum"], "0" * 64)
    assert list(settings)[-1] == "checksum"
    assert hashlib.sha256(blank.encode()).hexdigest() == settings["checksum"]


def test_version_1_is_read_and_replaced(tmp_path: Path) -> None:
    data = b"one" * 10
    settings = {"format_version": 1, "name": "one", **entry(LAYOUT, data)}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").write_bytes(data)
    assert load(tmp_path) == ("one", data)
    save(tmp_path, "two")
    assert load(tmp_path) == ("two", b"two" * 10)
    assert names(tmp_path) == ["config.json", "model.safetensors"]


def test_a_reader_of_version_1_says_what_it_cannot_read(tmp_path: Path) -> None:
    # Its schema, as it was: the version is the first thing in which a new folder differs.
    save(tmp_path, "one")
    old = {
        "required": ["format_version", "name", "weights"],
        "properties": {"format_version": {"const": 1}, "weights": SCHEMA["properties"]["weights"],
                       "name": {}},
        "additionalProperties": False,
    }  # fmt: skip
    settings = json.loads((tmp_path / "config.json").read_text())
    assert first_error(settings, old) == "format_version: 2 is not 1"


def killed_before_the_third_step(folder: Path, name: str) -> None:
    """Settings that name new tensors, which do not have their known name yet."""
    old = (folder / "model.safetensors").read_bytes()
    save(folder, name)
    (folder / "model.safetensors").rename(folder / staged(name))
    (folder / "model.safetensors").write_bytes(old)


def test_the_settings_decide_and_the_next_save_goes_on(tmp_path: Path) -> None:
    save(tmp_path, "one")
    killed_before_the_third_step(tmp_path, "two")
    assert load(tmp_path) == ("two", b"two" * 10)
    save(tmp_path, "three")
    assert load(tmp_path) == ("three", b"three" * 10)
    assert names(tmp_path) == ["config.json", "model.safetensors"]


def test_a_failing_save_takes_away_nothing_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "one")
    killed_before_the_third_step(tmp_path, "two")
    monkeypatch.setattr(saving, "write_bytes", lambda path, data: path / "no folder" / "x" / 1)
    with pytest.raises(TypeError):
        save(tmp_path, "two")  # the same tensors: their file is in use
    assert load(tmp_path) == ("two", b"two" * 10)


def test_files_of_others_stay(tmp_path: Path) -> None:
    kept = ["model-00001-of-00002.safetensors", "model-best.safetensors", "README.md"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / staged("left over")).write_text("of a save that was killed")
    save(tmp_path, "one")
    assert names(tmp_path) == sorted([*kept, "config.json", "model.safetensors"])


def test_settings_that_cannot_be_read_make_nothing_go_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "one")
    killed_before_the_third_step(tmp_path, "two")
    sound = (tmp_path / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(b"{")
    monkeypatch.setattr(saving, "write_bytes", lambda path, data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(tmp_path, "three")
    (tmp_path / "config.json").write_bytes(sound)
    assert load(tmp_path) == ("two", b"two" * 10)


def test_a_reader_reads_again_if_the_folder_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "one")
    settings_read, reads = saving._settings, []

    def overtaken(*arguments: Any) -> Any:
        found = settings_read(*arguments)
        reads.append(found["name"])
        if len(reads) < 3:
            save(tmp_path, f"later {len(reads)}")
        return found

    monkeypatch.setattr(saving, "_settings", overtaken)
    assert load(tmp_path) == ("later 2", b"later 2" * 10)
    assert reads == ["one", "later 1", "later 2"]


def test_without_locks_nothing_of_others_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError("not supported")

    save(tmp_path, "one")
    monkeypatch.setattr("fcntl.flock", no_locks)
    (tmp_path / staged("another's")).write_text("about to be named by its settings")
    save(tmp_path, "two")
    assert load(tmp_path) == ("two", b"two" * 10)
    assert names(tmp_path) == sorted(
        ["config.json", "model.safetensors", staged("two"), staged("another's")]
    )


# ------------------------------------------------------------------------------------ files


def test_what_a_killed_writer_left_is_taken_away_and_what_is_of_others_is_not(
    tmp_path: Path,
) -> None:
    with writing(tmp_path / "a") as desk:
        prefix = desk.folder.name.rpartition("-")[0]
    assert names(tmp_path) == []
    (tmp_path / f"{prefix}-left").mkdir()
    (tmp_path / f"{prefix}-left" / "half").write_text("half")
    (tmp_path / f"{prefix}.lock").touch()
    (tmp_path / ".writing-another").mkdir()
    with replacing(tmp_path / "a") as file:
        assert f"{prefix}-left" not in names(tmp_path)
        file.write_text("whole")
    assert names(tmp_path) == [".writing-another", "a"]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """As `cp` and editors that write in place have it: what the link names is replaced."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("before")
    link = tmp_path / "link"
    link.symlink_to(Path("there") / "file")
    with replacing(link) as file:
        file.write_text("after")
    assert link.is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "after"
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["file"]


def test_the_longest_name_there_is_can_be_saved(tmp_path: Path) -> None:
    with replacing(tmp_path / ("n" * 255)) as file:
        file.write_text("whole")
    assert names(tmp_path) == ["n" * 255]


# ----------------------------------------------------------------------------------- schema

NESTED: Any = {
    "anyOf": [
        {"type": "number"},
        {"type": "array", "items": {"$ref": "#/$defs/value"}},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/value"}}},
    ]
}


@pytest.mark.parametrize("levels", [DEEPEST, 900])
@pytest.mark.parametrize(("start", "inner", "end"), [('{"a": ', '"x"', "}"), ("[", '"x"', "]")])
def test_nesting_is_refused_in_no_time(levels: int, start: str, inner: str, end: str) -> None:
    value = parse(start * levels + inner + end * levels)
    begun = time.process_time()
    error = first_error(value, NESTED | {"$defs": {"value": NESTED}})
    assert time.process_time() - begun < 1
    assert error is not None
    assert ("more than 128 levels deep" in error) == (levels > DEEPEST)


def test_what_is_just_deep_enough_is_read() -> None:
    value = parse("[" * DEEPEST + "1" + "]" * DEEPEST)
    assert first_error(value, NESTED | {"$defs": {"value": NESTED}}) is None


def test_a_seal_of_a_seal_is_the_same() -> None:
    once = seal({"format_version": 2, "zeros": "0" * 64})
    assert seal(json.loads(once)) == once


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """Whoever may write to ``/dev`` would have a file in the place of the device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, what in (("pipe", "a device or a pipe"), ("folder", "a folder")):
        message = f"{name} is {what}; give the path of a file"
        with pytest.raises(ValueError, match=message), replacing(tmp_path / name) as file:
            file.write_bytes(b"new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["folder", "pipe"]


def test_what_the_system_refuses_is_named_by_its_place(tmp_path: Path) -> None:
    """Not by the file beside it that nobody knows, nor by nothing at all."""
    path = tmp_path / "net.bin"
    for filename in (None, str(tmp_path / ".writing-0123-4567" / "net.bin")):
        with pytest.raises(OSError, match="No space left") as caught, replacing(path):
            raise OSError(errno.ENOSPC, "No space left on device", filename)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
    assert names(tmp_path) == []
