"""Replay: records of the stream, or events of the archive, once more into sinks that do not hold them yet.

Nothing is delivered twice: what a sink holds is found by the same event ids, whatever put it there. Records that the
stream function has not settled yet are left to it.
"""

from __future__ import annotations

import base64
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
from msgspec import UnsetType

from aetherstream.compose import placements_of, sinks_of
from aetherstream.core import Core
from aetherstream.delivery.progress import ProgressStore, peek, progress_key
from aetherstream.encoded import EVENT_ID, parsed
from aetherstream.errors import Rejected, UsageError
from aetherstream.eventtime import EventTime
from aetherstream.objects import Target
from aetherstream.pipeline import Pipeline
from aetherstream.records import Event, Events, KinesisRecords, Rejection, Sortable, sortable
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.sinks.base import ObjectSink, Placement, Rewrite
from aetherstream.transforms.mistakes import nearest

Source = Literal["stream", "archive"]
_EVENTS: Final = "events"


@dataclass(slots=True)
class Replayed:
    """What became of a unit."""

    report: RedriveReport
    not_settled: int = 0
    """Kinesis records behind the shard's mark: the stream function delivers them itself."""
    refused: dict[str, str] = field(default_factory=dict)
    """Records of the archive that a chosen sink has no place for, and why; they are not quarantined."""


class Replayer:
    """Replays units of one pipeline into chosen sinks."""

    def __init__(
        self,
        pipeline: Pipeline,
        core: Core,
        *,
        redriver: Callable[[str, Core], Redriver],
        progress: ProgressStore,
    ) -> None:
        """`core`: the deployed pipeline's; `redriver` makes one for an owner of leases and a core."""
        self._pipeline = pipeline
        self._core = core
        self._redriver = redriver
        self._progress = progress

    def replay(
        self,
        unit: KinesisRecords,
        *,
        source: Source = "stream",
        into: Sequence[str] = (),
        owner: str,
        folds: bool = True,
        dry_run: bool = False,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> Replayed:
        """Deliver what the chosen sinks (by default all) lack of a unit.

        Args:
            unit: records of one shard, in the order of the stream; of the archive, as `archived_units` makes them.
            source: what the unit's data are.
            into: names of sinks.
            owner: who replays, for people.
            folds: whether what no object holds is folded into the aggregates. Not for a sink that begins anew: what
                its former objects held was folded.
            dry_run: only say what would be done.
            seconds_left: the time that is left.

        Raises UsageError for a sink that the pipeline does not have, or that events of the archive can't be placed in;
        and what `Redriver.redrive` raises.
        """
        core = self._core if source == "stream" else archived_core(self._pipeline)
        names = [each.name for each in (*core.sinks, *core.places)]
        for name in into:
            if name not in names:
                raise UsageError(
                    f"the pipeline has no sink {name!r}{nearest(name, names)}; its sinks are {', '.join(names)}"
                )
        chosen = list(into) or names
        if source == "archive":
            _refuse_arrival_partitions(self._pipeline, chosen)
        core = into_sinks(core, chosen)
        item = peek(self._progress, progress_key(self._pipeline.name, unit.stream, unit.shard))
        settled = unit.part(0, bisect_right(Sortable(unit.sequences), item.completed))
        refused = _refused(core, settled) if source == "archive" else {}
        select = (lambda record: record not in refused) if refused else None
        redriver = self._redriver(owner, core)
        if not folds:
            redriver = redriver.without_aggregates()
        report = redriver.redrive(settled, origin="replay", select=select, dry_run=dry_run, seconds_left=seconds_left)
        return Replayed(report, len(unit) - len(settled), refused)


def _refused(core: Core, unit: KinesisRecords) -> dict[str, str]:
    """What has no place in a chosen sink: it stands in the archive, and is not rejected a second time."""
    found = core.prepare(unit, 0, len(unit)).rejections
    return {
        f"{unit.shard}:{unit.sequences[each.record]}" + ("" if each.sub is None else f":{each.sub}"): each.message
        for each in found
    }


# -- Chosen sinks ------------------------------------------------------------------------------------------------------


class _ClosedPlace:
    """A per-record sink that gets nothing."""

    def __init__(self, place: Placement) -> None:
        self.name = place.name

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:  # noqa: ARG002
        """See `Placement`; nothing goes anywhere."""
        return {}, {}


class _Closed:
    """A sink that gets nothing; what it holds is looked at all the same."""

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink

    @property
    def name(self) -> str:
        """See `ObjectSink`."""
        return self._sink.name

    @property
    def target(self) -> Target:
        """See `ObjectSink`."""
        return self._sink.target

    @property
    def max_partitions(self) -> int:
        """See `ObjectSink`."""
        return self._sink.max_partitions

    @property
    def rewrite(self) -> Rewrite | None:
        """See `ObjectSink`."""
        return self._sink.rewrite

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:  # noqa: ARG002
        """See `ObjectSink`; nothing goes anywhere."""
        return {}, {}

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """See `ObjectSink`."""
        return self._sink.encode(lines, epoch)


def into_sinks(core: Core, names: Collection[str]) -> Core:
    """The same steps, whose events go to these sinks only."""
    return core.placing(
        [sink if sink.name in names else _Closed(sink) for sink in core.sinks],
        [place if place.name in names else _ClosedPlace(place) for place in core.places],
    )


# -- Events of the archive ---------------------------------------------------------------------------------------------


class _ArchivedDecoder:
    """`Decode` of units of the archive: each user record is one value that holds its events."""

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:  # noqa: ARG002
        """See `aetherstream.core.Decode`."""
        events = Events()
        for index in range(start, end):
            by_sub: dict[int, dict[int, Event]] = {}
            for line in base64.b64decode(records.data[index]).splitlines():
                event = parsed(line)
                sub, nth = _place(event.pop(EVENT_ID))[2:]
                by_sub.setdefault(sub, {})[nth] = event
            for sub, made in sorted(by_sub.items()):
                events.values.append({_EVENTS: sorted(made.items())})
                events.records.append(index)
                events.subs.append(sub)
        return events

    def payloads(self, records: KinesisRecords, index: int, /) -> list[bytes] | None:  # noqa: ARG002
        """See `aetherstream.core.Decode`; nothing of a replay from the archive is quarantined."""
        return None


class _Unpack:
    """`Transforming`: the events of each user record, as they were delivered."""

    def apply(self, events: Events, rejections: list[Rejection], timings: dict[str, float] | None = None, /) -> int:  # noqa: ARG002
        """See `aetherstream.core.Transforming`; nothing is dropped."""
        made = Events(nths=[])
        nths: list[int] = []
        for value, record, sub in zip(events.values, events.records, events.subs, strict=True):
            for nth, event in value[_EVENTS]:
                made.values.append(event)
                made.records.append(record)
                made.subs.append(sub)
                nths.append(nth)
        events.values, events.records, events.subs, events.nths = made.values, made.records, made.subs, nths
        return 0


def archived_core(pipeline: Pipeline) -> Core:
    """What places events of the archive in a pipeline's sinks: they are not validated or transformed again."""
    file = pipeline.file
    declared = file.event_time
    time = EventTime() if isinstance(declared, UnsetType) else EventTime(declared.field, declared.format)
    identity = () if isinstance(file.identity, UnsetType) else file.identity
    decoder = _ArchivedDecoder()
    return Core(
        decoder,
        sinks=sinks_of(pipeline),
        places=placements_of(pipeline),
        transform=_Unpack(),
        event_time=time,
        identity=identity,
    )


def _refuse_arrival_partitions(pipeline: Pipeline, chosen: Iterable[str]) -> None:
    """Staged rows are left alone: they are loaded wherever they stand."""
    declared = pipeline.file.event_time
    if not isinstance(declared, UnsetType) and declared.field:
        return
    for name in chosen:
        sink = pipeline.sinks[name]
        by_time = not isinstance(sink.s3, UnsetType) and any(
            not isinstance(part.time, UnsetType) for part in sink.s3.partition
        )
        if by_time or (not isinstance(sink.opensearch, UnsetType) and not isinstance(sink.opensearch.index, UnsetType)):
            raise UsageError(
                f"the sink {name!r} is partitioned by time and the pipeline names no `event_time`: the time would be "
                "that of the arrival, which the archive does not keep; replay from the stream instead"
            )


class _Line(msgspec.Struct):
    event_id: str = msgspec.field(name=EVENT_ID)


_read_line = msgspec.json.Decoder(_Line)


def _place(event_id: str) -> tuple[str, str, int, int]:
    """Shard, sequence number, flat index and which of its record's events."""
    shard, sequence, sub, *rest = event_id.split(":")
    return shard, sequence, int(sub), int(rest[0]) if rest else 0


class NotOurs(UsageError):
    """An object under the archive's prefix holds a line that was not written by AetherStream."""


class ArchivedUnits:
    """Collects lines of the archive into units, a shard at a time; memory is bounded by the size of a unit."""

    def __init__(self, stream: str, *, lines: int, characters: int) -> None:
        """`stream`: its ARN; `lines` and `characters`: the most of a unit."""
        self._stream = stream
        self._most = lines
        self._characters = characters
        self._held: dict[str, dict[str, list[bytes]]] = {}
        self._counts: dict[str, list[int]] = {}

    def add(self, place: str, lines: Iterable[bytes]) -> Iterator[KinesisRecords]:
        """Take the lines of an object in; gives the units that are full. Raises NotOurs."""
        for line in lines:
            try:
                shard, sequence, _, _ = _place(_read_line.decode(line).event_id)
                sortable(sequence)
            except (msgspec.DecodeError, ValueError) as error:
                raise NotOurs(
                    f"{place} holds a line that is no event of the archive ({error}): {line[:80]!r}"
                ) from None
            self._held.setdefault(shard, {}).setdefault(sequence, []).append(line)
            count = self._counts.setdefault(shard, [0, 0])
            count[0] += 1
            count[1] += len(line) * 4 // 3 + 4
            if count[0] >= self._most or count[1] >= self._characters:
                yield self._unit(shard)

    def rest(self) -> Iterator[KinesisRecords]:
        """The units that are not full."""
        for shard in sorted(self._held):
            yield self._unit(shard)

    def _unit(self, shard: str) -> KinesisRecords:
        held = self._held.pop(shard)
        del self._counts[shard]
        sequences = sorted(held, key=sortable)
        count = len(sequences)
        data = [base64.b64encode(b"\n".join(held[sequence])).decode() for sequence in sequences]
        # When they arrived is not kept: from the beginning of time on, every object is looked at.
        return KinesisRecords(self._stream, shard, sequences, [0.0] * count, [""] * count, data)


# -- As JSON, on the way to the recovery function ----------------------------------------------------------------------


def as_json(unit: KinesisRecords) -> dict[str, Any]:
    """Write a unit for a request."""
    return {
        "stream": unit.stream,
        "shard": unit.shard,
        "sequences": unit.sequences,
        "arrivals": unit.arrivals,
        "keys": unit.keys,
        "data": unit.data,
    }


def from_json(value: object) -> KinesisRecords:
    """Read a unit of a request. Raises UsageError where it is none."""
    try:
        return msgspec.convert(value, KinesisRecords)
    except msgspec.ValidationError as error:
        raise UsageError(f"the request holds no unit of records: {error}") from None
