"""Manifests and weights for registration, small and made from numbers alone."""

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from PIL import Image

from workers import architectures

CLASS_NAMES = ["zero", "one"]
MLP = {"in_features": 3, "hidden": [4], "num_classes": 2}
RESNET = {"in_channels": 1, "image_size": 4, "num_classes": 2}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def splits(count: int) -> list[str]:
    """Three of five rows train, one validates, one tests."""
    return [("train", "train", "train", "validation", "test")[row % 5] for row in range(count)]


def feature_columns(count: int = 20) -> dict[str, Any]:
    """Feature k of row r is r + k / 10."""
    return {
        "sample_id": [f"sample-{row}" for row in range(count)],
        "customer": [f"customer-{row % 4}" for row in range(count)],
        "label": [row % 2 for row in range(count)],
        "split": splits(count),
        "features": [[row + k / 10 for k in range(3)] for row in range(count)],
    }


def image_columns(count: int = 20) -> dict[str, Any]:
    """Every pixel of row r has the value r."""
    columns = feature_columns(count)
    del columns["features"]
    return columns | {"image": [png(np.full((4, 4), row, np.uint8)) for row in range(count)]}


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def state(architecture: str = "mlp", config: dict[str, Any] = MLP) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return architectures.build(architecture, config).state_dict()


def weights(tensors: dict[str, torch.Tensor] | None = None) -> bytes:
    return safetensors.torch.save(state() if tensors is None else tensors)
