"""Kinds of schedules: what a rare mistake needs to show."""

from __future__ import annotations

from tests.simulation.faults import Fault
from tests.simulation.run import ANY, Setting

_BATCHES = {"chunk": 1, "batch_size": 20, "max_partitions": 200, "age": -1, "retries": -1, "with_search": True}
LATECOMERS = Setting(
    {Fault.ABANDONED: 0.6, Fault.LATE: 0.4, Fault.PARTIAL: 0.4, Fault.COLD: 0.5, Fault.KILLED_IN_FLIGHT: 0.4},
    {**_BATCHES, "eagerness": 0.1},
)
PARTS = Setting({Fault.PARTIAL: 1, Fault.REFUSED: 0.3, Fault.RESPONSE_LOST: 0.1}, {**_BATCHES, "chunk": 2000})
STALE = Setting(
    {Fault.SHORT_OF_TIME: 0.6, Fault.LATE: 0.6, Fault.LOST: 0.4},
    {**_BATCHES, "with_search": False, "places": ("staging",), "compression": "gzip", "plain": True, "eagerness": 0.03},
)
VERSIONS = Setting({Fault.DEPLOYED: 0.5, Fault.REFUSED: 0.9, Fault.SHORT_OF_TIME: 0.5}, {**_BATCHES, "batch_size": 5})
REDRIVES = Setting(
    {
        Fault.ABANDONED: 0.5,
        Fault.LATE: 0.2,
        Fault.REFUSED: 0.2,
        Fault.LOST: 0.2,
        Fault.KILLED_AFTER: 0.3,
        Fault.REDRIVEN_EARLY: 0.6,
        Fault.LEASE_EXPIRED: 0.5,
        Fault.RESPONSE_LOST: 0.3,
        Fault.DEPLOYED: 0.2,
        Fault.FILTERED: 0.3,
    },
    {"retries": 0, "eagerness": 0.1, "batch_size": 5},
)


GIVEN_UP = Setting(
    {Fault.ABANDONED: 0.7, Fault.COLD: 0.5, Fault.RESPONSE_LOST: 0.1},
    {"batch_size": 1, "age": -1, "retries": -1, "eagerness": 0.2},
)
KILLS = Setting(
    {Fault.ABANDONED: 0.8, Fault.KILLED_AFTER: 0.8, Fault.RESPONSE_LOST: 0.3},
    {**_BATCHES, "batch_size": 1, "with_search": False, "eagerness": 0.1},
)


POISONED = Setting({Fault.POISON: 0.3, Fault.REDRIVEN_EARLY: 0.4}, {"retries": 0, "batch_size": 5})
HALVES = Setting(
    {Fault.PARTIAL: 2, Fault.DEPLOYED: 0.3, Fault.REDRIVEN_EARLY: 0.8, Fault.KILLED_BEFORE: 0.2},
    {"retries": 0, "batch_size": 20, "with_search": True, "spilling": False, "dos": ("pass", "changing")},
)
CRASHES = Setting(
    {Fault.POISON: 0.3, Fault.FILTERED: 0.8, Fault.REDRIVEN_EARLY: 0.6},
    {"retries": 0, "batch_size": 3, "spilling": False},
)
SPILLED_LETTERS = Setting(
    {
        Fault.SINK_DOWN: 0.6,
        Fault.PARTIAL: 0.3,
        Fault.RESPONSE_LOST: 0.6,
        Fault.REDRIVEN_EARLY: 0.5,
        Fault.KILLED_BEFORE: 0.1,
        Fault.DISCARDED: 0.1,
    },
    {"retries": 0, "with_search": True, "spilling": True, "dos": ("pass", "conflict", "conflict")},
)
REPLAYS = Setting(
    {
        Fault.DEPLOYED: 0.3,
        Fault.KILLED_BEFORE: 0.2,
        Fault.KILLED_AFTER: 0.3,
        Fault.KILLED_IN_FLIGHT: 0.2,
        Fault.LOST: 0.3,
        Fault.LATE: 0.2,
        Fault.ABANDONED: 0.5,
        Fault.LEASE_EXPIRED: 0.5,
    },
    {
        "age": -1,
        "retries": -1,
        "spilling": False,
        "replayed": True,
        "dos": ("changing", "reject", "pass"),
        "eagerness": 0.1,
    },
)
OUTAGES = Setting(
    {
        Fault.SINK_DOWN: 0.5,
        Fault.PARTIAL: 0.8,
        Fault.KILLED_BEFORE: 0.2,
        Fault.REFUSED: 0.2,
        Fault.LATE: 0.1,
        Fault.ABANDONED: 0.2,
        Fault.LEASE_EXPIRED: 0.3,
    },
    {"age": -1, "retries": -1, "with_search": True, "spilling": True, "dos": ("pass", "pass", "conflict")},
)
LOADS = Setting(None, {"loaded": True})
LOADED_REDRIVES = Setting(REDRIVES.only, {**REDRIVES.shape, "loaded": True, "upserted": False})
LOADED_LATECOMERS = Setting(LATECOMERS.only, {**LATECOMERS.shape, "loaded": True, "upserted": False})

COUNTS = Setting(None, {"aggregated": True})
CLOSINGS = Setting(
    {
        Fault.ABANDONED: 0.2,
        Fault.KILLED_BEFORE: 0.05,
        Fault.LATE: 0.05,
        Fault.PARTIAL: 1.5,
        Fault.COLD: 0.1,
    },
    {**_BATCHES, "aggregated": True, "closing": 0.6, "with_search": False, "batch_size": 3, "loaded": False},
)
SLOW_CLOSINGS = Setting(
    {Fault.COLD: 0.2},
    {**CLOSINGS.shape, "closing": 0.04, "eagerness": 0.05, "batch_size": 1, "plain": True, "dos": ("split",)},
)
REDECLARED_COUNTS = Setting(
    {
        Fault.DEPLOYED: 0.3,
        Fault.COLD: 0.2,
        Fault.KILLED_BEFORE: 0.1,
        Fault.KILLED_AFTER: 0.1,
        Fault.PARTIAL: 0.2,
        Fault.REDRIVEN_EARLY: 0.3,
    },
    {"aggregated": True, "redeclared": True, "with_search": False, "loaded": False, "replayed": False},
)
OUTLIVED = Setting(REPLAYS.only, {**REPLAYS.shape, "aggregated": True, "outlived": True})
COUNTED_PARTS = Setting(PARTS.only, {**PARTS.shape, "aggregated": True})
COUNTED_LETTERS = Setting(
    {Fault.ABANDONED: 0.5, Fault.REDRIVEN_EARLY: 0.8, Fault.REFUSED: 0.3},
    {"retries": 0, "age": -1, "batch_size": 1, "with_search": False, "plain": True, "aggregated": True},
)
COUNTED_REPLAYS = Setting(REPLAYS.only, {**REPLAYS.shape, "aggregated": True})


SETTINGS = {
    "any": ANY,
    "latecomers": LATECOMERS,
    "stale": STALE,
    "parts": PARTS,
    "versions": VERSIONS,
    "redrives": REDRIVES,
    "given up": GIVEN_UP,
    "kills": KILLS,
    "poisoned": POISONED,
    "outages": OUTAGES,
    "replays": REPLAYS,
    "half delivered by a redrive": HALVES,
    "crashed when redriven in part": CRASHES,
    "dead letters of what was spilled": SPILLED_LETTERS,
    "loads": LOADS,
    "loads of what is redriven": LOADED_REDRIVES,
    "loads beside latecomers": LOADED_LATECOMERS,
    "aggregates": COUNTS,
    "aggregates that are closed": CLOSINGS,
    "aggregates that are closed slowly": SLOW_CLOSINGS,
    "aggregates that are declared anew": REDECLARED_COUNTS,
    "aggregates that are outlived": OUTLIVED,
    "aggregates of parts": COUNTED_PARTS,
    "aggregates of dead letters": COUNTED_LETTERS,
    "aggregates of what is replayed": COUNTED_REPLAYS,
}
