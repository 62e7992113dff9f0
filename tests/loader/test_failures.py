"""What Redshift's words mean. The texts are those of its documentation, its forums and the stand-in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.failures import Refused, details, named, of_copy, translated
from aetherstream.loader.parts import CopyFailed, Detail, Staged
from tests.warehouse.contracts import flights


def refused(message: str, code: str = "XX000", detail: str = "") -> Refused:
    return Refused({"S": "ERROR", "C": code, "M": message, "D": detail})


@pytest.mark.parametrize(
    ("kind", "code", "message", "detail"),
    [
        (
            "conflict",
            "XX000",
            "1023",
            "Serializable isolation violation on table - 123, transactions forming the cycle",
        ),
        ("conflict", "XX000", "1018", "Relation does not exist."),
        ("conflict", "XX000", "ERROR: 1023 ", ""),
        ("conflict", "40001", "could not serialize access due to concurrent update", ""),
        ("conflict", "40P01", "deadlock detected", ""),
        ("cancelled", "57014", "Query (12) cancelled on user's request", ""),
        ("cancelled", "XX000", "canceling statement due to statement timeout", ""),
        ("rights", "42501", "permission denied for relation flights", ""),
        ("rights", "XX000", "must be owner of relation flights", ""),
        ("missing", "42P01", 'relation "analytics.flights" does not exist', ""),
        ("missing", "3F000", 'schema "analytics" does not exist', ""),
        ("missing", "42703", 'column "x" of relation "flights" does not exist', ""),
        ("exists", "42P07", 'Relation "flights" already exists', ""),
        ("exists", "42701", 'column "x" of relation "flights" already exists', ""),
        ("login", "28000", 'password authentication failed for user "loader"', ""),
        ("login", "28P01", 'password authentication failed for user "loader"', ""),
        ("login", "3D000", 'database "x" does not exist', ""),
        ("wrong", "42601", 'syntax error at or near "x"', ""),
        ("wrong", "0A000", "not supported", ""),
        ("wrong", "23502", "Cannot insert a NULL value into column x", ""),
        ("busy", "53300", "too many connections", ""),
        ("busy", "53100", "Disk Full", ""),
        ("busy", "57P03", "the cluster is being resized", ""),
        ("busy", "XX000", "Assert", ""),
        ("busy", "", "", ""),
        # A number at the start of another one is none of Redshift's.
        ("busy", "XX000", "10230 rows", ""),
    ],
)
def test_a_refusal_is_told_by_its_words_and_its_code(kind: str, code: str, message: str, detail: str) -> None:
    assert refused(message, code, detail).kind == kind


@pytest.mark.parametrize(
    ("code", "message", "kind", "hint"),
    [
        ("42501", "permission denied", ConfigurationError, "GRANT USAGE ON SCHEMA analytics"),
        ("28000", "no", ConfigurationError, "user and secret"),
        ("42P01", 'relation "x" does not exist', ConfigurationError, "aetherstream redshift plan"),
        ("42601", "syntax error", ConfigurationError, "SQLSTATE 42601"),
        ("57014", "cancelled", Retryable, "no time was left"),
        ("XX000", "1023", Retryable, "merge: 1023"),
        ("53300", "too many connections", Retryable, "too many connections"),
    ],
)
def test_a_refusal_goes_up_with_what_to_do(code: str, message: str, kind: type[Exception], hint: str) -> None:
    found = translated(refused(message, code), flights(), "merge")
    assert (type(found), hint in str(found), "analytics.flights: merge: " in str(found)) == (kind, True, True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (CopyFailed, "Load into table 'aether_stage' failed.  Check 'sys_load_error_detail' system table for details."),
        (CopyFailed, "Load into table 'x' failed.  Check 'stl_load_errors' system table for details."),
        (CopyFailed, "Invalid GZIP file: s3://b/k"),
        (CopyFailed, "gzip: unexpected end of stream. Unknown zlib error code. zlib error code: -1"),
        (CopyFailed, "S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,Rid 1: s3://b/k"),
        (CopyFailed, "something that nobody knows"),
        (ConfigurationError, "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 1,CanRetry 1"),
        (ConfigurationError, "S3ServiceException:The specified bucket does not exist,Status 404,Error NoSuchBucket"),
        (ConfigurationError, "S3ServiceException:The bucket must be addressed using the specified endpoint,Status 301"),
        (ConfigurationError, "User arn:aws:redshift:x is not authorized to assume IAM Role arn:aws:iam::1:role/load"),
        (ConfigurationError, "Not authorized to get credentials of role arn:aws:iam::1:role/load"),
        (ConfigurationError, "COPY needs authorization: IAM_ROLE is missing"),
        (ConfigurationError, "Default IAM role not set for the cluster"),
        (ConfigurationError, "Cannot COPY into nonexistent table aether_stage"),
        (Retryable, "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown,Rid 1"),
        (Retryable, "S3ServiceException:We encountered an internal error.,Status 500,Error InternalError"),
        (Retryable, "S3CurlException: Operation timed out, CurlError 28"),
        (Retryable, "Problem reading manifest file - S3ServiceException:The specified key does not exist.,Status 404"),
        (Retryable, "1023"),
    ],
)
def test_a_refused_copy_blames_objects_only_where_nothing_else_is_to_blame(kind: type[Exception], message: str) -> None:
    assert type(of_copy(refused(message), flights())) is kind


def staged(key: str) -> Staged:
    return Staged("bucket", key, "e", 1)


def test_details_are_taken_of_exactly_these_objects() -> None:
    rows = [
        ("s3://bucket/a.gz".ljust(256), "origin".ljust(127), "char      ", 7, "too long   "),
        ("s3://bucket/a.gz.bak", "origin", "char", 1, "other"),
        ("s3://bucket/b.gz", None, None, 0, None),
        ("s3://other/a.gz", "origin", "char", 1, "other"),
    ]
    assert details(rows, [staged("a.gz"), staged("b.gz")]) == [
        Detail("bucket/a.gz", "too long", "origin", "char", 7),
        Detail("bucket/b.gz", "no reason given", "", "", None),
    ]


def test_a_name_that_was_cut_is_an_object_only_where_it_can_be_no_other() -> None:
    long = "x" * 260
    cut = f"s3://bucket/{long}"[:256]
    row = (cut, "c", "char", 1, "bad")
    assert [found.location for found in details([row], [staged(f"{long}1")])] == [f"bucket/{long}1"]
    assert details([row], [staged(f"{long}1"), staged(f"{long}2")]) == []


def test_a_refusal_names_an_object_by_its_whole_name() -> None:
    said = refused("NoSuchKey: s3://bucket/a/b.gz", detail="of s3://bucket/m.json")
    objects = [staged("a/b"), staged("a/b.gz"), staged("a"), staged("b.gz")]
    assert [found.location for found in named(said, objects)] == ["bucket/a/b.gz"]
    assert named(said, [staged("a/b.gz"), staged("m.json")]) == []


@given(st.text(), st.text(), st.text())
def test_any_answer_means_something(message: str, code: str, detail: str) -> None:
    found = refused(message, code, detail)
    assert isinstance(translated(found, flights(), "x"), Retryable | ConfigurationError)
    assert isinstance(of_copy(found, flights()), Retryable | ConfigurationError | CopyFailed)
