"""A mix that is learned, in trainings, loops and studies; and whether what is learned is right."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import binomtest
from small_problems import seeded
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug import Budget, Record, Study, Task, Trial
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split, as_float
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.hypergrad import unrolled
from autoaug.interruption import Interruption
from autoaug.learners import Bilevel, LearnedMix, Updates
from autoaug.mixing import MIXES, PairMix, hmix, mixup
from autoaug.models import build
from autoaug.policy import PolicyTree, Relaxed, Warp, ready
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import madao, madao_cg, madao_first_order, online_score
from autoaug.study import applied, preflight, set_up
from autoaug.testing._learner import TASK, unmeasured
from autoaug.train import train
from autoaug.trial import records

UPDATES = Updates(every=2, hyper_batch=20, val_batch=20)
OPS = ("rotate", "invert")


def epochs(mix: LearnedMix, seed: int = 0, task: Task = TASK, **more: Any) -> Iterator[Record]:
    policy = Relaxed(OPS)
    return train(task, policy, mix, Bilevel(policy, updates=UPDATES, mix=mix), seeded(seed), **more)


def study(strategy: Any, **more: Any) -> Study:
    given: dict[str, Any] = {"name": "x", "task": TASK, "strategies": {"arm": strategy}, "budget": Budget(trials=1)}
    return Study(**given | more)


# In the trainer


def test_each_record_says_where_the_mix_is() -> None:
    mix = LearnedMix(hmix(alpha=0.4))
    found = [record.metrics for record in epochs(mix)]
    assert {name for name in found[0] if name.startswith("mix_")} == {"mix_alpha", "mix_ratio"}
    for name, begun in {"mix_alpha": 0.4, "mix_ratio": 0.5}.items():
        values = [each[name] for each in found]
        assert len({begun, *values}) == 4, "it moves in three epochs, and not while refining"
        assert values[2] == values[3]
        assert mix.values()[name.removeprefix("mix_")] == values[3]


def test_the_training_mixes_by_what_is_learned() -> None:
    """A learner whose every update is skipped, and one that moves, train alike until the first update."""
    still = Updates(every=2, hyper_batch=20, val_batch=20, optimiser=partial(torch.optim.SGD, lr=0.0))
    policy, mix = Relaxed(OPS), LearnedMix(mixup(alpha=0.7))
    plain = list(train(TASK, policy, MIXES["mixup"](alpha=0.7), None, seeded()))
    learned = list(train(TASK, policy, mix, Bilevel(policy, updates=still, mix=mix), seeded()))
    assert [each.metrics["train_loss"] for each in plain] == [each.metrics["train_loss"] for each in learned]
    assert learned[-1].metrics["hyper_updates"] == 6
    moved = list(epochs(LearnedMix(mixup(alpha=0.7))))
    assert moved[2].metrics["train_loss"] != learned[2].metrics["train_loss"]


@pytest.mark.parametrize("stop", [2, 5, 9])
def test_a_training_that_is_cut_off_within_an_epoch_equals_one_that_never_stopped(stop: int, tmp_path: Path) -> None:
    whole, cut, steps, interruption = list(epochs(LearnedMix(hmix()))), list[Record](), list[None](), Interruption()

    def pulse() -> None:
        steps.append(None)
        if len(steps) == stop:
            interruption.request()

    with suppress(KeyboardInterrupt):
        for record in epochs(
            LearnedMix(hmix()), resume=Checkpoint(Folder(tmp_path), "1.pt"), pulse=pulse, interruption=interruption
        ):
            cut.append(record)
    other = LearnedMix(hmix())
    rest = list(epochs(other, 99, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
    assert len(cut) < 4
    for one, two in zip([*cut, *rest], whole, strict=True):
        assert unmeasured(one) == unmeasured(two)
    assert other.values()["alpha"] == whole[-1].metrics["mix_alpha"]


def test_the_step_of_training_itself_moves_the_mix() -> None:
    policy, mix = Warp("translation", "range"), LearnedMix(mixup(alpha=0.7))
    updates = Updates(every=2, val_batch=20, reuse_graph=True, estimator="pathwise")
    found = list(train(TASK, policy, mix, Bilevel(policy, unrolled(1, 0.1), updates, mix=mix), seeded()))
    assert len({each.metrics["mix_alpha"] for each in found}) == 3
    assert all(parameter.grad is None for parameter in mix.parameters())


def test_a_training_that_mixes_by_another_mix_is_refused() -> None:
    policy, mix = Relaxed(OPS), LearnedMix(mixup())
    with pytest.raises(
        ValueError, match=r"the learner moves a mix, and the training mixes by PairMix.*same LearnedMix"
    ):
        list(train(TASK, policy, mixup(), Bilevel(policy, updates=UPDATES, mix=mix), seeded()))


# In a loop of one's own


def own_loop(trial: Trial) -> Iterator[dict[str, float]]:
    trial.seed_everything()
    train, val = trial.split("train"), trial.split("val")
    model = build(TASK.model, 2, 1, trial.streams["weights"])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in trial.epochs(2, steps=4, model=model, optimiser=optimiser):
        for rows in torch.randperm(40, generator=trial.streams["order"]).split(10):
            images, targets = as_float(train.images[rows]), train.targets[rows]
            mixed, soft = trial.augment(images, targets, 2)
            assert not mixed.requires_grad
            assert not soft.requires_grad
            F.cross_entropy(model(mixed), soft).backward()
            optimiser.step()
            optimiser.zero_grad()

            def criterion(logits: Tensor, targets: Tensor) -> Tensor:
                assert targets.shape == logits.shape, "the loss of an update is of mixed images"
                return F.cross_entropy(logits, targets, reduction="none")

            trial.learn(model, (images, targets), (val.images, val.targets), optimiser, criterion=criterion)
        yield {"val_accuracy": 0.0}


def test_a_loop_of_ones_own_learns_the_mix_and_trains_on_it() -> None:
    mix, policy = LearnedMix(mixup(alpha=0.5)), Relaxed(OPS)
    learner = Bilevel(policy, updates=UPDATES, mix=mix)
    trial = Trial({}, policy, mix, learner, replace(TASK, epochs=2, refine_epochs=0), 0, data=TASK.load())
    found = [record.metrics["mix_alpha"] for record in records(own_loop, trial)]
    assert len({0.5, *found}) == 3
    images, soft = torch.rand(50, 1, 8, 8, generator=seeded()), torch.eye(50)
    now = Trial({}, policy, mix, learner, TASK, 0, data=TASK.load())
    _, targets = now.mixed(images, soft)
    again = Trial({}, policy, mixup(alpha=found[-1]), learner, TASK, 0, data=TASK.load())
    assert torch.equal(targets, again.mixed(images, soft)[1])


# In a study


@pytest.mark.parametrize("make", [madao, madao_cg, madao_first_order, online_score])
def test_every_online_strategy_learns_the_mix_that_is_asked_for(make: Any) -> None:
    for strategy, kind, begun in (
        (make(mix=True), "mixup", {"alpha": 1.0}),
        (make(mix=True).mixed("hmix", alpha=0.4, ratio=0.25), "hmix", {"alpha": 0.4, "ratio": 0.25}),
    ):
        setup: Any = set_up(study(strategy), "arm", {})
        assert setup.learner.mix is setup.mix
        assert (setup.mix.row, setup.mix.values()) == (kind, pytest.approx(begun))
        shown = applied(setup, TASK)["mix"]
        assert (shown["kind"], shown["row"], shown["start"]["alpha"]) == ("LearnedMix", kind, begun["alpha"])
        moved = [id(each) for group in setup.learner.optimiser.param_groups for each in group["params"]]
        assert {id(each) for each in setup.mix.parameters()} <= set(moved)
    assert type(set_up(study(make()), "arm", {}).mix) is PairMix


def test_a_dimension_of_the_mix_is_where_it_begins() -> None:
    asked = study(madao(mix=True), space={"mix.alpha": FloatDistribution(0.1, 1.0)})
    setup: Any = set_up(asked, "arm", {"mix.alpha": 0.3})
    assert setup.mix.values() == pytest.approx({"alpha": 0.3})
    preflight(study(online_score(mix=True), mix={"kind": "gmix"}, task=replace(TASK, epochs=20)))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mix": {"kind": "cutmix"}}, r"strategy 'arm' of study 'x': a learner cannot move the mix 'cutmix'"),
        ({"space": {"mix.kind": CategoricalDistribution(["mixup", "cutmix"])}}, r"cannot move .* 'mixup', 'hmix', 'gm"),
        ({"space": {"mix.alpha": FloatDistribution(0.0, 1.0)}}, r"mix.alpha begins at 0, .*: begin at 0.001 to 1000"),
        ({"mix": {"kind": "mixup", "probability": 0.0}}, r"mix.probability is 0, where nothing is mixed"),
        ({"deploy": ("policy_schedule",)}, r"deploy='policy_schedule' .* give Study\(deploy=\('last_policy',\)\)"),
    ],
)
def test_a_study_whose_mix_cannot_be_learned_is_refused_when_it_is_made(more: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(madao(mix=True), **more)
    study(madao(), **more)


def test_what_is_trained_anew_has_the_mix_that_was_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoaug.execution import _attempt

    made: list[Any] = []
    deployed = _attempt.Attempt.deployed

    def watched(*given: Any) -> Any:
        made.append(deployed(*given))
        return made[-1]

    monkeypatch.setattr(_attempt.Attempt, "deployed", watched)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    strategy = online_score(mix=True, ops=OPS).mixed("hmix", alpha=0.4)
    task = replace(TASK, epochs=20, refine_epochs=0)
    run(study(strategy, seeds=1, task=task), store, options=Options(artifacts=tmp_path / "artifacts"))
    final = [record for record in store.epochs("x") if record.kind is TrialKind.FINAL]
    assert {record.training for record in final} == {"", "last_policy"}
    last = [record.metrics for record in final if not record.training and record.phase == "augment"][-1]
    [setup] = made
    assert setup.mix.alpha == last["mix_alpha"] != 0.4
    assert setup.mix.mask.keywords == {"ratio": last["mix_ratio"]}
    assert not any("mix_alpha" in record.metrics for record in final if record.training)
    with pytest.raises(ValueError, match=r"no record of this run holds mix_alpha: it learned no mixup"):
        LearnedMix(mixup()).learned([record for record in final if record.training])


# Whether it learns what is right


class Unmoved(nn.Module):
    """A policy that changes no image, beside which the mix alone is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images + 0 * self.unused

    def tree(self) -> PolicyTree:
        return ready.none()

    def at(self, epoch: int) -> None:
        pass


class Dense(nn.Module):
    def __init__(self, pixels: int, classes: int, channels: int) -> None:
        super().__init__()
        layers = nn.Linear(pixels, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes)
        self.net = nn.Sequential(nn.Flatten(), *layers)

    def forward(self, images: Tensor) -> Any:
        return self.net(images)


def between(root: Path, seed: int) -> Source:
    """Grey images of one class, dark and bright ones of the other: a mix of dark and bright is grey, and not grey."""
    rng = seeded(seed)

    def split(count: int) -> Split:
        level = torch.randint(3, (count,), generator=rng)
        images = 0.1 + 0.4 * level.view(-1, 1, 1, 1) + 0.05 * torch.randn(count, 1, 2, 2, generator=rng)
        return Split(images.clamp(0, 1), (level == 1).long())

    return Source(train=split(200), val=split(200), test=None, classes=("ends", "middle"))


def mislabelled(root: Path, seed: int) -> Source:
    """Two classes with a plane between them, and 30 % of the training labels wrong: a network learns them by heart."""
    rng = seeded(seed)
    normal = torch.randn(64, generator=rng)

    def split(count: int, wrong: float) -> Split:
        images = torch.rand(count, 1, 8, 8, generator=rng)
        targets = ((images.flatten(1) - 0.5) @ normal > 0).long()
        return Split(images, torch.where(torch.rand(count, generator=rng) < wrong, 1 - targets, targets))

    return Source(train=split(200, 0.3), val=split(400, 0), test=None, classes=("below", "above"))


def learned_alpha(data: Any, pixels: int, seed: int, epochs: int) -> float:
    model = partial(Dense, pixels)
    task = Task(
        data=partial(data, seed=seed),
        model=model,
        epochs=epochs,
        batch_size=50,
        schedule="constant",
        weight_decay=0.0,
        standard="none",
        device="cpu",
    )
    policy, mix = Unmoved(), LearnedMix(mixup(alpha=0.5))
    updates = Updates(every=2, warmup=3, estimator="pathwise", hyper_batch=200, val_batch=None)
    learner = Bilevel(policy, updates=updates, mix=mix)
    list(train(task, policy, mix, learner, seeded(seed), validate=False))  # type: ignore[arg-type]
    return mix.values()["alpha"]


def test_alpha_falls_where_mixing_is_wrong_and_rises_where_it_helps() -> None:
    """From 0.5, in four trainings of each kind: eight of eight on the right side have the chance 1/256."""
    low = [learned_alpha(between, 4, seed, epochs=10) for seed in range(4)]
    high = [learned_alpha(mislabelled, 64, seed, epochs=30) for seed in range(4)]
    right = sum(each < 0.5 for each in low) + sum(each > 0.5 for each in high)
    assert binomtest(right, 8, 0.5, alternative="greater").pvalue < 0.01, (low, high)
