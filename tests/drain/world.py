"""A spill in memory, the drain over it, and hands that interrupt it anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from aetherstream.delivery.breaker_item import BreakerItem, Rules, breaker_key, half_opened, opened
from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.delivery.put import Head, put
from aetherstream.delivery.reader import Listed
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.parts import Spilling
from aetherstream.drain.report import DrainReport
from aetherstream.objects import SUFFIX, Target
from aetherstream.records import Event, Rejection, sortable
from aetherstream.sinks.base import Documents, Outcome
from aetherstream.spill import REASON, Spill, Spilled
from aetherstream.testing.breakers import MemoryBreakers
from aetherstream.testing.builders import SHARD, START, STREAM, kinesis_records, written
from aetherstream.testing.sinks import Answer, MemoryRecordSink
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

PIPELINE = "flights"
KEY = breaker_key(PIPELINE, "search")
NOW = START + 3600
QUARANTINE = Target("data", "flights/quarantine", SUFFIX["gzip"])
RULES = Rules(patience=15.0, probe_after=30.0)


class Crash(BaseException):
    """The process is killed: nothing catches it."""


@dataclass
class Hands:
    """Counts every effect, and does something before or after one of them."""

    at: int | None = None
    before: bool = True
    do: Callable[[], None] = lambda: None
    count: int = 0
    dead: bool = False
    last_put: Callable[[], None] = lambda: None
    """Does the last put again."""
    prompt: bool = False
    """Whether a delivery follows at once on the look at the lease: what would come before it comes after it."""

    def wrap(self, call: Callable[[], Any], *, delivery: bool = False) -> Any:
        if self.dead:
            raise Crash
        mine, self.count = self.count, self.count + 1
        before = self.before and not (delivery and self.prompt)
        if mine == self.at and before:
            self.do()
        result = call()
        if mine == self.at and not before:
            self.do()
        return result

    def crash(self) -> None:
        """Kill the process: nothing that it would still do, also in a `finally`, is done."""
        self.dead = True
        raise Crash


class Objects:
    """The object store under hands."""

    def __init__(self, inner: MemoryObjects, hands: Hands) -> None:
        self._inner, self._hands = inner, hands

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        self._hands.last_put = lambda: self._inner.put(bucket, key, body, metadata, if_match=if_match)
        self._hands.wrap(lambda: self._inner.put(bucket, key, body, metadata, if_match=if_match))

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        raise AssertionError("the drain puts nothing without a condition")

    def head(self, bucket: str, key: str, /) -> Head | None:
        found: Head | None = self._hands.wrap(lambda: self._inner.head(bucket, key))
        return found

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        return self._inner.list(bucket, prefix)

    def get(self, bucket: str, key: str, /) -> bytes | None:
        found: bytes | None = self._hands.wrap(lambda: self._inner.get(bucket, key))
        return found


class Breakers:
    """The breakers' store under hands."""

    def __init__(self, inner: MemoryBreakers, hands: Hands) -> None:
        self._inner, self._hands = inner, hands

    def read(self, key: str, /) -> BreakerItem:
        found: BreakerItem = self._hands.wrap(lambda: self._inner.read(key))
        return found

    def write(self, item: BreakerItem, /) -> BreakerItem | None:
        found: BreakerItem | None = self._hands.wrap(lambda: self._inner.write(item))
        return found


class Sink:
    """The sink under hands."""

    def __init__(self, inner: MemoryRecordSink, hands: Hands) -> None:
        self.name = inner.name
        self._inner, self._hands = inner, hands

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
        found: Outcome = self._hands.wrap(lambda: self._inner.deliver(documents, seconds), delivery=True)
        return found


@dataclass
class World:
    """Everything around a drain."""

    objects: MemoryObjects = field(default_factory=MemoryObjects)
    breakers: MemoryBreakers = field(default_factory=MemoryBreakers)
    progress: MemoryProgress = field(default_factory=MemoryProgress)
    sink: MemoryRecordSink = field(default_factory=MemoryRecordSink)
    now: float = NOW
    slept: float = 0.0
    rate: int = 1_000_000
    left: float = 900.0
    """Seconds that a run has; what it sleeps is taken off."""
    exactly_once: bool = True
    most: int = 2000
    at_once: int = 20_000

    def __post_init__(self) -> None:
        self.objects.clock = lambda: self.now
        self.spill = Spill("search", bucket="data", prefix="flights/spill/search", pipeline=PIPELINE)

    # -- What stands there --------------------------------------------------------------------------------------------

    def spilled(self, *names: str, first: int = 100, shard: str = SHARD, epoch: int = 1, final: bool = True) -> str:
        """Put a spill object of one document a record, whose ids are these names; return its key."""
        batch = kinesis_records([{"n": name} for name in names], first=first, shard=shard)
        rows = [
            Spilled(
                Rejection(index, 0, "deliver", "sinks.search", REASON, "503"),
                name,
                "flights-2025.11.21",
                orjson.dumps({"n": name, "_event_id": f"{shard}:{batch.sequences[index]}:0"}),
            )
            for index, name in enumerate(names)
        ]
        key = self.spill.key(batch, 0, f"{sortable(batch.sequences[0])}-000000")
        body = self.spill.encode(rows, batch, "v1", epoch)
        put(self.objects, "data", key, body, {"aether-count": str(len(names)), "aether-version": "v1"}, epoch)
        if final:
            self.complete(batch.sequences[-1], shard)
        return key

    def complete(self, sequence: str, shard: str = SHARD) -> None:
        """Move a shard's mark; it only rises."""
        key = progress_key(PIPELINE, STREAM, shard)
        before = self.progress.items.get(key, Progress(key)).completed
        self.progress.items[key] = Progress(key, revision=5, epoch=5, completed=max(before, sortable(sequence)))

    def half_open(self) -> None:
        self.breakers.items[KEY] = half_opened(self.item, self.now, "probe", "drain", answered=True)

    def open(self, *, ago: float = 3600.0) -> None:
        self.breakers.items[KEY] = opened(BreakerItem(KEY), self.now - ago, "503", "stream", RULES)

    @property
    def item(self) -> BreakerItem:
        return self.breakers.items.get(KEY, BreakerItem(KEY))

    def change(self, **fields: Any) -> None:
        self.breakers.items[KEY] = replace(self.item, revision=self.item.revision + 1, **fields)

    # -- What is done -------------------------------------------------------------------------------------------------

    def drain(self, hands: Hands | None = None, owner: str = "the drain function", **options: Any) -> DrainReport:
        """One run."""
        begun, until = self.now, self.now + self.left
        assert begun < until
        spilling = self.spilling(hands)
        return self.drainer(hands, owner).drain(spilling, lambda: until - self.now, **options)

    def spilling(self, hands: Hands | None = None) -> Spilling:
        return Spilling(Sink(self.sink, hands or Hands()), self.spill.target, RULES, self.rate)

    def drainer(self, hands: Hands | None = None, owner: str = "the drain function") -> Drainer:
        hands = hands or Hands()
        objects = Objects(self.objects, hands)
        return Drainer(
            PIPELINE,
            quarantine=QUARANTINE,
            store=objects,
            reader=objects,
            progress=self.progress if self.exactly_once else None,
            breakers=Breakers(self.breakers, hands),
            clock=lambda: self.now,
            sleep=self.sleep,
            executor=InlineExecutor(),
            owner=owner,
            most=self.most,
            at_once=self.at_once,
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    # -- What came of it ----------------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """Names of the documents that still stand in the spill, by object."""
        held = written(self.objects, "data", "flights/spill/search")
        return [row["document_id"] for rows in held.values() for row in rows]

    def refused(self) -> list[str]:
        """Names of the documents that stand in the quarantine."""
        held = written(self.objects, "data", "flights/quarantine")
        return sorted(row["event"]["n"] for rows in held.values() for row in rows)

    def stored(self) -> list[str]:
        """Names of the documents that the sink has."""
        return sorted(self.sink.documents)


def refuse(*names: str) -> Callable[[str, Event], Answer]:
    """A sink's answers: these names are refused for good."""
    from aetherstream.errors import Rejected

    return lambda name, _: Rejected("mapper_parsing_exception", f"{name}: no number") if name in names else None


def throttle(*names: str) -> Callable[[str, Event], Answer]:
    """A sink's answers: these names are not taken now."""
    return lambda name, _: "429 rejected" if name in names else None
