"""What the aggregates of `drill/aggregates.yaml` should have, have, and have sent: by hand, in the table, and in S3."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import UnsetType

from aetherstream.aggregates.partials import results
from aetherstream.aggregates.windows import Window
from aetherstream.compose import quarantine_of, sinks_of
from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_states import owner_of
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.dynamodb import DynamoStates, item_of
from aetherstream.delivery.aggregates.places import GroupPlace, Scope, scope_in, scope_of
from aetherstream.delivery.aggregates.results import merged
from aetherstream.delivery.aggregates.state import Item
from aetherstream.delivery.aggregates.windows_dynamodb import DynamoWindows
from aetherstream.delivery.s3 import S3Reader
from aetherstream.eventtime import EventTime
from aetherstream.local.environment import Clients
from aetherstream.pipeline import Pipeline, load
from aetherstream.records import Event
from aetherstream.recovery.recomputing import Places, recompute
from aetherstream.recovery.refold import notes
from tests.integration.ground import Ground

PIPELINE = Path(__file__).parent / "drill" / "aggregates.yaml"
DAY = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
REBUILT = ("dropping", "keeping", "correcting", "visits")
"""Aggregates that are rebuilt from the archive; the ranked one has the states of `correcting`."""
GAP = 600
HOURS = 4
"""All events of the tests lie in so many."""
Result = tuple[str, str]
"""Start of the window or session, and part."""
Values = tuple[int, int]
"""How many events, and the sum of their numbers."""


def event(part: str, minute: float, n: int) -> Event:
    """An event so many minutes after midnight of a day in January."""
    return {"part": part, "at": text(DAY + 60 * minute), "n": n}


def text(time: float) -> str:
    """A time as the pipeline writes it."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


def newest(events: Iterable[Event]) -> str:
    """The latest time of all."""
    return str(max(each["at"] for each in events))


def hourly(events: Iterable[Event]) -> dict[Result, Values]:
    """By hour and part."""
    found: defaultdict[Result, list[int]] = defaultdict(list)
    for each in events:
        found[f"{each['at'][:13]}:00:00Z", each["part"]].append(each["n"])
    return {key: (len(numbers), sum(numbers)) for key, numbers in found.items()}


def sessions(events: Iterable[Event]) -> dict[Result, Values]:
    """By session of each part."""
    found: dict[Result, Values] = {}
    by_part: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in events:
        by_part[each["part"]].append((datetime.fromisoformat(each["at"]).timestamp(), each["n"]))
    for part, members in by_part.items():
        start = last = float("-inf")
        for time, n in sorted(members):
            start = time if time - last >= GAP else start
            last = time
            count, total = found.get((text(start), part), (0, 0))
            found[text(start), part] = (count + 1, total + n)
    return found


def ranked(hours: Mapping[Result, Values]) -> dict[tuple[str, int], tuple[str, int]]:
    """By hour and rank: the part and its sum."""
    found: dict[tuple[str, int], tuple[str, int]] = {}
    for start in {start for start, _ in hours}:
        groups = sorted((-total, part) for (hour, part), (_, total) in hours.items() if hour == start)
        found |= {(start, rank): (part, -total) for rank, (total, part) in enumerate(groups[:2], 1)}
    return found


@dataclass
class Aggregating:
    """A ground with a state table."""

    ground: Ground
    states: str
    """Name of the state table."""
    stream_arn: str
    table_stream: str
    """ARN of the state table's stream."""

    def __post_init__(self) -> None:
        self.pipeline = load(PIPELINE, {"AETHERSTREAM_BUCKET": self.ground.bucket})
        self.declared = {one.name: one for one in declarations_of(self.pipeline)}
        self._executor = ThreadPoolExecutor(8)
        self.stores = states_of(self.ground.clients, self.states, self._executor)

    @property
    def variables(self) -> dict[str, str]:
        """Of every function."""
        return {
            "AETHERSTREAM_BUCKET": self.ground.bucket,
            "AETHERSTREAM_PROGRESS_TABLE": self.ground.table,
            "AETHERSTREAM_STATE_TABLE": self.states,
            "AETHERSTREAM_SINGLE_WRITES": "true",
            "AETHERSTREAM_STREAM": self.stream_arn,
            "AETHERSTREAM_DEAD_LETTERS": self.ground.dead_letters,
        }

    def close(self) -> None:
        """Give the threads back."""
        self._executor.shutdown()

    def put(self, events: Sequence[Event], key: str | None = None) -> list[str]:
        """Put events, each under its part as partition key, or all under one; their ids."""
        places = self.ground.put_keyed([(key or each["part"], each) for each in events])
        return [f"{shard}:{sequence}:0" for shard, sequence in places]

    def stored(self, name: str) -> dict[Result, Values]:
        """What the states have, merged over the shards."""
        aggregate = self.declared[name].aggregate
        found = {}
        for items in self._groups(name).values():
            for result in merged(aggregate, items):
                values = results(aggregate, result.accs)
                [part] = json.loads(result.key.group)
                found[result.window.id, part] = (values["n"], values["total"])
        return found

    def shards(self, name: str, part: str, hour: int = 0) -> int:
        """How many shards hold a part of a group."""
        start = text(DAY + 3600 * hour)
        [found] = [
            items
            for (_, key), items in self._groups(name).items()
            if key.window is not None and (key.window.id, key.group) == (start, json.dumps([part]))
        ]
        return len(found)

    def _groups(self, name: str) -> dict[GroupPlace, list[Item]]:
        """The items of each group, all of one moment: the table is small."""
        scope = self._scope(name)
        found: defaultdict[GroupPlace, list[Item]] = defaultdict(list)
        pages = self.ground.clients.get("dynamodb").get_paginator("scan").paginate(TableName=self.states)
        for item in (item for page in pages for item in page["Items"]):
            if "k" in item and scope_in(item["pk"]["S"]) == scope:
                read = item_of(scope, item)
                found[read.place].append(read)
        return found

    def _scope(self, name: str) -> Scope:
        return scope_of(owner_of("drill", self.stream_arn), self.declared[name].aggregate)

    def unlike(self) -> dict[str, list[Any]]:
        """By aggregate: where the states are not what the archive, the quarantine and the notes of redrives make."""
        span = Window(int(DAY), int(DAY) + HOURS * 3600)
        return unlike(self.ground, self.pipeline, self.stores, self.stream_arn, dict.fromkeys(REBUILT, span))

    def rows(self, name: str) -> list[Event]:
        """The newest row of each result in S3, without removed ones."""
        found: dict[str, Event] = {}
        for written in self.ground.objects(f"results/{name}/"):
            for row in written.events:
                if row["version"] >= found.get(row["id"], row)["version"]:
                    found[row["id"]] = row
        return [row for row in found.values() if not row["removed"]]

    def final(self, name: str) -> dict[Result, Values]:
        """The final results in S3."""
        rows = self.rows(name)
        assert all(row["final"] for row in rows)
        return {(row["window_start"], row["part"]): (row["n"], row["total"]) for row in rows}

    def ranks(self) -> dict[tuple[str, int], tuple[str, int]]:
        """The ranking of each hour in S3."""
        return {(row["window_start"], row["rank"]): (row["part"], row["total"]) for row in self.rows("busiest")}

    def refused(self) -> Counter[tuple[str, str]]:
        """What the quarantine holds of aggregates: where, and why."""
        envelopes = self.ground.quarantined()
        return Counter((each["where"], each["reason"]) for each in envelopes if each["stage"] == "aggregate")


def unlike(
    ground: Ground, pipeline: Pipeline, stores: Stores, stream_arn: str, spans: Mapping[str, Window]
) -> dict[str, list[Any]]:
    """Of aggregates, in spans of event time: where states are not what archive, quarantine and notes of redrives make.

    Group, window, what they should be and what they are.
    """
    quarantine = quarantine_of(pipeline).target
    time = pipeline.file.event_time
    assert not isinstance(time, UnsetType)
    assert time.field
    places = Places(
        [sink.target for sink in sinks_of(pipeline) if sink.rewrite is None],
        quarantine,
        notes(quarantine.bucket, pipeline.name, stream_arn),
    )
    declared = {one.name: one for one in declarations_of(pipeline)}
    found: dict[str, list[Any]] = {}
    for name, span in spans.items():
        done = recompute(
            declared[name],
            scope_of(owner_of(pipeline.name, stream_arn), declared[name].aggregate),
            span,
            time=EventTime(time.field),
            places=places,
            items=list(ground.progress().values()),
            reader=S3Reader(ground.clients.s3),
            stores=stores,
            now=datetime.now(UTC).timestamp(),
        )
        assert done.groups
        if done.differences:
            found[name] = [(each.key.group, each.window.id, each.recomputed, each.stored) for each in done.differences]
    return found


def states_of(clients: Clients, table: str, executor: ThreadPoolExecutor) -> Stores:
    """The states in a table."""
    client = clients.get("dynamodb")
    return Stores(DynamoStates(client, table, executor, batched=False), DynamoWindows(client, table, executor))


def aggregating_of(clients: Clients, shards: int = 2) -> Aggregating:
    """Make a stream, buckets and both tables that nobody else uses."""
    name = f"aggregates-{uuid4().hex[:12]}"
    clients.kinesis.create_stream(StreamName=name, ShardCount=shards)
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    for bucket in (name, f"{name}-dead"):
        clients.s3.create_bucket(Bucket=bucket)
    dynamodb = clients.get("dynamodb")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    made = dynamodb.create_table(
        TableName=f"{name}-states",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    stream = clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    ground = Ground(clients, "drill", name, name, f"{name}-dead", name)
    return Aggregating(ground, f"{name}-states", stream, made["LatestStreamArn"])
