"""Registering datasets, through the front door."""

import json
import sqlite3
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from app.registry.tables import Dataset, DatasetShard, Sample, SampleSubject
from tests.registry import content
from tests.registry.content import feature_columns, image_columns, parquet, png
from tests.registry.front import PROBLEM, Front
from workers import rows
from workers.shards import read_shard

SECRET = "canary-7391@example.org"


def assert_nothing_left(front: Front) -> None:
    assert front.rows_left() == 0
    assert front.files_left() == []


def test_a_registered_manifest_ends_ready_with_its_counts(front: Front) -> None:
    answer = front.post_dataset(front.upload(parquet(feature_columns(20))))

    assert answer.status_code == 202
    assert answer.json()["state"] == "checking"
    assert answer.headers["location"] == f"/api/v1/datasets/{answer.json()['id']}"
    assert front.check() == 1
    ready = front.get(f"/datasets/{answer.json()['id']}")
    assert ready["state"] == "ready"
    assert ready["problem"] is None
    assert ready["input_shape"] == [3]
    assert ready["split_counts"] == {"train": 12, "validation": 4, "test": 4}
    assert ready["suppressed_rows"] == 0
    assert front.audit_kinds()[-3:] == [
        "registry:dataset:registered",
        "registry:dataset:ready",
        "storage:artifact:destroyed",
    ]


def test_a_row_is_found_by_the_reference_of_its_subject(front: Front) -> None:
    front.dataset(parquet(feature_columns(20)))

    keyring = front.runtime.keyring
    sha256 = content.digest(b"customer-3")
    reference = keyring.subject_ref(keyring.pseudonym_key_id, "controller_customer_id", sha256)
    with front.runtime.database.read() as session:
        rows = session.scalars(
            select(Sample.row)
            .join(SampleSubject, SampleSubject.sample_id == Sample.id)
            .where(SampleSubject.subject_ref == reference)
            .order_by(Sample.row)
        ).all()
    assert rows == [3, 7, 11, 15, 19]


def test_labels_and_splits_of_rows_are_those_of_the_manifest(front: Front) -> None:
    columns = feature_columns(20)
    front.dataset(parquet(columns))

    with front.runtime.database.read() as session:
        rows = session.scalars(select(Sample).order_by(Sample.row)).all()
    assert [row.row for row in rows] == list(range(20))
    assert [row.label for row in rows] == columns["label"]
    assert [row.split.value for row in rows] == columns["split"]


def test_a_sample_may_show_several_subjects_and_none(front: Front) -> None:
    columns = feature_columns(5)
    columns["customer"] = [["a", "b"], None, ["c", None], [], ["a", "a"]]
    ready = front.dataset(parquet(columns))

    assert ready["state"] == "ready"
    with front.runtime.database.read() as session:
        rows = session.execute(
            select(Sample.row, SampleSubject.subject_ref).join(
                SampleSubject, SampleSubject.sample_id == Sample.id
            )
        ).all()
    assert sorted(row for row, _ in rows) == [0, 0, 2, 4]
    assert len({reference for _, reference in rows}) == 3


def test_raw_and_hashed_identities_of_two_columns_become_different_types(front: Front) -> None:
    columns = feature_columns(5)
    columns["mail"] = [content.digest(b"ada@example.org")] * 5
    ready = front.dataset(
        parquet(columns),
        subject_columns=[
            {"column": "customer"},
            {"column": "mail", "type": "email", "format": "sha256"},
        ],
    )

    assert ready["subject_columns"] == [
        {"column": "customer", "type": "controller_customer_id", "format": "raw"},
        {"column": "mail", "type": "email", "format": "sha256"},
    ]
    keyring = front.runtime.keyring
    reference = keyring.subject_ref(
        keyring.pseudonym_key_id, "email", content.digest(b"ada@example.org")
    )
    with front.runtime.database.read() as session:
        found = session.scalars(
            select(SampleSubject.identity_type).where(SampleSubject.subject_ref == reference)
        ).all()
    assert found == ["email"] * 5


def test_images_become_shards_of_a_thousand_rows_with_the_same_pixels(front: Front) -> None:
    columns = image_columns(5)
    columns = {name: values * 401 for name, values in columns.items()}
    columns["sample_id"] = [f"sample-{row}" for row in range(2005)]
    ready = front.dataset(parquet(columns), task="image_classification")

    assert ready["state"] == "ready", ready
    assert ready["input_shape"] == [1, 4, 4]
    with front.runtime.database.read() as session:
        shards = session.scalars(select(DatasetShard).order_by(DatasetShard.number)).all()
    assert [(shard.first_row, shard.row_count) for shard in shards] == [
        (0, 1000),
        (1000, 1000),
        (2000, 5),
    ]
    last = read_shard(front.runtime.artifacts, shards[2].artifact_sha256)
    assert last.dtype == np.uint8
    assert last[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_colour_images_are_stored_channels_first(front: Front) -> None:
    columns = image_columns(5)
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    columns["image"] = [png(pixels)] * 5
    ready = front.dataset(parquet(columns), task="image_classification")

    assert ready["input_shape"] == [3, 4, 5]
    with front.runtime.database.read() as session:
        shard = session.scalars(select(DatasetShard)).one()
    stored = read_shard(front.runtime.artifacts, shard.artifact_sha256)
    assert stored[0, 2, 1, 3] == pixels[1, 3, 2]


def test_equal_rows_give_equal_shards(front: Front) -> None:
    manifest = parquet(feature_columns())
    front.dataset(manifest, name="first")
    front.dataset(manifest, name="second")

    with front.runtime.database.read() as session:
        names = session.scalars(select(DatasetShard.artifact_sha256)).all()
    assert len(names) == 2
    assert len(set(names)) == 1


def test_no_raw_identity_and_no_sample_id_stays_behind(front: Front) -> None:
    columns = feature_columns(10)
    columns["customer"][4] = SECRET
    columns["sample_id"][4] = f"sample-of-{SECRET}"
    sha256 = front.upload(parquet(columns, compression="none"))
    front.post_dataset(sha256)
    front.check()

    assert front.artifact(sha256).state == "destroyed"
    assert front.artifact(sha256).destroyed_reason == "registered"
    settings = front.runtime.settings
    front.runtime.database.dispose()
    with sqlite3.connect(settings.data_dir / "lotus.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in settings.data_dir.rglob("*"):
        if path.is_file():
            assert b"canary-7391" not in path.read_bytes(), path


BROKEN: dict[str, tuple[Any, str, str]] = {
    # name: what is done to the columns, the problem's type, the field that it names
    "no label column": (lambda c: c.pop("label"), "missing-column", "label"),
    "no subject column": (lambda c: c.pop("customer"), "missing-column", "customer"),
    "no features": (lambda c: c.pop("features"), "missing-column", "features"),
    "label above the classes": (
        lambda c: c["label"].__setitem__(7, 2),
        "label-out-of-range",
        "row 7",
    ),
    "label below zero": (lambda c: c["label"].__setitem__(7, -1), "label-out-of-range", "row 7"),
    "label missing": (lambda c: c["label"].__setitem__(7, None), "invalid-row", "row 7"),
    "labels as text": (
        lambda c: c.update(label=[SECRET] * 20),
        "wrong-column-type",
        "label",
    ),
    "sample ids as numbers": (
        lambda c: c.update(sample_id=list(range(20))),
        "wrong-column-type",
        "sample_id",
    ),
    "sample id twice": (
        lambda c: c.update(sample_id=[SECRET if row in (3, 9) else str(row) for row in range(20)]),
        "duplicate-sample-id",
        "row 9",
    ),
    "sample id empty": (lambda c: c["sample_id"].__setitem__(2, ""), "invalid-row", "row 2"),
    "sample id missing": (lambda c: c["sample_id"].__setitem__(2, None), "invalid-row", "row 2"),
    "unknown split": (lambda c: c["split"].__setitem__(11, SECRET), "invalid-row", "row 11"),
    "subject that is blank": (lambda c: c["customer"].__setitem__(5, " "), "invalid-row", "row 5"),
    "subject that is too long": (
        lambda c: c["customer"].__setitem__(5, SECRET * 100),
        "invalid-row",
        "row 5",
    ),
    "nothing to train on": (lambda c: c.update(split=["test"] * 20), "missing-split", "split"),
    "nothing held out": (lambda c: c.update(split=["train"] * 20), "missing-split", "split"),
    "features of two lengths": (
        lambda c: c["features"].__setitem__(13, [1.0]),
        "wrong-features",
        "row 13",
    ),
    "features with NaN": (
        lambda c: c["features"].__setitem__(13, [1.0, float("nan"), 2.0]),
        "wrong-features",
        "row 13",
    ),
    "features too large for 32 bits": (
        lambda c: c["features"].__setitem__(13, [1.0, 1e300, 2.0]),
        "wrong-features",
        "row 13",
    ),
    "features with a hole": (
        lambda c: c["features"].__setitem__(13, [1.0, None, 2.0]),
        "wrong-features",
        "row 13",
    ),
    "features missing": (lambda c: c["features"].__setitem__(13, None), "wrong-features", "row 13"),
    "images beside features": (
        lambda c: c.update(image=[b"x"] * 20),
        "wrong-column-type",
        "image",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_ends_invalid_and_leaves_nothing(front: Front, name: str) -> None:
    spoil, code, field = BROKEN[name]
    columns = feature_columns(20)
    spoil(columns)
    sha256 = front.upload(parquet(columns))
    answer = front.post_dataset(sha256)
    front.check()

    ended = front.get(f"/datasets/{answer.json()['id']}")
    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + code
    assert ended["problem"]["status"] == 422
    assert [error["field"] for error in ended["problem"]["errors"]] == [field]
    assert SECRET not in json.dumps(ended)
    assert_nothing_left(front)
    assert front.artifact(sha256).state == "destroyed"
    assert front.artifact(sha256).destroyed_reason == "invalid"
    assert front.audit_kinds()[-2:] == ["registry:dataset:invalid", "storage:artifact:destroyed"]


@pytest.mark.parametrize(
    "name", ["cut short", "cut in the middle", "no Parquet", "empty", "zero rows"]
)
def test_a_file_that_is_no_whole_manifest_ends_invalid(front: Front, name: str) -> None:
    whole = parquet(feature_columns(2000), row_group_size=100)
    middle = bytearray(whole)
    middle[2000:6000] = bytes(4000)
    files = {
        "cut short": whole[:-100],
        "cut in the middle": bytes(middle),
        "no Parquet": SECRET.encode() * 50,
        "empty": b"",
        "zero rows": parquet({"sample_id": []}),
    }
    ended = front.dataset(files[name])

    assert ended["state"] == "invalid"
    expected = "wrong-column-type" if name == "zero rows" else "unreadable-manifest"
    assert ended["problem"]["type"] == PROBLEM + expected
    assert SECRET not in json.dumps(ended)
    assert_nothing_left(front)


def test_a_value_that_the_file_repeats_is_not_copied_before_its_length_is_checked(
    front: Front,
) -> None:
    columns = feature_columns(2000)
    columns["customer"] = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 20_000_000])
    )
    tracemalloc.start()
    ended = front.dataset(parquet(columns, compression="zstd"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ended["problem"]["errors"] == [
        {"field": "row 0", "message": "customer is longer than 4096 bytes"}
    ]
    assert peak < 100_000_000  # 256 copies would take five gigabytes


def test_text_that_is_not_utf8_is_refused(front: Front) -> None:
    columns = feature_columns(20)
    raw = pa.array([b"\xff\xfe" if row == 8 else b"customer" for row in range(20)])
    columns["customer"] = raw.view(pa.string())
    ended = front.dataset(parquet(columns))

    assert ended["problem"]["type"] == PROBLEM + "unreadable-manifest"
    assert_nothing_left(front)


def test_positions_beyond_the_values_of_a_column_are_refused(front: Front) -> None:
    """A damaged page whose dictionary is shorter than the positions in it."""
    columns = feature_columns(300)
    whole = parquet(columns, compression="none")
    damaged = bytearray(whole)
    start = whole.index(b"customer-0")
    # Rows name values 0 to 3 as runs of two-bit positions; the dictionary then holds one value.
    header = whole.rindex(b"\x15\x08", 0, start)
    damaged[header + 1] = 0x02
    ended = front.dataset(bytes(damaged))

    assert ended["problem"]["type"] == PROBLEM + "unreadable-manifest"
    assert_nothing_left(front)


def _bomb() -> bytes:
    """The PNG header of an image of 5,000 by 5,000 pixels."""
    image = bytearray(png(np.zeros((4, 4), np.uint8)))
    image[16:24] = (5_000).to_bytes(4, "big") * 2
    image[29:33] = zlib.crc32(bytes(image[12:29])).to_bytes(4, "big")
    return bytes(image)


IMAGES = {
    "no image": SECRET.encode(),
    "cut short": png(np.random.default_rng(0).integers(0, 255, (4, 4), np.uint8))[:-30],
    "another size": png(np.zeros((5, 4), np.uint8)),
    "another mode": png(np.zeros((4, 4, 3), np.uint8)),
    "with transparency": png(np.zeros((4, 4, 4), np.uint8)),
    "missing": None,
    "a bomb": _bomb(),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_broken_image_ends_the_dataset_and_names_the_row(front: Front, name: str) -> None:
    columns = image_columns(20)
    columns["image"][6] = IMAGES[name]
    ended = front.dataset(parquet(columns), task="image_classification")

    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + "broken-image"
    assert ended["problem"]["errors"][0]["field"] == "row 6"
    assert SECRET not in json.dumps(ended)
    assert_nothing_left(front)


def test_a_first_image_that_is_too_large_is_not_decoded(front: Front) -> None:
    columns = image_columns(20)
    columns["image"][0] = _bomb()
    ended = front.dataset(parquet(columns), task="image_classification")

    assert ended["problem"]["errors"][0] == {
        "field": "row 0",
        "message": "image is larger than 4096 pixels a side",
    }


def test_a_problem_far_into_the_file_leaves_no_shard_of_the_rows_before(front: Front) -> None:
    columns = feature_columns(3000)
    columns["label"][2999] = 5
    ended = front.dataset(parquet(columns))

    assert ended["problem"]["errors"][0]["field"] == "row 2999"
    assert_nothing_left(front)


def test_a_name_is_free_again_once_its_registration_was_invalid(front: Front) -> None:
    columns = feature_columns()
    columns["label"][0] = 9
    first = front.dataset(parquet(columns))
    second = front.dataset(parquet(feature_columns()))

    assert (first["state"], second["state"]) == ("invalid", "ready")
    assert first["name"] == second["name"]


def test_a_name_in_use_is_refused(front: Front) -> None:
    manifest = parquet(feature_columns())
    front.dataset(manifest)
    answer = front.post_dataset(front.upload(manifest))

    assert answer.status_code == 409
    assert answer.json()["type"] == PROBLEM + "name-taken"


# A control of C0, of C1, the directions, and the separators of lines and paragraphs.
DISTURBING = "\x1b\x7f\x80\x9b\u2028\u2029\u202a\u202e\u2066\u2069"


@pytest.mark.parametrize("character", DISTURBING, ids=ascii)
def test_no_name_has_a_character_that_disturbs_a_terminal_or_a_log(
    front: Front, character: str
) -> None:
    bad = f"a{character}b"
    for field, changes in (
        ("body.name", {"name": bad}),
        ("body.class_names.1", {"class_names": ["zero", bad]}),
        ("body.subject_columns.0.column", {"subject_columns": [{"column": bad}]}),
    ):
        answer = front.post_dataset("0" * 64, **changes)
        assert answer.status_code == 422, field
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    model = front.post_model("dst_" + "0" * 32, "0" * 64, name=bad)
    assert [error["field"] for error in model.json()["errors"]] == ["body.name"]
    key = front.api.post("/api/v1/keys", json={"name": bad, "scopes": ["registry:read"]})
    assert [error["field"] for error in key.json()["errors"]] == ["body.name"]


def test_names_are_in_any_script(front: Front) -> None:
    columns = feature_columns()
    columns["מספר לקוח"] = columns.pop("customer")
    ready = front.dataset(
        parquet(columns),
        name="kunder på øya – زبائن 顧客 🙂",
        subject_columns=[{"column": "מספר לקוח"}],
    )
    assert ready["state"] == "ready", ready
    assert ready["name"] == "kunder på øya – زبائن 顧客 🙂"


def test_a_dataset_with_a_name_that_would_be_refused_today_is_still_shown(front: Front) -> None:
    identity = front.ready_dataset()
    old = "a\x9bb\u202e"
    with front.runtime.database.write() as session:
        row = session.scalars(select(Dataset)).one()
        row.name, row.class_names = old, [old, "one"]
        row.subject_columns = [{**row.subject_columns[0], "column": old}]
    for shown in (front.get(f"/datasets/{identity}"), front.get("/datasets")["items"][0]):
        assert shown["name"] == shown["class_names"][0] == old
        assert shown["subject_columns"][0]["column"] == old


def test_an_artifact_that_was_not_uploaded_is_refused(front: Front) -> None:
    answer = front.post_dataset("0" * 64)

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "unknown-artifact"
    assert front.check() == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"class_names": ["one"]}, "body.class_names"),
        ({"class_names": [SECRET, SECRET]}, "body.class_names"),
        ({"subject_columns": []}, "body.subject_columns"),
        ({"subject_columns": [{"column": "label"}]}, "body.subject_columns"),
        ({"subject_columns": [{"column": "a"}, {"column": "a"}]}, "body.subject_columns"),
        ({"subject_columns": [{"column": "a", "type": "E-Mail"}]}, "body.subject_columns.0.type"),
        ({"task": SECRET}, "body.task"),
        ({"artifact": SECRET}, "body.artifact"),
        ({"name": "with\nbreak"}, "body.name"),
        ({"name": "\ud800"}, "body.name"),
        ({SECRET: 1}, "body"),
    ],
)
def test_what_the_schema_refuses_is_named_and_not_repeated(
    front: Front, changes: dict[str, Any], field: str
) -> None:
    answer = front.post_dataset("0" * 64, **changes)

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "invalid-input"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert SECRET not in answer.text


def test_lists_go_on_where_the_page_before_ended(front: Front) -> None:
    manifest = parquet(feature_columns())
    sha256 = front.upload(manifest)
    for number in range(5):
        assert front.post_dataset(sha256, name=f"dataset {number}").status_code == 202

    first = front.get("/datasets?limit=2")
    second = front.get(f"/datasets?limit=2&cursor={first['next_cursor']}")
    third = front.get(f"/datasets?limit=2&cursor={second['next_cursor']}")

    names = [item["name"] for page in (first, second, third) for item in page["items"]]
    assert names == [f"dataset {number}" for number in (4, 3, 2, 1, 0)]
    assert third["next_cursor"] is None


def test_images_that_take_much_memory_are_decoded_a_few_at_a_time(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    original = rows.pixels

    def counted(column: Any, *rest: Any) -> Any:
        decoded.append(len(column))
        return original(column, *rest)

    monkeypatch.setattr("workers.rows.pixels", counted)
    monkeypatch.setattr("workers.manifest.BATCH_BYTES", 3 * 16)  # three images of 4 x 4
    found = front.dataset(parquet(image_columns(20)), task="image_classification")
    assert found["state"] == "ready"
    assert decoded == [1, *([3] * 6), 1]
    assert found["split_counts"] == {"train": 12, "validation": 4, "test": 4}


def test_a_small_file_that_would_fill_the_disk_is_refused_and_leaves_nothing(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.manifest.FREE_GROWTH_BYTES", 0)
    columns = image_columns(200)
    columns["image"] = [png(np.zeros((512, 512), np.uint8))] * 200
    manifest = parquet(columns)
    assert len(manifest) * 200 < 200 * 512 * 512
    found = front.dataset(manifest, task="image_classification")
    assert found["state"] == "invalid"
    assert found["problem"]["type"].endswith(":manifest-too-large")
    assert (front.rows_left(), front.files_left()) == (0, [])
