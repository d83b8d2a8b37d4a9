"""Galleries of studies: made at the end of a final run with its network, or afterwards without one."""

import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from studies_for_tests import tiny
from torchvision.transforms.v2.functional import pil_to_tensor

from autoaug import Budget, Study, Task, Trial
from autoaug.data import tensors
from autoaug.execution import Event, Options, complete_gallery
from autoaug.execution._gallery import allowed
from autoaug.executors import conduct
from autoaug.gallery import NOTHING, Gallery
from autoaug.ops import OPS
from autoaug.policy import Fixed, apply, policy_tree
from autoaug.record import TrialKind
from autoaug.store import Store, delete_study, gallery_of, pictures_of
from autoaug.strategies import Strategy, none, online_score, published, trivialaugment

GREY, WHITE = 100, 255


def marked() -> Task:
    """Training images are grey, and all others white: they cannot be told by their classes."""
    targets = torch.arange(12) % 3
    parts = {level: torch.full((12, 1, 8, 8), level, dtype=torch.uint8) for level in (GREY, WHITE)}
    data = tensors((parts[GREY], targets), (parts[WHITE], targets), (parts[WHITE], targets))
    return Task(data=data, model="convnet", epochs=1, batch_size=6, lr=0.1, device="cpu", standard="none")


def small(**more: object) -> Study:
    given: dict[str, object] = {
        "strategies": {"none": none()},
        "space": {},
        "task": marked(),
        "budget": Budget(trials=1),
        "seeds": 1,
    }
    return tiny(**given | more)


def run_out(study: Study, store: Store, options: Options) -> None:
    conduct(study, store, "local", options, lambda event: None)


def gallery(store: Store, name: str = "tiny") -> Gallery:
    found = gallery_of(store, name)
    assert found is not None
    return found


def levels(store: Store, name: str = "tiny") -> set[int]:
    """All pixels of all pictures of a gallery."""
    pictures = [picture for sheets in gallery(store, name).strategies.values() for picture in sheets.pictures]
    contents = pictures_of(store, name, pictures).values()
    opened = [pil_to_tensor(Image.open(io.BytesIO(content))) for content in contents]
    return {level for pixels in opened for level in pixels.unique().tolist()}


@pytest.mark.parametrize("final_data", ["train", "train+val"])
def test_a_final_run_shows_training_images_with_its_network(final_data: str, store: Store, options: Options) -> None:
    """Though it is given those to test on, and may train on those to validate on."""
    run_out(small(final_data=final_data), store, options)
    (sheets,) = gallery(store).strategies.values()
    assert sheets.checked
    assert levels(store) == {GREY}
    assert all(outcome.warning == "" for outcome in store.outcomes("tiny"))


def test_each_strategy_is_shown_and_one_that_moves_by_epoch(store: Store, options: Options) -> None:
    study = tiny(
        strategies={"none": none(), "ra": trivialaugment(), "online": online_score()},
        space={},
        budget=Budget(trials=1),
        seeds=1,
        deploy=("last_policy",),
    )
    run_out(study, store, options)
    found = gallery(store)
    assert list(found.strategies) == ["none", "ra", "online"]
    epochs = {name: [sheet.epoch for sheet in sheets.by_epoch] for name, sheets in found.strategies.items()}
    assert epochs == {"none": [None], "ra": [None], "online": [1, 2]}
    assert {each.caption for row in found.strategies["none"].by_epoch[0].cells for each in row} == {"nothing"}
    originals = {sheets.images.picture for sheets in found.strategies.values() if sheets.images}
    assert len(originals) == 1
    assert all(sheets.checked for sheets in found.strategies.values())
    captions = {each.caption for row in found.strategies["ra"].by_epoch[0].cells for each in row}
    assert len(captions) > 6
    names = {name.replace("_", " ") for name in OPS} | {NOTHING}
    assert all(any(part.startswith(name) for name in names) for words in captions for part in words.split(", "))


def test_a_gallery_changes_nothing_of_what_is_measured(store: Store, tmp_path: Path, options: Options) -> None:
    """Scores and epochs are those of a training without one: the seed of the study says so, and both are run."""
    run_out(small(), store, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoaug.execution._worker.is_shown", lambda *_: False)
        other = Store(f"sqlite:///{tmp_path / 'other.db'}")
        run_out(small(), other, options)
    one, two = ([record.metrics for record in each.epochs("tiny")] for each in (store, other))
    assert one == two


def test_a_gallery_that_fails_is_a_warning_and_made_at_the_end(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("the network is gone")

    monkeypatch.setattr("autoaug.execution._gallery.looked_at", broken)
    run_out(small(), store, options)
    (final,) = [outcome for outcome in store.outcomes("tiny") if outcome.kind is TrialKind.FINAL]
    assert final.state == "COMPLETE"
    assert final.warning.startswith("the gallery of none could not be made: RuntimeError: the network is gone")
    (sheets,) = gallery(store).strategies.values()
    assert not sheets.checked


def loop(trial: Trial) -> Iterator[Mapping[str, float]]:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in trial.epochs(1, model=model, optimiser=optimiser):
        trial.augment(*(part[:4] for part in (trial.split("train").images, trial.split("train").targets)))
        optimiser.step()
        yield {"val_accuracy": 0.5} | ({"test_accuracy": 0.5} if trial.final else {})


def test_a_loop_of_ones_own_has_a_gallery_without_a_network(store: Store, options: Options) -> None:
    study = small(task=Task(data=marked().data, device="cpu", standard="none"), train=loop, mix={})
    run_out(study, store, options)
    (sheets,) = gallery(store).strategies.values()
    assert not sheets.checked
    assert sheets.by_epoch
    assert levels(store) == {GREY}


def test_a_loop_that_reads_its_own_images_has_no_gallery(store: Store, options: Options) -> None:
    complete_gallery(small(task=Task(data=None), train=loop), store, options)
    assert gallery_of(store, "tiny") is None


def test_what_is_missing_is_made_and_equal(store: Store, options: Options, caplog: pytest.LogCaptureFixture) -> None:
    study = small(strategies={"none": none(), "trivial": trivialaugment()})
    run_out(study, store, options)
    made = gallery(store).strategies
    with store.engine.begin() as connection:
        connection.exec_driver_sql("delete from autoaug_galleries where strategy = 'trivial'")
    complete_gallery(study, store, options)
    again = gallery(store).strategies
    assert list(again) == ["none", "trivial"]
    assert again["none"] == made["none"]
    assert again["trivial"].pictures == made["trivial"].pictures
    file = options.artifacts / "tiny" / "file"  # where a folder cannot be
    with store.engine.begin() as connection:
        connection.exec_driver_sql("delete from autoaug_galleries")
    file.write_text("")
    with caplog.at_level(logging.WARNING, "autoaug"):
        complete_gallery(study, store, replace(options, artifacts=file))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the gallery of none could not be made",
        "the gallery of trivial could not be made",
    ]


def test_a_study_that_was_not_finished_has_no_gallery(store: Store, options: Options) -> None:
    study = small()

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(study, store, "local", options, stop)
    complete_gallery(study, store, options)
    assert gallery_of(store, "tiny") is None


def test_only_as_many_strategies_as_there_is_room_for() -> None:
    study = small(strategies={f"s{k}": none() for k in range(14)} | {"moving": online_score()}, baseline="s0")
    assert allowed(study, "s11") is not None
    assert allowed(study, "s12") is None
    few = small(strategies={"none": none(), "published": published("cifar10"), "moving": online_score()})
    assert [found.epochs for name in few.strategies if (found := allowed(few, name))] == [1, 1, 6]


def test_pictures_show_the_policy_and_go_with_a_study_that_is_deleted(store: Store, options: Options) -> None:
    invert = Strategy(policy=lambda: Fixed(policy_tree(apply("invert"))), space={})
    run_out(small(strategies={"invert": invert}), store, options)
    assert levels(store) == {GREY, WHITE - GREY}
    assert list(options.artifacts.rglob("*.webp"))
    delete_study(store, "tiny")
    assert not list(options.artifacts.rglob("*.webp"))
