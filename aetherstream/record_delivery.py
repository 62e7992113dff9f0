"""The per-record sinks' part of a batch: every event to every sink, and what stands in for a sink that is down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aetherstream.core import Prepared
from aetherstream.documents import documents_of, members_of
from aetherstream.encoded import parsed
from aetherstream.records import Rejection
from aetherstream.sinks.base import Answer, Documents, Outcome, RecordSink
from aetherstream.spill import REASON, Spill, Spilled
from aetherstream.timings import Timings


class Breaker(Protocol):
    """Judges whether a sink is down (`aetherstream.delivery.breaker`). Never raises."""

    @property
    def patience(self) -> float:
        """Most seconds that a delivery may take before it is given up and judged."""

    def allows(self) -> bool:
        """Tell whether the sink is to be asked at all."""

    def note(self, answers: Sequence[Answer], /) -> bool:
        """Judge by these answers; tell whether the sink counts as down now."""


@dataclass(frozen=True, slots=True)
class Standby:
    """What stands in for a per-record sink in an outage, so that it does not hold up the others."""

    breaker: Breaker
    spill: Spill


@dataclass(slots=True)
class Delivered:
    """What the per-record sinks left."""

    rejections: list[Rejection] = field(default_factory=list)
    spilled: dict[str, list[Spilled]] = field(default_factory=dict)
    """By sink: what it did not take and is kept for it."""
    end: int | None = None
    """Index of the Kinesis record of the lowest event that is neither."""
    why: str = ""


class RecordDelivery:
    """Delivers to the per-record sinks of one pipeline."""

    def __init__(self, sinks: Sequence[RecordSink], standbys: Mapping[str, Standby]) -> None:
        """`standbys`: by sink; one without can only block."""
        self._sinks = list(sinks)
        self._standbys = standbys

    @property
    def sinks(self) -> list[str]:
        """Their names."""
        return [sink.name for sink in self._sinks]

    def deliver(self, prepared: Prepared, timings: Timings, seconds_left: Callable[[], float]) -> Delivered:
        """Hand every event to every sink; the lowest one left over gives the prefix."""
        events, delivered = prepared.events, Delivered()
        for sink in self._sinks:
            members = members_of(prepared, sink.name)
            if not members:
                continue
            documents = documents_of(prepared, sink.name, members)
            with timings.step(f"sink.{sink.name}"):
                outcome, spills = self._hand_over(sink, documents, seconds_left())
            if not outcome.rejected and not outcome.undelivered:
                continue
            where, keeps = f"sinks.{sink.name}", delivered.spilled.setdefault(sink.name, [])
            place_of = dict(zip(documents.ids, documents.places, strict=True)) if spills else {}
            for index in members:
                key, record, sub = events.keys[index], events.records[index], events.subs[index]
                if (error := outcome.rejected.get(key)) is not None:
                    value = parsed(events.line(index))
                    rejection = Rejection(record, sub, "deliver", where, error.reason, error.message, event=value)
                    delivered.rejections.append(rejection)
                elif (why := outcome.undelivered.get(key)) is None:
                    continue
                elif spills:
                    rejection = Rejection(record, sub, "deliver", where, REASON, why)
                    keeps.append(Spilled(rejection, key, place_of[key], events.line(index)))
                elif delivered.end is None or record < delivered.end:
                    delivered.end, delivered.why = record, f"sink {sink.name}: {why}"
        return delivered

    def _hand_over(self, sink: RecordSink, documents: Documents, seconds: float) -> tuple[Outcome, bool]:
        """Deliver to one sink; and tell whether what is left over is to be spilled."""
        standby = self._standbys.get(sink.name)
        if standby is None:
            return sink.deliver(documents, seconds), False
        if not standby.breaker.allows():
            return Outcome(undelivered=dict.fromkeys(documents.ids, "its circuit breaker is open")), True
        outcome = sink.deliver(documents, min(seconds, standby.breaker.patience))
        return outcome, standby.breaker.note(outcome.answers)
