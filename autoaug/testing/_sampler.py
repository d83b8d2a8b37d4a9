"""Laws of a sampler, as a search uses it: made anew for every trial, with a seed of that trial (`SeededByTrial`)."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from autoaug.strategies import SeededByTrial

Make = Callable[[int], BaseSampler]
Point = Mapping[str, Any]

PLANE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
"""Where every sampler is at home."""

MIXED: dict[str, BaseDistribution] = {
    "policy.op": CategoricalDistribution(("rotate", "invert", None)),
    "policy.n": IntDistribution(1, 3),
    "policy.m": FloatDistribution(0, 1, step=0.1),
    "task.lr": FloatDistribution(1e-3, 1.0, log=True),
    "task.epochs": IntDistribution(2, 8, step=2),
}
"""Every kind of dimension."""


def search(make: Make, *name: object, storage: BaseStorage | None = None, first: Sequence[Point] = ()) -> optuna.Study:
    """Return a search that maximises, made or opened again; its sampler has the name for a seed."""
    return optuna.create_study(
        direction="maximize",
        storage=storage or InMemoryStorage(),
        study_name="suite",
        sampler=SeededByTrial(make, *name, first=first),
        load_if_exists=True,
    )


def value(point: Point) -> float:
    """Return what a point of `PLANE` is worth."""
    return -((point["x"] - 0.3) ** 2) - float(point["y"])


def propose(study: optuna.Study, trials: int, space: Mapping[str, BaseDistribution] = PLANE) -> None:
    """Ask for trials, one after the other, and tell what they are worth."""
    for _ in range(trials):
        trial = study.ask(dict(space))
        study.tell(trial, value(trial.params) if "x" in trial.params else 0.1 * (trial.number % 7))


def points(study: optuna.Study) -> list[dict[str, Any]]:
    """Return the points of all trials, in their order."""
    return [trial.params for trial in study.trials]


def holds(rule: Any, each: Any) -> bool:
    """Whether a value is one of a distribution, and of its type."""
    if isinstance(rule, CategoricalDistribution):
        return each in rule.choices
    kind = int if isinstance(rule, IntDistribution) else float
    steps = (each - rule.low) / rule.step if rule.step else 0.0
    return type(each) is kind and rule.low <= each <= rule.high and abs(steps - round(steps)) < 1e-9


def check_inside(study: optuna.Study, space: Mapping[str, BaseDistribution]) -> None:
    """Raise AssertionError where a point lies outside the space or lacks a dimension."""
    for point in points(study):
        assert set(point) == set(space)
        for name, rule in space.items():
            assert holds(rule, point[name]), f"{name}={point[name]!r} is not in {rule}"


class SamplerTestCase:
    """Test the laws of a sampler. Override the fixture `sampler`."""

    @pytest.fixture
    def sampler(self) -> Make:
        """Override: return what makes the sampler from a seed, as a row of `SAMPLERS` does."""
        raise NotImplementedError

    def forget(self) -> None:
        """Override to clear what the process keeps between samplers, as if another process went on."""

    def draws(self, sampler: Make) -> bool:
        """Override where nothing is random: the seed makes no difference."""
        return True

    # The proposals

    @pytest.mark.parametrize("space", [PLANE, MIXED], ids=["plane", "mixed"])
    def test_proposals_lie_inside_the_space(self, sampler: Make, space: Mapping[str, BaseDistribution]) -> None:
        study = search(sampler, "inside")
        propose(study, 14, space)
        check_inside(study, space)

    def test_proposals_differ(self, sampler: Make) -> None:
        study = search(sampler, "differ")
        propose(study, 14)
        assert len({point["x"] for point in points(study)}) > 5

    def test_a_dimension_that_is_asked_for_alone_is_proposed(self, sampler: Make) -> None:
        study = search(sampler, "alone")
        propose(study, 6)
        trial = study.ask()
        late = trial.suggest_float("late", 2.0, 3.0)
        assert 2.0 <= late <= 3.0

    # Reproducible, by the seed and the trial

    def test_the_seed_and_the_stored_trials_decide_everything(self, sampler: Make) -> None:
        searches = [search(sampler, name) for name in ("one", "one", "other")]
        for study in searches:
            self.forget()
            propose(study, 14)
        first, again, other = map(points, searches)
        assert first == again
        assert (first != other) == self.draws(sampler)

    def test_a_search_that_is_opened_again_goes_on_as_if_it_had_never_stopped(
        self, sampler: Make, tmp_path: Path
    ) -> None:
        """Connect the parts by nothing but the storage, a file; the first points are given, the second whole."""
        first = ({"x": 0.5}, {"x": 0.1, "y": 0.9})
        whole = search(sampler, "s", 0, first=first)
        propose(whole, 22)
        for trials in (1, 9, 12):
            self.forget()
            storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
            resumed = search(sampler, "s", 0, storage=storage, first=first)
            propose(resumed, trials)
        assert points(resumed) == points(whole)
        assert points(whole)[0]["x"] == 0.5
        assert points(whole)[1] == first[1]

    def test_what_it_keeps_in_the_storage_is_json(self, sampler: Make) -> None:
        study = search(sampler, "json")
        propose(study, 14)
        for trial in study.trials:
            for each in trial.system_attrs.values():
                assert json.loads(each) is not None if isinstance(each, str) else json.dumps(each)

    # What else happens in a search

    def test_failed_and_pruned_trials_are_no_end(self, sampler: Make) -> None:
        study = search(sampler, "trouble")
        for number in range(16):
            trial = study.ask(dict(PLANE))
            if number % 4 == 1:
                study.tell(trial, state=TrialState.FAIL)
            elif number % 4 == 2:
                trial.report(value(trial.params), 1)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, value(trial.params))
        check_inside(study, PLANE)
        assert len({point["x"] for point in points(study)}) > 5

    def test_a_search_in_which_all_trials_fail_goes_on(self, sampler: Make) -> None:
        study = search(sampler, "failures")
        for _ in range(14):
            study.tell(study.ask(dict(PLANE)), state=TrialState.FAIL)
        check_inside(study, PLANE)
        assert len({point["x"] for point in points(study)}) > 1, "it proposes what has failed, again and again"

    def test_trials_that_run_at_once_differ(self, sampler: Make) -> None:
        """Let two processes that share a storage ask in turn and tell nothing yet, at the start and later."""
        storage = InMemoryStorage()
        drivers = [search(sampler, "at once", storage=storage) for _ in range(2)]
        for _ in range(2):
            asked = [driver.ask(dict(PLANE)) for _ in range(3) for driver in drivers]
            assert len({tuple(trial.params.values()) for trial in asked}) > 1
            for trial in asked:
                drivers[0].tell(trial, value(trial.params))
        check_inside(drivers[0], PLANE)
        assert [trial.number for trial in drivers[0].trials] == list(range(12))

    def test_threads_that_ask_at_the_same_moment_are_all_served(self, sampler: Make) -> None:
        storage, begin, errors = InMemoryStorage(), threading.Barrier(3), list[Exception]()

        def drive() -> None:
            begin.wait()
            try:
                propose(search(sampler, "threads", storage=storage), 5)
            except Exception as error:  # of a thread, which nobody else would hear of
                errors.append(error)

        search(sampler, "threads", storage=storage)
        threads = [threading.Thread(target=drive) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        study = search(sampler, "threads", storage=storage)
        assert len(study.trials) == 15
        check_inside(study, PLANE)
