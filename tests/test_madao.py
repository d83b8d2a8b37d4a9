"""MADAO's presets, and whether it learns: planted augmentations are found, and broken gradients do not find them."""

from collections.abc import Callable
from functools import cache
from statistics import mean
from typing import Any, NamedTuple

import pytest
import torch
from optuna.trial import FixedTrial
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from autoaug.hypergrad import identity
from autoaug.learners import Bilevel, Problem
from autoaug.learners._replay import learned, replay
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, PolicyTree, Relaxed, op_masses, ready
from autoaug.record import Record
from autoaug.strategies import Strategy, madao, madao_cg, madao_first_order
from autoaug.strategies._madao import PRESETS, SEARCHABLE
from autoaug.study import Budget, Study, preflight, set_up
from autoaug.train import Task, train

CONSTRUCTORS = (madao, madao_cg, madao_first_order)


def task(data: str) -> Task:
    return Task(data=data, model="convnet", epochs=20, batch_size=50, lr=0.2)


def study(strategy: Strategy, **more: Any) -> Study:
    given: dict[str, Any] = {"name": "one", "task": task("digits-rotated"), "budget": Budget(trials=1)}
    return Study(strategies={"madao": strategy}, **given | more)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_every_preset_of_every_variant_can_be_set_up_and_searches_nothing_by_itself(
    constructor: Callable[..., Strategy], preset: str
) -> None:
    strategy = constructor(preset)
    assert strategy.space == {}
    learner = set_up(study(strategy), "madao", {}).learner
    assert isinstance(learner, Bilevel)
    assert learner.updates.every == PRESETS[preset].every
    assert learner.policy.temperature == PRESETS[preset].temperature
    assert learner.policy.selection.shape == (2, 14)


def test_the_paper_s_numbers() -> None:
    setup = set_up(study(madao("paper")), "madao", {})
    learner: Any = setup.learner
    assert (learner.updates.every, learner.updates.warmup, learner.updates.estimator) == (60, 30, "pathwise")
    assert (learner.hypergrad.solver.steps, learner.hypergrad.solver.lr) == (5, 1e-3)
    assert isinstance(learner.optimiser, torch.optim.RMSprop)
    assert learner.optimiser.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize("name", sorted(SEARCHABLE))
def test_a_dimension_that_is_asked_for_is_searched_and_reaches_its_place(name: str) -> None:
    strategy = madao(search=[name])
    value = FixedTrial({name: getattr(SEARCHABLE[name], "low", None)})._suggest(name, SEARCHABLE[name])
    learner: Any = set_up(study(strategy), "madao", {name: value}).learner
    places = {
        "learner.every": learner.updates.every,
        "learner.warmup": learner.updates.warmup,
        "learner.lr": learner.optimiser.param_groups[0]["lr"],
        "policy.temperature": learner.policy.temperature,
    }
    assert places[name] == value


def test_two_trials_share_no_state() -> None:
    one, two = (set_up(study(madao()), "madao", {}) for _ in range(2))
    assert one.policy is not two.policy
    assert one.learner is not two.learner


def test_a_plan_in_which_the_policy_cannot_move_is_refused_or_warned_of() -> None:
    with pytest.raises(ValueError, match=r"strategy 'madao' of study 'one': warmup=30 epochs of Task.epochs=20"):
        preflight(study(madao("paper")))
    with pytest.warns(UserWarning, match=r"cannot move a logit by 3"):
        preflight(study(madao(), task=Task(data="digits", model="convnet", epochs=4, batch_size=50)))
    preflight(study(madao()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "shrt"}, r"unknown preset of madao 'shrt': did you mean 'short'"),
        ({"search": ["learner.lrr"]}, r"unknown dimension of madao 'learner.lrr': did you mean 'learner.lr'"),
    ],
)
def test_unknown_names_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        madao(**wrong)


# Does it learn? Digits are trained upright and validated and tested with a known change, so what should be found is
# known. The control that matters is the start policy, which never moves: beating no augmentation proves nothing. The
# thresholds are of means over three seeds, with room for four standard deviations and more in earlier measurements.

SEEDS = (0, 1, 2)


class Trained(NamedTuple):
    accuracy: float
    policy: Relaxed | None
    records: list[Record]


def flipped(learner: Bilevel) -> None:
    """The hypergradient with its sign turned."""
    learner.hypergrad = lambda *given: tree_map(torch.neg, identity()(*given))


def noisy(learner: Bilevel) -> None:
    """Standard normal numbers in place of the hypergradient."""

    def estimate(hypergrad: Any, problem: Problem) -> dict[str, Tensor]:
        problem.val_losses.append(torch.zeros(()))
        return {name: torch.randn(value.shape, generator=problem.rng) for name, value in problem.hyper.items()}

    learner.estimate = estimate


MUTANTS: dict[str, Callable[[Bilevel], None]] = {"madao": lambda learner: None, "flipped": flipped, "noise": noisy}


@cache
def trained(arm: str, data: str, seed: int) -> Trained:
    strategy, learner = madao(), None
    policy: Any = Fixed(ready.none()) if arm == "none" else strategy.policy()
    if arm in MUTANTS:
        assert strategy.within is not None
        learner = strategy.within(policy)
        MUTANTS[arm](learner)
    records = list(train(task(data), policy, MIXES["none"](), learner, Generator().manual_seed(seed), test=True))
    return Trained(records[-1].metrics["test_accuracy"], policy if arm != "none" else None, records)


def gain(data: str, arm: str, over: str) -> float:
    """Test accuracy of an arm above another one's, the mean of the seeds."""
    return mean(trained(arm, data, seed).accuracy - trained(over, data, seed).accuracy for seed in SEEDS)


def policies(data: str, arm: str) -> list[Relaxed]:
    found = [trained(arm, data, seed).policy for seed in SEEDS]
    return [policy for policy in found if policy is not None]


def degrees(policy: Relaxed) -> float:
    """The strength of rotate in the stage that selects it most; it begins at 15."""
    [index] = [k for k, op in enumerate(policy.ops) if op.name == "rotate"]
    stage = int(policy.selection.log_softmax(1)[:, index].argmax())
    return 30 * policy.strength[stage, index].sigmoid().item()


def rotation(arm: str) -> dict[str, bool]:
    """What finding the planted rotation of ± 30 degrees means."""
    found = policies("digits-rotated", arm)
    return {
        "better than none": gain("digits-rotated", arm, "none") >= 0.08,
        "better than the start policy": gain("digits-rotated", arm, "frozen") >= 0.04,
        "strength": 20 <= mean(map(degrees, found)) <= 30,
        "mass": mean(op_masses(policy.tree())["rotate"] for policy in found) / 2 >= 0.08,
    }


def inversion(arm: str) -> dict[str, bool]:
    """What finding the planted inversion means."""
    masses = [op_masses(policy.tree()) for policy in policies("digits-inverted", arm)]
    return {
        "better than the start policy": gain("digits-inverted", arm, "frozen") >= 0.02,
        "invert comes first": all(max(mass, key=lambda name: mass[name]) == "invert" for mass in masses),
        "mass": all(mass["invert"] / 2 >= 0.15 for mass in masses),
    }


@pytest.mark.slow
def test_a_planted_rotation_is_found() -> None:
    assert rotation("madao") == dict.fromkeys(rotation("madao"), True)


@pytest.mark.slow
def test_a_planted_inversion_is_found() -> None:
    assert inversion("madao") == dict.fromkeys(inversion("madao"), True)


@pytest.mark.slow
def test_where_there_is_nothing_to_find_it_does_no_harm() -> None:
    assert gain("digits", "madao", "none") >= -0.02


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ["flipped", "noise"])
def test_a_broken_hypergradient_does_not_find_the_rotation(mutant: str) -> None:
    assert not rotation(mutant)["better than the start policy"]
    assert not all(rotation(mutant).values())


@pytest.mark.slow
def test_noise_does_not_find_the_inversion() -> None:
    assert not inversion("noise")["mass"]


@pytest.mark.slow
def test_the_learned_policy_is_worth_as_much_when_a_network_is_trained_anew() -> None:
    """An online result alone could be what the validation set told the weights."""
    run = trained("madao", "digits-rotated", 0)
    assert run.policy is not None
    assert learned(run.records) == run.policy.tree()
    for tree in (learned(run.records), replay(run.records)):
        assert anew(tree) - trained("frozen", "digits-rotated", 0).accuracy >= 0.03


def anew(tree: PolicyTree) -> float:
    rng = Generator().manual_seed(0)
    return list(train(task("digits-rotated"), Fixed(tree), MIXES["none"](), None, rng, test=True))[-1].metrics[
        "test_accuracy"
    ]
