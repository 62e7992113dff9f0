"""`aetherstream progress` on a stack in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from aetherstream.commands.progress import progress
from aetherstream.delivery.progress import Noted, Suspect, progress_key
from aetherstream.errors import UsageError
from aetherstream.testing.builders import SHARD
from tests.commands.stack import ARN, ARRIVED, MemoryStack

PIPELINE = """\
pipeline: p
transforms: [{filter: n != 0}]
sinks: {archive: {s3: {bucket: data}}}
quarantine: {s3: {bucket: data}}
"""
KEY = progress_key("p", ARN, SHARD)


@pytest.fixture
def stack(tmp_path: Path) -> MemoryStack:
    made = MemoryStack(tmp_path, PIPELINE)
    made.process({"n": 1}, {"n": 0}, b"no JSON")
    return made


def command(name: str) -> click.Command:
    return progress.commands[name]


def lines(stack: MemoryStack, name: str, *arguments: str) -> list[str]:
    result = stack.call(command(name), *arguments)
    assert result.exit_code == 0, result.exception
    return result.output.splitlines()


def test_show_tells_mark_attempt_and_totals_and_names_shards_without_a_batch(stack: MemoryStack) -> None:
    stack.kinesis.split(SHARD)
    shown = lines(stack, "show")
    assert shown[0] == "p, stream events"
    assert shown[1].startswith(f"  {SHARD}: up to 120, which arrived {ARRIVED:%Y-%m-%dT%H:%M:%SZ}, ")
    assert shown[1].endswith(" ago (epoch 1)")
    size = stack.progress.items[KEY].counters["bytes"]
    assert shown[2:] == [
        "    nothing came after it",
        "    last attempt: done (3 records from 100)",
        f"    totals: 3 records = 1 passed on + 1 quarantined + 1 dropped; 2 objects, {size} bytes",
        "    sink archive: 1 event = 1 delivered + 0 quarantined",
        "  shardId-000000000001: no batch yet",
        "  shardId-000000000002: no batch yet",
    ]


def test_show_tells_that_records_wait_and_what_unfinished_attempts_noted(stack: MemoryStack) -> None:
    stack.kinesis.put([{"n": 2}], ["130"])
    item = stack.progress.items[KEY]
    stack.progress.items[KEY] = replace(item, open={"data/p/archive/x.ndjson.gz": Noted("003130", "v1")})
    shown = lines(stack, "show", "--shard", SHARD)
    assert shown[2] == "    records wait behind it; the stream's end is 0 s ahead"
    assert shown[4:6] == ["    1 object of unfinished attempts:", "      s3://data/p/archive/x.ndjson.gz"]


def test_show_tells_what_redrives_did_and_where_they_were_killed(stack: MemoryStack) -> None:
    item = stack.progress.items[KEY]
    killed = (Suspect("003100", "003120", "v1", killed=1), Suspect("003100-000002", "003100-000002", "v1", 3, 2))
    totals = {"delivered": 4373, "quarantined": 1, "replayed": 2, "archive.delivered": 4375}
    stack.progress.items[KEY] = replace(item, suspects=killed, redriven=totals)
    shown = lines(stack, "show", "--shard", SHARD)
    assert shown[4:6] == [
        "    1 redrive killed from 100 to 120; the next one takes these records apart",
        "    3 redrives killed from 100:2 to 100:2; the next one takes these records apart",
    ]
    assert shown[-2:] == [
        "    records by redrives: 4,373 delivered from dead letters, 2 from the quarantine, 1 quarantined",
        "    sink archive: 4,375 events delivered by redrives",
    ]


def test_show_as_json_has_an_object_a_shard(stack: MemoryStack) -> None:
    (line,) = lines(stack, "show", "--json")
    facts = json.loads(line)
    assert {name: facts[name] for name in ("pipeline", "stream", "shard", "mark", "epoch", "open", "lease")} == {
        "pipeline": "p",
        "stream": "events",
        "shard": SHARD,
        "mark": "120",
        "epoch": 1,
        "open": [],
        "lease": None,
    }


def test_reset_says_what_it_would_do_and_does_nothing(stack: MemoryStack) -> None:
    before = dict(stack.progress.items)
    assert lines(stack, "reset", "--all") == [
        f"{SHARD} of p: the mark 120 is cleared, the epoch goes from 1 to 2",
        "  so far 1 record went on to the sinks. Those of them that Lambda brings again are delivered again,",
        "  and stand in the sinks twice unless their objects are moved away first or the sinks' prefixes change",
        "  the totals go on from where they are",
        "The event source mapping is enabled: it goes on from its own place, not from the stream's beginning.",
        "Nothing was changed. Add --yes to do it.",
    ]
    assert stack.progress.items == before


def test_reset_with_yes_clears_the_mark_and_leaves_a_line_in_the_audit_trail(stack: MemoryStack) -> None:
    assert lines(stack, "reset", "--shard", SHARD, "--yes")[-1] == f"{SHARD}: set back, epoch 2"
    item = stack.progress.items[KEY]
    assert (item.completed, item.epoch, item.counters["records"]) == ("", 2, 3)
    (audited,) = [stored.body for _, stored in stack.objects.under("data", "p/audit/")]
    line: dict[str, Any] = json.loads(audited)
    assert (line["what"], line["target"], line["result"]) == ("progress reset", KEY, {"mark_before": "120", "epoch": 2})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("reset", [], "say which shards to set back: --shard ID (repeat it for several), or --all"),
        ("reset", ["--all", "--shard", SHARD], "say which shards to set back: --shard ID"),
        ("reset", ["--shard", "shardId-9"], f"the shard shardId-9 has no progress (there are: {SHARD})"),
        ("show", ["--pipeline", "q"], "no shard of the pipeline 'q' has progress yet (there are: p)"),
    ],
)
def test_a_wrong_call_is_told_what_to_say(stack: MemoryStack, name: str, arguments: list[str], message: str) -> None:
    result = stack.call(command(name), *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_an_empty_table_is_told(tmp_path: Path) -> None:
    result = MemoryStack(tmp_path, PIPELINE).call(command("show"))
    assert str(result.exception) == "the progress table is empty: no batch has been processed yet"


def test_show_tells_what_came_to_aggregates(stack: MemoryStack) -> None:
    item = stack.progress.items[KEY]
    totals = {"aggregates.sums.events": 9, "aggregates.sums.folded": 6, "aggregates.sums.late": 1}
    totals["aggregates.sums.quarantined"] = 2
    redriven = {"aggregates.sums.events": 3, "aggregates.sums.folded": 3}
    stack.progress.items[KEY] = replace(
        item, counters={**item.counters, **totals}, redriven=redriven, event_time=90.0, commit=7
    )
    assert lines(stack, "show", "--shard", SHARD)[-3:] == [
        "    aggregate sums: 9 events = 6 folded + 1 late + 2 quarantined",
        "    aggregates: event time 1970-01-01T00:01:30Z committed, commit 7",
        "    aggregate sums: 3 events folded by redrives",
    ]


def test_a_reset_says_what_it_means_to_aggregates(stack: MemoryStack) -> None:
    stack.progress.items[KEY] = replace(stack.progress.items[KEY], event_time=90.0)
    told = "\n".join(lines(stack, "reset", "--all"))
    assert "aggregates keep their states and the event time 1970-01-01T00:01:30Z" in told
