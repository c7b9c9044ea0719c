"""The header of a safetensors file, checked for what the format allows and nothing here needs.

The file is stored and handed out as it came: its SHA-256 is what its owner and every certificate
know it by, so nothing can be taken out of it. Text in it would be kept for as long as the weights,
where nobody looks for it. So a header may hold tensors and the name of the framework, and no more:
no megabytes of blanks either, which can say something by their number and kind.
"""

import json
from pathlib import Path
from typing import Any

from app.http.problems import FieldError
from workers.content import ContentProblem

# The networks of the list have some hundred tensors, at about a hundred bytes each.
LONGEST = 8 * 1024 * 1024
# Writers of the format fill up to a multiple of 8.
MOST_PADDING = 4 * 1024
_LENGTH_BYTES = 8
_TENSOR = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"
_ALLOWED = {"format": "pt"}


class UnreadableWeights(ContentProblem):
    code = "unreadable-weights"
    title = "The file is not a complete safetensors file"


class WeightsMetadata(ContentProblem):
    code = "weights-metadata"
    title = "The weights file holds more than weights"


def unreadable() -> UnreadableWeights:
    return UnreadableWeights(
        "Weights are accepted as safetensors only; this file has no valid header, or is cut short."
    )


def check_header(path: Path) -> None:
    """Raises UnreadableWeights if the header is none, WeightsMetadata if it says too much. Offsets
    and shapes are for the reader of the format to check."""
    written = _header(path)
    try:
        header = json.loads(written, object_pairs_hook=_without_repeats)
        usual = len(json.dumps(header))
    except (ValueError, RecursionError):
        raise unreadable() from None
    if not isinstance(header, dict) or not _is_metadata(metadata := header.pop(_METADATA, None)):
        raise unreadable()
    if not (metadata or {}).items() <= _ALLOWED.items():
        raise WeightsMetadata(
            "The metadata of the file would be kept with it. Save the tensors again without "
            'metadata, or with {"format": "pt"} alone.',
            errors=[FieldError(field=_METADATA, message='may hold {"format": "pt"} only')],
        )
    if any(not isinstance(entry, dict) or entry.keys() != _TENSOR for entry in header.values()):
        raise WeightsMetadata(
            "A tensor is described by dtype, shape and data_offsets, and by nothing else."
        )
    if len(written) > usual + MOST_PADDING:
        raise WeightsMetadata(
            f"The header has more than {MOST_PADDING} bytes beyond what it says. Save the tensors "
            "again."
        )


def _is_metadata(found: Any) -> bool:
    """Of the format: text to text, or nothing."""
    if not isinstance(found, dict):
        return found is None
    return all(isinstance(value, str) for value in found.values())


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= LONGEST:
            raise unreadable()
        header = file.read(length)
    if len(header) != length:
        raise unreadable()
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A repeated name hides the text of the first one from whoever reads the second."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found
