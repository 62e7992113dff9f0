"""The records of a dead letter that has only their metadata, read from the stream again."""

from __future__ import annotations

from datetime import datetime, timedelta

from aetherstream.records import KinesisRecords
from aetherstream.recovery.dead_letters import DeadLetter
from aetherstream.recovery.stream import DISORDER, StreamReader


def reread(reader: StreamReader, letter: DeadLetter) -> KinesisRecords:
    """The records of the letter's range that the stream still has: all of them, the later ones, or none.

    Raises Retryable when the stream does not answer; UsageError when there is none.
    """
    found = KinesisRecords(letter.stream, letter.shard, [], [], [], [])
    if letter.shard not in reader.shards():
        return found  # closed, and its retention is over
    margin = timedelta(seconds=DISORDER)
    start = datetime.fromisoformat(letter.first_arrival) - margin
    end = datetime.fromisoformat(letter.last_arrival) + margin
    for page in reader.read(letter.shard, start, end):
        for index, sequence in enumerate(page.sequences):
            if letter.holds(sequence):
                one = page.part(index, index + 1)
                found.sequences += one.sequences
                found.arrivals += one.arrivals
                found.keys += one.keys
                found.data += one.data
    return found
