"""A file of requests in any pieces gives the same rows."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.erasure.bulk_rows import (
    LONGEST_ROW,
    BadColumns,
    CsvReader,
    NdjsonReader,
    Reader,
    Row,
    RowTooLong,
    reader_for,
)
from app.erasure.schemas import BulkRow
from app.erasure.submitting import content_of
from app.http.problems import Problem

INVALID = "invalid-input"
HEADING = b"external_id,subject_value,regulation\n"


def read(make: Callable[[], Reader], file: bytes, step: int = 0) -> list[Row]:
    reader = make()
    pieces = [file[at : at + step] for at in range(0, len(file), step)] if step else [file]
    rows: list[Row] = []
    for piece in pieces:
        rows += reader.feed(piece)
    return [*rows, *reader.end()]


def values(rows: list[Row]) -> list[str]:
    """The first identity of each row, or the code of its problem."""
    return [row.code if isinstance(row, Problem) else row.subjects[0].value for row in rows]


def csv_values(body: bytes, step: int = 0) -> list[str]:
    return values(read(CsvReader, HEADING + body, step))


def test_line_ends_a_byte_order_mark_and_a_missing_last_line_end_change_nothing() -> None:
    plain = HEADING + b"c-1,ada,gdpr\nc-2,ben,ccpa\n"
    forms = [
        plain,
        plain.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + plain,
        plain.removesuffix(b"\n"),
        plain.replace(b"\n", b"\n\n"),
        plain.replace(b"\n", b"\r\n\r\n"),
    ]
    for form in forms:
        for step in (0, 1, 7):
            assert values(read(CsvReader, form, step)) == ["ada", "ben"], (form, step)


def test_quoted_cells_may_hold_commas_quotes_and_line_ends() -> None:
    body = b'c-1,"a,d""a",gdpr\nc-2,"b\ne\r\nn",gdpr\nc-3,"",gdpr\nc-4,cleo,"gdpr"\n'
    for step in (0, 1, 5):
        assert csv_values(body, step) == ['a,d"a', "b\ne\r\nn", "invalid-input", "cleo"]


def test_a_quote_inside_a_plain_cell_is_itself_and_swallows_no_row() -> None:
    assert csv_values(b'c-1,5" disk,gdpr\nc-2,ben,gdpr\n') == ['5" disk', "ben"]


def test_a_quoted_cell_that_goes_on_after_its_quote_is_that_row_s_fault() -> None:
    assert csv_values(b'c-1,"ada"x,gdpr\nc-2,ben,gdpr\n') == ["invalid-input", "ben"]


def test_quotes_after_blanks_are_that_row_s_fault_and_no_part_of_an_identity() -> None:
    assert csv_values(b'c-1, "ada",gdpr\nc-2,ben,gdpr\n') == ["invalid-input", "ben"]
    assert csv_values(b'c-1,\t"ada",gdpr\n') == ["invalid-input"]
    assert csv_values(b' "c-1",ada,gdpr\n') == ["invalid-input"]
    inside = b'c-1,"a, ""d""a",gdpr\nc-2," ""ben""",gdpr\nc-3,"a"" , ""b",gdpr\n'
    assert csv_values(inside) == ['a, "d"a', ' "ben"', 'a" , "b']


def test_a_quoted_cell_that_never_ends_is_one_faulty_row() -> None:
    assert csv_values(b'c-1,"ada,gdpr\nc-2,ben,gdpr\n') == ["invalid-input"]
    many = b"".join(b"c-%d,ben,gdpr\n" % n for n in range(10_000))
    found = csv_values(b'c-0,"ada,gdpr\n' + many)
    assert found[0] == "row-too-long" and set(found[1:]) == {"ben"}
    assert len(found) > 5_000


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"c-1,ada", INVALID),
        (b"c-1,ada,gdpr,more", INVALID),
        (b"c-1,\xff\xfe,gdpr", INVALID),
        (b"c-1,ada\rben,gdpr", INVALID),
        (b",ada,gdpr", INVALID),
        (b"c-1,,gdpr", INVALID),
        (b"c-1,ada,", INVALID),
        (b"c 1,ada,gdpr", INVALID),
        (b"c-1,ada,GDPR", INVALID),
        (b"c-1,%s,gdpr" % (b"a" * 2000), INVALID),
        (b"c-1,%s,gdpr" % (b"a" * LONGEST_ROW), "row-too-long"),
        (b"c-1,%s,gdpr" % (b"a" * 10 * LONGEST_ROW), "row-too-long"),
    ],
)
def test_one_faulty_row_of_a_table_fails_no_other(row: bytes, code: str) -> None:
    for step in (0, 4096):
        assert csv_values(b"c-0,ada,gdpr\n" + row + b"\nc-9,ben,gdpr\n", step) == [
            "ada",
            code,
            "ben",
        ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "malformed-json"),
        (b"nothing", "malformed-json"),
        (b"\xff\xfe{}", "malformed-json"),
        (b"[" * 5000, "malformed-json"),
        (b'{"external_id": "\\ud800"}', "malformed-json"),
        (b"null", INVALID),
        (b"[]", INVALID),
        (b"{}", INVALID),
        (b'{"subjects": [{"value": "x"}], "regulation": "gdpr"}', INVALID),
        (b'{"external_id": null, "subjects": [{"value": "x"}], "regulation": "gdpr"}', INVALID),
        (b'{"external_id": "c", "subjects": [], "regulation": "gdpr"}', INVALID),
        (
            b'{"external_id": "c", "x": 1, "subjects": [{"value": "x"}], "regulation": "gdpr"}',
            INVALID,
        ),
        (b'"' + b"a" * LONGEST_ROW + b'"', "row-too-long"),
        (
            b'{"external_id": "c", "external_id": "d", "subjects": [{"value": "x"}], '
            b'"regulation": "gdpr"}',
            "malformed-json",
        ),
        (
            b'{"external_id": "c", "subjects": [{"value": "x", "valu\\u0065": "y"}], '
            b'"regulation": "gdpr"}',
            "malformed-json",
        ),
    ],
)
def test_one_faulty_line_of_json_fails_no_other(line: bytes, code: str) -> None:
    good = b'{"external_id": "c-%d", "subjects": [{"value": "ada"}], "regulation": "gdpr"}\n'
    for step in (0, 1000):
        rows = read(NdjsonReader, good % 1 + line + b"\n" + good % 2, step)
        assert values(rows) == ["ada", code, "ada"]


SECRET = b"jane.doe@secret.example"


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        (b"x", {"column 1", "external_id", "subject_value", "regulation"}),
        (b"external_id,subject_value", {"regulation"}),
        (b"external_id,subject_value,regulation,regulation", {"column 4"}),
        (b"external_id,subject_value,regulation,%s" % SECRET, {"column 4"}),
        (
            b"c-1,%s,gdpr" % SECRET,
            {"column 1", "column 2", "column 3", "external_id", "subject_value", "regulation"},
        ),
        (
            b"external_id;subject_value;regulation",
            {"column 1", "external_id", "subject_value", "regulation"},
        ),
    ],
)
def test_a_heading_that_cannot_be_used_refuses_the_file(heading: bytes, fields: set[str]) -> None:
    with pytest.raises(BadColumns) as refused:
        read(CsvReader, heading + b"\nc-1,ada,gdpr\n")
    assert {fault.field for fault in refused.value.errors} == fields
    assert b"jane" not in str(refused.value.document()).encode()


def test_a_table_in_another_encoding_is_refused() -> None:
    with pytest.raises(BadColumns):
        read(CsvReader, (HEADING + b"c-1,ada,gdpr\n").decode().encode("utf-16"))


def test_a_line_of_json_and_a_row_of_a_table_that_say_the_same_are_the_same() -> None:
    table = (
        b"regulation,models,submitted_at,subject_format,subject_type,subject_value,external_id\n"
        b"gdpr,mdl_%s mdl_%s,2026-01-31T13:00:00+01:00,raw,email,a@b.example,c-1\n"
    ) % (b"1" * 32, b"2" * 32)
    line = (
        b'{"external_id": "c-1", "submitted_at": "2026-01-31T12:00:00Z", "regulation": "gdpr",'
        b' "models": ["mdl_%s", "mdl_%s"],'
        b' "subjects": [{"value": "a@b.example", "type": "email"}]}'
    ) % (b"1" * 32, b"2" * 32)
    (row,) = read(CsvReader, table)
    (same,) = read(NdjsonReader, line)
    assert isinstance(row, BulkRow) and isinstance(same, BulkRow)
    assert content_of(row) == content_of(same)
    other = same.model_copy(update={"models": None})
    assert content_of(other) != content_of(same)


def test_only_rows_of_the_longest_length_are_kept() -> None:
    reader = NdjsonReader()
    for _ in range(50):
        assert list(reader.feed(b"a" * LONGEST_ROW)) == []
    assert [type(row) for row in reader.end()] == [RowTooLong]


@given(
    cells=st.lists(
        st.text(st.sampled_from('ab",\n\r ;'), min_size=1, max_size=12).map(
            lambda text: text + "x"
        ),
        max_size=6,
    ),
    step=st.integers(1, 20),
)
def test_what_a_writer_of_csv_quotes_is_read_back(cells: list[str], step: int) -> None:
    body = "".join(
        'c-{},"{}",gdpr\r\n'.format(n, cell.replace('"', '""')) for n, cell in enumerate(cells)
    )
    assert csv_values(body.encode(), step) == cells


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("", ""),
        ("application/json", ""),
        ("text/plain", ""),
        ("text/csv; charset=latin-1", ""),
        ("text/csv", "gzip"),
        ("multipart/form-data; boundary=x", ""),
    ],
)
def test_other_types_and_encodings_are_refused(content_type: str, encoding: str) -> None:
    with pytest.raises(Problem) as refused:
        reader_for(content_type, encoding)
    assert refused.value.status == 415
    assert "text/csv" in refused.value.headers["Accept-Post"]


def test_types_are_known_whatever_their_case_and_parameters() -> None:
    assert isinstance(reader_for('Text/CSV; charset="UTF-8"', ""), CsvReader)
    assert isinstance(reader_for("application/x-ndjson", "identity"), NdjsonReader)
