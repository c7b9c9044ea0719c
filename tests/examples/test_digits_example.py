"""The digits example writes files from which the trained network can be rebuilt exactly."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app.registry.policy import TrainingRecipe
from examples.digits import train
from workers import architectures
from workers.unlearning.methods.retrain import RetrainConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("digits")
    done = subprocess.run(
        [sys.executable, "examples/digits/train.py", str(out), "--progress", "json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return out, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def table(example: tuple[Path, list[dict[str, Any]]]) -> pa.Table:
    return pq.read_table(example[0] / "manifest.parquet")


def test_progress_is_one_json_object_per_epoch_and_a_last_one(
    example: tuple[Path, list[dict[str, Any]]],
) -> None:
    *epochs, last = example[1]
    assert [line["epoch"] for line in epochs] == list(range(1, 26))
    assert epochs[-1]["accuracy"] == 1.0
    assert last["event"] == "done" and "synthetic" in str(sorted(last))


def test_the_manifest_holds_every_digit_once_with_its_split(table: pa.Table) -> None:
    assert table.column_names == ["sample_id", "customer_id", "label", "split", "image"]
    assert table.schema.field("label").type == pa.int64()
    assert len(set(table["sample_id"].to_pylist())) == 1_797
    splits = table["split"].to_pylist()
    assert {name: splits.count(name) for name in set(splits)} == {
        "train": 500,
        "validation": 648,
        "test": 649,
    }


def test_the_subject_owns_a_hundred_training_rows_over_all_classes(table: pa.Table) -> None:
    rows = [row for row in table.drop(["image"]).to_pylist() if row["customer_id"] == train.SUBJECT]
    assert len(rows) == 100
    assert {row["split"] for row in rows} == {"train"}
    assert {row["label"] for row in rows} == set(range(10))


def test_every_row_has_a_subject_and_all_others_own_a_few_rows(table: pa.Table) -> None:
    owners = table["customer_id"].to_pylist()
    counts = {owner: owners.count(owner) for owner in set(owners) - {train.SUBJECT}}
    assert "" not in counts
    assert max(counts.values()) == 30


def test_pixels_over_255_through_the_stored_weights_know_the_training_set_by_heart(
    example: tuple[Path, list[dict[str, Any]]], table: pa.Table
) -> None:
    described = json.loads((example[0] / "model.json").read_text())
    model = architectures.build(described["architecture"], described["config"])
    model.load_state_dict(load_file(example[0] / "model.safetensors"))
    rows = [row for row in table.to_pylist() if row["split"] == "train"]
    images = [np.asarray(Image.open(io.BytesIO(row["image"]))) for row in rows]
    inputs = torch.from_numpy(np.stack(images)).unsqueeze(1).float() / 255
    answers = model.eval()(inputs).argmax(dim=1).tolist()
    assert answers == [row["label"] for row in rows]


def test_the_writer_subject_is_one_contiguous_block_of_training_rows() -> None:
    digits = train.load(seed=0, subject="writer")
    rows = np.flatnonzero(digits.customer == train.SUBJECT)
    assert len(rows) == 130
    assert rows[-1] - rows[0] == 129
    assert set(digits.split[rows]) == {"train"}
    assert int(digits.rows("train").sum()) == 500


def test_the_recipe_is_one_that_exact_retraining_can_repeat(
    example: tuple[Path, list[dict[str, Any]]],
) -> None:
    described = json.loads((example[0] / "model.json").read_text())
    recipe = TrainingRecipe.model_validate(described["training_recipe"])
    config = RetrainConfig.from_dict(recipe.model_dump(exclude={"seed"}))
    assert (config.schedule, config.epochs, config.batch_size) == ("one_cycle", 25, 64)
