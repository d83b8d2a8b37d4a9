"""A training by Hugging Face's Trainer in a study: judged, pruned, interrupted and tested as any other."""

from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from examples_for_tests import figures, interrupted_after, killed_after, run_in, short
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from autoaug import Task
from autoaug.data import load_data
from autoaug.integrations._batches import normalised, pixels_of
from autoaug.integrations._folder import KeptFolder
from autoaug.integrations._trainer_checks import REFUSED, check_arguments
from autoaug.integrations.transformers import TrialTrainer, soft_cross_entropy
from autoaug.mixing import build as build_mix
from autoaug.models import Normalisation
from autoaug.policy import Fixed, ready
from autoaug.record import Record, TrialKind
from autoaug.strategies import online_score, stn
from autoaug.train import NullLearner
from autoaug.trial import Trial, records
from examples import hf_trainer

STUDY = short(hf_trainer.study)
EPOCHS = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the study finds that nobody disturbs."""
    return figures(run_in(tmp_path_factory.mktemp("undisturbed"), STUDY), STUDY.name)


def a_trial(**more: Any) -> Trial:
    """A trial of the example, with a policy that does nothing."""
    task = Task(data="digits-rotated", device="cpu")
    given = {"policy": Fixed(ready.none()), "mix": build_mix("none"), "learner": NullLearner(), "task": task, "seed": 7}
    return Trial({"lr": 0.01}, **given | {"data": load_data("digits-rotated")} | more)


def test_each_epoch_is_reported_once_and_the_test_split_is_read_at_the_end_of_a_final_run(undisturbed: Any) -> None:
    assert [*undisturbed] == [(kind, k) for kind in (TrialKind.SEARCH, TrialKind.FINAL) for k in range(1, EPOCHS + 1)]
    tested = {key for key, metrics in undisturbed.items() if "test_accuracy" in metrics}
    assert tested == {(TrialKind.FINAL, EPOCHS)}
    assert {frozenset(metrics) for key, metrics in undisturbed.items() if key not in tested} == {
        frozenset({"val_accuracy", "val_loss"})
    }
    assert undisturbed[TrialKind.SEARCH, EPOCHS]["val_accuracy"] > 0.6


@pytest.mark.slow
def test_a_trial_that_is_interrupted_again_and_again_ends_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: Any
) -> None:
    store = interrupted_after(tmp_path, STUDY, epochs=(1, 3, 3))
    assert figures(store, STUDY.name) == undisturbed


@pytest.mark.slow
def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(tmp_path: Path, undisturbed: Any) -> None:
    killed_after(tmp_path, "hf_trainer", epoch=4)
    store = run_in(tmp_path, STUDY)
    assert figures(store, STUDY.name) == undisturbed
    repeated = [record.epoch for record in store.epochs(STUDY.name) if record.kind is TrialKind.SEARCH]
    assert sorted(repeated) in ([*range(1, EPOCHS + 1)], sorted([*range(1, EPOCHS + 1), 4]))


@pytest.fixture
def trainer() -> TrialTrainer:
    """That of the example, for a trial with a policy that does nothing."""
    made: list[TrialTrainer] = []

    def remember(self: TrialTrainer) -> Iterator[Any]:
        made.append(self)
        yield {}

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(TrialTrainer, "train_epochs", remember)
        next(hf_trainer.finetune(a_trial()))
    return made[0]


def trained(trainer: TrialTrainer, **more: Any) -> dict[str, float]:
    """What the Trainer of Hugging Face itself measures of the same network after an epoch on the same images."""
    args = TrainingArguments(per_device_train_batch_size=32, num_train_epochs=1, seed=7, use_cpu=True, **more)
    args.save_strategy = "no"
    data = {"train_dataset": trainer.train_dataset, "eval_dataset": trainer.eval_dataset}
    with torch.random.fork_rng():
        plain = Trainer(deepcopy(trainer.model), args, compute_loss_func=soft_cross_entropy, **data)
        plain.train()
        return plain.evaluate()


def epochs_of(trainer: TrialTrainer) -> "closing[Iterator[Record]]":
    """What a study is told of a training."""

    def loop(trial: Trial) -> Iterator[Any]:
        trial.seed_everything()
        yield from trainer.train_epochs()

    return closing(records(loop, trainer.of_trial))


@pytest.mark.parametrize("accumulated", [1, 3])
def test_the_training_is_that_of_the_trainer_itself(
    trainer: TrialTrainer, accumulated: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a policy that does nothing, but for what normalising the images once more rounds."""
    monkeypatch.chdir(tmp_path)
    more = {"gradient_accumulation_steps": accumulated, "learning_rate": 0.01, "disable_tqdm": True}
    theirs = trained(trainer, **more)
    trainer.args.num_train_epochs, trainer.args.gradient_accumulation_steps = 1, accumulated
    with epochs_of(trainer) as epochs:
        (ours,) = epochs
    assert ours.metrics["val_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-3)
    assert trainer.of_trial.steps.count == trainer.steps() == {1: 13, 3: 5}[accumulated]


def test_a_trial_that_is_pruned_leaves_nothing_behind(trainer: TrialTrainer) -> None:
    with epochs_of(trainer) as epochs:
        for epoch in (1, 2):
            record = next(epochs)
            assert (record.epoch, record.images) == (epoch, 400)
        folder = Path(trainer.args.output_dir or "")
        assert [path.name for path in folder.iterdir()] == ["checkpoint-26"]
    assert not folder.exists()
    assert trainer.state.global_step == 26


def test_refinement_comes_after_the_epochs_of_the_trainer(trainer: TrialTrainer) -> None:
    trainer.of_trial = a_trial(task=Task(data="digits-rotated", device="cpu", refine_epochs=1))
    trainer.args.num_train_epochs = 2
    with epochs_of(trainer) as epochs:
        assert [record.phase for record in epochs] == ["augment", "augment", "refine"]
    assert trainer.state.global_step == 3 * 13


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
@pytest.mark.parametrize("name", ["online", "stn"])
def test_a_policy_is_learned_while_the_trainer_trains(
    name: str, trainer: TrialTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = {"online": online_score, "stn": stn}[name]()
    policy = strategy.policy()
    trial = a_trial(policy=policy, learner=strategy.within(policy))
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    trainer.of_trial, trainer.val = trial, (trial.split("val").images.float() / 255, trial.split("val").targets)
    with epochs_of(trainer) as epochs:
        next(epochs)
    assert any(not torch.equal(before[key], value) for key, value in policy.state_dict().items())
    assert trial.step == 13, "a learner is asked after every step"


def test_a_policy_that_learns_needs_images_of_its_own(trainer: TrialTrainer) -> None:
    policy = stn().policy()
    trainer.of_trial = a_trial(policy=policy, learner=stn().within(policy))
    with pytest.raises(ValueError, match=r"from images that the policy never touches: give TrialTrainer\(val="):
        next(trainer.train_epochs())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 42}, r"seed=42\) of a trial with the seed 7: give seed=trial.seed"),
        ({"num_train_epochs": 2.5}, r"num_train_epochs=2.5, max_steps=-1\): a trial reports whole epochs"),
        ({"max_steps": 50}, r"max_steps=50\): a trial reports whole epochs"),
        ({"save_only_model": True}, r"save_only_model=True\): an interrupted trial could not go on"),
        ({"load_best_model_at_end": True}, r"load_best_model_at_end=True\): a study goes by the last epoch"),
        ({"auto_find_batch_size": True}, r"auto_find_batch_size=True\): .* search 'train.batch_size'"),
    ],
)
def test_arguments_that_do_not_go_with_a_trial_are_refused(
    trainer: TrialTrainer, given: dict[str, Any], message: str
) -> None:
    for name, value in given.items():
        setattr(trainer.args, name, value)
    with pytest.raises(ValueError, match=message):
        next(trainer.train_epochs())


def test_a_trainer_of_several_processes_is_refused() -> None:
    args = SimpleNamespace(world_size=2, **dict.fromkeys(REFUSED, False))
    with pytest.raises(ValueError, match=r"one of 2 processes, .* by Study\(train=Command"):
        check_arguments(a_trial(), args, validates=True)


def test_a_trainer_elsewhere_than_the_policy_is_refused(trainer: TrialTrainer) -> None:
    trainer.of_trial.device = torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"policy on cuda:0: give TrainingArguments\(use_cpu=False\), or"):
        next(trainer.train_epochs())


def test_images_that_were_not_normalised_as_was_said_are_refused(trainer: TrialTrainer) -> None:
    trainer.normalisation = Normalisation((0.0,), (1.0,))
    with epochs_of(trainer) as epochs, pytest.raises(ValueError, match=r"trial.augment was given images with values"):
        next(epochs)


def test_pixels_come_back_from_normalised_images(rng: torch.Generator) -> None:
    images = torch.rand(2, 3, 4, 4, generator=rng)
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    by = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    found = pixels_of(normalised(images, by), by)
    torch.testing.assert_close(found, images)
    assert found.min() >= 0
    assert found.max() <= 1
    assert pixels_of(images.new_full((1, 1, 1, 1), 3.0), Normalisation((0.5,), (0.5,))).item() == 2.0


def test_the_loss_of_soft_targets(rng: torch.Generator) -> None:
    logits, classes = torch.randn(4, 3, generator=rng), torch.tensor([0, 2, 1, 1])
    outputs = SimpleNamespace(logits=logits)
    expected = F.cross_entropy(logits, classes)
    torch.testing.assert_close(soft_cross_entropy(outputs, classes), expected)
    torch.testing.assert_close(soft_cross_entropy(outputs, F.one_hot(classes, 3).float()), expected)
    torch.testing.assert_close(soft_cross_entropy(outputs, F.one_hot(classes, 3).float(), 8), expected / 2)


def test_a_folder_is_kept_as_bytes(tmp_path: Path) -> None:
    there, again = tmp_path / "there" / "checkpoint-3", tmp_path / "again"
    there.mkdir(parents=True)
    for name, content in {"model": bytes(range(256)), "empty": b"", "secret": b"x"}.items():
        (there / name).write_bytes(content)
    state = KeptFolder(lambda: str(there), tmp_path, without=("secret",)).state_dict()
    kept = KeptFolder(lambda: None, again)
    assert kept.state_dict() == {"folder": "", "files": {}}
    kept.load_state_dict(state)
    assert kept.found == str(again / "checkpoint-3")
    assert {path.name: path.read_bytes() for path in (again / "checkpoint-3").iterdir()} == {
        "model": bytes(range(256)),
        "empty": b"",
    }
    kept.load_state_dict({"folder": "", "files": {}})
    assert kept.found is None
    for bad in ({"folder": "../x", "files": {}}, {"folder": "x", "files": {"/etc/y": torch.zeros(0)}}):
        with pytest.raises(ValueError, match="its names have no folders"):
            kept.load_state_dict(bad)
