"""What `execute` gives is the same in every way of going about it: side by side, in groups, or one by one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from autoaug.policy import Fixed, ready
from autoaug.policy._compiled import Draws, draw
from autoaug.policy._execute import execute, group_sizes, put

WAYS = ("side_by_side", "group_by_group", "one_by_one")


@pytest.fixture
def go(monkeypatch):
    """Make `execute` go about it in one of the ways."""

    def choose(way: str) -> None:
        monkeypatch.setattr("autoaug.policy._execute.differentiated", lambda images, draws: way == "side_by_side")
        monkeypatch.setattr("autoaug.policy._execute.FEW", 1000 if way == "one_by_one" else 0)

    return choose


@pytest.mark.parametrize("name", ["randaugment", "random_policy", "autoaugment_imagenet"])
def test_all_ways_give_the_same_pixels(name, rng, go):
    images = torch.rand(48, 3, 9, 12, generator=rng)
    plan = Fixed(getattr(ready, name)()).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    found = []
    for way in WAYS:
        go(way)
        found.append(execute(plan.ops, images, draws, rng))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_composed_movements_give_the_same_pixels_in_groups(rng, go):
    images = torch.rand(48, 3, 9, 12, generator=rng)
    plan = Fixed(ready.random_policy(probability=1.0)).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    found = []
    for way in WAYS[:2]:
        go(way)
        found.append(execute(plan.ops, images, draws, rng, compose=True))
    assert torch.equal(*found)


@pytest.mark.parametrize("way", WAYS)
def test_images_of_8_bits_become_floats_on_the_way(way, rng, go):
    images = torch.randint(256, (48, 3, 9, 12), generator=rng, dtype=torch.uint8)
    plan = Fixed(ready.randaugment()).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    go(way)
    expected = execute(plan.ops, images.float() / 255, draws, rng)
    assert torch.equal(execute(plan.ops, images, draws, rng), expected)
    assert torch.equal(Fixed(ready.none())(images, rng), images.float() / 255)


@pytest.mark.parametrize(
    ("batch", "size", "drawing", "expected"),
    [
        (48, 8, False, "group_by_group"),
        (48, 128, False, "one_by_one"),
        (48, 128, True, "group_by_group"),
        (4, 8, False, "one_by_one"),
        (4, 8, True, "group_by_group"),
        (1, 8, True, "one_by_one"),
    ],
)
def test_few_and_large_images_go_one_by_one_unless_an_operation_draws(monkeypatch, batch, size, drawing, expected, rng):
    gone = []
    for way in WAYS:
        done = lambda ops, images, *rest, way=way: gone.append(way) or images  # noqa: E731
        monkeypatch.setattr(f"autoaug.policy._execute.{way}", done)
    tree = ready.uniformaugment() if drawing else ready.randaugment()
    Fixed(tree)(torch.rand(batch, 3, size, size, generator=rng), rng)
    assert gone == [expected]


@pytest.mark.parametrize("wanted", ["images", "strength"])
def test_where_a_gradient_is_wanted_images_lie_side_by_side(wanted, rng):
    images = torch.rand(2, 3, 8, 8, generator=rng, requires_grad=wanted == "images")
    plan = Fixed(ready.randaugment()).compiled(rng.device)
    draws = draw(plan, 2, rng)
    draws = draws._replace(strength=draws.strength.requires_grad_(wanted == "strength"))
    assert execute(plan.ops, images, draws, rng).requires_grad
    with torch.no_grad():
        assert not execute(plan.ops, images, draws, rng).requires_grad


def test_gradients_are_those_of_each_operation_on_each_image(rng):
    images = torch.rand(32, 3, 8, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    plan = Fixed(ready.random_policy(probability=1.0)).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    draws = draws._replace(strength=draws.strength.double().requires_grad_())
    grad = torch.rand(images.shape, generator=rng, dtype=torch.float64)

    def alone(place: int) -> Tensor:
        image = images[place : place + 1]
        for bucket, strength in zip(draws.bucket[:, place].tolist(), draws.strength[:, place], strict=True):
            image = plan.ops[bucket - 1](image, strength[None])
        return image

    wanted = (images, draws.strength)
    found = torch.autograd.grad(execute(plan.ops, images, draws, rng), wanted, grad)
    expected = torch.autograd.grad(torch.cat([alone(place) for place in range(len(images))]), wanted, grad)
    assert found[1].count_nonzero() > 16
    assert_close(found, expected)


def test_a_batch_meets_each_operation_once_per_stage_and_geometric_ones_together(monkeypatch, rng):
    met = []
    plan = Fixed(ready.random_policy(probability=1.0)).compiled(rng.device)
    count = [replace(op, function=counting(op, met)) for op in plan.ops]
    monkeypatch.setattr("autoaug.policy._execute.affine", lambda images, matrix: met.append("affine") or images)
    execute(count, torch.rand(500, 3, 4, 4, generator=rng), draw(plan, 500, rng), rng)
    colours = [op.name for op in plan.ops if op.matrix is None]
    assert met == ["affine", *colours] * 2


def counting(op, met):
    return lambda images, *amounts: met.append(op.name) or op.function(images, *amounts)


@pytest.mark.parametrize("size", [8, 128])
def test_the_output_is_new_memory_and_a_batch_may_be_empty(size, rng):
    images = torch.rand(1, 3, size, size, generator=rng)
    policy = Fixed(ready.randaugment(ops=["identity"]))
    plan = policy.compiled(rng.device)
    nothing = Draws(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1))
    out = execute(plan.ops, images, nothing, rng)
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()
    assert Fixed(ready.randaugment())(images[:0], rng).shape == (0, 3, size, size)


def test_group_sizes_count_images_that_stay_move_or_meet_each_other_operation():
    bucket = torch.tensor([[0, 1, 2, 2, 4, 5, 5], [0, 0, 0, 0, 0, 0, 3]])
    assert group_sizes(bucket, geometric=2, count=5) == [[1, 3, 0, 1, 2], [6, 0, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [8, 7])
@pytest.mark.parametrize("part", ["all", "channels", "columns", "numbers"])
def test_images_are_put_in_their_places_whatever_their_layout(dtype, size, part, rng):
    """Also where their memory cannot be read in words: of an odd length, or beginning between two words."""
    memory = torch.rand(5, 4, size, size + 1, generator=rng).to(dtype)
    images = {
        "all": memory[..., :-1].contiguous(),
        "channels": memory[:, 1:].contiguous()[..., :size],
        "columns": memory[..., 1:],
        "numbers": memory.flatten()[1 : 1 + 3 * 4 * size * size].view(3, 4, size, size),
    }[part]
    whole = torch.zeros(9, *images.shape[1:], dtype=dtype)
    places = torch.tensor([7, 0, 3, 8, 1])[: len(images)]
    expected = whole.clone()
    expected[places] = images
    put(images, places, whole)
    assert torch.equal(whole, expected)
