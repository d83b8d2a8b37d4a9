"""How fast are policies? Two operations on every image, an independent draw for each.

On a CPU, one thread. Peers and ours take turns in one run; times are CPU time of the thread, numbers are medians.
What is timed, per image:

    autoaug              RandAugment(2, 9/30), bilinear, on a batch of 8-bit images, which come back as float32
    torchvision tensor   v2.RandAugment(2, 9) on each 8-bit image, and the stacking of the results. They stay in 8 bits:
                         the conversion to float is not timed. As by default, pixels move to the nearest place
    torchvision PIL      the same on images that are PIL's already; nothing is stacked
    kornia per image     RandAugment(2, 9) on each float image as a batch of one; two of 13, as it has no identity
    kornia per batch     on the float batch: one pair of operations for all images, which is less than the others do

All choose from the same 13 operations and the identity, and run without gradients. Images are smooth random fields. As
in a trainer, a step of WRN-28-2 was taken before: the large tensors it frees make the allocator keep memory, without
which every small tensor waits for fresh pages.

The differentiable part takes the gradient of selection, probabilities and strengths of 14 operations in two stages:
`Relaxed`, which runs one operation per image, against the sum of all operations weighted by the softmax of the
selection. The sum is written here, once with kornia's operations and once with ours: the second ratio is what the
estimator saves by itself, and cannot be much above the number of operations. The last part is the share of augmentation
in a training step.

What is left: a kernel in C++ that takes an image through all its operations while it is in the cache reached 51 to 55
times the speed of torchvision on 8-bit images of 32 pixels, and 5 to 6 times at 224 (a prototype, measured in a run of
its own: nearest pixels, no gradients, rounding that differs by one level). Here a batch costs some 550 calls into
PyTorch, twice as many with gradients, and each reads and writes the images that it concerns. To get there would take
compiled code: an extension with a wheel for each platform, or torch.compile, which wants a compiler wherever it runs
(Triton on a GPU), and a backward pass written by hand for each operation. What is had without: larger batches, over
which the calls spread; groups of images that are changed where the cache holds them, and 8 bits that become floats
there (`autoaug/policy/_execute.py`); derivatives that pass over a batch as seldom as they can
(`autoaug/policy/_passes.py`).

Run from the root of the checkout:

    python -m benchmarks.augment --quick
    python -m benchmarks.augment --write
    python -m benchmarks.augment --device cuda --write
"""

import argparse
import datetime
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import kornia
import PIL
import torch
import torchvision
from kornia.augmentation.auto import RandAugment
from kornia.augmentation.auto.rand_augment.rand_augment import default_policy
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
    equalize,
    normalize_min_max,
    posterize,
    sharpness,
    solarize,
)
from kornia.geometry.transform import rotate, shear, translate
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.transforms import v2

from autoaug.models import build
from autoaug.ops import OPS
from autoaug.policy import Fixed, Relaxed
from autoaug.policy._relaxed import GATE_TEMPERATURE
from autoaug.policy.ready import randaugment

GOALS = {(128, 32): 5, (1024, 32): 8, (64, 224): 1}
"""Batches: images and their size, and how many times torchvision's speed is wanted."""
GPU_BATCHES = ((1024, 32), (64, 224))
SUM_GOAL = 15
SAMPLE = 64
"""Images of a batch on which those are timed that go one by one."""
STEPS = (("convnet", 50, 1, 8), ("wrn-28-2", 128, 3, 32))
"""Network, batch, channels, size."""
OURS, PEER = "autoaug", "torchvision tensor"
FOREIGN = ("invert", "solarize_add")
"""Operations of kornia that the others have not."""
PEAK = 2**28
"""Floats of the copy that measures the bandwidth of a GPU."""

Call = Callable[[], object]
Operation = Callable[[Tensor, Tensor], Tensor]


def strengthless(name: str) -> Operation:
    return lambda images, _: OPS[name].function(images)


KORNIA: dict[str, Operation] = {
    "shear_x": lambda images, tangent: shear(images, torch.stack([tangent, 0 * tangent], 1)),
    "shear_y": lambda images, tangent: shear(images, torch.stack([0 * tangent, tangent], 1)),
    "translate_x": lambda images, share: translate(images, torch.stack([share * images.shape[3], 0 * share], 1)),
    "translate_y": lambda images, share: translate(images, torch.stack([0 * share, share * images.shape[2]], 1)),
    "rotate": rotate,
    "invert": lambda images, _: 1 - images,
    "auto_contrast": lambda images, _: normalize_min_max(images),
    "equalize": lambda images, _: images + (equalize(images.detach()) - images.detach()),
    "solarize": lambda images, share: solarize(images, 1 - share) + share.view(-1, 1, 1, 1),
    "color": lambda images, amount: adjust_saturation_with_gray_subtraction(images, 1 + amount),
    "posterize": lambda images, bits: images + (posterize(images.detach(), 8 - bits.round().int()) - images.detach()),
    "contrast": lambda images, amount: adjust_contrast_with_mean_subtraction(images, 1 + amount),
    "brightness": lambda images, amount: adjust_brightness_accumulative(images, 1 + amount),
    "sharpness": lambda images, amount: sharpness(images, 1 + amount),
}
"""Kornia's operations at physical amounts; straight-through where kornia has no gradient."""
OWN: dict[str, Operation] = {name: OPS[name].function if OPS[name].most else strengthless(name) for name in KORNIA}


def natural(batch: int, channels: int, size: int, device: str = "cpu") -> Tensor:
    """Smooth random fields in 8 bits, [batch, channels, size, size]."""
    coarse = torch.rand(batch, channels, size // 4, size // 4, generator=Generator().manual_seed(0))
    smooth = functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    return smooth.mul(255).round().byte().to(device)


def medians(calls: Mapping[str, Call], rounds: int, device: str = "cpu") -> dict[str, float]:
    """Seconds of each call. They take turns; a turn is two calls, of which the second is timed, as in a loop."""
    clock = gpu_seconds if device == "cuda" else cpu_seconds
    turns = [{name: clock(call) for name, call in calls.items()} for _ in range(rounds)]
    return {name: statistics.median(turn[name] for turn in turns) for name in calls}


def cpu_seconds(call: Call) -> float:
    call()
    start = time.thread_time()
    call()
    return time.thread_time() - start


def gpu_seconds(call: Call) -> float:
    """Between two events in the stream; where the GPU waits for the CPU, that counts."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    call()
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def ours(batch: Tensor) -> Call:
    policy, rng = Fixed(randaugment(2, 9 / 30)), Generator().manual_seed(1)
    return lambda: policy(batch, rng)


def contenders(batch: Tensor) -> dict[str, tuple[int, Call]]:
    """What is timed, and on how many images."""
    some = batch[:SAMPLE]
    floats, pictures = batch.float().div_(255), [v2.functional.to_pil_image(image) for image in some]
    nearest, bilinear = v2.RandAugment(2, 9), v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR)
    coloured = RandAugment(2, 9, policy=[rows for rows in default_policy if rows[0][0] not in FOREIGN])
    return {
        OURS: (len(batch), ours(batch)),
        PEER: (len(some), lambda: torch.stack([nearest(image) for image in some])),
        "torchvision tensor, bilinear": (len(some), lambda: torch.stack([bilinear(image) for image in some])),
        "torchvision PIL": (len(some), lambda: [nearest(picture) for picture in pictures]),
        "kornia per image": (len(some), lambda: torch.cat([coloured(image[None]) for image in floats[:SAMPLE]])),
        "kornia per batch": (len(batch), lambda: coloured(floats)),
    }


@torch.no_grad()
def per_image(batch: Tensor, rounds: int) -> dict[str, float]:
    """Median seconds per image of each contender."""
    found = contenders(batch)
    seconds = medians({name: call for name, (_, call) in found.items()}, rounds)
    return {name: seconds[name] / images for name, (images, _) in found.items()}


def speeds(rounds: int) -> str:
    columns = [per_image(natural(batch, 3, size), rounds) for batch, size in GOALS]
    rows = [
        [name, *(f"{1 / each[name]:,.0f} ({each[PEER] / each[name]:.2f})" for each in columns)] for name in columns[0]
    ]
    goals = [judged(each[PEER] / each[OURS], goal) for each, goal in zip(columns, GOALS.values(), strict=True)]
    return table(
        ["images/s (ratio)", *(f"{batch}×3×{size}×{size}" for batch, size in GOALS)], [*rows, ["goal", *goals]]
    )


def differentiable(rounds: int) -> str:
    columns = [gradients(natural(batch, 3, 32).float().div_(255), rounds) for batch in (128, 1024)]
    rows = [
        [name, *(f"{1 / each[name]:,.0f} (1/{each[name] / each['Relaxed']:.1f})" for each in columns)]
        for name in columns[0]
    ]
    goals = [judged(each["sum, kornia's operations"] / each["Relaxed"], SUM_GOAL) for each in columns]
    return table(["images/s, forward and backward", "128×3×32×32", "1024×3×32×32"], [*rows, ["goal", *goals]])


def gradients(images: Tensor, rounds: int) -> dict[str, float]:
    """Seconds per image of a forward and a backward pass to the three parameters."""
    policy, rng, slope = Relaxed(), Generator().manual_seed(1), torch.randn_like(images)

    def backward(augment: Callable[[], Tensor]) -> Call:
        return lambda: torch.autograd.grad(augment(), list(policy.parameters()), slope)

    calls = {
        "Relaxed": backward(lambda: policy.relaxed(images, rng)),
        "sum, kornia's operations": backward(lambda: summed(policy, KORNIA, images, rng)),
        "sum, our operations": backward(lambda: summed(policy, OWN, images, rng)),
    }
    return {name: seconds / len(images) for name, seconds in medians(calls, rounds).items()}


def summed(policy: Relaxed, table: Mapping[str, Operation], images: Tensor, rng: Generator) -> Tensor:
    """Every operation on every image; each image has its own relaxed gates and selection, as in `Relaxed`."""
    for stage in range(len(policy.selection)):
        noise = torch.rand(3, len(images), len(policy.ops), generator=rng)
        gumbel, logistic = -(-noise[0].log()).log(), noise[1].logit()
        weights = ((policy.selection[stage] + gumbel) / policy.temperature).softmax(1)
        weights = weights * ((policy.probability[stage] + logistic) / GATE_TEMPERATURE).sigmoid()
        signs = 1 - 2 * (policy.signed & (noise[2] < 0.5)).float()
        amounts = policy.strength[stage].sigmoid() * signs * torch.tensor([op.most or 0.0 for op in policy.ops])
        columns = zip(policy.ops, weights.unbind(1), amounts.unbind(1), strict=True)
        changed = [weight.view(-1, 1, 1, 1) * table[op.name](images, amount) for op, weight, amount in columns]
        images = torch.stack(changed).sum(0) + (1 - weights.sum(1)).view(-1, 1, 1, 1) * images
    return images


def shares(rounds: int, device: str) -> str:
    heading = ["", "augmentation, ms", "training step, ms", "share of both together"]
    return table(heading, [share(*setting, rounds, device) for setting in STEPS])


def share(model: str, batch: int, channels: int, size: int, rounds: int, device: str) -> list[str]:
    images = natural(batch, channels, size, device)
    calls = {"augmentation": ours(images), "step": training_step(model, images)}
    augmentation, step = medians(calls, rounds, device).values()
    cells = [f"{1000 * augmentation:.2f}", f"{1000 * step:.1f}", f"{augmentation / (augmentation + step):.1%}"]
    return [f"{model}, {batch}×{channels}×{size}×{size}", *cells]


def training_step(model: str, images: Tensor) -> Call:
    """Forward, backward and SGD with momentum, on images without augmentation."""
    net = build(model, 10, images.shape[1], Generator().manual_seed(0)).to(images.device)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    floats, labels = images.float().div_(255), torch.arange(len(images), device=images.device) % 10

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(net(floats), labels).backward()
        optimiser.step()

    return step


def gpu_speeds(rounds: int) -> str:
    """Images per second, and how close that is to the memory's limit.

    A float image of n bytes costs at least n for writing it and n / 4 for reading its 8 bits, and each of the two
    stages reads and writes it: 5.25 n. The peak is that of a copy in the same run.
    """
    one, other = torch.empty(PEAK, device="cuda"), torch.empty(PEAK, device="cuda")
    peak = 2 * one.nbytes / medians({"copy": lambda: one.copy_(other)}, rounds, "cuda")["copy"]
    rows = [gpu_speed(batch, size, peak, rounds) for batch, size in GPU_BATCHES]
    return table(["", "images/s", "GB/s", f"of a copy's {peak / 1e9:,.0f} GB/s"], rows)


def gpu_speed(batch: int, size: int, peak: float, rounds: int) -> list[str]:
    images = natural(batch, 3, size, "cuda")
    seconds = medians({OURS: ours(images)}, rounds, "cuda")[OURS]
    speed = 5.25 * 4 * images.numel() / seconds
    return [f"{batch}×3×{size}×{size}", f"{batch / seconds:,.0f}", f"{speed / 1e9:,.1f}", f"{speed / peak:.1%}"]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def judged(ratio: float, goal: float) -> str:
    return f"≥ {goal}: {'reached' if ratio >= goal else 'missed'}"


def environment(device: str) -> str:
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (torch, torchvision, kornia, PIL))
    where = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, {torch.get_num_threads()} thread"
    load = f"{os.getloadavg()[0]:.1f} processes waited for {os.cpu_count()} cores"
    return f"{where}. {versions}, Python {platform.python_version()}. {datetime.date.today()}, {load}."


def processor() -> str:
    """The name of the CPU: Linux keeps it in a file, elsewhere the platform knows more or less."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(device: str, rounds: int) -> str:
    few = max(1, rounds // 4)
    training_step(*STEPS[1][:1], natural(*STEPS[1][1:], device))()
    if device == "cuda":
        parts = [gpu_speeds(rounds), shares(rounds, device)]
    else:
        parts = [speeds(rounds), differentiable(few), shares(few, device)]
    about = f"{environment(device)} Medians of {rounds} turns; of {few} below the first table on a CPU."
    return "\n\n".join(["# Speed of policies", about, "What is timed: see `benchmarks/augment.py`.", *parts]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="4 turns instead of 16")
    parser.add_argument("--write", action="store_true", help="into benchmarks/results/augment-<device>.md")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("once")
    text = report(chosen.device, 4 if chosen.quick else 16)
    print(text)
    if chosen.write:
        (Path(__file__).parent / "results" / f"augment-{chosen.device}.md").write_text(text)


if __name__ == "__main__":
    main()
