"""What `execute` gives is the same whether images are sorted into groups or, where they are large, go one by one."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from autoaug.policy import Fixed, ready
from autoaug.policy.execute import alone, execute, group_sizes
from autoaug.policy.plan import Draws, draw


@pytest.fixture
def one_by_one(monkeypatch):
    return lambda: monkeypatch.setattr("autoaug.policy.execute.LARGE", 1)


@pytest.mark.parametrize("compose", [False, True])
@pytest.mark.parametrize("name", ["randaugment", "random_policy", "autoaugment_imagenet"])
def test_one_by_one_gives_the_pixels_that_groups_give(name, compose, rng, one_by_one):
    images = torch.rand(48, 3, 9, 12, generator=rng)
    plan = Fixed(getattr(ready, name)()).plan(rng.device)
    draws = draw(plan, len(images), rng)
    grouped = execute(plan.ops, images, draws, rng, compose=compose)
    one_by_one()
    assert alone(plan.ops, images)
    assert torch.equal(execute(plan.ops, images, draws, rng, compose=compose), grouped)
    with torch.no_grad():
        assert torch.equal(execute(plan.ops, images, draws, rng, compose=compose), grouped)


def test_one_by_one_gives_the_gradients_that_groups_give(rng, one_by_one):
    images = torch.rand(32, 3, 8, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    plan = Fixed(ready.random_policy(probability=1.0)).plan(rng.device)
    draws = draw(plan, len(images), rng)
    draws = draws._replace(strength=draws.strength.double().requires_grad_())
    slope = torch.rand(images.shape, generator=rng, dtype=torch.float64)

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(execute(plan.ops, images, draws, rng), (images, draws.strength), slope)

    grouped = gradients()
    one_by_one()
    assert grouped[1].count_nonzero() > 16
    assert_close(gradients(), grouped)


def test_a_batch_meets_each_operation_once_per_stage_and_geometric_ones_together(monkeypatch, rng):
    met = []
    plan = Fixed(ready.random_policy(probability=1.0)).plan(rng.device)
    count = [replace(op, function=counting(op, met)) for op in plan.ops]
    monkeypatch.setattr("autoaug.policy.execute.affine", lambda images, matrix: met.append("affine") or images)
    execute(count, torch.rand(500, 3, 4, 4, generator=rng), draw(plan, 500, rng), rng)
    colours = [op.name for op in plan.ops if op.matrix is None]
    assert met == ["affine", *colours] * 2


def counting(op, met):
    return lambda images, *amounts: met.append(op.name) or op.function(images, *amounts)


def test_operations_that_draw_do_so_for_all_their_images_at_once(one_by_one):
    images = torch.rand(64, 3, 8, 8, generator=Generator().manual_seed(1))
    grouped = Fixed(ready.uniformaugment())(images, Generator().manual_seed(2))
    one_by_one()
    assert torch.equal(Fixed(ready.uniformaugment())(images, Generator().manual_seed(2)), grouped)


@pytest.mark.parametrize("size", [8, 128])
def test_the_output_is_new_memory_and_a_batch_may_be_empty(size, rng):
    images = torch.rand(1, 3, size, size, generator=rng)
    policy = Fixed(ready.randaugment(ops=["identity"]))
    plan = policy.plan(rng.device)
    nothing = Draws(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1))
    out = execute(plan.ops, images, nothing, rng)
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()
    assert Fixed(ready.randaugment())(images[:0], rng).shape == (0, 3, size, size)


def test_group_sizes_count_images_that_stay_move_or_meet_each_other_operation():
    bucket = torch.tensor([[0, 1, 2, 2, 4, 5, 5], [0, 0, 0, 0, 0, 0, 3]])
    assert group_sizes(bucket, geometric=2, count=5) == [[1, 3, 0, 1, 2], [6, 0, 1, 0, 0]]
