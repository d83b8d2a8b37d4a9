"""What became of a study whose processes were killed: every promise, counted from the storage."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoaug.checkpoint import BEGAN_AGAIN
from autoaug.record import LEADERBOARD, Outcome, Record, TrialKind, last_attempts
from autoaug.store import GIVEN_UP, Store
from autoaug.study import complete_definition

PROMISES = {
    "lost": "trials that were asked for have not ended",
    "stuck": "attempts wait or run, and nobody works on them",
    "duplicated": "trials completed twice, or were never asked for",
    "unexplained": "attempts failed without a reason",
    "given_up": "trials were given up because their processes were ended",
    "missing": "epochs that were acknowledged are not in the storage as they were",
    "set_back": "epochs were trained again by one attempt in silence, and a checkpoint is written after each",
    "overspent": "seconds were spent beyond the budget and one epoch of every running trial",
}
"""What each count that must be 0 counts; `set_back` may be 1."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Count how a study stands."""

    trials: int = 0
    """Trials and final runs that were asked for."""
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()
    """Why they failed."""
    lost: int = 0
    stuck: int = 0
    duplicated: int = 0
    unexplained: int = 0
    given_up: int = 0
    acknowledged: int = 0
    """Epochs that a driver printed: the storage holds them, or the disk of the driver does until they are written."""
    missing: int = 0
    repeated: int = 0
    """Epochs that were trained again after a kill."""
    set_back: int = 0
    """The most epochs that one attempt trained again which has found a checkpoint."""
    begun_again: int = 0
    """Attempts that found no checkpoint where they were, and said so."""
    overspent: float = 0.0

    def broken(self) -> list[str]:
        """Return the promises that were not kept, one line each."""
        allowed = {"set_back": 1}
        return [
            f"{getattr(self, name)} {what}"
            for name, what in PROMISES.items()
            if getattr(self, name) > allowed.get(name, 0)
        ]


def audit(store: Store, name: str, acknowledged: Sequence[Mapping[str, Any]] = (), slots: int = 1) -> Audit:
    """Count what was promised.

    Args:
        name: of a study on which nobody works any more.
        acknowledged: the records of the events that its drivers printed, as plain data.
        slots: how many trials ran at the same time.
    """
    outcomes, records = store.outcomes(name), store.epochs(name)
    definition = complete_definition(store.definition(name) or {"spaces": {}})
    ends = last_attempts(outcomes)
    states = Counter(outcome.state for outcome in ends)
    again = list(repeats(outcomes, records))
    begun_again = [outcome for outcome, times in again if times and BEGAN_AGAIN in outcome.warning]
    asked_for = {key for strategy in definition["spaces"] for key in wanted(strategy, definition, outcomes)}
    ended = {key_of(outcome) for outcome in ends if outcome.over}
    complete = Counter(key_of(outcome) for outcome in outcomes if outcome.state == "COMPLETE")
    return Audit(
        trials=len(asked_for),
        complete=states["COMPLETE"],
        pruned=states["PRUNED"],
        failed=states["FAIL"],
        reasons=tuple(outcome.reason for outcome in ends if outcome.state == "FAIL"),
        lost=len(asked_for - ended),
        stuck=sum(not outcome.over for outcome in outcomes),
        duplicated=sum(times - 1 for times in complete.values()) + len({key_of(each) for each in outcomes} - asked_for),
        unexplained=sum(outcome.state == "FAIL" and not outcome.reason for outcome in outcomes),
        given_up=sum(outcome.state == "FAIL" and outcome.reason.endswith(GIVEN_UP) for outcome in ends),
        acknowledged=len(acknowledged),
        missing=not_stored(acknowledged, records) + holes(outcomes, records),
        repeated=sum(times for _, times in again),
        set_back=max((times for outcome, times in again if outcome not in begun_again), default=0),
        begun_again=len(begun_again),
        overspent=max(
            (overspent(strategy, definition, records, slots) for strategy in definition["spaces"]), default=0.0
        ),
    )


Key = tuple[str, str, int]
"""Strategy, where its trial is stored, and which trial or which final run."""


def key_of(outcome: Outcome) -> Key:
    return outcome.strategy, outcome.substudy, outcome.seed if outcome.kind is TrialKind.FINAL else outcome.root


def wanted(strategy: str, definition: Mapping[str, Any], outcomes: Iterable[Outcome]) -> Iterator[Key]:
    """Yield the trials and final runs that a strategy was to make, of a budget in seconds those that it could begin."""
    attempts = [each for each in outcomes if each.strategy == strategy]
    search = [each for each in attempts if each.kind is TrialKind.SEARCH]
    trials = definition["budget"]["trials"] if definition["spaces"][strategy] else 1
    yield from ((strategy, strategy, root) for root in range(trials or 0))
    yield from (key_of(each) for each in attempts if each.kind is TrialKind.RERUN or trials is None)
    if any(each.state == "COMPLETE" for each in search):
        yield from ((strategy, LEADERBOARD, seed) for seed in range(definition["seeds"]))


Epoch = tuple[str, int]
"""Its training, and its number there."""


def by_attempt(outcomes: Iterable[Outcome], records: Iterable[Record]) -> dict[Key, list[tuple[Outcome, set[Epoch]]]]:
    """Return the attempts at each trial in their order, each with the epochs that it stored."""
    epochs: dict[tuple[str, int], set[Epoch]] = defaultdict(set)
    for record in records:
        epochs[record.substudy, record.trial].add((record.training, record.epoch))
    by_trial: dict[Key, list[tuple[Outcome, set[Epoch]]]] = defaultdict(list)
    for each in sorted(outcomes, key=lambda outcome: outcome.attempt):
        by_trial[key_of(each)].append((each, epochs[each.substudy, each.trial]))
    return by_trial


def repeats(outcomes: Iterable[Outcome], records: Iterable[Record]) -> Iterator[tuple[Outcome, int]]:
    """Yield each attempt, and how many epochs it trained that an earlier attempt had stored."""
    for attempts in by_attempt(outcomes, records).values():
        before: set[Epoch] = set()
        for outcome, epochs in attempts:
            yield outcome, len(before & epochs)
            before |= epochs


def holes(outcomes: Sequence[Outcome], records: Iterable[Record]) -> int:
    """Return how many epochs before the last one of a training no attempt at its trial stored."""
    every = by_attempt(outcomes, records).values()
    stored: list[set[Epoch]] = [set().union(*(epochs for _, epochs in attempts)) for attempts in every]
    last = [dict(sorted(epochs)) for epochs in stored]  # of each training
    return sum(sum(ends.values()) - len(epochs) for ends, epochs in zip(last, stored, strict=True))


def not_stored(acknowledged: Iterable[Mapping[str, Any]], records: Iterable[Record]) -> int:
    """Return how many epochs were acknowledged that the storage does not have, or has with other numbers."""
    which = ("strategy", "kind", "trial", "attempt", "training", "epoch")
    stored = {tuple(getattr(record, name) for name in which): dict(record.metrics) for record in records}
    # what is empty is not printed
    lines = [(tuple(record.get(name, "") for name in which), record["metrics"]) for record in acknowledged]
    return sum(stored.get(key) != metrics for key, metrics in lines)


def overspent(strategy: str, definition: Mapping[str, Any], records: Iterable[Record], slots: int) -> float:
    """Return the seconds that a search cost beyond its budget and one epoch of every trial that may run at once."""
    limit = definition["budget"]["gpu_seconds"]
    costs = [record.gpu_seconds for record in records if record.strategy == strategy and record.kind.charged]
    if limit is None or not costs:
        return 0.0
    return max(0.0, sum(costs) - limit - slots * max(costs))
