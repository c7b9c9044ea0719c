"""How fast unlearning and its verification are, against the published procedure in the same run.

    python -m benchmarks.speed [--quick] [--device cuda] [--json PATH]

Needs PyTorch, NumPy and scikit-learn, nothing else of the service. Baselines: the paper's loop and
evaluation done literally (tests/unlearning/published_loop.py), which the tests show to be equal in
result. Baseline and library take turns, and each figure is the best of its rounds.

Unlearning    seconds of one run in mode `paper`, rows a second (epochs x participating rows), share
              of the device's matrix peak (measured here, same precision), peak memory
Verification  the figures of the published evaluation, from one batched pass per model and set
              against three passes at batch size 1; and beside it the library's whole report
Coalescing    1, 10 and 50 requests of one model, from plan to report
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import coalescing, shapes
from benchmarks.clock import Measured, forward_flop, matrix_peak, measure, multiplies_bfloat16
from benchmarks.report import machine, table, write_json
from benchmarks.shapes import CLASSES, VIEW, Shape, fresh, random_sets
from tests.unlearning import published_loop
from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.evaluation import EvaluationSets, observe, predict
from workers.unlearning.methods import REGISTRY
from workers.unlearning.metrics import membership_inference, rf_jsd
from workers.unlearning.original import original_answers
from workers.unlearning.verification import verify

KEPT = "library, fast, teacher's answers kept"
Variant = tuple[str, Callable[[], object], torch.dtype | None]  # None: the baseline


def unlearning(shape: Shape, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    on_host, on_device = random_sets(shape, "cpu"), random_sets(shape, device)

    def fast(*, kept: bool = False, **settings: str) -> Callable[[], object]:
        config = LotusConfig.from_dict(shape.config.to_dict() | settings)
        data = _data(on_device)
        if kept:  # once for a model that is registered, however many runs follow: not timed
            answers = original_answers(fresh(shape, device), data, config)
            data = replace(data, original=answers)

        def work() -> None:
            generator = torch.Generator().manual_seed(0)
            list(REGISTRY["lotus"].unlearn(fresh(shape, device), data, config, generator))

        return work

    def literal() -> None:
        published_loop.unlearn(fresh(shape, device), _data(on_host), shape.config, seed=0)

    variants: list[Variant] = [
        ("published loop", literal, None),
        ("library, reference kernels", fast(kernels="reference"), torch.float32),
        ("library, fast kernels", fast(kernels="fast", precision="float32"), torch.float32),
        (
            KEPT,
            fast(kept=True, kernels="fast", precision="float32"),
            torch.float32,
        ),
    ]
    if multiplies_bfloat16(device):
        half = fast(kernels="fast", precision="bfloat16")
        variants.append(("library, fast, bfloat16", half, torch.bfloat16))
    best = _in_turns(variants, device, rounds)
    flop = forward_flop(fresh(shape, device), shape.input_shape)
    rows = shape.epochs * shape.participants
    found = []
    for name, _, dtype in variants:
        forwards = shape.published_forwards if dtype is None else shape.fast_forwards
        if name == KEPT:
            forwards -= shape.held_out + shape.participants
        rate = forwards * flop / best[name].seconds
        found.append(
            {
                "variant": name,
                "seconds": best[name].seconds,
                "rows_per_second": rows / best[name].seconds,
                "teraflop_per_second": rate / 1e12,
                "share_of_peak": rate / matrix_peak(device, dtype or torch.float32),
                "peak_mib": best[name].peak_mib,
                "ratio": best["published loop"].seconds / best[name].seconds,
            }
        )
    return found


def evaluation(shape: Shape, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    on_host, on_device = random_sets(shape, "cpu"), random_sets(shape, device)
    for sets in (on_host, on_device):
        retain = sets["retain"]
        kept = torch.arange(min(len(retain), shape.evaluated), device=retain.labels.device)
        sets["retain"] = retain.select(kept)
    before, after = fresh(shape, device), fresh(shape, device)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.mul_(1.01)
    variants: list[Variant] = [
        (
            "published evaluation",
            lambda: published_loop.evaluate(before, after, on_host, VIEW, CLASSES),
            None,
        ),
        ("library, the same figures", lambda: _same_figures(before, after, on_device), None),
        ("library, the whole report", lambda: _whole_report(before, after, on_device), None),
    ]
    best = _in_turns(variants, device, rounds)
    baseline = best["published evaluation"].seconds
    return [
        {
            "variant": name,
            "seconds": best[name].seconds,
            "peak_mib": best[name].peak_mib,
            "ratio": baseline / best[name].seconds,
        }
        for name, _, _ in variants
    ]


def _same_figures(
    before: nn.Module, after: nn.Module, sets: dict[str, LabelledSet]
) -> tuple[dict[str, float], float, float]:
    """Accuracies, the paper's attack and RF-JSD, from one pass per model and set."""
    logits = {name: predict(after, s.inputs, view=VIEW) for name, s in sets.items()}
    unseen = predict(before, sets["test"].inputs, view=VIEW)
    labels = {name: s.labels.cpu() for name, s in sets.items()}
    accuracies = {
        name: float((logits[name].argmax(dim=1) == labels[name]).double().mean()) for name in sets
    }
    probs = {name: torch.softmax(z.double(), dim=1) for name, z in logits.items()}
    attack = membership_inference(probs["retain"], probs["test"], probs["forget"])
    divergence = rf_jsd(
        probs["forget"],
        labels["forget"],
        torch.softmax(unseen.double(), dim=1),
        labels["test"],
        CLASSES,
    )
    return accuracies, attack.member_fraction, divergence.value


def _whole_report(before: nn.Module, after: nn.Module, sets: dict[str, LabelledSet]) -> object:
    evaluated = EvaluationSets(**sets, view=VIEW)
    return verify(observe(before, evaluated), observe(after, evaluated), seed=0)


def _in_turns(variants: list[Variant], device: torch.device, rounds: int) -> dict[str, Measured]:
    """Best of the rounds; in each round every variant runs once."""
    found: dict[str, list[Measured]] = {name: [] for name, _, _ in variants}
    for number in range(rounds):
        for name, work, _ in variants:
            print(f"  round {number + 1} of {rounds}: {name}", file=sys.stderr)
            found[name].append(measure(work, device))
    return {
        name: Measured(min(m.seconds for m in all_of), max(m.peak_mib for m in all_of))
        for name, all_of in found.items()
    }


def _data(sets: dict[str, LabelledSet]) -> UnlearningData:
    return UnlearningData(sets["forget"], sets["retain"], sets["validation"], CLASSES, VIEW)


def _warm_up(shape: Shape, device: torch.device) -> None:
    """Kernels are loaded, and chosen for these shapes, before anything is timed."""
    small = replace(shape, forget=shape.config.batch_size, retain=10, held_out=20, epochs=1)
    sets = random_sets(small, device)
    precisions = ("float32", "bfloat16") if multiplies_bfloat16(device) else ("float32",)
    for precision in precisions:
        config = replace(small.config, kernels="fast", precision=precision)
        generator = torch.Generator().manual_seed(0)
        list(REGISTRY["lotus"].unlearn(fresh(small, device), _data(sets), config, generator))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Speed against the published procedure.")
    parser.add_argument("--quick", action="store_true", help="under two minutes on two cores")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    facts = machine()
    print(
        f"{', '.join(facts['gpus']) if device.type == 'cuda' else facts['cpu']}, "
        f"{facts['threads']} threads, PyTorch {facts['torch']}"
    )
    results: dict[str, Any] = {"device": str(device), "quick": options.quick, "shapes": {}}
    for shape in shapes.shapes(device, quick=options.quick):
        print(f"{shape.name}", file=sys.stderr)
        _warm_up(shape, device)
        trained = unlearning(shape, device, options.rounds)
        evaluated = evaluation(shape, device, options.rounds)
        results["shapes"][shape.name] = {"unlearning": trained, "verification": evaluated}
        _print_shape(shape, trained, evaluated)
    if not multiplies_bfloat16(device):
        print("\nbfloat16 is left out: this device only emulates it.")
    results["coalescing"] = coalescing.compare(device, quick=options.quick, rounds=options.rounds)
    if options.json:
        write_json(options.json, results)
    return 0


def _print_shape(
    shape: Shape, trained: list[dict[str, Any]], evaluated: list[dict[str, Any]]
) -> None:
    print(
        f"\nUnlearning: {shape.name}, {shape.forget} forget and {shape.retain} retain rows, "
        f"{shape.epochs} epochs"
    )
    print(
        table(
            ("", "seconds", "rows/s", "Tflop/s", "of peak", "peak MiB", "ratio"),
            [
                (
                    row["variant"],
                    f"{row['seconds']:.2f}",
                    f"{row['rows_per_second']:.0f}",
                    f"{row['teraflop_per_second']:.3g}",
                    f"{100 * row['share_of_peak']:.0f} %",
                    f"{row['peak_mib']:.0f}",
                    f"{row['ratio']:.2f}x",
                )
                for row in trained
            ],
        )
    )
    rows = shape.forget + min(shape.retain, shape.evaluated) + 2 * shape.held_out
    print(f"\nVerification: {shape.name}, {rows} rows in four sets")
    print(
        table(
            ("", "seconds", "peak MiB", "ratio"),
            [
                (
                    row["variant"],
                    f"{row['seconds']:.2f}",
                    f"{row['peak_mib']:.0f}",
                    f"{row['ratio']:.1f}x",
                )
                for row in evaluated
            ],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
