"""The policy that each strategy of a study found, kept beside it: a page shows them without the file of the study."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from autoaug.store._damage import reporting_damage
from autoaug.store._retrying import retrying
from autoaug.store._schema import POLICIES
from autoaug.store._store import Store

PlainTree = Mapping[str, Any]
"""A policy tree as plain data, as `policy.json` has it."""


@retrying
def note_policies(store: Store, name: str, trees: Mapping[str, PlainTree]) -> None:
    """Keep the policies of a study, by strategy, in the place of those that were kept before."""
    rows = [{"study": name, "strategy": each, "tree": dict(tree)} for each, tree in trees.items()]
    with store.engine.begin() as connection:
        connection.execute(POLICIES.delete().where(POLICIES.c.study == name))
        if rows:
            connection.execute(POLICIES.insert(), rows)


@reporting_damage("the table autoaug_policies")
@retrying
def policies(store: Store, name: str) -> dict[str, PlainTree]:
    """Return the policies of a study that are kept, by strategy."""
    query = sql.select(POLICIES.c.strategy, POLICIES.c.tree).where(POLICIES.c.study == name)
    with store.engine.connect() as connection:
        return {row.strategy: row.tree for row in connection.execute(query)}
