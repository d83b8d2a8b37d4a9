"""Partners among the nearest neighbours: tables against sorting all distances, draws, what is kept, refusals."""

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Generator, Tensor

from autoaug import Budget, Study, Task
from autoaug.mixing import MIXES, PairMix, build, described
from autoaug.mixing import _neighbours as neighbours
from autoaug.mixing._neighbours import NeighbourMix, Neighbours, kept, nearest
from autoaug.photos import cache_folder
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.testing import TrainingMixTestCase
from autoaug.testing._mix_in_training import CLASSES, training_batch
from autoaug.train import TrainingRun

CHANCE = 1e-4
TASK = Task(data="digits:reduced=10", model="convnet", epochs=1, batch_size=24, device="cpu")
PAIRS = [name for name, row in MIXES.items() if isinstance(row(), PairMix) and name != "none"]


class TestNeighbours(TrainingMixTestCase):
    @pytest.fixture(params=["neighbours", "class-neighbours"])
    def mix(self, request: pytest.FixtureRequest) -> Any:
        return lambda **given: build("mixup", partner=request.param, k=3, **given)


# Tables


def by_sorting(images: Tensor, classes: Tensor | None, k: int) -> list[list[int]]:
    """The neighbours of each image in a table of all distances, sorted by distance and then by index."""
    flat = images.flatten(1).double()
    distances = (flat[:, None] - flat[None]).square().sum(2)
    found = []
    for i, row in enumerate(distances.tolist()):
        others = [j for j in range(len(row)) if j != i and (classes is None or classes[i] == classes[j])]
        found.append(sorted(sorted(others, key=lambda j: (row[j], j))[:k]))
    return found


def without_padding(table: Tensor) -> list[list[int]]:
    return [[index for index in row if index >= 0] for row in table.tolist()]


@pytest.mark.parametrize("k", [1, 4, 39, 1000])
@pytest.mark.parametrize("classwise", [False, True])
@pytest.mark.parametrize("kind", ["bytes", "few values", "floats"])
def test_neighbours_are_those_of_sorting_all_distances(
    k: int, classwise: bool, kind: str, monkeypatch: pytest.MonkeyPatch, rng: Generator
) -> None:
    """In pieces as small as they come; images of few values have many ties, some are twice there."""
    monkeypatch.setattr(neighbours, "MOST", 100)
    images = torch.randint(2 if kind == "few values" else 256, (40, 1, 2, 3), generator=rng, dtype=torch.uint8)
    images = images / 255 if kind == "floats" else images
    classes = torch.randint(4, (40,), generator=rng) if classwise else None
    assert without_padding(nearest(images, classes, k)) == by_sorting(images, classes, k)


def test_an_image_alone_in_its_class_has_no_neighbour_and_stays_as_it_is(rng: Generator) -> None:
    table = nearest(torch.rand(4, 2, generator=rng), torch.tensor([0, 1, 0, 2]), 5)
    assert without_padding(table) == [[2], [], [0], []]
    found = Neighbours(table, (table >= 0).sum(1)).draw(torch.tensor([1, 3, 0]), rng)
    assert found.tolist() == [1, 3, 2]
    alone = nearest(torch.rand(2, 2, generator=rng), torch.tensor([0, 1]), 5)
    assert Neighbours(alone, (alone >= 0).sum(1)).draw(torch.tensor([1, 0]), rng).tolist() == [1, 0]


def test_every_neighbour_is_as_likely_as_any_other(rng: Generator) -> None:
    table = torch.tensor([[1, 2, 3, 4], [0, 2, -1, -1]], dtype=torch.int32)
    found = Neighbours(table, torch.tensor([4, 2])).draw(torch.arange(2).repeat(2000), rng)
    counts = [torch.bincount(found[each::2], minlength=5) for each in (0, 1)]
    assert counts[0][0] == 0
    assert chisquare(counts[0][1:].numpy()).pvalue > CHANCE
    assert counts[1].nonzero().flatten().tolist() == [0, 2]
    assert chisquare(counts[1][[0, 2]].numpy()).pvalue > CHANCE


# Kept


def test_neighbours_are_found_once_for_the_same_images() -> None:
    found, split = [], type("Split", (), {})()
    batch = training_batch()

    def all_images() -> Tensor:
        found.append(1)
        return batch.all_images()

    for _ in range(2):
        for kind in ("mixup", "cutmix"):
            mix: Any = build(kind, partner="neighbours", k=3)
            mix.mix_in_training(replace(batch, split=split, all_images=all_images))
    assert len(found) == 1
    other: Any = build("mixup", partner="neighbours", k=4)
    other.mix_in_training(replace(batch, split=split, all_images=all_images))
    assert len(found) == 2
    assert split in neighbours.KNOWN
    del split
    assert len([each for each in neighbours.KNOWN if type(each).__name__ == "Split"]) == 0, "they go with the images"


def test_what_takes_long_is_kept_on_disk_and_what_is_damaged_is_found_again(
    monkeypatch: pytest.MonkeyPatch, rng: Generator
) -> None:
    images, found = torch.randint(256, (30, 1, 3, 3), generator=rng, dtype=torch.uint8), []
    original = nearest
    monkeypatch.setattr(neighbours, "nearest", lambda *given: found.append(1) or original(*given))
    wanted = original(images, None, 4)
    assert torch.equal(kept(images, None, 4), wanted)
    folder = cache_folder().parent / "neighbours"
    assert not folder.exists(), "so few are found in a moment"
    monkeypatch.setattr(neighbours, "WORTH_KEEPING", 0)
    for _ in range(3):
        assert torch.equal(kept(images, None, 4), wanted)
    assert len(found) == 2
    [path] = folder.iterdir()
    for damage in (b"", path.read_bytes()[:-5], b"no table"):
        path.write_bytes(damage)
        assert torch.equal(kept(images, None, 4), wanted)
    assert len(found) == 5
    for others in (images.flip(0), images.float()):
        kept(others, None, 4)
    kept(images, torch.zeros(30, dtype=torch.int64), 4)
    assert len(found) == 8, "other images, another type, classes"
    assert {each.suffix for each in folder.iterdir()} == {".npy"}


def test_a_folder_that_cannot_be_written_only_means_that_they_are_found_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: Generator
) -> None:
    monkeypatch.setattr(neighbours, "WORTH_KEEPING", 0)
    (tmp_path / "autoaug").write_text("a file where the folder would be")
    monkeypatch.setenv("AUTOAUG_CACHE", os.fspath(tmp_path / "autoaug"))
    images = torch.rand(9, 2, generator=rng)
    assert torch.equal(kept(images, None, 2), nearest(images, None, 2))


# Mixes


@pytest.mark.parametrize("kind", PAIRS)
def test_partners_are_neighbours_as_the_training_sees_them(kind: str) -> None:
    """The k nearest have the class that `others` gives them here, and nobody else is asked for."""
    batch, asked = training_batch(), []
    near = by_sorting(batch.all_images(), None, 3)

    def others(indices: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(indices)
        images, targets = batch.others(indices)
        return torch.ones_like(images), torch.eye(CLASSES)[2].expand_as(targets)

    own = torch.eye(CLASSES)[0].expand(16, -1)
    black = replace(batch, images=torch.zeros_like(batch.images), targets=own, others=others)
    mix: Any = build(kind, partner="neighbours", k=3, alpha=8.0)
    mixed = mix.mix_in_training(black)
    assert all(int(index) in near[int(i)] for i, index in zip(batch.chosen, asked[0], strict=True))
    torch.testing.assert_close(mixed.images.mean(dim=(1, 2, 3)), mixed.targets[:, 2], rtol=0, atol=1e-5)


def test_smote_mixes_within_a_class_and_changes_no_label() -> None:
    batch = training_batch()
    mix: Any = build("smote", k=2)
    mixed = mix.mix_in_training(batch)
    assert torch.equal(mixed.targets, batch.targets)
    assert (mixed.images != batch.images).flatten(1).any(1).all()
    near = by_sorting(batch.all_images(), batch.all_targets, 2)
    for row, own, i in zip(mixed.images, batch.images, batch.chosen.tolist(), strict=True):
        lines = [(batch.all_images()[j] - own).flatten() for j in near[i]]
        shares = [float((row - own).flatten() @ line / (line @ line)) for line in lines]
        assert any(
            0 <= share <= 1 and (own.flatten() + share * line - row.flatten()).abs().max() < 1e-5
            for share, line in zip(shares, lines, strict=True)
        ), "it lies between the image and a neighbour of its class"


def test_it_is_written_down_and_made_again() -> None:
    for mix in (build("cutmix", partner="class-neighbours", k=7, alpha=0.3, probability=0.5), build("smote", k=3)):
        written = described(mix)
        assert build(written.pop("kind"), **written) == mix


# In a training


def test_partners_are_augmented_as_the_training_images_are() -> None:
    """By the standard augmentation and the policy, which here makes all pixels 1."""
    data = TASK.load()

    class White(torch.nn.Module):
        def forward(self, images: Tensor, rng: Generator) -> Tensor:
            return torch.ones_like(images)

    mix: Any = build("mixup", partner="neighbours", k=5)
    run = TrainingRun(TASK, White(), mix, None, Generator().manual_seed(0), data)  # type: ignore[arg-type]
    run.epoch = 1
    seen = run.augment(data.train.images[:8].float(), data.train.targets[:8], torch.arange(8))
    torch.testing.assert_close(seen.images, torch.ones_like(seen.images))
    assert run.data.train in neighbours.KNOWN


def study(task: Task = TASK, **mix: Any) -> Study:
    arms = {"n": none().mixed("mixup", **mix)}
    return Study(name="x", task=task, strategies=arms, budget=Budget(trials=1), seeds=1)


def test_too_many_neighbours_are_a_caution() -> None:
    for partner, words in (
        ("neighbours", r"mix.k is 500, and there are .* other training images: partners are drawn from all"),
        ("class-neighbours", "mix.k is 500, and the smallest class has .* other training images"),
    ):
        with pytest.warns(UserWarning, match=words):
            preflight(study(partner=partner, k=500))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preflight(study(partner="class-neighbours", k=4))


def test_training_images_that_change_or_are_not_held_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the training images are others in each epoch; give Task.resplit='fixed'"):
        preflight(study(replace(TASK, resplit="per_epoch"), partner="neighbours"))
    mix = build("mixup", partner="class-neighbours")
    assert isinstance(mix, NeighbourMix)
    setting: Any = type("Setting", (), {"resplit": False, "hold": "stream", "class_sizes": (9, 9)})()
    with pytest.raises(ValueError, match=r"the photos are decoded in order; give Task.hold='cache' or 'memory'"):
        mix.check(setting)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"k": 0}, "mix.k is 0"), ({"k": 2.5}, "mix.k is 2.5"), ({"partner": "neighbour"}, "mix.partner is 'neighbour'")],
)
def test_impossible_parameters_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("mixup", **{"partner": "neighbours"} | given)
