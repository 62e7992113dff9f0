"""What a stack's stream still holds of two times, said plainly where that is not all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from aetherstream.commands.deployed import Deployed
from aetherstream.errors import UsageError
from aetherstream.records import KinesisRecords
from aetherstream.recovery.stream import StreamReader
from aetherstream.transforms.mistakes import nearest


def captured(
    stack: Deployed, shards: tuple[str, ...], start: datetime, end: datetime | None
) -> Iterator[KinesisRecords]:
    """The records that arrived between the times (`end` None: now), a page at a time, shard by shard.

    `shards`: only these; none: all. Raises UsageError for a shard that is not there, and for times in the wrong order.
    """
    reader = StreamReader(stack.client("kinesis"), stack.output("StreamArn"), sleep=time.sleep)
    now = datetime.now(UTC)
    end = end or now
    if end <= start:
        raise UsageError(f"--to {end.isoformat()} is not after --from {start.isoformat()}")
    oldest = reader.oldest(now)
    if start < oldest:
        click.echo(f"The stream keeps what arrived from {oldest:%Y-%m-%dT%H:%M:%SZ} on; before that is gone.", err=True)
    known = reader.shards()
    for shard in shards:
        if shard not in known:
            raise UsageError(f"the stream has no shard {shard}{nearest(shard, known)}")
    for shard in shards or known:
        yield from reader.read(shard, start, end)
