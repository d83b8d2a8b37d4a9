"""Spoken words as images: log spectrograms, normalised word by word, in [0, 1].

N words, F frequencies, T frames
"""

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy
import torch
from torch import Tensor

from autoaug.data._splits import DataError
from autoaug.text import agreeing, enumerated

CLIP = 20.0
"""Standard deviations from the mean that lie at 0 and 1. Beyond them words are cut off."""

FULL_SCALE = 32768
"""Of 16-bit samples, which become numbers in [-1, 1]."""

AT_ONCE = 256
"""Words that are transformed at once: as samples of one second at 16 kHz 16 MB."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Spectrogram:
    """Say how words become log spectrograms: by default 161 x 101, as in section 3.3 of the mixup paper."""

    rate: int = 16_000
    """Samples a second."""
    window: float = 0.02
    """Seconds that a frame sees, through a Hamming window."""
    step: float = 0.01
    """Seconds from one frame to the next."""
    seconds: float = 1.0
    """Longer words are cut there, shorter ones are followed by zeros."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return F and T."""
        return round(self.rate * self.window) // 2 + 1, 1 + round(self.seconds / self.step)

    def __call__(self, words: Sequence[Tensor]) -> Tensor:
        """Return the spectrograms of words, each a row of samples in [-1, 1]: [N, 1, F, T], float32 in [0, 1].

        Of each word log(1 + |STFT|), where the frames are centred on multiples of the step and what lies outside of
        the word is 0; frames behind its end are 0. Then mean 0 and deviation 1 over the F T values of the word, as
        GCommandsPytorch has it, and all by one affine map from [-CLIP, CLIP] to [0, 1]. So a network that is trained on
        them sees mean 0 and deviation 1 after the normalisation of the trainer. A word without any sound is 0.5.
        """
        if not words:
            return torch.zeros(0, 1, *self.shape)
        logs = torch.cat([self.magnitudes(some) for some in in_turn(words)]).log1p()
        deviation, mean = torch.std_mean(logs, dim=(1, 2), correction=0, keepdim=True)
        deviation = deviation.where(deviation > 0, 1)
        return logs.sub_(mean).div_(deviation).div_(2 * CLIP).add_(0.5).clamp_(0, 1).unsqueeze(1)

    def magnitudes(self, words: Sequence[Tensor]) -> Tensor:
        """Return |STFT| of words, [N, F, T]."""
        length, hop = round(self.rate * self.window), round(self.rate * self.step)
        frames = self.shape[1]
        half, whole = length // 2, (frames - 1) * hop
        samples = torch.zeros(len(words), half + whole + half)
        for row, word in zip(samples, words, strict=True):
            kept = word[: whole + half]
            row[half : half + len(kept)] = kept
        window = torch.hamming_window(length)
        found = torch.stft(samples, length, hop, window=window, center=False, return_complex=True).abs()[:, :, :frames]
        ends = torch.tensor([len(word) // hop for word in words])
        return found * (torch.arange(frames) <= ends.unsqueeze(1)).unsqueeze(1)


def in_turn(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield AT_ONCE of the items after the other."""
    yield from (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def read_wav(path: Path, rate: int) -> Tensor:
    """Return the samples of a .wav file of one channel and 16 bits, in [-1, 1].

    Raises:
        ValueError: it is another kind of file, of another rate, or holds less than it says; the message is what is
            wrong, without the file's name.
    """
    try:
        with wave.open(str(path), "rb") as file:
            kind = file.getnchannels(), 8 * file.getsampwidth(), file.getframerate()
            samples, promised = file.readframes(file.getnframes()), file.getnframes()
    except (wave.Error, EOFError, OSError) as error:
        raise ValueError(f"no .wav file that can be read: {error or 'it ends too early'}") from error
    if kind != (1, 16, rate):
        raise ValueError(f"{kind[0]} {agreeing(kind[0], 'channel')} of {kind[1]} bits at {kind[2]} Hz")
    if not samples or len(samples) != 2 * promised:
        raise ValueError("empty" if not promised else f"{len(samples) // 2} of {promised} samples")
    values = numpy.frombuffer(samples, dtype="<i2").astype(numpy.float32)
    return torch.from_numpy(values / FULL_SCALE)


def read_words(files: Sequence[Path], form: Spectrogram, folder: Path) -> Tensor:
    """Return the spectrograms of .wav files: [N, 1, F, T].

    Raises:
        DataError: some cannot be used; all are counted, and the first are named.
    """
    wrong: list[str] = []

    def heard(path: Path) -> Tensor:
        try:
            return read_wav(path, form.rate)
        except ValueError as error:
            wrong.append(f"{str(path.relative_to(folder))!r}: {error}")
            return torch.zeros(1)

    parts = [form([heard(path) for path in some]) for some in in_turn(files)]
    if wrong:
        raise DataError(
            f"{len(wrong):,} {agreeing(len(wrong), 'file')} of {str(folder)!r} cannot be used "
            f"({enumerated(wrong[:5], len(wrong), 5)}): give .wav files of one channel of 16 bits at {form.rate} Hz"
        )
    return torch.cat(parts) if parts else form([])
