"""How the flights are sent: mostly one event a record, some in KPL aggregates, compressed, or many in one record.

Everything is decided by the number of the event, so a run can be repeated record by record, and what must come out is
known before the first one is sent.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Final, NamedTuple

import orjson

from aetherstream.producer.aggregate import encode
from aetherstream.producer.model import Limits, user_record
from demo.broken import CARRIERS, KINDS
from demo.flights import TOTAL, Event, flights, partition_key

BLOCK: Final = 200  # events; each block has one run of each of RUNS and GZIPPED events alone in a compressed record
RUNS: Final = {"kpl": 10, "ndjson": 6, "array": 4}  # 5 %, 3 %, 2 % of the events
GZIPPED: Final = 6  # 3 %


class Transmission(NamedTuple):
    """One Kinesis record, ready to be put as it is (never to be aggregated again).

    `kind`: plain, gzip, ndjson, ndjson+gzip, array, kpl, or the name of a broken kind. `events` are the good ones.
    """

    data: bytes
    partition_key: str
    kind: str
    events: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come out: `events` delivered, and `broken` user records of each kind rejected."""

    events: int
    broken: dict[str, int]

    @property
    def user_records(self) -> int:
        """Everything that goes in, counted as the accounting counts it: KPL sub-records, lines, array elements."""
        return self.events + sum(self.broken.values())


def expectation(limit: int | None = None) -> Expectation:
    """What the traffic of the first `limit` flights (all by default) must lead to."""
    total = _total(limit)
    broken = Counter(_places(total).values())
    return Expectation(total, {kind: broken[kind] for kind in KINDS if broken[kind]})


def traffic(limit: int | None = None) -> Iterator[Transmission]:
    """The first `limit` flights (all by default) as Kinesis records, with the broken ones between them."""
    places = _places(_total(limit))
    events = flights(limit)
    start = 0
    while block := list(islice(events, BLOCK)):
        yield from _block(start, block, places)
        start += len(block)


def _total(limit: int | None) -> int:
    return TOTAL if limit is None else min(limit, TOTAL)


def _places(total: int) -> dict[int, str]:
    """Beside which event each broken record goes: evenly spread, every kind once, thrice in a long stream."""
    kinds = (list(KINDS) * min(3, 1 + total // 100_000))[:total]
    return {(2 * number + 1) * total // (2 * len(kinds)): kind for number, kind in enumerate(kinds)}


def _block(start: int, block: list[Event], places: dict[int, str]) -> Iterator[Transmission]:
    random = Random(start)
    ways = _ways(random)
    run: list[Event] = []
    for offset, event in enumerate(block):
        way = ways.get(offset, "plain")
        if run and way not in RUNS:
            yield from _send_run(ways[offset - 1], run, random)
            run = []
        broken = places.get(start + offset)
        if broken is not None:
            carries = broken in CARRIERS
            yield Transmission(KINDS[broken](event), partition_key(event), broken, int(carries))
            if carries:
                continue
        if way in RUNS:
            run.append(event)
            continue
        text = orjson.dumps(event)
        data = gzip.compress(text, mtime=0) if way == "gzip" else text
        yield Transmission(data, partition_key(event), way, 1)
    if run:
        yield from _send_run(ways[len(block) - 1], run, random)


def _ways(random: Random) -> dict[int, str]:
    """Which offsets of a block go how; two runs never touch."""
    ways: dict[int, str] = {}
    slots = list(range(0, BLOCK, BLOCK // len(RUNS)))[: len(RUNS)]
    random.shuffle(slots)
    for slot, (way, length) in zip(slots, RUNS.items(), strict=True):
        first = slot + random.randrange(BLOCK // len(RUNS) - length - 1)
        ways.update(dict.fromkeys(range(first, first + length), way))
    alone = [offset for offset in range(BLOCK) if offset not in ways]
    ways.update(dict.fromkeys(random.sample(alone, GZIPPED), "gzip"))
    return ways


def _send_run(way: str, run: list[Event], random: Random) -> Iterator[Transmission]:
    """A run as one record for each origin: an airport's uplink that collects before it sends."""
    origins: dict[str, list[Event]] = defaultdict(list)
    for event in run:
        origins[event["origin"]].append(event)
    for origin, events in origins.items():
        if way == "kpl":
            records = [user_record(orjson.dumps(event), origin, Limits()) for event in events]
            yield Transmission(encode(records), origin, way, len(events))
        elif way == "array":
            yield Transmission(orjson.dumps(events), origin, way, len(events))
        else:
            text = b"\n".join(map(orjson.dumps, events)) + b"\n"
            if random.random() < 0.3:
                yield Transmission(gzip.compress(text, mtime=0), origin, "ndjson+gzip", len(events))
            else:
                yield Transmission(text, origin, way, len(events))
