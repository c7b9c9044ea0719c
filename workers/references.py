"""What the database keeps of a manifest's rows: keyed references, labels, splits. Nothing raw."""

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from uuid import UUID

import numpy as np

from app.http.problems import FieldError
from app.identities import BadIdentity, value_sha256
from app.keyring import Keyring
from app.registry.schemas import SubjectColumn
from app.registry.tables import SampleSplit
from workers.content import ContentProblem
from workers.manifest import RowBatch
from workers.rows import InvalidRow, refuse_row

REFERENCE_BYTES = 32
SPLITS = tuple(SampleSplit)
# A person has many rows, and each of them asks for the same two HMACs.
_REMEMBERED = 100_000


class DuplicateSampleId(ContentProblem):
    code = "duplicate-sample-id"
    title = "Two rows have the same sample_id"


class MissingSplit(ContentProblem):
    code = "missing-split"
    title = "The manifest lacks a split"


class RowIndex:
    """Compact columns, one entry a row: at ten million rows they still fit in memory.

    `subject_rows[k]`, `subject_columns[k]` and the k-th of `subject_refs` belong together.
    """

    def __init__(
        self,
        keyring: Keyring,
        dataset: UUID,
        subject_columns: Sequence[SubjectColumn],
        suppressed_tags: frozenset[bytes],
    ) -> None:
        """`met` gives, for each suppressed person in the rows, the reference under this key."""
        self.keyring = keyring
        self.key_id = keyring.pseudonym_key_id
        self.dataset = dataset
        self.columns = subject_columns
        self.sample_refs = bytearray()
        self.labels = array("l")
        self.splits = bytearray()
        self.subject_rows = array("q")
        self.subject_columns = bytearray()
        self.subject_refs = bytearray()
        self.suppressed_rows = 0
        self.met: dict[bytes, bytes] = {}
        self._suppressed_tags = suppressed_tags
        self._reference = self._remembering()

    def __len__(self) -> int:
        return len(self.splits)

    def add(self, batch: RowBatch) -> None:
        for offset, sample_id in enumerate(batch.sample_ids):
            self.sample_refs += self.keyring.sample_ref(self.key_id, self.dataset, sample_id)
            self.splits.append(SPLITS.index(batch.splits[offset]))
            self._add_subjects(batch.first_row + offset, batch.subjects[offset])
        self.labels.extend(batch.labels.tolist())

    def check(self) -> None:
        """What can be said only after the last row."""
        counts = self.split_counts()
        if not counts[SampleSplit.TRAIN]:
            _refuse_splits("at least one row must be in train")
        if not counts[SampleSplit.VALIDATION] + counts[SampleSplit.TEST]:
            _refuse_splits("at least one row must be in validation or test")
        row = self._first_duplicate()
        if row is not None:
            refuse_row(DuplicateSampleId, row, "sample_id", "repeats that of an earlier row")

    def split_counts(self) -> dict[SampleSplit, int]:
        return {split: self.splits.count(code) for code, split in enumerate(SPLITS)}

    def _add_subjects(self, row: int, subjects: Sequence[tuple[int, str]]) -> None:
        seen: set[bytes] = set()
        suppressed = False
        for column, value in subjects:
            try:
                reference, tag_is_suppressed = self._reference(column, value)
            except BadIdentity as error:
                refuse_row(InvalidRow, row, self.columns[column].column, str(error))
            suppressed = suppressed or tag_is_suppressed
            if reference not in seen:
                seen.add(reference)
                self.subject_rows.append(row)
                self.subject_columns.append(column)
                self.subject_refs += reference
        self.suppressed_rows += suppressed

    def _remembering(self) -> Callable[[int, str], tuple[bytes, bool]]:
        @lru_cache(_REMEMBERED)
        def reference(column: int, value: str) -> tuple[bytes, bool]:
            declared = self.columns[column]
            digest = value_sha256(declared.type, value, declared.format)
            tag = self.keyring.suppression_tag(declared.type, digest)
            own = self.keyring.subject_ref(self.key_id, declared.type, digest)
            if tag in self._suppressed_tags:
                self.met[tag] = own
            return own, tag in self._suppressed_tags

        return reference

    def _first_duplicate(self) -> int | None:
        """The earliest row whose sample id occurred before, by its reference."""
        references = np.frombuffer(self.sample_refs, dtype=">u8").reshape(-1, REFERENCE_BYTES // 8)
        order = np.lexsort(references.T)
        same = (references[order[1:]] == references[order[:-1]]).all(axis=1)
        # The sort is stable, so the later row of two equal ones stands second.
        later = order[1:][same]
        return int(later.min()) if later.size else None


def _refuse_splits(why: str) -> None:
    raise MissingSplit(
        "Unlearning needs rows that were trained on and rows that were not.",
        errors=[FieldError(field="split", message=why)],
    )
