"""Persons with a style of their own, asked about to a model that never saw them, or that did.

A style is slant, shift, thickness and contrast, the same for every sample of a person. Two kinds of
worlds: in one everybody has a style of his own; in the other one person differs from all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.data import split
from benchmarks.planted import TRAINED, Rows, see
from benchmarks.training import trained
from workers.unlearning.data import LabelledSet
from workers.unlearning.evaluation import SetObservation

SAMPLES = 100  # of one person
ODD = 8  # persons of unusual style in a world of people without one


@dataclass(frozen=True)
class People:
    """`person` (N,) of every row. The model was trained on `known`, never on anyone else.

    Under gold a person of `asking` asks; known persons are what an untouched model still knows.
    """

    samples: LabelledSet
    person: Rows
    asking: Rows
    strangers: Rows
    known: Rows
    model: SetObservation


def styled(inputs: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """(N, 1, H, W) -> the same in a random style, of the given strength (1 is moderate)."""
    slant, thickness, contrast, right, down = strength * rng.normal(size=5)
    # Maps places of the result to places of the image; units are half a side.
    matrix = torch.tensor([[1.0, 0.25 * slant, 0.08 * right], [0.0, 1.0, 0.08 * down]])
    grid = F.affine_grid(matrix.float().expand(len(inputs), 2, 3), list(inputs.shape), False)
    moved = F.grid_sample(inputs, grid, align_corners=False)
    widest = F.max_pool2d(moved, 3, 1, 1) if thickness > 0 else -F.max_pool2d(-moved, 3, 1, 1)
    share = min(0.9, 0.2 * abs(float(thickness)))
    drawn = (1 - share) * moved + share * widest
    return (drawn * float(np.exp(0.15 * contrast))).clamp(0.0, 1.5)


def everybody_styled(images: LabelledSet, seed: int, *, strength: float = 1.0) -> People:
    """Five persons to train on, the others never seen: each of them can ask or be a stranger."""
    rng = np.random.default_rng([seed, 2])
    rows = split(images, [len(images)], 7_000 + seed)[0]
    person = np.arange(len(rows)) // SAMPLES
    inputs = torch.cat([styled(part, rng, strength) for part in torch.split(rows.inputs, SAMPLES)])
    samples = LabelledSet(inputs, rows.labels)
    strangers = np.unique(person)[TRAINED // SAMPLES :]
    return _people(samples, person, strangers, strangers, seed)


def odd_one_out(images: LabelledSet, seed: int, *, strength: float = 2.0) -> People:
    """People without a style; the persons who ask have a marked one."""
    rng = np.random.default_rng([seed, 3])
    rows = split(images, [len(images)], 8_000 + seed)[0]
    person = np.arange(len(rows)) // SAMPLES
    everyone = np.unique(person)
    inputs = rows.inputs.clone()
    for odd in everyone[-ODD:]:
        own = torch.from_numpy(person == odd)
        inputs[own] = styled(rows.inputs[own], rng, strength)
    strangers = everyone[TRAINED // SAMPLES : -ODD]
    return _people(LabelledSet(inputs, rows.labels), person, everyone[-ODD:], strangers, seed)


def _people(samples: LabelledSet, person: Rows, asking: Rows, strangers: Rows, seed: int) -> People:
    model = trained(samples.select(torch.arange(TRAINED)), 5_000 + seed)
    known = np.unique(person[:TRAINED])
    return People(samples, person, asking, strangers, known, see(model, samples))
