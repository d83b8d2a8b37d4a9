"""A study on a cluster of two nodes, which share their GPUs among the trials, and of one that dies."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from s3_server import s3
from studies_for_tests import tiny
from torch import nn

from autoaug import Budget, Task
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import none

# Ray leaves sockets and files to the garbage collector and uses what Python deprecates: its own affair
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes on this machine, each with a core and a GPU that is only counted.

    The GPU of the second is of a kind of its own.
    """
    node = {"num_cpus": 1, "num_gpus": 1}
    started = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    started.add_node(**node, resources={"accelerator_type:A100": 1})
    started.wait_for_nodes()
    yield started.address
    ray.shutdown()
    started.shutdown()


def telling_model(folder: Path) -> Callable[[int, int], nn.Module]:
    """A model that writes down where it is built: on which node, in which folder, with which GPU."""

    def build(classes: int, channels: int) -> nn.Module:
        if ray.is_initialized():
            node = ray.get_runtime_context().get_node_id()
            facts = (
                node,
                os.getcwd(),
                os.environ.get("CUDA_VISIBLE_DEVICES", ""),
                os.environ.get("OMP_NUM_THREADS", ""),
            )
            (folder / f"{os.getpid()}").write_text("\n".join(facts))
            print("built here")
        return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

    return build


def test_trials_share_the_gpus_of_two_nodes(cluster: str, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.mkdir()
    task = Task(data="digits-rotated", model=telling_model(said), epochs=2, batch_size=100, device="cpu")
    study = tiny(task=task, strategies={"none": none()}, budget=Budget(trials=4), seeds=1)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    options = Options(
        artifacts=tmp_path / "artifacts", address=cluster, cpus_per_trial=0.5, gpus_per_trial=0.5, at_once=4
    )
    run(study, store, "ray", options)
    assert [(o.state, o.reason) for o in store.outcomes("tiny")] == [("COMPLETE", "")] * 5
    facts = [path.read_text().split("\n") for path in said.iterdir() if path.name != str(os.getpid())]
    nodes, folders, gpus, _ = zip(*facts, strict=True)
    assert len(set(nodes)) == 2, "both nodes worked"
    assert set(gpus) == {"0"}, "each trial sees the one GPU of its node"
    assert str(Path.cwd()) not in folders, "no worker needs to run in the folder of the driver"
    logs = [path.read_text() for path in (tmp_path / "artifacts" / "ray").rglob("stdout")]
    assert sum("built here" in log for log in logs) == 5, "what a trial prints is in its own file"
    store.close()


def test_what_no_node_has_is_refused_although_the_cluster_has_it(cluster: str, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    options = Options(artifacts=tmp_path / "artifacts", address=cluster, gpus_per_trial=2)
    largest = r"each trial asks for 1 CPU, 2 GPUs and the largest node of the cluster has 1 CPU, 1 GPU"
    with pytest.raises(ValueError, match=largest):
        run(tiny(), store, "ray", options)
    with pytest.raises(ValueError, match=r"has the --accelerator H100: there are A100; name one of these"):
        run(tiny(), store, "ray", replace(options, gpus_per_trial=1, accelerator="H100"))
    store.close()


def test_trials_wait_for_the_kind_of_gpu_that_they_ask_for(cluster: str, tmp_path: Path) -> None:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    run(
        study,
        store,
        "ray",
        Options(artifacts=tmp_path / "artifacts", address=cluster, gpus_per_trial=0.5, accelerator="A100"),
    )
    trials = [*store.trials("tiny", "none"), *store.trials("tiny", "leaderboard")]
    ray.init(address=cluster, log_to_driver=False)
    there = {node["NodeID"] for node in ray.nodes() if "accelerator_type:A100" in node["Resources"]}
    ray.shutdown()
    assert {trial.user_attrs["node"] for trial in trials} == there
    store.close()


def held_model(folder: Path) -> Callable[[int, int], nn.Module]:
    """A model that says before its third epoch on which node and in which process it is, and waits to go on."""

    class Held(nn.Sequential):
        epochs = 0

        def train(self, mode: bool = True) -> nn.Module:
            self.epochs += mode
            if self.epochs == 3 and ray.is_initialized():
                (folder / "held").write_text(f"{ray.get_runtime_context().get_node_id()} {os.getpid()} .")
                while not (folder / "go on").exists():
                    time.sleep(0.05)
            return super().train(mode)

    return lambda classes, channels: Held(nn.Flatten(), nn.Linear(64 * channels, classes))


def end_node(cluster: Cluster, folder: Path, disk: Path) -> None:
    """Wait for a training that is held, and end its node with its process and its disk."""
    try:
        while not (said := folder / "held").exists() or not said.read_text().endswith("."):
            time.sleep(0.05)
        node_id, worker, _ = said.read_text().split()
        (node,) = (each for each in cluster.worker_nodes if each.node_id == node_id)
        shutil.rmtree(disk, ignore_errors=True)
        cluster.remove_node(node, allow_graceful=False)
        with suppress(ProcessLookupError):
            os.kill(int(worker), signal.SIGKILL)
    finally:
        (folder / "go on").touch()


@pytest.fixture
def with_a_bucket() -> Iterator[Cluster]:
    """A cluster whose driver has a node without cores, and which reaches an S3 server."""
    with s3():  # before the nodes, which inherit its address
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        started.add_node(num_cpus=1)
        yield started
        ray.shutdown()
        started.shutdown()


def test_a_trial_whose_node_dies_goes_on_from_what_the_nodes_share_or_says_that_it_begins_again(
    with_a_bucket: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster, store = with_a_bucket, Store(f"sqlite:///{tmp_path / 'x.db'}")

    def second_attempt(name: str, artifacts: str) -> tuple[str, list[int], str]:
        """Run a trial whose node dies after two epochs and takes its disk along; return how the next attempt went."""
        folder = tmp_path / name
        folder.mkdir()
        task = Task(data="digits-rotated", model=held_model(folder), epochs=3, batch_size=200, device="cpu")
        study = tiny(name=name, task=task, strategies={"none": none()}, budget=Budget(trials=1), seeds=1)
        options = Options(artifacts=artifacts, address=cluster.address, at_once=1, checkpoint_seconds=0)
        cluster.add_node(num_cpus=1)
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(end_node, cluster, folder, tmp_path / "disk")
            run(study, store, "ray", options)
            ended.result()
        last = [each for each in store.outcomes(name) if each.kind is TrialKind.SEARCH][-1]
        epochs = [each.epoch for each in store.epochs(name) if (each.attempt, each.kind) == (2, "search")]
        return last.reason or last.state, epochs, last.warning

    lost = f"no checkpoint of attempt 1 is in {tmp_path / 'disk'}; it trained on {socket.gethostname()}"
    assert second_attempt("alone", "disk") == ("COMPLETE", [1, 2, 3], f"began again: {lost}")
    assert second_attempt("shared", "s3://bucket/runs") == ("COMPLETE", [3], "")
    store.close()
