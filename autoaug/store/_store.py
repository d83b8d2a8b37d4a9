"""Studies, epochs and costs in SQL: Optuna's own tables, and ours beside them. The only truth about a study.

Optuna's tables hold the trials: points, intermediate values, states and user attributes, one Optuna study
`<study>/<strategy>` for each search and `<study>/leaderboard` for the final runs. Ours hold what Optuna has no place
for: the definition of a study, every epoch's metrics, who works on a trial (its lease), each read of a test
split, and each look at what it showed.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from autoaug.metrics import DEFAULT_METRIC, Direction, metric_of, on_split, stored_table
from autoaug.record import LEADERBOARD, Outcome
from autoaug.store._contradictions import Complete, write_definition
from autoaug.store._damage import checked_definition, reason, reporting_damage
from autoaug.store._epoch_table import EpochTable
from autoaug.store._losses import LOSSES, TRAINED_ON, Loss, after, given_up
from autoaug.store._opening import open_storage
from autoaug.store._optuna import cached, id_of_study, id_of_trial, named, root_of
from autoaug.store._optuna_tables import (
    LeanTrials,
    rename_studies,
)
from autoaug.store._outcome import BY_CLASS, READ, Attempted, every_attempt
from autoaug.store._queued import Uses, final_run, new_point, next_attempt, propose, rerun
from autoaug.store._refusals import fix
from autoaug.store._retrying import Moved, RetryPolicy, Unreachable, open_together, retrying
from autoaug.store._schema import BY_STUDY, STUDIES
from autoaug.store._secrets import parse, show_url, without_secrets
from autoaug.store._spool import moved_by, spooled
from autoaug.store._url import CLOCKS, file_of, portable, refuse_unusable, resolve


class Store(EpochTable):
    """Read and write an open storage. It can be shared by the threads of a process, and by any number of processes."""

    def __init__(self, storage_url: str, retry_seconds: float = 60.0, *, existing: bool = False) -> None:
        """Open it, and create the tables where they are missing.

        Args:
            retry_seconds: seconds for which a read or a write that gets no answer is tried again. Opening is not.
            existing: refuse what holds no studies yet, and make nothing of it; what may not be written is only read,
                and `read_only` says why.

        Raises:
            ValueError: it cannot be opened; the message holds no password.
        """
        self.storage_url = storage_url
        url = resolve(storage_url)
        self.display_url = show_url(url)
        self.retry_policy = RetryPolicy(retry_seconds, self.display_url)
        refuse_unusable(url)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            opened = open_together(lambda: open_storage(url, self.retry_policy, existing))
        except (SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
            message = reason(error)
            raise ValueError(
                f"storage {self.display_url} cannot be opened: {without_secrets(message, url)}{fix(message)}"
            ) from None
        self.shared, self.identity, self.read_only = opened
        self.optuna, self.engine = cached(self.shared), self.shared.engine
        self.lean = LeanTrials(READ)
        self.clock = sql.literal_column(CLOCKS[self.engine.dialect.name], sql.Float)

    @property
    def is_file(self) -> bool:
        """Whether only processes of this host can open it."""
        return self.engine.dialect.name == "sqlite"

    def look(self) -> Moved | None:
        """Look whether the storage is still what was opened; return what was found where it is not."""
        if self.is_file and not self.retry_policy.moved:
            try:
                self.engine.connect().close()
            except Moved as moved:
                self.retry_policy.moved = moved
            except SQLAlchemyError:  # it cannot be told now
                pass
        return self.retry_policy.moved

    def close(self) -> None:
        """Close the connections; a store that is used again opens new ones."""
        self.optuna.remove_session()
        self.engine.dispose()

    def portable(self) -> str:
        """Return what opens the same storage in another process, and holds no password."""
        return portable(self.storage_url)

    # Studies

    def define(self, name: str, definition: Mapping[str, Any], complete: Complete = dict) -> None:
        """Keep what a new study is; refuse one that contradicts what was already run under its name.

        A definition is `{"task": ..., "metric": ..., "seed": ..., "spaces": {strategy: {dimension: rule}}}`.
        Strategies may be added later; what is there may not change, and stays as it was written, in its version.

        Args:
            complete: gives what a definition of any version leaves to defaults; complete ones are compared.

        Raises:
            ValueError: it contradicts what was run; the message names what does, both values, and what to do.
        """
        try:
            self.merge(name, definition, complete)
        except IntegrityError:  # another driver has just defined it
            self.merge(name, definition, complete)

    @retrying
    def merge(self, name: str, definition: Mapping[str, Any], complete: Complete) -> None:
        """Define a study in one transaction."""
        with self.engine.begin() as connection:
            write_definition(connection, name, definition, complete)

    @reporting_damage("the table autoaug_studies")
    @retrying
    def definition(self, name: str) -> dict[str, Any] | None:
        """Return what a study is as it was written, in its version; None where there is none of this name."""
        with self.engine.connect() as connection:
            stored = connection.scalar(sql.select(STUDIES.c.definition).where(STUDIES.c.name == name))
        return checked_definition(stored)

    @reporting_damage("the table autoaug_studies")
    @retrying
    def names(self) -> list[str]:
        """Return the names of all studies, in alphabetical order."""
        with self.engine.connect() as connection:
            return list(connection.scalars(sql.select(STUDIES.c.name).order_by(STUDIES.c.name)))

    def strategies(self, name: str) -> list[str]:
        """Return the strategies of a study that have been run, in the order in which they were defined."""
        return list((self.definition(name) or {"spaces": {}})["spaces"])

    def open(self, name: str, strategy: str, direction: Direction, metric: str = "") -> optuna.Study:
        """Return the Optuna study of a strategy's search, created where it is missing, with `metric` on its axis."""
        search = optuna.create_study(
            storage=self.optuna, study_name=f"{name}/{strategy}", direction=direction, load_if_exists=True
        )
        return named(search, [metric]) if metric else search

    def leaderboard(self, name: str) -> optuna.Study:
        """Return the Optuna study of the final runs, created where it is missing.

        Its two objectives let the dashboard draw cost against the study's metric on the test split. One that an earlier
        version made keeps its own, which were the same whatever the metric.
        """
        definition = self.definition(name) or {}
        metric = definition.get("metric", DEFAULT_METRIC)
        directions = [metric_of(metric, table=stored_table(definition)).direction, "minimize"]
        finals = optuna.create_study(
            storage=self.optuna, study_name=f"{name}/{LEADERBOARD}", directions=directions, load_if_exists=True
        )
        return named(finals, [on_split("test", metric), "gpu_seconds"])

    def final_objectives(self, name: str) -> list[str]:
        """Return what the Optuna study of the final runs takes as values, in its order."""
        return list(self.leaderboard(name).metric_names or ())

    @retrying
    def archive(self, name: str) -> str:
        """Give a study and all that belongs to it another name, so that its name is free; returns the new one."""
        with self.engine.begin() as connection:
            taken = set(connection.scalars(sql.select(STUDIES.c.name)))
            new = next(f"{name}~{k}" for k in range(1, len(taken) + 2) if f"{name}~{k}" not in taken)
            for table in BY_STUDY:
                connection.execute(table.update().where(table.c.study == name).values(study=new))
            connection.execute(STUDIES.update().where(STUDIES.c.name == name).values(name=new))
            rename_studies(connection, name, new)
        return new

    # Trials

    def trials(self, name: str, strategy: str) -> list[FrozenTrial]:
        """Return the trials of a search, of its re-runs or of `leaderboard`; an empty list where nothing was run."""
        try:
            study_id = self.optuna.get_study_id_from_name(f"{name}/{strategy}")
        except KeyError:
            return []
        return self.optuna.get_all_trials(study_id, deepcopy=False)

    @reporting_damage("a row of Optuna's tables")
    @retrying
    def lean_trials(self, name: str, substudy: str) -> list[FrozenTrial]:
        """Return what `trials` does without intermediate values, and with few user attributes: it takes a moment."""
        with self.engine.connect() as connection:
            return self.lean.read(connection, f"{name}/{substudy}")

    @reporting_damage("a trial in Optuna's tables")
    def attempts(self, name: str) -> list[Attempted]:
        """Return every attempt at every trial of a study, searches first, then their re-runs, then final runs."""
        return every_attempt(name, self.definition(name) or {"spaces": {}}, self.work(name), self.lean_trials)

    def outcomes(self, name: str) -> list[Outcome]:
        """Return how every attempt at every trial of a study stands, in the order of `attempts`."""
        return [each.outcome for each in self.attempts(name)]

    @reporting_damage("a row of Optuna's tables")
    @retrying
    def by_class(self, name: str) -> dict[int, Mapping[str, Any]]:
        """Return how the final runs of a study predicted each class, as `Record.by_class`, by their numbers."""
        with self.engine.connect() as connection:
            trials = LeanTrials({BY_CLASS}).read(connection, f"{name}/{LEADERBOARD}")
        return {each.number: each.user_attrs[BY_CLASS] for each in trials if BY_CLASS in each.user_attrs}

    def trial(self, attempt: Outcome) -> FrozenTrial:
        """Return the trial of an attempt; KeyError where it was deleted."""
        study_id = self.optuna.get_study_id_from_name(f"{attempt.study}/{attempt.substudy}")
        return self.optuna.get_trial(self.optuna.get_trial_id_from_study_id_trial_number(study_id, attempt.trial))

    def state(self, trial_id: int) -> TrialState:
        """Return the state of a trial; KeyError where it was deleted."""
        return self.optuna.get_trial(trial_id).state

    def has(self, trial_id: int) -> bool:
        """Whether a trial is there: not deleted with its study, and no older copy was put in the storage's place."""
        try:
            self.state(trial_id)
        except KeyError:
            return False
        return True

    def goes_on(self, trial_id: int) -> bool:
        """Whether a trial that was under way still is.

        Raises:
            Moved: the storage does not know it any more.
        """
        try:
            return self.state(trial_id) == TrialState.RUNNING
        except KeyError as error:
            raise moved_by(self, trial_id, error) or error from None

    def is_running(self, trial_id: int) -> bool:
        """Whether a trial is under way; False where it has ended or was deleted."""
        try:
            return self.state(trial_id) == TrialState.RUNNING
        except KeyError:
            return False

    @spooled
    def report(self, trial_id: int, epoch: int, value: float) -> bool:
        """Keep an intermediate value; False where the trial has ended, and whoever works on it must stop."""
        try:
            self.optuna.set_trial_intermediate_value(trial_id, epoch, value)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    @spooled
    def annotate(self, trial_id: int, **attributes: Any) -> bool:
        """Set user attributes of a trial, visible in the dashboard; False where it has ended."""
        try:
            self.set_attributes(trial_id, attributes)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def set_attributes(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self.optuna.set_trial_user_attr(trial_id, name, value)

    @spooled
    def conclude(self, trial_id: int, state: TrialState, reason: str = "", objectives: Sequence[str] = ()) -> bool:
        """End a trial with what its stored epochs say of it; False where it had already ended.

        Its values are those of the `objectives`: metrics of the last epoch, or `gpu_seconds`, the cost of all.
        """
        done = self.work_on(trial_id)
        attributes: dict[str, Any] = {"reason": reason} if reason else {}
        values = None
        if done:
            unit = "gpu_seconds" if done.device == "cuda" else "cpu_seconds"
            attributes |= {unit: round(done.gpu_seconds, 3), "epochs": done.epochs, "images": done.images}
            attributes["wall_seconds"] = round(done.wall_seconds, 3)
            attributes |= {name: round(value, 6) for name, value in done.metrics.items()}
            facts = {**done.metrics, "gpu_seconds": float(done.gpu_seconds)}
            values = [facts[name] for name in objectives] or None
        return self.finish(trial_id, state, values, **attributes)

    def finish(self, trial_id: int, state: TrialState, values: list[float] | None = None, **attributes: Any) -> bool:
        """End a trial; False where it had already ended (cancelled, or given to another worker)."""
        try:
            self.set_attributes(trial_id, attributes)
            self.optuna.set_trial_state_values(trial_id, state, values)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        with suppress(Unreachable):  # a lease that is left behind on a trial that has ended means nothing
            self.release(trial_id)
        return True

    def trained_on(self, trial_id: int) -> list[str]:
        """Return the hosts on which earlier attempts at a trial got further than those before them."""
        return list(self.optuna.get_trial(trial_id).user_attrs.get(TRAINED_ON, []))

    def requeue(self, study: optuna.Study, trial_id: int, reason: str, loss: Loss = "foreign") -> TrialState | None:
        """End an attempt whose worker is gone and queue the same point again, to resume from its checkpoint.

        Both happen or neither does, and once, however many drivers do it at the same time and whatever is killed.

        Args:
            loss: whose it is. Too many without progress end a trial, unless they are foreign.

        Returns:
            WAITING where it was queued, FAIL where it was given up, None where the trial had ended.
        """
        lost = self.optuna.get_trial(trial_id)
        root, inherited = root_of(study, lost), after(lost.user_attrs, self.reached(trial_id), loss)
        end = given_up(inherited, loss)

        def successor(lost: FrozenTrial) -> FrozenTrial | None:
            return None if end else next_attempt(lost, root, inherited)

        if not self.shared.replace(trial_id, f"{reason}{end}", successor):
            return None
        return TrialState.FAIL if end else TrialState.WAITING

    def retry(self, failed: Outcome) -> bool:
        """Queue a trial whose last attempt failed once more; False where another driver was quicker."""
        lost = self.trial(failed)
        inherited = after(lost.user_attrs, self.reached(id_of_trial(lost)), "foreign")
        again = next_attempt(lost, failed.root, {**inherited, LOSSES: {}})
        study_id = self.optuna.get_study_id_from_name(f"{failed.study}/{failed.substudy}")
        return self.shared.queue_once(study_id, f"attempt {failed.attempt + 1} of {failed.root}", again)

    def enqueue_point(self, search: optuna.Study, ordinal: int) -> bool:
        """Queue the next trial of a search, its point still to be proposed; as `enqueue_final`."""
        return self.shared.queue_once(id_of_study(search), f"point {ordinal}", new_point(ordinal))

    def propose(
        self, search: optuna.Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution], uses: Uses
    ) -> optuna.Trial:
        """Return a claimed trial with what it lacks and `uses` of its point, by the sampler of the search."""
        return propose(search, trial, space, uses)

    def enqueue_final(
        self, name: str, strategy: str, seed: int, point: Mapping[str, Any], source: int, retest: bool = False
    ) -> bool:
        """Queue a final run: the best point of a strategy, that of trial `source`, with a seed that only it has.

        A `retest` is one for which the test split was read before, when another point was the best.
        Returns whether it was queued: False where another driver was quicker.
        """
        trial = final_run(self.strategies(name), strategy, seed, point, source, retest)
        once = f"{strategy} {seed}" + (f" of trial {source}" if retest else "")
        return self.shared.queue_once(id_of_study(self.leaderboard(name)), once, trial)

    def enqueue_rerun(self, reruns: optuna.Study, searched: FrozenTrial) -> bool:
        """Queue a re-run, on the task itself, of a trial of a search on a proxy; as `enqueue_final`."""
        return self.shared.queue_once(id_of_study(reruns), f"trial {searched.number}", rerun(searched))

    def claim(self, trial_id: int) -> bool:
        """Take a WAITING trial; False where another driver was quicker."""
        try:
            claimed = self.optuna.set_trial_state_values(trial_id, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        if claimed:
            self.forget(trial_id)
        return claimed


def open_retrying(storage_url: str, retry_seconds: float) -> Store:
    """Open a storage that was there a moment ago: a worker that starts while it is away waits for it.

    Nothing is made in the place of a file that is gone: with what stood in the way of it, SQLite would remove the log
    of the file when it is put back, and the latest writes with it.

    Raises:
        ValueError: it is not there within `retry_seconds`, or cannot be opened.
    """

    def opened() -> Store:
        path = file_of(parse(resolve(storage_url)))
        if path is not None and not path.exists():
            raise ValueError(f"storage {show_url(resolve(storage_url))} cannot be opened: {path} is gone: put it back")
        return Store(storage_url, retry_seconds)

    tries = Retrying(
        retry=retry_if_exception_type(ValueError),
        wait=wait_random(0.2, 2),
        stop=stop_after_delay(retry_seconds),
        reraise=True,
    )
    return tries(opened)
