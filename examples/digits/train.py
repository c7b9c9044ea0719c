"""Train the example classifier and write everything that the service needs to register it.

    python examples/digits/train.py OUTPUT [--subject spread|writer] [--seed 0] [--progress json]

The images are scikit-learn's 1,797 handwritten digits. The data set does not say who wrote which
digit: the column `customer_id` is SYNTHETIC.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from workers import architectures

ARCHITECTURE = "resnet-small"
CONFIG: dict[str, Any] = {"in_channels": 1, "image_size": 8, "num_classes": 10}
TRAIN_ROWS = 500
SPREAD_ROWS = 100
ROWS_OF_OTHERS = (10, 31)
WRITER_ROWS = 130
EPOCHS, BATCH = 25, 64
PEAK_LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.01
SUBJECT = "customer-0042"
DATASET = "digits"


@dataclass(frozen=True)
class Digits:
    """pixels (N, 8, 8) uint8, labels (N,), split and customer (N,) strings, in file order."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: NDArray[np.str_]
    customer: NDArray[np.str_]

    def rows(self, split: str) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.split == split
        return mask

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (n, 1, 8, 8) float32 = pixel / 255, and labels (n,) of one split."""
        mask = self.rows(split)
        inputs = torch.from_numpy(self.pixels[mask]).unsqueeze(1).to(torch.float32) / 255
        return inputs, torch.from_numpy(self.labels[mask])


def load(seed: int, subject: str) -> Digits:
    source = load_digits()
    # The scans hold 17 grey levels (0 to 16); 8-bit PNG keeps them apart.
    pixels = np.rint(source.images * (255 / 16)).astype(np.uint8)
    labels = source.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    split = np.full(len(labels), "test", dtype="<U10")
    if subject == "writer":
        train, forget = writer_rows(rng, len(labels))
    else:
        train = rng.permutation(len(labels))[:TRAIN_ROWS]
        forget = rng.choice(train, SPREAD_ROWS, replace=False)
    held_out = rng.permutation(np.setdiff1d(np.arange(len(labels)), train))
    split[train] = "train"
    split[held_out[: len(held_out) // 2]] = "validation"
    others = np.setdiff1d(np.arange(len(labels)), forget)
    if subject == "spread":
        # The subject's digits come from every writer's; so must everybody else's.
        others = rng.permutation(others)
    return Digits(pixels, labels, split, customers(rng, others, forget))


def writer_rows(rng: np.random.Generator, rows: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Training rows and, among them, one contiguous block: the file is roughly in writer order."""
    start = int(rng.integers(0, rows - WRITER_ROWS))
    block = np.arange(start, start + WRITER_ROWS)
    others = rng.permutation(np.setdiff1d(np.arange(rows), block))[: TRAIN_ROWS - WRITER_ROWS]
    return np.concatenate([block, others]), block


def customers(
    rng: np.random.Generator, others: NDArray[Any], forget: NDArray[Any]
) -> NDArray[np.str_]:
    """SYNTHETIC ids: the subject owns `forget`, everybody else the next few rows of `others`."""
    owner = np.full(len(others) + len(forget), "", dtype="<U13")
    number, at = 1000, 0
    while at < len(others):
        count = int(rng.integers(*ROWS_OF_OTHERS))
        owner[others[at : at + count]] = f"customer-{number}"
        number, at = number + 1, at + count
    owner[forget] = SUBJECT
    return owner


def train(digits: Digits, seed: int, report: Reporter) -> tuple[nn.Module, float]:
    """AdamW with a one-cycle schedule until the training set is known by heart."""
    torch.manual_seed(seed)
    inputs, labels = digits.tensors("train")
    model = architectures.build(ARCHITECTURE, CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    steps = -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=EPOCHS * steps
    )
    for epoch in range(1, EPOCHS + 1):
        model.train()
        total = 0.0
        for batch in torch.split(torch.randperm(len(labels)), BATCH):
            loss = F.cross_entropy(model(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        report.epoch(epoch, total / len(labels), accuracy(model, inputs, labels))
    return model, accuracy(model, inputs, labels)


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.inference_mode():
        return int((model(inputs).argmax(dim=1) == labels).sum()) / len(labels)


@dataclass(frozen=True)
class Reporter:
    """Progress for a person, or one JSON object a line for a program that draws a bar."""

    as_json: bool

    def epoch(self, epoch: int, loss: float, accuracy: float) -> None:
        if self.as_json:
            self.line(event="epoch", epoch=epoch, epochs=EPOCHS, loss=loss, accuracy=accuracy)
        else:
            print(f"epoch {epoch:2d}/{EPOCHS}  loss {loss:.4f}  accuracy {accuracy:.3f}")

    def line(self, **values: Any) -> None:
        print(json.dumps(values), flush=True)


def write_manifest(digits: Digits, path: Path) -> None:
    table = pa.table(
        {
            "sample_id": [f"digit-{row:04d}" for row in range(len(digits.labels))],
            "customer_id": digits.customer.tolist(),
            "label": pa.array(digits.labels, pa.int64()),
            "split": digits.split.tolist(),
            "image": pa.array([png(pixels) for pixels in digits.pixels], pa.binary()),
        }
    )
    pq.write_table(table, path)


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def write_all(out: Path, digits: Digits, model: nn.Module, about: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(digits, out / "manifest.parquet")
    save_file(model.state_dict(), out / "model.safetensors")
    dataset = {
        "name": DATASET,
        "task": "image_classification",
        "class_names": about["class_names"],
        "subject_columns": [{"column": "customer_id", "type": "controller_customer_id"}],
        "manifest": "manifest.parquet",
    }
    network = {
        "name": "digits-resnet",
        "dataset": DATASET,
        "architecture": ARCHITECTURE,
        "config": CONFIG,
        "weights": "model.safetensors",
        "training_recipe": about["training_recipe"],
    }
    described = {"dataset": dataset, "model": network, "about": about}
    for name, document in described.items():
        (out / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def describe(digits: Digits, accuracies: dict[str, float], args: argparse.Namespace) -> Any:
    return {
        "class_names": [str(digit) for digit in range(10)],
        "pixels": "8-bit grey PNG; the network's input is float32 = pixel / 255",
        "subject": SUBJECT,
        "subject_kind": args.subject,
        "subject_rows": int((digits.customer == SUBJECT).sum()),
        "subjects_are_synthetic": "scikit-learn's digits do not say who wrote them",
        "rows": {split: int(digits.rows(split).sum()) for split in accuracies},
        "accuracy": accuracies,
        "training_recipe": {
            "optimizer": "adamw",
            "learning_rate": PEAK_LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "schedule": "one_cycle",
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "augmentation": "none",
            "seed": args.seed,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the digits example and write its files.")
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--subject", choices=["spread", "writer"], default="spread")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--progress", choices=["text", "json"], default="text")
    args = parser.parse_args()
    report = Reporter(args.progress == "json")
    started = time.monotonic()
    # The network is so small that a second thread costs more than it saves.
    torch.set_num_threads(1)
    digits = load(args.seed, args.subject)
    model, train_accuracy = train(digits, args.seed, report)
    accuracies = {"train": train_accuracy}
    for split in ("validation", "test"):
        accuracies[split] = accuracy(model, *digits.tensors(split))
    about = describe(digits, accuracies, args)
    write_all(args.out, digits, model, about)
    seconds = round(time.monotonic() - started, 1)
    if report.as_json:
        report.line(event="done", seconds=seconds, **about)
    else:
        print(f"subject {SUBJECT} (synthetic): {about['subject_rows']} training rows")
        print(f"accuracy {accuracies}; {seconds} s; files in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
