# ruff: noqa: S608 - names of the tests' own
"""Loads into the stand-in for Redshift, with the real driver."""

from __future__ import annotations

import gzip
import json

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.loader.parts import CopyFailed, Detail, Entry, Staged, Totals
from aetherstream.objects import compressor
from tests.loader.sql_bench import SECONDS, Bench, event, summary
from tests.warehouse.contracts import flights

pytestmark = pytest.mark.integration


def test_an_object_is_loaded_once_however_often_it_is_announced(bench: Bench) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1), event(2)], name="a")
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 2)
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == ([], ["a"], 0)
    assert bench.ids() == ["s:1:0", "s:2:0"]


def test_only_what_the_ledger_does_not_know_goes_into_the_manifest(bench: Bench) -> None:
    warehouse = bench.ready()
    first, second = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    warehouse.load(bench.load(first), SECONDS)
    assert summary(warehouse.load(bench.load(first, second), SECONDS)) == (["b"], ["a"], 1)
    manifests = [bench.read(key) for key in bench.keys(f"manifests/{bench.schema}/")]
    named = sorted([entry["url"].rpartition("/")[2] for entry in json.loads(body)["entries"]] for body in manifests)
    assert named == [["a.ndjson.gz"], ["b.ndjson.gz"]]


def test_no_manifest_is_written_where_everything_is_known(bench: Bench) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1)])
    warehouse.load(bench.load(staged), SECONDS)

    def put() -> None:
        raise AssertionError("a manifest was written")

    assert warehouse.load(bench.load(staged, put=put), SECONDS).fresh == frozenset()


def test_an_object_with_another_etag_is_not_loaded_again_and_the_first_is_told(bench: Bench) -> None:
    warehouse = bench.ready()
    first = bench.stage([event(1)], name="a")
    warehouse.load(bench.load(first), SECONDS)
    again = bench.stage([event(2)], name="a")
    found = warehouse.load(bench.load(again), SECONDS)
    assert (found.fresh, found.known[again.location].etag, again.etag) == (frozenset(), "etag1", "etag2")
    assert bench.ids() == ["s:1:0"]


def test_the_ledger_tells_what_was_loaded(bench: Bench) -> None:
    warehouse = bench.ready()
    known, silent = bench.stage([event(1), event(2)], name="a"), bench.stage([event(3)], name="b")
    silent = Staged(silent.bucket, silent.key, silent.etag, None)
    warehouse.load(bench.load(known, silent, id="first"), SECONDS)
    found = warehouse.known([known.location, silent.location, "staging/other"], SECONDS)
    now = float(bench.run("SELECT EXTRACT(EPOCH FROM GETDATE())")[0][0])
    assert [entry.at for entry in found.values()] == pytest.approx([now, now], abs=60)
    assert [(entry.location, entry.etag, entry.state, entry.load, entry.rows) for entry in found.values()] == [
        (known.location, "etag1", "loaded", "first", 2),
        (silent.location, "etag2", "loaded", "first", 1),
    ]


def test_objects_that_were_set_aside_are_told_kept_and_forgotten(bench: Bench) -> None:
    warehouse = bench.ready()
    good, bad = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    warehouse.load(bench.load(good), SECONDS)
    reason = "it's 'bad'; \\ -- \n" + "ü" * 5000
    warehouse.set_aside({bad: reason, good: "too late"}, "second", SECONDS)
    warehouse.set_aside({bad: "another reason"}, "third", SECONDS)
    (found,) = warehouse.failures(SECONDS)
    assert found == Entry(
        bad.location, bad.etag, "failed", "second", found.at, 1, reason.encode()[:4096].decode("utf-8", "ignore")
    )
    assert summary(warehouse.load(bench.load(good, bad), SECONDS)) == ([], ["a", "b"], 0)
    assert [warehouse.forget([good.location, bad.location], SECONDS), warehouse.forget([bad.location], SECONDS)] == [
        1,
        0,
    ]
    assert summary(warehouse.load(bench.load(good, bad), SECONDS)) == (["b"], ["a"], 1)


def test_the_ledger_is_counted(bench: Bench) -> None:
    warehouse = bench.warehouse()
    assert warehouse.totals(SECONDS) == Totals()
    warehouse = bench.ready()
    assert warehouse.totals(SECONDS) == Totals()
    warehouse.load(bench.load(bench.stage([event(1), event(2)]), bench.stage([event(3)])), SECONDS)
    warehouse.set_aside({bench.stage([event(4)]): "bad"}, "x", SECONDS)
    found = warehouse.totals(SECONDS)
    assert found == Totals(2, 3, 1, found.last)


def test_a_row_that_can_not_be_loaded_is_told_with_its_object_among_a_hundred(bench: Bench) -> None:
    warehouse = bench.ready()
    objects = [bench.stage([event(number)]) for number in range(99)]
    poison = bench.put(
        b'{"_event_id":"s:99:0","flight_id":"a","updated_at":"2013-01-01 00:00:00","origin":"TOOLONG"}\n', 1
    )
    with pytest.raises(CopyFailed) as failed:
        warehouse.load(bench.load(*objects, poison), SECONDS)
    (detail,) = failed.value.details
    assert detail == Detail(poison.location, detail.message, "origin", "char", 1)
    assert (bench.ids(), warehouse.known([poison.location], SECONDS)) == ([], {})
    assert len(warehouse.load(bench.load(*objects), SECONDS).fresh) == 99


def test_details_of_another_load_are_not_taken_for_those_of_this_one(bench: Bench) -> None:
    warehouse = bench.ready()
    poison = bench.put(b'{"_event_id":"1","flight_id":"a","updated_at":"2013-01-01 00:00:00","origin":"TOOLONG"}\n', 1)
    with pytest.raises(CopyFailed):
        warehouse.load(bench.load(poison), SECONDS)
    other = bench.objects.put(f"staging/{bench.schema}/x.ndjson.gz", b"no gzip")
    with pytest.raises(CopyFailed) as failed:
        warehouse.load(bench.load(Staged(bench.objects.bucket, other.split("/", 3)[3], "e", 1)), SECONDS)
    assert poison.location not in [detail.location for detail in failed.value.details]


def test_an_object_that_is_gone_is_named(bench: Bench) -> None:
    warehouse = bench.ready()
    there, gone = bench.stage([event(1)]), bench.stage([event(2)])
    bench.objects.s3.delete_object(Bucket=gone.bucket, Key=gone.key)
    with pytest.raises(CopyFailed) as failed:
        warehouse.load(bench.load(there, gone), SECONDS)
    assert [detail.location for detail in failed.value.details] == [gone.location]
    assert bench.ids() == []


def test_a_load_whose_rows_are_not_those_of_the_metadata_is_taken_back(bench: Bench) -> None:
    warehouse = bench.ready()
    rows = b'{"_event_id":"1","flight_id":"a","updated_at":"2013-01-01 00:00:00"}\n'
    with pytest.raises(CopyFailed, match="COPY read 1 rows of 1 objects, whose metadata say 2") as failed:
        warehouse.load(bench.load(bench.put(rows, 2)), SECONDS)
    assert (failed.value.details, bench.ids()) == ((), [])


def test_a_column_of_the_table_alone_keeps_its_default(bench: Bench) -> None:
    warehouse = bench.ready()
    bench.run(f"ALTER TABLE \"{bench.schema}\".flights ADD COLUMN added varchar(10) NOT NULL DEFAULT 'now'")
    warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert bench.run(f'SELECT added FROM "{bench.schema}".flights') == [["now"]]


def test_temporary_tables_do_not_outlive_a_load(bench: Bench) -> None:
    warehouse = bench.ready()
    warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    with pytest.raises(CopyFailed):
        warehouse.load(bench.load(bench.put(b"{}\n", 1)), SECONDS)
    assert bench.run("SELECT COUNT(*) FROM pg_class WHERE relname IN ('aether_stage', 'aether_fresh')") == [[0]]


def test_a_permanent_table_with_the_name_of_the_stage_is_left_alone(bench: Bench) -> None:
    warehouse = bench.ready()
    bench.run("CREATE TABLE public.aether_stage (kept integer)")
    try:
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
        assert bench.run("SELECT COUNT(*) FROM public.aether_stage") == [[0]]
    finally:
        bench.run("DROP TABLE public.aether_stage")
    assert bench.ids() == ["s:1:0"]


def test_two_tables_of_a_schema_share_a_ledger_and_know_their_own_objects(bench: Bench) -> None:
    first = bench.ready()
    second = bench.ready(flights(schema=bench.schema, table="others"))
    staged = bench.stage([event(1)], name="a")
    assert summary(first.load(bench.load(staged), SECONDS)) == (["a"], [], 1)
    assert summary(second.load(bench.load(staged), SECONDS)) == (["a"], [], 1)
    assert (bench.ids(), bench.ids("others")) == (["s:1:0"], ["s:1:0"])


def test_a_load_into_a_table_that_is_not_noted_says_what_to_do(bench: Bench) -> None:
    warehouse = bench.ready()
    bench.run(f'DELETE FROM "{bench.schema}".aetherstream_tables')
    with pytest.raises(ConfigurationError, match="aetherstream redshift apply"):
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)


def test_a_load_into_nothing_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match=r"does not exist.*aetherstream redshift plan"):
        bench.warehouse().load(bench.load(bench.stage([event(1)])), SECONDS)


def test_objects_are_loaded_by_the_compression_that_their_names_say(bench: Bench) -> None:
    bench.ready()
    rows = gzip.decompress(bench.read(bench.stage([event(1)]).key))
    bench.objects.put("zstd/a.ndjson.zst", compressor("zstd", 1)(rows, 7))
    bench.warehouse().load(bench.load(Staged(bench.objects.bucket, "zstd/a.ndjson.zst", "e", 1)), SECONDS)
    assert bench.ids() == ["s:1:0"]
