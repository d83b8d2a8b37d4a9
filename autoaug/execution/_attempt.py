"""One attempt at one trial: all that its worker needs, and what follows from it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from autoaug.artifacts import Place, place_of
from autoaug.checkpoint import BEGAN_AGAIN, Checkpoint
from autoaug.data import Data, train_on_val
from autoaug.execution._job import Event, Job, Listen
from autoaug.execution._provenance import fingerprint
from autoaug.learners import DEPLOYS, LearnedMix
from autoaug.options import Options
from autoaug.policy import Composed, Fixed
from autoaug.record import Record, State, TrialKind
from autoaug.store import Store, Unreachable
from autoaug.study import Setup, Study, price, set_up
from autoaug.train import NullLearner, Task


@dataclass(frozen=True)
class Attempt:
    """Who trains what, for which study, and where it is written."""

    study: Study
    job: Job
    store: Store
    options: Options
    listen: Listen
    step: Callable[[], None] = lambda: None
    """To be called at every step: it shows the lease that the training does not hang."""

    @property
    def seed(self) -> int:
        """Return the seed of the training."""
        return self.job.seed(self.study.seed)

    @property
    def folder(self) -> Place:
        """Return where the checkpoints of all attempts at the trial lie.

        Raises:
            ValueError: a name of it is no plain name, see `Job.folder`.
        """
        artifacts = place_of(self.options.artifacts, self.options.retry_seconds)
        return self.job.folder(artifacts, self.study.name)

    @property
    def is_search(self) -> bool:
        """Whether it is a trial of the search itself, on the proxy of its strategy where that has one."""
        return self.job.kind is TrialKind.SEARCH

    @property
    def is_final(self) -> bool:
        """Whether it is a final run, which alone is given the test split."""
        return self.job.kind is TrialKind.FINAL

    def tell(self, state: State, reason: str = "") -> None:
        """Tell who listens what became of the trial."""
        self.listen(Event(self.job, state=state, reason=reason))

    def set_up(self) -> Setup:
        """Return what is trained, made anew: a policy that learns is another one after its training."""
        return set_up(self.study, self.job.strategy, self.job.point, search=self.is_search)

    def deployed(self, name: str, epochs: Iterable[Record]) -> Setup:
        """Return what is trained from scratch with what a final run learned: its policy and mix, without the learner.

        Args:
            name: row of DEPLOYS, which makes a policy of what was learned.
            epochs: of the final run, those of the attempts before this one included.
        """
        setup, epochs = self.set_up(), list(epochs)
        compose = isinstance(setup.policy, Composed) and setup.policy.compose
        policy = Fixed(DEPLOYS[name](epochs), compose=compose)
        mix = setup.mix.learned(epochs) if isinstance(setup.mix, LearnedMix) else setup.mix
        return replace(setup, policy=policy, mix=mix, learner=NullLearner())

    def with_micro_batch(self, size: int) -> "Attempt":
        """Return the attempt with at most `size` images at a time in the memory of the device."""
        return replace(self, job=replace(self.job, point={**self.job.point, "task.micro_batch": size}))

    def trains_on_both(self, setup: Setup) -> bool:
        """Whether the validation images are trained on too, so that there are none to score."""
        return self.is_final and self.study.final_data == "train+val" and not setup.learner.moves_policy

    def data(self, task: Task, on_both: bool) -> Data:
        """Return what the trial may see: the test split in final runs only, and what it trains on."""
        data = task.load(test=self.is_final)
        return train_on_val(data) if on_both else data

    def others_follow(self, setup: Setup, training: str) -> bool:
        """Whether the trial trains once more after a training, from scratch with what was learned."""
        if training:
            return training != self.study.deploy[-1]
        return self.is_final and setup.learner.moves_policy and bool(self.study.deploy)

    def checkpoint(self, training: str = "", others_follow: bool = False) -> Checkpoint:
        """Return the checkpoint of one of its trainings, to go on from that of the latest attempt that left one."""
        place = self.folder.below(training) if training else self.folder
        name, *earlier = [f"{attempt}.pt" for attempt in range(self.job.attempt, 0, -1)]
        every, missing = self.options.checkpoint_seconds, "" if training else self.lost_work()
        return Checkpoint(place, name, earlier, every, self.identity(), missing, others_follow)

    def lost_work(self) -> str:
        """Return what is lost where no checkpoint of the attempts before this one is there; empty where nothing is."""
        hosts: list[str] = []
        with suppress(Unreachable):
            hosts = self.store.trained_on(self.job.trial_id)
        if not hosts:
            return ""
        last = self.job.attempt - 1
        attempts, they = ("attempt 1", "it") if last == 1 else (f"attempts 1 to {last}", "they")
        where = f"{attempts} is in {self.options.artifacts}; {they} trained on {', '.join(hosts)}"
        return f"{BEGAN_AGAIN}: no checkpoint of {where}"

    def identity(self) -> str:
        """Return what a checkpoint must say of itself: folders of artifacts are copied, and shared by storages."""
        job = self.job
        point = {name: value for name, value in job.point.items() if name != "task.micro_batch"}  # memory may decide it
        parts = [self.store.identity, self.study.name, job.substudy, job.strategy, job.root, self.seed, point]
        return fingerprint(parts)

    def sign(self, record: Record, training: str = "") -> Record:
        """Return an epoch with whose it is, and what it costs the budget: on a GPU by its share and kind."""
        job, share = self.job, self.options.gpus_per_trial or 1.0
        return replace(
            record,
            gpu_seconds=record.gpu_seconds * price(self.study, share, record.device),
            study=self.study.name,
            strategy=job.strategy,
            trial=job.number,
            attempt=job.attempt,
            seed=self.seed,
            kind=job.kind,
            training=training,
        )
