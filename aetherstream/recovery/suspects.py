"""Taking a unit apart at which redrives were killed, until a record that kills the process is alone. Pure.

A redrive notes in its lease what it is at work on. Whoever takes over a lease with such a note knows that its holder
was killed there: it takes that place in small parts, each noted before it is begun, so that the next kill tells a
narrower place. A record at which redrives were killed twice with nothing beside it is not tried any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aetherstream.delivery.progress import Progress, Suspect
from aetherstream.errors import UsageError
from aetherstream.records import KinesisRecords, Rejection, sortable

PARTS = 32
"""Into how many a suspect place is cut. Not two, as the engine cuts: somebody has to ask for each further redrive."""
TWICE = 2
_KEPT = 16
"""Most places that an item remembers."""


def suspects_of(item: Progress) -> tuple[Suspect, ...]:
    """Where redrives of the shard were killed, once the holder of the item's lease is known to be gone."""
    at = None if item.lease is None else item.lease.at
    if at is None:
        return item.suspects
    found = replace(at, killed=at.killed + 1, alone=at.alone + (at.first == at.last))
    apart = [each for each in item.suspects if each.last < at.first or at.last < each.first]
    return (*apart, found)[-_KEPT:]


def cleared(suspects: Sequence[Suspect], positions: Sequence[str]) -> tuple[Suspect, ...]:
    """The suspects that hold none of these positions."""
    return tuple(each for each in suspects if not any(each.first <= position <= each.last for position in positions))


class Suspected(UsageError):
    """Redrives were killed at records of the unit, and nobody knows yet at which."""


@dataclass(frozen=True, slots=True)
class Part:
    """Records that are taken at once."""

    end: int
    """Index behind the last."""
    at: Suspect
    """What to note."""

    @property
    def is_crasher(self) -> bool:
        """Whether it is one record that has killed twice with nothing beside it."""
        return self.at.first == self.at.last and self.at.alone >= TWICE


def positions_of(unit: KinesisRecords, subs: Sequence[int | None] | None) -> list[str]:
    """Sortable position of each record.

    `subs`: the flat index that the bytes of each had in their Kinesis record, None where they are the whole of it.
    """
    return [
        sortable(sequence) + ("" if sub is None else f"-{sub:06d}")
        for sequence, sub in zip(unit.sequences, subs or [None] * len(unit), strict=True)
    ]


class Known:
    """What is known of a unit's records, for one version of the pipeline."""

    def __init__(
        self, unit: KinesisRecords, subs: Sequence[int | None] | None, suspects: Sequence[Suspect], version: str
    ) -> None:
        """`subs`: as in `positions_of`."""
        self._positions = positions_of(unit, subs)
        self._subs = subs
        self._version = version
        mine = [each for each in suspects if each.version == version]
        self._places = {
            position: each for each in mine for position in self._positions if each.first <= position <= each.last
        }

    def part(self, start: int) -> Part:
        """The part that begins with the record `start`: up to the next suspect, or a share of the suspect's records."""
        place = self._places.get(self._positions[start])
        end = start + 1
        while end < len(self._positions) and self._places.get(self._positions[end]) is place:
            end += 1
        if place is None:
            return Part(end, self._noted(start, end))
        whole = sum(1 for each in self._places.values() if each is place)
        end = min(end, start + max(1, whole // PARTS))
        at = self._noted(start, end)
        alone = place.alone if (at.first, at.last) == (place.first, place.last) else 0
        return Part(end, replace(at, killed=place.killed, alone=alone))

    def _noted(self, start: int, end: int) -> Suspect:
        return Suspect(self._positions[start], self._positions[end - 1], self._version)

    def refuse_rehearsal(self) -> None:
        """Raise Suspected where a record may kill a process that only tries the unit out."""
        doubtful = [each for each in self._places.values() if each.first != each.last or each.alone < TWICE]
        if doubtful:
            killed = max(each.killed for each in doubtful)
            raise Suspected(
                f"redrives were killed {_times(killed)} (memory, time-out, crash) at {len(doubtful)} records of this "
                "unit, so what they come to can't be tried out: --yes takes them apart, and a record that kills the "
                "process by itself goes to the quarantine"
            )

    def crashed(self, record: int, at: Suspect) -> Rejection:
        """What to say of a record that is not tried any more."""
        message = f"redrives were killed {_times(at.killed)} at this record, {_times(at.alone)} with it alone"
        sub = None if self._subs is None else self._subs[record]
        return Rejection(record, sub, "crashed", "crashed", "killed the process", message)


def _times(number: int) -> str:
    return f"{number} time{'' if number == 1 else 's'}"
