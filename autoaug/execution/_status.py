"""How a study stands: who works on what, what it has cost, and when it should end, as far as its storage knows.

The storage stays as it is: no scheduler is made, nothing is queued, and no look is recorded. No torch is needed, so one
can ask often. What trials will cost is taken from those that have ended; before the first, from what was measured
when the study began.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial

from autoaug.options import Options
from autoaug.processes import Process
from autoaug.record import Outcome, TrialKind, last_attempts
from autoaug.store import Lease, Store, id_of_trial
from autoaug.study import SECONDS, complete_definition, unit

OVER = ("COMPLETE", "PRUNED")
"""The states of a trial that ended as it should."""


@dataclass(frozen=True)
class TrialStatus:
    """Tell who works on a trial, and how far it is."""

    strategy: str
    name: str
    """As `TrialKind.trial_name` has it."""
    attempt: int
    epoch: int
    """How many epochs have been trained, those of earlier attempts included."""
    epochs: int | None
    """How many there will be, refinement included; None where the loop of a study has not said it yet."""
    retrained: int
    """Epochs of the trainings from scratch that follow, with the policy that was learned."""
    owner: str
    """The process that holds the lease; empty where none was taken yet."""
    host: str
    pid: str
    """The process on that host; both as far as the owner says them."""
    device: str
    """Empty before the data are loaded."""
    since: str
    """When the attempt began, in ISO format, by the clock of the host that took it."""
    seconds: float
    """Since then."""
    silent_seconds: float
    """Since the last sign of life."""
    stale: bool
    """Whether that is so long ago that the trial will be given to another worker."""


@dataclass(frozen=True)
class StrategyStatus:
    """Count the trials of a strategy as they stand, with what its search has cost."""

    strategy: str
    trials: int | None
    """How many its search may make; None is as many as the budget buys."""
    done: int
    reruns: int
    """Re-runs that were queued, of a search on a proxy."""
    reruns_done: int
    finals: int
    """Final runs that are wanted."""
    finals_done: int
    running: int
    """As `waiting` and `failed`, of any kind: trials, re-runs and final runs."""
    waiting: int
    failed: int
    spent: Mapping[str, float]
    """By `SECONDS`, what counts against the budget."""
    limits: Mapping[str, float]
    """By `SECONDS`, what may be spent, where that is limited."""
    unit: str
    """Of the costs on its devices: "GPU-seconds" or "CPU-seconds"."""
    remaining_seconds: float | None
    """What is expected still to be spent, final runs included, in that unit; None where nothing is known."""
    remaining_wall_seconds: float | None
    """The same by the clock, if one trial ran at a time."""
    finished: bool
    """Whether all its final runs have ended, and nothing runs or waits."""


@dataclass(frozen=True)
class Status:
    """Tell how a study stands at this moment, as far as its storage knows."""

    study: str
    strategies: Sequence[StrategyStatus]
    running: Sequence[TrialStatus]
    """The longest without a sign of life first."""
    workers: int
    """Processes that hold the lease of a trial and show signs of life."""
    hosts: int
    """On which these run."""
    idle: int
    """Drivers that ended a trial a moment ago and have none now."""
    finished: bool
    """Whether every strategy is."""
    ends_in_seconds: float | None
    """When it should end, if as many go on working; None where nobody works or nothing is known."""


@dataclass(frozen=True)
class Costs:
    """Sum up what the trials of one kind of a strategy have cost, by root: attempts at one trial share it."""

    by_root: Mapping[int, float]
    open: Sequence[int]
    """Roots that run or wait."""
    mean: float | None
    """Of those that ended as they should; None before the first."""

    def to_come(self, wanted: int, each: float) -> float:
        """Return what `wanted` trials still cost if each costs so much: those not begun, and the rest of the open."""
        rest = sum(max(0.0, each - self.by_root.get(root, 0.0)) for root in self.open)
        return rest + max(0, wanted - len(self.by_root)) * each


def status(store: Store, name: str, expiry: float = Options.expiry_seconds) -> Status:
    """Return how a study stands that was run.

    Args:
        expiry: seconds without a sign of life after which its drivers give a trial to another worker.

    Raises:
        ValueError: its definition is of a later version.
    """
    definition, attempts = complete_definition(store.definition(name) or {"spaces": {}}), store.attempts(name)
    leases, now = store.leases(), datetime.now()
    running = [
        trial_status(store, outcome, trial, leases, definition, now, expiry)
        for outcome, trial in attempts
        if outcome.state == "RUNNING"
    ]
    alive = [trial for trial in running if trial.owner and not trial.stale]
    by_strategy: dict[str, list[Outcome]] = {strategy: [] for strategy in definition["spaces"]}
    for outcome, _ in attempts:
        by_strategy.setdefault(outcome.strategy, []).append(outcome)
    strategies = [strategy_status(strategy, each, definition) for strategy, each in by_strategy.items()]
    left = [each.remaining_wall_seconds for each in strategies]
    known = bool(alive) and all(seconds is not None for seconds in left)
    return Status(
        study=name,
        strategies=strategies,
        running=sorted(running, key=lambda trial: -trial.silent_seconds),
        workers=len({trial.owner for trial in alive}),
        hosts=len({trial.host for trial in alive}),
        idle=len(idle_drivers((trial for _, trial in attempts), running, now, expiry)),
        finished=all(each.finished for each in strategies),
        ends_in_seconds=sum(seconds or 0.0 for seconds in left) / len(alive) if known else None,
    )


def trial_status(
    store: Store,
    outcome: Outcome,
    trial: FrozenTrial,
    leases: Mapping[int, Lease],
    definition: Mapping[str, Any],
    now: datetime,
    expiry: float,
) -> TrialStatus:
    """Return who works on a trial that runs."""
    trial_id, start = id_of_trial(trial), trial.datetime_start or now
    seconds = max(0.0, (now - start).total_seconds())
    lease = leases.get(trial_id)
    owner, silent = (lease.owner, lease.age) if lease else ("", seconds)
    epochs, (host, pid) = planned_epochs(outcome, definition, trial.user_attrs), process_of(owner)
    reached = store.reached(trial_id)  # it may be more than the outcome has by now
    return TrialStatus(
        strategy=outcome.strategy,
        name=outcome.name,
        attempt=outcome.attempt,
        epoch=outcome.epochs,
        epochs=epochs,
        retrained=max(0, reached - epochs) if epochs else 0,
        owner=owner,
        host=host,
        pid=pid,
        device=trial.user_attrs.get("device", ""),
        since=start.isoformat(timespec="seconds"),
        seconds=seconds,
        silent_seconds=max(0.0, silent),
        stale=silent > expiry,
    )


def process_of(owner: str) -> tuple[str, str]:
    """Return the host and the process id of an owner of a lease; who is no process is a host."""
    process = Process.parse(owner)
    return (process.host, str(process.pid)) if process else (owner, "")


def planned_epochs(outcome: Outcome, definition: Mapping[str, Any], attributes: Mapping[str, Any]) -> int | None:
    """Return how many epochs a trial trains for, refinement included: by its point, and in a search by the proxy.

    Where a loop of the user's own trains it is as the loop has said; None where it has not yet.
    """
    if definition["train"]:
        return attributes.get("total_epochs")
    task = definition["task"]
    proxy = definition["proxies"].get(outcome.strategy, {}) if outcome.proxy else {}
    own = {**task, **definition["tasks"].get(outcome.strategy, {})}

    def length(name: str) -> Any:
        return proxy.get(name, outcome.point.get(f"task.{name}", own[name]))

    return length("total_epochs") or length("epochs") + length("refine_epochs")


def idle_drivers(
    trials: Iterable[FrozenTrial], running: Sequence[TrialStatus], now: datetime, moment: float
) -> set[tuple[str, str]]:
    """Return the drivers that worked on a trial themselves which ended a moment ago, and that have none now."""
    ended = {
        process_of(driver)
        for trial in trials
        if trial.datetime_complete and (now - trial.datetime_complete).total_seconds() < moment
        if (driver := trial.user_attrs.get("driver")) and driver == trial.user_attrs.get("worker")
    }
    return ended - {(trial.host, trial.pid) for trial in running}


def strategy_status(strategy: str, outcomes: Sequence[Outcome], definition: Mapping[str, Any]) -> StrategyStatus:
    """Return how the trials of one strategy stand, and what is expected of it."""
    ends = last_attempts(outcomes)
    by_kind = {kind: [outcome for outcome in ends if outcome.kind is kind] for kind in TrialKind}
    done = {kind: sum(outcome.state in OVER for outcome in each) for kind, each in by_kind.items()}
    states = [outcome.state for outcome in ends]
    budget, device = definition["budget"], "cuda" if any(each.device == "cuda" for each in outcomes) else "cpu"
    varies = definition["varied"].get(strategy, True)
    trials = budget["trials"] if varies else 1
    spent = {name: sum(getattr(each, name) for each in outcomes if each.kind.charged) for name in SECONDS}
    limits = {name: budget[name] for name in SECONDS if budget[name] is not None}
    finals = definition.get("seeds", 0)
    work = Work(strategy, outcomes, trials, finals, spent, limits, definition)
    left, ended = expected(work), sum(outcome.over for outcome in by_kind[TrialKind.FINAL])
    return StrategyStatus(
        strategy=strategy,
        trials=trials,
        done=done[TrialKind.SEARCH],
        reruns=len(by_kind[TrialKind.RERUN]),
        reruns_done=done[TrialKind.RERUN],
        finals=finals,
        finals_done=done[TrialKind.FINAL],
        running=states.count("RUNNING"),
        waiting=states.count("WAITING"),
        failed=states.count("FAIL"),
        spent=spent,
        limits=limits,
        unit=unit("gpu_seconds", device),
        remaining_seconds=left,
        remaining_wall_seconds=None if left is None else left * work.by_the_clock(),
        finished=all(outcome.over for outcome in ends) and ended >= finals,
    )


@dataclass(frozen=True)
class Work:
    """Hold what is known of the work of one strategy."""

    strategy: str
    outcomes: Sequence[Outcome]
    trials: int | None
    finals: int
    spent: Mapping[str, float]
    limits: Mapping[str, float]
    definition: Mapping[str, Any] = field(repr=False)

    def costs(self, kind: TrialKind) -> Costs:
        """Return what the trials of a kind have cost, in GPU-seconds or CPU-seconds."""
        by_root: dict[int, float] = {}
        outcomes = [outcome for outcome in self.outcomes if outcome.kind is kind]
        for outcome in outcomes:
            by_root[outcome.root] = by_root.get(outcome.root, 0.0) + outcome.gpu_seconds
        ends = last_attempts(outcomes)
        ended = [by_root[outcome.root] for outcome in ends if outcome.state in OVER]
        open_roots = [outcome.root for outcome in ends if not outcome.over]
        return Costs(by_root, open_roots, sum(ended) / len(ended) if ended else None)

    def by_the_clock(self) -> float:
        """Return the seconds on the wall that one of cost takes."""
        cost, wall = (sum(getattr(each, name) for each in self.outcomes) for name in SECONDS)
        return wall / cost if cost and wall else 1.0

    def left(self) -> list[float]:
        """Return what each limit leaves to spend, in GPU-seconds or CPU-seconds."""
        clocks = {"gpu_seconds": 1.0, "wall_seconds": self.by_the_clock()}
        return [max(0.0, limit - self.spent[name]) / clocks[name] for name, limit in self.limits.items()]

    def predicted(self, part: str) -> float | None:
        """Return what was expected of the strategy when the study began."""
        return self.definition[part].get(self.strategy)


def expected(work: Work) -> float | None:
    """Return what a strategy is expected still to spend, final runs included; None where nothing is known."""
    finals = work.costs(TrialKind.FINAL)
    search = search_to_come(work, begun_finals=bool(finals.by_root))
    full = full_cost(work)
    if search is None or (full is None and work.finals):
        return None
    return search + finals.to_come(work.finals, full or 0.0)


def search_to_come(work: Work, begun_finals: bool) -> float | None:
    """Return what a search and its re-runs are expected still to spend; once final runs have begun, no new trials."""
    search, reruns, full = work.costs(TrialKind.SEARCH), work.costs(TrialKind.RERUN), full_cost(work) or 0.0
    if begun_finals:
        return search.to_come(0, search.mean or 0.0) + reruns.to_come(0, full)
    if work.trials is None:
        return min(work.left(), default=None)
    if search.mean is not None and (not is_proxied(work) or reruns.by_root):
        return min([search.to_come(work.trials, search.mean) + reruns.to_come(0, full), *work.left()])
    whole = work.predicted("predicted_seconds")
    if whole is None or any(outcome.state == "FAIL" for outcome in last_attempts(work.outcomes)):
        return None
    return min([max(0.0, whole - work.spent["gpu_seconds"]), *work.left()])


def full_cost(work: Work) -> float | None:
    """Return what one training on the study's own task is expected to cost; None where nothing is known.

    By final runs, which may train again with what was learned, else by re-runs, else by trials, else as predicted.
    """
    kinds = (TrialKind.FINAL, TrialKind.RERUN) if is_proxied(work) else (TrialKind.FINAL, TrialKind.SEARCH)
    means = [work.costs(kind).mean for kind in kinds]
    return next((mean for mean in [*means, work.predicted("predicted_rerun_seconds")] if mean is not None), None)


def is_proxied(work: Work) -> bool:
    """Whether a search runs on a proxy."""
    return bool(work.definition["proxies"].get(work.strategy))
