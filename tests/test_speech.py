"""Spoken words as images: the spectrogram against its definition, the sets in their folders, and wrong files."""

import math
import re
import wave
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from torch import Generator, Tensor

from autoaug import Task
from autoaug.data import DATASETS, DataError, Spectrogram, copies, load_data, speech_commands, spoken_digits
from autoaug.data._spectrograms import CLIP, read_wav
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.train import train

RATE = 1_600
"""Hz: windows of 32 samples and steps of 16, so that words are small."""

SMALL = Spectrogram(rate=RATE)


def word(samples: int, seed: int = 0) -> Tensor:
    return torch.rand(samples, generator=Generator().manual_seed(seed)).sub_(0.5)


def write(path: Path, samples: Tensor, rate: int = RATE, channels: int = 1, width: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = samples.mul(32768).short().numpy()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(values.astype({1: "u1", 2: "<i2"}[width]).tobytes())


def by_definition(samples: Tensor, form: Spectrogram) -> numpy.ndarray:
    """log(1 + |sum of w(t) x(t) exp(-2 pi i f t / n)|), frame by frame, in float64: [F, T], normalised."""
    length, hop = round(form.rate * form.window), round(form.rate * form.step)
    count, shown = samples.double().numpy(), numpy.zeros(form.shape)
    t = numpy.arange(length)
    window = 0.54 - 0.46 * numpy.cos(2 * math.pi * t / length)
    for frame in range(min(form.shape[1], 1 + len(count) // hop)):
        places = frame * hop - length // 2 + t
        inside = (places >= 0) & (places < len(count))
        heard = numpy.where(inside, count[places.clip(0, len(count) - 1)], 0) * window
        waves = numpy.exp(-2j * math.pi * numpy.outer(numpy.arange(form.shape[0]), t) / length)
        shown[:, frame] = numpy.log1p(numpy.abs(waves @ heard))
    return (shown - shown.mean()) / shown.std()


@pytest.mark.parametrize("samples", [5, 700, 1_599, 1_600, 2_500])
def test_a_spectrogram_is_what_its_definition_says(samples: int) -> None:
    images = SMALL([word(samples), word(900, seed=1)])
    assert images.shape == (2, 1, 17, 101)
    expected = (by_definition(word(samples), SMALL) / (2 * CLIP) + 0.5).clip(0, 1)
    numpy.testing.assert_allclose(images[0, 0].numpy(), expected, atol=2e-6)
    assert torch.equal(images[1:], SMALL([word(900, seed=1)]))  # each word is normalised by itself


def test_the_sizes_are_those_of_the_papers() -> None:
    assert Spectrogram().shape == (161, 101)
    assert Spectrogram(rate=8_000).shape == (81, 101)
    assert Spectrogram()([word(12_000)]).shape == (1, 1, 161, 101)


def test_a_word_without_sound_is_grey() -> None:
    assert torch.equal(SMALL([torch.zeros(800)]), torch.full((1, 1, *SMALL.shape), 0.5))
    assert SMALL([]).shape == (0, 1, *SMALL.shape)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two words of twelve recordings, of which the lists name some, and a folder of noise."""
    folder = tmp_path_factory.mktemp("words")
    for name, seed in (("yes", 0), ("no", 100)):
        for number in range(12):
            write(folder / name / f"{number:02d}_nohash_0.wav", word(1_000 + 100 * number, seed + number))
    write(folder / "_background_noise_" / "pink_noise.wav", word(9_000))
    (folder / "yes" / "notes.txt").write_text("none")
    (folder / "validation_list.txt").write_text("yes/00_nohash_0.wav\nno/01_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text(
        "".join(f"{name}/{n:02d}_nohash_0.wav\n" for name in ("no", "yes") for n in (4, 5))
    )
    return folder


def test_speech_commands_are_split_as_their_lists_say(commands: Path) -> None:
    data = load_data(speech_commands(commands, rate=RATE), test=True)
    assert data.classes == ("no", "yes")
    assert data.val.names == ("no/01_nohash_0.wav", "yes/00_nohash_0.wav")
    assert data.test is not None
    assert data.test.names == tuple(f"{name}/{n:02d}_nohash_0.wav" for name in ("no", "yes") for n in (4, 5))
    assert data.test.targets.tolist() == [0, 0, 1, 1]
    assert len(data.train) == 24 - 2 - 4
    stored = read_wav(commands / "no" / "00_nohash_0.wav", RATE)
    torch.testing.assert_close(data.train.images[:1], SMALL([stored]))


def test_nothing_is_always_on_and_nothing_is_taken_for_a_photo(commands: Path, tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / "ab"[number % 2] / f"{number}.wav", word(9_000, number), rate=16_000)
    data = load_data(speech_commands(tmp_path), val_fraction=0.3, test_fraction=0.3)
    assert data.train.images.shape[1:] == (1, 161, 101)
    assert str(data.standard) == "none"
    assert data.kind == "spectrograms"
    assert not any(each.near for each in copies(load_data(speech_commands(commands, rate=RATE), test=True)))


def test_a_network_sees_mean_0_and_deviation_1(commands: Path) -> None:
    data = load_data(speech_commands(commands, rate=RATE))
    seen = (data.train.images - data.mean[0]) / data.std[0]
    assert abs(float(seen.mean())) < 1e-5
    assert abs(float(seen.std(correction=0)) - 1) < 1e-5
    assert data.std[0] == pytest.approx(1 / (2 * CLIP), rel=1e-3)  # no more than few values are cut off


def test_words_are_learned_as_images_are(commands: Path) -> None:
    task = Task(data=speech_commands(commands, rate=RATE), model="convnet", epochs=1, batch_size=6, warmup=0)
    mix, policy = MIXES["mixup"](alpha=0.2), Fixed(ready.none())
    *_, last = train(task, policy, mix, rng=Generator().manual_seed(0))
    assert math.isfinite(last.metrics["val_nll"])


def quiet(path: Path) -> None:
    write(path, torch.zeros(0))


def torn(path: Path) -> None:
    write(path, word(800))
    path.write_bytes(path.read_bytes()[:-300])


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "stereo": (lambda path: write(path, word(800), channels=2), "2 channels of 16 bits at 1600 Hz"),
    "rate": (lambda path: write(path, word(800), rate=8_000), "1 channel of 16 bits at 8000 Hz"),
    "bytes": (lambda path: write(path, word(800), width=1), "1 channel of 8 bits at 1600 Hz"),
    "empty": (quiet, "empty"),
    "torn": (torn, "650 of 800 samples"),
    "text": (lambda path: path.write_text("hello"), "no .wav file that can be read"),
    "nothing": (lambda path: path.write_bytes(b""), "no .wav file that can be read"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_cannot_be_used_is_named(kind: str, tmp_path: Path) -> None:
    make, reason = WRONG[kind]
    for name in ("a", "b"):
        write(tmp_path / name / "0.wav", word(400))
    make(tmp_path / "b" / "1.wav")
    pattern = rf"1 file of '.*' cannot be used \('b/1.wav': {re.escape(reason)}.*\): give .* 16 bits at 1600 Hz"
    with pytest.raises(DataError, match=pattern):
        load_data(speech_commands(tmp_path, rate=RATE))


def test_a_list_of_files_that_are_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / "0.wav", word(400))
    (tmp_path / "testing_list.txt").write_text("a/0.wav\nb/7.wav\n")
    with pytest.raises(DataError, match=r"'.*testing_list.txt' names 1 files that are not there \(b/7.wav\)"):
        load_data(speech_commands(tmp_path, rate=RATE))


def test_folders_without_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \.wav files in folders of two words: give two folders"):
        load_data(speech_commands(tmp_path, rate=RATE))
    write(tmp_path / "a" / "0.wav", word(400))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"has no \.wav files in b: give two folders"):
        load_data(speech_commands(tmp_path, rate=RATE))
    with pytest.raises(DataError, match="no folder of words at"):
        load_data(speech_commands(tmp_path / "c"))


def test_what_cannot_be_downloaded_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset 'speech-commands' in '.*': fetch https://.*v0.01.tar.gz"):
        load_data("speech-commands", root=tmp_path)
    for number in range(3):
        for name in ("left", "right"):
            write(tmp_path / "speech_commands_v0.01" / name / f"{number}.wav", word(900, number), rate=16_000)
    assert DATASETS["speech-commands"](tmp_path).classes == ("left", "right")


def test_spoken_digits_are_read_from_their_folder_and_from_arrays(tmp_path: Path) -> None:
    names, words = [], []
    for digit in range(10):
        for index in (0, 5, 6):
            names.append(f"{digit}_jackson_{index}.wav")
            words.append(word(800 + 10 * digit + index, seed=10 * digit + index).mul(32768).short().float() / 32768)
            write(tmp_path / "recordings" / names[-1], words[-1], rate=8_000)
    (tmp_path / "recordings" / "readme.txt").write_text("none")
    off = numpy.cumsum([0, *map(len, words)])
    digits, indices = (numpy.array([int(re.split(r"[_.]", name)[at]) for name in names]) for at in (0, 2))
    audio = torch.cat(words).mul(32768).short().numpy()
    arrays = {"audio": audio, "off": off, "digit": digits, "index": indices, "rate": numpy.array(8_000)}
    numpy.savez(tmp_path / "fsdd.npz", **arrays)
    one = load_data(spoken_digits(tmp_path / "recordings"), val_fraction=0.5, test=True)
    other = load_data(tmp_path / "fsdd.npz", val_fraction=0.5, test=True)  # which is known by its arrays
    assert one.fingerprint == other.fingerprint
    assert one.train.images.shape[1:] == (1, 81, 101)
    assert one.test is not None
    assert one.test.names == tuple(name for name in names if name.endswith("_0.wav"))
    assert one.classes == tuple("0123456789")

    numpy.savez(tmp_path / "short.npz", **{**arrays, "audio": audio[:-1]})
    with pytest.raises(DataError, match=r"recordings of '.*short.npz' do not fit each other: give 'audio' of int16"):
        load_data(tmp_path / "short.npz")
    with pytest.raises(DataError, match=r"no recordings such as '7_jackson_32.wav' in"):
        load_data(spoken_digits(tmp_path))
    with pytest.raises(DataError, match="as spoken digits: give arrays audio, digit, index, off, rate"):
        load_data(spoken_digits(tmp_path / "none.npz"))
