"""What is sent, the pipeline that it goes through, and what must come of each user record."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from aetherstream.aggregates.aggregate import expressions
from aetherstream.aggregates.columns import ColumnReader
from aetherstream.aggregates.declaration import Declaration
from aetherstream.core import Core, Prepared
from aetherstream.eventtime import EventTime
from aetherstream.local.esm import StreamRecord
from aetherstream.objects import Compression
from aetherstream.records import Event, Events, KinesisRecords, Rejection
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.sinks.s3 import S3Archive, by_field
from aetherstream.testing.builders import JsonLists
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import column_type
from tests.simulation.faults import Fault, Profile
from tests.simulation.models import BUCKET
from tests.simulation.world import Killed, World

PARTITIONS = "abc"
SINKS = ("archive", "staging", "search")
ORDINARY = ("pass",) * 8
ODD = ("drop", "reject", "bare", "unplaceable", "split", "conflict", "archived", "changing")
"""What becomes of a user record: see `expected`."""
KILLERS = ("kill", "kill late")
_COLUMNS = (
    Column("p", column_type("varchar(16)"), nullable=False),
    Column("do", column_type("varchar(32)"), nullable=False),
)
APPEND = Contract("events", _COLUMNS)
UPSERT = Contract("latest", _COLUMNS, mode="upsert", key=("p",), version="do")


@dataclass(frozen=True, slots=True)
class Item:
    """One user record."""

    do: str
    place: str
    time: float | None = None
    """Event time, epoch seconds; None where there are no aggregates."""
    value: float | None = None

    def payload(self) -> object:
        """The JSON that is sent."""
        if self.do == "bare":
            return "not an object"
        sent = {"do": self.do, "p": [self.place] if self.do == "unplaceable" else self.place}
        return sent if self.time is None else {**sent, "t": self.time, "v": self.value}


@dataclass(frozen=True, slots=True)
class Fate:
    """What a user record has to come to: refused at a stage, dropped (both empty), or events with their places."""

    refused: str = ""
    events: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """For each event its partition and its sinks."""


def expected(item: Item, version: str) -> Fate:
    """What this pipeline version makes of the user record; computed from the intent, not by the pipeline."""
    stage = {"bare": "decode", "reject": "transform", "unplaceable": "partition"}.get(item.do)
    if item.do == "changing" and version == "v2":
        stage = "transform"
    if stage:
        return Fate(refused=stage)
    if item.do == "drop":
        return Fate()
    places = [item.place, _next(item.place)] if item.do == "split" else [item.place]
    sinks = ("archive",) if item.do == "archived" else SINKS
    return Fate(events=tuple((_next(place) if version == "v2" else place, sinks) for place in places))


def _next(place: str) -> str:
    return PARTITIONS[(PARTITIONS.index(place) + 1) % len(PARTITIONS)]


@dataclass(frozen=True, slots=True)
class Sent:
    """One Kinesis record."""

    shard: str
    sequence: int
    arrival: float
    items: tuple[Item, ...]
    """Empty: bytes that are no JSON."""
    key: str = "key"
    """Partition key."""

    @property
    def name(self) -> str:
        """Shard and sequence number, as ids begin."""
        return f"{self.shard}:{self.sequence}"

    def record(self) -> StreamRecord:
        """As the stream holds it."""
        payloads = [item.payload() for item in self.items]
        data = orjson.dumps(payloads[0] if len(payloads) == 1 and isinstance(payloads[0], dict) else payloads)
        return StreamRecord(str(self.sequence), self.key, data if payloads else b"{oops", self.arrival)


def draw_item(rng: random.Random, profile: Profile, dos: Sequence[str]) -> Item:
    """Draw a user record; `dos`: what it may do, unless it kills."""
    if profile.happens(Fault.POISON, rng):
        return Item(rng.choice(KILLERS), rng.choice(PARTITIONS))
    return Item(rng.choice(dos), rng.choice(PARTITIONS))


class Steps:
    """`Transforming` of one pipeline version."""

    def __init__(self, version: str) -> None:
        self._version = version

    def apply(self, events: Events, rejections: list[Rejection], timings: dict[str, float] | None = None, /) -> int:
        """See `Transforming.apply`."""
        made = Events()
        nths: list[int] = []
        routes: list[frozenset[str]] = []
        dropped = 0
        for value, record, sub in zip(events.values, events.records, events.subs, strict=True):
            results = self._one(value)
            if results is None:
                rejections.append(Rejection(record, sub, "transform", "steps", "refused", f"refused {value}"))
                continue
            dropped += not results
            for nth, (result, sinks) in enumerate(results):
                made.values.append(result)
                made.records.append(record)
                made.subs.append(sub)
                nths.append(nth)
                routes.append(frozenset(sinks))
        events.values, events.records, events.subs = made.values, made.records, made.subs
        events.nths, events.routes = nths, routes
        return dropped

    def _one(self, value: Event) -> list[tuple[Event, Sequence[str]]] | None:
        do = value["do"]
        if do == "reject" or (do == "changing" and self._version == "v2"):
            return None
        if do == "drop":
            return []
        copies = [{**value}]
        if do == "split":
            copies.append({**value, "p": _next(value["p"])})
        if self._version == "v2":
            for copy in copies:
                if isinstance(copy["p"], str):
                    copy["p"] = _next(copy["p"])
        return [(copy, ("archive",) if do == "archived" else SINKS) for copy in copies]


class Decoder(JsonLists):
    """Opens the records; one of them kills the process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        """See `Decode.decode`."""
        events = super().decode(records, start, end, rejections)
        if any(value["do"] == "kill" for value in events.values):
            self._world.note("decodes a poisonous record", Fault.POISON)
            raise self._world.killed()
        return events


class Unordered(Core):
    """A core whose partitions come in any order: puts are parallel, so any of them may be done when one fails."""

    def under(self, world: World) -> Unordered:
        """Take the order from this world's seed."""
        self._world = world
        return self

    def prepare(self, *arguments: Any, **named: Any) -> Prepared:
        """See `Core.prepare`."""
        done = super().prepare(*arguments, **named)
        for name, groups in done.groups.items():
            paths = list(groups)
            self._world.rng.shuffle(paths)
            done.groups[name] = {path: groups[path] for path in paths}
        return done


class Archive(S3Archive):
    """An archive whose encoder one of the events kills."""

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """See `ObjectSink.encode`."""
        if b'"kill late"' in lines:
            raise Killed
        return super().encode(lines, epoch)


def columns_of(declared: Sequence[Declaration]) -> ColumnReader:
    """What reads the columns of aggregates."""
    return _reader(tuple(expressions([one.aggregate for one in declared])))


@lru_cache(maxsize=8)
def _reader(wanted: tuple[str, ...]) -> ColumnReader:
    return ColumnReader(wanted)


@dataclass(frozen=True, slots=True)
class Shape:
    """How the pipeline of a schedule is set up."""

    chunk: int = 2000
    max_partitions: int = 200
    with_search: bool = True
    compression: Compression = "gzip"
    batch_size: int = 5
    age: int = -1
    """`MaximumRecordAgeInSeconds`."""
    retries: int = -1
    """`MaximumRetryAttempts`."""
    parallel: int = 1
    """`ParallelizationFactor`."""
    places: tuple[str, ...] = ("archive", "staging")
    """The per-object sinks."""
    eagerness: float = 0.4
    """How soon what was given up goes on, and what is late lands."""
    abandon_at: int = 0
    """The effect before which attempts are given up, 0: any."""
    plain: bool = False
    """Whether every record simply passes."""
    dos: tuple[str, ...] = ()
    """What the records do; empty: anything, in some schedules."""
    spilling: bool = False
    """Whether the per-record sink, if there is one, has a circuit breaker and a spill, and is drained."""
    replayed: bool = False
    """Whether the quarantine is replayed in the end."""
    loaded: bool = False
    """Whether what is staged is loaded into a warehouse."""
    upserted: bool = False
    """Whether its table keeps one row a key, and not one an event."""
    aggregated: bool = False
    """Whether there are aggregates."""
    outlived: bool = False
    """Whether the quarantine is replayed when the states of closed windows are removed."""
    redeclared: bool = False
    """Whether v2 declares one of them otherwise; of that one nothing is checked but that the others are right."""
    closing: float | None = None
    """How often the closer comes; None: it is drawn."""
    declared: tuple[Declaration, ...] = field(default=(), repr=False)
    """Those aggregates."""
    interleaved: bool = False
    """Whether the puts of an attempt take turns; else each is done before the next one begins, in any order."""

    @classmethod
    def draw(cls, rng: random.Random) -> Shape:
        """Draw a set-up."""
        return cls(
            chunk=rng.choice((1, 3, 2000)),
            max_partitions=rng.choice((1, 2, 200, 200)),
            with_search=rng.random() < 0.6,
            compression=rng.choice(("gzip", "gzip", "zstd")),
            batch_size=rng.choice((1, 3, 5, 20)),
            age=rng.choice((-1, 60)),
            retries=rng.choice((-1, -1, 0, 1, 3)),
            eagerness=rng.choice((0.03, 0.15, 0.4)),
            interleaved=rng.random() < 0.1,
            spilling=rng.random() < 0.5,
            replayed=rng.random() < 0.25,
        )

    def core(self, version: str, world: World, sinks: Sequence[ObjectSink] | None = None) -> Core:
        """The pure steps of a version."""
        places = self.object_sinks() if sinks is None else list(sinks)
        world.rng.shuffle(places)
        core = Unordered(
            Decoder(world),
            sinks=places,
            transform=Steps(version),
            event_time=EventTime("t", "epoch_s") if self.declared else None,
            columns=columns_of(self.declared) if self.declared else None,
            chunk=self.chunk,
        )
        return core.under(world)

    def object_sinks(self) -> list[ObjectSink]:
        """A partitioned archive, and a sink with one object for all."""
        sinks: list[ObjectSink] = [
            Archive(
                "archive",
                bucket=BUCKET,
                prefix="archive",
                partition=[by_field("p")],
                compression=self.compression,
                max_partitions=self.max_partitions,
            ),
            self._staging(),
        ]
        return [sink for sink in sinks if sink.name in self.places]

    def _staging(self) -> ObjectSink:
        if self.loads:
            return RedshiftStaging("staging", self.contract, bucket=BUCKET, prefix="staging", partition=())
        return S3Archive("staging", bucket=BUCKET, prefix="staging")

    @property
    def loads(self) -> bool:
        """Whether there is a warehouse."""
        return self.loaded and "staging" in self.places

    @property
    def contract(self) -> Contract:
        """Of the table that is loaded."""
        return UPSERT if self.upserted else APPEND

    @property
    def spills(self) -> bool:
        """Whether there is a per-record sink, with all that stands in for it in an outage."""
        return self.with_search and self.spilling

    def sinks(self) -> tuple[str, ...]:
        """All sinks."""
        return (*self.places, "search") if self.with_search else self.places
