"""Recordings of one's own: a folder with a folder for each class, or a table."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from typing_extensions import override

from tcn.audio.augmentation import SoundAugmentation
from tcn.audio.clips import Clip, Reader, as_path
from tcn.audio.loading import Labeled, SoundDataModule
from tcn.data.loading import SPLITS, Split, check_at_least
from tcn.data.splitting import chosen_for

COLUMNS = ("path", "label", "split")


class _OfFiles(SoundDataModule):
    """Files of any rate and number of channels, if their conversion is asked for."""

    def __init__(
        self,
        *,
        sample_rate: int,
        resampled: bool,
        mixed: bool,
        length: int | None,
        augmentation: Sequence[SoundAugmentation],
        in_memory: bool,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(
            batch_size=batch_size, length=length, augmentation=augmentation, in_memory=in_memory,
            seed=seed,
        )  # fmt: skip
        self._reader = Reader(sample_rate, resampled=resampled, mixed=mixed)
        self.sample_rate = sample_rate

    @property
    @override
    def reader(self) -> Reader:
        return self._reader


class SoundFolder(_OfFiles):
    """Recordings in a folder for each class, of any format that ``load_sound`` reads.

    ::

        sounds/cat/1.wav    sounds/cat/2.ogg    sounds/dog/1.flac

    The classes are the names of the folders, in alphabetic order. Files beside the class folders
    are left out, and so are files and folders whose names begin with a dot; everything else must
    be sound.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        test: int | str | Path,
        validation_size: int,
        sample_rate: int,
        resampled: bool = False,
        mixed: bool = False,
        length: int | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        in_memory: bool = True,
        batch_size: int = 32,
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and what is made of them.

        Args:
            folder: holds a folder for each class.
            test: a folder like it that holds the test recordings; or how many of ``folder`` are set
                aside for test.
            validation_size: training recordings set aside for validation.
            sample_rate: theirs, in Hz.
            resampled: whether those of another rate are resampled; they are refused otherwise.
            mixed: whether channels are mixed down to one; several are refused otherwise.
            length: steps of each sound; None keeps their own lengths. See ``SoundDataModule``.
            augmentation: changes of the training batches, in this order.
            in_memory: whether recordings are read at once and kept; or each time.
            batch_size: sounds per batch.
            seed: decides the splits, the training order, the windows and the changes.

        Raises:
            TypeError: a number is not an integer, a folder is not a path, or a change is not a
                ``SoundAugmentation``.
            ValueError: a number is out of range, there is no such folder, it has fewer than two
                class folders or one is empty, or training and test folder are the same. When read:
                files cannot be used, the test folder has other classes, or nothing is left for
                training.
        """
        super().__init__(
            sample_rate=sample_rate, resampled=resampled, mixed=mixed, length=length,
            augmentation=augmentation, in_memory=in_memory, batch_size=batch_size, seed=seed,
        )  # fmt: skip
        check_at_least("validation_size", validation_size, 1)
        self.validation_size = validation_size
        self.folder = as_path("folder", folder)
        self.test = as_path("test", test) if isinstance(test, str | Path) else test
        if not isinstance(self.test, Path):
            check_at_least("test", self.test, 1)
        elif self.test.resolve() == self.folder.resolve():
            raise ValueError(
                f"test: {self.test} is the folder of the training recordings; give another one, or "
                "how many of them to set aside"
            )
        self.class_names = tuple(files_by_class("folder", self.folder))
        self.out_channels = len(self.class_names)

    @override
    def labeled(self, split: Split) -> Labeled:
        found = self._all("folder", self.folder)
        if isinstance(self.test, Path):
            return self._all("test", self.test) if split == "test" else self._part(found, split)
        if self.test >= len(found.clips):
            raise ValueError(
                f"test: {self.test} of the {len(found.clips)} recordings of {self.folder} leave "
                "none for training; set fewer aside"
            )
        aside: Split = "validation" if split == "test" else "train"
        chosen = chosen_for(aside, len(found.clips), self.test, self.seed, "test recordings")
        found = _chosen(found, chosen.tolist())
        return found if split == "test" else self._part(found, split)

    def _part(self, found: Labeled, split: Split) -> Labeled:
        key = self.seed, "sound split"
        return _chosen(
            found, chosen_for(split, len(found.clips), self.validation_size, *key).tolist()
        )

    def _all(self, argument: str, root: Path) -> Labeled:
        by_class = files_by_class(argument, root)
        if tuple(by_class) != self.class_names:
            other = sorted(set(by_class) ^ set(self.class_names))
            raise ValueError(
                f"{argument}: the classes of {root} are not those of {self.folder}; {other} are in "
                "one of them alone: give both the same class folders"
            )
        clips = [Clip(path) for files in by_class.values() for path in files]
        counts = torch.tensor([len(files) for files in by_class.values()])
        return Labeled(clips, torch.arange(len(by_class)).repeat_interleave(counts))


class SoundTable(_OfFiles):
    """Recordings that a CSV file lists, with the columns ``path``, ``label`` and ``split``.

    ::

        path,label,split
        kitchen/1.wav,kettle,train
        kitchen/2.wav,tap,validation
        hall/1.wav,tap,test

    Paths are relative to the file's folder. The classes are the labels, in alphabetic order.
    """

    def __init__(
        self,
        *,
        table: str | Path,
        sample_rate: int,
        resampled: bool = False,
        mixed: bool = False,
        length: int | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        in_memory: bool = True,
        batch_size: int = 32,
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and what is made of them.

        Args:
            table: the CSV file, UTF-8.
            sample_rate: of the recordings, in Hz.
            resampled: whether those of another rate are resampled; they are refused otherwise.
            mixed: whether channels are mixed down to one; several are refused otherwise.
            length: steps of each sound; None keeps their own lengths. See ``SoundDataModule``.
            augmentation: changes of the training batches, in this order.
            in_memory: whether recordings are read at once and kept; or each time.
            batch_size: sounds per batch.
            seed: decides the training order, the windows and the changes.

        Raises:
            TypeError: a number is not an integer, ``table`` is not a path, or a change is not a
                ``SoundAugmentation``.
            ValueError: a number is out of range, or the table cannot be read, lacks a column or a
                split, has a line that is not whole, names a file twice or has fewer than two
                labels. When read: files cannot be used.
        """
        super().__init__(
            sample_rate=sample_rate, resampled=resampled, mixed=mixed, length=length,
            augmentation=augmentation, in_memory=in_memory, batch_size=batch_size, seed=seed,
        )  # fmt: skip
        self.table = as_path("table", table)
        self.rows = read_table(self.table)
        self.class_names = tuple(sorted({label for _, label, _ in self.rows}))
        self.out_channels = len(self.class_names)

    @override
    def labeled(self, split: Split) -> Labeled:
        rows = [(path, label) for path, label, part in self.rows if part == split]
        labels = [self.class_names.index(label) for _, label in rows]
        return Labeled([Clip(path) for path, _ in rows], torch.tensor(labels))


def read_table(table: Path) -> list[tuple[Path, str, str]]:
    """Path, label and split of every line.

    Raises:
        ValueError: the table is not what :class:`SoundTable` takes.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns, lines = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"table: {table} cannot be read ({error}); give a CSV file") from error
    if missing := [name for name in COLUMNS if name not in columns]:
        said = ",".join(columns)[:80]
        raise ValueError(
            f"table: {table} has no column {missing} in its first line, {said!r}; it must name "
            f"{', '.join(COLUMNS)}, with commas between and no blanks"
        )
    rows = []
    for number, line in enumerate(lines, 2):
        path, label, split = (line[name] for name in COLUMNS)
        if not path or not label or split not in SPLITS:
            raise ValueError(
                f"table: line {number} of {table} has {path!r}, {label!r}, {split!r}; give a path, "
                f"a label and one of {', '.join(SPLITS)}"
            )
        rows.append((table.parent / path, label, split))
    _check_rows(table, rows)
    return rows


def _check_rows(table: Path, rows: Sequence[tuple[Path, str, str]]) -> None:
    often = Counter(os.path.normpath(path) for path, _, _ in rows)
    if twice := [path for path, count in often.items() if count > 1][:5]:
        raise ValueError(f"table: {table} names {twice} twice; leave one line of each")
    if absent := [split for split in SPLITS if split not in {part for _, _, part in rows}]:
        raise ValueError(f"table: {table} has no recordings for {absent}; add some")
    labels = {label for _, label, _ in rows}
    if len(labels) < 2:
        raise ValueError(f"table: {table} has one label, {labels.pop()!r}; add those of others")


def files_by_class(argument: str, root: Path) -> dict[str, list[Path]]:
    """The files of each class folder, sorted; folders inside of it count as it.

    Args:
        argument: what errors call the folder.
        root: the folder of class folders.

    Raises:
        ValueError: there is no such folder, it has fewer than two class folders, or one is empty.
    """
    if not root.is_dir():
        raise ValueError(f"{argument}: {root} is not a folder; give one with a folder per class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(folders) < 2:
        raise ValueError(
            f"{argument}: {root} has {len(folders)} class folders; put the recordings of each "
            "class, two or more, into a folder of its own"
        )
    found = {folder.name: _files(folder) for folder in folders}
    if empty := [name for name, files in found.items() if not files]:
        raise ValueError(
            f"{argument}: the class folders {empty} of {root} are empty; put recordings in or "
            "remove them"
        )
    return found


def _files(folder: Path) -> list[Path]:
    """Everything in a folder but folders, and what is hidden."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
    return [p for p in paths if not any(x[0] == "." for x in p.relative_to(folder).parts)]


def _chosen(found: Labeled, chosen: Sequence[int]) -> Labeled:
    return Labeled([found.clips[index] for index in chosen], found.labels[torch.tensor(chosen)])
