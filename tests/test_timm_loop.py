"""A script in the style of timm in a study: its transform has the policy inside, and interruptions cost nothing."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from examples_for_tests import figures, interrupted_after, killed_after, run_in, short
from loops_for_tests import trial_of
from PIL import Image
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3

from autoaug import Task
from autoaug.data import load_data
from autoaug.integrations.timm import transform_of
from autoaug.policy import Fixed, policy_tree, ready
from autoaug.record import TrialKind
from autoaug.strategies import none, online_score, trivialaugment
from autoaug.trial import check_kept, records
from examples import timm_script

STUDY = short(timm_script.study)
EPOCHS = 8
WHOLE: dict[str, Any] = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "mean": (0.5,), "std": (0.5,)}
"""No crop and no flip, on a square."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the study finds that nobody disturbs."""
    return figures(run_in(tmp_path_factory.mktemp("undisturbed"), STUDY), STUDY.name)


def test_each_epoch_is_reported_once_and_the_test_split_is_read_at_the_end_of_a_final_run(undisturbed: Any) -> None:
    assert [*undisturbed] == [(kind, k) for kind in (TrialKind.SEARCH, TrialKind.FINAL) for k in range(1, EPOCHS + 1)]
    assert [key for key, metrics in undisturbed.items() if "test_accuracy" in metrics] == [(TrialKind.FINAL, EPOCHS)]
    assert undisturbed[TrialKind.SEARCH, EPOCHS]["val_accuracy"] > 0.5


@pytest.mark.slow
def test_a_trial_that_is_interrupted_again_and_again_ends_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: Any
) -> None:
    """Schedule and moving average too."""
    assert figures(interrupted_after(tmp_path, STUDY, epochs=(1, 3, 3)), STUDY.name) == undisturbed


@pytest.mark.slow
def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(tmp_path: Path, undisturbed: Any) -> None:
    killed_after(tmp_path, "timm_script", epoch=4)
    assert figures(run_in(tmp_path, STUDY), STUDY.name) == undisturbed


def test_a_trial_can_be_pruned() -> None:
    trial = trial_of(
        trivialaugment,
        params={"lr": 0.01},
        task=Task(data="digits-rotated", device="cpu"),
        data=load_data("digits-rotated"),
    )
    with closing(records(timm_script.finetune, trial)) as epochs:
        assert [next(epochs).images for _ in range(2)] == [384, 384], "drop_last leaves out 16 of 400"
    assert trial.steps.count == 24


@pytest.fixture
def photo(rng: torch.Generator) -> Image.Image:
    """One of 8 by 8 grey pixels."""
    return Image.fromarray(torch.randint(256, (8, 8), generator=rng, dtype=torch.uint8).numpy())


def test_the_policy_stands_between_the_crop_and_the_normalised_tensor(photo: Image.Image) -> None:
    trial = trial_of(none)
    trial.policy = Fixed(policy_tree(ready.any_of(["invert"], 1.0)))
    with torch.random.fork_rng():
        inverted = transform_of(trial, (1, 8, 8), **WHOLE)(photo)
        plain = transform_of(trial_of(none), (1, 8, 8), **WHOLE)(photo)
    assert plain.shape == (1, 8, 8)
    torch.testing.assert_close(inverted, -plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auto_augment", "rand-m9"),
        ("separate", True),
        ("is_training", False),
        ("no_aug", True),
        ("tf_preprocessing", True),
        ("use_prefetcher", True),
    ],
)
def test_settings_that_leave_no_place_for_the_policy_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"transform_of\({name}={value!r}\): "):
        transform_of(trial_of(none), 8, **{name: value})


def test_a_policy_that_a_learner_moves_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trial\.augment"):
        transform_of(trial_of(online_score), 8)


@pytest.mark.parametrize("sched", ["cosine", "step", "multistep", "poly", "tanh"])
def test_schedules_and_moving_averages_can_be_kept(sched: str) -> None:
    with torch.random.fork_rng():
        model = torch.nn.Linear(2, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    more = {"decay_milestones": [1]} if sched == "multistep" else {}
    schedule, _ = create_scheduler_v2(optimiser, sched=sched, num_epochs=3, **more)
    check_kept({"model": model, "optimiser": optimiser, "schedule": schedule, "ema": ModelEmaV3(model)})
    again, _ = create_scheduler_v2(torch.optim.SGD(model.parameters(), lr=2.0), sched=sched, num_epochs=3, **more)
    assert again.state_dict() != schedule.state_dict()
    again.load_state_dict(schedule.state_dict())
    assert again.state_dict() == schedule.state_dict()
