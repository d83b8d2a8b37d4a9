"""A trained network as a diagnostic sees it: what it answers, its images, and draws that leave a training as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from autoaug.data import Data, Split, as_float
from autoaug.diagnose._measures import Logits
from autoaug.record import Phase
from autoaug.seeding import derive_seed
from autoaug.train import TrainingRun, spawn

AT_ONCE = 128
"""Images that go through a network together, with gradients or without."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Hold what a diagnostic may ask: a network and images with their classes, never those of the test split.

    `subject_of` makes one of a training of autoaug's own trainer; for any other network fill in what is known.
    """

    network: Logits
    """Images [B, C, H, W] in [0, 1] to logits [B, K], in evaluation mode."""
    train: Split
    """With the classes that training learned."""
    val: Split
    """With their true classes; images that nothing was learned from."""
    fill: Tensor
    """The mean colour [C] of the training images."""
    pool: Split | None = None
    """Training images with their true classes, where what was learned of some is another one (`Split.learned`)."""
    phase: Phase = "refine"
    """In which phase of the training it is looked at."""
    trained: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    """From indices of training images to their logits [B, K] and soft targets [B, K] as a training step of this phase
    sees them, with everything that augments; None where that is not known."""
    batch_size: int = AT_ONCE
    """Of a training step: a mix combines the images within one."""
    attacker: Logits | None = None
    """Another network, which black-box attacks are made with; None where there is none."""
    seed: int = 0

    def rng(self, purpose: str) -> Generator:
        """Return a generator of the CPU for a purpose: each diagnostic has its own, so none depends on the others."""
        return Generator().manual_seed(derive_seed(self.seed, "diagnose", purpose))


def sample(split: Split, most: int, rng: Generator) -> Tensor:
    """Return the indices of at most `most` images of a split, drawn by `rng`, in ascending order."""
    return torch.randperm(len(split), generator=rng)[:most].sort().values


def images_of(split: Split, indices: Tensor, at_once: int = AT_ONCE) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images [B, C, H, W] in [0, 1] and their classes [B], `at_once` or fewer at a time."""
    for part in indices.split(at_once):
        images, classes = split.taken(part)
        yield as_float(images), classes


def subject_of(run: TrainingRun, seed: int, attacker: Logits | None = None) -> Subject:
    """Return the network of a training as it is now, for as long as the training does not go on.

    Its normalisation layers are put into evaluation mode, which the next epoch ends. No generator of the training is
    drawn from, nothing of it moves.
    """
    run.evaluated.eval()
    streams = spawn(Generator().manual_seed(derive_seed(seed, "diagnose", "trained", run.phase)))

    @torch.no_grad()
    def trained(indices: Tensor) -> tuple[Tensor, Tensor]:
        with other_streams(run, streams):
            images, classes = run.data.train.taken(indices)
            seen = run.augment(run.standard(images), classes, indices)
            with seen.hidden(run.evaluated) if seen.hidden else nullcontext():
                return run.logits(seen.images, run.evaluated), seen.targets

    return Subject(
        network=lambda images: run.logits(images, run.evaluated),
        train=run.data.train,
        val=run.data.scored,
        fill=torch.tensor(run.loaded.mean),
        pool=run.loaded.pool,
        phase=run.phase,
        trained=trained,
        batch_size=min(run.task.batch_size, len(run.data.train)),
        attacker=attacker,
        seed=seed,
    )


@contextmanager
def other_streams(run: TrainingRun, streams: dict[str, Generator]) -> Iterator[None]:
    """Let a training draw from other generators within the block."""
    own, run.streams = run.streams, streams
    try:
        yield
    finally:
        run.streams = own


def corrupted_rows(pool: Split) -> Tensor:
    """Return of each training image whether what was learned of it is not its own class: [N], bool."""
    assert pool.learned is not None, "asked of a pool that learns other classes"
    return (pool.learned >= 0) & (pool.learned != pool.targets)


def no_corrupted_labels(data: Data) -> str:
    """Return why nothing can be said of corrupted labels; empty where something can."""
    if data.pool is None or data.pool.learned is None or not bool(corrupted_rows(data.pool).any()):
        return "no label of the data was replaced, as data='digits:corrupted=0.2' would"
    return ""
