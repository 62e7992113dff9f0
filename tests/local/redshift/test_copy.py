from __future__ import annotations

import pytest

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.translate import translate

ROLE = "iam_role 'arn:aws:iam::123456789012:role/load'"


def copy(sql: str) -> Copy | StandInError | None:
    (statement,) = translate(sql)
    return statement.refused or statement.copy


def test_the_copy_of_the_loader() -> None:
    assert copy(
        f"COPY \"Stage\" (a, \"B\") FROM 's3://bucket/it''s.manifest' {ROLE} MANIFEST FORMAT AS JSON 'auto' GZIP "
        "TIMEFORMAT 'auto' DATEFORMAT 'auto' MAXERROR 0 COMPUPDATE OFF STATUPDATE OFF REGION 'us-east-1'"
    ) == Copy(
        table='"stage"',
        source="s3://bucket/it's.manifest",
        columns=("a", "b"),
        manifest=True,
        compression="gzip",
        time_format="auto",
        date_format="auto",
    )


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ("json 'auto ignorecase'", Copy('"t"', "s3://b/k", ignore_case=True)),
        ("json as 's3://b/paths' zstd", Copy('"t"', "s3://b/k", jsonpaths="s3://b/paths", compression="zstd")),
        ("format json 'auto' noload", Copy('"t"', "s3://b/k", no_load=True)),
        ("json 'auto' truncatecolumns roundec", Copy('"t"', "s3://b/k", truncate_columns=True, round_decimals=True)),
        ("format as parquet statupdate off manifest", Copy('"t"', "s3://b/k", manifest=True, parquet=True)),
        ("parquet serializetojson", Copy('"t"', "s3://b/k", parquet=True, serialize=True)),
        ("json 'auto' emptyasnull blanksasnull", Copy('"t"', "s3://b/k", empty_as_null=True, blanks_as_null=True)),
    ],
)
def test_its_options(options: str, read: Copy) -> None:
    assert copy(f"copy t from 's3://b/k' iam_role default {options}") == read


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (f"copy t from 's3://b/k' {ROLE} format as orc", "COPY ... FORMAT ORC"),
        (f"copy t from 's3://b/k' {ROLE} parquet fillrecord", "COPY ... FILLRECORD"),
        (f"copy t from 's3://b/k' {ROLE}", "COPY of anything but FORMAT JSON and FORMAT PARQUET"),
        (f"copy t from 's3://b/k' {ROLE} json 'auto' serializetojson", "SERIALIZETOJSON with anything but FORMAT"),
        (f"copy t from 's3://b/k' {ROLE} csv", "COPY ... CSV"),
        (f"copy t from 's3://b/k' {ROLE} json 'noshred'", "JSON 'noshred'"),
        (f"copy t from 's3://b/k' {ROLE} json 'auto' maxerror 10", "MAXERROR 10"),
        (f"copy t from 's3://b/k' {ROLE} json 'auto' timeformat 'DD.MM.YYYY'", "TIMEFORMAT 'DD.MM.YYYY'"),
        (f"copy t from 's3://b/k' {ROLE} json 'auto' acceptinvchars", "COPY ... ACCEPTINVCHARS"),
        (f"copy t from 's3://b/k' {ROLE} json 'auto' explicit_ids", "COPY ... EXPLICIT_IDS"),
        (f"copy t from 'emr://b/k' {ROLE} json 'auto'", "COPY from anything but s3://bucket/key"),
        ("copy t from 's3://b/k' credentials 'x' json 'auto'", "COPY ... CREDENTIALS"),
        ("copy t from 's3://b/k' iam_role 'x' json 'auto'", "Invalid role: 'x' is no ARN of an IAM role"),
        ("copy t from 's3://b/k' json 'auto'", "COPY needs authorization: IAM_ROLE is missing"),
        ("copy t from stdin", 'syntax error at or near "stdin": a string was expected'),
        ("copy t to 's3://b/k'", 'syntax error at or near "to": FROM was expected'),
    ],
)
def test_what_it_does_not_load_is_refused(sql: str, said: str) -> None:
    refused = copy(sql)
    assert isinstance(refused, StandInError)
    assert refused.message.startswith(said)


@pytest.mark.parametrize(
    "option",
    [
        "gzip", "zstd", "json 'auto'", "maxerror 0", "timeformat 'auto'", "dateformat 'auto'", "compupdate off",
        "noload", "comprows 1", "truncatecolumns", "roundec", "blanksasnull", "emptyasnull", "region 'us-east-1'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["{option} format as parquet", "format as parquet {option}"])
def test_parquet_takes_no_other_option(option: str, order: str) -> None:
    refused = copy(f"copy t from 's3://b/k' {ROLE} {order.format(option=option)}")
    assert isinstance(refused, StandInError)
    word = option.partition(" ")[0].upper()
    assert (refused.code, refused.message) == (
        "0A000",
        f"{word} argument is not supported for PARQUET based COPY",
    )
