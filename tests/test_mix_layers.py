"""Mixes at layers of a network: laws of every mix that needs the training, hooks against mixing by hand, refusals."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import binomtest, kstest
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.interruption import Interruption
from autoaug.mixing import MIXES, Mixed, TrainingMix, build, described, usual_layers
from autoaug.models import MODELS
from autoaug.policy import Fixed, ready
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.testing import TrainingMixTestCase
from autoaug.testing._mix_in_training import small_network, training_batch
from autoaug.train import MinibatchLoss, TrainingRun, train

IN_TRAINING = {name: row for name, row in MIXES.items() if isinstance(row(), TrainingMix)}
TASK = Task(data="digits:reduced=10", model="convnet", epochs=2, refine_epochs=1, batch_size=24, lr=0.1, device="cpu")
CHANCE = 1e-4


class TestEveryRow(TrainingMixTestCase):
    @pytest.fixture(params=IN_TRAINING.values(), ids=IN_TRAINING)
    def mix(self, request: pytest.FixtureRequest) -> Any:
        return request.param


@pytest.fixture(autouse=True)
def weights_of_the_test() -> Iterator[None]:
    """Layers that a test makes draw their weights from the global generator, which is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def data() -> Any:
    return TASK.load()


# Training


@pytest.mark.parametrize("name", IN_TRAINING)
def test_a_run_resumed_within_an_epoch_equals_the_whole_one_bit_for_bit(name: str, tmp_path: Path, data: Any) -> None:
    def run(seed: int = 0, **more: Any) -> list[Any]:
        mix: Any = build(name)
        return list(
            train(TASK, Fixed(ready.random_policy()), mix, None, Generator().manual_seed(seed), data=data, **more)
        )

    class AtSixth(Interruption):
        steps = 0

        def obey(self, save: Callable[[], object]) -> None:
            self.steps += 1
            if self.steps == 6:  # of four steps in an epoch
                save()
                raise KeyboardInterrupt

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=3600), interruption=AtSixth())
    rest = run(seed=99, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"]))
    assert 0 < len(rest) < 3
    for one, two in zip(rest, whole[-len(rest) :], strict=True):
        assert one.metrics == two.metrics


@pytest.mark.parametrize("name", IN_TRAINING)
def test_nothing_is_mixed_while_refining(name: str, data: Any) -> None:
    mix: Any = build(name)
    run = TrainingRun(TASK, Fixed(ready.none()), mix, None, Generator().manual_seed(0), data)
    images, targets = data.train.images[:8].float(), data.train.targets[:8]
    run.epoch = TASK.epochs + 1
    seen = run.augment(images, targets)
    assert torch.equal(seen.images, images)
    assert seen.hidden is None
    run.epoch = 1
    mixed = run.augment(images, targets)
    assert mixed.hidden or not torch.equal(mixed.images, images)


# Layers


def first_of(layer: str, seed: int = 0, **more: Any) -> tuple[Any, Mixed]:
    batch = training_batch(seed=seed, model=more.pop("model", None) or small_network().eval())
    mix: Any = build("manifold-mixup", layer=layer, **more)
    return batch, mix.mix_in_training(batch)


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("layer", ["0", "2", "2.1", "4", "4.2"])
def test_a_layer_is_mixed_as_by_hand(layer: str, per: str) -> None:
    """Cut the network in two at the layer: h = front(x), then back(λ h_i + (1 - λ) h_j); ranks 4 and 2."""
    batch, mixed = first_of(layer, alpha=1.0, per=per)
    assert mixed.hidden is not None
    assert mixed.images is batch.images
    entering: list[Tensor] = []
    target = batch.model.get_submodule(layer)
    handle = target.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    with mixed.hidden(batch.model):
        logits = batch.model(batch.images)
    batch.model(batch.images)
    handle.remove()
    clean = entering[1]  # the first hook of ours was registered before the blend, and saw it unmixed
    name, pair, weight = mixed.hidden.args  # type: ignore[attr-defined]
    assert name == layer
    assert len(weight) == (1 if per == "batch" else len(clean))
    by_hand = torch.stack([w * clean[i] + (1 - w) * clean[pair[i]] for i, w in enumerate(weight.expand(len(clean)))])

    def replaced(module: nn.Module, inputs: Any) -> Any:
        return (by_hand,)

    handle = target.register_forward_pre_hook(replaced)
    torch.testing.assert_close(logits, batch.model(batch.images))
    handle.remove()
    wanted = torch.stack(
        [w * batch.targets[i] + (1 - w) * batch.targets[pair[i]] for i, w in enumerate(weight.expand(16))]
    )
    torch.testing.assert_close(mixed.targets, wanted)


def test_at_the_images_it_is_mixup() -> None:
    batch, mixed = first_of("input", alpha=1.0)
    assert mixed.hidden is None
    flat, own = mixed.images.flatten(1), batch.images.flatten(1)
    for row, soft, x, y in zip(flat, mixed.targets, own, batch.targets, strict=True):
        fits = [
            (float(((row - x) @ (o - x)) / ((o - x) @ (o - x)).clamp_min(1e-9)), o, t)
            for o, t in zip(own, batch.targets, strict=True)
        ]
        residuals = [float((x + share * (o - x) - row).norm()) for share, o, _ in fits]
        share, _, other = fits[residuals.index(min(residuals))]
        assert min(residuals) < 1e-4
        torch.testing.assert_close(soft, (1 - share) * y + share * other, rtol=0, atol=1e-4)


def test_layers_are_drawn_alike_and_lambda_is_beta() -> None:
    rng, counts, lams = Generator().manual_seed(0), {"input": 0, "1": 0, "2": 0}, []
    batch = training_batch(rng=rng)
    mix: Any = build("manifold-mixup", layer="input+1+2", alpha=2.0)
    for _ in range(300):
        mixed = mix.mix_in_training(batch)
        counts[mixed.hidden.args[0] if mixed.hidden else "input"] += 1
        if mixed.hidden:
            lams += mixed.hidden.args[2].tolist()
    assert all(binomtest(count, 300, 1 / 3).pvalue > CHANCE for count in counts.values()), counts
    assert kstest(lams, "beta", args=(2.0, 2.0)).pvalue > CHANCE


def test_the_probability_is_the_share_of_samples() -> None:
    rng = Generator().manual_seed(0)
    batch = training_batch(rng=rng)
    mix: Any = build("manifold-mixup", layer="1", probability=0.3)
    mixed = [mix.mix_in_training(batch).hidden.args[2] < 1 for _ in range(60)]
    assert binomtest(int(torch.stack(mixed).sum()), 60 * 16, 0.3).pvalue > CHANCE


def test_alpha_has_the_gradient_of_finite_differences() -> None:
    """Draws of λ by the same seed move smoothly with α."""

    def loss(alpha: Any) -> Tensor:
        batch, mixed = first_of("2", alpha=alpha, model=small_network().eval())
        assert mixed.hidden is not None
        batch.model.double()
        with mixed.hidden(batch.model):
            return -(mixed.targets * batch.model(batch.images.double()).log_softmax(1)).sum(1).mean()

    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(alpha), alpha)
    step = 0.05
    assert gradient.item() == pytest.approx(
        ((loss(alpha + step) - loss(alpha - step)) / (2 * step)).item(), rel=0.1, abs=1e-3
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_usual_layers_and_goes_through_each_once(name: str) -> None:
    with torch.device("meta"):
        network = MODELS[name](10).eval()
        layers = usual_layers(network)
        assert layers[0] == "input"
        assert len(layers) == (2 if name in ("lenet-speech", "mlp") else 3), "those have two layers before the last"
        met: list[str] = []
        for layer in layers[1:]:
            network.get_submodule(layer).register_forward_pre_hook(lambda *_, layer=layer: met.append(layer))
        network(torch.rand(2, 3, 32, 32))
    assert met == list(layers[1:]), "each once, in order"


def test_usual_layers_of_other_networks() -> None:
    """A chain that holds its stages within one child, a perceptron, one stage, a lone layer."""
    inner = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)) for _ in range(4)))
    assert usual_layers(nn.Sequential(nn.Conv2d(3, 3, 1), inner, nn.Linear(3, 2))) == ("input", "1.1", "1.2")
    assert usual_layers(nn.Sequential(*(nn.Linear(3, 3) for _ in range(3)))) == ("input", "1")
    assert usual_layers(nn.Sequential(nn.Linear(3, 3))) == ("input", "0")
    assert usual_layers(nn.ReLU()) == ("input",)


def test_it_works_under_autocast_and_second_derivatives(data: Any) -> None:
    """The training loss of a run in bfloat16 and its gradient's gradient, through the hook."""
    task = replace(TASK, precision="bfloat16", model="wrn-10-1")
    mix: Any = build("manifold-mixup", layer="stage2")
    run = TrainingRun(task, Fixed(ready.none()), mix, None, Generator().manual_seed(0), data)
    run.epoch = 1
    seen = run.augment(data.train.images[:8].float(), data.train.targets[:8])
    weights = list(run.model.parameters())
    loss = MinibatchLoss(run, *seen).with_graph()
    first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), weights)
    assert loss.isfinite()
    assert all(each.isfinite().all() for each in second)


def test_a_layer_that_is_met_twice_or_never_or_with_other_rows_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never, self.rows = nn.Linear(192, 192), nn.Linear(1, 1), nn.Linear(192, 3)

        def forward(self, images: Tensor) -> Tensor:
            hidden = self.twice(self.twice(images.flatten(1)))
            return self.rows(hidden.repeat(2, 1))[: len(images)]

    for layer, message in {
        "twice": r"goes through 'twice' 2 times in a pass, and has to once: name another",
        "never": r"goes through 'never' 0 times",
        "rows": r"\[32, 192\] enters 'rows' for 16 samples",
    }.items():
        batch, mixed = first_of(layer, model=Odd())
        assert mixed.hidden is not None
        with pytest.raises(ValueError, match=message), mixed.hidden(batch.model):
            batch.model(batch.images)
        assert not batch.model.get_submodule(layer)._forward_pre_hooks


# Refusals, before any time is spent


def study(task: Task = TASK, **space: Any) -> Study:
    strategies = {"n": none().mixed("manifold-mixup")}
    return Study(name="x", task=task, space=space, strategies=strategies, budget=Budget(trials=2), seeds=1)


@pytest.mark.parametrize(
    ("task", "space", "message"),
    [
        ({"micro_batch": 8}, {}, r"meets a minibatch part by part: leave out Task.micro_batch"),
        ({"compile": True}, {}, r"a compiled one cannot be: leave out Task.compile"),
        ({}, {"mix.layer": ("input", "input+7+stage2")}, r"no layer 'stage2'.*\(tried: mix.layer='input\+7\+stage2'"),
        ({"model": "wrn-10-1"}, {"mix.layer": ("stage2", "stage22")}, r"'stage22': did you mean.*'stage2'"),
        ({}, {"mix.layer": ("auto", "in put")}, r"mix.layer is 'in put': use \"auto\", the name of a layer"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_the_preflight(task: Any, space: Any, message: str) -> None:
    dimensions = {name: CategoricalDistribution(choices) for name, choices in space.items()}
    with pytest.raises(ValueError, match=message):
        preflight(study(replace(TASK, **task), **dimensions))


def test_what_can_be_mixed_passes_the_preflight() -> None:
    preflight(
        study(**{"mix.layer": CategoricalDistribution(("auto", "input", "5+7")), "mix.alpha": FloatDistribution(0, 2)})
    )
    preflight(study(replace(TASK, micro_batch=8), **{"mix.layer": CategoricalDistribution(("input",))}))


@pytest.mark.parametrize("name", IN_TRAINING)
def test_loops_of_ones_own_are_told_what_works_instead(name: str) -> None:
    def loop(trial: Any) -> Any:
        raise AssertionError("it is refused before")

    own = Study(
        name="x",
        task=Task(data=None),
        strategies={"n": none().mixed(name)},
        budget=Budget(trials=1),
        seeds=1,
        train=loop,
    )
    with pytest.raises(ValueError, match="a loop of one's own does not tell: use a mix of batches, such as mixup"):
        preflight(own)


@pytest.mark.parametrize("name", IN_TRAINING)
def test_it_is_written_down_and_made_again(name: str) -> None:
    mix = build(name, alpha=0.7, probability=0.5)
    written = described(mix)
    assert build(written.pop("kind"), **written) == mix


def test_the_page_of_mixes_has_every_row() -> None:
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "mixes.md").read_text()
    assert set(MIXES) - {row for row in MIXES if f"\n| `{row}` |" in page} == set()
