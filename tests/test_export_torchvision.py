"""Exports to torchvision: the standalone file and the transform against the policy itself, in pixels and in law."""

import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from policies_for_tests import EVERYTHING, READY
from scipy.stats import binomtest, chisquare, kstest
from torch import Generator, Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from autoaug.export import _standalone as standalone
from autoaug.export import export, to_torchvision
from autoaug.ops import OPS, Op
from autoaug.policy import Fixed, PolicyTree, apply, choice, op_masses, policy_tree, schedule, sequence
from autoaug.policy._compiled import draw
from autoaug.policy._execute import execute
from autoaug.testing import eight_bit, photographs


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Transforms seed themselves as the process is seeded. They must not move its generator."""
    standalone.generator.cache_clear()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = torch.random.get_rng_state()
        yield
        assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def load(tmp_path: Path) -> Callable[[PolicyTree], ModuleType]:
    """Exports a tree to a file of torchvision and imports it under a name of its own."""
    count = iter(range(1000))

    def load(tree: PolicyTree) -> ModuleType:
        path = tmp_path / f"exported_{next(count)}.py"
        path.write_text(export(tree, "torchvision").text)
        spec = spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module

    return load


def step(module: ModuleType, op: Op, amount: float, seed: int) -> Any:
    """One operation with its arguments, as the exported file draws them."""
    arguments = () if op.most is None else (amount, seed) if op.random else (amount,)
    return module.DrawnOp(getattr(module, op.name), arguments)


# ---- the standalone file: pixels ----


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 17, 24), (3, 9, 2)], ids=str)
@pytest.mark.parametrize("name", OPS)
def test_every_operation_equals_ours_on_every_pixel(name: str, shape: tuple[int, int, int], load: Any) -> None:
    module, op = load(policy_tree(apply(name))), OPS[name]
    levels = eight_bit(photographs(2, *shape))
    for strength in (0.0, 0.013, 0.3, 0.61, 1.0, -0.37, -1.0) if op.signed else (0.0, 0.013, 0.3, 0.61, 1.0):
        for level in levels:
            steps = [[step(module, op, strength * (op.most or 0), seed=5)]]
            ours = op(level[None].float() / 255, torch.tensor([strength]), Generator().manual_seed(5))[0]
            floats = module.Policy().transform(level.float() / 255, {"steps": steps})
            torch.testing.assert_close(floats, ours, atol=2e-4, rtol=0)
            bytes_ = module.Policy().transform(level, {"steps": steps})
            assert (bytes_ - 255 * ours).abs().max() < 0.55  # it rounds to the nearest level


@pytest.mark.parametrize("name", ["randaugment", "uniformaugment", "autoaugment_imagenet"])
def test_a_policy_does_what_ours_does_with_the_same_draws(name: str, load: Any, rng: Generator) -> None:
    module, plan = load(READY[name]), Fixed(READY[name]).compiled(torch.device("cpu"))
    ops = [op for op in plan.ops if not op.random]
    images = eight_bit(photographs(60))
    draws = draw(plan, len(images), rng)
    draws = draws._replace(bucket=draws.bucket.where(draws.bucket <= len(ops), 0))

    def steps_of(buckets: list[int], strengths: list[float]) -> list[Any]:
        met = [(ops[bucket - 1], strength) for bucket, strength in zip(buckets, strengths, strict=True) if bucket]
        return [step(module, op, strength * (op.most or 0), 0) for op, strength in met]

    steps = list(map(steps_of, draws.bucket.T.tolist(), draws.strength.T.tolist()))
    theirs = module.Policy().transform(images, {"steps": steps})
    ours = execute(plan.ops, images.float() / 255, draws, rng)
    off = (theirs - 255 * ours).abs()
    assert (off > 0.55).float().mean() < 1e-3  # where rounding falls to the other side, equalize can make it visible
    assert off.median() < 0.5


def test_amounts_beyond_the_usual_ranges_are_ours_too(load: Any) -> None:
    images = photographs()
    for name, most in {"brightness": 3.0, "color": 2.0, "contrast": 2.5, "sharpness": 5.0, "hue": 1.7, "solarize": 2.0,
                       "posterize": 12.0, "saturation": 4.0}.items():  # fmt: skip
        for strength in (1.0, -1.0) if OPS[name].signed else (1.0,):
            tree = policy_tree(apply(name, strength, mirror=False, most=most))
            theirs, ours = load(tree).Policy()(images), Fixed(tree)(images, Generator())
            torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


# ---- the standalone file and the transform: law ----

TELLING = policy_tree(
    choice(
        [
            (3.0, apply("invert", probability=0.5)),
            (1.0, apply("hflip")),
            (0.0, apply("rotate")),
            (2.0, sequence([apply("vflip"), apply("invert")])),
            (4.0, choice([(1.0, sequence()), (1.0, sequence([apply("hflip"), apply("vflip")]))])),
        ]
    )
)
EXPECTED = {"same": 0.35, "invert": 0.15, "hflip": 0.1, "vflip+invert": 0.2, "hflip+vflip": 0.2}


def classify(image: Tensor) -> str:
    """Which outcome of TELLING made this of a dark image whose top left pixel is 40."""
    inverted = bool(image.max() > 200)
    row, column = divmod(int((image != image.median()).flatten(-2)[0].nonzero()[0]), image.shape[-1])
    flips = [name for name, moved in (("hflip", column > 0), ("vflip", row > 0)) if moved]
    return "+".join([*flips, *["invert"] * inverted]) or "same"


def dark(*leading: int) -> Tensor:
    image = torch.zeros(*leading, 1, 3, 3, dtype=torch.uint8)
    image[..., 0, 0] = 40
    return image


MAKERS: dict[str, Callable[[PolicyTree, Any], Any]] = {
    "file": lambda tree, load: load(tree).Policy(),
    "transform": lambda tree, load: to_torchvision(tree),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, load: Any) -> Callable[[PolicyTree], Any]:
    return lambda tree: MAKERS[request.param](tree, load)


@pytest.mark.parametrize("alone", [True, False], ids=["one image", "a batch"])
def test_outcomes_have_the_frequencies_of_the_policy(alone: bool, make: Any) -> None:
    policy, total = make(TELLING), 1500
    images = [policy(dark()) for _ in range(total)] if alone else policy(dark(total))
    counts = Counter(map(classify, images))
    assert set(counts) <= set(EXPECTED)
    observed = [counts[name] for name in EXPECTED]
    assert chisquare(observed, [total * share for share in EXPECTED.values()]).pvalue > 1e-4


@pytest.mark.parametrize("name", READY)
def test_the_file_applies_each_operation_as_often_as_the_policy(name: str, load: Any) -> None:
    module, total = load(READY[name]), 800
    steps = module.Policy().make_params([dark(total)])["steps"]
    counts = Counter(each.operation.__name__ for image in steps for each in image)
    stages = max(map(len, steps), default=0)
    for op, mass in op_masses(READY[name]).items():
        chance = min(mass / max(stages, 1), 1.0)
        spread = binomtest(counts[op], total * max(stages, 1), chance).pvalue
        assert spread > 1e-6, f"{op}: {counts[op]} of {total}, expected {mass * total:g}"


def test_amounts_are_uniform_and_signs_fair(load: Any) -> None:
    module = load(policy_tree(apply("rotate", (0.2, 0.8))))
    steps = module.Policy().make_params([dark(3000)])["steps"]
    amounts = torch.tensor([each.arguments[0] for image in steps for each in image])
    assert kstest(amounts.abs().numpy(), "uniform", (6, 18)).pvalue > 1e-4
    assert binomtest(int((amounts < 0).sum()), 3000).pvalue > 1e-4


def test_brightness_is_drawn_uniformly_for_each_image(make: Any) -> None:
    grey = torch.full((2000, 1, 2, 2), 0.4)
    factors = make(policy_tree(apply("brightness", (0.0, 1.0))))(grey)[:, 0, 0, 0] / 0.4
    assert kstest(factors.numpy(), "uniform", (0.1, 1.8)).pvalue > 1e-4


def test_random_operations_draw_for_each_image(make: Any) -> None:
    ones = torch.ones(200, 1, 8, 8)
    for name in ("cutout", "crop", "gaussian_noise"):
        policy = make(policy_tree(apply(name)))
        assert len(policy(ones).flatten(1).unique(dim=0)) >= 9  # a crop has 3 x 3 places
        assert len({tuple(policy(ones[0]).flatten().tolist()) for _ in range(20)}) > 2


# ---- what they take ----


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_tensors_keep_their_shape_and_type(dtype: torch.dtype, leading: tuple[int, ...], make: Any) -> None:
    images = F.to_dtype(photographs(1, height=8, width=11)[0].expand(*leading, 3, 8, 11), dtype, scale=True)
    before = images.clone()
    out = make(EVERYTHING)(images)
    assert (out.shape, out.dtype, type(out)) == (images.shape, dtype, Tensor)
    assert torch.equal(images, before)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_stay_pictures(mode: str, make: Any) -> None:
    picture = F.to_pil_image(photographs(1)[0]).convert(mode)
    out = make(policy_tree(apply("invert")))(picture)
    assert isinstance(out, Image.Image)
    assert (out.mode, out.size) == (picture.mode, picture.size)
    assert torch.equal(F.pil_to_tensor(out), 255 - F.pil_to_tensor(picture))


def test_images_that_meet_nothing_are_untouched_to_the_last_bit(make: Any) -> None:
    every_level = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    for tree in (policy_tree(sequence()), policy_tree(apply("rotate", probability=0.0))):
        assert torch.equal(make(tree)(every_level), every_level)
        assert torch.equal(make(tree)(photographs()), photographs())


def test_a_sample_passes_whole(make: Any) -> None:
    invert = make(policy_tree(apply("invert")))
    image, label, more = invert((photographs(1)[0], torch.tensor(3), {"id": "a"}))
    assert torch.equal(image, 1 - photographs(1)[0])
    assert (label, more) == (torch.tensor(3), {"id": "a"})
    wrapped = invert({"image": tv_tensors.Image(photographs(1)[0]), "label": 3})
    assert isinstance(wrapped["image"], tv_tensors.Image)


def test_inputs_that_go_together_share_their_draws(make: Any) -> None:
    policy = make(policy_tree(apply("rotate", (0.0, 1.0))))
    left, right = tv_tensors.Image(photographs(4)), tv_tensors.Image(photographs(4))
    one, two = policy(left, right)
    assert torch.equal(one, two)
    assert not torch.equal(one[0], policy(left)[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((Image.new("RGBA", (4, 4)),), "mode RGBA: convert it to RGB or L"),
        ((torch.zeros(3, 4, 4, dtype=torch.int64),), "torch.int64 .3, 4, 4.: give uint8, or floats"),
        ((torch.zeros(4, 4),), "give uint8, or floats"),
        ((torch.zeros(4, 4, 4),), "of shape .*1 or 3, H, W"),
        ((tv_tensors.Image(torch.zeros(3, 4, 4)), tv_tensors.Mask(torch.zeros(4, 4))), "Mask would not follow"),
        (
            (tv_tensors.Image(torch.zeros(2, 3, 4, 4)), tv_tensors.Image(torch.zeros(3, 4, 4))),
            "batches of .1, 2. images",
        ),
    ],
    ids=["RGBA", "int64", "two dimensions", "four channels", "mask", "two batches"],
)
def test_what_cannot_be_augmented_is_refused(inputs: tuple[Any, ...], message: str, make: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(policy_tree(apply("rotate")))(*inputs)


def test_a_schedule_follows_the_epoch(make: Any) -> None:
    policy = make(policy_tree(schedule([(1, sequence()), (3, apply("invert")), (9, apply("hflip"))])))
    images = photographs()
    wanted = {1: images, 2: images, 3: 1 - images, 8: 1 - images, 9: images.flip(3), 99: images.flip(3)}
    for epoch, expected in wanted.items():
        policy.at(epoch)
        assert torch.equal(policy(images), expected)
    with pytest.raises(ValueError, match="epochs count from 1"):
        policy.at(0)


def test_a_transform_made_of_a_policy_stands_at_its_epoch() -> None:
    policy = Fixed(policy_tree(schedule([(1, sequence()), (3, apply("invert"))])), compose=True)
    policy.at(3)
    transform = to_torchvision(policy)
    assert torch.equal(transform(photographs()), 1 - photographs())
    assert transform.policy.compose


# ---- randomness and processes ----


def test_a_seed_has_one_generator_and_another_seed_begins_anew() -> None:
    first = standalone.generator(1)
    assert standalone.generator(1) is first
    numbers, more = torch.rand(4, generator=first), torch.rand(4, generator=first)
    other, again = (torch.rand(4, generator=standalone.generator(seed)) for seed in (2, 1))
    assert torch.equal(numbers, again)
    assert not torch.equal(numbers, more)
    assert not torch.equal(numbers, other)
    assert not torch.equal(numbers, torch.rand(4, generator=Generator().manual_seed(1)))  # not torch's own numbers


def test_a_seed_repeats_a_run(make: Any) -> None:
    policy, images = make(READY["randaugment"]), photographs(8)
    with torch.random.fork_rng():
        out = []
        for seed in (1, 2, 1):
            torch.manual_seed(seed)
            out.append(policy(images))
    assert torch.equal(out[0], out[2])
    assert not torch.equal(out[0], out[1])


def test_they_can_be_pickled(make: Any) -> None:
    policy = make(policy_tree(schedule([(1, sequence()), (2, EVERYTHING.root)])))
    policy.at(2)
    copy = pickle.loads(pickle.dumps(policy))
    assert copy(photographs()).shape == photographs().shape
    assert copy.at(1) is None


class Pictures(torch.utils.data.Dataset[Tensor]):
    """The same picture many times, augmented."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.transform(torch.full((1, 4, 4), 100, dtype=torch.uint8))
        return image


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # said where there is one core
def test_workers_of_a_data_loader_draw_differently(rng: Generator) -> None:
    data = Pictures(to_torchvision(policy_tree(apply("brightness", (0.0, 1.0)))))
    data.transform(torch.zeros(1, 4, 4))  # the generator of this process exists before the workers are forked
    first, second = (torch.cat(list(DataLoader(data, 6, num_workers=2, generator=rng)))[:, 0, 0, 0] for _ in range(2))
    halves = [first[:6], first[6:12], second[:6], second[6:12]]  # by worker 1, by worker 2, and in the next epoch
    assert len({tuple(half.tolist()) for half in halves}) == 4


SCRIPT = """
    import sys

    class NoAutoaug:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "autoaug":
                raise ImportError("autoaug is not here")

    sys.meta_path.insert(0, NoAutoaug())
    sys.path.insert(0, {folder!r})
    try:
        import autoaug
    except ImportError:
        pass
    else:
        raise SystemExit("autoaug could be imported")

    import torch
    from torch.utils.data import DataLoader, Dataset
    from policy_of_a_study import Policy

    class Pictures(Dataset):
        transform = Policy()

        def __len__(self):
            return 64

        def __getitem__(self, index):
            image = torch.linspace(0, 1, 3 * 16 * 16).view(3, 16, 16)
            return self.transform((image.mul(255).byte(), index))

    torch.set_num_threads(1)
    epochs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        batches = list(DataLoader(Pictures(), batch_size=8, num_workers=2))
        assert torch.cat([labels for _, labels in batches]).tolist() == list(range(64))
        epochs.append(torch.cat([images for images, _ in batches]))
    assert torch.equal(epochs[0], epochs[1]), "a seed does not repeat a run"
    assert not torch.equal(epochs[0], epochs[2]), "another seed changes nothing"
    first, second = epochs[0].unflatten(0, (4, 2, 8)).transpose(0, 1)
    assert not torch.equal(first, second), "two workers draw the same"
    assert len(epochs[0].flatten(1).unique(dim=0)) > 30
    assert not any(name.partition(".")[0] == "autoaug" for name in sys.modules)
    print("done without autoaug")
"""


def test_the_file_serves_a_data_loader_where_autoaug_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "policy_of_a_study.py").write_text(export(READY["randaugment"], "torchvision").text)
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT.format(folder=str(tmp_path))))
    command = [sys.executable, "-I", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "done without autoaug\n", done.stderr
