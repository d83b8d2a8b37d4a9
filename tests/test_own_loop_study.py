"""A study with a loop of one's own, before, around and after its trials."""

import inspect
import multiprocessing
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Call, calling, refused
from loops_for_tests import VAL, plain, train_one_epoch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from small_problems import Smooth, batch, network
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from autoaug import Budget, Command, Study, Task, Trial
from autoaug.compare import legend, stored_comparison, winning_policy
from autoaug.compare._comparison import by_loop
from autoaug.execution import Options, status
from autoaug.executors import conduct, ignore, run
from autoaug.metrics import METRICS
from autoaug.policy import Fixed, ready
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import Strategy, none, online_score, stn, trivialaugment
from autoaug.study import Knob, Line, Loader, advise, data_facts, knobs, plan, predict, preflight
from autoaug.study._observer import Rehearsal
from autoaug.study._rehearse import rehearsed
from autoaug.train import NullLearner, spelt

RATE: dict[str, BaseDistribution] = {"train.lr": FloatDistribution(1e-3, 1e-1, log=True)}


def own(loop: Any = plain, **more: Any) -> Study:
    """A study of a loop that has its own data, of one strategy without a policy where nothing else is said."""
    given: dict[str, Any] = {"strategies": {"none": none()}, "space": {}, "budget": Budget(trials=2), "seeds": 1}
    return Study(**{"name": "own", "train": loop, "task": Task(data=None, device="cpu")} | given | more)


def proof(study: Study) -> dict[str, Knob]:
    return {knob.dimension: knob for knob in knobs(study, seconds=1000.0)}


def test_a_rehearsal_that_went_on_to_the_end_of_an_epoch_proves_the_same() -> None:
    study = own(space=RATE)
    short, whole = (rehearsed(study, "none", {"train.lr": 0.01}, Loader(), patience=seconds) for seconds in (0.0, 1e9))
    assert (short.ended, whole.ended) == (False, True)
    assert short.evidence == whole.evidence


def planned(study: Study) -> Line:
    load = Loader()
    [line] = plan(study, predict(study, load=load), load)
    return line


@pytest.fixture
def no_metric_is_left() -> Iterator[None]:
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


# Loops that do this or that


def rated(trial: Trial) -> Iterator[Mapping[str, Any]]:
    """A loop that reads a learning rate, and says how many epochs it has and how long they are."""
    optimiser = torch.optim.SGD((model := network()).parameters(), lr=trial["lr"])
    for epoch in trial.epochs(3, steps=2, model=model, optimiser=optimiser):
        scores = train_one_epoch(trial, model, optimiser)
        if trial.final and epoch == trial.total_epochs:
            scores["test_accuracy"] = scores["val_accuracy"]
        yield scores


def endless(trial: Trial, steps: int | None = None, said: bool = True) -> Iterator[Mapping[str, Any]]:
    """A loop whose first epoch never ends."""
    optimiser = torch.optim.SGD((model := network()).parameters(), lr=0.1)
    for _ in trial.epochs(6, steps=steps) if said else range(6):
        while True:
            train_one_epoch(trial, model, optimiser)
        yield {}


def bare(trial: Trial) -> Iterator[Mapping[str, Any]]:
    """A loop that never asks its trial for anything, and counts its epochs itself."""
    optimiser = torch.optim.SGD((model := network()).parameters(), lr=0.1)
    for k in range(2):
        for j in range(3):
            images, targets = batch(10, k + j)
            optimiser.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimiser.step()
        yield {"val_accuracy": 0.5, **({"test_accuracy": 0.5} if trial.final and k else {})}


# Bad input of the definition


class Loops:
    """Callable things that make no generator, or do."""

    async def asynchronous(self, trial: Trial) -> None:
        """A coroutine."""

    def __call__(self, trial: Trial) -> Iterator[Mapping[str, Any]]:
        return plain(trial)


async def streaming(trial: Trial) -> Any:
    yield {}


@pytest.mark.parametrize("loop", [3, "finetune", Loops, Loops().asynchronous, streaming], ids=range(5))
def test_what_cannot_be_a_loop_is_refused_when_the_study_is_made(loop: Any) -> None:
    with pytest.raises(ValueError, match=r"Study.train is .*: give a generator function of a trial, which yields"):
        own(loop)


@pytest.mark.parametrize("loop", [plain, Loops(), partial(plain), lambda trial: plain(trial)], ids=range(4))
def test_whatever_gives_a_generator_is_a_loop(loop: Any) -> None:
    assert own(loop).loop is loop
    preflight(own(loop))


def returning(trial: Trial) -> Any:
    for _ in bare(trial):
        pass
    return {"val_accuracy": 0.5}


def quick(trial: Trial) -> Any:
    return {"val_accuracy": 0.5}


@pytest.mark.parametrize("loop", [returning, quick])
def test_a_function_without_a_yield_is_refused_before_it_has_trained_at_length(loop: Any) -> None:
    with pytest.raises(ValueError, match=rf"{loop.__name__} is no generator function.*yield the metrics of an epoch"):
        preflight(own(loop))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "val_mce"}, r"unknown metric 'val_mce'.*if the loop of train= gives it, say minimize=True or"),
        ({"metric": "val_accuracy", "minimize": True}, "'val_accuracy' is one to maximize: leave the direction out"),
        ({"task": Task(data=None, lr=0.3)}, r"Task.lr=0.3 of study 'own': lr is read by autoaug's own trainer alone"),
        ({"space": {"task.lr": FloatDistribution(0.1, 1)}}, r"search it as 'train.lr'.*trial\['lr'\]"),
        ({"final_data": "train+val"}, "a loop of one's own chooses itself what it trains on"),
        ({"train": None, "task": Task(data="digits"), "space": RATE}, "unknown dimension 'train.lr'.* it starts with"),
        ({"train": None}, r"study 'own' has no data: give task=Task\(data=...\), or your own loop as train="),
    ],
)
def test_what_a_study_with_a_loop_may_not_say(fields: dict[str, Any], message: str, no_metric_is_left: None) -> None:
    with pytest.raises(ValueError, match=message):
        own(**fields)


# The preflight


def failing_at(trial: Trial, name: str, value: Any) -> Iterator[Mapping[str, Any]]:
    if trial[name] == value:
        raise RuntimeError("it fails there")
    yield from plain(trial)


LINE = inspect.getsourcelines(failing_at)[1] + 2
"""Of the error of `failing_at`."""


@pytest.mark.parametrize("value", [0.001, 0.1])
def test_a_loop_that_fails_at_an_end_of_its_own_dimension_is_named_with_point_and_line(value: float) -> None:
    study = own(partial(failing_at, name="lr", value=value), space=RATE)
    where = rf"\(test_own_loop_study.py:{LINE}\)"
    with pytest.raises(
        ValueError,
        match=rf"^strategy 'none' of study 'own': RuntimeError: it fails.* {where} \(tried: train.lr={value}",
    ):
        preflight(study)


def test_each_choice_of_a_dimension_of_the_loop_is_tried() -> None:
    study = own(partial(failing_at, name="kind", value="c"), space={"train.kind": CategoricalDistribution("abc")})
    with pytest.raises(ValueError, match=r"\(tried: train.kind='c'\)"):
        preflight(study)


def test_a_dimension_that_the_space_lacks_is_named_with_near_matches() -> None:
    with pytest.raises(ValueError, match=r"trial\['lr'\]: the study has no dimension 'train.lr': .*'lrr'"):
        preflight(own(rated, space={"train.lrr": FloatDistribution(0.1, 1)}))


def test_a_policy_that_fails_is_found_though_the_loop_has_its_own_data() -> None:
    def broken() -> Any:
        policy = trivialaugment().policy()
        policy.forward = lambda images, rng: images[:, :, :1]
        return policy

    with pytest.raises(ValueError, match=r"strategy 'x' of study 'own': the policy makes \[8, 3, 1, 32\] of images"):
        preflight(own(strategies={"x": Strategy(policy=broken, space={})}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategies": {"ta": trivialaugment()}}, "the loop trains without the policy of its strategy"),
        ({"strategies": {"stn": stn()}}, "the loop trains without the policy of its strategy"),
        ({"mix": {"kind": "mixup", "alpha": 1.0}}, "the loop trains without the mix that the study asks for"),
        (
            {"space": {"task.refine_epochs": IntDistribution(0, 2)}},
            r"the loop never asks trial.epochs.*take task.refine",
        ),
    ],
)
def test_what_a_bare_loop_ignores_is_said_after_its_first_steps(fields: dict[str, Any], message: str) -> None:
    preflight(own(bare))
    with pytest.raises(ValueError, match=message):
        preflight(own(bare, **fields))


def reporting(report: Any, each_step: bool = False) -> Callable[[Trial], Iterator[Any]]:
    """A loop of three steps an epoch that yields this at its end, or after each step."""

    def loop(trial: Trial) -> Iterator[Any]:
        optimiser = torch.optim.SGD(network().parameters(), lr=0.1)
        for _ in trial.epochs(2):
            for _ in range(3):
                trial.augment(*VAL, classes=10)
                optimiser.step()
                if each_step:
                    yield report
            if not each_step:
                yield report

    return loop


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (reporting({"val_acc": 0.5}), "the loop yields no 'val_accuracy', which the study goes by"),
        (reporting({"val_accuracy": 0.5, "test_accuracy": 0.5}), "yields 'test_accuracy' in a search"),
        (reporting({"val_accuracy": float("nan")}), "the validation accuracy is nan in epoch 1"),
        (reporting({"val_accuracy": "high"}), "'high'"),
        (reporting(0.5), "the loop yields 0.5: yield the metrics of an epoch by name"),
        (reporting({"val_accuracy": 0.5}, each_step=True), "yields twice in epoch 1: yield once, at its end"),
    ],
)
def test_what_a_loop_yields_is_looked_at_before_the_study_runs(loop: Any, message: str) -> None:
    """Two steps do not come to it: the first rehearsal goes on to the first report where that is soon."""
    with pytest.raises(ValueError, match=message):
        preflight(own(loop))


def test_an_epoch_of_one_step_is_no_mistake() -> None:
    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        optimiser = torch.optim.SGD(network().parameters(), lr=0.1)
        for _ in trial.epochs(2):
            optimiser.step()
            yield {"val_accuracy": 0.5}

    preflight(own(loop))


@pytest.mark.parametrize("loop", [lambda: iter(()), lambda trial, data: iter(()), Loops.__call__], ids=range(3))
def test_what_takes_no_trial_alone_is_refused_when_the_study_is_made(loop: Any) -> None:
    with pytest.raises(ValueError, match=r"Study.train is .*: give a function that takes a trial and nothing else"):
        own(loop)


def test_a_loop_that_exits_is_named_with_its_line() -> None:
    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        sys.exit("bad config")
        yield {}

    with pytest.raises(ValueError, match=r"the loop called sys.exit\('bad config'\).*\(test_own_loop_study.py:\d+\)"):
        preflight(own(loop))


def untaught(trial: Trial) -> Iterator[Mapping[str, Any]]:
    trial.learn = lambda *_, **__: None  # type: ignore[method-assign]
    yield from plain(trial)


def test_a_loop_that_never_lets_the_learner_learn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the policy never moved: after each step of the optimiser call trial.learn"):
        preflight(own(untaught, strategies={"online": online_score()}))


def test_a_gradient_strategy_is_tried_with_an_update() -> None:
    """The second of the two steps is made with a policy that has moved."""
    moved = list[Any]()

    def looking(trial: Trial) -> Iterator[Mapping[str, Any]]:
        before = {name: value.clone() for name, value in trial.policy.state_dict().items()}
        try:
            yield from plain(trial)
        finally:
            moved.append(any(not torch.equal(value, before[name]) for name, value in trial.policy.state_dict().items()))

    preflight(own(looking, strategies={"online": online_score()}))
    assert moved
    assert all(moved)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"space": {"task.epochs": IntDistribution(1, 9)}}, "the space has task.epochs=1, and the loop has a number"),
        (
            {"strategies": {"p": none()._replace(proxy={"epochs": 2})}},
            "the proxy sets epochs=2, and the loop has a number of its own: write trial.epochs",
        ),
    ],
)
def test_a_number_of_epochs_that_the_loop_does_not_ask_for_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preflight(own(plain, **fields))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rehearsal goes on to the first report of its loop."""
    monkeypatch.setattr("autoaug.study._preflight_loop.FIRST", 0.0)


def test_a_rehearsal_leaves_the_loop_where_it_is_and_its_cleanup_runs(impatient: None) -> None:
    """Two steps of one optimiser: the first epoch of an endless one is left there, and `except Exception` is passed."""
    left, steps = list[str](), list[int]()

    def guarded(trial: Trial) -> Iterator[Mapping[str, Any]]:
        try:
            yield from endless(trial)
        except Exception:
            left.append("swallowed")
        finally:
            left.append("cleaned")
            steps.append(trial.steps.count)

    preflight(own(guarded))
    assert left == ["cleaned"]
    assert steps in ([1], [2]), "the step in which it was left may not be counted"


def test_with_two_optimisers_the_rehearsal_goes_on_until_one_has_made_two_steps(impatient: None) -> None:
    """As a network and its discriminator: what follows both steps is seen before the rehearsal ends."""
    made = list[str]()

    def two(trial: Trial) -> Iterator[Mapping[str, Any]]:
        each = [torch.optim.SGD(network().parameters(), lr=0.1) for _ in "ab"]
        for _ in trial.epochs(2):
            for _ in range(5):
                for optimiser in each:
                    optimiser.step()
                made.append("round")
            yield {"val_accuracy": 0.5}

    preflight(own(two))
    assert made == ["round"]


def test_global_generators_are_what_they_were_after_a_rehearsal() -> None:
    """The fixture of all tests sees torch's; a loop that draws from it is rehearsed all the same."""

    def drawing(trial: Trial) -> Iterator[Mapping[str, Any]]:
        trial.seed_everything()
        Smooth()
        yield from plain(trial)

    preflight(own(drawing))


def test_what_a_loop_prints_before_the_run_does_not_mix_with_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    def talking(trial: Trial) -> Iterator[Mapping[str, Any]]:
        print("epoch 1")
        yield from plain(trial)

    preflight(own(talking))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "epoch 1\n")


def test_a_loop_knows_that_it_is_rehearsed(store: Store, options: Options) -> None:
    rehearsing = list[bool]()

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        rehearsing.append(trial.rehearsing)
        yield from plain(trial)

    study = own(loop)
    preflight(study)
    predict(study)
    assert rehearsing
    assert all(rehearsing)
    rehearsing.clear()
    conduct(study, store, "local", options, ignore)
    assert rehearsing == [False, False], "a trial and a final run"


def test_a_loop_that_is_silent_in_its_rehearsal_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    said = list[str]()
    monkeypatch.setattr("autoaug.study._rehearse.LONGEST", 0.01)

    def silent(trial: Trial) -> Iterator[Mapping[str, Any]]:
        deadline = time.monotonic() + 60
        while not "".join(said).endswith("\n") and time.monotonic() < deadline:
            time.sleep(0.01)
            said.append(capsys.readouterr().err)
        yield {"val_accuracy": 0.5}

    preflight(own(silent))
    assert "".join(said).startswith(
        "autoaug: the loop of strategy 'none' of study 'own' is still in its rehearsal after 0.01 s, which ends at the "
    )
    assert "or end it by Ctrl-C" in "".join(said)


def test_ctrl_c_ends_a_rehearsal_and_leaves_nothing_behind() -> None:
    cleaned = list[bool]()

    def interrupted(trial: Trial) -> Iterator[Mapping[str, Any]]:
        try:
            signal.raise_signal(signal.SIGINT)
            yield {"val_accuracy": 0.5}
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        preflight(own(interrupted))
    assert cleaned == [True]
    assert not any(isinstance(thread, threading.Timer) and thread.is_alive() for thread in threading.enumerate())
    preflight(own(plain))


def test_workers_of_a_loader_that_is_left_end_with_the_rehearsal() -> None:
    def loading(trial: Trial) -> Iterator[Mapping[str, Any]]:
        loader = DataLoader(TensorDataset(*VAL), batch_size=2, num_workers=1, generator=trial.streams["order"])
        weights = torch.nn.Linear(64, 10)
        optimiser = torch.optim.SGD(weights.parameters(), lr=0.1)
        for _ in trial.epochs(2):
            for images, targets in loader:
                optimiser.zero_grad()
                F.cross_entropy(weights(images.flatten(1)), targets).backward()
                optimiser.step()
            yield {"val_accuracy": 0.5}

    preflight(own(loading))
    assert multiprocessing.active_children() == []


# The prediction


def test_a_loop_that_says_its_steps_or_ends_an_epoch_soon_has_its_cost_predicted() -> None:
    line = planned(own(rated, space=RATE))
    assert (line.epochs, line.final_epochs, line.unit, line.notes) == (3, 3, "CPU-seconds", ())
    assert line.search_seconds is not None
    assert line.search_seconds > 0


@pytest.mark.parametrize(
    ("loop", "epochs", "note"),
    [
        (partial(endless, steps=10), 6, None),
        (endless, 6, r"[\d.e-]+ s per step of the loop; give trial.epochs\(..., steps=len\(loader\)\) to have"),
        (partial(endless, said=False), None, r"s per step of the loop; write `for epoch in trial.epochs\(...\)`"),
    ],
)
def test_where_an_epoch_is_too_long_the_plan_says_what_is_missing(
    loop: Any, epochs: int | None, note: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoaug.study._measure_loop.FIRST", 0.0)
    line = planned(own(loop))
    assert line.epochs == epochs
    assert (line.search_seconds is None) == (note is not None)
    assert len(line.notes) == (note is not None)
    if note is not None:
        assert re.search(note, line.notes[0])


def test_a_learner_is_paid_for_in_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many updates as it will make, each for what a step takes longer with one."""
    seen = {False: 0.25, True: 1.0}

    def rehearsed(*_: Any, learner: bool = True, **__: Any) -> Rehearsal:
        return Rehearsal("cpu", frozenset(), frozenset(), True, 3, 4, 10, 0.5, seen[learner], 2.0, "")

    monkeypatch.setattr("autoaug.study._measure_loop.rehearsed", rehearsed)
    shifted = Strategy(policy=lambda: Fixed(ready.none()), within=lambda policy: Counted(), space={})
    study = own(strategies={"x": shifted})
    alone = 0.5 + 4 * (10 * 0.25 + 2.0)
    [prediction] = predict(study).values()
    assert (prediction.trial, prediction.deployed) == (alone + 30 * 0.75, alone)


class Counted(NullLearner):
    """A learner that moves its policy once in each step of the epochs that have it on."""

    moves_policy = True


def test_advice_on_a_smaller_network_is_left_out() -> None:
    study = own()
    line = Line("none", (), 2, 3, 0, 1, 1e6, 1e6, "CPU-seconds")
    assert advise(study, [line], Loader()) is None


def test_a_budget_for_no_trial_is_refused_where_the_cost_is_known(store: Store, options: Options) -> None:
    def slow(trial: Trial) -> Iterator[Mapping[str, Any]]:
        optimiser = torch.optim.SGD((model := network()).parameters(), lr=0.1)
        for _ in trial.epochs(1_000_000, steps=1_000_000):
            while True:
                train_one_epoch(trial, model, optimiser)
            yield {}

    with pytest.raises(ValueError, match=r"a trial is expected to take .* CPU-seconds, more than Budget"):
        run(own(slow, budget=Budget(gpu_seconds=1.0)), store, options=options)
    assert store.definition("own") is None


# The proof of the knobs


def tuned(trial: Trial) -> Iterator[Mapping[str, Any]]:
    """A loop that reads a learning rate, a number that changes nothing soon, and leaves another one out."""
    trial["patience"]
    optimiser = torch.optim.SGD((model := network()).parameters(), lr=trial["lr"])
    for _ in trial.epochs():
        yield train_one_epoch(trial, model, optimiser)


def test_of_the_dimensions_of_a_loop_those_that_it_does_not_read_are_named() -> None:
    space = {name: FloatDistribution(0.1, 1) for name in ("train.lr", "train.patience", "train.wd")}
    found = proof(
        own(tuned, space={**space, "task.epochs": IntDistribution(2, 5), "mix.alpha": FloatDistribution(0, 1)})
    )
    assert {name: knob.effect for name, knob in found.items()} == {
        "train.lr": True,
        "train.patience": None,
        "train.wd": False,
        "task.epochs": True,
        "mix.alpha": True,
    }
    assert str(found["train.wd"]) == "train.wd has no effect: the loop does not read it in its first 2 steps"
    assert str(found["train.patience"]).startswith(
        "train.patience was not proved: 2 steps of the loop come to the same"
    )


def test_a_dimension_that_is_read_where_another_says_so_is_live() -> None:
    def choosing(trial: Trial) -> Iterator[Mapping[str, Any]]:
        momentum = trial["momentum"] if trial["optimiser"] == "b" else 0.0
        optimiser = torch.optim.SGD((model := network()).parameters(), lr=0.1, momentum=momentum)
        for _ in trial.epochs(2):
            yield train_one_epoch(trial, model, optimiser)

    space: dict[str, BaseDistribution] = {
        "train.optimiser": CategoricalDistribution("ab"),
        "train.momentum": FloatDistribution(0.1, 0.9),
    }
    assert {name: knob.effect for name, knob in proof(own(choosing, space=space)).items()} == dict.fromkeys(space, True)


def test_a_learner_is_proved_by_steps_of_the_loop() -> None:
    strategy = online_score()
    found = proof(own(strategies={"online": strategy}))
    assert set(found) == set(strategy.space)
    assert {name for name, knob in found.items() if not knob.effect} == set()


def test_where_two_rehearsals_of_a_point_differ_nothing_is_proved() -> None:
    rng = torch.Generator().manual_seed(0)

    def noisy(trial: Trial) -> Iterator[Mapping[str, Any]]:
        trial["lr"]
        optimiser = torch.optim.SGD((model := network()).parameters(), lr=0.1)
        with torch.no_grad():
            model.last.bias.add_(torch.rand(10, generator=rng))
        for _ in trial.epochs(2):
            yield train_one_epoch(trial, model, optimiser)

    assert proof(own(noisy, space=RATE))["train.lr"].effect is None


# A run, and what is said of it


def test_a_study_whose_loop_has_its_own_data_runs_and_says_so(store: Store, options: Options) -> None:
    study = own(rated, strategies={"none": none(), "ta": trivialaugment()}, space=RATE)
    assert data_facts(study, Loader()) == []
    run(study, store, options=options)
    comparison = stored_comparison([(store, "own")])
    assert comparison.always_on == "what the loop rated does itself"
    lines = legend(comparison)
    assert "always on, whatever the strategy: what the loop rated does itself" in lines
    assert any(line.startswith("data: of the loop's own, as are the splits") for line in lines)
    assert {row.name: (row.trials, row.pruned, row.failed) for row in comparison.rows} == {
        name: (trials, 0, 0) for name, trials in {"none": 2, "ta": 2}.items()
    }
    assert {outcome.epochs for outcome in comparison.outcomes} == {3}
    assert not any(outcome.unapplied for outcome in comparison.outcomes)
    tree = winning_policy(study, store, "ta")
    facts = {name: tree.provenance[name] for name in ("train", "data", "always on")}
    assert facts == {
        "train": "rated",
        "data": "of the loop's own, as are the splits",
        "always on": "what the loop rated does itself",
    }
    assert "model" not in tree.provenance
    assert tree.root == trivialaugment().policy().tree().root


def test_of_a_loop_that_was_given_much_the_ends_are_shown() -> None:
    """The text of a partial has all that was given to it, which may be its images."""
    text = by_loop(spelt(partial(plain, data=torch.zeros(100, 3, 8, 8))))
    assert text.startswith("what the loop functools.partial(<function plain>, data=tensor([[[[0.")
    assert len(text) < 200
    assert "\n" not in text


def test_what_a_loop_never_read_in_a_whole_trial_is_kept_with_it(store: Store, options: Options) -> None:
    """What it reads in its last epoch only counts as read, as the preflight cannot know."""

    def late(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for scores in plain(trial):
            if trial.epoch == trial.total_epochs:
                trial["late"]
            yield scores

    space = {f"train.{name}": FloatDistribution(0.1, 1) for name in ("late", "never")}
    run(own(late, space=space, budget=Budget(trials=1)), store, options=options)
    unapplied = {outcome.kind: outcome.unapplied for outcome in store.outcomes("own")}
    assert unapplied == dict.fromkeys((TrialKind.SEARCH, TrialKind.FINAL), ("train.never",))
    assert any("train.never of none is not seen" in line for line in legend(stored_comparison([(store, "own")])))


def test_with_data_of_the_task_the_plan_leaves_to_the_loop_what_is_always_on() -> None:
    study = own(task=Task(data="digits-rotated", device="cpu"))
    [facts] = data_facts(study, Loader())
    assert facts.sentences()[-1] == "always on: what the loop does itself (train=plain)"


def test_how_many_epochs_a_running_trial_has_is_as_its_loop_says(store: Store, options: Options) -> None:
    seen = list[Any]()

    def looking(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for scores in rated(trial):
            seen.extend(each.epochs for each in status(store, "own").running)
            yield scores

    run(own(looking, space=RATE, budget=Budget(trials=1)), store, options=options)
    assert seen == [None, 3, 3, None, 3, 3], "known once the first epoch is stored"


def test_a_study_is_not_continued_with_another_loop(store: Store, options: Options) -> None:
    run(own(budget=Budget(trials=1)), store, options=options)
    with pytest.raises(
        ValueError, match="study 'own' was run with train plain, and now has bare: give the study another"
    ):
        run(own(bare, budget=Budget(trials=2)), store, options=options)
    run(own(budget=Budget(trials=1), seeds=2), store, options=options)
    assert sum(outcome.kind is TrialKind.FINAL for outcome in store.outcomes("own")) == 2


def test_a_metric_that_the_loop_alone_knows_is_minimised(
    store: Store, options: Options, no_metric_is_left: None
) -> None:
    """The smaller value wins the search, and the strategy with it stands above."""

    def losing(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for _ in plain(trial):
            yield {
                "val_mce": trial["cost"],
                **({"test_mce": trial["cost"] + 1} if trial.final and trial.epoch == 3 else {}),
            }

    space: dict[str, BaseDistribution] = {"train.cost": CategoricalDistribution((3.0, 1.0, 2.0))}
    dear = Strategy(policy=none().policy, space={"train.cost": CategoricalDistribution((5.0, 4.0))})
    strategies = {"dear": dear, "cheap": none()._replace(space=space)}
    study = own(losing, metric="val_mce", minimize=True, strategies=strategies, budget=Budget(trials=6))
    run(study, store, options=options)
    comparison = stored_comparison([(store, "own")])
    assert (comparison.maximize, comparison.test_metric) == (False, "test_mce")
    assert [(row.name, row.val_best, row.test.mean) for row in comparison.rows if row.test] == [
        ("cheap", 1.0, 2.0),
        ("dear", 4.0, 5.0),
    ]


# The command line

FILE = """
import torch
from optuna.distributions import FloatDistribution
from autoaug import Budget, Study, Task
from autoaug.strategies import none, trivialaugment

def finetune(trial):
    weights = torch.nn.Linear(64, 10)
    optimiser = torch.optim.SGD(weights.parameters(), lr=trial["lr"])
    rng = torch.Generator().manual_seed(0)
    for epoch in trial.epochs(2, weights=weights, optimiser=optimiser):
        for _ in range(3):
            images, classes = torch.rand(20, 1, 8, 8, generator=rng), torch.randint(10, (20,), generator=rng)
            images, soft = trial.augment(images, classes, classes=10)
            loss = torch.nn.functional.cross_entropy(weights(images.flatten(1)), soft)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield {"val_cost": loss, **({"test_cost": loss} if trial.final and epoch == 2 else {})}

study = Study(name="mine", train=finetune, task=Task(data=None, device="cpu"), metric="val_cost", minimize=True,
    space={"train.lr": FloatDistribution(0.01, 0.1)}, strategies={"none": none(), "ta": trivialaugment()},
    budget=Budget(trials=2), seeds=2)
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    before = dict(METRICS)
    for call in calling(tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text(FILE)
        yield call
    METRICS.clear()
    METRICS.update(before)


def test_the_plan_names_what_is_the_loops_own(call: Call) -> None:
    text = call("run", "mine.py", "--dry-run").stdout
    assert "data: of the loop's own, as are the splits" in text
    assert "always on: what the loop does itself" in text
    assert "≤ 2" in text
    assert "CPU s" in text


def test_other_data_are_refused_where_the_loop_reads_its_own(call: Call) -> None:
    refused(call("run", "mine.py", "--data", "digits"), "the loop of study 'mine' reads data of its own: leave --data")


@pytest.mark.slow  # two processes import torch
def test_a_study_file_with_a_loop_runs_in_processes_and_is_compared_and_exported(call: Call, tmp_path: Path) -> None:
    result = call("run", "mine.py", "--processes", "2", "-q")
    assert result.exit_code == 0, result.stderr
    page = call("compare", "mine.py", "--html", "x.html")
    assert page.exit_code == 0, page.stderr
    text = (tmp_path / "x.html").read_text()
    assert "finetune on data of the loop&#39;s own, as are the splits, always on: what the loop finetune" in text
    assert "test cost" in text
    exported = call("export", "mine.py", "--format", "json", "--strategy", "ta")
    assert '"train": "finetune"' in exported.stdout


# Commands

SCRIPT = "import json, os; t = json.load(open(os.environ['AUTOAUG_TRIAL']))"


def commanded(program: str = sys.executable, **more: Any) -> Study:
    return own(Command([program, "-c", SCRIPT]), **more)


def test_a_command_is_not_run_before_its_trials() -> None:
    study = commanded(space=RATE)
    preflight(study)
    line = planned(study)
    assert (line.epochs, line.search_seconds) == (None, None)
    assert line.notes == ("what a command costs is known when a trial of it has ended",)
    assert str(proof(study)["train.lr"]) == "train.lr was not proved: no step of a command is made for it"


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (
            lambda: commanded("no-such-program"),
            "there is no program 'no-such-program' to be run in ",
        ),
        (
            lambda: commanded(strategies={"online": online_score()}),
            "strategy 'online' of study 'own' moves its policy within a trial, and a command gets",
        ),
    ],
)
def test_a_command_that_cannot_work_is_refused(study: Callable[[], Study], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preflight(study())
