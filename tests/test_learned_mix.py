"""A mix that a learner moves: its derivative, against exact ones."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta as beta_law
from small_problems import Brightened, batch, network, seeded, spread
from test_estimators import chance, every_draw
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.hypergrad import conjugate_gradient, exact, identity, neumann, unrolled
from autoaug.learners import LEARNED, Batch, LearnedMix, Problem
from autoaug.learners._estimators import pathwise, score
from autoaug.learners._mix import COORDINATES
from autoaug.mixing import build, cutmix, hmix, mixup, none
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._masks import hmix_mask, interval
from autoaug.policy import Relaxed

DOUBLE = torch.float64


# The draws


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("function", [torch.square, torch.exp], ids=["square", "exp"])
def test_draws_move_with_alpha_as_their_distribution_does(alpha: float, function: Callable[[Tensor], Tensor]) -> None:
    """The mean derivative of f(λ) is that of ∫ f dBeta(α, α), by numeric inversion, within four standard errors."""

    def expected(at: float) -> float:
        return quad(lambda u: float(function(torch.tensor(beta_law.ppf(u, at, at)))), 0, 1)[0]

    wanted = (expected(alpha * 1.01) - expected(alpha * 0.99)) / (0.02 * alpha)
    shape, rng = torch.tensor(alpha, dtype=DOUBLE, requires_grad=True), seeded()
    means = [function(draw_beta(shape, 200, rng)).mean() for _ in range(60)]
    slopes = torch.stack([torch.autograd.grad(each, shape)[0] for each in means])
    assert abs(slopes.mean().item() - wanted) < 4 * slopes.std().item() / math.sqrt(len(slopes))
    assert slopes.std().item() / math.sqrt(len(slopes)) < 0.2 * abs(wanted), "enough draws to tell"


@pytest.mark.parametrize("row", sorted(LEARNED))
def test_it_draws_as_the_row_that_it_begins_with(row: str) -> None:
    start: Any = build(row, alpha=0.4)
    mix, (images, _), targets = LearnedMix(start), batch(50, 0), torch.eye(50)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            found = mix(images, targets, seeded())
        for one, two in zip(found, start(images, targets, seeded()), strict=True):
            assert torch.allclose(one, two, atol=1e-6)
    assert mix.values() == pytest.approx({"alpha": 0.4, **({"ratio": 0.5} if row == "hmix" else {})})


@pytest.mark.parametrize("row", sorted(LEARNED))
def test_a_gradient_tells_how_all_draws_of_a_row_change(row: str) -> None:
    """Against differences of the mean over draws; to an eighth, as an edge that moves is linearised."""
    images, targets = torch.rand(400, 1, 1, 1, generator=seeded(1), dtype=DOUBLE).round(), torch.eye(400)
    images = images.expand(-1, 1, 12, 12)
    mix = LearnedMix(build(row, alpha=0.7)).double()

    def measured(each: Any, seed: int) -> Tensor:
        seen, _ = each(images, targets, seeded(seed))
        return seen[:, :, 3:9, 3:9].mean((1, 2, 3)).square().mean()

    slopes = [torch.autograd.grad(measured(mix, seed), list(mix.parameters())) for seed in range(30)]
    for name, found in zip(mix.raw, zip(*slopes, strict=True), strict=True):
        rule, value = COORDINATES[name], {"alpha": 0.7, "ratio": 0.5}[name]
        raw = rule.raw(torch.tensor(value, dtype=DOUBLE))
        moved = [{**mix.values(), name: rule.value(raw + way).item()} for way in (0.3, -0.3)]
        ends = [torch.stack([measured(build(row, **each), seed) for seed in range(30, 150)]) for each in moved]
        differences = (ends[0] - ends[1]) / 0.6
        gradient = torch.stack(found)
        error = math.hypot(gradient.std().item() / 30**0.5, differences.std().item() / 120**0.5)
        apart = abs(gradient.mean().item() - differences.mean().item())
        assert apart < 4 * error + 0.125 * abs(differences.mean().item()), name
        assert abs(differences.mean().item()) > 4 * error, "enough draws to tell"


def test_the_edges_of_a_box_have_the_derivative_of_a_pixel_more_and_a_pixel_less() -> None:
    share = torch.tensor([0.35, 0.55, 0.85, 0.95], dtype=DOUBLE, requires_grad=True)
    weights = torch.rand(4, 10, dtype=DOUBLE, generator=seeded(1))
    drawn = interval(share, 10, seeded(), edges=True)
    [slope] = torch.autograd.grad((weights * drawn).sum(), share)
    more, same, less = (interval((share + way).detach(), 10, seeded()).double() for way in (0.1, 0.0, -0.1))
    assert torch.equal(drawn.detach(), same)
    assert torch.allclose(slope, 5 * (weights * (more - less)).sum(1))
    lam = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=DOUBLE)
    for value in (0.0, 0.3, 1.0):
        ratio = torch.tensor(value, dtype=DOUBLE, requires_grad=True)
        mask = hmix_mask(lam, 7, 7, seeded(), ratio)
        assert torch.allclose(mask, hmix_mask(lam, 7, 7, seeded(), value))
        assert torch.autograd.grad(mask.square().sum(), ratio)[0].isfinite()


# The hypergradient


def smooth_draw(alpha: Any, count: int, rng: Generator) -> Tensor:
    """A λ that is a smooth function of α for the same generator, which the rejections of a gamma sampler are not."""
    uniform = torch.rand(count, generator=rng, device=rng.device, dtype=DOUBLE)
    return uniform ** (1 / torch.as_tensor(alpha, dtype=DOUBLE))


@pytest.fixture
def smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.mixing._pairs.draw_beta", smooth_draw)


def squared(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits - targets).square().sum(1) / 2


def regression() -> Problem:
    """Least squares of mixed images on mixed targets, whose minimum is known."""
    model = network(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))).double()
    train, val = (Batch(images - 0.5, targets) for images, targets in (batch(200, 1, DOUBLE), batch(30, 2, DOUBLE)))
    mix = LearnedMix(mixup(alpha=0.8))
    return Problem(Brightened().double(), model, train, val, seeded(3), criterion=squared, mix=mix)


def solution(problem: Problem, raw: Tensor) -> Tensor:
    """The weights [10, 64] at which training ends, as a function of ln α."""
    seen, shares = problem.show({**problem.hyper, "mix/raw.alpha": raw}, problem.train.images, problem.repeat())
    assert shares is not None
    inputs, targets = seen.flatten(1), shares @ F.one_hot(problem.train.targets, 10).double()
    return torch.linalg.solve(inputs.T @ inputs, inputs.T @ targets).T


@pytest.mark.usefixtures("smooth")
def test_the_hypergradient_of_alpha_is_that_of_the_closed_form() -> None:
    problem = regression()
    raw = problem.hyper["mix/raw.alpha"].detach().requires_grad_()
    ended = solution(problem, raw)
    [wanted] = torch.autograd.grad(F.cross_entropy(problem.val.images.flatten(1) @ ended.T, problem.val.targets), raw)
    with torch.no_grad():
        problem.model[1].weight.copy_(ended)  # type: ignore[index]
    found = pathwise(exact(), problem)
    assert found["mix/raw.alpha"].item() == pytest.approx(wanted.item(), rel=1e-8)
    assert abs(wanted.item()) > 1e-3


@pytest.mark.usefixtures("smooth")
@pytest.mark.parametrize(
    "solver", [exact(), conjugate_gradient(64), neumann(400, 5.0)], ids=["exact", "conjugate gradient", "neumann"]
)
def test_implicit_hypergradients_are_differences_of_trained_networks(solver: Any) -> None:
    problem = regression()
    raw = problem.hyper["mix/raw.alpha"].detach()

    def trained(way: float) -> float:
        weights = solution(problem, raw + way).detach()
        return F.cross_entropy(problem.val.images.flatten(1) @ weights.T, problem.val.targets).item()

    with torch.no_grad():
        problem.model[1].weight.copy_(solution(problem, raw))  # type: ignore[index]
    slope = (trained(1e-5) - trained(-1e-5)) / 2e-5
    assert pathwise(solver, problem)["mix/raw.alpha"].item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.usefixtures("smooth")
@pytest.mark.parametrize("row", sorted(LEARNED))
@pytest.mark.parametrize("steps", [1, 3, 0], ids=["unrolled 1", "unrolled 3", "identity"])
def test_looking_ahead_is_the_difference_of_retrained_networks(steps: int, row: str) -> None:
    """Steps of gradient descent from the present weights, with the same draws; the identity is one of no length."""
    mix = LearnedMix(build(row, alpha=0.8))
    problem = Problem(
        Brightened(4).double(), network().double(), batch(20, 1, DOUBLE), batch(20, 2, DOUBLE), seeded(3), mix=mix
    )
    lr = 0.5 if steps else 1e-5
    found = pathwise(unrolled(steps, lr) if steps else identity(), problem)
    raw = problem.hyper["mix/raw.alpha"].detach()

    def retrained(way: float) -> float:
        weights = {name: weight.detach().requires_grad_() for name, weight in problem.weights.items()}
        for _ in range(steps or 1):
            hyper = {**problem.hyper, "mix/raw.alpha": raw + way}
            images, shares = problem.show(hyper, problem.train.images, problem.repeat())
            loss = problem.train_loss(problem.predict(weights, images), problem.train.targets, shares)
            slopes = torch.autograd.grad(loss, list(weights.values()))
            pairs = zip(weights.items(), slopes, strict=True)
            weights = {name: (weight - lr * slope).detach().requires_grad_() for (name, weight), slope in pairs}
        return problem.val_loss(weights, None).item()

    if row == "hmix":  # what of α goes through the edges of the box, differences do not see
        edges = pathwise(unrolled(steps, lr) if steps else identity(), problem)
        assert set(edges) == {"factor", "mix/raw.alpha", "mix/raw.ratio"}
        assert edges["mix/raw.ratio"] != 0
        return
    step = 1e-3
    slope = (retrained(step) - retrained(-step)) / (2 * step) / (1 if steps else lr)
    assert found["mix/raw.alpha"].item() == pytest.approx(slope, rel=1e-4)
    assert abs(slope) > 1e-3


def test_the_credit_of_an_image_counts_all_that_it_is_part_of() -> None:
    """The mean of the estimate over every draw of the policy, each weighed by its probability, is the gradient."""
    policy = spread(Relaxed(("invert", "solarize"), stages=1)).double()
    mix = LearnedMix(mixup(probability=0.8))
    problem = Problem(policy, network().double(), batch(3, 1, DOUBLE), batch(20, 2, DOUBLE), seeded(1), mix=mix)
    names, rest = list(problem.weights), problem.val_loss
    weights = {name: weight.detach().requires_grad_() for name, weight in problem.weights.items()}
    pull = torch.autograd.grad(rest(weights, None), [weights[name] for name in names])
    total, mean = torch.zeros((), dtype=DOUBLE), {name: torch.zeros_like(v) for name, v in problem.hyper.items()}
    drawn: list[Any] = []
    policy.sample = lambda size, rng: drawn[-1]
    for choices in every_draw(policy, 3):
        drawn.append(choices)
        images, shares = problem.show(problem.hyper, problem.train.images, problem.repeat(), choices)
        assert shares is not None
        loss = problem.train_loss(problem.predict(weights, images), problem.train.targets, shares)
        slopes = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
        along = sum((slope * p).sum() for slope, p in zip(slopes, pull, strict=True))
        likely = chance(policy, choices).prod()
        total = total - likely * along
        for name, slope in score(identity(), problem).items():
            mean[name] += likely.item() * slope
    assert shares is not None
    assert torch.count_nonzero(shares) == 5, "two of three are mixed"
    wanted = torch.autograd.grad(total, list(problem.hyper.values()))
    for (name, found), exactly in zip(mean.items(), wanted, strict=True):
        assert exactly.abs().max() > 1e-6, name
        assert torch.allclose(found, exactly, rtol=1e-9, atol=1e-12), name


# What is refused


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (cutmix(), "cannot move the mix 'cutmix': it has no gradient"),
        (none(), "cannot move the mix 'none'"),
        (build("mixup-or-cutmix"), "cannot move the mix 'mixup-or-cutmix'.*give 'mixup', 'hmix', 'gmix'"),
        (mixup(alpha=1e-9), r"mix.alpha begins at 1e-09, from where no gradient moves it: begin at 0.001 to 1000"),
        (hmix(ratio=1.0), r"mix.ratio begins at 1"),
    ],
)
def test_a_mix_that_no_gradient_moves_is_refused(mix: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnedMix(mix)


def test_parameters_are_kept_where_a_gradient_finds_back() -> None:
    mix = LearnedMix(hmix())
    with torch.no_grad():
        mix.raw["alpha"].fill_(50.0)
        mix.raw["ratio"].fill_(-50.0)
    mix.keep_within()
    assert mix.values() == pytest.approx({"alpha": 1000, "ratio": 0.001})
    images, targets = batch(50, 0)
    mixed, _ = mix(images, F.one_hot(targets, 10).float(), seeded())
    assert all(grad.isfinite() for grad in torch.autograd.grad(mixed.square().sum(), list(mix.parameters())))
