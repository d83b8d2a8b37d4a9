"""A GPU that is none: the rehearsal of code for a CUDA device on a machine without one.

    with PretendedGpu() as gpu:                  # torch.cuda.is_available() and the like say yes
        images = images.to("cuda")               # stays where it can be computed with, and says that it is on cuda:0
        step(images)
    gpu.waits, gpu.copies                        # where the host waited for the GPU, and where a copy to it blocked

A piece of memory is on the GPU or not, and a result is where its arguments are. All numbers are the CPU's, so what is
computed equals bit for bit what the CPU computes; an operation on tensors of two devices raises `TwoDevices`. It cannot
show times, streams, kernels, what autocast does, several GPUs, or what other threads and processes do.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

LIBRARY = "autoaug"
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")

OF_NUMBERS = (torch.tensor, torch.as_tensor, torch.asarray)
"""Makers that take what the host has: on the CPU, and from there it is copied."""
READERS = {"_local_scalar_dense": "a number is read", "bincount": "bincount", "histogram": "histogram"}
"""Operations that stop for the GPU, besides those whose tags say so."""
INDEXING = ("index", "index_put", "index_put_", "_unsafe_index", "_unsafe_index_put", "_index_put_impl_")
PASSED_ON = ("__torch_function__",)
"""Functions of the library through which others call."""
WITH_CPU_SCALARS = ("fill", "fill_", "masked_fill", "masked_fill_")
"""Besides pointwise operations: CUDA takes a tensor of the CPU with a single number in it."""


class TwoDevices(RuntimeError):
    """What CUDA refuses: tensors, or tensors and a generator, of two devices."""


def on_gpu(tensor: Tensor) -> bool:
    """Whether its memory is on the GPU; views and what autograd saves share it."""
    return getattr(tensor.untyped_storage(), "on_gpu", False)


def placed(found: Any, gpu: bool) -> Any:
    """What was found, said to be on the GPU or not."""
    for tensor in tensors(found):
        tensor.untyped_storage().on_gpu = gpu
    return found


def tensors(*found: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]


def is_device(argument: Any) -> bool:
    return isinstance(argument, torch.device | str)


class PretendedGpu:
    """Within it there is a GPU. What is counted is counted by (what, where in the library)."""

    def __init__(self) -> None:
        self.waits: Counter[tuple[str, str]] = Counter()
        self.copies: Counter[tuple[str, str]] = Counter()
        self.inherits = False
        """Whether what an operation makes for itself is on the GPU, because an argument is."""
        self.silent = False
        self.stops = 0
        """How often the host has waited: what was ordered before the last time is done."""

    def __enter__(self) -> "PretendedGpu":
        self.stack, self.calls = ExitStack(), Calls(self)
        for target, name, value in stand_ins(self):
            self.stack.enter_context(patch.object(target, name, value))
        self.stack.enter_context(self.calls)
        self.stack.enter_context(Operations(self))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def take(self) -> tuple[Counter, Counter]:
        """Waits and copies so far; they begin again at nothing."""
        found = self.waits, self.copies
        self.waits, self.copies = Counter(), Counter()
        return found

    def wait(self, what: str) -> None:
        if not self.silent:
            self.stops += 1
            self.waits[what, line()] += 1

    def copy(self, pinned: bool, non_blocking: bool) -> None:
        """One to the GPU. From memory that is not pinned it blocks, whatever it is called."""
        if not (pinned and non_blocking):
            self.copies["from memory that is not pinned" if non_blocking else "blocking", line()] += 1

    def cross(self, tensor: Tensor, gpu: bool, non_blocking: bool = False) -> Tensor:
        """The tensor on the other device."""
        if gpu:
            self.copy(getattr(tensor.untyped_storage(), "pinned", False), non_blocking)
        else:
            self.wait("a copy to the CPU")
        crossed: Tensor = Crossing.apply(tensor, gpu, self)
        return crossed

    @contextmanager
    def inheriting(self, inherits: bool) -> Iterator[None]:
        before, self.inherits = self.inherits, inherits
        try:
            yield
        finally:
            self.inherits = before


def line() -> str:
    """The innermost line of the library that is being run."""
    frame: Any = sys._getframe(2)
    while frame and (frame.f_globals.get("__name__", "").split(".")[0] != LIBRARY or frame.f_code.co_name in PASSED_ON):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition(f'/{LIBRARY}/')[2]}:{frame.f_lineno}" if frame else "outside"


class Crossing(torch.autograd.Function):
    """A copy to the other device; its gradient comes back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gpu: bool, machine: PretendedGpu) -> Tensor:
        ctx.gpu, ctx.machine = gpu, machine
        return placed(tensor.clone(), gpu)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return ctx.machine.cross(slope, not ctx.gpu), None, None


class Calls(TorchFunctionMode):
    """What Python asks of torch: where a tensor is, and to make one or bring it there."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if answer := ANSWERS.get(getattr(func, "__self__", None) if func.__name__ == "__get__" else func):
            return answer(self.gpu, *args, **kwargs)
        here = any(map(on_gpu, tensors(args, kwargs)))
        with self.gpu.inheriting(here):
            if func in OF_NUMBERS:
                return made_of_numbers(self.gpu, func, *args, **kwargs)
            if kwargs.get("device") is None:
                return func(*args, **kwargs)
            there = torch.device(kwargs["device"]).type == "cuda"
            if there and kwargs.get("generator") is not None:
                raise TwoDevices(f"{func.__name__} on the GPU with a generator of the CPU")
            return placed(func(*args, **kwargs | {"device": CPU}), there)


def moved(gpu: PretendedGpu, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`tensor.to(...)`."""
    named = [each for each in (*args, *kwargs.values()) if is_device(each) or isinstance(each, Tensor)]
    goals = [torch.device(each).type == "cuda" if is_device(each) else on_gpu(each) for each in named]
    non_blocking = kwargs.get("non_blocking", next((each for each in args if isinstance(each, bool)), False))
    if goals and goals[0] != on_gpu(tensor):
        tensor = gpu.cross(tensor, goals[0], non_blocking)
    args, kwargs = tree_map(lambda each: CPU if is_device(each) else each, (args, kwargs))
    with gpu.inheriting(on_gpu(tensor)):
        return Tensor.to(tensor, *args, **kwargs)


def made_of_numbers(gpu: PretendedGpu, func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """What the host knows, made there and brought to the device."""
    goal = kwargs.pop("device", None)
    made = func(*args, **kwargs)
    return made if goal is None else moved(gpu, made, goal)


def new_tensor(gpu: PretendedGpu, tensor: Tensor, numbers: Any, **options: Any) -> Tensor:
    """`made_of_numbers`, where and in the dtype in which a tensor is."""
    here = GPU if on_gpu(tensor) else CPU
    return made_of_numbers(gpu, torch.tensor, numbers, **{"dtype": tensor.dtype, "device": here} | options)


def pinned(gpu: PretendedGpu, tensor: Tensor) -> Tensor:
    copy = tensor.clone()
    copy.untyped_storage().pinned = True
    return copy


def listed(gpu: PretendedGpu, tensor: Tensor) -> Any:
    if on_gpu(tensor):
        gpu.wait("a list is read")
    return Tensor.tolist(tensor)


def as_numpy(gpu: PretendedGpu, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if on_gpu(tensor):
        raise TwoDevices("numpy looks at the memory of the CPU only")
    return Tensor.numpy(tensor, *args, **kwargs)


def one_hot(gpu: PretendedGpu, targets: Tensor, num_classes: int = -1) -> Tensor:
    """On a CPU it looks whether the classes are in range, on a GPU its kernel does."""
    if on_gpu(targets) and num_classes == -1:
        gpu.wait("one_hot counts the classes")
    with gpu.inheriting(on_gpu(targets)), patch.object(gpu, "silent", True):
        return F.one_hot(targets, num_classes)


ANSWERS: dict[Any, Callable[..., Any]] = {
    Tensor.device: lambda gpu, tensor, *_: GPU if on_gpu(tensor) else CPU,
    Tensor.is_cuda: lambda gpu, tensor, *_: on_gpu(tensor),
    Tensor.is_cpu: lambda gpu, tensor, *_: not on_gpu(tensor),
    Tensor.to: moved,
    Tensor.cuda: lambda gpu, tensor, *_, **options: moved(gpu, tensor, GPU, **options),
    Tensor.cpu: lambda gpu, tensor, **options: moved(gpu, tensor, CPU, **options),
    Tensor.new_tensor: new_tensor,
    Tensor.pin_memory: pinned,
    Tensor.tolist: listed,
    Tensor.numpy: as_numpy,
    F.one_hot: one_hot,
}
"""What a GPU says otherwise than a CPU."""


class Operations(TorchDispatchMode):
    """What is run, that of backward passes included."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        given = tensors(args, kwargs)
        here = any(map(on_gpu, given)) if given else self.gpu.inherits
        if here:
            self.look(func, func.overloadpacket.__name__, args, kwargs)
        found = func(*args, **kwargs)
        return placed(found, True) if here and func.overloadpacket.__name__ != "copy_" else found

    def look(self, func: Any, name: str, args: tuple, kwargs: dict) -> None:
        """Refuse what CUDA refuses, and count what stops the host."""
        if any(isinstance(each, Generator) for each in tree_leaves((args, kwargs))):
            raise TwoDevices(f"{func} on the GPU with a generator of the CPU")
        if name == "copy_":
            self.copy(*args, **kwargs)
            return
        if name in INDEXING:
            self.index(*args)
        strangers = [each for each in tensors(args, kwargs) if not on_gpu(each)]
        if name in INDEXING:
            strangers = [each for each in strangers if not any(each is index for index in args[1])]
        if torch.Tag.pointwise in func.tags or name in WITH_CPU_SCALARS or name.startswith(("_foreach", *INDEXING)):
            strangers = [each for each in strangers if each.ndim]
        if strangers:
            shapes = [list(each.shape) for each in strangers]
            raise TwoDevices(
                f"{func} takes tensors on the GPU together with those of shapes {shapes} on the CPU, {line()}"
            )
        if name in READERS or (name not in INDEXING and tells(func)):
            self.gpu.wait(READERS.get(name, name))

    def copy(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> None:
        if on_gpu(target) and not on_gpu(source):
            self.gpu.copy(getattr(source.untyped_storage(), "pinned", False), non_blocking)
        elif on_gpu(source) and not on_gpu(target):
            self.gpu.wait("a copy to the CPU")

    def index(self, target: Tensor, indices: Any, values: Tensor | None = None, *_: Any) -> None:
        given = [each for each in indices if each is not None]
        if any(each.dtype in (torch.bool, torch.uint8) for each in given) and (values is None or values.numel() != 1):
            self.gpu.wait("a mask is counted")
        for _ in (each for each in given if not on_gpu(each)):
            self.gpu.copy(False, False)


def tells(func: Any) -> bool:
    """Whether the shape of what it gives, or what it gives to Python, depends on numbers."""
    return bool({torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags))


SAID = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "current_stream": SimpleNamespace(is_capturing=lambda: False),
    "is_current_stream_capturing": False,
    "get_rng_state": torch.empty(0),
    "set_rng_state": None,
    "manual_seed_all": None,
}
"""What functions of torch.cuda answer."""


class Event:
    """A mark in the stream. Any two are a millisecond apart."""

    gpu: PretendedGpu

    def __init__(self, enable_timing: bool = False) -> None:
        self.stops = -1

    def record(self, stream: object = None) -> None:
        self.stops = self.gpu.stops

    def query(self) -> bool:
        return self.gpu.stops > self.stops

    def synchronize(self) -> None:
        self.gpu.wait("an event is waited for")

    def elapsed_time(self, end: "Event") -> float:
        return 1.0


def stand_ins(gpu: PretendedGpu) -> Iterator[tuple[Any, str, Any]]:
    """(where, name, what stands there)."""

    def backward(ctx: Any, *slopes: Any, original: Any = torch.autograd.function.BackwardCFunction.apply) -> Any:
        """In a backward pass, torch asks Python without asking `Calls`."""
        with gpu.calls, gpu.inheriting(False):
            return original(ctx, *slopes)

    yield torch.autograd.function.BackwardCFunction, "apply", backward
    yield torch.cuda, "Event", type("Event", (Event,), {"gpu": gpu})
    yield torch.cuda, "synchronize", lambda device=None: gpu.wait("all is waited for")
    for name, value in SAID.items():
        yield torch.cuda, name, lambda *_, value=value, **__: value
    yield torch.accelerator, "current_stream", lambda device=None: SAID["current_stream"]
