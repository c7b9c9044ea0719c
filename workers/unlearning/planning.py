"""Settings that suit the sizes at hand.

What counts is the number of optimizer steps. The paper's table was made for training sets of 50,000
and more, where 10 epochs are over a thousand steps; on 500 samples they are 20, and those barely
move the network. Below `PAPER_STEPS` the plan aims at a number of steps instead.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from workers.unlearning.config import LotusConfig, Mode

Kind = Literal["convolutional", "dense", "transformer"]

PAPER_STEPS = 300
FIXED_STEPS = 40
STEERED_STEPS = 80
BATCH = 128

# Smaller epochs would stop a steered run more finely, but fewer retain samples cost accuracy.
ROWS_PER_EPOCH = 8 * BATCH
RETAIN_PER_FORGET = 4

MIN_VALIDATION = 100
MIN_STEERED_FORGET = 20
WHOLE_CLASS_ALPHA = 32.0


def can_steer(n_forget: int, n_validation: int) -> bool:
    """Enough samples on both sides for the validation band advantage to mean something."""
    enough = n_validation >= max(MIN_VALIDATION, 1.5 * n_forget)
    return enough and n_forget >= MIN_STEERED_FORGET


def paper_settings(kind: Kind) -> LotusConfig:
    """The paper's experimental settings (CVPR 2025, section 4): convolutional networks on CIFAR,
    MUFAC and Tiny-ImageNet; vision transformers on the same sets."""
    if kind == "transformer":
        return LotusConfig(
            mode=Mode.PAPER,
            alpha=2.0,
            learning_rate=1e-6,
            epochs=3,
            batch_size=32,
            retain_fraction=0.3,
            class_matched=False,
            smoothing=0.0,
        )
    return LotusConfig(
        mode=Mode.PAPER,
        alpha=2.0,
        learning_rate=1e-4,
        epochs=10,
        batch_size=128,
        retain_fraction=0.3,
        class_matched=False,
        smoothing=0.0,
    )


def plan(
    n_forget: int,
    n_retain: int,
    n_validation: int,
    *,
    kind: Kind,
    whole_classes: bool = False,
) -> LotusConfig:
    """Guided settings for a forget set of n_forget out of n_forget + n_retain training samples.

    whole_classes: the forget set holds every training sample of its classes.
    """
    published = paper_settings(kind)
    rows = n_forget + published.retain_fraction * n_retain
    published_steps = published.epochs * math.ceil(rows / published.batch_size)
    steered = can_steer(n_forget, n_validation)
    settings = published.to_dict()
    if kind != "transformer" and published_steps < PAPER_STEPS:
        settings |= _in_steps(n_forget, n_retain, long=steered or whole_classes)
    if whole_classes:
        settings["alpha"] = WHOLE_CLASS_ALPHA
    guided = {"mode": "guided", "class_matched": True, "smoothing": 10.0, "steer": steered}
    return LotusConfig.from_dict(settings | guided)


def _in_steps(n_forget: int, n_retain: int, *, long: bool) -> dict[str, Any]:
    """Settings for small sets. A run that stops itself gets more epochs and a larger alpha."""
    wanted = max(RETAIN_PER_FORGET * n_forget, ROWS_PER_EPOCH - n_forget)
    n_used = min(n_retain, wanted)
    steps_per_epoch = math.ceil((n_forget + n_used) / BATCH)
    steps, fewest = (STEERED_STEPS, 8) if long else (FIXED_STEPS, 3)
    return {
        "alpha": 6.0 if long else 4.0,
        "learning_rate": 3e-4,
        "retain_fraction": n_used / n_retain,
        "batch_size": BATCH,
        "epochs": min(20, max(fewest, math.ceil(steps / steps_per_epoch))),
    }
