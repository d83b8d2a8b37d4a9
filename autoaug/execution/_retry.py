"""What failed, taken up again because somebody asked for it."""

from collections.abc import Sequence

from autoaug.record import Outcome, last_attempts
from autoaug.store import Store
from autoaug.study import Study


def failed(study: Study, store: Store, only: Sequence[str] = ()) -> list[Outcome]:
    """The trials, re-runs and final runs of a study whose last attempt failed, with the reason of each."""
    names = set(only or study.strategies)
    ends = last_attempts(store.outcomes(study.name))
    return [outcome for outcome in ends if outcome.state == "FAIL" and outcome.strategy in names]


def retry_failed(study: Study, store: Store, only: Sequence[str] = ()) -> list[Outcome]:
    """Queue them again, each as one more attempt: the same point and seed, from its checkpoint where there is one.

    A final run that has read the test split reads it as the same run.
    """
    return [outcome for outcome in failed(study, store, only) if store.retry(outcome)]
