"""The policy that a study found, from trials that are written into a storage by hand."""

import runpy
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial
from scipy.stats import chi2_contingency
from studies_for_tests import tiny
from torch import Generator, Tensor

from autoaug import Study, Task
from autoaug.compare import ALWAYS_ON
from autoaug.compare import _winner as winner_module
from autoaug.compare._winner import keep_policies, nodes_of, winning_policy, with_nodes_before
from autoaug.data import STANDARDS, Standard, image_folder
from autoaug.export import EXPORTERS, export
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, PolicyTree, apply, decode, encode, policy_tree, ready, schedule, sequence
from autoaug.record import LEADERBOARD, Record, TrialKind
from autoaug.store import Store, policies
from autoaug.strategies import Strategy, none, randaugment
from autoaug.train import TrainingRun, resolved_standard

VERSIONS = {"autoaug": "0.1.0", "torch": "2.0"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'a.db'}")


def search(store: Store, study: Study, strategy: str, *found: tuple[float | None, dict[str, Any]], **more: Any) -> None:
    """Write trials: (value, point), and pruned ones where the value is None; with `more` user attributes."""
    optuna_study = store.open(study.name, strategy, study.direction)
    space: dict[str, BaseDistribution] = study.space_of(strategy)
    for value, part in found:
        point = {"task.refine_epochs": 1, "mix.alpha": 0.5} | part
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        attributes = {"seed": 77, "versions": VERSIONS, "git_commit": "abc123", **more}
        optuna_study.add_trial(
            create_trial(state=state, value=value, params=point, distributions=space, user_attrs=attributes)
        )


def final(store: Store, study: Study, strategy: str, accuracy: float) -> None:
    """Write a final run, so that the leaderboard has an order."""
    store.enqueue_final(study.name, strategy, 0, {}, 0)
    trial = store.trials(study.name, LEADERBOARD)[-1]
    store.claim(trial._trial_id)
    store.write_epoch(trial._trial_id, record(study, strategy, trial.number, kind=TrialKind.FINAL, accuracy=accuracy))
    store.finish(trial._trial_id, TrialState.COMPLETE, [accuracy, 1.0])


def record(study: Study, strategy: str, trial: int, epoch: int = 1, **more: Any) -> Record:
    accuracy = more.pop("accuracy", 0.5)
    metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy, "test_nll": 1.0}
    return Record(
        study=study.name, strategy=strategy, trial=trial, epoch=epoch, phase="augment", metrics=metrics, **more
    )


def test_the_best_complete_trial_gives_the_policy(store: Store) -> None:
    study = tiny()
    store.define(study.name, study.describe())
    search(
        store,
        study,
        "ra",
        (0.5, {"policy.n": 1, "policy.m": 0.1}),
        (0.8, {"policy.n": 2, "policy.m": 0.25}),
        (None, {"policy.n": 3, "policy.m": 0.9}),
        (0.8, {"policy.n": 3, "policy.m": 0.5}),
    )
    tree = winning_policy(study, store, "ra")
    assert tree.root == ready.randaugment(2, 0.25).root
    assert tree.provenance == {
        "study": "tiny",
        "strategy": "ra",
        "trial": 1,
        "seed": 77,
        "val_accuracy": 0.8,
        "data": "digits-rotated",
        "model": "convnet",
        "epochs": 0,
        "point policy.n": 2,
        "point policy.m": 0.25,
        "point task.refine_epochs": 1,
        "point mix.alpha": 0.5,
        "git_commit": "abc123",
        "verdict": "not tested: no final run has ended",
        "sentence": "No verdict before the last final run: 4 trials so far; ra leads on validation with .800",
        "always on": "not recorded: the trial is of an earlier version",
        **VERSIONS,
    }
    assert decode(encode(tree).encode()) == tree


def test_a_loss_is_better_where_it_is_small(store: Store) -> None:
    study = tiny(metric="val_nll")
    store.define(study.name, study.describe())
    search(store, study, "ra", (0.9, {"policy.n": 1, "policy.m": 0.1}), (0.2, {"policy.n": 2, "policy.m": 0.3}))
    assert winning_policy(study, store, "ra").root == ready.randaugment(2, 0.3).root


def test_without_a_strategy_the_first_of_the_leaderboard_is_meant(store: Store) -> None:
    study = tiny()
    store.define(study.name, study.describe())
    search(store, study, "none", (0.5, {}))
    search(store, study, "ra", (0.9, {"policy.n": 1, "policy.m": 0.1}))
    final(store, study, "ra", 0.6)
    final(store, study, "none", 0.7)  # worse in the search, better on the test split
    tree = winning_policy(study, store)
    assert tree.provenance["strategy"] == "none"
    assert tree.root == ready.none().root


# What was always on


@pytest.fixture
def photographed(store: Store) -> tuple[Study, Store]:
    """A study whose trials had a crop and a flip."""
    study = tiny()
    store.define(study.name, study.describe())
    search(store, study, "ra", (0.9, {"policy.n": 1, "policy.m": 0.1}), standard=asdict(STANDARDS["crop+flip"]))
    return study, store


def test_a_policy_begins_with_what_was_always_on(photographed: tuple[Study, Store]) -> None:
    tree = winning_policy(*photographed, "ra")
    alone = winning_policy(*photographed, "ra", with_standard=False)
    assert alone.root == ready.randaugment(1, 0.1).root
    before = [apply("crop", most=0.125), apply("hflip", probability=0.5)]
    assert tree.root == policy_tree(sequence([*before, *alone.root.nodes])).root  # type: ignore[union-attr]
    assert tree.provenance[ALWAYS_ON] == "crop+flip, which this policy begins with"
    assert alone.provenance[ALWAYS_ON] == "crop+flip"


@pytest.mark.parametrize("name", [name for name, each in STANDARDS.items() if each.scale is None])
def test_every_standard_augmentation_is_exported_as_it_is_applied(name: str, tmp_path: Path, rng: Generator) -> None:
    """The places of a bright pixel: those of the trainer and those of the exported file, over many draws."""
    standard, count = STANDARDS[name], 3000
    images = torch.zeros(count, 1, 8, 8)
    images[:, :, 3, 5] = 1.0
    task = Task(data="digits", model="convnet", standard=name, device="cpu")
    run = TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, rng, task.load())
    path = tmp_path / "policy.py"
    path.write_text(export(policy_tree(sequence(nodes_of(standard))), "torchvision").text)
    exported = runpy.run_path(str(path))["Policy"]()
    ours, theirs = (places(found) for found in (run.standard(images), exported(images)))
    assert ours.keys() == theirs.keys()
    table = [[found[place] for place in sorted(ours)] for found in (ours, theirs)]
    assert len(ours) == 1 or chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize(
    ("standard", "nodes", "fact"),
    [
        (STANDARDS["resized-crop"], [], "resized-crop, of which torchvision's {} comes before this policy"),
        (
            STANDARDS["resized-crop+flip"],
            [apply("hflip", probability=0.5)],
            "resized-crop+flip, of which torchvision's {} comes before this policy, which begins with the rest",
        ),
    ],
    ids=str,
)
def test_a_resized_crop_is_no_operation_and_is_told(
    standard: Standard, nodes: list[Any], fact: str, store: Store
) -> None:
    study = tiny()
    store.define(study.name, study.describe())
    search(store, study, "ra", (0.9, {"policy.n": 1, "policy.m": 0.1}), standard=standard.plain())
    tree = winning_policy(study, store, "ra")
    alone = ready.randaugment(1, 0.1).root.nodes  # type: ignore[union-attr]
    assert tree.root == policy_tree(sequence([*nodes, *alone])).root
    crop = "RandomResizedCrop(size, scale=(0.08, 1.0), ratio=(0.75, 1.3333))"
    assert tree.provenance[ALWAYS_ON] == fact.format(crop)


def test_nodes_that_were_always_on_keep_their_amounts_before_a_policy_of_other_ranges(store: Store) -> None:
    node = apply("rotate", 0.5, probability=0.25)
    standard = resolved_standard(Task(data="digits", standard=("flip", node)).standard)  # type: ignore[arg-type]
    raw = Standard(pad=0, nodes=encode(policy_tree(node)))
    for each in (standard, raw):
        before = with_nodes_before(nodes_of(each), ready.trivialaugment().root)
        found = policy_tree(before, "wide").root.nodes  # type: ignore[union-attr]
        assert [node.op for node in found[:2]] == ["hflip", "rotate"]
        assert (found[1].amount, found[1].probability) == (15.0, 0.25)


def places(images: Tensor) -> Counter[tuple[int, ...]]:
    return Counter(map(tuple, images.nonzero()[:, 2:].tolist()))


def test_a_schedule_begins_with_it_in_every_epoch() -> None:
    node = apply("rotate")
    found = with_nodes_before(nodes_of(STANDARDS["flip"]), schedule([(1, sequence()), (3, node)]))
    flip = apply("hflip", probability=0.5)
    assert found == schedule([(1, sequence([flip])), (3, sequence([flip, node]))])


@pytest.mark.parametrize("format", EXPORTERS)
def test_every_format_says_what_was_always_on_and_how_sure_it_is(
    format: str, photographed: tuple[Study, Store]
) -> None:
    found = export(winning_policy(*photographed, "ra"), format, allow_lossy=True)
    if format == "timm":  # a string has no room for comments
        assert found.lost[0].startswith("crop and hflip before it are not part of the string")
        return
    assert "which this policy begins with" in found.text
    assert "not tested: no final run has ended" in found.text


def test_an_export_says_nothing_of_where_data_lie(store: Store) -> None:
    data = image_folder("/home/somebody/secret-project/flowers")
    study = tiny(task=Task(data=data, model="convnet", epochs=1))
    store.define(study.name, study.describe())
    search(store, study, "ra", (0.9, {"policy.n": 1, "policy.m": 0.1}))
    text = export(winning_policy(study, store, "ra"), "torchvision").text
    assert "somebody" not in text
    assert "# data: ImageFolder(path='flowers')" in text


def learning() -> Strategy:
    return Strategy(policy=randaugment().policy, space=randaugment().space, within=lambda policy: None)


def test_of_a_policy_that_learned_the_last_one_is_taken(store: Store) -> None:
    study = tiny(strategies={"none": none(), "learning": learning()})
    store.define(study.name, study.describe())
    search(store, study, "learning", (0.9, {"policy.n": 1, "policy.m": 0.1}), (0.5, {"policy.n": 1, "policy.m": 0.1}))
    for number in (0, 1):
        trial = store.trials(study.name, "learning")[number]
        for epoch in (1, 2):
            learned: PolicyTree = ready.randaugment(1, 0.1 + 0.4 * number + 0.2 * epoch)
            snapshot = learned.model_dump(mode="json")
            store.write_epoch(trial._trial_id, record(study, "learning", number, epoch, policy=snapshot))
    assert winning_policy(study, store, "learning").root == policy_tree(ready.randaugment(1, 0.5).root).root


def test_what_is_kept_is_of_every_strategy_with_a_complete_trial_of_the_task(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search of which only trials on its proxy have ended has found nothing yet, and stops nobody."""
    strategies = {"none": none(), "ra": randaugment(), "proxied": randaugment().proxied(epochs=1)}
    study = tiny(strategies=strategies)
    store.define(study.name, study.describe())
    search(store, study, "none", (0.7, {}))
    search(store, study, "ra", (0.8, {"policy.n": 1, "policy.m": 0.5}))
    search(store, study, "proxied", (0.9, {"policy.n": 1, "policy.m": 0.5}), proxy={"epochs": 1})
    final(store, study, "none", 0.7)
    final(store, study, "ra", 0.8)
    counted = Mock(wraps=winner_module.stored_leaderboard)
    monkeypatch.setattr(winner_module, "stored_leaderboard", counted)
    keep_policies(study, store)
    assert counted.call_count == 1, "all of them share one leaderboard"
    kept = policies(store, study.name)
    assert set(kept) == {"none", "ra"}
    assert kept["ra"] == winning_policy(study, store, "ra").model_dump(mode="json")


def test_what_is_not_there_is_said(store: Store) -> None:
    study = tiny()
    with pytest.raises(ValueError, match="study 'tiny' was not run in sqlite:///"):
        winning_policy(study, store)
    store.define(study.name, study.describe())
    with pytest.raises(ValueError, match="no trial of any strategy of study 'tiny' is complete yet"):
        winning_policy(study, store)
    search(store, study, "ra", (None, {"policy.n": 1, "policy.m": 0.1}))
    with pytest.raises(ValueError, match="no trial of ra of study 'tiny' is complete yet"):
        winning_policy(study, store, "ra")
    with pytest.raises(ValueError, match="unknown strategy 'rb': known are ra"):
        winning_policy(study, store, "rb")
