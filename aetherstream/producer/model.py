"""What the producer takes in and tells: limits, user records, deliveries, counters, and the errors it raises."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from aetherstream.errors import AetherStreamError, Rejected, Retryable, UsageError
from aetherstream.records import Position

KIB: Final = 1024
MIB: Final = 1024 * KIB
MAX_HASH_KEY: Final = 2**128 - 1
_HASH_KEY: Final = re.compile(r"0|[1-9][0-9]{0,38}")

Aggregation = Literal["none", "key", "shard"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that a request and its records keep to, in bytes.

    `request_records`: 1-500 (AWS: PutRecords).
    `request_bytes`: data and keys of one request. AWS takes 10 MiB, older endpoints 5 MiB, hence the default.
    `record_bytes`: data and keys of one record; the stream's MaxRecordSizeInKiB (AWS: 1-10 MiB, default 1 MiB).
    `aggregate_bytes`: a KPL aggregate is closed before it passes this size (the KPL's own default: 50 KiB).
    """

    request_records: int = 500
    request_bytes: int = 5 * MIB
    record_bytes: int = MIB
    aggregate_bytes: int = 50 * KIB

    def __post_init__(self) -> None:
        if not 1 <= self.request_records <= 500:
            raise UsageError(f"request_records is {self.request_records}; PutRecords takes 1 to 500")
        if not 1 <= self.record_bytes <= 10 * MIB:
            raise UsageError(f"record_bytes is {self.record_bytes}; a stream's MaxRecordSize is at most {10 * MIB}")
        if not self.record_bytes <= self.request_bytes <= 10 * MIB:
            raise UsageError(
                f"request_bytes is {self.request_bytes}; it must hold one record ({self.record_bytes}) "
                f"and PutRecords takes at most {10 * MIB}"
            )
        if not 1 <= self.aggregate_bytes <= self.record_bytes:
            raise UsageError(
                f"aggregate_bytes is {self.aggregate_bytes}; an aggregate is one record ({self.record_bytes} at most)"
            )


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    `linger`: how long a record may wait for company. `delivery_timeout`: age at which a record is given up; None for
    never (then a dead stream holds up `close` for ever). `backoff` doubles with each attempt up to `backoff_cap`; the
    wait is drawn from 0 to that. `shards_max_age`: after this the shard map is asked for again; `shards_min_age`: not
    sooner, whatever happens.
    """

    linger: float = 0.1
    delivery_timeout: float | None = 120.0
    backoff: float = 0.1
    backoff_cap: float = 5.0
    shards_max_age: float = 300.0
    shards_min_age: float = 1.0


class Delivery(NamedTuple):
    """What became of one user record, as its callback is told.

    `position` is where it stands: shard, sequence number, and its index inside the aggregate that carried it (0 when it
    went alone). `error` is set instead when it was given up. `attempts` counts the requests that it was part of.
    """

    context: Any
    data: bytes
    partition_key: str
    attempts: int
    position: Position | None = None
    error: Exception | None = None


Callback = Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One record as `put` took it.

    `size`: bytes of data and keys, as PutRecords counts them (the explicit hash key too, to be on the safe side).
    `explicit_hash_key`: decimal text of an unsigned 128-bit number.
    """

    data: bytes
    partition_key: str
    size: int
    explicit_hash_key: str | None = None
    callback: Callback | None = None
    context: Any = None

    @property
    def hash_key(self) -> int:
        """Where it falls in the hash space: the explicit key, else the partition key's MD5 (AWS: PutRecord)."""
        if self.explicit_hash_key is not None:
            return int(self.explicit_hash_key)
        return int.from_bytes(hashlib.md5(self.partition_key.encode(), usedforsecurity=False).digest())


@dataclass(slots=True)
class Counters:
    """Totals since the producer started. They balance: `records` = `delivered` + `failed` + `pending`.

    `bytes` is user data without keys; `entries` are the Kinesis records that were accepted by the stream, `retries` the
    entries that were sent again, `throttles` the entries and calls that answered with a throttle, `misrouted` the
    aggregates that landed in another shard than was predicted.
    """

    records: int = 0
    bytes: int = 0
    delivered: int = 0
    failed: int = 0
    pending: int = 0
    requests: int = 0
    entries: int = 0
    retries: int = 0
    throttles: int = 0
    misrouted: int = 0


class RecordRefused(Rejected):
    """`put` refuses this record: no stream with these limits would take it."""


class BufferFull(Retryable):
    """No room in the buffer within the given time: the stream takes records slower than they are put."""


class FlushTimeout(Retryable):
    """Records were still on their way when the given time was up; they go on being sent."""


class DeliveryError(AetherStreamError):
    """The stream did not take a record: what a callback finds in `Delivery.error`.

    `code` is the service's error code, or the name of the exception when no answer came; `expired` tells that the
    producer stopped trying at `delivery_timeout`, not that the answer was final.
    """

    def __init__(self, code: str, message: str, *, expired: bool = False) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.expired = expired

    def as_expired(self) -> DeliveryError:
        """The same error as the last word on a record that was given up for its age."""
        return DeliveryError(self.code, self.message, expired=True)


class RecordsLostError(AetherStreamError):
    """Records failed that had no callback to tell; raised by `flush` and `close` so that no loss is silent."""


def user_record(
    data: bytes,
    partition_key: str,
    limits: Limits,
    explicit_hash_key: str | None = None,
    callback: Callback | None = None,
    context: Any = None,
) -> UserRecord:
    """A checked user record. Raises `RecordRefused`, with the limit named, when no request could carry it."""
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes, not {type(data).__name__}: encode it first")
    if not 1 <= len(partition_key) <= 256:
        raise RecordRefused(
            "partition key length", f"the partition key has {len(partition_key)} characters; Kinesis takes 1 to 256"
        )
    size = len(data) + len(partition_key.encode())
    if explicit_hash_key is not None:
        if not _HASH_KEY.fullmatch(explicit_hash_key) or int(explicit_hash_key) > MAX_HASH_KEY:
            raise RecordRefused(
                "explicit hash key",
                f"the explicit hash key is {explicit_hash_key!r}; Kinesis takes a decimal number from 0 to 2^128-1",
            )
        size += len(explicit_hash_key)
    if size > limits.record_bytes:
        raise RecordRefused(
            "record too large",
            f"the record has {size} bytes with its key; the limit is {limits.record_bytes} (record_bytes: the stream's "
            f"MaxRecordSize, which can be raised to {10 * MIB})",
        )
    return UserRecord(data, partition_key, size, explicit_hash_key, callback, context)
