"""The epochs of a comparison: read when a figure asks for them, and of a large study not all."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import overload

from autoaug.record import LEADERBOARD, Outcome, Record, complete_by_value
from autoaug.store import Attempted, Store, id_of_trial, thinned_epochs

StoredStudy = tuple[Store, str]
"""Where a study is stored, and its name there."""

MOST_EPOCHS = 20_000
"""Of a comparison whose epochs are all read."""

IN_FULL = 25
"""Trials of each search, the best ones, of which every epoch is read where there are more than that."""


class StoredRecords(Sequence[Record]):
    """Give the epochs of stored studies, in the order in which they are stored, once somebody looks at them.

    Of studies of more than `MOST_EPOCHS` epochs these are the epochs of the final runs and of the best `IN_FULL` trials
    of each search, and of every other trial the last one, which has the cost, the time and the images of all of them.
    """

    def __init__(self, studies: Sequence[StoredStudy], attempts: Sequence[Sequence[Attempted]], maximize: bool) -> None:
        self.studies, self.maximize = studies, maximize
        epochs = sum(attempt.outcome.epochs for each in attempts for attempt in each)
        self.in_full = [self.shown_in_full(each) for each in attempts] if epochs > MOST_EPOCHS else None

    def shown_in_full(self, attempts: Sequence[Attempted]) -> list[int]:
        """Return the trials of a study of which every epoch is read, by their ids."""
        by_search: dict[str, list[Outcome]] = defaultdict(list)
        for outcome, _ in attempts:
            by_search[outcome.substudy].append(outcome)
        finals = by_search.pop(LEADERBOARD, [])
        best = [each for search in by_search.values() for each in complete_by_value(search, self.maximize)[:IN_FULL]]
        chosen = {(outcome.substudy, outcome.trial) for outcome in (*finals, *best)}
        return [id_of_trial(trial) for outcome, trial in attempts if (outcome.substudy, outcome.trial) in chosen]

    @cached_property
    def read(self) -> list[Record]:
        """Return the epochs, from the storage."""
        if self.in_full is None:
            return [record for store, name in self.studies for record in store.epochs(name)]
        return [
            record
            for (store, name), in_full in zip(self.studies, self.in_full, strict=True)
            for record in thinned_epochs(store, name, in_full)
        ]

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.read[index]

    def __len__(self) -> int:
        return len(self.read)
