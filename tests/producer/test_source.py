from __future__ import annotations

import gzip
import io

import pytest

from aetherstream.producer.source import BadLine, Format, KeyMissingError, Line, format_of, key_of, read, uncompressed


def lines(text: bytes, kind: Format = "ndjson", *, typed: bool = False) -> list[Line | BadLine]:
    return list(read(io.BytesIO(text), kind, typed=typed))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.CSV.gz", "csv"), ("a.json", "ndjson"), ("a.ndjson.gz", "ndjson"), ("-", "ndjson")],
)
def test_the_name_tells_the_format(name: str, kind: str) -> None:
    assert format_of(name) == kind


def test_a_line_is_sent_as_it_stands() -> None:
    assert lines(b'{"a": 1.0,  "b":"\xc3\xa9"}\n') == [Line(1, {"a": 1.0, "b": "é"}, b'{"a": 1.0,  "b":"\xc3\xa9"}')]


def test_blank_lines_and_a_byte_order_mark_are_passed_over() -> None:
    assert lines(b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}') == [
        Line(1, {"a": 1}, b'{"a":1}'),
        Line(4, {"a": 2}, b'{"a":2}'),
    ]


def test_a_bad_line_is_named_and_the_next_is_read() -> None:
    assert lines(b'{"a":\n[1]\n"\xff"\n{"a":1}\n') == [
        BadLine(1, "not JSON: unexpected end of data: line 1 column 6 (char 5)"),
        BadLine(2, "a JSON list, not an object"),
        BadLine(3, "not JSON: str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)"),
        Line(4, {"a": 1}, b'{"a":1}'),
    ]


def test_csv_rows_become_objects_of_text_and_null() -> None:
    assert lines(b'a,b\n1,"x, y"\n,z\n', "csv") == [
        Line(2, {"a": "1", "b": "x, y"}, b'{"a":"1","b":"x, y"}'),
        Line(3, {"a": None, "b": "z"}, b'{"a":null,"b":"z"}'),
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("1.50", 1.5),
        ("007", "007"),
        ("1e5", "1e5"),
        ("12345678901234567890", "12345678901234567890"),
        ("true", True),
        ("NaN", "NaN"),
        ("", None),
    ],
)
def test_typed_cells_become_numbers_only_where_nothing_is_lost(cell: str, value: object) -> None:
    read_lines = lines(f"a,b\n{cell},x\n".encode(), "csv", typed=True)
    assert [line.event if isinstance(line, Line) else line for line in read_lines] == [{"a": value, "b": "x"}]


def test_a_bad_row_is_named_and_the_next_is_read() -> None:
    assert lines(b"a,b\n1\n\xff,2\n3,4\n", "csv") == [
        BadLine(2, "1 cells, but the header has 2"),
        BadLine(3, "not UTF-8"),
        Line(4, {"a": "3", "b": "4"}, b'{"a":"3","b":"4"}'),
    ]


def test_a_quote_that_is_never_closed_is_named() -> None:
    assert lines(b'a,b\n1,"2\n3,4\n', "csv") == [BadLine(3, "not CSV: unexpected end of data")]


def test_the_callers_stream_stays_open() -> None:
    raw = io.BytesIO(b"a\n1\n")
    list(read(raw, "csv"))
    assert not raw.closed


def test_gzip_is_opened_by_its_name() -> None:
    assert uncompressed("a.json.gz", io.BytesIO(gzip.compress(b"{}"))).read() == b"{}"


@pytest.mark.parametrize(("value", "key"), [("N1", "N1"), (7, "7"), (True, "true"), (1.5, "1.5")])
def test_the_key_is_the_fields_text(value: object, key: str) -> None:
    assert key_of({"id": value}, "id") == key


@pytest.mark.parametrize("event", [{}, {"id": None}, {"id": ""}, {"id": []}, {"id": {"a": 1}}])
def test_an_event_without_a_key_is_named(event: dict[str, object]) -> None:
    with pytest.raises(KeyMissingError, match="no value in 'id' to take the partition key from"):
        key_of(event, "id")
