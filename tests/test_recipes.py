"""The recipes of papers, number for number: the rate at each epoch, the weight decay, the minibatch, the length."""

from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autoaug import Task
from autoaug.mixing import MIXES
from autoaug.models import MODELS
from autoaug.policy import Fixed, ready
from autoaug.train import RECIPES, Recipe, TrainingRun, learning_rate
from autoaug.train._loop import set_learning_rate

STEPS = 7
"""Of an epoch: a number that no milestone divides."""

# Written out from the papers and from the published code that each row names, not from the table of the library:
# (first epoch, counted from 1, and learning rate) of each stretch, then the refinement.
STAGES: dict[str, list[tuple[int, float]]] = {
    "he-2019-cifar": [(1, 0.1), (151, 0.01), (276, 0.001), (401, 0.001)],
    "he-2019-tiny-imagenet": [(1, 0.1), (151, 0.01), (276, 0.001), (401, 0.001)],
    "he-2019-cifar-wrn-28-10": [(1, 0.2), (121, 0.04), (241, 0.008), (321, 0.0016), (401, 0.0016)],
    "he-2019-imagenet-mixup": [(1, 0.1), (61, 0.01), (121, 0.001), (181, 0.0001), (201, 0.0001)],
    "he-2019-imagenet-autoaugment-resnet-50": [(1, 0.1), (76, 0.01), (151, 0.001), (226, 0.0001), (301, 0.0001)],
    "he-2019-imagenet-autoaugment-resnet-101": [(1, 0.1), (61, 0.01), (121, 0.001), (181, 0.0001), (201, 0.0001)],
    "mixup-2018-cifar": [(1, 0.1), (101, 0.01), (151, 0.001)],
    "mixup-2018-cifar-wrn-28-10": [(1, 0.1), (61, 0.01), (121, 0.001), (181, 0.0001)],
    "mixup-2018-imagenet-90": [(6, 0.4), (31, 0.04), (61, 0.004), (81, 0.0004)],
    "mixup-2018-imagenet-200": [(6, 0.4), (61, 0.04), (121, 0.004), (181, 0.0004)],
    "mixup-2018-speech": [(1, 3e-3), (11, 3e-4), (21, 3e-5)],
    "mixup-2018-tabular": [(1, 1e-3)],
    "mounsaveng-2021-cifar": [(1, 0.1), (61, 0.02), (121, 0.004), (161, 0.0008)],
    "mounsaveng-2021-bach": [(1, 0.1), (7, 0.01), (11, 0.001), (21, 0.0001)],
    "mounsaveng-2021-imagenet": [(1, 0.1)],
    "lim-2019-imagenet-resnet-50": [(6, 0.05), (91, 0.005), (181, 0.0005), (241, 0.00005)],
}

# At the end of each epoch of the warm-up.
CLIMBS = {
    "mixup-2018-imagenet-90": [0.16, 0.22, 0.28, 0.34, 0.4],
    "mixup-2018-imagenet-200": [0.16, 0.22, 0.28, 0.34, 0.4],
    "lim-2019-imagenet-resnet-50": [0.01, 0.02, 0.03, 0.04, 0.05],
    "hataya-2022-cifar": [0.04, 0.055, 0.07, 0.085, 0.1],
    "lim-2019-cifar-wrn-40-2": [0.02, 0.04, 0.06, 0.08, 0.1],
}

# (epochs, epochs of refinement, minibatch, weight decay)
SIZES = {
    "he-2019-cifar": (400, 50, 128, 1e-4),
    "he-2019-cifar-wrn-28-10": (400, 50, 128, 5e-4),
    "he-2019-cifar-wrn-28-10-autoaugment": (400, 50, 128, 5e-4),
    "he-2019-cifar-shake-shake": (1800, 200, 128, 1e-3),
    "he-2019-tiny-imagenet": (400, 50, 128, 1e-4),
    "he-2019-imagenet-mixup": (200, 20, 256, 1e-4),
    "he-2019-imagenet-autoaugment-resnet-50": (300, 20, 256, 1e-4),
    "he-2019-imagenet-autoaugment-resnet-101": (200, 20, 256, 1e-4),
    "mixup-2018-cifar": (200, 0, 128, 1e-4),
    "mixup-2018-cifar-wrn-28-10": (200, 0, 128, 1e-4),
    "mixup-2018-imagenet-90": (90, 0, 1024, 1e-4),
    "mixup-2018-imagenet-200": (200, 0, 1024, 1e-4),
    "mixup-2018-speech": (30, 0, 100, 0.0),
    "mixup-2018-tabular": (10, 0, 16, 0.0),
    "hataya-2022-cifar": (300, 0, 128, 5e-4),
    "hataya-2022-svhn": (160, 0, 128, 5e-4),
    "hataya-2022-imagenet": (180, 0, 128, 5e-4),
    "hataya-2022-fine-grained": (200, 0, 128, 5e-4),
    "mounsaveng-2021-cifar": (201, 0, 128, 5e-4),
    "mounsaveng-2021-bach": (40, 0, 16, 5e-4),
    "mounsaveng-2021-imagenet": (90, 0, 800, 1e-4),
    "lim-2019-cifar-wrn-40-2": (200, 0, 128, 2e-4),
    "lim-2019-cifar-wrn-28-10": (200, 0, 128, 5e-4),
    "lim-2019-cifar-shake-shake": (1800, 0, 128, 1e-3),
    "lim-2019-imagenet-resnet-50": (270, 0, 128, 1e-4),
}


def task_of(name: str, **fields: Any) -> Task:
    return Task(**{**RECIPES[name], **fields}, data="digits")


def rates(task: Task) -> list[list[float]]:
    """The learning rates of each step of each epoch."""
    return [
        [learning_rate(task, epoch * STEPS + step, STEPS) for step in range(STEPS)] for epoch in range(task.last_epoch)
    ]


@pytest.mark.parametrize("name", STAGES)
def test_the_learning_rate_of_each_epoch_is_the_papers(name: str) -> None:
    task, stages = task_of(name), STAGES[name]
    assert task.schedule in ("step", "constant")
    found = rates(task)
    ends = [first for first, _ in stages[1:]] + [task.last_epoch + 1]
    for (first, rate), end in zip(stages, ends, strict=True):
        for epoch in range(first, end):
            assert found[epoch - 1] == pytest.approx([rate] * STEPS, rel=1e-12), f"epoch {epoch}"
    assert stages[0][0] - 1 == len(CLIMBS.get(name, []))


@pytest.mark.parametrize("name", CLIMBS)
def test_the_rate_climbs_to_the_peak_evenly(name: str) -> None:
    task = task_of(name)
    found = [rate for epoch in rates(task)[:5] for rate in epoch]
    assert found[STEPS - 1 :: STEPS] == pytest.approx(CLIMBS[name], rel=1e-12)
    steps = torch.tensor(found).diff()
    assert torch.allclose(steps, steps[0].expand_as(steps), rtol=1e-4)


def test_a_step_schedule_is_that_of_torch() -> None:
    task = task_of("he-2019-cifar-wrn-28-10")
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [120, 240, 320], gamma=0.2)
    for epoch in range(task.epochs):
        assert learning_rate(task, epoch * STEPS, STEPS) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name]["schedule"] == "cosine"])
def test_a_cosine_begins_at_the_peak_and_ends_at_zero(name: str) -> None:
    task = task_of(name)
    found = rates(task)
    assert found[int(task.warmup)][0] == pytest.approx(task.lr)
    assert found[task.epochs - 1][-1] == pytest.approx(0, abs=1e-12)
    middle = (task.epochs + int(task.warmup)) * STEPS // 2
    assert learning_rate(task, middle, STEPS) == pytest.approx(task.lr / 2, rel=0.02)


def test_every_row_is_in_these_tables() -> None:
    assert list(RECIPES) == list(SIZES)
    steps = {name for name, recipe in RECIPES.items() if recipe["schedule"] != "cosine"}
    assert set(STAGES) == steps


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_makes_a_task_with_the_sizes_of_its_source(name: str) -> None:
    task, recipe = task_of(name), RECIPES[name]
    assert (task.epochs, task.refine_epochs, task.batch_size, task.weight_decay) == SIZES[name]
    assert task.momentum == 0.9
    assert task.nesterov == name.startswith(("hataya", "lim")), "of the others no source says so"
    assert "data" not in recipe
    assert "model" not in recipe
    assert recipe.source.split()[0].lower() in (name.split("-")[0], "zhang")
    if task.dropout is not None:
        model = name.removeprefix("he-2019-cifar-").removesuffix("-autoaugment")
        assert "dropout" in signature(MODELS[model]).parameters


def test_a_recipe_is_a_mapping_that_can_be_changed_in_part() -> None:
    recipe = RECIPES["mixup-2018-cifar"]
    assert dict(**recipe) == dict(recipe.fields)
    assert len(recipe) == len(recipe.fields)
    other = recipe.but("mine", epochs=20)
    assert isinstance(other, Recipe)
    assert (other["epochs"], other["lr"], other.source, recipe["epochs"]) == (20, 0.1, "mine", 200)
    assert task_of("mixup-2018-cifar", epochs=160).epochs == 160


def test_a_training_has_the_rates_of_its_recipe() -> None:
    task = task_of("mounsaveng-2021-bach", model="convnet", device="cpu")
    run = TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, torch.Generator().manual_seed(0), task.load())
    for epoch, rate in ((0, 0.1), (6, 0.01), (10, 0.001), (20, 0.0001), (39, 0.0001)):
        run.step = epoch * run.steps_per_epoch
        set_learning_rate(run)
        assert run.optimiser.param_groups[0]["lr"] == pytest.approx(rate)


PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "recipes.md"


def row(name: str) -> str:
    """The row of the page's table."""
    recipe = RECIPES[name]
    stops = ", ".join(map(str, recipe.get("milestones", ())))
    falls = f"times {recipe['step_factor']:g} at {stops}" if recipe["schedule"] == "step" else recipe["schedule"]
    climb = f"{recipe['warmup']} from {recipe['warmup_from'] * recipe['lr']:g}, " if "warmup_from" in recipe else ""
    climb = climb or (f"{recipe['warmup']} from 0, " if recipe["warmup"] else "")
    refine = f" + {recipe['refine_epochs']}" if "refine_epochs" in recipe else ""
    cells = [f"`{name}`", f"{recipe['epochs']}{refine}", f"{recipe['batch_size']}", f"{recipe['lr']:g}"]
    cells += [climb + falls, f"{recipe['weight_decay']:g}"]
    return f"| {' | '.join(cells)} |"


def test_the_page_of_recipes_is_that_of_the_table() -> None:
    lines = PAGE.read_text().splitlines()
    assert [line for line in lines if line.startswith("| `")] == [row(name) for name in RECIPES]
