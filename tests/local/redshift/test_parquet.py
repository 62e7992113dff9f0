from __future__ import annotations

import pytest

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import CopyFailed, NotSupported, SpectrumError
from aetherstream.local.redshift.load import BadRow
from aetherstream.local.redshift.parquet import ParquetRows
from aetherstream.local.redshift.rules import Column
from tests.local.redshift.test_load import manifest, objects
from tests.redshift_fixture import parquet

COPY = Copy('"t"', "s3://b/x", parquet=True)
FROM_MANIFEST = Copy('"t"', "s3://b/m", parquet=True, manifest=True)
SERIALIZED = Copy('"t"', "s3://b/x", parquet=True, serialize=True)


def rows(query: str, *types: str, copy: Copy = COPY, required: bool = False) -> list[str]:
    columns = [Column(f"c{index}", kind, required) for index, kind in enumerate(types)]
    return list(ParquetRows(copy, columns).of("s3://b/x", parquet(query)))


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        ("7::smallint", "smallint", "7"),
        ("-7::int", "integer", "-7"),
        ("9223372036854775807::bigint", "bigint", "9223372036854775807"),
        ("1.5::decimal(6,2)", "numeric(6,2)", "1.50"),
        ("-1.5::decimal(18,2)", "numeric(18,2)", "-1.50"),
        ("99999999999999999999.5::decimal(38,3)", "numeric(38,3)", "99999999999999999999.500"),
        ("1.1::real", "real", "1.1"),
        ("1e300::double", "double precision", "1e+300"),
        ("true", "boolean", "t"),
        ("date '2024-02-29'", "date", "2024-02-29"),
        ("timestamp '2024-02-29 23:59:59.000001'", "timestamp without time zone", "2024-02-29 23:59:59.000001"),
        ("'ü'", "character varying(2)", "ü"),
        (r"'\N'", "character varying(2)", r"\\N"),
        ("''", "character varying(2)", ""),
        ("'ab'", "character(2)", "ab"),
        ("NULL::bigint", "bigint", r"\N"),
    ],
)
def test_a_value_loads_into_the_type_that_it_has(value: str, kind: str, stored: str) -> None:
    assert rows(f"SELECT {value} AS v", kind) == [f"{stored}\n"]


def test_columns_are_matched_by_their_order() -> None:
    assert rows("SELECT 1::bigint AS c1, 2::int AS c0", "bigint", "integer") == ["1\t2\n"]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("{'a': [1, NULL], 'b': {'c': 'x\ty'}}", '{"a":[1,null],"b":{"c":"x\\\\ty"}}'),
        ("'{\"a\": 1}'", '"{\\\\"a\\\\": 1}"'),
        ("1.5::double", "1.5"),
        ("NULL::int[]", r"\N"),
    ],
)
def test_what_is_nested_loads_into_super_and_text_stays_text(value: str, stored: str) -> None:
    assert rows(f"SELECT {value} AS v", "jsonb", copy=SERIALIZED) == [f"{stored}\n"]


def test_super_needs_serializetojson() -> None:
    with pytest.raises(CopyFailed, match="SUPER column in COPY query requires SERIALIZETOJSON option"):
        rows("SELECT [1] AS v", "jsonb")


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ("1::int", "smallint", "SMALLINT, Parquet schema:\nrequired int32 v [i:0 d:0 r:0]"),
        ("1::bigint", "integer", "INTEGER, Parquet schema:\nrequired int64 v [i:0 d:0 r:0]"),
        ("1::int", "bigint", "BIGINT, Parquet schema:\nrequired int32 v [i:0 d:0 r:0]"),
        ("1::uinteger", "integer", "INTEGER, Parquet schema:\nrequired int32 v [i:0 d:0 r:0]"),
        ("1::double", "real", "REAL, Parquet schema:\nrequired double v [i:0 d:0 r:0]"),
        ("1::double", "numeric(6,2)", "DECIMAL(6, 2), Parquet schema:\nrequired double v [i:0 d:0 r:0]"),
        ("1::decimal(7,2)", "numeric(6,2)", "DECIMAL(6, 2), Parquet schema:\nrequired int32 v [i:0 d:0 r:0]"),
        ("'1'", "bigint", "BIGINT, Parquet schema:\nrequired byte_array v [i:0 d:0 r:0]"),
        ("1::bigint", "character varying(9)", "VARCHAR(9), Parquet schema:\nrequired int64 v [i:0 d:0 r:0]"),
        ("'x'::blob", "character varying(9)", "VARCHAR(9), Parquet schema:\nrequired byte_array v [i:0 d:0 r:0]"),
        ("'2024-02-29'", "date", "DATE, Parquet schema:\nrequired byte_array v [i:0 d:0 r:0]"),
        ("1::bigint", "timestamp without time zone", "TIMESTAMP, Parquet schema:\nrequired int64 v [i:0 d:0 r:0]"),
        ("unnest([1, NULL])", "bigint", "BIGINT, Parquet schema:\noptional int32 v [i:0 d:1 r:0]"),
        ("[1]", "character varying(9)", "VARCHAR(9), Parquet schema:\nrequired group v [i:0 d:0 r:0]"),
    ],
)
def test_another_type_is_an_incompatible_schema(value: str, kind: str, shown: str) -> None:
    with pytest.raises(SpectrumError) as caught:
        rows(f"SELECT {value} AS v", kind)
    assert caught.value.context == (
        f"File 's3://b/x' has an incompatible Parquet schema for column 's3://b/x.v'. Column type: {shown}"
    )


def test_another_number_of_columns_fails() -> None:
    with pytest.raises(SpectrumError) as caught:
        rows("SELECT 1 AS a, 2 AS b", "integer")
    assert caught.value.context == (
        "Unmatched number of columns between table and file. Table columns: 1, Data columns: 2, File name: s3://b/x"
    )


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("timestamptz '2024-01-01 00:00:00Z'", "timestamp without time zone", "local microseconds in INT64"),
        ("timestamp_ms '2024-01-01 00:00:00'", "timestamp without time zone", "local microseconds in INT64"),
        ("timestamp_ns '2024-01-01 00:00:00'", "timestamp without time zone", "local microseconds in INT64"),
        ("timestamptz '2024-01-01 00:00:00Z'", "timestamp with time zone", r'column of type TIMESTAMPTZ \("c0"\)'),
        ("time '10:00:00'", "time without time zone", r'column of type TIME \("c0"\)'),
        ("map {'a': 1}", "jsonb", 'a Parquet MAP in the SUPER column "c0"'),
        ("[1.5::decimal(3,1)]", "jsonb", 'a Parquet INT32 DECIMAL in the SUPER column "c0"'),
        ("{'at': date '2024-01-01'}", "jsonb", 'a Parquet INT32 DATE in the SUPER column "c0"'),
    ],
)
def test_what_is_not_documented_is_refused(value: str, kind: str, said: str) -> None:
    with pytest.raises(NotSupported, match=said):
        rows(f"SELECT {value} AS v", kind, copy=SERIALIZED)


@pytest.mark.parametrize(
    ("value", "kind", "code", "said"),
    [
        (
            "'äöü'",
            "character varying(5)",
            15007,
            "The length of the data column c0 is longer than the length defined in the table. Table: 5, Data: 6",
        ),
        ("'ab   '", "character(2)", 15007, "The length of the data column c0 is longer"),
        ("'ä'", "character(2)", 1220, "Multibyte character not supported for CHAR"),
        ("'a' || chr(0)", "character varying(9)", 1214, "NUL character"),
        ("'nan'::double", "double precision", 1208, "FLOAT data type format error"),
        ("date '10000-01-01'", "date", 1205, "Invalid date format"),
        ("NULL::int", "integer", 1213, "Missing data for not-null field: c0"),
    ],
)
def test_a_value_that_does_not_load_is_named_by_its_row(value: str, kind: str, code: int, said: str) -> None:
    with pytest.raises(BadRow) as caught:
        rows(f"SELECT {value} AS v", kind, required=True)
    bad = caught.value
    named = bad.column.name if bad.column else None
    assert (bad.file, bad.line, named, bad.why.code, bad.why.reason.startswith(said) or said in bad.why.reason) == (
        "s3://b/x",
        1,
        "c0",
        code,
        True,
    )


def test_a_string_in_super_has_its_limit() -> None:
    with pytest.raises(BadRow, match="String value exceeds the max size of 65535 bytes"):
        rows("SELECT repeat('x', 65536) AS v", "jsonb", copy=SERIALIZED)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x1f\x8b\x08", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_is_no_parquet_fails(content: bytes) -> None:
    with pytest.raises(SpectrumError, match="Spectrum Scan Error") as caught:
        list(ParquetRows(COPY, [Column("a", "integer")]).of("s3://b/x", content))
    assert caught.value.context.startswith("File 's3://b/x' is no Parquet file that can be read: ")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "File entry does not have 'meta' key."),
        ({"meta": {}}, "File entry does not have a 'content_length' in its 'meta' key."),
        ({"meta": {"content_length": "4"}}, "File entry does not have a 'content_length' in its 'meta' key."),
        ({"meta": {"content_length": 5}}, "Spectrum Scan Error"),
        ({"meta": {"content_length": 3}}, "Spectrum Scan Error"),
    ],
)
def test_a_manifest_of_parquet_says_how_long_its_files_are(entry: dict[str, object], said: str) -> None:
    with pytest.raises(CopyFailed) as caught:
        objects(FROM_MANIFEST, m=manifest({"url": "s3://b/x", "mandatory": True, **entry}), x=b"PAR1").places()
    assert caught.value.message == said


def test_a_manifest_with_the_right_lengths_is_followed() -> None:
    named = manifest({"url": "s3://b/x", "mandatory": True, "meta": {"content_length": 4}})
    assert objects(FROM_MANIFEST, m=named, x=b"PAR1").places() == ["s3://b/x"]
