import pytest

from aetherstream.warehouse.types import ColumnType, column_type


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("smallint", ColumnType("smallint")),
        ("INT", ColumnType("integer")),
        ("int8", ColumnType("bigint")),
        ("decimal", ColumnType("decimal", precision=18)),
        ("numeric(12, 2)", ColumnType("decimal", precision=12, scale=2)),
        ("DECIMAL ( 5 )", ColumnType("decimal", precision=5)),
        ("float4", ColumnType("real")),
        ("double   precision", ColumnType("double precision")),
        ("bool", ColumnType("boolean")),
        ("char", ColumnType("char", length=1)),
        ("character(3)", ColumnType("char", length=3)),
        ("varchar", ColumnType("varchar", length=256)),
        ("text", ColumnType("varchar", length=256)),
        ("varchar(max)", ColumnType("varchar", length=65_535)),
        ("character varying(64)", ColumnType("varchar", length=64)),
        ("date", ColumnType("date")),
        ("timestamp without time zone", ColumnType("timestamp")),
        ("timestamp with time zone", ColumnType("timestamptz")),
        ("super", ColumnType("super")),
    ],
)
def test_types_are_read_as_redshift_writes_them(text: str, wanted: ColumnType) -> None:
    assert column_type(text) == wanted


@pytest.mark.parametrize(
    "text", ["smallint", "decimal(12,2)", "char(3)", "varchar(64)", "double precision", "timestamptz", "super"]
)
def test_a_type_is_written_as_it_is_read(text: str) -> None:
    assert str(column_type(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("json", "is no column type"),
        ("varchar(10); drop table flights", "is no column type"),
        ("integer(4)", "takes no measure"),
        ("date(1,2)", "takes no pair of measures"),
        ("text(5)", "takes no measure"),
        ("varchar(1,2)", "takes no pair of measures"),
        ("varchar(0)", "1 to 65535 bytes"),
        ("varchar(65536)", "1 to 65535 bytes"),
        ("char(4097)", "1 to 4096 bytes"),
        ("char(max)", "1 to 4096 bytes"),
        ("decimal(39)", "1 to 38 digits"),
        ("decimal(0)", "1 to 38 digits"),
        ("decimal(5,6)", "6 digits behind the point; Redshift takes 5"),
        ("decimal(38,38)", "Redshift takes 37"),
        ("decimal(max)", "takes no measure"),
        ("", "is no column type"),
    ],
)
def test_a_type_that_redshift_has_not_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        column_type(text)
    assert words in str(caught.value)
