"""The Parquet manifest of a dataset: first its columns are checked, then its rows by the batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from app.http.problems import FieldError
from app.registry.schemas import SubjectColumn
from app.registry.tables import SampleSplit, Task
from workers import rows
from workers.content import ContentProblem
from workers.images import Decoder

# A row may hold a large image, and a repeated value costs nothing in the file: what is decoded at
# once is bounded in rows and in bytes, and so is all that a file may grow to.
BATCH_ROWS = 256
BATCH_BYTES = 64 * 1024 * 1024
MOST_ROWS = 50_000_000
MOST_COLUMNS = 1_000
# Photographs grow some tenfold when decoded; drawings more, but not without end.
MOST_GROWTH = 200
FREE_GROWTH_BYTES = 1024 * 1024 * 1024
# Of processor time, for all images together: usual ones take a tenth of that.
FREE_SECONDS = 120.0
SECONDS_PER_MEBIBYTE = 2.0


class UnreadableManifest(ContentProblem):
    code = "unreadable-manifest"
    title = "The file is not a complete Parquet file"


class MissingColumn(ContentProblem):
    code = "missing-column"
    title = "The manifest lacks a column"


class WrongColumnType(ContentProblem):
    code = "wrong-column-type"
    title = "A column of the manifest has the wrong type"


class ManifestTooLarge(ContentProblem):
    code = "manifest-too-large"
    title = "The manifest is too large"


@dataclass(frozen=True)
class RowBatch:
    """Rows in the file's order. subjects[i]: (column index, value) of each identity of row i."""

    first_row: int
    sample_ids: Sequence[str]
    labels: npt.NDArray[np.int64]
    splits: Sequence[SampleSplit]
    subjects: Sequence[Sequence[tuple[int, str]]]
    inputs: npt.NDArray[Any]  # (rows, *input shape), uint8 pixels or float32 features


@dataclass
class Manifest:
    """An opened manifest whose columns are right. `input_shape` is set by the first batch; at most
    `most_bytes` of content are decoded."""

    file: pq.ParquetFile
    task: Task
    class_count: int
    subject_columns: Sequence[SubjectColumn]
    most_bytes: int
    decoder: Decoder
    input_shape: tuple[int, ...] | None = field(default=None)
    decoded_bytes: int = field(default=0)

    @property
    def content_column(self) -> str:
        return _content_column(self.task)

    def batches(self) -> Iterator[RowBatch]:
        columns = [
            *("sample_id", "label", "split", self.content_column),
            *(column.column for column in self.subject_columns),
        ]
        first_row = 0
        arrow_batches = self.file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
        while True:
            try:
                batch = next(arrow_batches)
                # Arrow trusts a file's offsets, dictionary positions and UTF-8 until it is asked.
                batch.validate(full=True)
            except StopIteration:
                return
            except (
                MemoryError
            ):  # Arrow's is one of Arrow's errors too, and says nothing of the file
                raise
            except (pa.ArrowException, OSError):
                raise UnreadableManifest(
                    f"The file cannot be read after row {first_row}."
                ) from None
            while batch.num_rows:
                part = batch.slice(0, self._rows_at_once())
                yield self._checked(part, first_row)
                first_row += part.num_rows
                batch = batch.slice(part.num_rows)

    def _rows_at_once(self) -> int:
        """The first row alone, since only it tells how large the others are."""
        if self.input_shape is None:
            return 1
        item = 1 if self.task is Task.IMAGE_CLASSIFICATION else 4
        return max(1, min(BATCH_ROWS, BATCH_BYTES // (item * math.prod(self.input_shape))))

    def _checked(self, batch: pa.RecordBatch, first_row: int) -> RowBatch:
        return RowBatch(
            first_row=first_row,
            sample_ids=rows.sample_ids(batch.column("sample_id"), first_row),
            labels=rows.labels(batch.column("label"), first_row, self.class_count),
            splits=rows.splits(batch.column("split"), first_row),
            subjects=self._subjects(batch, first_row),
            inputs=self._inputs(batch.column(self.content_column), first_row),
        )

    def _subjects(self, batch: pa.RecordBatch, first_row: int) -> list[list[tuple[int, str]]]:
        subjects: list[list[tuple[int, str]]] = [[] for _ in range(batch.num_rows)]
        for index, declared in enumerate(self.subject_columns):
            values = rows.texts(batch.column(declared.column), declared.column, first_row)
            for row, value in zip(subjects, values, strict=True):
                several = value if isinstance(value, list) else [value]
                row += [(index, one) for one in several if one is not None]
        return subjects

    def _inputs(self, column: Any, first_row: int) -> npt.NDArray[Any]:
        inputs: npt.NDArray[Any]
        if self.task is Task.IMAGE_CLASSIFICATION:
            inputs = rows.pixels(column, first_row, self.input_shape, self.decoder)
        else:
            inputs = rows.features(column, first_row, self.input_shape)
        self.input_shape = inputs.shape[1:]
        self.decoded_bytes += inputs.nbytes
        if self.decoded_bytes > self.most_bytes:
            raise ManifestTooLarge(
                f"Decoded, the rows up to {first_row + len(inputs)} take more than {MOST_GROWTH} "
                "times the file's size."
            )
        return inputs


def open_manifest(
    path: Path,
    task: Task,
    class_count: int,
    subject_columns: Sequence[SubjectColumn],
    *,
    beat: Callable[[], None],
) -> Manifest:
    """Raises a ContentProblem unless the file is Parquet with the columns that were declared.

    `beat` is called while a batch with images that take long is read."""
    try:
        metadata = pq.read_metadata(path)
        if metadata.num_columns > MOST_COLUMNS:
            raise ManifestTooLarge(f"A manifest may have at most {MOST_COLUMNS} columns.")
        schema = pq.read_schema(path)
        # As dictionaries, so that one large value, repeated, is held once.
        file = pq.ParquetFile(path, read_dictionary=_byte_columns(metadata))
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError):
        raise UnreadableManifest("The file is not Parquet, or is cut short.") from None
    if file.metadata.num_rows > MOST_ROWS:
        raise ManifestTooLarge(f"A manifest may have at most {MOST_ROWS} rows.")
    _check_columns(schema, task, subject_columns)
    size = path.stat().st_size
    most_bytes = max(FREE_GROWTH_BYTES, MOST_GROWTH * size)
    if _declared_bytes(file.metadata) > most_bytes:
        raise ManifestTooLarge(
            f"Decompressed, the columns take more than {MOST_GROWTH} times the file's size."
        )
    decoder = Decoder(FREE_SECONDS + SECONDS_PER_MEBIBYTE * size / 2**20, beat)
    return Manifest(file, task, class_count, subject_columns, most_bytes, decoder)


def _declared_bytes(metadata: pq.FileMetaData) -> int:
    """As the file says itself; one that lies is stopped by the process's own limit of memory."""
    return sum(
        metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)
    )


def _byte_columns(metadata: pq.FileMetaData) -> list[str]:
    leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def _content_column(task: Task) -> str:
    return "image" if task is Task.IMAGE_CLASSIFICATION else "features"


def _check_columns(schema: pa.Schema, task: Task, subject_columns: Sequence[SubjectColumn]) -> None:
    _require(schema, "sample_id", _is_text, "a string")
    _require(schema, "label", pa.types.is_integer, "an integer")
    _require(schema, "split", _is_text, "a string")
    if task is Task.IMAGE_CLASSIFICATION:
        _require(schema, "image", _is_bytes, "binary")
    else:
        _require(schema, "features", _is_floats, "a list of floating-point numbers")
    other = "features" if task is Task.IMAGE_CLASSIFICATION else "image"
    if other in schema.names:
        raise WrongColumnType(
            f"A dataset for {task.value} has no column {other}.",
            errors=[FieldError(field=other, message="does not belong to this task")],
        )
    for column in subject_columns:
        _require(schema, column.column, _is_texts, "a string or a list of strings")


def _require(schema: pa.Schema, name: str, fits: Any, described: str) -> None:
    index = schema.get_field_index(name)  # -1 also where the name occurs twice
    if index < 0:
        raise MissingColumn(
            "Every declared column must occur once.",
            errors=[FieldError(field=name, message="is required, exactly once")],
        )
    kind = schema.field(index).type
    if not fits(kind.value_type if pa.types.is_dictionary(kind) else kind):
        raise WrongColumnType(
            "A column does not have the type that its meaning needs.",
            errors=[FieldError(field=name, message=f"must be {described}")],
        )


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_bytes(kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_texts(kind: Any) -> bool:
    return _is_text(kind) or (rows.is_list(kind) and _is_text(kind.value_type))


def _is_floats(kind: Any) -> bool:
    return rows.is_list(kind) and pa.types.is_floating(kind.value_type)
