"""The records of a unit as a redrive needs them: in the order of the stream, each once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aetherstream.errors import UsageError
from aetherstream.records import KinesisRecords, sortable


def distinct(
    unit: KinesisRecords, subs: Sequence[int | None] | None
) -> tuple[KinesisRecords, Sequence[int | None] | None]:
    """Leave out what is there twice: two sinks may have refused one record, and each made an envelope of it.

    A whole Kinesis record covers its user records. Raises UsageError where the order is not that of the stream.
    """
    positions = [sortable(sequence) for sequence in unit.sequences]
    if positions != sorted(positions):
        raise UsageError(f"the unit's records of {unit.shard} are not in the order of the stream")
    given = subs or [None] * len(unit)
    whole = {sequence for sequence, sub in zip(unit.sequences, given, strict=True) if sub is None}
    seen: set[tuple[str, int | None]] = set()
    kept: list[int] = []
    for index, pair in enumerate(zip(unit.sequences, given, strict=True)):
        if pair in seen or (pair[1] is not None and pair[0] in whole):
            continue
        seen.add(pair)
        kept.append(index)
    if len(kept) == len(unit):
        return unit, subs
    return _only(unit, kept), None if subs is None else [subs[index] for index in kept]


def without(unit: KinesisRecords, names: Collection[str]) -> KinesisRecords:
    """The unit without the Kinesis records of these names (`shard:sequence`)."""
    kept = [index for index, sequence in enumerate(unit.sequences) if f"{unit.shard}:{sequence}" not in names]
    return unit if len(kept) == len(unit) else _only(unit, kept)


def _only(unit: KinesisRecords, kept: Sequence[int]) -> KinesisRecords:
    columns = [[column[index] for index in kept] for column in (unit.sequences, unit.keys, unit.data)]
    arrivals = [unit.arrivals[index] for index in kept]
    return KinesisRecords(unit.stream, unit.shard, columns[0], arrivals, columns[1], columns[2])
