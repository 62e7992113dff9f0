"""What a scenario sends, and what must become of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson

from aetherstream.producer import Limits, Producer, Timing

PARTS = 8
BROKEN_EVERY = 50
KEYS = 40


def payload(number: int, killers: frozenset[int]) -> bytes:
    """The record of this number: every fiftieth is not JSON, and a killer asks the drill step to kill the process."""
    if number in killers:
        return orjson.dumps({"part": "killer", "order": number, "line": 1, "do": "kill"})
    if number % BROKEN_EVERY == BROKEN_EVERY - 1:
        return b"not JSON: %d" % number
    return orjson.dumps({"part": f"p{number % PARTS}", "order": number, "line": 1})


def killers_among(records: int, count: int) -> frozenset[int]:
    """The numbers of `count` records, evenly spread, none of which is a broken one."""
    return frozenset((2 * index + 1) * records // (2 * count) // BROKEN_EVERY * BROKEN_EVERY for index in range(count))


class Sender:
    """Puts the records of a scenario from a thread of its own, and keeps what went wrong for `join`."""

    def __init__(self, stream: str, client: Any, records: int, killers: frozenset[int]) -> None:
        self.payloads = [payload(number, killers) for number in range(records)]
        # Small requests, so that there are many to fail.
        self._producer = Producer(
            stream,
            client=client,
            limits=Limits(request_records=50),
            timing=Timing(linger=0.02, backoff=0.02, backoff_cap=0.5),
        )
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._send, name="sender")

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def join(self) -> None:
        """Wait until everything is on the stream. Raises what kept it from getting there."""
        self._thread.join()
        for error in self._errors:
            raise error

    def _send(self) -> None:
        try:
            with self._producer as producer:
                for number, data in enumerate(self.payloads):
                    producer.put(data, f"key-{number % KEYS}")
        except BaseException as error:  # noqa: BLE001 (raised by join)
            self._errors.append(error)


def on_stream(client: Any, stream: str) -> Iterator[tuple[str, bytes]]:
    """Position (shard and sequence number) and data of every record, as Kinesis gives them to any reader."""
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        name = shard["ShardId"]
        iterator = client.get_shard_iterator(StreamName=stream, ShardId=name, ShardIteratorType="TRIM_HORIZON")
        page = client.get_records(ShardIterator=iterator["ShardIterator"])
        while page["Records"]:
            for record in page["Records"]:
                yield f"{name}:{record['SequenceNumber']}", record["Data"]
            page = client.get_records(ShardIterator=page["NextShardIterator"])
