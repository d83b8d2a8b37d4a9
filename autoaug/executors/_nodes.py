"""What a trial asks of one node of a cluster, and what is said where it waits for that."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import floor

from autoaug.execution import Job, Options, process_name
from autoaug.store import Store, Unreachable
from autoaug.text import LOG, counted

Node = Mapping[str, float]
"""The resources of a node by the names that Ray gives them: CPU, GPU, accelerator_type:A100, ..."""

KIND = "accelerator_type:"
"""Before the kind of GPU in the name of a resource, of which a node that has some GPU of that kind has 1."""

SAY_SECONDS = 60.0
"""How long a trial may wait for resources before that is said, and how often it is."""


def wanted(options: Options) -> dict[str, float]:
    """Return what a trial asks for, on one node."""
    kind = {f"{KIND}{options.accelerator}": 0.001} if options.accelerator else {}
    asked = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial, **kind}
    return {name: count for name, count in asked.items() if count}


def room(node: Node, options: Options) -> int:
    """Return how many trials fit on a node. A share of a GPU is one of a single GPU."""
    counts = {name: times(node.get(name, 0), count) for name, count in wanted(options).items()}
    if 0 < options.gpus_per_trial < 1:
        counts["GPU"] = floor(node.get("GPU", 0)) * times(1, options.gpus_per_trial)
    return min(counts.values())


def times(whole: float, part: float) -> int:
    """Return how often a part fits into the whole: 0.1 into 1 ten times."""
    return floor(whole / part + 1e-9)


def slots(nodes: Sequence[Node], options: Options) -> int:
    """Return how many trials Ray is asked for at once: as many as fit, each on one node.

    A cluster that starts nodes is asked for as many as may run at once, or else for one more than fits.
    """
    fit = sum(room(node, options) for node in nodes)
    most = options.at_once or fit + options.autoscaling
    return most if options.autoscaling else min(fit, most)


def refuse_too_much(nodes: Sequence[Node], options: Options) -> None:
    """Refuse trials that fit on no node: they would wait forever.

    Raises:
        ValueError: it says what a trial asks for, what the largest node has, and the fix.
    """
    if options.autoscaling or any(room(node, options) for node in nodes):
        return
    kinds = sorted({kind.removeprefix(KIND) for node in nodes for kind in node if kind.startswith(KIND)})
    if options.accelerator and options.accelerator not in kinds:
        there = f"there are {', '.join(kinds)}" if kinds else "Ray knows of no GPU there"
        raise ValueError(
            f"no node of the cluster has the --accelerator {options.accelerator}: {there}; name one of these, leave it "
            "out, or add --autoscaling where the cluster starts nodes"
        )
    largest = max(nodes, key=lambda node: [node.get(name, 0) for name in ("GPU", "CPU")], default={})
    lacks = [name for name in ("CPU", "GPU") if wanted(options).get(name, 0) > largest.get(name, 0)]
    lower = " or ".join(f"--{name.lower()}s-per-trial" for name in lacks or ("CPU", "GPU"))
    raise ValueError(
        f"each trial asks for {spelt(wanted(options))} and the largest node of the cluster has {spelt(largest)}: lower "
        f"{lower}, or add --autoscaling where the cluster starts nodes"
    )


def spelt(resources: Node) -> str:
    """Return resources as people read them: "1 CPU, 4 GPUs, A100"."""
    counts = [f"{resources.get(name, 0):g} {name}{'' if resources.get(name) == 1 else 's'}" for name in ("CPU", "GPU")]
    return ", ".join(counts + [name.removeprefix(KIND) for name in resources if name.startswith(KIND)])


class Waiting:
    """The trials that a cluster was given and has not begun: each keeps its lease, and is spoken of."""

    def __init__(self, store: Store, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self.options, self.clock = store, options, clock
        self.since: dict[int, float] = {}
        self.beaten = self.said = clock()

    def handed(self, job: Job) -> None:
        """Note that a trial was handed to the cluster."""
        self.since[job.trial_id] = self.clock()

    def begun(self, job: Job) -> None:
        """Note that a trial has begun, or ended without."""
        self.since.pop(job.trial_id, None)

    def look(self, nodes: Callable[[], Sequence[Node]]) -> None:
        """Renew the leases that are due, and say once a minute what trials wait for that have waited as long.

        Args:
            nodes: what each node has, busy or not.
        """
        now, options = self.clock(), self.options
        if self.since and now - self.beaten >= options.lease_seconds:
            self.beaten = now
            for trial_id in [each for each, since in self.since.items() if now - since >= options.lease_seconds]:
                with suppress(Unreachable):
                    self.store.beat(trial_id, process_name())
        late = [now - since for since in self.since.values() if now - since >= SAY_SECONDS]
        if late and now - self.said >= SAY_SECONDS:
            self.said = now
            LOG.warning(
                "%s for a node with %s free, for %.0f s now; the cluster has %s",
                f"{counted(len(late), 'trial')} {'waits' if len(late) == 1 else 'wait'}",
                spelt(wanted(options)),
                max(late),
                "; ".join(map(spelt, nodes())) or "no node",
            )
