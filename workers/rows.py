"""Reading the columns of a manifest row by row, checking every value.

A problem names the row (they count from 0) and the column, never the value: values are a person's.
"""

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.http.problems import FieldError
from app.identities import LONGEST_VALUE
from app.registry.tables import SampleSplit
from workers.content import ContentProblem
from workers.images import BadImage, Decoder

MOST_FEATURES = 65_536
LONGEST_SAMPLE_ID = 1024
LONGEST_TEXT_BYTES = 4 * LONGEST_VALUE  # so many characters, at four bytes each


class InvalidRow(ContentProblem):
    code = "invalid-row"
    title = "A row of the manifest has a value that cannot be used"


class LabelOutOfRange(ContentProblem):
    code = "label-out-of-range"
    title = "A label is not the number of a declared class"


class BrokenImage(ContentProblem):
    code = "broken-image"
    title = "An image cannot be used"


class WrongFeatures(ContentProblem):
    code = "wrong-features"
    title = "A row's features cannot be used"


def refuse_row(kind: type[ContentProblem], row: int, column: str, why: str) -> NoReturn:
    raise kind(
        f"Row {row}, column {column}: {why}.",
        errors=[FieldError(field=f"row {row}", message=f"{column} {why}")],
    )


def texts(column: Any, name: str, first_row: int) -> list[Any]:
    """Values as Python sees them, of a column of strings or of lists of strings.

    Lengths are checked first: a value that the file repeats is held once by Arrow and in as many
    copies by Python.
    """
    too_long = np.flatnonzero(_longest_in_rows(column) > LONGEST_TEXT_BYTES)
    if too_long.size:
        why = f"is longer than {LONGEST_TEXT_BYTES} bytes"
        refuse_row(InvalidRow, first_row + int(too_long[0]), name, why)
    values: list[Any] = column.to_pylist()
    return values


def _longest_in_rows(column: Any) -> npt.NDArray[np.int64]:
    """Bytes of each row's longest string (rows,); 0 where there is none."""
    longest = np.zeros(len(column), dtype=np.int64)
    if is_list(column.type):
        np.maximum.at(longest, _array(pc.list_parent_indices(column)), _lengths(column.flatten()))
        return longest
    return _lengths(column)


def _lengths(strings: Any) -> npt.NDArray[np.int64]:
    if pa.types.is_dictionary(strings.type):
        return _array(pc.binary_length(strings.dictionary).take(strings.indices))
    return _array(pc.binary_length(strings))


def _array(numbers: Any) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(numbers, 0), dtype=np.int64)


def is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def sample_ids(column: Any, first_row: int) -> list[str]:
    values: list[str] = texts(column, "sample_id", first_row)
    for offset, value in enumerate(values):
        if not value:
            refuse_row(InvalidRow, first_row + offset, "sample_id", "is empty")
        if len(value) > LONGEST_SAMPLE_ID:
            why = f"is longer than {LONGEST_SAMPLE_ID} characters"
            refuse_row(InvalidRow, first_row + offset, "sample_id", why)
    return values


def labels(column: Any, first_row: int, class_count: int) -> npt.NDArray[np.int64]:
    for offset, value in enumerate(column.to_pylist()):
        if value is None:
            refuse_row(InvalidRow, first_row + offset, "label", "is empty")
        if not 0 <= value < class_count:
            why = f"is not a number from 0 to {class_count - 1}"
            refuse_row(LabelOutOfRange, first_row + offset, "label", why)
    return np.asarray(column.to_pylist(), dtype=np.int64)


def splits(column: Any, first_row: int) -> list[SampleSplit]:
    splits = []
    for offset, value in enumerate(texts(column, "split", first_row)):
        try:
            splits.append(SampleSplit(value))
        except ValueError:
            why = f"is not one of {', '.join(SampleSplit)}"
            refuse_row(InvalidRow, first_row + offset, "split", why)
    return splits


def pixels(
    column: Any, first_row: int, expected: tuple[int, ...] | None, decoder: Decoder
) -> npt.NDArray[np.uint8]:
    images = []
    for offset in range(len(column)):
        content = column[offset].as_py()
        try:
            if content is None:
                raise BadImage("is empty")
            images.append(decoder.decode(content, expected))
        except BadImage as error:
            refuse_row(BrokenImage, first_row + offset, "image", str(error))
        expected = images[0].shape
    return np.stack(images)


def features(
    column: Any, first_row: int, expected: tuple[int, ...] | None
) -> npt.NDArray[np.float32]:
    rows = []
    for offset in range(len(column)):
        scalar = column[offset]
        if not scalar.is_valid:
            refuse_row(WrongFeatures, first_row + offset, "features", "is empty")
        with np.errstate(over="ignore"):  # what does not fit in float32 is refused just below
            row = scalar.values.to_numpy(zero_copy_only=False).astype(np.float32)
        if expected is not None and row.shape != expected:
            why = f"has {len(row)} numbers, where the first row has {expected[0]}"
            refuse_row(WrongFeatures, first_row + offset, "features", why)
        if not 1 <= len(row) <= MOST_FEATURES:
            why = f"must have 1 to {MOST_FEATURES} numbers"
            refuse_row(WrongFeatures, first_row + offset, "features", why)
        if not np.isfinite(row).all():
            why = "has a number that is missing or not finite in 32 bits"
            refuse_row(WrongFeatures, first_row + offset, "features", why)
        rows.append(row)
        expected = row.shape
    return np.stack(rows)
