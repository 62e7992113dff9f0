from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import CopyFailed, NotSupported
from aetherstream.local.redshift.load import BadRow, Objects, Rows, chosen_columns
from aetherstream.local.redshift.rules import Column

TABLE = [Column("id", "integer", required=True), Column("note", "character varying(20)"), Column("extra", "jsonb")]


class FakeS3:
    """Objects by bucket and key, as S3 answers for them."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def get_object(self, **asked: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._found(**asked))}

    def head_object(self, **asked: str) -> dict[str, Any]:
        return {"ContentLength": len(self._found(**asked))}

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        for place in sorted(self._objects):
            if place.startswith(f"{asked['Bucket']}/{asked['Prefix']}"):
                yield {"Contents": [{"Key": place.removeprefix(f"{asked['Bucket']}/")}]}

    def _found(self, **asked: str) -> bytes:
        if (place := f"{asked['Bucket']}/{asked['Key']}") not in self._objects:
            said = {
                "Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."},
                "ResponseMetadata": {"HTTPStatusCode": 404},
            }
            raise ClientError(cast("Any", said), "GetObject")
        return self._objects[place]


def objects(copy: Copy, **stored: bytes | object) -> Objects:
    held = {
        f"b/{key}": value if isinstance(value, bytes) else json.dumps(value).encode() for key, value in stored.items()
    }
    return Objects(cast("Any", FakeS3(held)), copy)


def manifest(*entries: object) -> dict[str, object]:
    return {"entries": list(entries)}


FROM_MANIFEST = Copy('"t"', "s3://b/m", manifest=True)


def test_a_file_that_the_manifest_names_twice_is_loaded_twice() -> None:
    named = manifest({"url": "s3://b/x", "mandatory": True}, {"url": "s3://b/x"})
    assert objects(FROM_MANIFEST, m=named, x=b"").places() == ["s3://b/x", "s3://b/x"]


def test_a_mandatory_file_that_is_missing_fails() -> None:
    named = manifest({"url": "s3://b/x"}, {"url": "s3://b/gone", "mandatory": True})
    with pytest.raises(CopyFailed, match=r"The specified key does not exist\..*s3://b/gone"):
        objects(FROM_MANIFEST, m=named, x=b"").places()


def test_a_missing_file_that_is_not_mandatory_is_passed_over() -> None:
    named = manifest({"url": "s3://b/x"}, {"url": "s3://b/gone"})
    assert objects(FROM_MANIFEST, m=named, x=b"").places() == ["s3://b/x"]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (manifest({"url": "s3://b/gone"}), "None of the files of the manifest s3://b/m was found"),
        (manifest({"url": "s3://b/"}), "requires full path of an S3 object"),
        (manifest("s3://b/x"), "requires full path of an S3 object"),
        ({}, "it has no entries"),
        ([], "it is no object"),
        (b"\xff", "Problem reading manifest file s3://b/m"),
        (b"", "Problem reading manifest file s3://b/m"),
    ],
)
def test_a_manifest_that_cannot_be_followed_fails(held: object, said: str) -> None:
    with pytest.raises(CopyFailed, match=said):
        objects(FROM_MANIFEST, m=held).places()


def test_a_manifest_that_is_not_there_fails() -> None:
    with pytest.raises(CopyFailed, match=r"Status 404,Error NoSuchKey: s3://b/m"):
        objects(FROM_MANIFEST).places()


def test_a_prefix_loads_every_key_that_starts_so() -> None:
    copy = Copy('"t"', "s3://b/data")
    assert objects(copy, data=b"", data_bak=b"", other=b"").places() == ["s3://b/data", "s3://b/data_bak"]


def test_a_prefix_without_keys_fails() -> None:
    with pytest.raises(CopyFailed, match="The specified S3 prefix 'data' does not exist"):
        objects(Copy('"t"', "s3://b/data")).places()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_object_that_is_not_compressed_as_said_fails(compression: str) -> None:
    with pytest.raises(CopyFailed, match=rf"Invalid {compression.upper()} file: s3://b/x"):
        objects(Copy('"t"', "s3://b/x", compression=compression), x=b'{"id": 1}\n').lines("s3://b/x")


def rows(line: bytes, copy: Copy = FROM_MANIFEST, paths: list[list[str | int]] | None = None) -> list[str]:
    return list(Rows(copy, TABLE, paths).of("s3://b/x", line.split(b"\n")))


def test_rows_are_matched_by_lower_case_names() -> None:
    line = b'{"id": 1, "Note": "lost", "extra": {"a": "\\t"}, "more": 2}\n\n \n{"note": "a\\\\b\\tc\\nd", "id": "2"}\n'
    assert rows(line) == ['1\t\\N\t{"a": "\\\\t"}\n', "2\ta\\\\b\\tc\\nd\t\\N\n"]


def test_rows_are_matched_in_any_case_where_the_copy_says_so() -> None:
    assert rows(b'{"ID": 1, "Note": "x"}', Copy('"t"', "s3://b/x", ignore_case=True)) == ["1\tx\t\\N\n"]


@pytest.mark.parametrize(
    ("line", "column", "code"),
    [
        (b'{"id": null}', "id", 1213),
        (b'{"note": "x"}', "id", 1213),
        (b'{"id": 1, "note": "012345678901234567890"}', "note", 1204),
        (b'{"id": 1', None, 1216),
        (b"[1]", None, 1216),
        (b'{"id": 1, "note": "\xff"}', None, 1220),
        (b'{"id": 1, "extra": {"a": }}', None, 1216),
        (b'{"id": 1, "more": "' + b"x" * 4_194_304 + b'"}', None, 1224),
    ],
)
def test_the_first_row_that_is_wrong_is_named(line: bytes, column: str | None, code: int) -> None:
    with pytest.raises(BadRow) as caught:
        rows(b'{"id": 0}\n' + line)
    bad = caught.value
    named = bad.column.name if bad.column else None
    assert (bad.file, bad.line, named, bad.why.code) == ("s3://b/x", 2, column, code)


def test_jsonpaths_reach_into_objects_and_arrays() -> None:
    copy = Copy('"t"', "s3://b/x", jsonpaths="s3://b/p")
    paths = objects(copy, p={"jsonpaths": ["$.a.id", "$['b c'][1]", "$.none"]}).paths(TABLE)
    assert rows(b'{"a": {"id": 7}, "b c": [0, "x"]}', copy, paths) == ["7\tx\t\\N\n"]


def test_an_array_that_is_too_short_for_a_jsonpath_fails() -> None:
    with pytest.raises(BadRow, match="array index out of range"):
        rows(b'{"id": [1]}', FROM_MANIFEST, [["id", 1], ["note"], ["extra"]])


def test_jsonpaths_under_another_key_are_passed_over_without_a_word() -> None:
    copy = Copy('"t"', "s3://b/x", jsonpaths="s3://b/p")
    assert objects(copy, p={"JSONPaths": ["$.a"]}).paths(TABLE) is None


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["$.a"], "JSONPath size: 1, Number of columns in table or column list: 3"),
        (["$.a", "b", "$.c"], "Invalid JSONPath format: 'b'"),
        (["$.a", "$..b", "$.c"], r"Invalid JSONPath format: '\$\.\.b'"),
    ],
)
def test_jsonpaths_that_do_not_fit_fail(paths: list[str], said: str) -> None:
    copy = Copy('"t"', "s3://b/x", jsonpaths="s3://b/p")
    with pytest.raises(CopyFailed, match=said):
        objects(copy, p={"jsonpaths": paths}).paths(TABLE)


def test_a_missing_value_of_a_column_with_a_default_is_refused() -> None:
    column = Column("n", "integer", default=True)
    with pytest.raises(NotSupported, match='COPY without a value for "n", which has a default'):
        list(Rows(FROM_MANIFEST, [column], None).of("s3://b/x", [b"{}"]))


def test_columns_are_those_of_the_list_in_its_order() -> None:
    chosen = chosen_columns(Copy('"t"', "s3://b/x", columns=("note", "id")), TABLE)
    assert [column.name for column in chosen] == ["note", "id"]


def test_a_column_that_the_table_has_not_fails() -> None:
    with pytest.raises(CopyFailed, match='column "none" of relation "t" does not exist'):
        chosen_columns(Copy('"t"', "s3://b/x", columns=("none",)), TABLE)


def test_an_identity_column_is_refused() -> None:
    with pytest.raises(NotSupported, match='COPY into the identity column "id"'):
        chosen_columns(FROM_MANIFEST, [Column("id", "integer", identity=True)])
