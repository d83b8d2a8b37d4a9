"""A study on a cluster of two nodes, which share their GPUs among the trials."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from studies_for_tests import tiny
from torch import nn

from autoaug import Budget, Task
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.strategies import none

# Ray leaves sockets and files to the garbage collector and uses what Python deprecates: its own affair
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes on this machine, each with a core and a GPU that is only counted."""
    node = {"num_cpus": 1, "num_gpus": 1}
    started = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    started.add_node(**node)
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
