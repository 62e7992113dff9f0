"""The spill of a per-record sink: the documents that it could not take during an outage, until the drain brings them.

Each row is an envelope as the quarantine has them, with the record's own bytes, so that a document which the sink
refuses in the end can still be replayed from where it came; and with the document itself, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aetherstream.errors import Rejected
from aetherstream.objects import SUFFIX, Target, compressor, lines_of
from aetherstream.quarantine import day_key, envelope, fingerprint, json_line
from aetherstream.records import KinesisRecords, Rejection

REASON = "spilled"
_COPIED = ("pipeline", "version", "stream", "shard", "sequence", "sub", "partition_key", "arrival", "alone", "data")


class UnusableSpill(Rejected):
    """An object below the spill's prefix that the engine did not write so; it stays where it is."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """A document that the sink did not take."""

    rejection: Rejection
    """Its record, and why; with the record's bytes, without the event."""
    document_id: str
    place: str
    body: bytes
    """The document: a JSON object."""


class SpilledRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a spill object."""

    id: str
    """`shard:sequence:sub` of the record."""
    where: str
    """`sinks.<name>`."""
    pipeline: str
    version: str
    """Pipeline version that made the document."""
    stream: str
    shard: str
    sequence: str
    sub: int
    partition_key: str
    arrival: str
    """ISO 8601."""
    alone: bool
    data: str
    document_id: str
    place: str
    event: msgspec.Raw
    """The document, byte for byte."""

    @property
    def body(self) -> bytes:
        """The document."""
        return bytes(self.event)

    def refused(self, error: Rejected) -> bytes:
        """The line of the quarantine for this row, once the sink has refused the document for good."""
        cause = Rejection(0, self.sub, "deliver", self.where, error.reason, error.message)
        made: dict[str, Any] = {
            "id": self.id,
            "fingerprint": fingerprint(cause),
            "stage": cause.stage,
            "where": cause.where,
            "reason": cause.reason,
            "message": cause.message,
        }
        rest = (
            "pipeline",
            "version",
            "stream",
            "shard",
            "sequence",
            "sub",
            "partition_key",
            "arrival",
            "alone",
            "data",
        )
        made |= {name: getattr(self, name) for name in rest}
        made["event"] = self.event
        return msgspec.json.encode(made) + b"\n"


_read_row = msgspec.json.Decoder(SpilledRow)


class Spill:
    """Where the documents of one sink wait: compressed NDJSON under one key an attempt."""

    def __init__(self, sink: str, *, bucket: str, prefix: str, pipeline: str) -> None:
        """`sink`: name in the pipeline file."""
        self.sink = sink
        self.target = Target(bucket, prefix, SUFFIX["gzip"])
        self._pipeline = pipeline
        self._compress = compressor("gzip", 1)

    def key(self, batch: KinesisRecords, first: int, position: str) -> str:
        """Key of the attempt's object; its day is that of the first record's arrival, not of the clock."""
        return day_key(self.target, batch, first, position)

    def encode(self, spilled: Sequence[Spilled], batch: KinesisRecords, version: str, epoch: int) -> bytes:
        """Make the bytes of the object."""
        lines = bytearray()
        for each in spilled:
            made = envelope(each.rejection, batch, self._pipeline, version)
            made |= {"document_id": each.document_id, "place": each.place}
            # The document goes in as it is: read and written again, a long integer would come out as text.
            lines += json_line(made)[:-2] + b',"event":' + each.body + b"}\n"
        return self._compress(lines, epoch)


def read_rows(place: str, key: str, body: bytes) -> Iterator[SpilledRow]:
    """Yield the rows of a spill object, in its order; `place` names it in messages.

    Raises UnusableSpill, which says what is wrong, for an object that the engine did not write so.
    """
    try:
        lines = lines_of(key, body)
    except Exception as error:  # each decompressor has errors of its own
        raise UnusableSpill("not readable", f"{place}: can't be decompressed, perhaps half-written: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _read_row.decode(line)
        except msgspec.DecodeError as error:
            raise UnusableSpill("no row of a spill", f"{place} line {number}: {error}") from error
