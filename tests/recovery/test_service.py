"""The recovery function's requests: one unit each, one line of audit, marks that say what has been done."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from aetherstream.app import engine_of
from aetherstream.compose import tables_of
from aetherstream.decode import read_batch
from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.progress import Lease, progress_key
from aetherstream.objects import lines_of
from aetherstream.pipeline import load
from aetherstream.records import Event, KinesisRecords
from aetherstream.recovery.dead_letters import DeadLetter
from aetherstream.recovery.service import Service
from aetherstream.recovery_app import service_of
from aetherstream.settings import from_environment
from aetherstream.testing.events import SHARD, STREAM, Payload, kinesis_event
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.pipeline.writing import write
from tests.recovery.letters import KEY, letter_of

STRICT = """\
pipeline: p
transforms: [{cast: {n: int}}, {filter: n >= 0}]
sinks: {archive: {s3: {bucket: data, prefix: p/archive, partition: [{field: part}]}}}
quarantine: {s3: {bucket: data, prefix: p/quarantine}}
"""
LENIENT = STRICT.replace("{cast: {n: int}}, {filter: n >= 0}", "{set: {n: '1'}}")
ITEM = progress_key("p", STREAM, SHARD)


@dataclass
class World:
    """A pipeline with its stores; `service` is the recovery of whatever version is deployed."""

    folder: Path
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    progress: MemoryProgress = field(default_factory=MemoryProgress)
    now: float = 1_795_250_000.0
    reread: Callable[[DeadLetter], KinesisRecords] = lambda letter: letter.records()
    ids: Any = field(default_factory=count)

    def process(self, event: dict[str, Any], text: str = STRICT) -> None:
        """Deliver a batch as the stream function does."""
        pipeline = load(write(self.folder, text), {})
        engine = engine_of(
            pipeline,
            tables_of(pipeline, _no_tables),
            store=self.objects,
            ledger=Ledger(self.progress, "live"),
            executor=InlineExecutor(),
            secrets={},
        )
        assert engine.process(read_batch(event), lambda: 900.0).failed_from is None

    def service(self, text: str = STRICT, **variables: str) -> Service:
        """The recovery function of a version."""
        path = write(self.folder, text)
        environ = {
            "AETHERSTREAM_PIPELINE": str(path),
            "AETHERSTREAM_PROGRESS_TABLE": "t",
            "AETHERSTREAM_STREAM": STREAM,
            "AETHERSTREAM_DEAD_LETTERS": "dead",
            **variables,
        }
        pipeline = load(path, {})
        return service_of(
            pipeline,
            tables_of(pipeline, _no_tables),
            from_environment(environ),
            store=self.objects,
            reader=self.objects,
            progress=self.progress,
            executor=InlineExecutor(),
            reread=lambda letter: self.reread(letter),
            clock=lambda: self.now,
            new_id=lambda: f"action{next(self.ids)}",
        )

    def bury(self, event: dict[str, Any], key: str = KEY, **more: bool) -> str:
        """Put a dead letter."""
        self.objects.overwrite("dead", key, json.dumps(letter_of(event, **more)).encode(), {})
        return key

    def read(self, prefix: str) -> list[Event]:
        """Every line of the objects under a prefix of the data bucket."""
        return [
            orjson.loads(line)
            for key, stored in self.objects.under("data", prefix)
            for line in (stored.body.splitlines() if key.endswith("json") else lines_of(key, stored.body))
        ]

    def archived(self) -> list[tuple[str, Any]]:
        """Event id and `n` of everything in the archive, by id."""
        return sorted((line["_event_id"], line["n"]) for line in self.read("p/archive/"))

    def quarantined(self) -> dict[str, str]:
        """Id and reason of each envelope."""
        return {line["id"]: line["reason"] for line in self.read("p/quarantine/")}

    def audit(self) -> list[tuple[str, str, str]]:
        """Who did what, and what came of it."""
        return [(line["by"], line["what"], line["result"]["state"]) for line in self.read("p/audit/day=")]

    def everything(self) -> dict[tuple[str, str], bytes]:
        """All that is stored."""
        return {place: stored.body for place, stored in self.objects.objects.items()}

    def objects_of_quarantine(self) -> list[dict[str, str]]:
        """The quarantine's objects as a request names them."""
        return [{"key": key} for key, _ in self.objects.under("data", "p/quarantine/")]


def _no_tables(uri: str) -> bytes:
    raise AssertionError(uri)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def event_of(payloads: Sequence[Payload]) -> dict[str, Any]:
    return kinesis_event(payloads)


def ids_of(event: dict[str, Any], *places: int) -> list[str]:
    return [f"{SHARD}:{event['Records'][place]['kinesis']['sequenceNumber']}:0" for place in places]


GOOD = event_of([{"part": "a", "n": 1}, {"part": "b", "n": 2}, {"part": "a", "n": 3}])
MIXED = event_of(
    [{"part": "a", "n": 1}, {"part": "a", "n": "x"}, {"part": "a", "n": -5}, b'[{"n": 7}, {"n": "y"}]', b"{no json"]
)


# Dead letters


def test_a_dead_letter_is_delivered_marked_and_written_down(world: World) -> None:
    key = world.bury(GOOD)
    answer = world.service().handle({"do": "dlq redrive", "key": key, "by": "me@here"})
    assert (answer["state"], answer["report"]["passed"]) == ("redriven", 3)
    assert world.archived() == list(zip(ids_of(GOOD, 0, 1, 2), [1, 2, 3], strict=True))
    assert world.audit() == [("me@here", "dlq redrive", "redriven")]
    [(place, _)] = world.objects.under("data", "p/audit/dead-letters/")
    assert place == f"p/audit/dead-letters/{key}/20261121T083320.000000_redriven_action0.json"
    assert answer["audit"] == "s3://data/p/audit/day=2026-11-21/083320.000000-action0.ndjson"


def test_what_an_attempt_delivered_before_is_not_delivered_again(world: World) -> None:
    world.process(GOOD)
    answer = world.service().handle({"do": "dlq redrive", "key": world.bury(GOOD)})
    assert (answer["state"], answer["report"]["held"], answer["report"]["passed"]) == ("redriven", 3, 0)
    assert world.archived() == list(zip(ids_of(GOOD, 0, 1, 2), [1, 2, 3], strict=True))


def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    key = world.bury(MIXED)
    before = world.everything()
    answer = world.service().handle({"do": "dlq redrive", "key": key, "dry_run": True})
    report = answer["report"]
    assert (answer["state"], report["passed"], report["quarantined"], report["dropped"]) == ("redriven", 2, 3, 1)
    assert (world.everything(), world.progress.items, "audit" in answer) == (before, {}, False)


def test_a_function_deployed_as_a_dry_run_changes_nothing_whatever_is_asked(world: World) -> None:
    key = world.bury(GOOD)
    before = world.everything()
    world.service(AETHERSTREAM_DRY_RUN="true").handle({"do": "dlq redrive", "key": key})
    world.service(AETHERSTREAM_DRY_RUN="true").handle({"do": "dlq discard", "key": key})
    assert (world.everything(), world.progress.items) == (before, {})


def test_what_is_refused_again_is_in_the_quarantine_with_the_reason_of_now(world: World) -> None:
    answer = world.service().handle({"do": "dlq redrive", "key": world.bury(MIXED)})
    assert answer["state"] == "redriven"
    place = ids_of(MIXED, 3)[0].rpartition(":")[0]
    broken = ids_of(MIXED, 4)[0].rpartition(":")[0]
    assert world.quarantined() == {
        ids_of(MIXED, 1)[0]: "n is not an integer",
        f"{place}:1": "n is not an integer",
        broken: "not JSON",
    }


def test_where_chooses_and_the_rest_stays_for_later(world: World) -> None:
    key = world.bury(GOOD)
    service = world.service()
    answer = service.handle({"do": "dlq redrive", "key": key, "where": "part == 'b'"})
    assert (answer["state"], answer["report"]["not_chosen"]) == ("partial", 2)
    assert world.archived() == [(ids_of(GOOD, 1)[0], 2)]
    answer = service.handle({"do": "dlq redrive", "key": key})
    assert (answer["state"], answer["report"]["passed"], answer["report"]["held"]) == ("redriven", 2, 1)
    assert [n for _, n in world.archived()] == [1, 2, 3]


def test_where_that_is_no_expression_is_refused_before_anything_is_done(world: World) -> None:
    key = world.bury(GOOD)
    before = world.everything()
    answer = world.service().handle({"do": "dlq redrive", "key": key, "where": "part =="})
    assert (answer["state"], answer["message"].startswith("--where 'part ==': ")) == ("refused", True)
    assert world.everything() == before


def test_a_discarded_letter_is_settled_marked_and_not_delivered(world: World) -> None:
    answer = world.service().handle({"do": "dlq discard", "key": world.bury(GOOD), "why": "test data"})
    assert (answer["state"], world.archived()) == ("discarded", [])
    assert world.read("p/audit/day=")[0]["result"]["why"] == "test data"
    last = GOOD["Records"][-1]["kinesis"]["sequenceNumber"]
    assert world.progress.items[ITEM].completed == f"{len(last):03d}{last}"


def test_bad_letters_are_named_and_left_where_they_are(world: World) -> None:
    world.objects.overwrite("dead", KEY, json.dumps(letter_of(GOOD)).encode()[:-40], {})
    before = world.everything()
    answer = world.service().handle({"do": "dlq redrive", "key": KEY})
    assert (answer["state"], answer["message"].startswith(f"s3://dead/{KEY}: not JSON")) == ("unusable", True)
    assert (world.everything(), world.progress.items) == (before, {})


def test_a_letter_that_is_not_there_is_named(world: World) -> None:
    answer = world.service().handle({"do": "dlq redrive", "key": "aws/lambda/x"})
    assert answer == {"state": "unusable", "message": "s3://dead/aws/lambda/x: there is no such object"}


def test_whoever_comes_second_learns_who_holds_the_lease(world: World) -> None:
    key = world.bury(GOOD)
    world.process(event_of([{"part": "a", "n": 0}]))
    item = world.progress.items[ITEM]
    until = int((world.now + 60) * 1000)
    world.progress.items[ITEM] = replace(item, lease=Lease("ann@desk", 7, until))
    answer = world.service().handle({"do": "dlq redrive", "key": key})
    assert (answer["state"], answer["who"], answer["until"]) == ("held", "ann@desk", until / 1000)
    assert "ann@desk" in answer["message"]


def test_another_functions_letter_moves_no_mark_and_is_told_apart(world: World) -> None:
    key = world.bury(GOOD)
    before = world.everything()
    answer = world.service(AETHERSTREAM_FUNCTION="g").handle({"do": "dlq redrive", "key": key})
    assert answer == {
        "state": "unusable",
        "message": f"s3://dead/{key}: given up by the function f, this pipeline's is g; if that was this pipeline's "
        "before, name it: --function f",
    }
    assert (world.everything(), world.progress.items) == (before, {})


@pytest.mark.parametrize("more", [{"AETHERSTREAM_FUNCTION": "f"}, {}])
def test_the_own_functions_letter_is_redriven(world: World, more: dict[str, str]) -> None:
    answer = world.service(**more).handle({"do": "dlq redrive", "key": world.bury(GOOD)})
    assert answer["state"] == "redriven"


def test_a_letter_of_the_function_that_was_ours_before_is_redriven_when_it_is_named(world: World) -> None:
    service = world.service(AETHERSTREAM_FUNCTION="g")
    answer = service.handle({"do": "dlq redrive", "key": world.bury(GOOD), "function": "f"})
    assert (answer["state"], len(world.archived())) == ("redriven", 3)
    assert world.read("p/audit/day=")[0]["result"]["function"] == "f"


def test_where_is_asked_of_the_records_that_are_left(world: World) -> None:
    key = world.bury(MIXED)
    service = world.service()
    service.handle({"do": "dlq redrive", "key": key})
    answer = service.handle({"do": "dlq redrive", "key": key, "where": "part == 'a'"})
    assert (answer["state"], answer["report"]["not_chosen"]) == ("partial", 2)


def test_a_request_that_is_asked_again_goes_on_under_its_lease_and_another_does_not(world: World) -> None:
    key = world.bury(GOOD)
    world.process(event_of([{"part": "a", "n": 0}]))
    item = world.progress.items[ITEM]
    until = int((world.now + 60) * 1000)
    world.progress.items[ITEM] = replace(item, lease=Lease("me (abcdef01)", 7, until))
    request = {"do": "dlq redrive", "key": key, "by": "me"}
    states = [world.service().handle({**request, **id_})["state"] for id_ in ({}, {"id": "x"}, {"id": "abcdef0123"})]
    assert states == ["held", "held", "redriven"]


# Metadata only


def test_the_records_of_a_letter_without_payload_are_read_from_the_stream_again(world: World) -> None:
    world.reread = lambda _: read_batch(GOOD)
    text = json.dumps(letter_of(GOOD, payload=False))
    answer = world.service().handle({"do": "dlq redrive", "letter": text})
    assert (answer["state"], "lost" in answer) == ("redriven", False)
    assert [n for _, n in world.archived()] == [1, 2, 3]


def test_it_says_what_the_stream_no_longer_has_and_delivers_the_rest(world: World) -> None:
    world.reread = lambda _: read_batch(GOOD).part(2, 3)
    text = json.dumps(letter_of(GOOD, payload=False))
    answer = world.service().handle({"do": "dlq redrive", "letter": text})
    assert (answer["state"], answer["lost"]) == ("redriven", 2)
    assert answer["message"].startswith("2 of the 3 records of the message (shardId-000000000000, ")
    assert [n for _, n in world.archived()] == [3]


def test_it_says_when_all_of_it_is_lost_and_a_discard_settles_it(world: World) -> None:
    world.reread = lambda _: read_batch(GOOD).part(0, 0)
    text = json.dumps(letter_of(GOOD, payload=False))
    answer = world.service().handle({"do": "dlq redrive", "letter": text})
    assert (answer["state"], answer["message"].startswith("3 of the 3 records")) == ("unusable", True)
    assert world.service().handle({"do": "dlq discard", "letter": text})["state"] == "discarded"


# Messages of the queue


def message(number: int, body: str) -> dict[str, str]:
    return {"messageId": str(number), "body": body}


def announcement(*keys: str) -> str:
    return json.dumps({"Records": [{"s3": {"bucket": {"name": "dead"}, "object": {"key": key}}} for key in keys]})


def test_the_queue_brings_letters_back_and_a_message_that_says_nothing_is_done(world: World) -> None:
    key = world.bury(GOOD)
    again = world.service().messages([message(1, announcement(key)), message(2, '{"Event": "s3:TestEvent"}')])
    assert again == []
    assert [n for _, n in world.archived()] == [1, 2, 3]
    assert world.audit() == [("queue", "dlq redrive", "redriven")]


def test_the_queue_leaves_what_somebody_discarded(world: World) -> None:
    key = world.bury(GOOD)
    world.service().handle({"do": "dlq discard", "key": key})
    assert world.service().messages([message(1, announcement(key))]) == []
    assert world.archived() == []


def test_a_message_that_is_none_of_these_comes_again_and_a_bad_letter_does_not(world: World) -> None:
    world.objects.overwrite("dead", KEY, b"half", {})
    messages = [message(1, "hello"), message(2, announcement(KEY)), message(3, json.dumps({"a": 1}))]
    assert world.service().messages(messages) == ["1", "3"]


def test_a_letter_that_can_not_be_redriven_now_comes_again(world: World) -> None:
    key = world.bury(GOOD)
    world.process(event_of([{"part": "a", "n": 0}]))
    item = world.progress.items[ITEM]
    world.progress.items[ITEM] = replace(item, lease=Lease("ann", 7, int((world.now + 60) * 1000)))
    assert world.service().messages([message(1, announcement(key))]) == ["1"]


def test_a_message_that_comes_again_goes_on_with_what_killed_the_function(world: World) -> None:
    key = world.bury(GOOD)
    world.process(event_of([{"part": "a", "n": 0}]))
    item = world.progress.items[ITEM]
    world.progress.items[ITEM] = replace(item, lease=Lease("queue (m1)", 7, int((world.now + 60) * 1000)))
    again = [world.service().messages([{"messageId": id_, "body": announcement(key)}]) for id_ in ("m2", "m1")]
    assert again == [["m2"], []]


# Quarantine


def replay(world: World, text: str, **more: Any) -> dict[str, Any]:
    request = {"do": "quarantine replay", "objects": world.objects_of_quarantine(), **more}
    return world.service(text).handle(request)


def test_what_a_fixed_pipeline_takes_is_delivered_at_its_place_and_the_rest_stays(world: World) -> None:
    world.process(MIXED)
    before = world.archived()
    answer = replay(world, LENIENT)
    assert (answer["state"], answer["envelopes"], answer["finished"]) == ("partial", 3, 2)
    place = ids_of(MIXED, 3)[0].rpartition(":")[0]
    assert world.archived() == sorted([*before, (ids_of(MIXED, 1)[0], 1), (f"{place}:1", 1)])
    assert len(world.quarantined()) == 3
    assert world.audit() == [("unknown", "quarantine replay", "partial")]


def test_what_was_replayed_is_marked_and_not_taken_again(world: World) -> None:
    world.process(MIXED)
    replay(world, LENIENT)
    once = world.archived()
    answer = replay(world, LENIENT)
    assert (answer["envelopes"], answer["finished"], world.archived()) == (1, 0, once)
    marks = world.read("p/audit/quarantine/")
    assert {(mark["state"], mark["action"]) for mark in marks} == {("replayed", "action0")}
    assert len(marks) == 2


def test_a_dry_run_of_a_replay_changes_nothing(world: World) -> None:
    world.process(MIXED)
    before = world.everything(), dict(world.progress.items)
    answer = replay(world, LENIENT, dry_run=True)
    assert (answer["finished"], "audit" in answer) == (2, False)
    assert (world.everything(), world.progress.items) == before


def test_patched_bytes_are_delivered_instead(world: World) -> None:
    world.process(MIXED)
    broken = ids_of(MIXED, 4)[0].rpartition(":")[0]
    patched = {broken: base64.b64encode(b'{"part": "a", "n": 9}').decode()}
    answer = replay(world, STRICT, patched=patched)
    assert answer["finished"] == 1
    assert (f"{broken}:0", 9) in world.archived()
    assert world.read("p/audit/day=")[0]["result"]["patched"] == [broken]


def test_a_patch_may_not_make_two_records_of_one(world: World) -> None:
    world.process(MIXED)
    name = ids_of(MIXED, 1)[0]
    answer = replay(world, LENIENT, patched={name: base64.b64encode(b"[{}, {}]").decode()})
    [report] = answer["reports"]
    assert name in report["still_refused"]
    assert name not in dict(world.archived())


def test_only_the_chosen_causes_and_records_are_taken(world: World) -> None:
    world.process(MIXED)
    wanted = ids_of(MIXED, 1)[0]
    [entry] = world.objects_of_quarantine()
    request = {"do": "quarantine replay", "objects": [{**entry, "ids": [wanted]}]}
    answer = world.service(LENIENT).handle(request)
    assert (answer["envelopes"], answer["state"]) == (1, "replayed")
    assert wanted in dict(world.archived())


def test_discarded_envelopes_are_marked_and_never_replayed(world: World) -> None:
    world.process(MIXED)
    [cause] = {line["fingerprint"] for line in world.read("p/quarantine/") if line["reason"] == "not JSON"}
    request = {"do": "quarantine discard", "objects": world.objects_of_quarantine(), "fingerprints": [cause]}
    answer = world.service().handle({**request, "dry_run": True})
    assert (answer["state"], answer["envelopes"], world.read("p/audit/")) == ("discarded", 1, [])
    world.service().handle(request)
    assert [mark["state"] for mark in world.read("p/audit/quarantine/")] == ["discarded"]
    assert replay(world, LENIENT)["envelopes"] == 2


def test_what_lies_beyond_the_mark_is_left_to_the_batch_that_is_under_way(world: World) -> None:
    world.process(MIXED)
    item = world.progress.items[ITEM]
    first = ids_of(MIXED, 1)[0].split(":")[1]
    world.progress.items[ITEM] = replace(item, completed=f"{len(first):03d}{first}")
    answer = replay(world, LENIENT)
    assert (answer["finished"], answer["not_final"], answer["state"]) == (1, 2, "partial")


def test_a_tampered_envelope_is_named_and_its_neighbours_are_replayed(world: World) -> None:
    world.process(MIXED)
    [(key, _)] = world.objects.under("data", "p/quarantine/")
    import gzip

    lines = world.read("p/quarantine/")
    lines[0]["message"], lines[0]["sub"] = "moved", 9
    world.objects.overwrite("data", key, gzip.compress(b"".join(orjson.dumps(line) + b"\n" for line in lines)), {})
    answer = replay(world, LENIENT)
    assert [text.partition(": ")[0] for text in answer["unusable"]] == [f"s3://data/{key} line 1"]
    assert answer["envelopes"] == 2


def test_an_object_outside_the_quarantine_is_refused(world: World) -> None:
    answer = world.service().handle({"do": "quarantine replay", "objects": [{"key": "p/archive/x"}]})
    assert answer == {
        "state": "refused",
        "message": "p/archive/x is not in the quarantine of p (s3://data/p/quarantine/)",
    }


def test_without_progress_items_a_replay_is_refused_with_the_way_out(world: World) -> None:
    answer = replay(world, f"delivery: at_least_once\n{STRICT}")
    assert (answer["state"], "aetherstream quarantine export" in answer["message"]) == ("refused", True)


# All of them


def test_it_says_what_it_is(world: World) -> None:
    about = world.service().handle({"do": "describe"})["about"]
    assert {name: about[name] for name in about if name not in {"version", "sinks"}} == {
        "pipeline": "p",
        "stream": STREAM,
        "function": None,
        "bucket": "data",
        "prefix": "p/quarantine",
        "dead_letters": "dead",
        "exactly_once": True,
        "staging": [],
        "record_sinks": [],
    }


def test_an_unknown_request_names_the_known_ones(world: World) -> None:
    answer = world.service().handle({"do": "redrive"})
    assert (answer["state"], "dlq redrive" in answer["message"]) == ("refused", True)


@pytest.mark.parametrize("do", ["dlq redrive", "dlq discard"])
def test_interrupted_before_its_mark_and_done_again_it_comes_to_the_same(world: World, do: str) -> None:
    key = world.bury(GOOD)
    service = world.service()
    answer = service.handle({"do": do, "key": key})
    for place in [place for place in world.objects.objects if place[1].startswith("p/audit/")]:
        del world.objects.objects[place]  # as if it had ended before the audit line
    archived = world.archived()
    assert service.handle({"do": do, "key": key})["state"] == answer["state"]
    assert (world.archived(), len(world.audit())) == (archived, 1)


def test_an_answer_names_a_bounded_number_of_records_and_the_audit_trail_all(world: World) -> None:
    refused = event_of([json.dumps([{"n": "x"}] * 3000)])
    answer = world.service().handle({"do": "dlq redrive", "key": world.bury(refused)})
    assert (answer["report"]["quarantined"], len(answer["report"]["still_refused"])) == (3000, 2000)
    assert len(world.read("p/audit/day=")[0]["result"]["report"]["still_refused"]) == 3000
