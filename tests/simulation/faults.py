"""Everything that goes wrong, by name, and how much of it a schedule has."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """One kind of mishap."""

    __hash__ = object.__hash__  # an enum's own hashes the name each time

    # At an effect (a request to a service)
    KILLED_BEFORE = "the process is killed before it"
    KILLED_AFTER = "the process is killed after it"
    KILLED_IN_FLIGHT = "the process is killed, and the request lands later"
    REFUSED = "refused"
    LOST = "answer lost"
    RESENT = "answer lost, sent again by the client"
    LATE = "timed out, lands later"
    CONFLICT = "409"
    # At the per-record sink
    PARTIAL = "some documents throttled"
    FLAKY = "document refused this time"
    SINK_DOWN = "the per-record sink goes down"
    # At an attempt
    ABANDONED = "given up by Lambda, and goes on"
    RESPONSE_LOST = "response lost"
    SHORT_OF_TIME = "little time left"
    THROTTLED = "invocation throttled"
    # At the world
    COLD = "another process"
    DEPLOYED = "another pipeline version"
    PASSED_CHECKPOINT = "a passed checkpoint is read again"
    OUTAGE = "an outage begins"
    RESHARDED = "shards are split and merged"
    EXPIRED = "records expire before they are read"
    # At a redrive
    REDRIVEN_EARLY = "a dead letter is redriven while the stream flows"
    FILTERED = "a redrive takes some of the records"
    DISCARDED = "a dead letter is discarded"
    LEASE_EXPIRED = "a lease expires under its holder"
    # At a load
    UNLOADABLE = "COPY refuses an object"
    # In the data
    POISON = "records that kill the process"


KILLS = frozenset({Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_IN_FLIGHT})
UNANSWERED = frozenset({Fault.REFUSED, Fault.LOST, Fault.RESENT, Fault.LATE})
AT_WRITE = KILLS | UNANSWERED
"""What may happen at a write to DynamoDB; a put has `CONFLICT` beside."""
AT_PUT = AT_WRITE | {Fault.CONFLICT}
AT_READ = frozenset({Fault.KILLED_BEFORE, Fault.REFUSED})
AT_BULK = AT_WRITE

_WEIGHT = {
    Fault.OUTAGE: 0.15,
    Fault.SINK_DOWN: 0.5,
    Fault.PASSED_CHECKPOINT: 0.5,
    Fault.DEPLOYED: 0.7,
    Fault.ABANDONED: 1.5,
    Fault.POISON: 0.4,
    Fault.REDRIVEN_EARLY: 2,
    Fault.FILTERED: 2,
    Fault.LEASE_EXPIRED: 3,
}
"""So that no fault hides the others."""
_APART = {Fault.UNLOADABLE}
"""Drawn with the loads of a schedule, not with its faults."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How often each fault happens in one schedule, per occasion: some of them only, so that each one shows."""

    rates: dict[Fault, float]

    @classmethod
    def draw(cls, rng: random.Random, only: Mapping[Fault, float] | None = None) -> Profile:
        """Draw which faults this schedule has and how often; `only`: these, so often."""
        if only is not None:
            return cls({fault: only[fault] for fault in Fault if fault in only})
        share = rng.choice((0.25, 0.5, 0.8))
        drawn = (fault for fault in Fault if fault not in _APART)
        rates = {fault: rng.choice((0.03, 0.1, 0.25)) for fault in drawn if rng.random() < share}
        return cls({fault: rate * _WEIGHT.get(fault, 1) for fault, rate in rates.items()})

    def without(self, faults: frozenset[Fault]) -> Profile:
        """The same without some of the faults."""
        return Profile({fault: rate for fault, rate in self.rates.items() if fault not in faults})

    def has(self, fault: Fault) -> bool:
        """Whether the schedule has this fault at all."""
        return fault in self.rates

    def happens(self, fault: Fault, rng: random.Random) -> bool:
        """Whether it happens now."""
        return fault in self.rates and rng.random() < self.rates[fault]

    def pick(self, among: frozenset[Fault], rng: random.Random) -> Fault | None:
        """Which of these happens now, if any."""
        draw = rng.random()
        for fault, rate in self.rates.items():
            if fault in among:
                draw -= rate / 4
                if draw < 0:
                    return fault
        return None
