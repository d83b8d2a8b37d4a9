"""A training by Lightning is a loop like one written by hand: equal figures, and it goes on where it was cut off."""

import os
import runpy
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from loops_for_tests import trial_of
from small_problems import Noisy, Smooth, batch, network
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from autoaug import Budget, Study, Task, Trial
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.interruption import Interruption
from autoaug.record import Record
from autoaug.store import Store
from autoaug.strategies import none, online_score, trivialaugment
from autoaug.trial import records

lightning = pytest.importorskip("lightning")
from lightning.pytorch.callbacks import EarlyStopping  # noqa: E402

from autoaug.integrations.lightning import fit_epochs  # noqa: E402

EXAMPLE = Path(__file__).parent.parent / "examples" / "lightning_module.py"
BATCHES, SCORED = [batch(10, k) for k in range(3)], [batch(20, 7), batch(10, 8)]
TRAIN, VAL = (DataLoader(batches, batch_size=None) for batches in (BATCHES, SCORED))

pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]


class Module(lightning.LightningModule):
    """What a script would have, with two schedules, of which one looks at what was measured."""

    def __init__(self, trial: Trial, kind: Callable[[], nn.Module] = Smooth) -> None:
        super().__init__()
        self.trial, self.net = trial, network(kind)
        self.at_step: Callable[[], object] = lambda: None

    def setup(self, stage: str) -> None:
        """Draw, as one does that builds its layers here: once more where a trial goes on."""
        torch.rand(1)
        torch.rand(1, generator=self.trial.streams["order"])

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(self.parameters(), lr=0.01)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=0, mode="max")
        return [optimiser], [
            {"scheduler": torch.optim.lr_scheduler.StepLR(optimiser, 1, 0.9), "interval": "epoch"},
            {"scheduler": plateau, "monitor": "val_accuracy", "interval": "epoch"},
        ]

    def training_step(self, batch: Any) -> Tensor:
        self.at_step()
        images, targets = self.trial.augment(*batch, classes=10)
        loss = F.cross_entropy(self.net(images), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.trial.learn(self.net, batch, SCORED[0], self.trainer.optimizers[0])

    def validation_step(self, batch: Any) -> None:
        right = (self.net(batch[0]).argmax(1) == batch[1]).float().mean()
        self.log("val_accuracy", right, batch_size=len(batch[0]))

    def test_step(self, batch: Any) -> None:
        self.log("test_accuracy", self.net(batch[0]).argmax(1).eq(batch[1]).float().mean(), batch_size=len(batch[0]))


def trainer(**more: Any) -> Any:
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return lightning.Trainer(**off | {"max_epochs": 3, "accelerator": "cpu", "devices": 1} | more)


def by_lightning(trial: Trial) -> Iterator[Mapping[str, Any]]:
    yield from fit_epochs(trial, trainer(), Module(trial), TRAIN, VAL)


def by_hand(trial: Trial) -> Iterator[Mapping[str, Any]]:
    """The same without Lightning."""
    net = network()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01)
    falling = torch.optim.lr_scheduler.StepLR(optimiser, 1, 0.9)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=0, mode="max")
    for _ in trial.epochs(3):
        losses = []
        for images, targets in BATCHES:
            mixed, soft = trial.augment(images, targets, classes=10)
            loss = F.cross_entropy(net(mixed), soft)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
            trial.learn(net, (images, targets), SCORED[0], optimiser)
        right = [(net(images).argmax(1) == targets).float().mean() * len(images) for images, targets in SCORED]
        score = torch.stack(right).sum() / 30
        falling.step()
        plateau.step(score)
        yield {"train_loss": torch.stack(losses).sum() / 3, "val_accuracy": score}


def measured(found: list[Record]) -> list[Any]:
    """What does not depend on how long it took."""
    return [(each.epoch, each.phase, timeless(each.metrics), each.policy, each.images) for each in found]


def timeless(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


@pytest.mark.parametrize("strategy", [none, trivialaugment, online_score])
def test_a_training_by_lightning_equals_that_written_by_hand(strategy: Any) -> None:
    theirs, ours = (list(records(loop, trial_of(strategy))) for loop in (by_lightning, by_hand))
    for their, our in zip(theirs, ours, strict=True):
        assert their.metrics["val_accuracy"] == pytest.approx(our.metrics["val_accuracy"], rel=1e-6)
        assert their.metrics["train_loss"] == pytest.approx(our.metrics["train_loss"], rel=1e-6)
    assert [each.policy for each in theirs] == [each.policy for each in ours]
    assert [each.images for each in theirs] == [30, 30, 30]


def test_a_learner_moves_the_policy_in_a_module() -> None:
    """With the policy that stays as it is as the control."""
    for strategy, moves in {trivialaugment: False, online_score: True}.items():
        found = list(records(by_lightning, trial_of(strategy)))
        assert (found[0].policy != found[-1].policy) is moves


def test_epochs_of_refinement_are_added_to_those_of_the_trainer() -> None:
    found = list(records(by_lightning, trial_of(task=Task(data=None, device="cpu", refine_epochs=2))))
    assert [each.phase for each in found] == ["augment"] * 3 + ["refine"] * 2


def test_a_final_run_is_tested_after_its_last_epoch_and_a_search_never() -> None:
    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        yield from fit_epochs(trial, trainer(), Module(trial), TRAIN, VAL, DataLoader(SCORED[1:], batch_size=None))

    search, final = (list(records(loop, trial_of(final=final))) for final in (False, True))
    assert [["test_accuracy" in each.metrics for each in run] for run in (search, final)] == [[False] * 3, [0, 0, 1]]
    assert [each.metrics["val_accuracy"] for each in search] == [each.metrics["val_accuracy"] for each in final]


# It ends early


class Watching(lightning.Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.seen.append(type(exception).__name__)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.seen.append(f"teardown of {stage}")


def test_closing_ends_the_training_in_lightning_and_runs_what_is_finally() -> None:
    watching = Watching()

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        try:
            yield from fit_epochs(trial, trainer(callbacks=[watching]), Module(trial), TRAIN, VAL)
        finally:
            watching.seen.append("finally")

    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    epochs = records(loop, trial_of())
    assert next(epochs).epoch == 1
    assert not watching.seen
    epochs.close()
    assert watching.seen == ["GreenletExit", "finally"]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def failing(error: BaseException, at: int) -> Callable[[Trial], Iterator[Mapping[str, Any]]]:
    """A loop with a module that raises in one of its steps."""

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        module, steps = Module(trial), []

        def fail() -> None:
            steps.append(1)
            if len(steps) == at:
                raise error

        module.at_step = fail
        yield from fit_epochs(trial, trainer(), module, TRAIN, VAL)

    return loop


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (ZeroDivisionError(), ZeroDivisionError), (SystemExit(3), RuntimeError)],
)
@pytest.mark.parametrize("at", [1, 5])
def test_what_a_step_raises_is_raised_though_lightning_would_exit(
    error: BaseException, raised: type[BaseException], at: int
) -> None:
    """An exit by the step itself is a failure of the loop, as the door has it."""
    epochs, before = records(failing(error, at), trial_of()), signal.getsignal(signal.SIGINT)
    with pytest.raises(raised):
        list(epochs)
    assert signal.getsignal(signal.SIGINT) == before


# It goes on


def shuffled(trial: Trial, **more: Any) -> Iterator[Mapping[str, Any]]:
    """A module with batch statistics and dropout, and a loader whose order is drawn from a generator of the trial."""
    trial.seed_everything()
    pairs = TensorDataset(*batch(30, 1))
    loader = DataLoader(pairs, batch_size=10, shuffle=True, generator=more.pop("order", trial.streams["order"]))
    module = Module(trial, Noisy)
    module.at_step = more.pop("at_step", module.at_step)
    yield from fit_epochs(trial, trainer(max_epochs=4, **more), module, loader, VAL)


def shuffled_by_the_global(trial: Trial) -> Iterator[Mapping[str, Any]]:
    yield from shuffled(trial, order=None)


def accumulating(trial: Trial) -> Iterator[Mapping[str, Any]]:
    yield from shuffled(trial, accumulate_grad_batches=2)


def kept_in(folder: Path, **more: Any) -> dict[str, Any]:
    return {"checkpoint": Checkpoint(Folder(folder), "1", every_seconds=0, of="this", **more)}


@pytest.mark.parametrize("loop", [shuffled, shuffled_by_the_global, accumulating])
@pytest.mark.parametrize("cut", [2, 3])
def test_a_trial_that_was_cut_off_goes_on_bit_for_bit(loop: Any, cut: int, tmp_path: Path) -> None:
    """The checkpoint is written where the epoch after it begins, so that of the last one reported is lost."""
    whole = measured(list(records(loop, trial_of(online_score))))
    epochs = records(loop, trial_of(online_score, **kept_in(tmp_path)))
    assert measured([next(epochs) for _ in range(cut)]) == whole[:cut]
    epochs.close()
    rest = measured(list(records(loop, trial_of(online_score, **kept_in(tmp_path)))))
    assert rest == whole[cut - 1 :]


def die(folder: Path) -> None:
    """A worker that is killed in its eighth step, the second of its third epoch."""
    steps: list[int] = []

    def at_step() -> None:
        steps.append(1)
        if len(steps) == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    list(records(lambda trial: shuffled(trial, at_step=at_step), trial_of(online_score, **kept_in(folder))))


@pytest.mark.slow
def test_a_trial_whose_process_was_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    process = get_context("spawn").Process(target=die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    whole = measured(list(records(shuffled, trial_of(online_score))))
    rest = measured(list(records(shuffled, trial_of(online_score, **kept_in(tmp_path)))))
    assert rest == whole[2:]


@contextmanager
def sigterm(handler: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_saves_at_the_end_of_the_epoch_and_not_within_it(tmp_path: Path) -> None:
    """Lightning alone would exit after the batch."""
    whole = measured(list(records(shuffled, trial_of())))
    interruption, steps, found = Interruption(), list[int](), list[Record]()

    def at_step() -> None:
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    trial = trial_of(interruption=interruption, **kept_in(tmp_path))
    with sigterm(lambda *_: interruption.request()), pytest.raises(KeyboardInterrupt):
        found.extend(records(lambda trial: shuffled(trial, at_step=at_step), trial))
    assert len(steps) == 6
    assert measured(list(records(shuffled, trial_of(**kept_in(tmp_path))))) == whole[2:]


# Bad input


class Unscheduled(Module):
    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def refused(match: str, given: dict[str, Any], module: Any = Module, **more: Any) -> None:
    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        yield from fit_epochs(trial, trainer(**given), module(trial), TRAIN, VAL)

    with pytest.raises(ValueError, match=match):
        list(records(loop, trial_of(**more)))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"devices": 2}, r"starts processes \(2, by a DDPStrategy\): give Trainer\(devices=1, strategy='auto'\), or"),
        ({"strategy": "ddp"}, r"starts processes \(1, by a DDPStrategy\)"),
        ({"check_val_every_n_epoch": 2}, r"Trainer\(check_val_every_n_epoch=2\) leaves epochs without validation"),
        ({"check_val_every_n_epoch": None, "val_check_interval": 2}, r"check_val_every_n_epoch=None\) leaves epochs"),
        ({"max_epochs": -1}, r"epochs\(total=-1\): give a whole number"),
        ({"max_steps": 4}, r"Trainer\(max_steps=4\) ends within an epoch: give max_epochs alone"),
        ({"callbacks": [EarlyStopping("train_loss", stopping_threshold=100.0)]}, "ended after"),
        ({"limit_val_batches": 0}, "yields no 'val_accuracy'"),
    ],
)
def test_a_trainer_that_cannot_train_a_trial_is_refused(given: dict[str, Any], match: str) -> None:
    refused(match, given, Unscheduled)


def test_a_trainer_on_another_device_than_the_policy_is_refused() -> None:
    trial = trial_of()
    trial.device = torch.device("cuda")
    with pytest.raises(ValueError, match=r"trains on cpu, and the trial is on cuda: give Trainer\(accelerator='cuda'"):
        next(fit_epochs(trial, trainer(), Module(trial)))


class Hoarding(Module):
    """Has a hyperparameter that is no plain data."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        self.save_hyperparameters({"lr": 0.1, "folder": Path()}, logger=False)
        self.at_step = lambda: pytest.fail("a step was made")


def test_hyperparameters_that_cannot_be_kept_are_refused_before_the_first_step() -> None:
    refused(r"its state_dict\['hyper_parameters'\]\['folder'\] is a PosixPath", {}, Hoarding)


def test_a_checkpoint_that_is_not_of_the_trial_is_written_and_read_as_ever(tmp_path: Path) -> None:
    own = trainer()

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        yield from fit_epochs(trial, own, Module(trial), TRAIN, VAL)

    list(records(loop, trial_of()))
    own.save_checkpoint(tmp_path / "own.ckpt")
    found = own.strategy.load_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    assert found["epoch"] == 3
    own.strategy.remove_checkpoint(tmp_path / "own.ckpt")
    assert not list(tmp_path.iterdir())


# The example


@pytest.mark.slow
def test_the_example_runs(store: Store, tmp_path: Path) -> None:
    study: Study = runpy.run_path(str(EXAMPLE))["study"]
    small = replace(study, budget=Budget(trials=1), seeds=1)
    found = run(small, store, options=Options(artifacts=tmp_path / "artifacts"))
    assert "online_score" in str(found)
