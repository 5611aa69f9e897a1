"""Speech Commands: single words from thousands of people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from typing_extensions import override

from tcn.audio.augmentation import SoundAugmentation
from tcn.audio.clips import Clip, as_path
from tcn.audio.folder import files_by_class
from tcn.audio.loading import Labeled, SoundDataModule
from tcn.audio.sound import decoded
from tcn.data.archives import unpacked
from tcn.data.fetch import RemoteFile
from tcn.data.loading import Split, derived_generator
from tcn.layers.validation import check_switch
from tcn.outputs.checks import check_number

Version = Literal["v0.01", "v0.02"]

_PLACE = "http://download.tensorflow.org/data/"
ARCHIVES: dict[str, RemoteFile] = {
    "v0.01": RemoteFile(
        "speech_commands/speech_commands_v0.01.tar.gz",
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
        (_PLACE + "speech_commands_v0.01.tar.gz",),
    ),
    "v0.02": RemoteFile(
        "speech_commands/speech_commands_v0.02.tar.gz",
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        (_PLACE + "speech_commands_v0.02.tar.gz",),
    ),
}
LISTS: dict[Split, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
COMMANDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
SILENCE, UNKNOWN = "_silence_", "_unknown_"
TWELVE = (*COMMANDS, SILENCE, UNKNOWN)
V1 = (
    "bed", "bird", "cat", "dog", "down", "eight", "five", "four", "go", "happy", "house", "left",
    "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop", "three",
    "tree", "two", "up", "wow", "yes", "zero",
)  # fmt: skip
WORDS = {
    "v0.01": V1,
    "v0.02": tuple(sorted([*V1, "backward", "follow", "forward", "learn", "visual"])),
}
SECOND = 16000


class SpeechCommands(SoundDataModule):
    """Words of a second: 30 (version 0.01) or 35 of them, or 10 with silence and what is unknown.

    ``x`` is ``(batch, 1, 16000)`` of 16000 Hz and ``y`` ``(batch,)`` int64. The official lists say
    which recordings are for validation and for test; all recordings of a speaker are in one part.

    Of twelve classes, as in the paper's section 7, silence is a second of the noise files, and the
    unknown ones are of all other words; ``others`` says how many of both there are for each
    recording of the ten words. Which ones the seed decides. The official test set of twelve classes
    is a folder of its own: give it as ``test_folder``.

    The data are looked for in ``TCN_DATA_DIR`` (folder ``speech_commands/speech_commands_v0.02``)
    and downloaded otherwise (2.3 GB). Source: Warden 2018, arXiv:1804.03209.
    """

    sample_rate = SECOND

    def __init__(
        self,
        *,
        version: Version = "v0.02",
        twelve: bool = False,
        others: float = 0.1,
        folder: str | Path | None = None,
        test_folder: str | Path | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        in_memory: bool = False,
        batch_size: int = 128,
        seed: int = 1111,
    ) -> None:
        """Sets which words there are, where they are, and how they are changed and batched.

        Args:
            version: ``"v0.01"`` or ``"v0.02"``.
            twelve: whether there are twelve classes; one for each word otherwise.
            others: of twelve classes, silent recordings and unknown ones in a split, for each
                recording of the ten words.
            folder: of the unpacked data set, in place of the official one.
            test_folder: holds a folder for each class with its test recordings.
            augmentation: changes of the training batches, in this order.
            in_memory: whether recordings are read at once and kept; or each time.
            batch_size: sounds per batch.
            seed: decides silence and unknown words, the training order and the changes.

        Raises:
            TypeError: a number is not a number, a folder is not a path, or a change is not a
                ``SoundAugmentation``.
            ValueError: the version is unknown, or a number is out of range. When read: a folder or
                a list is not there, a list names a recording that is not, or a file cannot be used.
        """
        super().__init__(
            batch_size=batch_size, length=SECOND, augmentation=augmentation, in_memory=in_memory,
            seed=seed,
        )  # fmt: skip
        if version not in get_args(Version):
            known = ", ".join(map(repr, get_args(Version)))
            raise ValueError(f"version: {version!r} is not one of {known}")
        check_switch(twelve=twelve)
        check_number("others", others, above=0)
        self.version = version
        self.twelve = twelve
        self.others = others
        self.folder = None if folder is None else as_path("folder", folder)
        self.test_folder = None if test_folder is None else as_path("test_folder", test_folder)
        self.class_names = TWELVE if twelve else WORDS[version]
        self.out_channels = len(self.class_names)

    @override
    def prepare_data(self) -> None:
        """Download the data set if it is not on this machine."""
        self._place()

    @override
    def labeled(self, split: Split) -> Labeled:
        if split == "test" and self.test_folder is not None:
            return self._official()
        place = self._place()
        by_word = _words(place, split, WORDS[self.version])
        if not self.twelve:
            return self._as_labeled(by_word)
        wanted = {word: clips for word, clips in by_word.items() if word in COMMANDS}
        rest = [clip for word, clips in by_word.items() if word not in COMMANDS for clip in clips]
        count = round(self.others * sum(map(len, wanted.values())))
        unknown = torch.randperm(len(rest), generator=self._numbers("unknown", split))[:count]
        return self._as_labeled(
            wanted
            | {SILENCE: silent_clips(place / NOISE, count, self._numbers("silence", split))}
            | {UNKNOWN: [rest[index] for index in unknown.tolist()]}
        )

    def _official(self) -> Labeled:
        assert self.test_folder is not None
        found = files_by_class("test_folder", self.test_folder)
        if other := sorted(set(found) ^ set(self.class_names)):
            raise ValueError(
                f"test_folder: {self.test_folder} has not the {len(self.class_names)} classes of "
                f"this data set; {other} are in one of them alone"
            )
        return self._as_labeled({name: list(map(Clip, files)) for name, files in found.items()})

    def _as_labeled(self, by_class: dict[str, list[Clip]]) -> Labeled:
        clips = [clip for name in self.class_names for clip in by_class.get(name, ())]
        counts = torch.tensor([len(by_class.get(name, ())) for name in self.class_names])
        return Labeled(clips, torch.arange(len(counts)).repeat_interleave(counts))

    def _numbers(self, what: str, split: Split) -> torch.Generator:
        return derived_generator(self.seed, f"speech commands {what}", split)

    def _place(self) -> Path:
        if self.folder is not None:
            return self.folder
        name = f"speech_commands/speech_commands_{self.version}"
        return unpacked(ARCHIVES[self.version], name)


def silent_clips(folder: Path, count: int, generator: torch.Generator) -> list[Clip]:
    """Seconds of noise files, anywhere in them.

    Raises:
        ValueError: there are no files of a second or more.
    """
    paths = sorted(folder.glob("*.wav"))
    lengths = {path: decoded(path, clip=False).samples.shape[-1] for path in paths}
    paths = [path for path in paths if lengths[path] >= SECOND]
    if not paths:
        raise ValueError(f"folder: {folder} has no noise of a second or more; download it again")
    drawn = torch.rand(count, 2, generator=generator)
    clips = []
    for which, where in drawn.tolist():
        path = paths[int(which * len(paths))]
        clips.append(Clip(path, int(where * (lengths[path] - SECOND + 1)), SECOND))
    return sorted(clips)


def _words(place: Path, split: Split, words: Sequence[str]) -> dict[str, list[Clip]]:
    """The recordings of a split by word.

    Raises:
        ValueError: a list or a folder is not there, or names what is not.
    """
    listed = {part: _listed(place / name) for part, name in LISTS.items()}
    if split != "train":
        absent = sorted(name for name in listed[split] if not (place / name).is_file())
        if absent:
            raise ValueError(
                f"folder: {len(absent)} recordings of {LISTS[split]} are not in {place}, such as "
                f"{absent[0]}; unpack the archive again"
            )
    aside = listed["validation"] | listed["test"]
    found: dict[str, list[Clip]] = {}
    for word in words:
        names = {f"{word}/{path.name}" for path in (place / word).glob("*.wav")}
        if not names:
            raise ValueError(f"folder: {place} has no recordings of {word!r}; unpack it again")
        chosen = names - aside if split == "train" else names & listed[split]
        found[word] = [Clip(place / name) for name in sorted(chosen)]
    return found


def _listed(path: Path) -> set[str]:
    if not path.is_file():
        raise ValueError(f"folder: {path} is not there; give the folder of the unpacked archive")
    return set(path.read_text(encoding="utf-8").split())
