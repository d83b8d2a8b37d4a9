"""What a cluster can never give is refused, what it may still give is spoken of while trials wait for it."""

import logging
from typing import Any

import pytest
from studies_for_tests import tiny

from autoaug.execution import Job, Options, Scheduler, process_name
from autoaug.executors import check
from autoaug.executors._nodes import Node, Waiting, refuse_too_much, slots, wanted
from autoaug.store import Store

SMALL: Node = {"CPU": 8.0, "memory": 1e10, "node:10.0.0.1": 1.0}
A100: Node = {"CPU": 32.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
T4: Node = {"CPU": 64.0, "GPU": 2.0, "accelerator_type:T4": 1.0}


@pytest.mark.parametrize(
    ("given", "nodes", "message"),
    [
        (
            {"gpus_per_trial": 8},
            [A100, A100],
            r"^each trial asks for 1 CPU, 8 GPUs and the largest node of the cluster has 32 CPUs, 4 GPUs, A100: lower "
            r"--gpus-per-trial, or add --autoscaling where the cluster starts nodes$",
        ),
        (
            {"gpus_per_trial": 4, "cpus_per_trial": 48},
            [A100, T4],
            r"has 32 CPUs, 4 GPUs, A100: lower --cpus-per-trial, ",
        ),
        (
            {"gpus_per_trial": 1},
            [SMALL],
            r"asks for 1 CPU, 1 GPU and the largest node of the cluster has 8 CPUs, 0 GPUs",
        ),
        ({}, [], r"asks for 1 CPU, 0 GPUs and the largest node of the cluster has 0 CPUs, 0 GPUs"),
        (
            {"gpus_per_trial": 1, "accelerator": "H100"},
            [A100, T4, SMALL],
            r"^no node of the cluster has the --accelerator H100: there are A100, T4; name one of these, leave it out",
        ),
        ({"gpus_per_trial": 1, "accelerator": "H100"}, [SMALL], r"--accelerator H100: Ray knows of no GPU there"),
        (
            {"gpus_per_trial": 4, "accelerator": "T4"},
            [A100, T4],
            r"asks for 1 CPU, 4 GPUs, T4 and the largest node of the cluster has 32 CPUs, 4 GPUs, A100: lower --cpus",
        ),
    ],
)
def test_what_no_node_has_is_refused_with_what_the_largest_has(
    given: dict[str, Any], nodes: list[Node], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_too_much(nodes, Options(**given))
    refuse_too_much(nodes, Options(**given, autoscaling=True))


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, 104),
        ({"gpus_per_trial": 1}, 6),
        ({"gpus_per_trial": 3}, 1),
        ({"gpus_per_trial": 0.3}, 18),
        ({"gpus_per_trial": 0.1}, 32 + 20),
        ({"gpus_per_trial": 1, "accelerator": "T4"}, 2),
        ({"gpus_per_trial": 1, "at_once": 2}, 2),
        ({"gpus_per_trial": 1, "at_once": 50}, 6),
        ({"gpus_per_trial": 8, "autoscaling": True}, 1),
        ({"gpus_per_trial": 1, "autoscaling": True}, 7),
        ({"gpus_per_trial": 1, "autoscaling": True, "at_once": 50}, 50),
    ],
)
def test_so_many_trials_fit_each_on_one_node(given: dict[str, Any], fits: int) -> None:
    options = Options(**given)
    refuse_too_much([SMALL, A100, T4], options)
    assert slots([SMALL, A100, T4], options) == fits


def test_a_trial_asks_for_what_the_options_say() -> None:
    assert wanted(Options(cpus_per_trial=2)) == {"CPU": 2.0}
    options = Options(gpus_per_trial=0.5, accelerator="A100")
    assert wanted(options) == {"CPU": 1.0, "GPU": 0.5, "accelerator_type:A100": 0.001}
    with pytest.raises(ValueError, match=r"^accelerator is A100 and gpus per trial is 0: give a share of a GPU, or 1$"):
        Options(accelerator="A100")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"address": "auto"}, r"^--address auto is of a Ray cluster: add --executor ray$"),
        ({"autoscaling": True}, r"^--autoscaling is of a Ray cluster: add --executor ray$"),
        ({"accelerator": "T4", "gpus_per_trial": 1}, r"^--accelerator T4 is of a Ray cluster: add --executor ray$"),
    ],
)
def test_what_only_a_cluster_has_is_refused_without_one(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(tiny(), "local", Options(**given))


class Hands:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def jobs(store: Store) -> list[Job]:
    scheduler = Scheduler(tiny(), store)
    return [job for job in (scheduler.next(), scheduler.next()) if job]


def test_a_trial_that_has_not_begun_is_spoken_of_once_a_minute(
    store: Store, jobs: list[Job], clock: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Waiting(store, Options(gpus_per_trial=2), clock)
    said: dict[float, str] = {}

    def look(now: float) -> None:
        caplog.clear()
        clock.now = now
        waiting.look(lambda: [SMALL, A100])
        for record in caplog.records:
            said[now] = record.getMessage()

    with caplog.at_level(logging.WARNING, "autoaug"):
        waiting.handed(jobs[0])
        for now in range(0, 100, 5):
            look(now)
        waiting.handed(jobs[1])
        for now in range(100, 200, 5):
            look(now)
        for job in jobs:
            waiting.begun(job)
        look(1000)
    there = "the cluster has 8 CPUs, 0 GPUs; 32 CPUs, 4 GPUs, A100"
    assert said == {
        60: f"1 trial waits for a node with 1 CPU, 2 GPUs free, for 60 s now; {there}",
        120: f"1 trial waits for a node with 1 CPU, 2 GPUs free, for 120 s now; {there}",
        180: f"2 trials wait for a node with 1 CPU, 2 GPUs free, for 180 s now; {there}",
    }


def test_a_trial_that_waits_keeps_its_lease(
    store: Store, jobs: list[Job], clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[tuple[float, int, str]] = []
    monkeypatch.setattr(store, "beat", lambda trial_id, owner: beats.append((clock.now, trial_id, owner)))
    waiting = Waiting(store, Options(lease_seconds=10), clock)
    waiting.handed(jobs[0])
    for clock.now in (1, 9, 10, 11, 19, 20):
        waiting.look(list)
    waiting.begun(jobs[0])
    clock.now = 100
    waiting.look(list)
    assert beats == [(now, jobs[0].trial_id, process_name()) for now in (10, 20)]
