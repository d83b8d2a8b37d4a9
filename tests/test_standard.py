"""The augmentation that is always on: which one data of each kind get, who may say otherwise, and where it stands."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from command_line import Call, calling, refused, study
from optuna.distributions import CategoricalDistribution
from PIL import Image

from autoaug import Budget, Study, Task, run
from autoaug.data import STANDARDS, Source, Split, Standard, load_data, subset
from autoaug.execution import Options, is_over
from autoaug.policy import Fixed, ready
from autoaug.store import Store
from autoaug.strategies import none
from autoaug.study import complete_definition
from autoaug.train import train

COLOUR, GREY = (3, 8, 8), (1, 8, 8)


def pixels(count: int, *shape: int) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def own(root: Path, shape: tuple[int, ...] = COLOUR, standard: Standard | None = None) -> Source:
    """Forty images of two classes, whose deviations say nothing of them."""
    return Source(train=Split(pixels(40, *shape), torch.arange(40) % 2), standard=standard)


def equal_channels(root: Path) -> tuple[torch.Tensor, torch.Tensor]:
    return pixels(40, 1, 8, 8).repeat(1, 3, 1, 1), torch.arange(40) % 2


@pytest.mark.parametrize(
    ("data", "wanted", "name"),
    [
        (own, "auto", "crop+flip"),
        (partial(own, shape=GREY), "auto", "crop"),
        (equal_channels, "auto", "crop"),
        (partial(own, shape=GREY, standard=Standard()), "auto", "crop+flip"),
        (partial(own, standard=Standard(pad=0.25)), "auto", "crop of 0.25+flip"),
        (partial(own, standard=Standard(pad=0.25)), "none", "none"),
        (partial(own, shape=GREY), "crop+flip", "crop+flip"),
        (own, "flip", "flip"),
        (subset(partial(own, shape=GREY), train=20, val=10), "auto", "crop"),
        ("digits", "auto", "none"),
        ("digits", "crop", "crop"),
    ],
)
def test_grey_images_are_never_mirrored_unless_asked_and_the_task_has_the_last_word(
    data: Any, wanted: str, name: str
) -> None:
    found = Task(data=data, standard=wanted).load()
    assert str(found.standard) == name
    assert found.standard == STANDARDS.get(name, found.standard)


def test_files_of_ones_own_are_told_apart_by_their_pixels(tmp_path: Path) -> None:
    for mode in ("L", "RGB"):
        for name in ("a", "b"):
            (tmp_path / mode / name).mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (4, 4), (9, number, 0)).convert(mode).save(tmp_path / mode / name / f"{number}.png")
    numpy.savez(tmp_path / "a.npz", x_train=numpy.zeros((40, 4, 4)), y_train=numpy.arange(40) % 2)
    paths = [tmp_path / "L", tmp_path / "RGB", tmp_path / "a.npz"]
    assert [str(load_data(path).standard) for path in paths] == ["crop", "crop+flip", "crop"]


def test_an_unknown_standard_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Task.standard is 'flipp': give auto, crop\+flip, crop, flip, none$"):
        Task(data="digits", standard="flipp")


def test_what_is_off_changes_no_image() -> None:
    """With everything off, training on an image and on its mirror are two things; with the flip they are mixed."""
    task = Task(data=own, model="convnet", epochs=1, batch_size=20, val_fraction=0.3)

    def loss(standard: str) -> float:
        (record,) = train(replace(task, standard=standard), Fixed(ready.none()), lambda x, y, rng: (x, y))
        return record.metrics["train_loss"]

    found = {name: loss(name) for name in ("auto", *STANDARDS)}
    assert found.pop("auto") == found["crop+flip"]
    assert len(set(found.values())) == len(STANDARDS)


def asked(**fields: Any) -> Study:
    task = {"data": partial(own, shape=GREY), "model": "convnet", "epochs": 1, "batch_size": 20, "val_fraction": 0.3}
    return Study(name="s", task=Task(**task | fields), strategies={"none": none()}, budget=Budget(trials=1), seeds=1)


def applied(store: Store, place: str = "none") -> list[Any]:
    return [trial.user_attrs["standard"] for trial in store.trials("s", place)]


def test_every_trial_says_what_was_applied(store: Store, options: Options) -> None:
    run(asked(), store, options=options)
    assert applied(store) == applied(store, "leaderboard") == [{"pad": 0.125, "flip": False}]


def test_a_standard_may_be_searched(store: Store, options: Options) -> None:
    space = {"task.standard": CategoricalDistribution(("none", "flip"))}
    run(replace(asked(), space=space, budget=Budget(trials=4)), store, options=options)
    for trial in store.trials("s", "none"):
        assert trial.user_attrs["standard"] == {"pad": 0.0, "flip": trial.params["task.standard"] == "flip"}


def of_before(store: Store, of: Study) -> None:
    """Store a study as it was stored before tasks had a standard augmentation."""
    definition = complete_definition(of.describe())
    del definition["task"]["standard"], definition["unrecorded"]
    store.define(of.name, definition)


def test_a_field_that_did_not_exist_has_its_default(store: Store) -> None:
    def define(**fields: Any) -> None:
        store.define("s", asked(**fields).describe(), complete_definition)

    task = {"data": asked().describe()["task"]["data"], "epochs": 1, "batch_size": 20}
    store.define("s", {**complete_definition(asked().describe()), "task": task})
    with pytest.raises(ValueError, match=r"run with task model = wrn-16-2, and now has convnet"):
        define()
    define(model="wrn-16-2", val_fraction=0.1)
    with pytest.raises(ValueError, match=r"run with task lr = 0.1, and now has 0.2"):
        define(model="wrn-16-2", val_fraction=0.1, lr=0.2)


def test_a_study_of_before_goes_on_where_it_trains_the_same(store: Store, options: Options) -> None:
    colourful = asked(data=own)
    of_before(store, colourful)
    run(colourful, store, options=options)
    assert applied(store) == [{"pad": 0.125, "flip": True}]
    with pytest.raises(ValueError, match=r"standard augmentation crop\+flip, and now has none \(as asked\)"):
        run(asked(data=own, standard="none"), store, options=options)


def test_a_study_of_before_whose_grey_images_were_mirrored_does_not_go_on_without(
    store: Store, options: Options
) -> None:
    of_before(store, asked())
    with pytest.raises(
        ValueError,
        match=r"study 's' was begun with the standard augmentation crop\+flip, and now has crop "
        r"\(grey images of your own.*\): give Task\(standard='crop\+flip'\) to go on as it was, or --fresh",
    ):
        run(asked(), store, options=options)
    assert not is_over(asked(), store)
    with pytest.raises(ValueError, match=r"was begun with the standard augmentation crop\+flip"):
        run(asked(), store, options=options)
    assert store.trials("s", "none") == []
    run(asked(standard="crop+flip"), store, options=options)
    assert applied(store) == [{"pad": 0.125, "flip": True}]
    assert is_over(asked(standard="crop+flip"), store)


def test_a_study_of_before_that_was_scored_on_what_it_trained_on_does_not_go_on(store: Store, options: Options) -> None:
    of_before(store, asked(data=own, resplit="per_epoch"))
    with pytest.raises(ValueError, match=r"when the scores of Task\(resplit='per_epoch'\) were of images that it had"):
        run(asked(data=own, resplit="per_epoch"), store, options=options)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def test_the_plan_says_what_is_always_on_and_why(call: Call, tmp_path: Path) -> None:
    numpy.savez(tmp_path / "a.npz", x_train=numpy.zeros((40, 8, 8)), y_train=numpy.arange(40) % 2)
    task = "Task(data='a.npz', model='convnet', epochs=1, val_fraction=.3, batch_size=20)"
    arms = "{'none': none(), 'p': none().proxied(data='digits', standard='flip')}"
    (tmp_path / "s.py").write_text(study(task=task, strategies=arms))
    lines = call("run", "s.py", "--dry-run").stdout.splitlines()
    assert "always on: crop (grey images of your own, which are not mirrored unless asked)" in lines
    assert "always on in the search of p: flip (as asked)" in lines
    own, proxy = json.loads(call("run", "s.py", "--dry-run", "--json").stdout)["data"]
    assert own["standard"] == {
        "name": "crop",
        "pad": 0.125,
        "flip": False,
        "reason": "grey images of your own, which are not mirrored unless asked",
    }
    assert (proxy["data"], proxy["strategies"], proxy["standard"]["name"]) == ("digits", ["p"], "flip")
    (tmp_path / "s.py").write_text(study(task="Task(data='digits', standard='mirror')"))
    refused(call("run", "s.py", "--dry-run"), r"Task.standard is 'mirror': give auto, crop\+flip")
