from __future__ import annotations

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.transforms.tables import ReferenceTables, Table, TableSource

CSV = b'\xef\xbb\xbfcode,name,note\r\nAA,American,\r\nUA,"United, Inc",x\r\n'


def test_csv_cells_are_texts_and_empty_cells_null() -> None:
    table = Table.parse(CSV, "code", file="a.csv")
    assert table.rows == {
        "AA": {"code": "AA", "name": "American", "note": None},
        "UA": {"code": "UA", "name": "United, Inc", "note": "x"},
    }
    assert (table.columns, len(table.version)) == (("code", "name", "note"), 16)


def test_json_is_a_list_of_rows_or_rows_by_key() -> None:
    expected = {"1": {"id": 1, "a": [2]}}
    assert Table.parse(b'[{"id": 1, "a": [2]}]', "id", file="a.json").rows == expected
    assert Table.parse(b'{"x": {"a": 3}}', "id", file="a.json").rows == {"x": {"id": "x", "a": 3}}


def test_ndjson_is_a_row_a_line() -> None:
    table = Table.parse(b'{"id": "x", "a": 1}\n\n{"id": "y", "b": 2}\n', "id", file="a.ndjson")
    assert (list(table.rows), table.columns) == (["x", "y"], ("id", "a", "b"))


def test_the_version_is_that_of_the_content() -> None:
    one, same, other = (Table.parse(data, "id", file="a.csv").version for data in (b"id\n1\n", b"id\n1\n", b"id\n2\n"))
    assert one == same != other


@pytest.mark.parametrize(
    ("data", "file", "message"),
    [
        (b"code,name\nAA,x\nUA,y\nAA,z\n", "a.csv", "a.csv, line 4: the key 'AA' stands there twice; keys are unique"),
        (b"code,name\nAA,x,y\n", "a.csv", "a.csv, line 2: 3 cells under 2 columns"),
        (b"cod,name\nAA,x\n", "a.csv", "a.csv, line 1: there is no column 'code' (did you mean 'cod'?)"),
        (b"code,code\nAA,x\n", "a.csv", "a.csv, line 1: a column stands there twice: code, code"),
        (b"code\nAA\n\xff\n", "a.csv", "a.csv, line 3: not UTF-8; save the file as UTF-8"),
        (b"code,name\n,x\n", "a.csv", "a.csv, line 2: no value for the key 'code': it is empty"),
        (b"code,name\n", "a.csv", "a.csv: the table has no rows"),
        (b"", "a.csv", "a.csv: the table has no rows"),
        (b'[{"code": "x"}, 5]', "a.json", "a.json, row 2: a row is an object, not int"),
        (b"5", "a.json", "a.json: a table is a list of objects, or an object of rows by key"),
        (b'[{"cod": 1}]', "a.json", "a.json, row 1: no value for the key 'code' (did you mean 'cod'?)"),
        (b"x", "a.parquet", "a.parquet: a reference table is a .csv, .json, .ndjson, .jsonl file"),
    ],
)
def test_what_is_no_table_is_an_error_with_its_place(data: bytes, file: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Table.parse(data, "code", file=file)
    assert str(caught.value) == message


@pytest.mark.parametrize(("data", "file"), [(b'[\n{"code": }]', "a.json"), (b'{"code": 1}\n{"code', "a.ndjson")])
def test_what_is_no_json_is_an_error_with_its_line(data: bytes, file: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{file}, line 2: not JSON"):
        Table.parse(data, "code", file=file)


class Files:
    """Files that change, and a clock that is set."""

    def __init__(self) -> None:
        self.content: dict[str, bytes | Exception] = {"a.csv": b"k,v\n1,a\n", "b.csv": b"k,v\n1,b\n"}
        self.now = 0.0
        self.fetched: list[str] = []

    def fetch(self, uri: str) -> bytes:
        self.fetched.append(uri)
        content = self.content[uri]
        if isinstance(content, Exception):
            raise content
        return content

    def tables(self) -> ReferenceTables:
        sources = {"a": TableSource("a.csv", "k", reload=60, columns=("v",)), "b": TableSource("b.csv", "k")}
        return ReferenceTables(sources, self.fetch, lambda: self.now)


def test_only_tables_older_than_their_age_are_fetched_again() -> None:
    files = Files()
    tables = files.tables()
    files.now = 59
    assert (tables.refresh(), files.fetched) == ([], ["a.csv", "b.csv"])
    files.now = 60
    files.content["a.csv"] = b"k,v\n1,new\n"
    before = tables.versions
    assert (tables.refresh(), files.fetched) == ([], ["a.csv", "b.csv", "a.csv"])
    assert tables["a"].rows == {"1": {"k": "1", "v": "new"}}
    assert [name for name, version in tables.versions.items() if version != before[name]] == ["a"]


@pytest.mark.parametrize("content", [b"k,v\n1,a\n1,b\n", b"k,w\n1,a\n", OSError("connection reset")])
def test_a_failed_reload_keeps_the_table_warns_and_tries_again_after_the_same_age(content: bytes | Exception) -> None:
    files = Files()
    tables = files.tables()
    version = tables.versions["a"]
    files.content["a.csv"] = content
    files.now = 60
    (warning,) = tables.refresh()
    assert warning.startswith(f"table a could not be reloaded and stays at {version}: ")
    assert tables["a"].rows == {"1": {"k": "1", "v": "a"}}
    files.now = 119
    assert tables.refresh() == []
    files.content["a.csv"] = b"k,v\n1,c\n"
    files.now = 120
    assert (tables.refresh(), tables["a"].rows["1"]["v"]) == ([], "c")


def test_a_table_that_is_wrong_at_the_start_is_an_error() -> None:
    files = Files()
    files.content["b.csv"] = b"x\n1\n"
    with pytest.raises(ConfigurationError, match=r"b\.csv, line 1: there is no column 'k'"):
        files.tables()
