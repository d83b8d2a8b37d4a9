"""Optuna's tables, where it offers no call for what is read or changed in them, or one that takes minutes."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages._rdb.models import (
    BaseModel,
    StudyModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialUserAttributeModel,
    TrialValueModel,
    VersionInfoModel,
)
from optuna.trial import FrozenTrial, TrialState

from autoaug.record import LEADERBOARD
from autoaug.store._optuna import QUEUED_AS, id_of_trial

STUDY_ROWS, TRIAL_ROWS, PARAM_ROWS, VALUE_ROWS, ATTRIBUTE_ROWS, REPORT_ROWS = (
    model.__table__
    for model in (
        StudyModel,
        TrialModel,
        TrialParamModel,
        TrialValueModel,
        TrialUserAttributeModel,
        TrialIntermediateValueModel,
    )
)

INDEXES = {
    "autoaug_trials_new": "trials (study_id, trial_id)",
    "autoaug_trials_state": "trials (study_id, state)",
    "autoaug_trials_queued": f"trial_user_attributes (value_json) WHERE key = '{QUEUED_AS}'",
}
"""What finds the trials that are new, that wait or run, and that were queued under a name, with no look at others."""


def prepare_indexes(engine: sql.Engine) -> None:
    """Create our indexes of Optuna's tables where they are missing."""
    inspector = sql.inspect(engine)
    present = {each["name"] for table in (TRIAL_ROWS, ATTRIBUTE_ROWS) for each in inspector.get_indexes(table.name)}
    for name, of in INDEXES.items():
        if name not in present:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {of}")


def in_state(connection: sql.Connection, study_id: int, state: TrialState) -> list[Any]:
    """Return the rows of the trials of an Optuna study that are in a state, by id."""
    ours = (TRIAL_ROWS.c.study_id == study_id, TRIAL_ROWS.c.state == state)
    return list(connection.execute(sql.select(TRIAL_ROWS).where(*ours).order_by(TRIAL_ROWS.c.trial_id)).all())


FIRST_TABLES = frozenset(
    (
        "studies",
        "study_directions",
        "study_user_attributes",
        "study_system_attributes",
        "trials",
        "trial_user_attributes",
        "trial_system_attributes",
        "trial_params",
        "trial_values",
        "trial_intermediate_values",
        "trial_heartbeats",
        "version_info",
    )
)
"""Optuna's tables in the first release that a storage of ours was made with (5.0): all have them. A table that a later
one adds is missing in older storages, and is made when they are opened; one that it takes away is not missed."""


def expected_tables(connection: sql.Connection) -> list[str]:
    """Return Optuna's tables that cannot be missing, where it once made all of them: its version is written last."""
    if not sql.inspect(connection).has_table(VersionInfoModel.__tablename__):
        return []
    made = connection.scalar(sql.select(sql.func.count()).select_from(VersionInfoModel))
    return [name for name in BaseModel.metadata.tables if name in FIRST_TABLES] if made else []


def rename_studies(connection: sql.Connection, name: str, new: str) -> None:
    """Give every Optuna study `<name>/...` the name `<new>/...`."""
    column, length = STUDY_ROWS.c.study_name, len(name)
    connection.execute(
        STUDY_ROWS.update()
        .where(sql.func.substr(column, 1, length + 1) == f"{name}/")
        .values(study_name=sql.literal(new) + sql.func.substr(column, length + 1))
    )


def widen_leaderboard(connection: sql.Connection, name: str, strategies: Sequence[str]) -> None:
    """Let the final runs that exist stand beside those of strategies that were added later.

    Optuna refuses new choices of a categorical parameter. It stores a choice by its index, and new strategies come
    last, so the old rows stay true when their list of choices grows.
    """
    finals = (
        sql.select(TRIAL_ROWS.c.trial_id)
        .join(STUDY_ROWS, STUDY_ROWS.c.study_id == TRIAL_ROWS.c.study_id)
        .where(STUDY_ROWS.c.study_name == f"{name}/{LEADERBOARD}")
    )
    connection.execute(
        PARAM_ROWS.update()
        .where(PARAM_ROWS.c.param_name == "strategy", PARAM_ROWS.c.trial_id.in_(finals))
        .values(distribution_json=distribution_to_json(CategoricalDistribution(strategies)))
    )


FEW = 500
"""Trials that a statement names one by one: every database takes so many values."""

ENDED = frozenset((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))


class LeanTrials:
    """Read the trials of Optuna's studies without their intermediate values, and those that have ended only once.

    Optuna makes an object of every row: at ten thousand trials of a hundred epochs that takes minutes and gigabytes.
    """

    def __init__(self, attributes: Collection[str]) -> None:
        """Read these of the user attributes; others may be large."""
        self.attributes = sorted(attributes)
        self.ended: dict[int, dict[int, FrozenTrial]] = {}
        """By study and trial."""

    def read(self, connection: sql.Connection, study_name: str) -> list[FrozenTrial]:
        """Return the trials of an Optuna study in the order of their numbers; an empty list where there is none."""
        trials, studies = TRIAL_ROWS.c, STUDY_ROWS.c
        columns = (trials.trial_id, trials.number, trials.state, trials.datetime_start, trials.datetime_complete)
        query = sql.select(trials.study_id, *columns).join(STUDY_ROWS, studies.study_id == trials.study_id)
        rows = connection.execute(query.where(studies.study_name == study_name).order_by(trials.trial_id)).all()
        if not rows:
            return []
        known = self.ended.get(rows[0].study_id, {})
        new = [row for row in rows if not same(known.get(row.trial_id), row)]
        found = {trial.number: trial for trial in self.build(connection, new)}
        read = [found[row.number] if row.number in found else known[row.trial_id] for row in rows]
        self.ended[rows[0].study_id] = {id_of_trial(trial): trial for trial in read if trial.state in ENDED}
        return read

    def since(self, connection: sql.Connection, study_id: int, last: int, among: Collection[int]) -> list[FrozenTrial]:
        """Return the trials of an Optuna study that came after one, by their ids, and some of those before."""
        trials, ids = sql.select(TRIAL_ROWS).where(TRIAL_ROWS.c.study_id == study_id), sorted(among)
        few = [TRIAL_ROWS.c.trial_id.in_(ids[k : k + FEW]) for k in range(0, len(ids), FEW)]
        found: list[FrozenTrial] = []
        for some in (*few, TRIAL_ROWS.c.trial_id > last):
            found += self.build(connection, connection.execute(trials.where(some)).all())
        return sorted(found, key=id_of_trial)

    def build(self, connection: sql.Connection, rows: Sequence[Any]) -> Iterator[FrozenTrial]:
        """Return the trials of some rows of one study, with what three other tables hold of them."""
        if not rows:
            return
        ids = [row.trial_id for row in rows]
        values, attributes = values_of(connection, ids), attributes_of(connection, ids, self.attributes)
        params, rules = params_of(connection, ids)
        for row in rows:
            yield FrozenTrial(
                number=row.number,
                state=row.state,
                value=None,
                values=values.get(row.trial_id),
                datetime_start=local(row.datetime_start),
                datetime_complete=local(row.datetime_complete),
                params=params.get(row.trial_id, {}),
                distributions=rules.get(row.trial_id, {}),
                user_attrs=attributes.get(row.trial_id, {}),
                system_attrs={},
                intermediate_values={},
                trial_id=row.trial_id,
            )


def same(known: FrozenTrial | None, row: Any) -> bool:
    """Whether a trial that had ended is that of a row: SQLite gives the id of one that was deleted to another."""
    return known is not None and (known.number, known.state, known.datetime_complete) == (
        row.number,
        row.state,
        local(row.datetime_complete),
    )


def local(time: datetime | None) -> datetime | None:
    """Return a time without a zone as Optuna gives it, by the clock on the wall, from the UTC that it stores."""
    return time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if time else None


def rows_of(
    connection: sql.Connection, table: sql.Table, ids: Sequence[int], names: str, *where: sql.ColumnElement[bool]
) -> sql.CursorResult[Any]:
    """Return columns of the rows of some trials of one study, the trial first, in the order in which they came.

    Of many trials those of all others of their study are among them.
    """
    trial, study = table.c.trial_id, TRIAL_ROWS.c.study_id
    ours = sql.select(study).where(TRIAL_ROWS.c.trial_id == ids[0]).scalar_subquery()
    among = trial.in_(ids if len(ids) <= FEW else sql.select(TRIAL_ROWS.c.trial_id).where(study == ours))
    order = next(iter(table.primary_key))
    columns = [table.c[name] for name in names.split()]
    return connection.execute(sql.select(trial, *columns).where(among, *where).order_by(trial, order))


def values_of(connection: sql.Connection, ids: Sequence[int]) -> dict[int, list[float]]:
    """Return the values of trials by trial, in the order of the objectives."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for row in rows_of(connection, VALUE_ROWS, ids, "objective value value_type"):
        found[row.trial_id][row.objective] = TrialValueModel.stored_repr_to_value(row.value, row.value_type)
    return {trial_id: [each[k] for k in sorted(each)] for trial_id, each in found.items()}


def attributes_of(connection: sql.Connection, ids: Sequence[int], names: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Return user attributes of these names, by trial; equal ones are one object."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    read: dict[str, Any] = {}
    for row in rows_of(connection, ATTRIBUTE_ROWS, ids, "key value_json", ATTRIBUTE_ROWS.c.key.in_(names)):
        if row.value_json not in read:
            read[row.value_json] = json.loads(row.value_json)
        found[row.trial_id][row.key] = read[row.value_json]
    return found


def params_of(
    connection: sql.Connection, ids: Sequence[int]
) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, BaseDistribution]]]:
    """Return the points of trials and the distributions of their dimensions, by trial; equal ones are one object."""
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    rules: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    read: dict[str, BaseDistribution] = {}
    for row in rows_of(connection, PARAM_ROWS, ids, "param_name param_value distribution_json"):
        if row.distribution_json not in read:
            read[row.distribution_json] = json_to_distribution(row.distribution_json)
        rules[row.trial_id][row.param_name] = rule = read[row.distribution_json]
        params[row.trial_id][row.param_name] = rule.to_external_repr(row.param_value)
    return params, rules


def states_of_trials(connection: sql.Connection) -> dict[str, dict[TrialState, int]]:
    """Return how many trials each Optuna study has in each state, by the name of the study."""
    by = (STUDY_ROWS.c.study_name, TRIAL_ROWS.c.state)
    counted = sql.select(*by, sql.func.count()).join(TRIAL_ROWS, TRIAL_ROWS.c.study_id == STUDY_ROWS.c.study_id)
    found: dict[str, dict[TrialState, int]] = defaultdict(dict)
    for study_name, state, count in connection.execute(counted.group_by(*by)):
        found[study_name][state] = count
    return found


def study_and_number(connection: sql.Connection, trial_id: int) -> tuple[str, int] | None:
    """Return the name of the Optuna study of a trial and its number there; None where it was deleted."""
    query = sql.select(STUDY_ROWS.c.study_name, TRIAL_ROWS.c.number)
    joined = query.join(TRIAL_ROWS, TRIAL_ROWS.c.study_id == STUDY_ROWS.c.study_id)
    row = connection.execute(joined.where(TRIAL_ROWS.c.trial_id == trial_id)).one_or_none()
    return (row.study_name, row.number) if row else None


def ended_trials(connection: sql.Connection, study_names: Collection[str]) -> list[int]:
    """Return the ids of the trials of some Optuna studies that have ended."""
    query = sql.select(TRIAL_ROWS.c.trial_id).join(STUDY_ROWS, STUDY_ROWS.c.study_id == TRIAL_ROWS.c.study_id)
    ours = query.where(STUDY_ROWS.c.study_name.in_(study_names), TRIAL_ROWS.c.state.in_(ENDED))
    return list(connection.scalars(ours.order_by(TRIAL_ROWS.c.trial_id)))


def thin_reports(connection: sql.Connection, trial_id: int, kept: Collection[int]) -> int:
    """Remove the intermediate values of a trial but those of some steps; return how many there were."""
    ours = (REPORT_ROWS.c.trial_id == trial_id, REPORT_ROWS.c.step.not_in(kept))
    return connection.execute(REPORT_ROWS.delete().where(*ours)).rowcount


NO_VALUE = (
    "diverged: its value was no finite number, which no storage keeps (an earlier version had called it complete)"
)


def fail_trials_without_value(engine: sql.Engine) -> None:
    """Make FAIL of what an earlier version stored as COMPLETE with a value of NaN or infinity.

    Optuna stores NaN as NULL, and then reads neither the trial nor the study that it belongs to.
    """
    value = VALUE_ROWS.c.value
    wrong = (
        sql.select(TRIAL_ROWS.c.trial_id)
        .join(VALUE_ROWS, VALUE_ROWS.c.trial_id == TRIAL_ROWS.c.trial_id)
        .distinct()
        .where(TRIAL_ROWS.c.state == TrialState.COMPLETE)
        .where(sql.or_(value.is_(None), sql.cast(value, sql.String(32)) == "NaN"))
    )
    with engine.connect() as connection:
        trial_ids = connection.scalars(wrong).all()
    for trial_id in trial_ids:
        reason = {"trial_id": trial_id, "key": "reason"}
        with engine.begin() as connection:
            for statement in (
                TRIAL_ROWS.update().where(TRIAL_ROWS.c.trial_id == trial_id).values(state=TrialState.FAIL),
                VALUE_ROWS.delete().where(VALUE_ROWS.c.trial_id == trial_id),
                ATTRIBUTE_ROWS.delete().where(*(ATTRIBUTE_ROWS.c[name] == reason[name] for name in reason)),
                ATTRIBUTE_ROWS.insert().values(**reason, value_json=json.dumps(NO_VALUE)),
            ):
                connection.execute(statement)
