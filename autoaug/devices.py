"""The way of tensors to a GPU, its name and its clock: the host stops for none, so that it stays ahead with orders."""

import multiprocessing
import os
import platform
import resource
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return the tensor on a device, and in a dtype; from the CPU to a GPU nobody waits for the copy.

    It goes through pinned memory, which torch does not give away before the copy is done. From other memory a copy
    waits for its turn in the stream, or for a buffer of the driver, whatever it is called with. From a GPU to the CPU
    it does wait: numbers that are not there yet would be read.
    """
    tensor = tensor if dtype is None else tensor.to(dtype)
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def all_to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return each tensor on a device; what goes from the CPU to a GPU without a graph goes in one copy."""
    joint = {k: tensor for k, tensor in enumerate(tensors) if tensor.device.type == "cpu" and not tensor.requires_grad}
    if device.type != "cuda" or len(joint) < 2:
        return [to_device(tensor, device) for tensor in tensors]
    widest_first = sorted(joint, key=lambda k: -joint[k].element_size())  # so that each begins where it may
    bytes_of = [joint[k].reshape(-1).view(torch.uint8) for k in widest_first]
    parts = to_device(torch.cat(bytes_of), device).split([len(tensor) for tensor in bytes_of])
    sent = {k: part.view(tensors[k].dtype).view(tensors[k].shape) for k, part in zip(widest_first, parts, strict=True)}
    return [sent[k] if k in sent else to_device(tensor, device) for k, tensor in enumerate(tensors)]


def read_together(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures with those that are one number on a GPU read: of each GPU all at once, so that one wait does."""
    there = {
        name: value.detach().reshape(())
        for name, value in figures.items()
        if isinstance(value, Tensor) and value.is_cuda and value.numel() == 1 and not value.is_complex()
    }
    read = dict(figures)
    for device in {value.device for value in there.values()}:
        names = [name for name, value in there.items() if value.device == device]
        read |= zip(names, torch.stack([there[name].double() for name in names]).tolist(), strict=True)
    return read


def device_name(device: torch.device) -> str:
    """Return the model of a GPU, or the kind and number of CPU cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


class Elsewhere:
    """Sum the CPU-seconds that living processes spent on the work of this one; those of the dead are known."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count what such a process has spent since it was asked last."""
        self.seconds += seconds


ELSEWHERE = Elsewhere()
"""Of the living processes that work for this one; whoever starts one adds to it, and takes that back at its end."""


def host_seconds(device_type: str) -> float:
    """Return a reading of the host's clock for work on a device: CPU-seconds where it is a CPU.

    They are those of this process, and of the processes that it has started: of all that have ended, of the workers of
    a `DataLoader` while they live, and of what else works for it (`ELSEWHERE`). For a GPU seconds on the wall: also
    where the device has failed, so that no `Clock` can be read.
    """
    if device_type != "cpu":
        return time.perf_counter()
    living = sum(cpu_seconds(child.pid) or 0.0 for child in multiprocessing.active_children())
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + living + ELSEWHERE.seconds


def cpu_seconds(pid: int | None) -> float | None:
    """Return the CPU-seconds of a process and of those that it waited for; None where they cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return None


class Clock:
    """Measure a stretch of work: seconds of a GPU, or CPU-seconds (`host_seconds`) where it works on the CPU.

    It starts when it is made. Only `seconds` waits for a GPU, and not where the work is done by then.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start: Any = self._mark()
        self.end: Any = None

    def _mark(self) -> Any:
        """Return CPU-seconds so far, or an event in the queue of the GPU."""
        if self.device.type == "cpu":
            return host_seconds("cpu")
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def stop(self) -> "Clock":
        """End the stretch, without looking how long it took."""
        self.end = self._mark()
        return self

    def seconds(self) -> float:
        """Return the time from the start to the stop, which is now where there was none."""
        if self.end is None:
            self.stop()
        if self.device.type == "cpu":
            return float(self.end - self.start)
        if not self.is_done():
            self.end.synchronize()
        return float(self.start.elapsed_time(self.end)) / 1000

    def is_done(self) -> bool:
        """Whether the stretch that was stopped is done, so that `seconds` need not wait."""
        return self.device.type == "cpu" or bool(self.end.query())


class Stopwatch:
    """Sum the seconds of many stretches, of which only the reading waits for a GPU."""

    def __init__(self) -> None:
        self.seconds, self.under_way = 0.0, deque[Clock]()

    def add(self, clock: Clock) -> None:
        """Stop a clock and count its time, as soon as that is known."""
        self.under_way.append(clock.stop())
        while self.under_way and self.under_way[0].is_done():
            self.seconds += self.under_way.popleft().seconds()

    def take(self) -> float:
        """Return the seconds since the last call."""
        taken, self.seconds = self.seconds + sum(clock.seconds() for clock in self.under_way), 0.0
        self.under_way.clear()
        return taken
