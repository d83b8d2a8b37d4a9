"""The augmentation that is always on: which one data of each kind get, who may say otherwise, and where it stands."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from command_line import Call, calling, refused, study
from optuna.distributions import CategoricalDistribution, IntDistribution
from PIL import Image
from small_problems import seeded

from autoaug import Budget, Study, Task, run
from autoaug.data import STANDARDS, Source, Split, Standard, load_data, standard_named, subset
from autoaug.execution import Options, is_over
from autoaug.mixing import MIXES
from autoaug.photos import draw_boxes, resized_crop
from autoaug.policy import Fixed, apply, choice, decode, encode, policy_tree, ready, schedule, sequence
from autoaug.store import Store
from autoaug.strategies import none
from autoaug.study import complete_definition, knobs
from autoaug.train import TrainingRun, train

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
        (partial(own, standard=Standard(pad=0.25)), "auto", "crop(0.25)+flip"),
        (partial(own, standard=Standard(pad=0.25)), "none", "none"),
        (partial(own, shape=GREY), "crop+flip", "crop+flip"),
        (own, "flip", "flip"),
        (subset(partial(own, shape=GREY), train=20, val=10), "auto", "crop"),
        ("digits", "auto", "none"),
        ("digits", "crop", "crop"),
        (partial(own, shape=(3, 128, 130)), "auto", "resized-crop+flip"),
        (partial(own, shape=(3, 127, 300)), "auto", "crop+flip"),
        (partial(own, shape=(1, 128, 128)), "auto", "resized-crop"),
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
    with pytest.raises(ValueError, match=r"^Task.standard is 'flipp': give auto, crop\+flip, crop, .*, none"):
        Task(data="digits", standard="flipp")


@pytest.mark.parametrize(
    ("standard", "text"),
    [
        (Standard(), "crop+flip"),
        (Standard(pad=0.25, vflip=True), "crop(0.25)+flip+vflip"),
        (Standard(pad=1 / 3, flip=False), "crop(0.3333333333333333)"),
        (Standard(scale=(0.08, 1), flip=False), "resized-crop"),
        (Standard(scale=(0.35, 1)), "resized-crop(0.35-1)+flip"),
        (Standard(scale=(0.08, 1), ratio=(1, 1)), "resized-crop(0.08-1, 1-1)+flip"),
        (Standard(scale=(1e-5, 0.5), ratio=(0.5, 2)), "resized-crop(0.00001-0.5, 0.5-2)+flip"),
        (Standard(pad=0, flip=False), "none"),
        (Standard(pad=0, flip=False, vflip=True), "vflip"),
    ],
)
def test_a_value_and_its_text_are_the_same(standard: Standard, text: str) -> None:
    assert str(standard) == standard.text == text
    stored = json.loads(json.dumps(standard.plain()))
    assert standard_named(text) == standard == eval(repr(standard)) == Standard(**stored)
    for asked in (Task(data="digits", standard=standard), Task(data="digits", standard=text)):
        assert asked.describe()["standard"] == asked.standard == text
        assert asked.load().standard == standard


def test_parts_may_come_in_any_order_and_each_once() -> None:
    assert standard_named("flip+resized-crop(0.08-1)").text == "resized-crop+flip"
    for text in ("", "flip+flip", "crop+resized-crop", "crop(0)", "flip(2)", "crop+", "+crop", "none+flip", "crop (1)"):
        with pytest.raises(ValueError, match="unknown standard augmentation"):
            standard_named(text)


def test_the_names_of_the_table_are_what_they_say() -> None:
    assert {name: standard_named(name).text for name in STANDARDS} == {name: name for name in STANDARDS}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pad": -1}, r"^Standard\(pad=-1\): give a number of at least 0$"),
        (
            {"scale": (0, 1)},
            r"^Standard\(scale=\(0, 1\)\): give a pair \(low, high\) of shares .* 0 < low <= high <= 1",
        ),
        ({"scale": (0.5, 0.4)}, "give a pair"),
        ({"scale": 0.5}, "give a pair"),
        ({"scale": (0.1, 1), "ratio": (0, 1)}, r"^Standard\(ratio=\(0, 1\)\): give a pair .* of width / height"),
        ({"ratio": (1, 1)}, r"ratio=\(1.0, 1.0\)\) has no resized crop to shape: give scale=\(0.08, 1.0\) too"),
        ({"pad": 0.25, "scale": (0.1, 1)}, r"pad=0.25, scale=\(0.1, 1.0\)\) has two crops: give one"),
        ({"flip": 1}, "give True or False"),
        ({"nodes": "rotate"}, "give the JSON text of a policy tree"),
        ({"nodes": "[]"}, "give the JSON text of a policy tree"),
    ],
)
def test_an_impossible_value_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Standard(**fields)


# Nodes of a policy

NODE = choice([(1.0, apply("invert")), (1.0, sequence())])


@pytest.mark.parametrize(
    "given",
    [
        NODE,
        policy_tree(NODE, provenance={"study": "s"}),
        json.loads(encode(policy_tree(NODE))),
        json.loads(encode(policy_tree(NODE)))["root"],
        Standard(pad=0, flip=False, nodes=encode(policy_tree(NODE))),
        ("none", NODE),
    ],
    ids=["node", "tree", "plain tree", "plain node", "standard", "pair"],
)
def test_nodes_of_a_policy_are_always_on(given: Any, rng: torch.Generator) -> None:
    task = Task(data=own, model="convnet", standard=given, device="cpu", val_fraction=0.3)
    assert task == Task(**task.describe() | {"data": own}) == replace(task, standard=NODE)
    assert str(task.load().standard) == "nodes(invert)"
    assert json.loads(json.dumps(task.describe()["standard"])) == task.standard
    run, images = running(task), pixels(400, *COLOUR)
    seen = run.standard(images, rng)
    inverted = (seen == 1 - images).flatten(1).all(1)
    assert ((seen == images).flatten(1).all(1) | inverted).all()
    assert 140 < int(inverted.sum()) < 260, "400 fair coins: outside has probability 2e-9"


def test_nodes_follow_the_parts_before_them() -> None:
    task = Task(data=own, model="convnet", standard=("resized-crop(0.3-1)+flip", apply("invert")), val_fraction=0.3)
    assert str(task.load().standard) == "resized-crop(0.3-1)+flip+nodes(invert)"
    alone = replace(task, standard="resized-crop(0.3-1)+flip")
    seen, inverted = (running(each).standard(pixels(9, *COLOUR), seeded()) for each in (alone, task))
    torch.testing.assert_close(inverted, 1 - seen)


def test_the_nodes_of_a_tree_of_other_ranges_keep_their_amounts() -> None:
    wide = policy_tree(apply("rotate", 0.5), "wide")
    text = standard_named(Task(data="digits", standard=wide).standard).nodes  # type: ignore[arg-type]
    (root, ranges) = (decode(text.encode()).root, decode(text.encode()).ranges)
    assert (root.amount, root.most, ranges) == (67.5, 135.0, "autoaugment")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "apply", "op": "rotat"}, r"give nodes of a policy: .*unknown op 'rotat'"),
        (schedule([(1, NODE)]), r"give nodes that are the same in all epochs"),
        (("flipp", NODE), r"give auto, crop\+flip"),
        (("flip", "flip"), r"give nodes of a policy"),
        ("crop+{", r"give auto, crop\+flip"),
        ('crop+{"root": 3}', r"give nodes of a policy"),
        (Standard(nodes='{"root": 3}'), r"give nodes of a policy"),
    ],
)
def test_nodes_that_cannot_be_run_are_refused_at_once(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^Task.standard is .*: {message}"):
        Task(data="digits", standard=given)


# What is done to images


def running(task: Task) -> TrainingRun:
    return TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, seeded(), task.load())


def test_a_resized_crop_is_a_box_of_each_image_at_the_size_of_the_image() -> None:
    task = Task(
        data=partial(own, shape=(3, 12, 8)), model="convnet", standard="resized-crop(0.2-0.6)", val_fraction=0.3
    )
    images = (pixels(7, 3, 12, 8) * 255).byte()
    boxes = draw_boxes(torch.tensor([[12, 8]] * 7), (0.2, 0.6), (3 / 4, 4 / 3), seeded())
    wanted = resized_crop(images, boxes, (12, 8))
    torch.testing.assert_close(running(task).standard(images, seeded()), wanted)
    assert not torch.equal(wanted, images / 255)


@pytest.mark.parametrize(
    ("standard", "axes"), [("flip", [(3,)]), ("vflip", [(2,)]), ("flip+vflip", [(3,), (2,), (2, 3)])]
)
def test_mirrors_are_fair_coins_of_each_image(standard: str, axes: list[tuple[int, ...]]) -> None:
    task, images = Task(data=own, model="convnet", standard=standard, val_fraction=0.3), pixels(800, *COLOUR)
    seen = running(task).standard(images, seeded())
    shares = [(seen == images.flip(axis)).flatten(1).all(1).float().mean().item() for axis in [(), *axes]]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([1 / (len(axes) + 1)] * len(shares), abs=0.09), "5 standard deviations"


def test_refinement_may_see_images_as_evaluation_does() -> None:
    task = Task(data=own, model="convnet", standard="resized-crop+flip", epochs=1, refine_epochs=1, val_fraction=0.3)
    images = (pixels(9, *COLOUR) * 255).byte()
    for kept in (True, False):
        run = running(replace(task, refine_standard=kept))
        for epoch, on in ((1, True), (2, kept)):
            run.epoch, before = epoch, run.streams["augment"].get_state()
            seen = run.standard(images)
            assert torch.equal(seen, images / 255) is not on
            assert torch.equal(before, run.streams["augment"].get_state()) is not on


def test_the_standard_of_refinement_means_something_only_where_there_is_refinement(store: Store) -> None:
    switch = {"task.refine_standard": CategoricalDistribution((True, False))}
    study = replace(asked(data=own), space={**switch, "task.refine_epochs": IntDistribution(0, 1)})
    assert study.uses("none", "task.refine_standard", {"task.refine_epochs": 1})
    assert not study.uses("none", "task.refine_standard", {"task.refine_epochs": 0})
    assert all(knob.effect for knob in knobs(study, seconds=60))


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


def test_a_dimension_takes_the_text_of_what_no_table_names(store: Store, options: Options) -> None:
    nodes = Task(data="digits", standard=("crop(0.25)", NODE)).standard
    choices = ("resized-crop(0.5-1)", nodes)
    space = {"task.standard": CategoricalDistribution(choices)}
    run(replace(asked(), space=space, budget=Budget(trials=8)), store, options=options)
    trials = store.trials("s", "none")
    assert {trial.params["task.standard"] for trial in trials} == set(choices)
    for trial in trials:
        assert Standard(**trial.user_attrs["standard"]) == standard_named(trial.params["task.standard"])
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        unfit = CategoricalDistribution((Standard(), "none"))
    with pytest.raises(ValueError, match=r"no storage can hold: give its text, Task\(standard=...\).standard$"):
        replace(asked(), space={"task.standard": unfit})


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


@pytest.mark.parametrize(("shape", "was"), [(COLOUR, "crop+flip"), (GREY, "crop")])
def test_a_study_whose_photos_were_padded_does_not_go_on_with_resized_crops(
    shape: tuple[int, ...], was: str, store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoaug.data._source.PHOTO", 8)
    study = asked(data=partial(own, shape=shape))
    store.define("s", {**study.describe(), "version": 2})
    message = f"augmentation {was}, and now has resized-{was} (?): give Task(standard='{was}') to go on as it was"
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\?", ".* photos of.*")):
        run(study, store, options=options)
    run(replace(study, task=replace(study.task, standard=was)), store, options=options)
    assert applied(store) == [STANDARDS[was].plain()]


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
