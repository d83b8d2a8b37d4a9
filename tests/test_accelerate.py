"""A loop by Accelerate in a study: devices agree, what is wrapped is unwrapped, and interruptions cost nothing."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from examples_for_tests import figures, interrupted_after, killed_after, run_in, short
from loops_for_tests import trial_of

from autoaug import Task
from autoaug.data import load_data
from autoaug.integrations.accelerate import accelerator_of, learn, unwrapped
from autoaug.record import TrialKind
from autoaug.strategies import online_score, stn, trivialaugment
from autoaug.trial import records
from examples import accelerate_script

STUDY = short(accelerate_script.study)
EPOCHS = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the study finds that nobody disturbs."""
    return figures(run_in(tmp_path_factory.mktemp("undisturbed"), STUDY), STUDY.name)


def trial_with(strategy: Any) -> Any:
    """A trial of the example."""
    task = Task(data="digits-rotated", device="cpu")
    return trial_of(strategy, params={"lr": 0.01}, task=task, data=load_data("digits-rotated"))


def test_each_epoch_is_reported_once_and_the_test_split_is_read_at_the_end_of_a_final_run(undisturbed: Any) -> None:
    assert [*undisturbed] == [(kind, k) for kind in (TrialKind.SEARCH, TrialKind.FINAL) for k in range(1, EPOCHS + 1)]
    assert [key for key, metrics in undisturbed.items() if "test_accuracy" in metrics] == [(TrialKind.FINAL, EPOCHS)]
    assert undisturbed[TrialKind.SEARCH, EPOCHS]["val_accuracy"] > 0.6


def test_a_trial_that_is_interrupted_again_and_again_ends_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: Any
) -> None:
    assert figures(interrupted_after(tmp_path, STUDY, epochs=(1, 3, 3)), STUDY.name) == undisturbed


@pytest.mark.slow
def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(tmp_path: Path, undisturbed: Any) -> None:
    killed_after(tmp_path, "accelerate_script", epoch=4)
    assert figures(run_in(tmp_path, STUDY), STUDY.name) == undisturbed


@pytest.mark.parametrize("strategy", [online_score, stn])
def test_a_policy_is_asked_to_learn_after_each_step_and_not_after_each_micro_batch(strategy: Any) -> None:
    trial = trial_with(strategy)
    before = {key: value.clone() for key, value in trial.policy.state_dict().items()}
    with closing(records(accelerate_script.finetune, trial)) as epochs:
        record = next(epochs)
    assert record.images == 400
    assert trial.step == trial.steps.count == 7, "13 micro-batches, of which the last makes a step of its own"
    assert any(not torch.equal(before[key], value) for key, value in trial.policy.state_dict().items())


def test_a_trial_can_be_pruned() -> None:
    trial = trial_with(trivialaugment)
    with closing(records(accelerate_script.finetune, trial)) as epochs:
        assert [next(epochs).epoch for _ in range(2)] == [1, 2]
    assert trial.steps.count == 14


def test_what_was_prepared_is_unwrapped_for_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = trial_with(online_score)
    accelerator = accelerator_of(trial)
    model = torch.nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapped = accelerator.prepare(inner)
    assert isinstance(wrapped, AcceleratedOptimizer)
    assert unwrapped(wrapped) is unwrapped(inner) is inner
    seen: list[Any] = []
    monkeypatch.setattr(trial, "learn", lambda *given, **more: seen.append((given, more)))
    learn(trial, accelerator, torch.nn.DataParallel(model), "train", "val", wrapped, weights="head")
    ((given, more),) = seen
    assert [*map(type, given)] == [torch.nn.Linear, str, str, torch.optim.SGD]
    assert given[0] is model
    assert more == {"weights": "head"}


def test_an_accelerator_elsewhere_than_the_policy_is_refused() -> None:
    trial = trial_with(trivialaugment)
    assert accelerator_of(trial).device.type == "cpu"
    trial.device = torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"on cpu and the policy on cuda:0: give the study task=Task\(device='cpu'\)"):
        accelerator_of(trial, cpu=True)
