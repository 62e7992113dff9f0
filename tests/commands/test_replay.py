"""`aetherstream replay` on a stack in memory, through the recovery function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aetherstream.commands.replay import replay
from aetherstream.errors import Retryable, UsageError
from aetherstream.recovery.lease import Leases
from aetherstream.testing.builders import event_ids_of, written
from aetherstream.testing.sinks import MemoryRecordSink
from tests.commands.stack import MemoryStack

PIPELINE = """\
pipeline: p
transforms: [{filter: n != 0}]
sinks:
  archive: {s3: {bucket: data}}
quarantine: {s3: {bucket: data}}
"""
TWO_SINKS = PIPELINE.replace("quarantine", "  second: {s3: {bucket: data, partition: [{field: kind}]}}\nquarantine")


DOCUMENTS = "event_time: {field: n, format: epoch_s}\n" + PIPELINE.replace(
    "quarantine", '  search: {opensearch: {endpoint: "https://search.example", index: p}}\nquarantine'
)


TABLE = """\
  table:
    redshift:
      endpoint: host/dev
      secret: s
      bucket: data
      partition: []
      table: t
      columns: {n: smallint, kind: char(1)}
"""


@pytest.fixture
def stack(tmp_path: Path) -> MemoryStack:
    made = MemoryStack(tmp_path, PIPELINE)
    made.process({"n": 1, "kind": "a"}, {"n": 0}, b"no JSON", {"n": 2, "kind": [1]})
    made.deploy(TWO_SINKS.replace("kind", "n"))
    return made


def said(stack: MemoryStack, *arguments: str) -> list[str]:
    result = stack.call(replay, "--from", "1h", "--to", "2100-01-01", *arguments)
    assert result.exit_code == 0, result.exception
    return result.output.splitlines()


def ids(stack: MemoryStack, sink: str) -> list[str]:
    return [found.partition(":")[2] for found in event_ids_of(written(stack.objects, "data", f"p/{sink}"))]


def test_a_new_sink_is_filled_from_the_stream(stack: MemoryStack) -> None:
    assert said(stack) == [
        "4 Kinesis records read, 4 user records replayed",
        "sink archive: 2 events = 0 delivered + 2 held already + 0 quarantined + 0 left",
        "sink second: 2 events = 2 delivered + 0 held already + 0 quarantined + 0 left",
        "1 record dropped by a filter",
        "1 record in the quarantine before (`aetherstream quarantine replay`)",
        "2 objects written",
    ]
    assert (ids(stack, "archive"), ids(stack, "second")) == (["100:0", "130:0"], ["100:0", "130:0"])


def test_a_sink_of_documents_is_filled_from_the_archive_once(stack: MemoryStack) -> None:
    search = MemoryRecordSink("search")
    stack.record_sinks = [search]
    stack.deploy(DOCUMENTS)
    for _ in range(2):
        assert said(stack, "--archive", "archive", "--into", "search") == [
            "2 Kinesis records read, 2 user records replayed",
            "sink search: 2 events = 2 delivered + 0 held already + 0 quarantined + 0 left",
            "0 objects written",
        ]
        assert [key.partition(":")[2] for key in search.documents] == ["100:0", "130:0"]


def test_what_a_sink_does_not_take_is_left_and_the_cause_is_said(stack: MemoryStack) -> None:
    search = MemoryRecordSink("search")
    search.down = "Connection refused"
    stack.record_sinks = [search]
    stack.deploy(DOCUMENTS)
    call = ("--from", "1h", "--to", "2100-01-01", "--archive", "archive", "--into", "search")
    result = stack.call(replay, *call)
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            "2 Kinesis records read, 2 user records replayed",
            "sink search: 2 events = 0 delivered + 0 held already + 0 quarantined + 2 left",
            "2 records left: call it again when the sink takes them",
            "  sink search: Connection refused",
            "0 objects written",
        ],
    )
    assert json.loads(stack.call(replay, *call, "--json").output)["undelivered"] == ["sink search: Connection refused"]


def test_documents_are_not_read_again(stack: MemoryStack) -> None:
    stack.deploy(DOCUMENTS)
    result = stack.call(replay, "--from", "1h", "--archive", "search", "--into", "archive")
    assert str(result.exception) == "--archive search: only the objects of a sink in S3 can be read again"


def test_rows_that_wait_for_their_table_are_not_read_as_events(stack: MemoryStack) -> None:
    stack.deploy(PIPELINE.replace("quarantine", f"{TABLE}quarantine"))
    result = stack.call(replay, "--from", "1h", "--archive", "table", "--into", "archive")
    assert str(result.exception) == (
        "--archive table: its objects hold the rows of a table; events are in those of an s3 sink"
    )


def test_what_a_new_table_refuses_is_told_though_the_archive_has_it(stack: MemoryStack) -> None:
    stack.deploy(PIPELINE.replace("quarantine", f"{TABLE}quarantine"))
    assert said(stack, "--into", "table") == [
        "4 Kinesis records read, 4 user records replayed",
        "sink table: 1 event = 1 delivered + 0 held already + 0 quarantined + 0 left",
        "1 record dropped by a filter",
        "1 record in the quarantine before (`aetherstream quarantine replay`)",
        "1 record refused now, delivered elsewhere before: left as is",
        "  1  partition: column kind is longer than 1 bytes",
        "1 object written",
    ]


def test_a_dry_run_changes_nothing(stack: MemoryStack) -> None:
    objects, items = dict(stack.objects.objects), dict(stack.progress.items)
    assert said(stack, "--dry-run")[-1] == "2 objects would be written. Nothing was changed."
    assert (stack.objects.objects, stack.progress.items) == (objects, items)


def test_a_new_sink_is_filled_from_the_archive_and_a_second_time_is_left_alone(stack: MemoryStack) -> None:
    for delivered, held, objects in ((2, 0, 2), (0, 2, 0)):
        assert said(stack, "--archive", "archive", "--into", "second") == [
            "2 Kinesis records read, 2 user records replayed",
            f"sink second: 2 events = {delivered} delivered + {held} held already + 0 quarantined + 0 left",
            f"{objects} objects written",
        ]
    assert ids(stack, "second") == ["100:0", "130:0"]


def test_events_without_a_place_are_told(stack: MemoryStack) -> None:
    stack.deploy(TWO_SINKS)
    assert said(stack, "--archive", "archive", "--into", "second")[2:] == [
        "1 record without a place in a sink, left in the archive only:",
        "  shardId-000000000000:130:0  partition value [1] is not a scalar",
        "1 object written",
    ]


def test_what_is_behind_the_mark_is_left_to_the_stream_function(stack: MemoryStack) -> None:
    stack.kinesis.put([{"n": 3}], ["140"])
    assert "1 Kinesis record behind the mark of the shard: left to the stream function" in said(stack)


def test_every_unit_leaves_a_line_in_the_audit_trail(stack: MemoryStack) -> None:
    said(stack, "--into", "second")
    (line,) = [json.loads(stored.body) for _, stored in stack.objects.under("data", "p/audit/")]
    assert (line["what"], line["target"], line["result"]["into"]) == (
        "replay",
        "shardId-000000000000 100–130",
        ["second"],
    )


def test_the_totals_as_json(stack: MemoryStack) -> None:
    facts = json.loads(said(stack, "--json", "--into", "second")[0])
    assert {name: facts[name] for name in ("units", "kinesis_records", "not_settled", "refused", "objects")} == {
        "units": 1,
        "kinesis_records": 4,
        "not_settled": 0,
        "refused": 0,
        "objects": 2,
    }


def test_a_shard_that_somebody_redrives_stops_the_replay_and_says_where(stack: MemoryStack) -> None:
    (item,) = stack.progress.items.values()
    Leases(stack.progress, owner="somebody", clock=lambda: 4_000_000_000.0).take(item)
    result = stack.call(replay, "--from", "1h", "--to", "2100-01-01")
    assert isinstance(result.exception, Retryable)
    assert "somebody redrives this shard and holds its lease until" in str(result.exception)
    assert "Stopped at shardId-000000000000 100, after 0 Kinesis records" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--archive", "archive"], "say with --into which sinks are to get the archive's events"),
        (["--archive", "archive", "--into", "archive"], "that is where the events are read from"),
        (["--into", "secnd"], "the pipeline has no sink 'secnd' (did you mean 'second'?)"),
        (["--to", "2000-01-01"], "--to 2000-01-01T00:00:00+00:00 is not after --from"),
        (["--shard", "shardId-9"], "the stream has no shard shardId-9 (there are: shardId-000000000000)"),
    ],
)
def test_a_wrong_call_is_told_what_to_say(stack: MemoryStack, arguments: list[str], message: str) -> None:
    result = stack.call(replay, "--from", "1h", *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_a_start_before_the_retention_is_told(stack: MemoryStack) -> None:
    result = stack.call(replay, "--from", "2000-01-01")
    assert "before that is gone" in result.output
