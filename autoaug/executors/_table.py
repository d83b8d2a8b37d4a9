"""Where trials run: `EXECUTORS`."""

from collections.abc import Callable

from autoaug.execution import Listen, Options
from autoaug.executors.local import run_local
from autoaug.store import Store
from autoaug.study import Study


def run_ray(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run a study as Ray Tune trials. Ray is imported here and no earlier: a local run does not wait for it."""
    from autoaug.executors.ray import run_ray

    run_ray(study, store, options, listen)


EXECUTORS: dict[str, Callable[[Study, Store, Options, Listen], None]] = {"local": run_local, "ray": run_ray}
"""Runs the trials of a study until none is left."""
