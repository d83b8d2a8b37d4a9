"""Datasets of which training learns less or other things than is there: what is scored stays as it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from autoaug.data import (
    Data,
    DataError,
    Source,
    Split,
    anchored,
    as_float,
    corrupted,
    described_data,
    is_named,
    load_data,
    long_tailed,
    reduced,
    resized,
    resplit,
    subset,
    train_on_val,
)
from autoaug.data._splits import cut, joined, taught, to_learn
from autoaug.data._taught import tail
from autoaug.photos._encoded import ImageFiles
from autoaug.train import Task

CLASSES, EACH = 4, 60


def numbers(count: int, first: int) -> Split:
    """Images whose only pixel is their number, by which they are known again, and every class in turn."""
    rows = torch.arange(first, first + count)
    return Split((rows.double() / 1000).float().view(-1, 1, 1, 1), rows % CLASSES)


def mine(root: Path) -> Source:
    return Source(train=numbers(CLASSES * EACH, 0), test=numbers(20, 500), classes=("a", "b", "c", "d"))


def ids(split: Split | None) -> list[int]:
    assert split is not None
    return sorted((split.images.flatten() * 1000).round().long().tolist())


def wrong(split: Split) -> dict[int, int]:
    """Of each image with a wrong class, the class."""
    found = (split.images.flatten() * 1000).round().long()
    rows = (split.targets != found % CLASSES).nonzero().squeeze(1)
    return dict(zip(found[rows].tolist(), split.targets[rows].tolist(), strict=True))


def counts(split: Split) -> list[int]:
    return torch.bincount(split.targets, minlength=CLASSES).tolist()


def loaded(made: Any, **settings: Any) -> Data:
    return load_data(made, **{"val_fraction": 0.25, "test": True} | settings)


MADE = {
    "corrupted": corrupted(mine, 0.5),
    "reduced": reduced(mine, 20),
    "long_tailed": long_tailed(mine, 10),
    "all": corrupted(reduced(long_tailed(mine, 3), 20), 0.5),
}


# Scores are of true classes


@pytest.mark.parametrize("selection", [False, True])
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_scores_are_of_true_classes_and_every_class_keeps_its_share(made: Any, selection: bool) -> None:
    data = loaded(made, selection=selection)
    held_out = [part for part in (data.val, data.selection, data.test) if part is not None]
    assert [wrong(part) for part in held_out] == [{}] * (3 if selection else 2)
    assert ids(data.test) == list(range(500, 520))
    assert counts(data.scored) == [EACH // 4] * CLASSES
    assert not set(ids(data.train)) & {image for part in held_out for image in ids(part)}


def test_the_images_that_scores_are_of_are_those_without_wrong_labels() -> None:
    clean, noisy = loaded(mine), loaded(corrupted(mine, 0.8))
    assert torch.equal(clean.val.images, noisy.val.images)
    assert torch.equal(clean.train.images, noisy.train.images)
    assert not torch.equal(clean.train.targets, noisy.train.targets)
    assert (clean.mean, clean.std) == (noisy.mean, noisy.std)
    assert clean.fingerprint != noisy.fingerprint


def test_a_test_split_is_cut_before_labels_are_replaced() -> None:
    def untested(root: Path) -> Source:
        return Source(train=numbers(CLASSES * EACH, 0))

    clean, noisy = loaded(untested), loaded(corrupted(untested, 1.0))
    assert clean.test is not None
    assert noisy.test is not None
    assert torch.equal(clean.test.images, noisy.test.images)
    assert wrong(noisy.test) == {}
    assert noisy.test.learned is None


# Wrong labels


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_as_many_labels_are_replaced_as_are_asked_for(share: float) -> None:
    """A class is drawn among all four, so a quarter of those that are replaced stays right."""

    def many(root: Path) -> Source:
        return Source(train=Split(torch.zeros(8000, 1, 1, 1), torch.zeros(8000).long()), test=numbers(20, 0))

    source = corrupted(lambda root: with_classes(many(root)), share)(Path())
    learned = to_learn(source.train)
    replaced = (learned != source.train.targets).sum().item() / 8000
    assert replaced == pytest.approx(0.75 * share, abs=0.02)
    for label in range(1, CLASSES):
        assert (learned == label).sum().item() / 8000 == pytest.approx(0.25 * share, abs=0.02)


def with_classes(source: Source) -> Source:
    """The source with one image of each further class, as the checks ask for."""
    extra = Split(torch.zeros(30, 1, 1, 1), torch.arange(30) % 3 + 1)
    train = joined(source.train, extra)
    return Source(train=train, test=source.test, classes=("a", "b", "c", "d"))


def test_the_exact_number_of_labels_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a draw that never hits the own class, as many are wrong as the share says."""
    monkeypatch.setattr(torch, "randint", lambda classes, shape, generator: torch.full(shape, 9))
    for share, count in ((0.2, 48), (0.5, 120), (0.999, 240)):
        assert (corrupted(mine, share)(Path()).train.learned == 9).sum() == count


def test_a_wrong_label_belongs_to_its_image() -> None:
    made = corrupted(mine, 0.5)
    every = wrong(train_on_val(loaded(made)).train)
    assert 70 < len(every) < 110, "of 240, of which 120 were drawn"
    for seed in range(3):
        data = loaded(made, seed=seed)
        assert wrong(data.train).items() <= every.items()
    data = loaded(made, selection=True)
    for seed in range(3):
        again = resplit(data, 0.25, torch.Generator().manual_seed(seed))
        assert wrong(again.train).items() <= every.items()
        assert wrong(again.val) == {}
        assert len(again.train) == len(data.train)


def test_no_draw_of_the_same_seed_decides_which_labels_are_wrong() -> None:
    """Where the draws of a seed were the same, those that are validated on would have all the wrong labels, or none."""
    for seed in range(3):
        for made in (corrupted(mine, 0.5, seed), corrupted(reduced(mine, 40, seed), 0.5, seed)):
            train = loaded(made, seed=seed).train
            assert len(wrong(train)) / len(train) == pytest.approx(0.375, abs=0.08)


def test_a_seed_gives_other_wrong_labels() -> None:
    one, same, other = (loaded(corrupted(mine, 0.5, seed=seed)).train for seed in (0, 0, 1))
    assert wrong(one) == wrong(same) != wrong(other)


# Few images, and a long tail


def test_a_few_images_of_every_class() -> None:
    data = loaded(reduced(mine, 20))
    assert counts(data.train) == [15] * 4, "of 20, a quarter is validated on"
    last = train_on_val(data).train
    assert (counts(last), len(set(ids(last)))) == ([20] * 4, 80)
    assert set(ids(data.train)) < set(ids(last))
    assert ids(last) == ids(train_on_val(loaded(reduced(mine, 20), seed=7)).train), "which are chosen is its seed's"
    assert ids(last) != ids(train_on_val(loaded(reduced(mine, 20, seed=1))).train)


def test_the_published_numbers_of_a_long_tail() -> None:
    """CIFAR-10 at a factor of 100, as long-tailed benchmarks list it (Cui et al. 2019)."""
    assert tail(5000, 10, 100).tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert tail(500, 100, 100)[[0, 99]].tolist() == [500, 5]
    assert tail(7, 3, 1).tolist() == [7, 7, 7]
    assert tail(10, 3, 1000).tolist() == [10, 1, 1], "0.316 and 0.01 of an image are one"


def test_a_long_tail() -> None:
    """60, 60 / 10^(1/3), 60 / 10^(2/3) and 6."""
    data = loaded(long_tailed(mine, 10))
    assert counts(train_on_val(data).train) == [60, 27, 12, 6]
    assert counts(data.train)[0] == 45
    assert all(0 < few <= whole for few, whole in zip(counts(data.train), [60, 27, 12, 6], strict=True))
    assert len(data.train) == 105 - round(105 * 0.25)


def test_no_class_loses_all_its_images_to_the_validation() -> None:
    """Of one image in the last class, half are asked for."""
    for seed in range(20):
        assert min(counts(loaded(long_tailed(mine, 60), val_fraction=0.5, seed=seed).train)) == 1


def test_a_draw_anew_sees_no_more_images_than_the_tail_has() -> None:
    data = loaded(long_tailed(mine, 10), selection=True)
    seen = set()
    for seed in range(30):
        again = resplit(data, 0.25, torch.Generator().manual_seed(seed))
        assert len(again.train) == len(data.train)
        seen |= set(ids(again.train))
    assert seen <= set(ids(train_on_val(data).train))


def test_they_nest_in_every_order() -> None:
    data = train_on_val(loaded(corrupted(reduced(long_tailed(mine, 3), 20), 0.5)))
    assert len(data.train) == 80
    assert 20 < len(wrong(data.train)) < 40, "half of 80 are drawn, and a quarter of these stays right"
    other = train_on_val(loaded(reduced(corrupted(mine, 0.5), 20)))
    assert len(other.train) == 80
    assert wrong(other.train).items() < wrong(train_on_val(loaded(corrupted(mine, 0.5))).train).items()
    small = loaded(resized(corrupted("digits", 0.5), 4))
    assert small.train.images.shape[2] == 4
    assert torch.equal(small.train.targets, loaded(corrupted("digits", 0.5)).train.targets)
    few = loaded(subset(corrupted(mine, 0.5), train=40, val=20))
    assert (len(few.train), len(few.val), wrong(few.val)) == (40, 20, {})
    assert 8 < len(wrong(few.train)) < 22, "three eighths of 40 are 15"


def test_a_validation_split_of_the_data_s_own_is_kept() -> None:
    def whole(root: Path) -> Source:
        return Source(train=numbers(80, 0), val=numbers(8, 100), test=numbers(8, 200))

    data = loaded(corrupted(whole, 0.5))
    assert (ids(data.val), wrong(data.val)) == (list(range(100, 108)), {})
    last = train_on_val(data).train
    assert wrong(last) == wrong(data.train)
    assert len(last) == 88


def test_images_that_are_not_decoded_yet_are_taken_too() -> None:
    files = ImageFiles(tuple(Path(f"{number}.jpg") for number in range(40)))
    split = Split(files, torch.arange(40) % 2, learned=torch.tensor([1, -1] * 20))
    kept = taught(split)
    assert [path.stem for path in kept.images.paths] == [str(number) for number in range(0, 40, 2)]
    assert (kept.targets.tolist(), kept.learned) == ([1] * 20, None)


@pytest.mark.parametrize("side", [8, 150], ids=["small", "photos"])
def test_wrong_labels_stay_with_their_files(side: int, tmp_path: Path) -> None:
    """One file is broken: what comes after it moves up, and its label with it."""
    for number in range(60):
        path = tmp_path / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (side, side), (number, 0, 0)).save(path)
    clean = train_on_val(load_data(tmp_path, size=8, val_fraction=0.2)).train
    (tmp_path / "a" / "00.png").write_bytes(b"")
    made = corrupted(reduced(tmp_path, 20), 0.5)
    data = load_data(made, size=8, val_fraction=0.2, skip_bad=True, test=True)
    own = dict(zip(clean.names, clean.targets.tolist(), strict=True))
    for split in (data.val, data.test, train_on_val(data).train):
        assert split is not None
        reds = as_float(split.images)[:, 0, 0, 0] * 255
        assert [int(name[2:4]) for name in split.names] == reds.round().long().tolist()
    last = train_on_val(data).train
    differ = sum(label != "ab".index(name[0]) for name, label in zip(last.names, last.targets.tolist(), strict=True))
    assert 4 <= differ <= 16, "of 40 labels 20 are drawn, and half of these stay right"
    assert all(label == "ab".index(name[0]) for name, label in own.items())
    assert data.val.targets.tolist() == ["ab".index(name[0]) for name in data.val.names]


def test_a_split_keeps_what_is_learned_wherever_it_goes() -> None:
    split = Split(torch.arange(4.0).view(4, 1, 1, 1), torch.tensor([0, 1, 0, 1]), learned=torch.tensor([1, 1, -1, 0]))
    plain = Split(torch.arange(4.0, 6).view(2, 1, 1, 1), torch.tensor([0, 1]))
    for both, expected in ((joined(split, plain), [1, 1, -1, 0, 0, 1]), (joined(plain, split), [0, 1, 1, 1, -1, 0])):
        assert to_learn(both).tolist() == expected
    assert to_learn(split.at(torch.tensor([3, 2])).to("cpu")).tolist() == [0, -1]
    assert joined(plain, plain).learned is None
    assert taught(plain) is plain


def test_both_sides_of_a_cut_have_all_images() -> None:
    source = long_tailed(mine, 20)(Path())
    first, second = cut(source.train, source.classes, 0.3, torch.Generator().manual_seed(0), "a cut")
    assert sorted(ids(first) + ids(second)) == list(range(CLASSES * EACH))


# Errors, names, texts


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (corrupted(mine, 1.1), "share=1.1 of corrupted data 'mine': give a number from 0 to 1"),
        (corrupted(mine, float("nan")), "share=nan of corrupted data 'mine'"),
        (long_tailed(mine, 0.5), "factor=0.5 of long-tailed data 'mine': give 1 or more"),
        (long_tailed(mine, float("nan")), "factor=nan"),
        (reduced(mine, 0), "per_class=0 of reduced data 'mine': class 'a' has 60 training images, so give 1 to 60"),
        (reduced(mine, 61), "per_class=61 of reduced data 'mine': class 'a' has 60 training images"),
        (reduced(long_tailed(mine, 10), 20), "class 'c' has 12 training images, so give 1 to 12"),
        (subset(reduced(mine, 20), 8, 8), "of a subset of data 'Reduced(.*which leaves images out itself: take the s"),
    ],
)
def test_what_cannot_be(made: Any, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(.*", r"\(.*")):
        loaded(made)


def test_what_is_made_of_a_named_dataset_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for make in (lambda data: corrupted(data), lambda data: long_tailed(data), lambda data: reduced(data, 5)):
        assert is_named(make("digits"))
        assert not is_named(make("./photos"))
        assert anchored(make("photos")).data == str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cifar10", "cifar10"),
        ("cifar10:reduced=100", reduced("cifar10", 100)),
        ("cifar10:reduced=100,corrupted=0.2", corrupted(reduced("cifar10", 100), 0.2)),
        ("photos/mine:corrupted=.5,reduced=9,seed=3", reduced(corrupted("photos/mine", 0.5, 3), 9, 3)),
        ("digits:long-tailed=10,resized=4", resized(long_tailed("digits", 10), 4)),
        ("C:\\photos", "C:\\photos"),
        ("a:b", "a:b"),
        ("x=1", "x=1"),
    ],
)
def test_a_text_describes_a_dataset(text: str, expected: Any) -> None:
    assert described_data(text) == expected
    assert Task(data=text).data == expected
    assert Task(data=text).anchored().data == anchored(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digits:corupted=0.2", "unknown word 'corupted' in data 'digits:corupted=0.2': did you mean 'corrupted'?"),
        ("digits:reduced=1.5", r"reduced=1.5 in data 'digits:reduced=1.5': give a whole number of 0 or more"),
        ("digits:corrupted=much", "corrupted=much in data .*: give a number of 0 or more"),
        ("digits:corrupted=0.2,", "unknown word '' in data"),
    ],
)
def test_a_text_that_describes_nothing(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}".replace("?", r"\?")):
        Task(data=text)


def test_a_folder_of_such_a_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd:reduced=3").mkdir()
    assert described_data("odd:reduced=3") == "odd:reduced=3"
