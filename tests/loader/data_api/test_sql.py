"""The statements of a load through the Data API, and what its failures mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.errors import ConfigurationError
from aetherstream.loader.data_api_sql import (
    MOST_NAMED,
    MOST_STATEMENTS,
    MOST_TEXT,
    batch,
    fitting,
    load_errors,
    printable,
    quoted,
    refused,
    spelled,
    step_of,
    texts,
)
from aetherstream.loader.ledger import Ledger, Query
from aetherstream.loader.parts import Entry, Staged
from aetherstream.local.redshift.lexer import tokens
from aetherstream.objects import Target
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.sql import ObjectRef
from tests.warehouse.contracts import upserting

TARGET = LoadTarget(
    "warehouse",
    upserting(),
    Target("data", "staging/warehouse", "ndjson.gz"),
    WarehouseOptions("wh.example", "dev", workgroup="group"),
    copy_role="arn:aws:iam::123456789012:role/load",
)
MANIFEST = ObjectRef("data", "staging/warehouse.manifests/load-1.manifest")


def staged(name: str, *, rows: int | None = 2, etag: str = "e") -> Staged:
    return Staged("data", f"staging/warehouse/{name}.ndjson.gz", etag, rows)


def heads(statements: list[str]) -> list[str]:
    """How the statements begin."""
    return [" ".join(statement.split()[:3]) for statement in statements]


def test_a_load_is_locked_guarded_counted_and_leaves_nothing_temporary() -> None:
    assert heads(batch(TARGET, "load-1", [staged("a"), staged("b")], MANIFEST)) == [
        'LOCK TABLE "analytics"."aetherstream_turns"',
        'UPDATE "analytics"."aetherstream_tables" SET',
        "SELECT 'noted', 1",
        'INSERT INTO "analytics"."aetherstream_loads"',
        "SELECT 'guard', 1",
        "CREATE TEMP TABLE",
        'COPY "aether_stage" ("_event_id",',
        "SELECT 'count', 1",
        "CREATE TEMP TABLE",
        'DELETE FROM "aether_fresh"',
        'MERGE INTO "analytics"."flights"',
        'DROP TABLE "aether_stage"',
        'DROP TABLE "aether_fresh"',
    ]


def test_the_same_load_has_the_same_statements() -> None:
    """So that it can be submitted again under its token."""
    made = [batch(TARGET, "load-1", [staged("a")], MANIFEST) for _ in range(2)]
    assert made[0] == made[1]


def test_rows_are_not_counted_where_the_metadata_do_not_say_how_many() -> None:
    statements = batch(TARGET, "load-1", [staged("a"), staged("b", rows=None), staged("c", rows=None)], MANIFEST)
    assert [step_of(statement) for statement in statements if step_of(statement)] == ["noted", "guard", "COPY"]


def test_the_rows_of_one_object_are_what_the_others_leave() -> None:
    statements = batch(TARGET, "load-1", [staged("a", rows=5), staged("b", rows=None)], MANIFEST)
    (noted,) = [each for each in statements if each.startswith('UPDATE "analytics"."aetherstream_loads"')]
    assert 'SET "rows" = (SELECT COUNT(*) - 5 FROM "aether_stage")' in noted
    assert noted.endswith("AND \"object\" = 'data/staging/warehouse/b.ndjson.gz'")


def test_the_steps_whose_failure_means_something_are_known_by_their_statements() -> None:
    statements = batch(TARGET, "load-1", [staged("a")], MANIFEST)
    assert [step_of(statement) for statement in statements] == [
        *("", "", "noted", "", "guard", "", "COPY", "count", "", "", "", "", ""),
    ]


def test_a_statement_about_much_becomes_several() -> None:
    objects = [staged(f"{number:0900}") for number in range(300)]
    statements = batch(TARGET, "load-1", objects, MANIFEST)
    sizes = [len(statement.encode()) for statement in statements]
    assert (max(sizes) <= MOST_TEXT, sum(sizes) > 3 * MOST_TEXT, len(statements) <= MOST_STATEMENTS) == (
        True,
        True,
        True,
    )
    assert [sum(each.location in text for text in statements) for each in objects] == [1] * 300


def test_what_one_statement_can_not_say_is_refused() -> None:
    entry = Entry("data/a", "e", "failed", "load-1", 0.0, error="it")
    ledger = Ledger(TARGET.contract)
    with pytest.raises(ConfigurationError, match="has more than"):
        texts(lambda part: ledger.add("l" * MOST_TEXT, part), [entry])


def test_nothing_is_said_about_nothing() -> None:
    assert texts(Ledger(TARGET.contract).known, []) == []


def test_a_load_names_so_many_objects_and_no_more() -> None:
    assert fitting([staged("a"), staged("b"), staged("c")], 2) == [staged("a"), staged("b")]


def test_a_load_names_so_many_bytes_and_no_more() -> None:
    long = [staged(f"{number:01000}") for number in range(500)]
    chosen = fitting(long, 500)
    named = sum(len(each.location) + len(each.etag) for each in chosen)
    assert (chosen, 0 < MOST_NAMED - named < 1100) == (long[: len(chosen)], True)


def test_a_load_names_one_object_at_least() -> None:
    assert fitting([staged("a"), staged("b")], 0) == [staged("a")]


@given(st.text(st.characters(exclude_categories=["Cs"])).map(printable))
def test_a_text_is_an_expression_of_literals_and_characters(text: str) -> None:
    found = tokens(quoted(text.replace("\0", "")))
    assert {token.text for token in found if token.kind != "string"} <= {
        *("CHR", "(", ")", "||"),
        *("|",),
        *(str(number) for number in (*range(1, 32), 92, 127)),
    }
    assert "\\" not in quoted(text.replace("\0", ""))


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("", "''"),
        ("a", "'a'"),
        ("it's", "'it''s'"),
        ("\\", "CHR(92)"),
        ("a\\'b\n", "('a' || CHR(92) || '''b' || CHR(10))"),
    ],
)
def test_what_could_be_an_escape_is_named_by_its_number(text: str, expression: str) -> None:
    assert quoted(text) == expression


@pytest.mark.parametrize("text", ["\u200b", "\0", "\x85"])
def test_what_can_not_be_said_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        quoted(text)


def test_parameters_are_put_in_their_places_and_nowhere_else() -> None:
    query = Query('SELECT "a" FROM t WHERE x = :o1 AND y IN (:o1, :o10)', {"o1": "it's :o10", "o10": ":o1"})
    assert spelled(query) == "SELECT \"a\" FROM t WHERE x = 'it''s :o10' AND y IN ('it''s :o10', ':o1')"


def test_details_are_asked_for_below_the_sinks_prefix_alone() -> None:
    sql = spelled(load_errors(replace(TARGET, staging=Target("data", "it's/here", "ndjson.gz")), 90))
    assert "POSITION('s3://data/it''s/here/' IN file_name) = 1" in sql
    assert "INTERVAL '90 seconds'" in sql


@pytest.mark.parametrize(
    ("said", "message", "detail", "kind"),
    [
        (
            "Query #6 failed with ERROR: 1023\n  Detail: Serializable isolation violation on table - 1",
            "1023",
            "Serializable isolation violation on table - 1",
            "conflict",
        ),
        ("ERROR: 1018 DETAIL: Relation does not exist.", "1018", "Relation does not exist.", "conflict"),
        (
            'ERROR: relation "a.b" does not exist\n  Position: 15',
            'relation "a.b" does not exist',
            "",
            "missing",
        ),
        ("ERROR: permission denied for relation t", "permission denied for relation t", "", "rights"),
        (
            'FATAL: password authentication failed for user "x"',
            'password authentication failed for user "x"',
            "",
            "login",
        ),
        ('FATAL: database "x" does not exist', 'database "x" does not exist', "", "login"),
        ('ERROR: syntax error at or near "x"', 'syntax error at or near "x"', "", "wrong"),
        ("Query cancelled on user's request", "Query cancelled on user's request", "", "cancelled"),
        (
            "Connection refused. Check that the cluster runs",
            "Connection refused. Check that the cluster runs",
            "",
            "busy",
        ),
    ],
)
def test_what_the_data_api_says_is_read_as_a_connection_would_say_it(
    said: str, message: str, detail: str, kind: str
) -> None:
    found = refused(said)
    assert (found.message, found.detail, found.kind) == (message, detail, kind)
