"""Laws of a policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from autoaug.policy import Fixed, Policy, load_policy
from autoaug.testing._images import photographs

Make = Callable[[], Any]

SIZES = ((8, 8), (7, 13), (2, 3), (1, 1))


def seeded(seed: int = 0) -> Generator:
    """Return a generator on the CPU."""
    return Generator().manual_seed(seed)


def run(policy: Policy, images: Tensor, seed: int = 0) -> Tensor:
    """Return what the policy makes of the images with fresh draws from the seed, without gradients."""
    with torch.no_grad():
        return policy(images, seeded(seed))


def moved(policy: Any, far: float = 0.1) -> Any:
    """Return the policy with every parameter moved by normal noise of this standard deviation."""
    rng = seeded(7)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(far * torch.randn(parameter.shape, generator=rng).to(parameter))
    return policy


def movable(policy: Any) -> dict[str, nn.Parameter]:
    """Return the parameters that a gradient may move, by name; skip the law where there are none."""
    parameters = {name: value for name, value in policy.named_parameters() if value.requires_grad}
    if not parameters:
        pytest.skip("it has no parameters")
    return parameters


class PolicyTestCase:
    """Test the laws of a policy. Override the fixture `policy`."""

    @pytest.fixture
    def policy(self) -> Make:
        """Override: return what makes the policy, each time anew and with the same parameters."""
        raise NotImplementedError

    def draws(self, policy: Make) -> bool:
        """Override where nothing is random: every draw gives the same images."""
        return True

    def runs_its_tree(self, policy: Make) -> bool:
        """Override where `tree` is an approximation, or draws in another order."""
        return True

    def can_move(self, policy: Make, name: str) -> bool:
        """Override for a parameter of the policy that no gradient of the pixels moves."""
        return True

    # The contract

    def test_it_is_a_policy(self, policy: Make) -> None:
        instance = policy()
        assert isinstance(instance, nn.Module)
        assert isinstance(instance, Policy)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_size_channels_and_dtype_stay_and_values_stay_in_range(
        self, policy: Make, channels: int, dtype: torch.dtype
    ) -> None:
        instance = policy()
        for height, width in SIZES:
            images = photographs(24, channels, height, width).to(dtype)
            result = run(instance, images)
            assert result.shape == images.shape
            assert result.dtype == dtype
            assert result.isfinite().all()
            assert result.min() >= 0
            assert result.max() <= 1

    @pytest.mark.parametrize("count", [0, 1])
    def test_an_empty_batch_and_a_batch_of_one_are_served(self, policy: Make, count: int) -> None:
        images = photographs(1, height=8, width=8)[:count]
        instance = policy()
        assert run(instance, images).shape == images.shape
        instance.tree()  # which may say what the last batch met

    def test_nothing_is_written_into_the_images(self, policy: Make) -> None:
        images = photographs(32, height=8, width=8)
        before, version = images.clone(), images._version
        run(policy(), images)
        assert torch.equal(images, before)
        assert images._version == version, "written into, though with equal values"

    def test_an_image_is_changed_by_its_draws_and_nothing_beside_it(self, policy: Make) -> None:
        images, others = photographs(8, height=8, width=8), photographs(8, height=8, width=8, seed=1)
        together = run(policy(), images)
        for k in range(0, len(images), 3):
            beside = others.clone()
            beside[k] = images[k]
            torch.testing.assert_close(run(policy(), beside)[k], together[k], atol=1e-5, rtol=0)

    def test_an_epoch_can_begin(self, policy: Make) -> None:
        instance, images = policy(), photographs(4, height=8, width=8)
        for epoch in (1, 2, 100):
            instance.at(epoch)
            assert run(instance, images).isfinite().all()

    # Randomness

    def test_the_generator_decides_everything(self, policy: Make) -> None:
        images = photographs(32, height=8, width=8)
        first, again, other = (run(policy(), images, seed) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert torch.equal(first, other) != self.draws(policy)

    def test_it_goes_on_with_a_generator_and_does_not_repeat_itself(self, policy: Make) -> None:
        instance, images, rng = policy(), photographs(32, height=8, width=8), seeded()
        with torch.no_grad():
            assert torch.equal(instance(images, rng), instance(images, rng)) != self.draws(policy)

    def test_every_image_has_a_draw_of_its_own(self, policy: Make) -> None:
        images = photographs(1, height=8, width=8).repeat(64, 1, 1, 1)
        assert (len(run(policy(), images).flatten(1).unique(dim=0)) > 1) == self.draws(policy)

    def test_the_global_generator_is_left_alone(self, policy: Make) -> None:
        before = torch.random.get_rng_state()
        run(policy(), photographs(16, height=8, width=8))
        assert torch.equal(before, torch.random.get_rng_state()), "it drew from torch's global generator"

    # What it is kept as

    def test_its_tree_comes_back_from_its_file_and_runs_alike(self, policy: Make, tmp_path: Path) -> None:
        instance, images = moved(policy()), photographs(32, height=8, width=8)
        drawn = run(instance, images)
        instance.save(tmp_path / "policy.json")
        loaded = load_policy(tmp_path / "policy.json")
        assert loaded.tree() == instance.tree()
        assert torch.equal(run(loaded, images), run(Fixed(instance.tree()), images))
        if self.runs_its_tree(policy):
            assert torch.equal(run(loaded, images), drawn)

    def test_its_tree_follows_its_parameters(self, policy: Make) -> None:
        instance, images = policy(), photographs(32, height=8, width=8)
        movable(instance)
        run(instance, images)
        before = instance.tree()
        run(moved(instance), images)
        assert instance.tree() != before

    def test_its_state_comes_back(self, policy: Make) -> None:
        changed, fresh, images = moved(policy()), policy(), photographs(32, height=8, width=8)
        fresh.load_state_dict(changed.state_dict())
        assert torch.equal(run(fresh, images), run(changed, images))
        assert fresh.tree() == changed.tree()

    # Gradients

    def test_a_gradient_reaches_every_parameter(self, policy: Make) -> None:
        """Differentiate pixels along the path of the draws; the loss is not symmetric: no gradient cancels."""
        instance, images = moved(policy()), 0.2 + 0.6 * photographs(64, height=8, width=8)
        parameters = movable(instance)
        weights = torch.rand(images.shape, generator=seeded(3))
        loss = (instance(images, seeded()) * weights).sum()
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        for name, grad in zip(parameters, grads, strict=True):
            assert grad.isfinite().all(), name
            assert grad.abs().max() > 0 or not self.can_move(policy, name), f"no gradient reaches {name}"

    def test_draws_that_can_be_scored_have_a_gradient(self, policy: Make) -> None:
        """`sample` and `log_probability`, where there are both, are what `estimator="score"` needs."""
        instance = moved(policy())
        if not (hasattr(instance, "sample") and hasattr(instance, "log_probability")):
            pytest.skip("it has no sample and log_probability")
        chances = instance.log_probability(instance.sample(64, seeded()))
        assert chances.shape == (64,)
        assert chances.max() <= 1e-6, "the logarithm of a probability"
        parameters = list(movable(instance).values())
        grads = torch.autograd.grad(chances.sum(), parameters, allow_unused=True, materialize_grads=True)
        assert all(grad.isfinite().all() for grad in grads)
        assert any(grad.abs().max() > 0 for grad in grads)

    # On a GPU

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
    def test_a_generator_on_the_cpu_serves_images_on_cuda(self, policy: Make) -> None:
        images = photographs(32, height=8, width=8)
        on_cpu, on_cuda = run(policy(), images), run(policy().to(torch.device("cuda")), images.cuda())
        assert on_cuda.is_cuda
        off = (on_cuda.cpu() - on_cpu).abs()
        assert (off > 1e-3).float().mean() < 0.01, "rounding may move a few pixels over a step"
