# ruff: noqa: S608 - names of the tests' own
"""Loads through the stand-in of the Data API, with boto3's own client: what a load over a connection does, too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.loader.memory import LoadMemory
from aetherstream.loader.parts import CopyFailed, Detail, Entry, Staged, Totals
from tests.loader.data_api.bench import KEY, DataBench
from tests.loader.sql_bench import SECONDS, event, summary
from tests.warehouse.contracts import flights, upserting

pytestmark = pytest.mark.integration

POISON = b'{"_event_id":"s:99:0","flight_id":"a","updated_at":"2013-01-01 00:00:00","origin":"TOOLONG"}\n'


def test_an_object_is_loaded_once_however_often_it_is_announced(bench: DataBench) -> None:
    warehouse = bench.made()
    staged = bench.stage([event(1), event(2)], name="a")
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 2)
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == ([], ["a"], 0)
    assert bench.ids() == ["s:1:0", "s:2:0"]


def test_only_what_the_ledger_does_not_know_goes_into_the_manifest(bench: DataBench) -> None:
    warehouse = bench.made()
    first, second = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    warehouse.load(bench.load(first), SECONDS)
    assert summary(warehouse.load(bench.load(first, second), SECONDS)) == (["b"], ["a"], 1)
    manifests = [bench.read(key) for key in bench.keys(f"manifests/{bench.schema}/")]
    named = sorted([entry["url"].rpartition("/")[2] for entry in json.loads(body)["entries"]] for body in manifests)
    assert named == [["a.ndjson.gz"], ["b.ndjson.gz"]]


def test_a_load_that_is_over_is_not_remembered(bench: DataBench) -> None:
    warehouse = bench.made()
    warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert replace(bench.memory, by="") == LoadMemory(KEY, revision=3)


@pytest.mark.parametrize("style", ["merge", "delete_insert"])
def test_the_newest_version_of_a_key_wins(bench: DataBench, style: str) -> None:
    contract = upserting(schema=bench.schema)
    warehouse = bench.made(contract, style="merge" if style == "merge" else "delete_insert")
    new, old = bench.stage([event(2, "a", 9), event(3, "b", 1)], contract), bench.stage([event(1, "a", 5)], contract)
    warehouse.load(bench.load(new), SECONDS)
    warehouse.load(bench.load(old), SECONDS)
    assert bench.ids() == ["s:2:0", "s:3:0"]


def test_the_ledger_tells_what_was_loaded(bench: DataBench) -> None:
    warehouse = bench.made()
    known, silent = bench.stage([event(1), event(2)], name="a"), bench.stage([event(3)], name="b")
    silent = replace(silent, rows=None)
    loaded = warehouse.load(bench.load(known, silent, id="first"), SECONDS)
    found = warehouse.known([known.location, silent.location, "staging/other"], SECONDS)
    assert [(entry.location, entry.etag, entry.state, entry.load, entry.rows) for entry in found.values()] == [
        (known.location, "etag1", "loaded", "first", 2),
        (silent.location, "etag2", "loaded", "first", 1),
    ]
    assert loaded.rows == 3


def test_objects_that_were_set_aside_are_told_kept_and_forgotten(bench: DataBench) -> None:
    warehouse = bench.made()
    good, bad = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    warehouse.load(bench.load(good), SECONDS)
    reason = "it's 'bad'; \\ -- \n:target " + "ü" * 5000
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


def test_the_ledger_is_counted(bench: DataBench) -> None:
    warehouse = bench.through()
    assert warehouse.totals(SECONDS) == Totals()
    warehouse = bench.made()
    assert warehouse.totals(SECONDS) == Totals()
    warehouse.load(bench.load(bench.stage([event(1), event(2)]), bench.stage([event(3)])), SECONDS)
    warehouse.set_aside({bench.stage([event(4)]): "bad"}, "x", SECONDS)
    found = warehouse.totals(SECONDS)
    assert found == Totals(2, 3, 1, found.last)


def test_a_table_is_made_and_lacks_nothing_then(bench: DataBench) -> None:
    warehouse = bench.through()
    changes = warehouse.compare(SECONDS)
    done = warehouse.apply(changes, SECONDS)
    assert done == [change.text for change in changes.changes]
    assert f"create table {bench.schema}.flights" in done
    assert (warehouse.compare(SECONDS).changes, warehouse.apply(warehouse.compare(SECONDS), SECONDS)) == ([], [])


def test_a_row_that_can_not_be_loaded_is_told_with_its_object_among_a_hundred(bench: DataBench) -> None:
    warehouse = bench.made()
    objects = [bench.stage([event(number)]) for number in range(99)]
    poison = bench.put(POISON, 1)
    with pytest.raises(CopyFailed) as failed:
        warehouse.load(bench.load(*objects, poison), SECONDS)
    (detail,) = failed.value.details
    assert detail == Detail(poison.location, detail.message, "origin", "char", 1)
    assert (bench.ids(), warehouse.known([poison.location], SECONDS)) == ([], {})
    warehouse.set_aside({poison: str(detail)}, "x", SECONDS)
    assert len(warehouse.load(bench.load(*objects, poison), SECONDS).fresh) == 99


def test_a_load_without_the_object_at_fault_goes_on(bench: DataBench) -> None:
    warehouse = bench.made()
    good, poison = bench.stage([event(1)], name="a"), bench.put(POISON, 1)
    with pytest.raises(CopyFailed):
        warehouse.load(bench.load(good, poison), SECONDS)
    assert summary(warehouse.load(bench.load(good), SECONDS)) == (["a"], [], 1)


def test_an_object_that_gets_a_new_chance_is_tried_again(bench: DataBench) -> None:
    warehouse = bench.made()
    poison = bench.put(POISON, 1, name="a")
    with pytest.raises(CopyFailed):
        warehouse.load(bench.load(poison), SECONDS)
    warehouse.set_aside({poison: "bad"}, "x", SECONDS)
    warehouse.forget([poison.location], SECONDS)
    better = bench.put(POISON.replace(b"TOOLONG", b"JFK"), 1, name="a")
    assert summary(warehouse.load(bench.load(better), SECONDS)) == (["a"], [], 1)


def test_an_object_that_another_set_aside_gets_its_new_chance_too(bench: DataBench) -> None:
    """A process that ends between the ledger and the memory leaves the same."""
    warehouse = bench.made()
    poison = bench.put(POISON, 1, name="a")
    with pytest.raises(CopyFailed):
        warehouse.load(bench.load(poison), SECONDS)
    bench.warehouse(bench.target(auth="password")).set_aside({poison: "bad"}, "x", SECONDS)
    warehouse.forget([poison.location], SECONDS)
    better = bench.put(POISON.replace(b"TOOLONG", b"JFK"), 1, name="a")
    assert summary(warehouse.load(bench.load(better), SECONDS)) == (["a"], [], 1)


def test_an_object_that_is_gone_is_named(bench: DataBench) -> None:
    warehouse = bench.made()
    there, gone = bench.stage([event(1)]), bench.stage([event(2)])
    bench.objects.s3.delete_object(Bucket=gone.bucket, Key=gone.key)
    with pytest.raises(CopyFailed) as failed:
        warehouse.load(bench.load(there, gone), SECONDS)
    assert [detail.location for detail in failed.value.details] == [gone.location]
    assert bench.ids() == []


def test_many_objects_are_loaded_at_once(bench: DataBench) -> None:
    warehouse = bench.made()
    body = bench.read(bench.stage([event(1)]).key)
    objects = []
    for number in range(500):
        key = f"staging/{bench.schema}/day=2013-01-01/hour={number % 24:02}/shardId-000000000000-{number:056}.ndjson.gz"
        bench.objects.put(key, body)
        objects.append(Staged(bench.objects.bucket, key, f"{number:032x}", 1))
    loaded = warehouse.load(bench.load(*objects, id="many"), SECONDS)
    assert (len(loaded.fresh), loaded.rows, bench.entries(), bench.submitted("many")) == (500, 500, 500, 1)


def test_two_tables_of_a_schema_share_a_ledger_and_know_their_own_objects(bench: DataBench) -> None:
    first = bench.made()
    second = bench.made(flights(schema=bench.schema, table="others"))
    staged = bench.stage([event(1)], name="a")
    assert summary(first.load(bench.load(staged), SECONDS)) == (["a"], [], 1)
    assert summary(second.load(bench.load(staged), SECONDS)) == (["a"], [], 1)
    assert (bench.ids(), bench.ids("others")) == (["s:1:0"], ["s:1:0"])


def test_a_load_over_a_connection_and_one_through_the_data_api_know_of_each_other(bench: DataBench) -> None:
    through = bench.made()
    target = bench.target(auth="password")
    over = bench.warehouse(target)
    first, second = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    assert summary(through.load(bench.load(first), SECONDS)) == (["a"], [], 1)
    assert summary(over.load(bench.load(first, second), SECONDS)) == (["b"], ["a"], 1)
    assert summary(through.load(bench.load(first, second), SECONDS)) == ([], ["a", "b"], 0)


def test_a_load_into_a_table_that_is_not_noted_says_what_to_do(bench: DataBench) -> None:
    warehouse = bench.made()
    bench.run(f'DELETE FROM "{bench.schema}".aetherstream_tables')
    with pytest.raises(ConfigurationError, match="aetherstream redshift apply"):
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert bench.memory.running is None


def test_a_load_into_nothing_says_what_to_do(bench: DataBench) -> None:
    with pytest.raises(ConfigurationError, match=r"does not exist.*aetherstream redshift plan"):
        bench.through().load(bench.load(bench.stage([event(1)])), SECONDS)


def test_a_load_into_a_table_that_is_gone_says_what_to_do(bench: DataBench) -> None:
    warehouse = bench.made()
    bench.run(f'DROP TABLE "{bench.schema}".flights')
    with pytest.raises(ConfigurationError, match=r"does not exist.*aetherstream redshift plan"):
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert bench.memory.running is None


def test_temporary_tables_do_not_touch_a_permanent_one_of_their_name(bench: DataBench) -> None:
    warehouse = bench.made()
    bench.run("CREATE TABLE public.aether_stage (kept integer)")
    try:
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
        assert bench.run("SELECT COUNT(*) FROM public.aether_stage") == [[0]]
    finally:
        bench.run("DROP TABLE public.aether_stage")


@pytest.mark.parametrize(
    "evil", ["'; DROP TABLE x; --", "''", "a:target", "a':load'", '"', "$$", "/* ", "%s %(a)s", "?", "-- ", "`", "ü😀"]
)
def test_names_are_values_whatever_stands_in_them(bench: DataBench, evil: str) -> None:
    warehouse = bench.made()
    plain = bench.stage([event(1)])
    key = f"staging/{bench.schema}/{evil}.ndjson.gz"
    bench.objects.put(key, bench.read(plain.key))
    staged = Staged(bench.objects.bucket, key, f"e{evil}", 1)
    assert warehouse.load(bench.load(staged, id=f"l{evil}"), SECONDS).fresh == {staged.location}
    (found,) = warehouse.known([staged.location], SECONDS).values()
    assert (found.location, found.etag, found.load) == (staged.location, staged.etag, f"l{evil}")
    assert bench.ids() == ["s:1:0"]
