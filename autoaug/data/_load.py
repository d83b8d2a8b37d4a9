"""From a name, a path or a function to the tensors that are trained on, split three ways."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from autoaug.data._checks import checked
from autoaug.data._digits import DIGITS
from autoaug.data._distributed import Bach, TinyImageNet, recognised
from autoaug.data._feature_files import FeatureTable, named_table
from autoaug.data._files import ImageFolder, Npz, image_folder, npz
from autoaug.data._holding import held
from autoaug.data._listing import stamp
from autoaug.data._moments import fingerprint, moments
from autoaug.data._returned import as_source
from autoaug.data._source import Kind, Reader, Reading, Source, usual_standard
from autoaug.data._speech import SpeechCommands, SpokenDigits, google_commands, is_recorded, spoken_digits
from autoaug.data._splits import DataError, Split, cut, joined, taught, with_images
from autoaug.data._standard import Standard, standard_named
from autoaug.data._table import SUFFIXES, ImageTable, image_table
from autoaug.data._torchvision_sets import TORCHVISION
from autoaug.lookup import suggest
from autoaug.photos import Frame, Hold, Wanted

FilesReader = ImageFolder | ImageTable | Npz | TinyImageNet | Bach | SpeechCommands | SpokenDigits | FeatureTable
"""Reads a user's own files: what was read before is what would be read again, until they change."""

DATASETS: dict[str, Reader] = {**DIGITS, **TORCHVISION, "speech-commands": google_commands}
"""The datasets with a name: a row reads one from, or downloads it to, the folder that it is given."""

SPLITS = ("train", "val", "selection", "test", "pool")
"""The fields of `Data` that hold images."""

TEST_FRACTION = 0.2
TEST_SEED = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """Images to train, validate and test on. The tensors may be shared: never write into them."""

    train: Split
    val: Split
    test: Split | None
    """None while searching: what is not there cannot be looked at."""
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training pixels in [0, 1], one number per channel."""
    std: tuple[float, ...]
    """Of the training pixels in [0, 1], one number per channel, at least 1/255."""
    standard: Standard
    """The augmentation that is always on."""
    standard_reason: str
    """Why it is that one, in a few words."""
    brought: Standard | None
    """The standard augmentation that the dataset itself asks for."""
    fingerprint: str
    """16 hexadecimal digits over all training and validation images and targets, the same in every process."""
    val_is_cut: bool = False
    """The validation images were cut from the training images, so both can be split anew (`resplit`)."""
    test_is_cut: bool = False
    """The test images were cut from the training images."""
    reading: Reading | None = None
    """What was found in the files, where the data are a folder of images."""
    frame: Frame | None = None
    """What is kept of each image and what a network sees of it, where they were decoded here."""
    holding: str = ""
    """How the images are held, in words."""
    selection: Split | None = None
    """Images that are never trained on where `val` is drawn anew in every epoch, so that training meets its images."""
    kind: Kind = "images"
    """What the tensors hold."""
    pool: Split | None = None
    """All images that `train` was made of, with their own classes, where training learns other ones or leaves some out;
    None: they are `train`. See `Split.learned`."""

    @property
    def scored(self) -> Split:
        """Return the images of the validation scores by which points and policies are chosen."""
        return self.val if self.selection is None else self.selection

    @property
    def channels(self) -> int:
        """Return C: 1 for grey images, 3 for colour."""
        return len(self.mean)

    def to(self, device: torch.device | str) -> "Data":
        """Return the same data, with all images and targets on `device`."""
        parts = {name: part for name in SPLITS if (part := getattr(self, name)) is not None}
        moved: dict[str, Any] = {name: part.to(device) for name, part in parts.items()}
        return replace(self, **moved)


def load_data(
    data: str | Path | Reader,
    *,
    root: Path | str = "data",
    val_fraction: float = 0.1,
    test_fraction: float = TEST_FRACTION,
    seed: int = 0,
    standard: str | Standard = "auto",
    size: int | None = None,
    hold: Hold = "auto",
    skip_bad: bool = False,
    selection: bool = False,
    test: bool = False,
) -> Data:
    """Load and split a dataset.

    `data` is a name of DATASETS, the path of a folder of images, of a table of them (.csv, .tsv) or of an .npz file, or
    a function of `root` that returns a Source, tensors or datasets (see `as_source`). A name wins over a folder of the
    same name; "./name" is the folder. `root` is where named datasets are kept and downloaded.

    What the dataset does not split itself is cut from its training images, class by class: first `test_fraction` of
    them, the same ones for every `seed`, so that a search that splits anew never meets a test image; then
    `val_fraction` of what remains, drawn by `seed`. With `test` False, as in every search, no test images are
    returned; the other two splits do not depend on it.

    With `selection`, as many images as the validation images again are held out from training: the same ones that are
    the validation images without it. Only where the dataset has no validation images of its own.

    `standard` is a `Standard` or its text, such as a name of STANDARDS; with "auto" the augmentation that is always on
    is what the dataset brings, or else `usual_standard` of its training images.

    `size` is the height and width in pixels of what a network sees; None is that of the images, or of photos 224, or
    less where they are smaller. `hold` says how photos are held, see `Task.hold`; with `skip_bad` files that cannot be
    read are left out, and named in `Data.reading`.

    Raises:
        DataError: the data cannot be used; the message names what, of which data, and what to do.
        ValueError: `standard` is no such text.
    """
    name = data_name(data)
    asked = standard_named(standard) if isinstance(standard, str) and standard != "auto" else standard
    _check_fractions(val_fraction=val_fraction, test_fraction=test_fraction)
    divide, keep = (_divided, _held) if is_kept(data) else (_divided.__wrapped__, _held.__wrapped__)
    source = keep(read(data, root), Wanted(size, hold, skip_bad), name)
    loaded = divide(source, val_fraction, test_fraction, seed, selection, name)
    if isinstance(asked, Standard):
        if loaded.kind == "features" and asked != loaded.brought:
            raise DataError(
                f"standard augmentation '{asked}' is for images, and {name} are rows of features: give 'none'"
            )
        loaded = replace(loaded, standard=asked, standard_reason="as asked")
    return loaded if test else replace(loaded, test=None)


@lru_cache(maxsize=2)
def _held(source: Source, wanted: Wanted, name: str) -> Source:
    """Return a source whose images can be trained on. The last are cached: each trial of a study asks for the same."""
    return held(source, wanted, name)


@lru_cache(maxsize=2)
def _divided(
    source: Source, val_fraction: float, test_fraction: float, seed: int, with_selection: bool, name: str
) -> Data:
    """Return a source with all three splits. The last are cached: each trial of a study asks for the same."""
    test_is_cut, source = source.test is None, with_test(source, test_fraction, name)
    pool, val, selection = _trained_and_held_out(source, val_fraction, seed, with_selection, name)
    test, rule = source.test, source.rule
    if rule is not None:
        mapped = rule.fitted(taught(pool).images)
        pool, val = with_images(pool, mapped), with_images(val, mapped)
        selection, test = (split and with_images(split, mapped) for split in (selection, test))
    train = taught(pool)
    mean, std = ((rule.mean,), (rule.std,)) if rule else moments(train.images)
    brought = (source.standard, "the dataset's own") if source.standard else None
    standard, reason = brought or usual_standard(train.images)
    return Data(
        train=train,
        val=val,
        test=test,
        classes=source.classes,
        mean=mean,
        std=std,
        standard=standard,
        standard_reason=reason,
        brought=source.standard,
        fingerprint=fingerprint(train, val, *([selection] if selection else [])),
        val_is_cut=source.val is None,
        selection=selection,
        pool=pool if train is not pool else None,
        test_is_cut=test_is_cut,
        reading=source.reading,
        frame=source.frame,
        holding=source.holding,
        kind=source.kind,
    )


def _check_fractions(**fractions: float) -> None:
    """Raise DataError unless each lies between 0 and 1."""
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise DataError(f"{name}={fraction}: give a number between 0 and 1, both excluded, for example 0.1")


def _trained_and_held_out(
    source: Source, fraction: float, seed: int, with_selection: bool, name: str
) -> tuple[Split, Split, Split | None]:
    """Return the training and validation images and, where they are asked for, those for the selection."""
    if source.val is not None:
        return source.train, source.val, None
    rng, where = torch.Generator().manual_seed(seed), f"val_fraction={fraction} of {name}"
    held_out, rest = cut(source.train, source.classes, fraction, rng, where)
    if not with_selection:
        return rest, held_out, None
    val, train = cut(rest, source.classes, fraction, rng, f"{where}, of what the selection leaves,")
    return train, val, held_out


def with_test(source: Source, fraction: float, name: str) -> Source:
    """Return the source with a test split: `fraction` of the training images where it has none of its own."""
    if source.test is not None:
        return source
    rng = torch.Generator().manual_seed(TEST_SEED)
    test, train = cut(source.train, source.classes, fraction, rng, f"test_fraction={fraction} of {name}")
    return replace(source, train=train, test=test)


def is_kept(data: str | Path | Reader) -> bool:
    """Whether reading the data again gives what was read before: not so of a user's function."""
    return isinstance(data, str | Path | FilesReader)


def read(data: str | Path | Reader, root: Path | str) -> Source:
    """Return the checked source of `data`, unsplit.

    The last few are cached, but never what a user's function returned.
    """
    reader, folder, name = _find(data), Path(root).expanduser().absolute(), data_name(data)
    if isinstance(reader, FilesReader):
        return _kept(reader, folder, name, stamp(reader.path))
    if isinstance(data, str):
        return _kept(reader, folder, name, 0)
    return _read(reader, folder, name)


def _read(reader: Reader, root: Path, name: str) -> Source:
    """Return the checked source of a reader."""
    return checked(as_source(reader(root), name), name)


@lru_cache(maxsize=4)
def _kept(reader: Reader, root: Path, name: str, version: int) -> Source:
    """Return the checked source of a reader from the cache."""
    return _read(reader, root, name)


def data_name(data: str | Path | Reader | None) -> str:
    """Return the name of the data in an error: "data 'cifar10'"; of none, which a loop reads itself, in words."""
    if data is None:
        return "the data of the loop"
    return f"data {getattr(data, '__name__', str(data))!r}"


def _find(data: str | Path | Reader) -> Reader:
    """Return the reader of a name or a path; raise DataError where there is none."""
    if not isinstance(data, str | Path):
        return data
    if isinstance(data, str) and data in DATASETS:
        return DATASETS[data]
    if table := named_table(str(data)):
        return table
    if data and Path(data).expanduser().is_dir():
        return recognised(Path(data).expanduser().absolute()) or image_folder(data)
    if Path(data).suffix.lower() in SUFFIXES:
        return image_table(data)
    if Path(data).suffix == ".npz":
        return spoken_digits(data) if is_recorded(Path(data).expanduser()) else npz(data)
    raise DataError(_unknown(str(data)))


FILES = "a folder of images, of a table of them (.csv, .tsv) or of an .npz file"


def _unknown(data: str) -> str:
    """Return the message for a name or a path that no reader has."""
    if Path(data).expanduser().is_file():
        return f"data {data!r} is a file of an unknown kind: give the path of {FILES}"
    if Path(data).name != data:
        return f"data {data!r}: there is no such folder; give the path of {FILES}"
    return f"unknown dataset {data!r}: {suggest(data, DATASETS)} (the path of {FILES} does as well)"


def resplit(data: Data, fraction: float, rng: torch.Generator) -> Data:
    """Return the same images with another split into training and validation, class by class, drawn by `rng`.

    Nothing is drawn where the dataset has validation images of its own. The images for the selection stay aside. Mean,
    deviation and fingerprint stay.
    """
    if not data.val_is_cut:
        return data
    val, rest = cut(joined(_pool(data), data.val), data.classes, fraction, rng, f"val_fraction={fraction}")
    return replace(data, train=taught(rest), val=val)


def train_on_val(data: Data) -> Data:
    """Return the data with all that was held out among the training images, for a last run after the search.

    Validation figures of such a run are training figures. Mean, deviation and fingerprint stay as they were.
    """
    pool = joined(_pool(data), data.val)
    every_image = pool if data.selection is None else joined(pool, data.selection)
    return replace(data, train=taught(every_image), val_is_cut=False, selection=None, pool=None)


def _pool(data: Data) -> Split:
    """Return the training images with their own classes, those too that training leaves out."""
    return data.train if data.pool is None else data.pool
