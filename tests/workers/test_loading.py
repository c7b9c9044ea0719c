"""From what is registered to tensors and a network."""

import numpy as np
import pytest
import torch
from sqlalchemy import select

from app.registry.tables import DatasetShard, Sample, SampleSplit
from app.storage import ArtifactStore, CorruptArtifact, MissingArtifact
from tests.registry import content
from tests.registry.content import digest, feature_columns, image_columns, parquet, state, weights
from tests.registry.front import Front
from workers import shards
from workers.loading import Source, joined, load_model, view


@pytest.fixture
def ids(front: Front) -> list[int]:
    """Sample ids by row of a dataset whose feature k of row r is r + k / 10."""
    front.ready_dataset()
    with front.runtime.database.read() as session:
        return list(session.scalars(select(Sample.id).order_by(Sample.row)))


def source(front: Front) -> Source:
    with front.runtime.database.read() as session:
        dataset = session.scalars(select(Sample.dataset_id)).first()
    assert dataset is not None
    return Source(front.runtime, dataset)


def test_a_split_comes_without_the_excluded_samples(front: Front, ids: list[int]) -> None:
    loaded = source(front).split(SampleSplit.VALIDATION, {ids[8], ids[0]})

    rows = [3, 13, 18]
    assert loaded.sample_ids.tolist() == [ids[row] for row in rows]
    expected = torch.tensor([[row + k / 10 for k in range(3)] for row in rows])
    assert torch.equal(loaded.labelled.inputs, expected)
    assert loaded.labelled.labels.tolist() == [1, 1, 0]


def test_samples_come_by_id_in_the_order_of_their_rows(front: Front, ids: list[int]) -> None:
    loaded = source(front).rows([ids[12], ids[1], ids[6]])

    assert loaded.sample_ids.tolist() == [ids[1], ids[6], ids[12]]
    assert loaded.labelled.inputs[:, 0].tolist() == [1.0, 6.0, 12.0]


def test_an_empty_set_has_the_shape_of_a_sample(front: Front, ids: list[int]) -> None:
    loaded = source(front).rows([])

    assert loaded.labelled.inputs.shape == (0, 3)
    assert loaded.sample_ids.shape == (0,)


def test_features_are_normalised_one_by_one(front: Front, ids: list[int]) -> None:
    loaded = source(front).rows([ids[5]])
    seen = view({"mean": [1.0, 0.0, 0.0], "std": [2.0, 1.0, 0.5]}).plain(loaded.labelled.inputs)

    assert seen[0].tolist() == pytest.approx([2.0, 5.1, 10.4])


def test_pixels_stay_bytes_and_are_scaled_to_one_and_normalised_by_channel(front: Front) -> None:
    columns = image_columns(5)
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 255, 51, 0
    columns["image"] = [content.png(pixels)] * 5
    front.dataset(parquet(columns), task="image_classification")
    normalization = {"mean": [0.5, 0.0, 0.25], "std": [0.5, 0.1, 0.5]}
    loaded = source(front).split(SampleSplit.TRAIN, ())
    seen = view(normalization).plain(loaded.labelled.inputs)

    assert loaded.labelled.inputs.shape == (3, 3, 4, 4)
    assert loaded.labelled.inputs.dtype == torch.uint8
    assert seen.dtype == torch.float32
    for channel, value in enumerate((1.0, 2.0, -0.5)):
        assert seen[:, channel].unique().tolist() == pytest.approx([value])
    assert torch.equal(view(None).plain(loaded.labelled.inputs)[0, 0], torch.ones(4, 4))


def test_rows_of_several_shards_keep_their_order_and_are_read_once(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.dataset(parquet(feature_columns(2500)))
    reads: list[str] = []
    real = shards.read_shard

    def counted(store: ArtifactStore, sha256: str) -> shards.Inputs:
        reads.append(sha256)
        return real(store, sha256)

    monkeypatch.setattr("workers.loading.read_shard", counted)
    samples = source(front)
    held_out = [samples.split(split, ()) for split in (SampleSplit.VALIDATION, SampleSplit.TEST)]
    train = samples.split(SampleSplit.TRAIN, ())

    rows = [row for row in range(2500) if row % 5 < 3]
    assert train.labelled.inputs[:, 0].tolist() == [float(row) for row in rows]
    assert len(reads) == len(set(reads)) == 3
    assert [len(one.sample_ids) for one in held_out] == [500, 500]


def test_joined_sets_and_selected_rows_keep_ids_beside_their_inputs(
    front: Front, ids: list[int]
) -> None:
    samples = source(front)
    both = joined(samples.rows(ids[10:12]), samples.rows(ids[2:4]))
    chosen = both.select(torch.tensor([3, 0]))

    assert both.sample_ids.tolist() == [ids[10], ids[11], ids[2], ids[3]]
    assert chosen.sample_ids.tolist() == [ids[3], ids[10]]
    assert chosen.labelled.inputs[:, 0].tolist() == [3.0, 10.0]


def test_a_model_is_loaded_with_its_weights_in_eval_mode(front: Front) -> None:
    front.model(weights())
    model = load_model(front.runtime.artifacts, "mlp", content.MLP, digest(weights()))

    assert not model.training
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state().items())


def test_missing_weights_are_told_from_damaged_ones(front: Front) -> None:
    front.model(weights())
    store, name = front.runtime.artifacts, digest(weights())
    path = store.path(name)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(CorruptArtifact):
        load_model(store, "mlp", content.MLP, name)
    path.unlink()
    with pytest.raises(MissingArtifact):
        load_model(store, "mlp", content.MLP, name)


def test_a_damaged_shard_is_never_used(front: Front, ids: list[int]) -> None:
    with front.runtime.database.read() as session:
        name = session.scalars(select(DatasetShard.artifact_sha256)).one()
    path = front.runtime.artifacts.path(name)
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x00\x01")

    with pytest.raises(CorruptArtifact):
        source(front).rows(ids)
