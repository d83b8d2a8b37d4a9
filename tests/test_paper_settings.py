"""The studies as published: tried on made-up data, and what they cost, counted."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Generator, nn

from autoaug import Budget, Study, Task
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.strategies import none, randaugment, truncated
from autoaug.train import TrainingRun
from benchmarks.paper_settings import (
    PAPERS,
    PUBLISHED_SETS,
    as_large,
    counted,
    made_up_data,
    operations_of,
    read_settings,
    set_of,
    settings,
    settings_page,
    tried,
)


def test_every_published_setting_was_tried_and_the_page_is_made_of_them() -> None:
    found = read_settings()
    assert sorted(found) == sorted(settings()), "try them: python -m benchmarks.paper_settings"
    assert (PAPERS / "settings.md").read_text() == settings_page(found), "write it: python -m benchmarks.paper_settings"


def test_an_operation_is_a_product_or_a_sum() -> None:
    task = Task(data="digits", device="cpu")
    with torch.random.fork_rng():
        layer = nn.Linear(5, 7, bias=False)
        run = TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, Generator(), task.load())
    assert operations_of(lambda size: layer(torch.ones(size, 5)), 3, run) == 2 * 3 * 5 * 7


@pytest.fixture(scope="module")
def made() -> Iterator[None]:
    """Made-up data in the place of all published ones."""
    with made_up_data():
        yield


def linear(classes: int) -> nn.Module:
    """A network whose operations can be counted by hand."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, classes))


def study(**strategies: object) -> Study:
    task = Task(data="cifar10", model=linear, epochs=5, batch_size=100, val_fraction=0.2, standard="none")
    return Study(name="published", task=task, strategies=strategies, budget=Budget(trials=2), deploy=(), seeds=3)  # type: ignore[arg-type]


def test_all_trainings_are_counted_on_the_real_number_of_images(made: None) -> None:
    asked = study(none=none(), ra=randaugment())
    found = counted(tried(asked), asked.task.val_fraction)
    images, layer = 40_000, 2 * 3 * 32 * 32 * 10
    step = 2 * layer  # forward, and the gradient of the weights; that of the images is not asked for
    training = 5 * (images * step + 10_000 * layer)
    assert found == pytest.approx((1 + 3) * training + (2 + 3) * training, rel=1e-3)


def test_updates_of_a_learner_are_counted(made: None) -> None:
    alone, learned = study(none=none()), study(online=truncated("mlp", "affine", "small", every=1, reuse_graph=True))
    costs = [counted(tried(each), each.task.val_fraction) for each in (alone, learned)]
    assert costs[0] is not None
    assert costs[1] is not None
    assert costs[1] > 3 * costs[0]


def test_made_up_data_become_as_large_as_the_real_ones(made: None) -> None:
    for name, val, sizes in (("cifar100", 0.1, (45_000, 5_000)), ("flowers102", 0.1, (1_020, 1_020))):
        task = Task(data=name, val_fraction=0.34)
        known = set_of(task)
        assert known is PUBLISHED_SETS[name]
        data = as_large(task.load(), val, known)
        assert (len(data.train), len(data.val)) == sizes
        assert len(data.classes) == known.classes
    assert set_of(replace(task, data="digits")) is None
