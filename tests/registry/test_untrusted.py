"""Files and bodies that somebody made to do harm, through the front door: each ends in a clear
problem, and nothing of it is left."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from PIL import Image

from tests.registry import content
from tests.registry.content import feature_columns, image_columns, parquet, png, state, weights
from tests.registry.front import PROBLEM, Front
from workers import images, manifest
from workers.images import FORMATS
from workers.registration import process_pending

SECRET = "canary-5121"


def parts(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a safetensors file."""
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def file_of(header: dict[str, Any] | str, tensors: bytes) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def with_header(**changes: Any) -> bytes:
    header, tensors = parts(weights())
    return file_of(header | changes, tensors)


def with_tensor(**changes: Any) -> bytes:
    """The first tensor's entry is changed."""
    header, tensors = parts(weights())
    header["0.weight"] |= changes
    return file_of(header, tensors)


def torch_file() -> bytes:
    """What `torch.save` writes: a zip with a pickle in it."""
    file = io.BytesIO()
    torch.save({SECRET: torch.zeros(3)}, file)
    assert zipfile.is_zipfile(file)
    return file.getvalue()


def twice() -> bytes:
    header, tensors = parts(weights())
    text = json.dumps(header)
    return file_of('{"0.weight":{"' + SECRET + '":1},' + text[1:], tensors)


def deep() -> bytes:
    _, tensors = parts(weights())
    return file_of('{"0.weight":' + "[" * 100_000 + "]" * 100_000 + "}", tensors)


def overlapping() -> bytes:
    header, tensors = parts(weights())
    header["2.bias"]["data_offsets"] = header["0.bias"]["data_offsets"][:1] * 2
    return file_of(header, tensors)


def padded(blanks: str) -> bytes:
    header, tensors = parts(weights())
    return file_of(json.dumps(header) + blanks, tensors)


WEIGHTS: dict[str, tuple[Any, str]] = {
    "a torch file": (torch_file, "unreadable-weights"),
    "offsets that overlap": (overlapping, "unreadable-weights"),
    "offsets beyond the file": (
        lambda: with_tensor(data_offsets=[0, 2**62]),
        "unreadable-weights",
    ),
    "offsets below zero": (lambda: with_tensor(data_offsets=[-8, 40]), "unreadable-weights"),
    "a shape that overflows": (lambda: with_tensor(shape=[2**40, 2**40]), "unreadable-weights"),
    "an unknown type": (lambda: with_tensor(dtype=SECRET), "unreadable-weights"),
    "a header of 60 megabytes": (
        lambda: with_header(__metadata__={"x": "y" * 60_000_000}),
        "unreadable-weights",
    ),
    "a header that nests without end": (deep, "unreadable-weights"),
    "a header that is a list": (lambda: file_of("[1]", b""), "unreadable-weights"),
    "a tensor twice": (twice, "unreadable-weights"),
    **{
        f"metadata that is {json.dumps(value)}": (
            lambda value=value: with_header(__metadata__=value),
            "unreadable-weights",
        )
        for value in (
            "pt",
            [1],
            5,
            True,
            False,
            {"format": ["pt"]},
            {"format": {}},
            {"format": None},
        )
    },
    "a megabyte of blanks": (lambda: padded(" " * 1_000_000), "weights-metadata"),
    "a megabyte of tabs and blanks": (lambda: padded("\t " * 500_000), "weights-metadata"),
    "text in the metadata": (
        lambda: with_header(__metadata__={"trained_on": SECRET}),
        "weights-metadata",
    ),
    "text beside the format": (
        lambda: with_header(__metadata__={"format": "pt", "author": SECRET}),
        "weights-metadata",
    ),
    "text as the format": (
        lambda: with_header(__metadata__={"format": SECRET}),
        "weights-metadata",
    ),
    "text in a tensor's entry": (lambda: with_tensor(note=SECRET), "weights-metadata"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_more_or_less_than_weights_end_invalid(front: Front, name: str) -> None:
    make, code = WEIGHTS[name]
    dataset = front.ready_dataset()
    before = sorted(front.files_left())
    ended = front.model(make(), dataset=dataset)
    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + code
    assert SECRET not in json.dumps(ended)
    assert sorted(front.files_left()) == before


def test_weights_as_transformers_and_torch_users_save_them_are_taken(front: Front) -> None:
    file = safetensors.torch.save(state(), metadata={"format": "pt"})
    assert parts(file)[0]["__metadata__"] == {"format": "pt"}
    assert front.model(file)["state"] == "ready"


def test_weights_whose_header_is_filled_up_a_little_or_has_no_metadata_are_taken(
    front: Front,
) -> None:
    dataset = front.ready_dataset()
    assert front.model(padded(" " * 4_096), dataset=dataset)["state"] == "ready"
    ready = front.model(with_header(__metadata__=None), dataset=dataset, name="second")
    assert ready["state"] == "ready"


def image(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    made = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    made.save(file, format=kind, **options)
    return file.getvalue()


GREY = np.arange(16, dtype=np.uint8).reshape(4, 4)
IMAGES: dict[str, tuple[Any, str]] = {
    "CMYK": (
        lambda: image(Image.new("CMYK", (4, 4)), "JPEG"),
        "is neither 8-bit greyscale nor RGB",
    ),
    "16 bits": (lambda: image(GREY.astype(np.uint16)), "is neither 8-bit greyscale nor RGB"),
    "a palette": (
        lambda: image(Image.fromarray(GREY).convert("P")),
        "is neither 8-bit greyscale nor RGB",
    ),
    "one bit": (lambda: image(Image.new("1", (4, 4))), "is neither 8-bit greyscale nor RGB"),
    "a GIF": (lambda: image(GREY, "GIF"), f"cannot be decoded as {' or '.join(FORMATS)}"),
    "a TIFF": (lambda: image(GREY, "TIFF"), f"cannot be decoded as {' or '.join(FORMATS)}"),
    "a JPEG cut short": (
        lambda: image(np.random.default_rng(0).integers(0, 255, (4, 4), np.uint8), "JPEG")[:-40],
        f"cannot be decoded as {' or '.join(FORMATS)}",
    ),
    "50,000 pixels a side": (
        lambda: _claims(50_000),
        f"cannot be decoded as {' or '.join(FORMATS)}",
    ),
    "5,000 pixels a side": (lambda: _claims(5_000), "is larger than 4096 pixels a side"),
    "a JPEG of 101 scans": (lambda: _scans(101), "has more than 100 scans"),
    "a JPEG of 101 scans after an end that is none": (
        lambda: b"\xff\xd8\xff\xd9" + _scans(101),
        "has more than 100 scans",
    ),
    "a JPEG of 1,001 segments": (
        lambda: _scans(1)[:2] + b"\xff\xfe\x00\x02" * 1001 + _scans(1)[2:],
        "has more than 1000 segments",
    ),
    "a PNG of 1,100 empty chunks": (
        lambda: png(GREY)[:33] + EMPTY_CHUNK * 1100 + png(GREY)[33:],
        "has more than 1012 chunks",
    ),
    "17 megabytes": (lambda: png(GREY) + bytes(17_000_000), "is larger than 16777216 bytes"),
}


EMPTY_CHUNK = bytes(4) + b"abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")


def _scans(count: int) -> bytes:
    """A progressive image of 4 x 4 pixels; each scan more is a pass over all of them."""
    made = image(GREY, "JPEG", progressive=True)
    last = made[made.rindex(b"\xff\xda") : -2]
    return made[:-2] + last * (count - made.count(b"\xff\xda")) + made[-2:]


def _claims(side: int) -> bytes:
    """The header of a large image over the pixels of a small one."""
    made = bytearray(png(GREY))
    made[16:24] = side.to_bytes(4, "big") * 2
    made[29:33] = zlib.crc32(bytes(made[12:29])).to_bytes(4, "big")
    return bytes(made)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_is_none_of_ours_ends_the_dataset_and_names_the_row(
    front: Front, name: str
) -> None:
    make, why = IMAGES[name]
    columns = image_columns(20)
    columns["image"][6] = make()
    ended = front.dataset(parquet(columns), task="image_classification")
    assert ended["problem"]["type"] == PROBLEM + "broken-image"
    assert ended["problem"]["errors"] == [{"field": "row 6", "message": f"image {why}"}]
    assert (front.rows_left(), front.files_left()) == (0, [])


def test_images_in_many_parts_are_taken_if_each_has_something_in_it(front: Front) -> None:
    columns = image_columns(20)
    note = b"\xff\xda" * 500  # no scan, though it looks like one
    columns["image"][0] = image(
        GREY, "JPEG", progressive=True, restart_marker_blocks=1, comment=note
    )
    pixels = png(GREY)
    (length,) = struct.unpack(">I", pixels[33:37])
    split = [pixels[41 + place : 42 + place] for place in range(length)]
    columns["image"][1] = pixels[:33] + b"".join(map(_pixels, split)) + pixels[45 + length :]
    ready = front.dataset(parquet(columns), task="image_classification")
    assert ready["state"] == "ready", ready


def _pixels(part: bytes) -> bytes:
    chunk = b"IDAT" + part
    return len(part).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


def test_an_image_that_takes_too_long_ends_the_dataset_and_names_the_row(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LONGEST_DECODING", 0.0)
    ended = front.dataset(parquet(image_columns(20)), task="image_classification")
    assert ended["problem"]["type"] == PROBLEM + "broken-image"
    why = "image takes longer than 0 seconds to decode"
    assert ended["problem"]["errors"] == [{"field": "row 0", "message": why}]
    assert (front.rows_left(), front.files_left()) == (0, [])


def test_images_that_take_too_long_together_end_the_dataset_and_the_row_is_named(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "FREE_SECONDS", 1e-9)
    monkeypatch.setattr(manifest, "SECONDS_PER_MEBIBYTE", 0.0)
    ended = front.dataset(parquet(image_columns(20)), task="image_classification")
    assert ended["problem"]["type"] == PROBLEM + "broken-image"
    (error,) = ended["problem"]["errors"]
    assert error["field"] == "row 1"
    assert error["message"].startswith("image comes after images that took 0 seconds to decode")
    assert (front.rows_left(), front.files_left()) == (0, [])


def test_the_lease_is_thought_of_between_the_images_of_a_batch(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "BEAT_EVERY", 0.0)
    identity = front.post_dataset(
        front.upload(parquet(image_columns(20))), task="image_classification"
    ).json()["id"]
    steps: list[None] = []
    process_pending(front.runtime, lambda: datetime.now(UTC), step=lambda: steps.append(None))
    assert front.get(f"/datasets/{identity}")["state"] == "ready"
    assert len(steps) > 20


def test_of_an_animated_image_and_one_with_notes_the_first_pixels_alone_are_kept(
    front: Front,
) -> None:
    columns = image_columns(20)
    moving = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    columns["image"][0] = image(moving[0], save_all=True, append_images=moving[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: pixels count as they are stored
    exif[0x010E] = SECRET
    columns["image"][1] = image(GREY, exif=exif)
    ready = front.dataset(parquet(columns, compression="none"), task="image_classification")
    assert ready["state"] == "ready", ready
    stored = b"".join(
        path.read_bytes()
        for path in front.runtime.settings.artifact_dir.rglob("*")
        if path.is_file()
    )
    assert stored.count(GREY.tobytes()) == 2
    assert (255 - GREY).tobytes() not in stored
    assert SECRET.encode() not in stored


def test_a_manifest_of_more_columns_than_anyone_needs_is_refused(front: Front) -> None:
    extra = {f"{SECRET}-{number}": [0] * 20 for number in range(manifest.MOST_COLUMNS)}
    ended = front.dataset(parquet(feature_columns(20) | extra))
    assert ended["problem"]["type"] == PROBLEM + "manifest-too-large"
    assert SECRET not in json.dumps(ended)
    assert (front.rows_left(), front.files_left()) == (0, [])


def test_columns_that_say_they_are_larger_than_allowed_are_not_decompressed(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "FREE_GROWTH_BYTES", 0)
    columns = feature_columns(20) | {"padding": [f"{row}" + "x" * 1_000_000 for row in range(20)]}
    file = parquet(columns, compression="zstd", use_dictionary=False)
    assert len(file) * manifest.MOST_GROWTH < 20_000_000

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a page was read")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", never)
    ended = front.dataset(file)
    assert ended["problem"]["type"] == PROBLEM + "manifest-too-large"
    assert (front.rows_left(), front.files_left()) == (0, [])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_a_page_that_would_fill_the_memory_ends_the_registration_and_not_the_machine(
    front: Front,
) -> None:
    columns = feature_columns(20)
    file = io.BytesIO()
    table = pa.table(columns | {"sample_id": ["x" * 400_000_000, *columns["sample_id"][1:]]})
    pq.write_table(table, file, compression="zstd", use_dictionary=False)
    del table
    assert len(file.getvalue()) < 1_000_000
    identity = front.post_dataset(front.upload(file.getvalue())).json()["id"]
    given = front.runtime.settings.model_dump(exclude_none=True)
    given["check_memory_bytes"] = 512 * 1024 * 1024
    ended = subprocess.run(
        [sys.executable, "-m", "workers.registration"],
        env={**os.environ, **{f"LOTUS_{name.upper()}": str(v) for name, v in given.items()}},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    dataset = front.get(f"/datasets/{identity}")
    assert dataset["problem"]["type"] == PROBLEM + "content-too-large", ended.stderr
    assert (front.rows_left(), front.files_left()) == (0, [])


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.org/manifest.parquet",
        "s3://bucket/manifest.parquet",
        "../../etc/passwd",
    ],
)
def test_content_comes_by_upload_alone_and_no_address_is_ever_fetched(
    front: Front, uri: str
) -> None:
    dataset = front.post_dataset(uri)
    assert dataset.status_code == 422
    assert [error["field"] for error in dataset.json()["errors"]] == ["body.artifact"]
    for name in ("uri", "url", "path", "source"):
        answer = front.post_dataset("0" * 64, **{name: uri})
        assert (answer.status_code, answer.json()["type"]) == (422, PROBLEM + "invalid-input")
    ready = front.ready_dataset()
    model = front.post_model(ready, uri)
    assert [error["field"] for error in model.json()["errors"]] == ["body.artifact"]
    assert uri not in dataset.text + model.text
    assert front.api.put(f"/api/v1/artifacts/{uri}", content=b"x").status_code in (404, 405, 422)


def test_a_config_that_nests_ten_thousand_levels_is_refused_before_it_is_parsed(
    front: Front,
) -> None:
    nested = "[" * 10_000 + "]" * 10_000
    answer = front.api.post(
        "/api/v1/models",
        content=f'{{"name": "x", "config": {{"hidden": {nested}}}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEM + "malformed-json")


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "..", "a" * 63, "A" * 64])
def test_a_name_of_a_file_is_a_digest_and_leads_nowhere_else(front: Front, name: str) -> None:
    answer = front.api.put(f"/api/v1/artifacts/{name}", content=b"x")
    assert answer.status_code in (404, 405, 422)
    assert front.files_left() == []


def test_nothing_here_unpacks_an_archive(front: Front) -> None:
    """A zip whose member would leave its folder is bytes that are no manifest and no weights."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../escaped", SECRET)
    assert front.dataset(file.getvalue())["problem"]["type"] == PROBLEM + "unreadable-manifest"
    assert front.files_left() == []
    model = front.model(file.getvalue(), dataset=front.ready_dataset())
    assert model["problem"]["type"] == PROBLEM + "unreadable-weights"
    folder = front.runtime.settings.data_dir
    assert not list(folder.parent.rglob("escaped"))


def test_a_config_with_a_field_of_its_own_or_an_unknown_architecture_ends_the_model(
    front: Front,
) -> None:
    dataset = front.ready_dataset()
    for changes in (
        {"config": content.MLP | {"code": f"__import__('{SECRET}')"}},
        {"architecture": f"{SECRET}.module"},
    ):
        ended = front.model(weights(), dataset=dataset, **changes)
        assert ended["state"] == "invalid"
        assert SECRET not in json.dumps(ended["problem"])
