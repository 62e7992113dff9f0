"""Records that no pipeline should deliver, each broken in its own way, so that the quarantine has something to show.

Every builder takes an event to break a copy of, and gives the data of one Kinesis record with exactly one broken user
record in it. Those in `CARRIERS` also carry the event itself, whole, to show that a neighbour survives.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import orjson

from aetherstream.kpl import AggregatedRecord
from aetherstream.producer.aggregate import frame
from demo.flights import Event, partition_key

BOMB_BYTES: Final = 64 * 1024 * 1024
NESTING: Final = 5_000


def truncated_json(event: Event) -> bytes:
    """A sender that died in mid-sentence."""
    text = orjson.dumps(event)
    return text[: len(text) * 2 // 3]


def not_json(_: Event) -> bytes:
    """Somebody else's traffic."""
    return b"GET /healthz HTTP/1.1\r\nHost: collector\r\n\r\n"


def json_scalar(_: Event) -> bytes:
    """JSON, but no event."""
    return b"42"


def invalid_utf8(event: Event) -> bytes:
    """Latin-1 where UTF-8 is due."""
    return orjson.dumps(event | {"dest": "SJU?"}).replace(b"SJU?", b"S\xe3o\xff")


def truncated_gzip(event: Event) -> bytes:
    """A compressed record without its end."""
    packed = gzip.compress(orjson.dumps(event), mtime=0)
    return packed[: len(packed) // 2]


def empty(_: Event) -> bytes:
    """No bytes at all, which Kinesis allows."""
    return b""


def decompression_bomb(_: Event) -> bytes:
    """64 kB that unpack to 64 MiB of zeros."""
    return _bomb()


def deep_nesting(event: Event) -> bytes:
    """JSON nested deeper than a parser should follow."""
    return orjson.dumps(event)[:-1] + b',"nested":' + b"[" * NESTING + b"]" * NESTING + b"}"


def kpl_bad_checksum(event: Event) -> bytes:
    """A KPL aggregate with a flipped bit in its MD5."""
    data = frame(_aggregate(event, [(0, orjson.dumps(event))]))
    return data[:-1] + bytes([data[-1] ^ 1])


def kpl_bad_index(event: Event) -> bytes:
    """A KPL aggregate whose second record points behind the table of keys; the first is whole."""
    text = orjson.dumps(event)
    return frame(_aggregate(event, [(0, text), (7, text)]))


def ndjson_bad_line(event: Event) -> bytes:
    """Two lines, the second cut off."""
    return orjson.dumps(event) + b"\n" + truncated_json(event) + b"\n"


def wrong_type(event: Event) -> bytes:
    """A word where a number is due."""
    return orjson.dumps(event | {"distance": "far"})


def missing_field(event: Event) -> bytes:
    """No origin."""
    return orjson.dumps({name: value for name, value in event.items() if name != "origin"})


def time_1970(event: Event) -> bytes:
    """A clock that lost its battery."""
    return orjson.dumps(_flown(event) | {"time_hour": "1970-01-01T00:00:00Z"})


def time_2100(event: Event) -> bytes:
    """A clock that runs ahead."""
    return orjson.dumps(_flown(event) | {"time_hour": "2100-01-01T00:00:00Z"})


def unknown_carrier(event: Event) -> bytes:
    """Valid in itself, but there is no such airline: the pipeline's Python step refuses it."""
    return orjson.dumps(_flown(event) | {"carrier": "ZZ"})


KINDS: Final[dict[str, Callable[[Event], bytes]]] = {
    build.__name__: build
    for build in (
        truncated_json,
        unknown_carrier,
        not_json,
        wrong_type,
        truncated_gzip,
        time_1970,
        kpl_bad_index,
        invalid_utf8,
        missing_field,
        decompression_bomb,
        json_scalar,
        time_2100,
        kpl_bad_checksum,
        empty,
        ndjson_bad_line,
        deep_nesting,
    )
}
CARRIERS: Final = frozenset({"kpl_bad_index", "ndjson_bad_line"})


def _flown(event: Event) -> Event:
    """A filter drops cancelled flights, some of them before anything is found wrong with them."""
    return event | {"dep_time": event["dep_time"] or event["sched_dep_time"]}


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_BYTES), mtime=0)


def _aggregate(event: Event, records: list[tuple[int, bytes]]) -> Any:
    message = AggregatedRecord(partition_key_table=[partition_key(event)])
    for index, data in records:
        message.records.add(partition_key_index=index, data=data)
    return message
