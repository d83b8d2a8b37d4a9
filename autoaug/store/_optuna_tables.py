"""Changes that Optuna offers no call for, made in its tables. Their names have been the same since its first schema."""

import json
from collections.abc import Sequence

import sqlalchemy as sql
from optuna.distributions import CategoricalDistribution, distribution_to_json

from autoaug.record import LEADERBOARD


def rename_studies(connection: sql.Connection, name: str, new: str) -> None:
    """Give every Optuna study `<name>/...` the name `<new>/...`."""
    connection.execute(
        sql.text(
            "UPDATE studies SET study_name = :new || substr(study_name, :cut) "
            "WHERE substr(study_name, 1, :length) = :prefix"
        ),
        {"new": new, "cut": len(name) + 1, "length": len(name) + 1, "prefix": f"{name}/"},
    )


def widen_leaderboard(connection: sql.Connection, name: str, strategies: Sequence[str]) -> None:
    """Let the final runs that exist stand beside those of strategies that were added later.

    Optuna refuses new choices of a categorical parameter. It stores a choice by its index, and new strategies come
    last, so the old rows stay true when their list of choices grows.
    """
    connection.execute(
        sql.text(
            "UPDATE trial_params SET distribution_json = :choices WHERE param_name = 'strategy' AND trial_id IN "
            "(SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = :name)"
        ),
        {"choices": distribution_to_json(CategoricalDistribution(strategies)), "name": f"{name}/{LEADERBOARD}"},
    )


NO_VALUE = (
    "diverged: its value was no finite number, which no storage keeps (an earlier version had called it complete)"
)


def fail_trials_without_value(engine: sql.Engine) -> None:
    """Make FAIL of what an earlier version stored as COMPLETE with a value of NaN or infinity.

    Optuna stores NaN as NULL, and then reads neither the trial nor the study that it belongs to.
    """
    wrong = sql.text(
        "SELECT DISTINCT trial_id FROM trial_values JOIN trials USING (trial_id) "
        "WHERE state = 'COMPLETE' AND (value IS NULL OR CAST(value AS VARCHAR(32)) = 'NaN')"
    )
    with engine.connect() as connection:
        found = connection.scalars(wrong).all()
    for trial_id in found:
        mine = {"trial": trial_id, "reason": json.dumps(NO_VALUE)}
        with engine.begin() as connection:
            for statement in (
                "UPDATE trials SET state = 'FAIL' WHERE trial_id = :trial",
                "DELETE FROM trial_values WHERE trial_id = :trial",
                "DELETE FROM trial_user_attributes WHERE trial_id = :trial AND key = 'reason'",
                "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:trial, 'reason', :reason)",
            ):
                connection.execute(sql.text(statement), mine)
