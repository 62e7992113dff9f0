"""The staging sink: rows of a table in Redshift, as compressed NDJSON below a prefix of their own.

A record with an event that Redshift would refuse is rejected before anything is staged, so a COPY has no reason to
fail. Keys are made as those of the archive. Nothing here talks to Redshift: a loader does
(docs/delivery-guarantees.md says what it may take).
"""

from __future__ import annotations

from collections.abc import Sequence

from aetherstream.errors import Rejected
from aetherstream.objects import Compression
from aetherstream.records import Events
from aetherstream.sinks.base import Rewrite
from aetherstream.sinks.s3 import PartitionKey, S3Archive, by_time
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.rows import Rows

DAILY = (by_time("day"),)
"""The partition path where none is given: the day of the event time."""


class RedshiftStaging:
    """`ObjectSink` of rows that COPY loads with `FORMAT JSON 'auto' TIMEFORMAT 'auto'`."""

    def __init__(
        self,
        name: str,
        contract: Contract,
        *,
        bucket: str,
        prefix: str,
        partition: Sequence[PartitionKey] = DAILY,
        compression: Compression = "gzip",
        level: int = 1,
        max_partitions: int = 200,
    ) -> None:
        """`level`: of the compression, in its own scale."""
        self.name = name
        self.contract = contract
        self.max_partitions = max_partitions
        self._objects = S3Archive(
            name, bucket=bucket, prefix=prefix, partition=partition, compression=compression, level=level
        )
        self.target = self._objects.target
        self._table = Table(contract)
        self.rewrite: Rewrite | None = Rows(contract).of

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        """See `ObjectSink.partition`; what the table would not take is refused too."""
        whole = len(indices) == len(events)
        wrong = self._table.check(events.values if whole else [events.values[index] for index in indices])
        if not wrong:
            return self._objects.partition(events, indices)
        refused = {indices[at]: error for at, error in wrong.items()}
        paths, unplaced = self._objects.partition(events, [index for index in indices if index not in refused])
        return paths, refused | unplaced

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """See `ObjectSink.encode`; `lines` are rows."""
        return self._objects.encode(lines, epoch)
