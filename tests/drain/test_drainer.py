"""What a drain brings, in which order, what it leaves alone, and what it makes of the breaker."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from aetherstream.delivery.breaker_item import DrainLease, held_open
from aetherstream.delivery.put import EPOCH, put
from aetherstream.errors import Rejected
from aetherstream.objects import empty_object, lines_of
from aetherstream.recovery.envelopes import Envelope, envelopes_of
from aetherstream.sinks.base import Answer, Documents, Outcome
from aetherstream.testing.builders import SHARD, written
from tests.drain.world import KEY, NOW, PIPELINE, Hands, World, refuse, throttle


@pytest.fixture
def world() -> World:
    made = World()
    made.half_open()
    return made


# -- What it brings ---------------------------------------------------------------------------------------------------


def test_what_was_spilled_is_delivered_and_the_object_is_emptied_in_its_own_epoch(world: World) -> None:
    key = world.spilled("a", "b", epoch=7)
    report = world.drain()
    stored = world.objects.objects["data", key]
    assert (world.stored(), lines_of(key, stored.body), stored.metadata[EPOCH]) == (["a", "b"], [], "7")
    assert (report.drained, report.emptied, report.objects, report.oldest) == (2, 1, 0, None)


def test_documents_go_byte_for_byte_to_the_place_they_were_made_for(world: World) -> None:
    seen: list[Documents] = []

    class Seeing:
        name = "search"

        def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
            seen.append(documents)
            return Outcome()

    world.spilled("a")
    world.drainer().drain(replace(world.spilling(), sink=Seeing()), lambda: 900.0)
    body = b'{"n":"a","_event_id":"' + SHARD.encode() + b':100:0"}'
    assert seen == [Documents(["a"], ["flights-2025.11.21"], [body])]


def test_the_oldest_object_goes_first(world: World) -> None:
    order: list[str] = []
    world.sink.answer = lambda name, _: order.append(name)
    for name, first in (("later", 100), ("latest", 200), ("late", 300)):
        world.spilled(name, first=first)
        world.now += 60
    world.drain()
    assert order == ["later", "latest", "late"]


def test_more_objects_than_are_remembered_at_once_are_all_brought(world: World) -> None:
    world.at_once = 2
    names = [f"d{number}" for number in range(7)]
    for number, name in enumerate(names):
        world.spilled(name, first=100 * (number + 1))
    report = world.drain()
    assert (world.stored(), report.emptied, world.item.state) == (sorted(names), 7, "closed")


def test_of_several_rows_with_one_id_the_first_is_the_document(world: World) -> None:
    world.spilled("a", "a")
    world.drain()
    assert world.sink.documents["a"]["_event_id"] == f"{SHARD}:100:0"
    assert world.waiting() == []


# -- What it leaves alone ---------------------------------------------------------------------------------------------


def test_an_object_that_attempts_may_still_write_waits_for_the_shards_mark(world: World) -> None:
    world.spilled("a", "b", final=False)
    world.complete("100")
    report = world.drain()
    assert (world.stored(), world.waiting(), report.unfinished) == ([], ["a", "b"], 1)
    world.complete("110")
    world.drain()
    assert (world.stored(), world.waiting()) == (["a", "b"], [])


@pytest.mark.parametrize("at", range(8))
def test_what_was_read_before_a_retry_emptied_the_object_is_not_delivered(world: World, at: int) -> None:
    key = world.spilled("a", final=False)

    def retry_without_spilling() -> None:
        metadata = {"aether-count": "0", "aether-version": "v1"}
        put(world.objects, "data", key, empty_object(key, 2), metadata, 2)
        world.complete("100")

    world.drain(Hands(at=at, do=retry_without_spilling))
    assert world.stored() == []


def test_at_least_once_every_object_is_final(world: World) -> None:
    world.exactly_once = False
    key = world.spilled("a", final=False)
    stored = world.objects.objects.pop(("data", key))
    named = key.replace(".ndjson.gz", "-0123456789abcdef.ndjson.gz")
    world.objects.overwrite("data", named, stored.body, {"aether-count": "1", "aether-version": "v1"})
    world.drain()
    assert (world.stored(), world.waiting()) == (["a"], [])


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        (
            f"{SHARD}-003050-000000.ndjson.gz",
            b"\x1f\x8bhalf a gzip stream that ends somewhere",
            "can't be decompressed",
        ),
        ("notes.txt", b"something that somebody left here for later", "not a name that the engine gives"),
    ],
    ids=["half-written", "foreign"],
)
def test_what_the_engine_did_not_write_is_named_left_and_stops_nothing(
    world: World, name: str, body: bytes, says: str
) -> None:
    key = f"flights/spill/search/day=2025-11-21/{name}"
    world.objects.put("data", key, body, {EPOCH: "1"}, if_match=None)
    world.spilled("a")
    report = world.drain()
    assert (world.stored(), world.objects.objects["data", key].body, report.unusables) == (["a"], body, 1)
    [message] = report.unusable
    assert f"s3://data/{key}" in message
    assert says in message
    assert world.item.state == "closed"


def test_an_object_without_an_epoch_is_foreign(world: World) -> None:
    key = world.spilled("a")
    world.objects.overwrite("data", key, world.objects.objects["data", key].body, {})
    report = world.drain()
    assert (world.stored(), report.unusable) == (
        [],
        [f"s3://data/{key}: it carries no epoch, so the engine did not write it"],
    )


def test_rows_of_another_sink_are_not_delivered(world: World) -> None:
    key = world.spilled("a")
    other = replace(world.spilling(), sink=type(world.sink)("other"))
    world.breakers.items[KEY.replace("search", "other")] = replace(world.item, key=KEY.replace("search", "other"))
    report = world.drainer().drain(other, lambda: 900.0)
    assert (other.sink.documents, report.unusable) == (  # type: ignore[attr-defined]
        {},
        [f"s3://data/{key} line 1: of sinks.search of the pipeline 'flights'"],
    )


# -- What the sink refuses --------------------------------------------------------------------------------------------


def test_what_the_sink_refuses_for_good_goes_to_the_quarantine_under_a_key_that_follows(world: World) -> None:
    world.spilled("a", "b", "c")
    world.sink.answer = refuse("b")
    report = world.drain()
    [(key, [row])] = written(world.objects, "data", "flights/quarantine").items()
    assert key == f"flights/quarantine/day=2025-11-21/{SHARD}-spill-search-003100-000000.ndjson.gz"
    assert (row["stage"], row["where"], row["reason"], row["event"]["n"]) == (
        "deliver",
        "sinks.search",
        "mapper_parsing_exception",
        "b",
    )
    assert (world.stored(), report.drained, report.rejected, world.waiting()) == (["a", "c"], 2, 1, [])


def test_what_is_refused_can_be_replayed_from_the_quarantine(world: World) -> None:
    world.spilled("a")
    world.sink.answer = refuse("a")
    world.drain()
    [(key, stored)] = world.objects.under("data", "flights/quarantine/")
    [envelope] = envelopes_of("here", key, stored.body, PIPELINE)
    assert isinstance(envelope, Envelope)
    assert (envelope.id, envelope.payload()) == (f"{SHARD}:100:0", b'{"n":"a"}')


def test_refusals_for_a_cause_that_somebody_has_to_mend_are_counted_apart(world: World) -> None:
    world.spilled("a", "b")
    world.sink.answer = lambda name, _: Rejected("configuration: index_closed_exception") if name == "a" else None
    report = world.drain()
    assert (report.rejected, report.configuration) == (1, 1)


# -- A sink that fails ------------------------------------------------------------------------------------------------


def test_a_sink_that_fails_in_the_middle_opens_the_breaker_again_and_ends_the_run(world: World) -> None:
    world.spilled("a")
    world.now += 60
    world.spilled("b", first=200)
    world.now += 60
    world.spilled("c", first=300)
    world.sink.answer = throttle("b", "c")
    report = world.drain()
    assert (world.stored(), world.waiting(), world.item.state) == (["a"], ["b", "c"], "open")
    assert (world.item.why, world.item.by) == ("drain: 429 rejected", "drain")
    assert report.stopped == "1 of 1 documents were not taken: 429 rejected"
    assert (report.objects, round(report.oldest or 0)) == (2, 60)


def test_a_few_documents_that_are_not_taken_are_no_outage(world: World) -> None:
    world.spilled("a", "b", "c")
    world.now += 60
    world.spilled("d", first=200)
    world.sink.answer = throttle("b")
    report = world.drain()
    assert (world.stored(), world.waiting(), report.left) == (["a", "c", "d"], ["a", "b", "c"], 1)
    assert world.item.state == "half_open"


def test_a_document_that_was_asked_for_again_and_again_is_no_outage_either(world: World) -> None:
    class Retrying:
        name = "search"

        def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
            return Outcome(undelivered={"b": "503 no shard"}, answers=[Answer(3, 1), Answer(1, 1), Answer(1, 1)])

    world.spilled("a", "b", "c")
    report = world.drainer().drain(replace(world.spilling(), sink=Retrying()), lambda: 900.0)
    assert (report.left, report.stopped, world.item.state) == (1, "", "half_open")


def test_with_a_closed_breaker_a_failing_drain_leaves_the_judgement_to_live_traffic(world: World) -> None:
    world.change(state="closed", answered=False)
    world.spilled("a")
    world.sink.down = "connection refused"
    report = world.drain()
    assert (world.item.state, world.waiting()) == ("closed", ["a"])
    assert report.stopped == "1 of 1 documents were not taken: connection refused"


def test_what_an_unfinished_object_had_is_not_delivered_again(world: World) -> None:
    world.most = 2
    world.spilled("a", "b", "c", "d", "e")
    world.sink.answer = throttle("d", "e")
    world.drain()
    assert (world.item.cursor and world.item.cursor.rows, world.stored()) == (2, ["a", "b", "c"])
    world.half_open()
    world.sink.answer = lambda name, _: None
    before = world.sink.writes
    world.drain()
    assert (world.sink.writes - before, world.stored(), world.waiting()) == (3, ["a", "b", "c", "d", "e"], [])


def test_refusals_of_an_unfinished_object_are_joined_by_those_of_the_next_run(world: World) -> None:
    world.most = 1
    world.spilled("a", "b", "c")
    world.sink.answer = lambda name, _: "down" if name == "b" else Rejected("no")
    world.drain()
    assert world.refused() == ["a"]
    world.half_open()
    world.sink.answer = refuse("c")
    world.drain()
    assert (world.refused(), world.stored(), world.waiting()) == (["a", "c"], ["b"], [])


# -- Rate and time ----------------------------------------------------------------------------------------------------


def test_the_rate_is_kept(world: World) -> None:
    world.rate = 2
    world.spilled(*"abcdefgh")
    world.drain()
    assert (world.stored(), world.slept) == (list("abcdefgh"), 3.0)


def test_a_run_ends_in_time_and_the_next_goes_on_where_it_stood(world: World) -> None:
    world.rate, world.left = 1, 50.0
    names = [f"{number:02d}" for number in range(20)]
    world.spilled(*names)
    report = world.drain()
    assert report.stopped == "its time was over: the next run goes on"
    assert (world.stored(), world.item.cursor and world.item.cursor.rows) == (names[:6], 6)
    for _ in range(3):
        world.drain()
    assert (world.stored(), world.sink.writes, world.item.state) == (names, 20, "closed")


def test_with_too_little_time_nothing_is_begun(world: World) -> None:
    world.left = 40.0
    world.spilled("a")
    assert (world.drain().stopped, world.stored()) == ("too little time is left to deliver anything", [])


# -- The breaker ------------------------------------------------------------------------------------------------------


def test_when_the_spill_is_gone_and_the_sink_has_answered_the_breaker_is_closed(world: World) -> None:
    world.spilled("a")
    report = world.drain()
    assert (world.item.state, world.item.by, world.item.lease, report.state) == ("closed", "drain", None, "closed")


def test_it_stays_half_open_until_the_sink_has_answered(world: World) -> None:
    world.change(answered=False)
    world.drain()
    assert world.item.state == "half_open"


def test_before_a_probe_is_due_nothing_is_sent(world: World) -> None:
    world.open(ago=29)
    world.spilled("a")
    report = world.drain()
    assert (report.stopped, world.stored(), world.item.lease) == ("open, and no probe is due yet", [], None)
    assert (report.objects, report.oldest) == (1, 0.0)


def test_a_person_need_not_wait_for_the_probe(world: World) -> None:
    world.open(ago=1)
    world.spilled("a")
    world.drain(probe_now=True)
    assert (world.stored(), world.item.state) == (["a"], "closed")


def test_a_probe_that_is_taken_lets_the_whole_spill_follow(world: World) -> None:
    world.open()
    world.spilled(*[f"{number:03d}" for number in range(250)])
    report = world.drain()
    assert (len(world.stored()), report.drained, world.item.state) == (250, 250, "closed")


def test_a_probe_that_fails_sends_a_hundred_documents_and_waits_twice_as_long(world: World) -> None:
    world.open()
    world.spilled(*[f"{number:03d}" for number in range(250)])
    world.sink.down = "503"
    report = world.drain()
    assert report.stopped == "a probe of 100 documents failed: 503"
    assert (world.item.state, world.item.wait, world.item.probes) == ("open", 60_000, 1)
    assert world.item.probe_at == round((world.now + 60) * 1000)


def test_every_second_probe_takes_the_newest_object(world: World) -> None:
    """An index that is lost for good must not keep the sink shut for the others."""
    world.open()
    world.spilled("lost")
    world.now += 60
    world.spilled("new", first=200)
    world.sink.answer = throttle("lost")
    assert world.drain().stopped == "a probe of 1 documents failed: 429 rejected"
    world.now += 60
    world.drain()
    assert world.stored() == ["new"]


def test_a_sink_that_refuses_requests_as_a_whole_fails_the_probe(world: World) -> None:
    class Refusing:
        name = "search"

        def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
            return Outcome(
                undelivered=dict.fromkeys(documents.ids, "403"),
                answers=[Answer(len(documents), len(documents), "403 Forbidden", refused=True)],
            )

    world.open()
    world.spilled("a")
    report = world.drainer().drain(replace(world.spilling(), sink=Refusing()), lambda: 900.0)
    assert (report.stopped, world.item.state) == ("a probe of 1 documents failed: 403 Forbidden", "open")


def test_without_a_spill_live_traffic_is_the_probe(world: World) -> None:
    world.open()
    world.drain()
    assert (world.item.state, world.item.answered) == ("half_open", False)


def test_a_probe_whose_documents_are_refused_is_an_answer(world: World) -> None:
    world.open()
    world.spilled("a")
    world.sink.answer = refuse("a")
    world.drain()
    assert (world.item.state, world.refused()) == ("closed", ["a"])


def test_a_breaker_held_by_hand_is_left_alone(world: World) -> None:
    world.breakers.items[KEY] = held_open(world.item, NOW, "upgrade", "alice")
    world.spilled("a")
    world.now += 86_400
    report = world.drain(probe_now=True)
    assert (world.stored(), report.stopped, world.item.state) == (
        [],
        "opened by hand, and so held open until it is closed by hand",
        "open",
    )


def test_a_closed_breaker_without_a_spill_costs_one_reading(world: World) -> None:
    world.change(state="closed")
    world.breakers.reads = world.breakers.writes = 0
    report = world.drain()
    assert (world.breakers.reads, world.breakers.writes, report.stopped, report.trouble) == (1, 0, "", "")


# -- The world --------------------------------------------------------------------------------------------------------


def test_while_another_drain_holds_the_lease_nothing_is_done(world: World) -> None:
    world.spilled("a")
    world.change(lease=DrainLease("another", 3, round((NOW + 60) * 1000)))
    report = world.drain()
    assert (world.stored(), report.trouble) == ([], "")
    assert report.stopped == "another drains this sink and holds its lease until 2025-11-21T09:01:00+00:00"


def test_without_the_table_nothing_is_drained_and_the_spill_is_still_told(world: World) -> None:
    world.spilled("a")
    world.now += 60
    world.breakers.down = True
    report = world.drain()
    assert (report.trouble, report.state, report.objects, report.oldest) == (
        "Retryable: the table is down",
        None,
        1,
        60.0,
    )


def test_something_else_under_the_quarantines_key_is_named_and_stops_nothing_else(world: World) -> None:
    world.spilled("a")
    world.spilled("b", first=200)
    key = f"flights/quarantine/day=2025-11-21/{SHARD}-spill-search-003100-000000.ndjson.gz"
    world.objects.put("data", key, b"something that is no gzip at all, to be sure", {}, if_match=None)
    report = world.drain()
    assert f"s3://data/{key} stands where refused documents must go" in report.unusable[0]
    assert (world.stored(), world.waiting(), report.trouble) == (["b"], ["a"], "")


def test_many_objects_are_read_a_few_at_a_time(world: World) -> None:
    """Memory does not grow with the spill: what is read has been delivered before more is read."""
    read: list[int] = []
    world.sink.answer = lambda name, _: read.append(hands.count)
    for number in range(100):
        world.spilled(f"d{number:03d}", first=100 * (number + 1))
    hands = Hands()
    world.drain(hands)
    ahead = [now - before for before, now in pairwise(read)]
    assert (len(read), max(ahead) <= 16 * 5) == (100, True)
