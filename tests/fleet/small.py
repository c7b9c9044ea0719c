"""Small tabular models of many persons, registered over HTTP: runs of a second or two.

Each person owns a few training rows; a table is made from a seed alone.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from workers import architectures

FEATURES, CLASSES = 8, 4
ROWS_OF_A_PERSON = 3
HELD_OUT = 240
CONFIG: dict[str, Any] = {"in_features": FEATURES, "hidden": [32], "num_classes": CLASSES}
# Nobody reads these models: what is under test is what happens to their runs.
LENIENT = {"delta_auc": 0.45, "delta_band": 1.0, "max_accuracy_fall": 1.0}


def write(folder: Path, *, persons: int, prefix: str, seed: int) -> list[str]:
    """Writes a data set and a model as `examples/digits` does; gives its persons."""
    folder.mkdir(parents=True)
    names = [f"{prefix}-{number}" for number in range(persons)]
    rng = np.random.default_rng(seed)
    train = persons * ROWS_OF_A_PERSON
    count = train + HELD_OUT
    labels = rng.integers(0, CLASSES, count)
    centres = rng.normal(size=(CLASSES, FEATURES))
    features = (centres[labels] + rng.normal(size=(count, FEATURES))).astype(np.float32)
    split = np.array(["train"] * train + ["validation", "test"] * (HELD_OUT // 2))
    owners = [names[row % persons] for row in range(train)] + [
        f"{prefix}-stranger-{row}" for row in range(HELD_OUT)
    ]
    table = {
        "sample_id": [f"{prefix}-row-{row}" for row in range(count)],
        "customer": owners,
        "label": labels.tolist(),
        "split": split.tolist(),
        "features": features.tolist(),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    (folder / "manifest.parquet").write_bytes(file.getvalue())
    (folder / "dataset.json").write_text(
        json.dumps(
            {
                "name": prefix,
                "task": "tabular_classification",
                "class_names": [str(number) for number in range(CLASSES)],
                "subject_columns": [{"column": "customer"}],
                "manifest": "manifest.parquet",
            }
        )
    )
    model = _trained(torch.from_numpy(features[:train]), torch.from_numpy(labels[:train]), seed)
    save_file(model, folder / "weights.safetensors")
    (folder / "model.json").write_text(
        json.dumps({"architecture": "mlp", "config": CONFIG, "weights": "weights.safetensors"})
    )
    return names


def _trained(inputs: torch.Tensor, labels: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model = architectures.build("mlp", CONFIG)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: value.contiguous() for name, value in model.state_dict().items()}
