"""Seconds, peak memory and the share of a device's matrix peak."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

PAGE = 4096
MEBI = 2**20


@dataclass(frozen=True)
class Measured:
    seconds: float
    peak_mib: float  # allocated on the GPU, or resident in the process


def measure(work: Callable[[], object], device: torch.device) -> Measured:
    """One call, from an idle device to an idle device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        return Measured(seconds, torch.cuda.max_memory_allocated(device) / MEBI)
    with _ResidentPeak() as peak:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    return Measured(seconds, peak.bytes / MEBI)


class _ResidentPeak(AbstractContextManager["_ResidentPeak"]):
    """Looks at the resident set every 10 ms: memory that an earlier call still holds counts too."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, _resident())
            if self._done.wait(0.01):
                return


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    except OSError:  # no Linux: nothing to report
        return 0


def forward_flop(network: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Floating-point operations of one sample's forward pass; a multiply-add is two.

    Convolutions, matrix products and attention are counted, everything else is not.
    """
    device = next(network.parameters()).device
    inputs = torch.zeros(2, *input_shape, device=device)
    counter = FlopCounterMode(display=False)
    # The fused attention of some devices is not counted; its plain form is.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network.eval()(inputs)
    return counter.get_total_flops() / 2


@functools.cache
def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square matrix product: best of several."""
    size = 8192 if device.type == "cuda" else 2048
    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)
    best = min(measure(lambda: left @ right, device).seconds for _ in range(6))
    return 2 * float(size) ** 3 / best


def multiplies_bfloat16(device: torch.device) -> bool:
    """False on a device that only emulates it, where a single figure would take minutes."""

    def seconds(dtype: torch.dtype) -> float:
        left = torch.ones(256, 256, device=device).to(dtype)
        return min(measure(lambda: left @ left, device).seconds for _ in range(3))

    return seconds(torch.bfloat16) < 5 * seconds(torch.float32)
