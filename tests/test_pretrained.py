"""Networks of torchvision and timm, and weights from files: what fits, what is drawn, what is refused by its layers."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.data import Source, Split
from autoaug.mixing import MIXES
from autoaug.models import MODELS, build, head_of, is_file, names_of, normalisation, save_weights
from autoaug.models._weights import read_weights
from autoaug.policy import Fixed, policy_tree, sequence
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.train import TrainingRun

TV, TIMM = "torchvision:shufflenet_v2_x0_5", "timm:test_resnet"
"""The smallest networks of both."""


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def saved(tmp_path: Path, model: Any, classes: int = 5, channels: int = 3, **figures: Any) -> tuple[nn.Module, str]:
    """A network and the file of its weights; none of its numbers is what drawing would give."""
    network, path = build(model, classes, channels, seeded(7)), str(tmp_path / "weights.safetensors")
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=seeded(8)) / 8)
    save_weights(network, path, **figures)
    return network, path


def same(one: nn.Module, other: nn.Module, names: Any) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in names)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", [TV, TIMM])
def test_a_network_of_another_library_has_its_head_and_stem(model: str, channels: int, rng: Generator) -> None:
    network = build(model, 7, channels, rng).eval()
    assert network(torch.rand(2, channels, 64, 64, generator=rng)).shape == (2, 7)
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    again = build(model, 7, channels, seeded())
    assert same(network, again, network.state_dict()), "the weights follow from the generator alone"


@pytest.mark.parametrize("model", ["convnet", "resnet-8", TV, TIMM, lambda classes: MODELS["convnet"](classes)])
def test_weights_of_a_file_are_the_networks_and_only_a_head_for_other_classes_is_drawn(
    model: Any, tmp_path: Path
) -> None:
    network, path = saved(tmp_path, model)
    names = set(network.state_dict())
    assert same(build(model, 5, 3, seeded(1), path), network, names)
    other, drawn = build(model, 2, 3, seeded(1), path), build(model, 2, 3, seeded(1))
    head = {name for name in names if name.startswith(f"{head_of(network)}.")}
    assert len(head) == 2
    assert same(other, network, names - head)
    assert same(other, drawn, head)
    assert not same(other, drawn, names - head)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_of_torch_are_read(wrap: Callable[[Any], Any], prefix: str, tmp_path: Path) -> None:
    network = build("convnet", 5, 3, seeded(3))
    torch.save(wrap({prefix + name: value for name, value in network.state_dict().items()}), tmp_path / "net.pt")
    assert same(build("convnet", 5, 3, seeded(1), str(tmp_path / "net.pt")), network, network.state_dict())


@pytest.mark.parametrize("model", ["convnet", TV, TIMM])
def test_weights_for_colour_see_a_grey_image_three_times(model: str, tmp_path: Path) -> None:
    colour, path = saved(tmp_path, model)
    grey = build(model, 5, 1, seeded(1), path)
    images = torch.rand(2, 1, 64, 64, generator=seeded(2))
    expected = colour.double().eval()(images.double().expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey.double().eval()(images.double()), expected, rtol=1e-6, atol=1e-6)


def changed(state: dict[str, Tensor], name: str, value: Tensor | None) -> dict[str, Tensor]:
    """A state dict in which one tensor is another, or missing for None."""
    return {**{key: each for key, each in state.items() if key != name}, **({} if value is None else {name: value})}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("0.weight", None, r"they have: missing: 0\.weight\. Give"),
        ("extra.weight", torch.ones(3), r"they have: unknown: extra\.weight\. Give"),
        ("0.weight", torch.ones(16, 3, 5, 5), r"shape: 0\.weight \(16x3x5x5, the network has 16x3x3x3\)\. Give"),
        ("11.bias", None, r"missing: 11\.bias\. Give"),
    ],
)
def test_other_weights_are_refused_by_the_layers(
    name: str, value: Tensor | None, message: str, tmp_path: Path, rng: Generator
) -> None:
    network = build("convnet", 5, 3, rng)
    path = tmp_path / "weights.safetensors"
    save_file(changed(network.state_dict(), name, value), path)
    with pytest.raises(ValueError, match=r"weights '.*weights.safetensors' do not fit Sequential, .*" + message):
        build("convnet", 5, 3, rng, str(path))


def test_weights_of_another_network_are_refused_before_a_study_runs(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "resnet-8", channels=1)
    task = Task(data="digits", model="convnet", epochs=1, batch_size=50, weights=path, device="cpu")
    study = Study(name="s", task=task, strategies={"none": none()}, budget=Budget(trials=1))
    with pytest.raises(ValueError, match=r"strategy 'none' .*do not fit Sequential, 0 of whose .* and \d+ more"):
        preflight(study)


def test_old_files_lack_the_count_of_batches(tmp_path: Path, rng: Generator) -> None:
    network = build("resnet-8", 5, 3, seeded(3))
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")
    assert same(build("resnet-8", 5, 3, rng, str(tmp_path / "old.pth")), network, state)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code of a file runs",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file of weights at .*seen from"),
        (b"nothing", r"cannot be read \(.*give a .safetensors file, or a state dict"),
        ({"code": Evil()}, "cannot be read"),
        ({"epoch": 3}, r"hold no tensors by name \(epoch\): save"),
        ([1], r"hold no tensors by name \(list\)"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_weights(str(path))
    assert "runs" not in capsys.readouterr().out


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "convnet")
    Path(path).write_bytes(Path(path).read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"weights .* cannot be read \(SafetensorError"):
        build("convnet", 5, 3, seeded(), path)


# Mean and deviation


def test_images_are_normalised_as_those_of_the_weights_were(tmp_path: Path) -> None:
    given = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    _, path = saved(tmp_path, "convnet", **given)
    assert normalisation("convnet", path, 3) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert normalisation(TIMM, path, 3) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert normalisation("convnet", path, 1) == ((pytest.approx(0.2),), (pytest.approx(0.5),))
    assert normalisation("convnet", None, 3) is None


def test_without_figures_in_the_file_it_is_as_the_library_says(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "convnet")
    assert normalisation("convnet", path, 3) is None
    assert normalisation("torchvision:resnet50", path, 3) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalisation("torchvision:resnet50", "IMAGENET1K_V2", 3) == normalisation("torchvision:resnet50", path, 3)
    assert normalisation("timm:vit_tiny_patch16_224", path, 3) == ((0.5,) * 3, (0.5,) * 3)
    assert normalisation("timm:vit_tiny_patch16_224", "pretrained", 1) == ((0.5,), (0.5,))


def digits_in_colour(root: Path) -> Source:
    rng = seeded(1)
    images, targets = torch.rand(60, 3, 16, 16, generator=rng), torch.arange(60) % 3
    return Source(
        train=Split(images[:40], targets[:40]), val=Split(images[40:], targets[40:]), test=None, classes=("a", "b", "c")
    )


COLOUR = Task(data=digits_in_colour, model="convnet", epochs=2, batch_size=20, device="cpu")


def running(task: Task) -> TrainingRun:
    """A training under way that augments nothing."""
    return TrainingRun(task, Fixed(policy_tree(sequence())), MIXES["none"](), None, seeded(), task.load())


def test_a_training_normalises_by_them_and_writes_them_with_its_weights(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "convnet", mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    run = running(replace(COLOUR, weights=path))
    assert run.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert run.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    run.save_weights(tmp_path / "after.safetensors")
    again = running(replace(COLOUR, weights=tmp_path / "after.safetensors"))
    assert again.mean.tolist() == run.mean.tolist()
    assert same(again.model, run.model, run.model.state_dict())
    plain = running(COLOUR)
    assert plain.mean.flatten().tolist() == pytest.approx(list(plain.data.mean))


def test_writing_weights_changes_nothing_and_asks_for_both_figures(tmp_path: Path) -> None:
    network = build("convnet", 3, 3, seeded()).to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_weights(network, tmp_path / "new" / "a.safetensors")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert all(
        torch.equal(value, before[name]) for name, value in load_file(tmp_path / "new" / "a.safetensors").items()
    )
    with pytest.raises(ValueError, match=r"not to '.*a.pt': give a path that ends so"):
        save_weights(network, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="needs mean and std, or neither"):
        save_weights(network, tmp_path / "a.safetensors", mean=[0.5] * 3)


# Names


REFUSED: list[tuple[Any, str | None, str]] = [
    ("torchvision:resnet51", None, r"unknown model of torchvision 'resnet51': did you mean .*'resnet50'"),
    ("torchvision:googlenet", None, "gives three sets of logits while it trains: take timm:"),
    ("torchvision:resnet50", "IMAGENET1K_V3", r"unknown weights of torchvision:resnet50 'IMAGENET1K_V3': did you mean"),
    ("timm:resnet19", None, r"unknown model of timm 'resnet19': did you mean .*'resnet18'"),
    ("timm:resnet18", "a9_in1k", r"unknown weights 'a9_in1k' of timm:resnet18: did you mean .*'a1_in1k'"),
    ("timm:resnet18.a9_in1k", "pretrained", r"unknown weights 'a9_in1k' of timm:resnet18"),
    ("timm:resnet18.a1_in1k", "a2_in1k", "names the weights 'a1_in1k', and weights are 'a2_in1k': keep one"),
    ("timm:deit_tiny_distilled_patch16_224", None, "gives a tuple that is no layer of the network"),
]


@pytest.mark.parametrize(("model", "weights", "message"), REFUSED)
def test_an_unknown_name_proposes_near_ones(model: str, weights: str | None, message: str, rng: Generator) -> None:
    with pytest.raises(ValueError, match=message):
        build(model, 5, 3, rng, weights)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "torchvison:resnet50"}, r"unknown library in model 'torchvison:resnet50', .*did you mean 'torchv"),
        ({"model": "convnet", "weights": "DEFAULT"}, r"weights 'DEFAULT' are no file, and only models of torchvision"),
        ({"weights": 5}, r"^Task.weights is 5: give the name of weights, or the path of a file of them, or None$"),
    ],
)
def test_a_task_refuses_what_can_be_seen_without_a_network(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(COLOUR, **fields)


def test_a_path_of_weights_stays_one_and_is_anchored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = replace(COLOUR, weights=Path("DEFAULT"))
    assert is_file(str(task.weights))
    assert task.anchored().weights == str(tmp_path / "DEFAULT")
    named = replace(COLOUR, model=TV, weights="DEFAULT")
    assert named.anchored().weights == "DEFAULT"


# Downloads


def test_weights_in_the_folder_of_torch_hub_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real call of torchvision, which finds a file that the test wrote where a download would lie."""
    from torchvision.models import get_model_weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = build(TV, 1000, 3, seeded(5))
    url = get_model_weights(TV.partition(":")[2]).DEFAULT.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / url.rpartition("/")[2])
    found = build(TV, 3, 3, seeded(1), "IMAGENET1K_V1")
    assert same(found, network, [name for name in network.state_dict() if not name.startswith("fc.")])


def test_a_download_of_torchvision_that_fails_says_where_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    place = f"{tmp_path}/hub/checkpoints/shufflenetv2_x0.5-"
    with pytest.raises(ValueError, match=rf"cannot be downloaded \(no route\): fetch https://.* put it to {place}"):
        build(TV, 3, 3, seeded(), "DEFAULT")


def test_a_download_of_timm_that_fails_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    caplog.set_level(logging.CRITICAL)
    message = r"weights of timm:test_resnet cannot be downloaded \(.*fetch model.safetensors of https://huggingface.co/"
    with pytest.raises(ValueError, match=message):
        build(TIMM, 3, 3, seeded(), "pretrained")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ValueError, match=r"need timm: pip install 'autoaug\[timm\]'"):
        build(TIMM, 3, 3, seeded())


# Parts


def tops(network: nn.Module, part: Any) -> set[str]:
    """The modules whose parameters a part holds, without the last word of each name."""
    return {name.rpartition(".")[0] for name in names_of(network, part)}


@pytest.mark.parametrize(
    ("model", "head", "block"),
    [
        ("convnet", "11", ("7", "8")),
        ("wrn-10-1", "head.1.2", ("stage3.0", "head.0")),
        ("resnet-18", "fc", ("layer4.1",)),
        ("torchvision:vit_b_16", "heads.head", ("encoder.layers.encoder_layer_11", "encoder.ln")),
        ("torchvision:convnext_tiny", "classifier.2", ("features.7.2", "classifier.0")),
        ("torchvision:squeezenet1_1", "classifier.1", ("features.12",)),
        ("timm:test_vit", "head", ("blocks.5", "norm")),
        ("timm:resnetv2_50", "head.fc", ("stages.3.blocks.2", "norm")),
    ],
)
def test_head_and_last_block(model: str, head: str, block: tuple[str, ...]) -> None:
    with torch.device("meta"):
        if ":" in model:
            from autoaug.models import LIBRARIES

            library, _, name = model.partition(":")
            network = LIBRARIES[library].network(name, 5, 3, None)
        else:
            network = MODELS[model](5)
    assert head_of(network) == head
    assert tops(network, "head") == {head}
    assert names_of(network, "all") == {name for name, _ in network.named_parameters()}
    found = tops(network, "last-block") - {head}
    assert found
    assert all(any(name == each or name.startswith(f"{each}.") for each in block) for name in found)
    assert all(any(name == each or name.startswith(f"{each}.") for name in found) for each in block)


def test_a_network_without_layers_has_no_head_that_is_known() -> None:
    with pytest.raises(ValueError, match="no linear layer and no convolution, so that its head is not known: give"):
        head_of(nn.Identity())


def test_a_network_for_another_size_is_refused_before_a_study_runs() -> None:
    task = replace(COLOUR, model="timm:vit_tiny_patch16_224")
    study = Study(name="s", task=task, strategies={"none": none()}, budget=Budget(trials=1))
    with pytest.raises(ValueError, match=r"224 fails on two images of 3x16x16: Input height \(16\) doesn't"):
        preflight(study)


def test_dropout_reaches_networks_of_timm(rng: Generator) -> None:
    assert build(TIMM, 5, 3, rng, dropout=0.25).drop_rate == 0.25
    with pytest.raises(ValueError, match=f"model '{TV}' takes no dropout: leave Task.dropout out"):
        build(TV, 5, 3, rng, dropout=0.25)


class Stretched(nn.Module):
    """Divides each image by its range, which is 0 where all pixels are the same."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(3 * 16 * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
        return self.last(((images - low) / (high - low)).flatten(1))


def test_a_network_that_gives_no_numbers_is_refused_before_a_study_runs(tmp_path: Path) -> None:
    network = build("convnet", 3, 3, seeded())
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    save_weights(network, tmp_path / "w.safetensors")
    for model, weights, message in (
        (Stretched, None, r"Stretched gives logits that are NaN .* whose pixels are all 0: where it divides"),
        ("convnet", tmp_path / "w.safetensors", r"model convnet gives logits that are NaN .* images of noise: check"),
    ):
        task = replace(COLOUR, model=model, weights=weights)
        study = Study(name="s", task=task, strategies={"none": none()}, budget=Budget(trials=1))
        with pytest.raises(ValueError, match=message):
            preflight(study)
