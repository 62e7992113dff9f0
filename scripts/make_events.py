"""Write the sample events of `events/`: what Lambda hands to the stream function, in six situations, and to others.

Run it after changing an event here: `python scripts/make_events.py`. Equal code writes equal files (compressed data are
stored, not squeezed, because compressors differ between machines).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aetherstream.aggregates.aggregate import Key
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import GroupPlace, Scope
from aetherstream.delivery.aggregates.statements import key_of, window_text
from aetherstream.producer.aggregate import encode
from aetherstream.producer.model import UserRecord

DIRECTORY = Path(__file__).resolve().parent.parent / "events"

# The first departures of the data set, and the first one that was cancelled.
FLIGHTS = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,533,529,4,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z
2013,1,1,542,540,2,923,850,33,AA,1141,N619AA,JFK,MIA,160,1089,5,40,2013-01-01T10:00:00Z
2013,1,1,544,545,-1,1004,1022,-18,B6,725,N804JB,JFK,BQN,183,1576,5,45,2013-01-01T10:00:00Z
2013,1,1,554,600,-6,812,837,-25,DL,461,N668DN,LGA,ATL,116,762,6,0,2013-01-01T11:00:00Z
2013,1,1,554,558,-4,740,728,12,UA,1696,N39463,EWR,ORD,150,719,5,58,2013-01-01T10:00:00Z
2013,1,1,555,600,-5,913,854,19,B6,507,N516JB,EWR,FLL,158,1065,6,0,2013-01-01T11:00:00Z
2013,1,1,557,600,-3,709,723,-14,EV,5708,N829AS,LGA,IAD,53,229,6,0,2013-01-01T11:00:00Z
2013,1,1,557,600,-3,838,846,-8,B6,79,N593JB,JFK,MCO,140,944,6,0,2013-01-01T11:00:00Z
2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z
"""
# What a sample has as text; the rest are numbers.
TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}

FIRST_SEQUENCE = 49590338271490256608559692538361571095921575989136588898
FIRST_ARRIVAL = 1545084650.987


def _typed(row: dict[str, str]) -> dict[str, Any]:
    return {name: None if value == "NA" else value if name in TEXT else int(value) for name, value in row.items()}


SAMPLES = [_typed(row) for row in csv.DictReader(FLIGHTS.splitlines())]


def flight(index: int, **changes: Any) -> dict[str, Any]:
    """A flight of the data set, with fields changed; a field set to `...` is left out."""
    event = SAMPLES[index % len(SAMPLES)] | changes
    return {name: value for name, value in event.items() if value is not ...}


def line(event: dict[str, Any]) -> bytes:
    """An event as JSON."""
    return json.dumps(event, separators=(",", ":")).encode()


def lines(events: Iterable[dict[str, Any]]) -> bytes:
    """Events as NDJSON."""
    return b"".join(line(event) + b"\n" for event in events)


def gzip_stored(data: bytes) -> bytes:
    """A gzip member of one stored block (RFC 1951, 3.2.4: at most 65,535 bytes)."""
    block = b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block + struct.pack("<II", zlib.crc32(data), len(data))


def zstd_stored(data: bytes) -> bytes:
    """A zstd frame of one raw block (RFC 8878: single segment, two bytes of content size, which start at 256)."""
    header = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(data) - 256)
    return header + struct.pack("<I", len(data) << 3 | 1)[:3] + data


def user_record(key: int, data: bytes) -> UserRecord:
    """A record as a producer puts it into an aggregate."""
    return UserRecord(data, f"key-{key}", len(data) + len(f"key-{key}"))


def kinesis_event(shard: int, records: Sequence[bytes | str]) -> dict[str, Any]:
    """The event with these records' data; a string stands in the event as it is, unencoded.

    Every sample has a shard of its own, or a deployed function would take the second one for records already delivered.
    """
    return {"Records": [_record(f"shardId-{shard:012d}", index, data) for index, data in enumerate(records)]}


def _record(shard: str, index: int, data: bytes | str) -> dict[str, Any]:
    sequence = str(FIRST_SEQUENCE + 16 * index)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": f"key-{index % 4}",
            "sequenceNumber": sequence,
            "data": data if isinstance(data, str) else base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": round(FIRST_ARRIVAL + index / 1000, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/aetherstream",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/aetherstream",
    }


def good() -> dict[str, Any]:
    """Ten flights in all shapes of plain JSON: seven objects, an array of two, and a line."""
    array = b"[" + line(flight(7)) + b"," + line(flight(8)) + b"]"
    return kinesis_event(0, [*(line(flight(index)) for index in range(7)), array, lines([flight(9)])])


def poison() -> dict[str, Any]:
    """Two good flights among records that break in every way that the decoder and the validation know."""
    aggregate = bytearray(encode([user_record(0, line(flight(0)))]))
    aggregate[-1] ^= 0xFF
    broken: list[bytes | str] = [
        b"",
        "!not base64!",
        gzip_stored(line(flight(1)))[:-20],
        b"\xff\xfe" + line(flight(2)),
        line(flight(3))[:-10],
        bytes(aggregate),
        b"[" * 3000 + b"]" * 3000,
        line(flight(4, carrier=...)),
        line(flight(5, distance="far")),
        line(flight(6, time_hour="1970-01-01T00:00:00Z")),
        lines([flight(7)]) + b"{]\n" + lines([flight(8)]),
    ]
    return kinesis_event(1, [line(flight(0)), *broken, line(flight(1))])


def gzipped() -> dict[str, Any]:
    """Six flights: an object and three lines under gzip, an object under zstd, and one not compressed."""
    return kinesis_event(
        2,
        [
            gzip_stored(line(flight(0))),
            gzip_stored(lines(flight(index) for index in (1, 2, 3))),
            zstd_stored(line(flight(4))),
            line(flight(5)),
        ],
    )


def kpl_aggregated() -> dict[str, Any]:
    """Eight flights: six in an aggregate, one of them compressed, one in an aggregate of its own, and one plain."""
    six = [user_record(index % 3, line(flight(index))) for index in range(5)]
    six.append(user_record(2, gzip_stored(line(flight(5)))))
    return kinesis_event(3, [encode(six), encode([user_record(0, line(flight(6)))]), line(flight(7))])


def partial_failure() -> dict[str, Any]:
    """An event a day for 240 days: more partitions than a batch may open (200), so the rest is reported for a retry."""
    first = datetime(2013, 1, 1, 10, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(240)]
    events = [flight(at.day % 9, time_hour=at.strftime("%Y-%m-%dT%H:%M:%SZ")) for at in days]
    return kinesis_event(4, [lines(events[start : start + 24]) for start in range(0, 240, 24)])


def empty() -> dict[str, Any]:
    """No record at all, which Lambda sends at the end of a window."""
    return kinesis_event(5, [])


def drain() -> dict[str, Any]:
    """The minute's call of the drain function, as EventBridge Scheduler makes it where the schedule has no input."""
    return {
        "version": "0",
        "id": "6a3ab0e8-8f1c-4d3b-9f53-0d5c2f0f7f55",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2013-01-01T10:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/aetherstream-DrainSchedule"],
        "detail": "{}",
    }


def closer() -> dict[str, Any]:
    """The minute's call of the closer function, as EventBridge Scheduler makes it where the schedule has no input."""
    schedule = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/aetherstream-CloserSchedule"
    return drain() | {"id": "b0f3a7c1-52de-4a7e-9d0f-3d2a3d6a1c55", "resources": [schedule]}


def emitter() -> dict[str, Any]:
    """Three changes of the state table: a state that is new, one that goes on, and one whose time had come."""
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/aetherstream-StateTable"
    scope = Scope("flights#aetherstream", "carrier_hours", "4f1c2a9d0b7e")
    key = Key(scope.aggregate, Window(1357034400, 1357038000), '["UA"]')
    keys = key_of(GroupPlace(scope, key).address("shardId-000000000000"))
    about = {"group": {"S": key.group}, "window": {"S": window_text(key.window)}}
    first, second = (
        {**keys, "k": {"N": str(k)}, "acc": {"B": base64.b64encode(acc).decode()}, **about}
        for k, acc in ((1545084651000, b"\x01\x01"), (1545084651001, b"\x01\x02"))
    )
    went = {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    changes: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("INSERT", {"NewImage": first}, {}),
        ("MODIFY", {"NewImage": second, "OldImage": first}, {}),
        ("REMOVE", {"OldImage": second}, went),
    )
    return {
        "Records": [
            {
                "eventID": f"c4ca4238a0b923820dcc509a6f75849{number}",
                "eventName": name,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": FIRST_ARRIVAL + number,
                    "Keys": keys,
                    "SequenceNumber": str(4421584500000000017450439091 + number),
                    "SizeBytes": len(json.dumps(images)),
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                    **images,
                },
                **who,
                "eventSourceARN": f"{table}/stream/2018-12-17T22:00:00.000",
            }
            for number, (name, images, who) in enumerate(changes)
        ]
    }


def window() -> dict[str, Any]:
    """Ten flights in one of Lambda's own windows: the first batch of it, which has no state yet."""
    batch = good()
    arn = batch["Records"][0]["eventSourceARN"]
    start = datetime.fromtimestamp(FIRST_ARRIVAL // 60 * 60, UTC)
    return batch | {
        "window": {
            "start": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "end": (start + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "state": {},
        "shardId": "shardId-000000000000",
        "eventSourceARN": arn,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


def loader() -> dict[str, Any]:
    """Two messages of the load queue, as Lambda hands them over: S3's test of the queue, and a staged object."""
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2018-12-17T22:44:00.000Z", "Bucket": "data"}
    position = f"{len(str(FIRST_SEQUENCE)):03}{FIRST_SEQUENCE}-000000"
    key = f"flights/staging/warehouse/shardId-000000000000-{position}.ndjson.gz"
    put = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2018-12-17T22:44:11.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "data"}, "object": {"key": key, "size": 1375}},
    }
    queue = "arn:aws:sqs:us-east-1:123456789012:aetherstream-LoadQueue"
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-66197{number:07}",
                "receiptHandle": f"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a{number}",
                "body": json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545086651000",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545086660000",
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(json.dumps(body).encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": queue,
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate((test, {"Records": [put]}))
        ]
    }


EVENTS = {
    "good.json": good,
    "poison.json": poison,
    "gzip.json": gzipped,
    "kpl-aggregated.json": kpl_aggregated,
    "partial-failure.json": partial_failure,
    "empty.json": empty,
    "drain.json": drain,
    "emitter.json": emitter,
    "closer.json": closer,
    "window.json": window,
    "loader.json": loader,
}


def text(event: dict[str, Any]) -> str:
    """An event as its file has it."""
    return json.dumps(event, indent=2) + "\n"


def main() -> None:
    """Write every event."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, make in EVENTS.items():
        (DIRECTORY / name).write_text(text(make()))


if __name__ == "__main__":
    main()
