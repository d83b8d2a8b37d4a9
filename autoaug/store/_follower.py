"""The outcomes of a study as they come: an attempt that has ended never changes, and is read once."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from autoaug.record import Outcome
from autoaug.store._damage import reporting_damage
from autoaug.store._optuna import id_of_study, id_of_trial
from autoaug.store._optuna_tables import LeanTrials, in_state
from autoaug.store._outcome import COMPARED, SIGNED_BY, TrialGroup, Work, outcome, stages
from autoaug.store._retrying import retrying
from autoaug.store._store import Store

OUTCOMES, SIGNED = LeanTrials(COMPARED), LeanTrials(SIGNED_BY)


@reporting_damage("a row of Optuna's tables")
@retrying
def waiting(store: Store, study: optuna.Study) -> list[int]:
    """Return the ids of the trials of an Optuna study that wait for a worker, the first one first."""
    with store.engine.connect() as connection:
        return [row.trial_id for row in in_state(connection, id_of_study(study), TrialState.WAITING)]


@reporting_damage("a row of Optuna's tables")
@retrying
def running(store: Store, study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of an Optuna study that run; of their user attributes those that say who works on them."""
    with store.engine.connect() as connection:
        return [*SIGNED.build(connection, in_state(connection, id_of_study(study), TrialState.RUNNING))]


@reporting_damage("a row of Optuna's tables")
@retrying
def changed(store: Store, study_id: int, last: int, unfinished: Collection[int]) -> list[FrozenTrial]:
    """Return the trials of an Optuna study that came after the `last` one, by id, and those that were `unfinished`."""
    with store.engine.connect() as connection:
        return OUTCOMES.since(connection, study_id, last, unfinished)


@dataclass(frozen=True)
class Bookmark:
    """Keep how far the trials of an Optuna study were read."""

    last: int = -1
    """The id of the last one."""
    roots: Mapping[int, int] = field(default_factory=dict)
    """By id those that had not ended, each with which trial of its search it belongs to."""
    points: int = 0
    """How many trials had been first attempts: what an older storage counts to know the next root."""


class Follower:
    """Read the outcomes of some strategies of a study again and again, each time what may have changed.

    What it reads depends on what is new and on what waits or runs, and not on what has ended.
    """

    def __init__(self, store: Store, name: str, strategies: Collection[str]) -> None:
        """Follow the searches of these strategies and their re-runs, and all final runs: they must have been opened."""
        self.store, self.name, self.display_url = store, name, store.display_url
        self.groups = {
            store.optuna.get_study_id_from_name(f"{name}/{group.substudy}"): group
            for group in stages(store.definition(name) or {"spaces": {}})
            if group.strategy in ("", *strategies)
        }
        self.bookmarks = dict.fromkeys(self.groups, Bookmark())

    @reporting_damage("a trial in Optuna's tables")
    def read(self) -> tuple[list[Outcome], list[Outcome]]:
        """Return what has ended since the last call, and what waits or runs now.

        What ends while it is read is returned by the next call.
        """
        found: list[Outcome] = []
        bookmarks = {}
        for study_id, bookmark in self.bookmarks.items():
            trials = changed(self.store, study_id, bookmark.last, bookmark.roots)
            bookmarks[study_id], roots = moved(bookmark, trials)
            found += self.outcomes(self.groups[study_id], trials, roots)
        self.bookmarks = bookmarks  # not before all of it was read: whatever failed is read again
        return [each for each in found if each.over], [each for each in found if not each.over]

    def outcomes(self, group: TrialGroup, trials: list[FrozenTrial], roots: Mapping[int, int]) -> Iterator[Outcome]:
        """Return the outcomes of some trials. Their states were read before their work, so all of that is there."""
        work, nothing = self.store.work_of([id_of_trial(trial) for trial in trials]), Work()
        for trial in trials:
            trial_id = id_of_trial(trial)
            yield outcome(self.name, group, trial, roots[trial_id], work.get(trial_id, nothing))


def moved(bookmark: Bookmark, trials: list[FrozenTrial]) -> tuple[Bookmark, dict[int, int]]:
    """Return how far trials were read with these, and the root of each of these by its id."""
    roots, points = dict[int, int](), bookmark.points
    for trial in trials:
        trial_id = id_of_trial(trial)
        if trial_id in bookmark.roots:
            roots[trial_id] = bookmark.roots[trial_id]
        else:
            roots[trial_id] = trial.user_attrs.get("root", points)
            points += trial.user_attrs.get("attempt", 1) == 1
    last = max([bookmark.last, *roots])
    unfinished = {id_of_trial(trial): roots[id_of_trial(trial)] for trial in trials if not trial.state.is_finished()}
    return Bookmark(last, unfinished, points), roots
