"""The quarantine: one envelope for each rejected record, with its bytes, why it was refused, and where it came from."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from aetherstream.objects import SUFFIX, Target, compressor
from aetherstream.records import KinesisRecords, Rejection

SINK = "quarantine"


def fingerprint(rejection: Rejection) -> str:
    """Twelve hex digits that are the same for equal causes: stage, part of the pipeline, reason."""
    cause = f"{rejection.stage}\0{rejection.where}\0{rejection.reason}"
    return hashlib.sha256(cause.encode()).hexdigest()[:12]


def envelope(rejection: Rejection, batch: KinesisRecords, pipeline: str, version: str) -> dict[str, Any]:
    """Make the envelope of a rejection; it depends on the record and the pipeline alone, so a retry makes it again."""
    record, sub = rejection.record, rejection.sub
    sequence = batch.sequences[record]
    made: dict[str, Any] = {
        "id": f"{batch.shard}:{sequence}" + ("" if sub is None else f":{sub}"),
        "fingerprint": fingerprint(rejection),
        "stage": rejection.stage,
        "where": rejection.where,
        "reason": rejection.reason,
        "message": rejection.message,
        "pipeline": pipeline,
        "version": version,
        "stream": batch.stream,
        "shard": batch.shard,
        "sequence": sequence,
        "sub": sub,
        "partition_key": batch.keys[record],
        "arrival": datetime.fromtimestamp(batch.arrivals[record], UTC).isoformat(timespec="milliseconds"),
    }
    if rejection.payload is not None:
        # These bytes are this user record's alone; otherwise `data` is the whole Kinesis record.
        made["alone"] = True
        made["data"] = base64.b64encode(rejection.payload).decode()
    else:
        made["alone"] = False
        made["data"] = batch.data[record]
    if rejection.event is not None:
        made["event"] = rejection.event
    return made


def day_key(target: Target, batch: KinesisRecords, first: int, position: str) -> str:
    """Key of an attempt's object below the day on which its record `first` arrived, by the record, not the clock."""
    day = datetime.fromtimestamp(batch.arrivals[first], UTC).strftime("%Y-%m-%d")
    return target.key(f"day={day}", batch.shard, position)


def json_line(made: dict[str, Any]) -> bytes:
    """Write an envelope as a line; what JSON does not have becomes text, since refusing it would hold up the shard."""
    try:
        return orjson.dumps(made, None, orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return orjson.dumps(_writable(made), None, orjson.OPT_APPEND_NEWLINE)


class Quarantine:
    """Where rejected records go: compressed NDJSON under one key an attempt."""

    def __init__(self, *, bucket: str, prefix: str, pipeline: str) -> None:
        self.target = Target(bucket, prefix, SUFFIX["gzip"])
        self._pipeline = pipeline
        self._compress = compressor("gzip", 3)

    def key(self, batch: KinesisRecords, first: int, position: str) -> str:
        """Key of the attempt's object; its day is that of the first record's arrival, not of the clock."""
        return day_key(self.target, batch, first, position)

    def encode(self, rejections: Sequence[Rejection], batch: KinesisRecords, version: str, epoch: int) -> bytes:
        """Make the bytes of the object."""
        lines = bytearray()
        for rejection in rejections:
            lines += json_line(envelope(rejection, batch, self._pipeline, version))
        return self._compress(lines, epoch)


def _writable(value: Any) -> Any:
    """The value with everything that JSON does not have as text."""
    if isinstance(value, dict):
        return {_writable(str(name)): _writable(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(held) for held in value]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
