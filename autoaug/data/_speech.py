"""Sets of spoken words: Google's Speech Commands, and the Free Spoken Digit Dataset."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
import torch
from torch import Tensor

from autoaug.data._listing import entries, hides, subfolders
from autoaug.data._source import Source
from autoaug.data._spectrograms import FULL_SCALE, Spectrogram, read_words
from autoaug.data._splits import DataError, Split
from autoaug.data._standard import Standard
from autoaug.text import enumerated

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
"""The files of Speech Commands that name the words of its other splits, a path in each line."""

NOISE = "_background_noise_"
"""The folder of Speech Commands that is no class."""

VERSION = "speech_commands_v0.01"

ARCHIVE = f"https://storage.googleapis.com/download.tensorflow.org/data/{VERSION}.tar.gz"

DIGIT = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d+)\.wav")
"""The name of a recording of the Free Spoken Digit Dataset."""

TEST_INDICES = 5
"""Of every digit and speaker the recordings below this number are test words, as its makers say."""

RECORDED = {"audio", "off", "digit", "index", "rate"}
"""Arrays of an .npz file of spoken digits."""


def words_of(train: Split, others: dict[str, Split], classes: Sequence[str]) -> Source:
    """Return a source of spectrograms, below whose policies nothing is always on: a mirrored word is another thing."""
    parts: dict[str, Any] = {"train": train, **others}
    return Source(**parts, classes=tuple(classes), standard=Standard(pad=0, flip=False), kind="spectrograms")


@dataclass(frozen=True)
class SpeechCommands:
    """Read folders of .wav files; see `speech_commands`."""

    path: Path
    form: Spectrogram

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read all words. `root` is not used: the path is absolute."""
        if not self.path.is_dir():
            raise DataError(f"no folder of words at {str(self.path)!r}: give the path of an existing folder")
        classes = [folder.name for folder in subfolders(self.path) if folder.name != NOISE]
        files = {f"{name}/{file.name}": number for number, name in enumerate(classes) for file in self.words(name)}
        if len(set(files.values())) < max(2, len(classes)):
            empty = [name for number, name in enumerate(classes) if number not in files.values()]
            raise DataError(
                f"{str(self.path)!r} has no .wav files in {enumerated(empty, len(empty), 5) or 'folders of two words'}:"
                " give two folders at least, with the recordings of one word each"
            )
        listed = {part: self.listed(name, files) for part, name in LISTS.items() if (self.path / name).is_file()}
        elsewhere = set().union(*listed.values())
        train = self.split([name for name in files if name not in elsewhere], files)
        return words_of(train, {part: self.split(sorted(names), files) for part, names in listed.items()}, classes)

    def words(self, name: str) -> list[Path]:
        """Return the recordings of a word."""
        folder = self.path / name
        found = [each.name for each in entries(folder) if not hides(each.name)]
        return [folder / each for each in found if each.lower().endswith(".wav")]

    def listed(self, name: str, files: dict[str, int]) -> set[str]:
        """Return the files that a list names; raise DataError where one is not there."""
        names = set((self.path / name).read_text(encoding="utf-8").split())
        if lacking := sorted(names - set(files)):
            raise DataError(
                f"{str(self.path / name)!r} names {len(lacking):,} files that are not there "
                f"({enumerated(lacking[:5], len(lacking), 5)}): unpack the archive anew"
            )
        return names

    def split(self, names: Sequence[str], files: dict[str, int]) -> Split:
        """Return the words of these files."""
        images = read_words([self.path / name for name in names], self.form, self.path)
        return Split(images, torch.tensor([files[name] for name in names]), tuple(names))


def speech_commands(path: Path | str, rate: int = 16_000, seconds: float = 1.0) -> SpeechCommands:
    """Make a dataset of a folder of spoken words, `path/<word>/*.wav`: `Task(data=speech_commands("words"))`.

    They become log spectrograms, images [N, 1, H, W] in [0, 1] of 161 x 101 where the rate is 16 kHz (`Spectrogram`).
    Files are of one channel, 16 bits and this rate. Words that `validation_list.txt` and `testing_list.txt` name, as in
    Google's Speech Commands (Warden 2017), are those splits; what is not there is cut by `load_data`. All words are in
    memory, 65 kB each.
    """
    return SpeechCommands(Path(path).expanduser().absolute(), Spectrogram(rate=rate, seconds=seconds))


def google_commands(root: Path) -> Source:
    """Return Google's Speech Commands, version 0.01, where its archive was unpacked below `root`."""
    folder = root / VERSION
    if not folder.is_dir():
        raise DataError(f"no dataset 'speech-commands' in {str(folder)!r}: fetch {ARCHIVE}, and unpack it there")
    return speech_commands(folder)(root)


@dataclass(frozen=True)
class SpokenDigits:
    """Read the Free Spoken Digit Dataset; see `spoken_digits`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read all recordings. `root` is not used: the path is absolute."""
        images, digits, indices, names = self.from_folder() if self.path.is_dir() else self.from_arrays()
        whole = Split(images, digits, names)
        test = indices < TEST_INDICES
        train, others = (whole.at(chosen.nonzero().squeeze(1)) for chosen in (~test, test))
        return words_of(train, {"test": others} if len(others) else {}, tuple("0123456789"))

    def from_folder(self) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
        """Return spectrograms, digits, numbers and names of the recordings in a folder."""
        found = [match for each in entries(self.path) if (match := DIGIT.fullmatch(each.name))]
        if not found:
            raise DataError(f"no recordings such as '7_jackson_32.wav' in {str(self.path)!r}: give their folder")
        names = tuple(match[0] for match in found)
        images = read_words([self.path / name for name in names], Spectrogram(rate=8_000), self.path)
        digits, indices = (torch.tensor([int(match[what]) for match in found]) for what in ("digit", "index"))
        return images, digits, indices, names

    def from_arrays(self) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
        """Return the same of an .npz file."""
        try:
            with numpy.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in RECORDED}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(
                f"cannot read {str(self.path)!r} as spoken digits: give arrays {', '.join(sorted(RECORDED))}"
            ) from error
        off, audio = arrays["off"], arrays["audio"]
        fits = len(off) == len(arrays["digit"]) + 1 == len(arrays["index"]) + 1 and off[0] == 0
        if not fits or off[-1] != len(audio) or (numpy.diff(off) < 1).any() or audio.dtype != numpy.int16:
            raise DataError(
                f"the recordings of {str(self.path)!r} do not fit each other: give 'audio' of int16, and 'off' with "
                "the place where each of them begins and the last one ends, none of them empty"
            )
        samples = torch.from_numpy(audio.astype(numpy.float32) / FULL_SCALE)
        words = samples.split(numpy.diff(off).tolist())
        digits, indices = (torch.from_numpy(arrays[name].astype(numpy.int64)) for name in ("digit", "index"))
        return Spectrogram(rate=int(arrays["rate"]))(words), digits, indices, ()


def spoken_digits(path: Path | str) -> SpokenDigits:
    """Make a dataset of the Free Spoken Digit Dataset (Jackson et al.): `Task(data=spoken_digits("recordings"))`.

    `path` is the folder of its recordings, or an .npz file with arrays audio (int16, one recording after the other),
    off (where each begins, and the end), digit, index and rate, which a path alone is known by as well. They become log
    spectrograms of one second, 81 x 101 at 8 kHz (`Spectrogram`). Recordings 0 to 4 of each speaker and digit are the
    test split.
    """
    return SpokenDigits(Path(path).expanduser().absolute())


def is_recorded(path: Path) -> bool:
    """Whether a file is an .npz of recordings."""
    try:
        with numpy.load(path, allow_pickle=False) as file:
            return set(file.files) >= RECORDED
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError):
        return False  # its reader says what is wrong
