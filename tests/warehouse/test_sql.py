import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.errors import ConfigurationError
from aetherstream.warehouse.contract import Contract, Distribution
from aetherstream.warehouse.sql import (
    ObjectRef,
    copy,
    create_stage,
    deduplicate,
    drop_stage,
    identifier,
    literal,
    load,
    manifest,
    merge,
)
from tests.warehouse.contracts import column, flights, results, upserting

ROLE = "arn:aws:iam::123456789012:role/aether/load"
MANIFEST = ObjectRef("staging", "flights/manifests/1.json")

ATTACKS = [
    '"; DROP TABLE flights; --',
    "'; DROP TABLE flights; --",
    "x' IAM_ROLE DEFAULT --",
    "x\\' OR 1=1 --",
    "x\\",
    "$$; DROP TABLE flights; $$",
    "x\0y",
    "x\n; DROP TABLE flights",
    "x\u2028y",
    "\u02bc; DROP TABLE flights; --",
    "/* x */",
    "E'x'",
    "",
]


def outside_of_quotes(sql: str) -> str:
    """The text of a statement without what is quoted; by a scanner that knows both kinds of quotes and no escapes."""
    kept, quote, at = [], "", 0
    while at < len(sql):
        character = sql[at]
        if not quote:
            quote = character if character in "\"'" else ""
            kept.append(character)
        elif character == quote:
            if sql[at + 1 : at + 2] == quote:
                at += 1
            else:
                kept.append(character)
                quote = ""
        at += 1
    assert quote == "", f"a quote is not closed: {sql}"
    return "".join(kept)


def test_an_identifier_is_quoted() -> None:
    assert (identifier("order"), identifier('a"b')) == ('"order"', '"a""b"')


@pytest.mark.parametrize("name", ["", "a" * 128, "ü" * 64, "a\0b", "a\nb", "Flights", "\ud800"])
def test_no_identifier_is_made_of_what_redshift_folds_or_refuses(name: str) -> None:
    with pytest.raises(ConfigurationError):
        identifier(name)


def test_a_literal_is_quoted() -> None:
    assert literal("s3://b/it's") == "'s3://b/it''s'"


@pytest.mark.parametrize("text", ["a\\b", "a\0b", "a\nb", "\ud800", "a\u2028b"])
def test_no_literal_is_made_of_what_needs_an_escape(text: str) -> None:
    with pytest.raises(ConfigurationError):
        literal(text)


@given(st.text() | st.sampled_from(ATTACKS))
def test_nothing_gets_out_of_a_literal_or_an_identifier(text: str) -> None:
    for quote, mark in ((literal, "'"), (identifier, '"')):
        try:
            made = quote(text)
        except ConfigurationError:
            continue
        assert outside_of_quotes(f"a {made} b") == f"a {mark}{mark} b"


def test_a_manifest_names_objects_that_have_to_be_there() -> None:
    objects = [ObjectRef("staging", "a/b.ndjson.gz"), ObjectRef("staging", "c.ndjson.gz")]
    assert json.loads(manifest(objects)) == {
        "entries": [
            {"url": "s3://staging/a/b.ndjson.gz", "mandatory": True},
            {"url": "s3://staging/c.ndjson.gz", "mandatory": True},
        ]
    }


@pytest.mark.parametrize("objects", [[], [MANIFEST, MANIFEST]])
def test_a_manifest_of_nothing_or_of_an_object_twice_is_refused(objects: list[ObjectRef]) -> None:
    with pytest.raises(ConfigurationError, match="each once"):
        manifest(objects)


def test_the_stage_is_as_the_table() -> None:
    assert create_stage(flights()) == 'CREATE TEMP TABLE "aether_stage" (LIKE "analytics"."flights" INCLUDING DEFAULTS)'


def test_copy_cuts_replaces_and_passes_over_nothing() -> None:
    assert copy(flights(), MANIFEST, role=ROLE) == (
        'COPY "aether_stage" ("_event_id", "flight_id", "updated_at", "origin", "dep_delay", "extra")'
        " FROM 's3://staging/flights/manifests/1.json' IAM_ROLE 'arn:aws:iam::123456789012:role/aether/load'"
        " MANIFEST FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF MAXERROR 0"
    )


def test_copy_takes_the_clusters_role_another_region_and_zstd() -> None:
    made = copy(flights(), MANIFEST, role=None, compression="zstd", region="eu-west-1")
    assert " IAM_ROLE DEFAULT REGION 'eu-west-1' MANIFEST FORMAT AS JSON 'auto' ZSTD " in made


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("where", ["key", "bucket", "role", "region"])
def test_no_object_role_or_region_gets_out_of_its_quotes(where: str, attack: str) -> None:
    sound: dict[str, Any] = {"bucket": "staging", "key": "k", "role": ROLE, "region": "eu-west-1"}

    def made(value: str) -> str:
        given = sound | {where: value}
        place = ObjectRef(given["bucket"], given["key"])
        return copy(flights(), place, role=given["role"], region=given["region"])

    bare = outside_of_quotes(made(sound[where]))
    try:
        attacked = made(attack)
    except ConfigurationError:
        return
    assert (where, attack) == (where, "") or where == "key"
    assert outside_of_quotes(attacked).replace(" REGION ''", "") == bare.replace(" REGION ''", "")


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_name_of_a_contract_gets_into_sql_unless_it_is_plain(attack: str) -> None:
    plain = (column("a", "integer"),)
    attacked: list[dict[str, Any]] = [
        {"table": attack},
        {"schema": attack},
        {"columns": (column(attack, "integer"),)},
        {"sort": (attack,)},
        {"unknown": attack},
        {"distribution": Distribution("key", attack)},
        {"mode": "upsert", "key": (attack,), "version": "a"},
        {"mode": "upsert", "key": ("a",), "version": attack},
    ]
    for more in attacked:
        wanted: dict[str, Any] = {"table": "t", "columns": plain} | more
        if attack or "unknown" not in more:
            with pytest.raises(ConfigurationError):
                Contract(**wanted)


def test_append_keeps_each_event_once_and_none_that_the_table_has() -> None:
    first, second = deduplicate(flights())
    assert first.startswith('CREATE TEMP TABLE "aether_fresh" AS SELECT "_event_id", "flight_id"')
    assert 'PARTITION BY "aether_stage"."_event_id" ORDER BY' in first
    assert second == (
        'DELETE FROM "aether_fresh" USING "analytics"."flights"'
        ' WHERE "flights"."_event_id" = "aether_fresh"."_event_id"'
    )


def test_append_inserts() -> None:
    columns = '"_event_id", "flight_id", "updated_at", "origin", "dep_delay", "extra"'
    assert merge(flights()) == merge(flights(), "delete_insert")
    assert merge(flights()) == [
        f'INSERT INTO "analytics"."flights" ({columns}) SELECT {columns} FROM "aether_fresh"'  # noqa: S608
    ]


def test_upsert_keeps_the_newest_of_each_key() -> None:
    first, second = deduplicate(upserting())
    assert 'PARTITION BY "aether_stage"."flight_id" ORDER BY "aether_stage"."updated_at" DESC, (SPLIT_PART(' in first
    assert '("aether_fresh"."updated_at" < "flights"."updated_at" OR (' in second


def test_without_event_ids_the_version_alone_decides_and_an_equal_one_changes_nothing() -> None:
    first, second = deduplicate(results())
    columns = ", ".join(f'"aether_stage"."{name}"' for name in results().names)
    rank = 'PARTITION BY "aether_stage"."id" ORDER BY "aether_stage"."version" DESC'
    assert first == (
        'CREATE TEMP TABLE "aether_fresh" AS SELECT "id", "flights", "delays", "version", "removed"'  # noqa: S608
        f' FROM (SELECT {columns}, ROW_NUMBER() OVER ({rank}) AS "aether_rank" FROM "aether_stage") AS "aether_ranked"'
        ' WHERE "aether_rank" = 1'
    )
    assert second == (
        'DELETE FROM "aether_fresh" USING "analytics"."results"'
        ' WHERE "results"."id" = "aether_fresh"."id" AND "aether_fresh"."version" <= "results"."version"'
    )


def test_upsert_merges() -> None:
    (statement,) = merge(upserting())
    assert statement == (
        'MERGE INTO "analytics"."flights" USING "aether_fresh" ON "flights"."flight_id" = "aether_fresh"."flight_id"'
        ' WHEN MATCHED THEN UPDATE SET "_event_id" = "aether_fresh"."_event_id",'
        ' "updated_at" = "aether_fresh"."updated_at", "origin" = "aether_fresh"."origin",'
        ' "dep_delay" = "aether_fresh"."dep_delay", "extra" = "aether_fresh"."extra"'
        ' WHEN NOT MATCHED THEN INSERT ("_event_id", "flight_id", "updated_at", "origin", "dep_delay", "extra")'
        ' VALUES ("aether_fresh"."_event_id", "aether_fresh"."flight_id", "aether_fresh"."updated_at",'
        ' "aether_fresh"."origin", "aether_fresh"."dep_delay", "aether_fresh"."extra")'
    )


def test_upsert_deletes_and_inserts_where_it_is_asked_to() -> None:
    delete, *insert = merge(upserting(), "delete_insert")
    match = '"flights"."flight_id" = "aether_fresh"."flight_id"'
    assert delete == f'DELETE FROM "analytics"."flights" USING "aether_fresh" WHERE {match}'  # noqa: S608
    assert insert == merge(flights())


def test_a_load_has_its_statements_in_order_and_commits_none_of_them() -> None:
    contract = upserting()
    statements = load(contract, MANIFEST, role=ROLE)
    assert statements == [
        create_stage(contract),
        copy(contract, MANIFEST, role=ROLE),
        *deduplicate(contract),
        *merge(contract),
        *drop_stage(),
    ]
    assert [text for text in statements if text.split()[0] in ("TRUNCATE", "COMMIT", "VACUUM") or ";" in text] == []


@pytest.mark.parametrize("name", ["aether_stage", "aether_fresh"])
def test_a_table_with_a_name_of_ours_is_refused(name: str) -> None:
    for make in (create_stage, deduplicate, merge):
        with pytest.raises(ConfigurationError, match="a load uses the name"):
            make(flights(table=name))
