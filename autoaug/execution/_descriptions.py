"""What the pages of Optuna show of each of its studies: names of axes alone would let one take one for another."""

import optuna

from autoaug.study import Study

ABOUT = "about"
"""The user attribute that the page of an Optuna study shows."""

OF_FINALS = (
    "final runs: the best point of each strategy, trained with seeds of its own; each reads the test split once. "
    "gpu_seconds are CPU-seconds where a trial has cpu_seconds"
)
OF_RERUNS = "the best points that were found on the proxy, trained again on the task itself; one of them is the result"
OF_SEARCH = "search: every trial is scored on the validation split"


def about_search(study: Study, strategy: str) -> str:
    """Return what the trials of a search are; those on a proxy must not be read as trainings of the task."""
    changes = study.proxy_of(strategy)
    if not changes:
        return OF_SEARCH
    proxy = ", ".join(f"{name}={value}" for name, value in changes.items())
    return f"search on a proxy ({proxy}): the values rank points of this search and nothing else"


def metric_of(study: Study, strategy: str) -> str:
    """Return what stands on the axis of a search."""
    return f"{study.metric} (proxy)" if study.strategies[strategy].proxy else study.metric


def describe(study: optuna.Study, about: str) -> optuna.Study:
    """Return the study, once its page shows what it is."""
    if study.user_attrs.get(ABOUT) != about:
        study.set_user_attr(ABOUT, about)
    return study
