"""How a run's arithmetic is done on its device: precision, memory layout, determinism.

Nothing here changes what is computed. bfloat16 touches activations only: at a learning rate of 1e-6
bfloat16 weights would lose every update, so parameters, optimizer and losses stay in float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning.errors import UnlearningError
from workers.unlearning.settings import MethodConfig

# cuBLAS reads it when it is first used in a process, so it cannot be set later.
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


class NotDeterministic(UnlearningError):
    def __init__(self) -> None:
        super().__init__(f"set {WORKSPACE}=:4096:8 before the process starts to use the GPU")


@dataclass(frozen=True)
class Execution:
    device: torch.device
    bfloat16: bool
    channels_last: bool
    fused: bool
    deterministic: bool

    @classmethod
    def of(cls, config: MethodConfig, model: nn.Module) -> Execution:
        device = device_of(model)
        fast = config.kernels == "fast" or (config.kernels == "auto" and device.type == "cuda")
        fast = fast and not config.deterministic
        wanted = config.precision == "bfloat16"
        if config.precision == "auto" and not config.deterministic and device.type == "cuda":
            wanted = torch.cuda.is_bf16_supported(including_emulation=False)
        if config.deterministic and device.type == "cuda" and not os.environ.get(WORKSPACE):
            raise NotDeterministic()
        return cls(
            device=device,
            bfloat16=wanted,
            channels_last=fast and any(isinstance(m, nn.Conv2d) for m in model.modules()),
            fused=fast and device.type in ("cpu", "cuda"),
            deterministic=config.deterministic,
        )

    def describe(self) -> dict[str, object]:
        """For the record of a run: what `auto` came to."""
        return {
            "device": self.device.type,
            "precision": "bfloat16" if self.bfloat16 else "float32",
            "channels_last": self.channels_last,
            "tf32_convolutions": self.device.type == "cuda" and torch.backends.cudnn.allow_tf32,
            "fused_optimizer": self.fused,
            "deterministic": self.deterministic,
            "threads": torch.get_num_threads(),
        }

    def lay_out(self, model: nn.Module) -> None:
        """The model's parameters in the layout that its convolutions are fastest with."""
        lay_out(model, torch.channels_last if self.channels_last else torch.contiguous_format)

    def place(self, inputs: Tensor) -> Tensor:
        """A batch on the device, images in the layout of the model."""
        placed = inputs.to(self.device, non_blocking=True)
        if self.channels_last and placed.ndim == 4:
            placed = placed.contiguous(memory_format=torch.channels_last)
        return placed

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """(N, *input_shape) -> (N, C) float32 logits, under autocast where that was chosen."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits: Tensor = model(inputs)
        return logits.float()

    @contextmanager
    def settings(self) -> Iterator[None]:
        """torch's global switches for the time of a training pass, then as they were."""
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        benchmark = torch.backends.cudnn.benchmark
        if self.deterministic:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
        elif self.channels_last:
            torch.backends.cudnn.benchmark = True  # batches are of one size: worth choosing once
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.backends.cudnn.benchmark = benchmark


def lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    """The same values in another order in memory."""
    model.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's stubs


def device_of(model: nn.Module) -> torch.device:
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device
