"""Short ways to run steps over events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from aetherstream.records import Event, Events, Rejection
from aetherstream.transforms.compiler import compile_steps
from aetherstream.transforms.mistakes import StepMistakes
from aetherstream.transforms.model import Steps
from aetherstream.transforms.tables import Table
from aetherstream.transforms.transform import Transform

AIRLINES = Table.parse(b"carrier,name\nAA,American\nUA,United\n", "carrier", file="airlines.csv")
SECRETS = {"HASH_KEY": "0123456789abcdef"}


class Result(NamedTuple):
    """What became of a batch."""

    values: list[Event]
    rejected: list[tuple[int, str, str]]
    """Record, where, reason."""
    dropped: int
    events: Events
    messages: list[str]


def compiled(steps: list[dict[str, Any]], tables: Mapping[str, Table] | None = None) -> Transform:
    tables = {"airlines": AIRLINES} if tables is None else tables
    return compile_steps(msgspec.convert(steps, Steps), tables=tables, sinks=["archive", "search"], secrets=SECRETS)


def run(steps: list[dict[str, Any]] | Transform, *values: Event) -> Result:
    transform = compiled(steps) if isinstance(steps, list) else steps
    events = Events(list(values), list(range(len(values))), [0] * len(values))
    rejections: list[Rejection] = []
    dropped = transform.apply(events, rejections)
    assert {r.stage for r in rejections} <= {"transform"}
    rejected = [(r.record, r.where, r.reason) for r in rejections]
    return Result(events.values, rejected, dropped, events, [r.message for r in rejections])


def mistakes(*steps: dict[str, Any]) -> list[str]:
    try:
        compiled(list(steps))
    except StepMistakes as error:
        return [str(mistake) for mistake in error.mistakes]
    return []
