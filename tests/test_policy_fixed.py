"""Fixed: what is drawn is what is done, image by image, with and without composition."""

import pytest
import torch
from scipy.stats import binomtest

from autoaug.ops import OPS, affine
from autoaug.policy import Fixed, Policy, PolicyError, apply, choice, policy_tree, ready, schedule, sequence
from autoaug.policy._compiled import draw
from autoaug.policy._execute import execute


def test_images_that_are_equal_are_augmented_differently(rng):
    images = torch.rand(1, 3, 16, 16, generator=rng).repeat(32, 1, 1, 1)
    out = Fixed(ready.trivialaugment())(images, rng)
    assert len(out.flatten(1).unique(dim=0)) > 16


DETERMINISTIC = ["none", "randaugment", "trivialaugment", "random_policy", "autoaugment_svhn"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_batch_equals_its_images_one_by_one(name, dtype, rng):
    images = torch.rand(40, 3, 9, 12, generator=rng).to(dtype)
    plan = Fixed(getattr(ready, name)()).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    together = execute(plan.ops, images, draws, rng)
    for k, image in enumerate(images):
        alone = image[None]
        for bucket, strength in zip(draws.bucket[:, k].tolist(), draws.strength[:, k], strict=True):
            alone = plan.ops[bucket - 1](alone, strength[None]) if bucket else alone
        torch.testing.assert_close(together[k], alone[0], rtol=0, atol=0)


def test_images_that_meet_nothing_pass_untouched(rng):
    images = torch.rand(1000, 1, 4, 4, generator=rng)
    out = Fixed(policy_tree(apply("invert", probability=0.25)))(images, rng)
    untouched = (out == images).flatten(1).all(1)
    assert torch.equal(out[~untouched], 1 - images[~untouched])
    assert binomtest(int(untouched.sum()), 1000, 0.75).pvalue > 1e-4


def test_the_random_numbers_taken_do_not_depend_on_what_is_drawn():
    images = torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    after = []
    for probability in (0.0, 0.5, 1.0):
        rng = torch.Generator().manual_seed(2)
        Fixed(ready.random_policy(probability=probability))(images, rng)
        after.append(torch.rand((), generator=rng).item())
    assert len(set(after)) == 1


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8, dtype=torch.int64), torch.zeros(3, 8, 8)], ids=["whole numbers", "no batch"]
)
def test_wrong_images_are_refused(images, rng):
    with pytest.raises(ValueError, match=r"give floats in \[0, 1\], or uint8, of shape \[B, C, H, W\]"):
        Fixed(ready.none())(images, rng)


def test_a_schedule_runs_the_tree_in_force(rng):
    images = torch.rand(8, 1, 4, 4, generator=rng)
    policy = Fixed(policy_tree(schedule([(1, sequence()), (3, apply("invert")), (5, apply("hflip"))])))
    wanted = {1: images, 2: images, 3: 1 - images, 4: 1 - images, 5: images.flip(3), 99: images.flip(3)}
    assert policy.epoch == 1
    for epoch, expected in wanted.items():
        policy.at(epoch)
        assert torch.equal(policy(images, rng), expected)
    policy.at(1)
    assert torch.equal(policy(images, rng), images)
    with pytest.raises(PolicyError, match="epochs count from 1"):
        policy.at(0)


def smooth(size=64):
    """A picture without detail finer than a few pixels, so that interpolating it costs little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return (0.5 + 0.2 * torch.sin(4 * x + 1) + 0.2 * torch.cos(3 * y + 2 * x))[None, None]


def inside(images):
    """Pixels that no rotation by up to 20 degrees brings in from outside."""
    return images[:, :, 16:-16, 16:-16]


def turn(degrees):
    return apply("rotate", degrees / 30, mirror=False)


def test_two_composed_rotations_are_one(rng):
    image = smooth()
    twice, once = policy_tree(sequence([turn(10), turn(10)])), policy_tree(turn(20))
    one = Fixed(once)(image, rng)
    joined, in_turn = Fixed(twice, compose=True)(image, rng), Fixed(twice)(image, rng)
    torch.testing.assert_close(joined, one, rtol=0, atol=1e-5)  # the same single resampling, borders included
    torch.testing.assert_close(inside(in_turn), inside(one), rtol=0, atol=2e-3)  # two resamplings
    assert (inside(in_turn) - inside(one)).abs().max() > 1e-5


def test_composition_keeps_the_order(rng):
    image = smooth()
    nodes = [turn(20), apply("shear_x", 0.5, mirror=False), apply("translate_y", 0.2, mirror=False)]
    for order in (nodes, nodes[::-1]):
        tree = policy_tree(sequence(order))
        joined, in_turn = Fixed(tree, compose=True)(image, rng), Fixed(tree)(image, rng)
        torch.testing.assert_close(inside(joined), inside(in_turn), rtol=0, atol=5e-3)
    backwards = Fixed(policy_tree(sequence(nodes)), compose=True)(image, rng)
    assert (inside(joined) - inside(backwards)).abs().max() > 0.05


def test_something_in_between_is_not_composed_over(rng):
    image = smooth()
    tree = policy_tree(sequence([turn(10), apply("solarize", 0.5), turn(10)]))
    assert torch.equal(Fixed(tree, compose=True)(image, rng), Fixed(tree)(image, rng))


def test_composition_skips_stages_at_which_nothing_happens(rng):
    image = smooth()
    nothing = apply("invert", probability=0.0)
    tree = policy_tree(sequence([turn(10), nothing, turn(5), nothing]))
    matrix = OPS["rotate"].matrix(torch.tensor([15.0]), 64, 64)
    torch.testing.assert_close(Fixed(tree, compose=True)(image, rng), affine(image, matrix), rtol=0, atol=1e-5)


def test_composition_mixes_with_the_rest_image_by_image(rng):
    images = smooth(32).repeat(200, 1, 1, 1)
    stage = choice([(1, apply("rotate", (0, 0.3))), (1, apply("invert")), (1, apply("translate_x", (0, 0.1)))])
    plan = Fixed(policy_tree(sequence([stage] * 3))).compiled(rng.device)
    draws = draw(plan, len(images), rng)
    joined = execute(plan.ops, images, draws, rng, compose=True)
    in_turn = execute(plan.ops, images, draws, rng)
    torch.testing.assert_close(joined[:, :, 12:-12, 12:-12], in_turn[:, :, 12:-12, 12:-12], rtol=0, atol=1e-2)


def test_fixed_is_a_policy_and_so_is_any_module_like_it():
    policy = Fixed(ready.none())
    assert isinstance(policy, Policy)
    assert policy.tree() == ready.none()
    assert not list(policy.parameters())
    assert policy.state_dict() == {}
    assert not isinstance(torch.nn.Identity(), Policy)


def test_gradients_reach_the_images(rng):
    images = torch.rand(6, 1, 8, 8, generator=rng, requires_grad=True)
    Fixed(policy_tree(sequence([turn(10), apply("invert")])))(images, rng).sum().backward()
    assert images.grad is not None
    assert (images.grad[:, :, 3:5, 3:5] < 0).all()
