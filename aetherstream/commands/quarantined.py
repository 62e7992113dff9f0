"""The quarantined records that the options of a command choose, streamed, and cut into requests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from aetherstream.commands.answers import Answer
from aetherstream.commands.deployed import Deployed
from aetherstream.commands.recovery import objects, reader
from aetherstream.errors import Rejected

if TYPE_CHECKING:
    from aetherstream.recovery.envelopes import Envelope
    from aetherstream.recovery.patch import Patch

UNIT_RECORDS = 2_000
UNIT_BYTES = 3_000_000
"""Of patched records in one request. AWS: 6 MB for a synchronous invocation."""


@dataclass(slots=True)
class Selection:
    """The envelopes that the options choose, streamed object by object."""

    stack: Deployed
    about: Answer
    fingerprints: tuple[str, ...] = ()
    where: str | None = None
    unusable: list[str] = field(default_factory=list)

    def each(self) -> Iterator[tuple[str, Envelope, str]]:
        """Key of the object, envelope, and state: `waiting`, `replayed` or `discarded`."""
        from aetherstream.delivery.recorded import RecordedObjects
        from aetherstream.recovery.envelopes import UnusableEnvelope, envelopes_of
        from aetherstream.recovery.marks import Marks

        bucket, prefix, pipeline = self.about["bucket"], self.about["prefix"], self.about["pipeline"]
        store = reader(self.stack)
        marks = Marks(RecordedObjects(), store, bucket=bucket, pipeline=pipeline)
        marked = marks.marked_objects()
        chosen = self._condition()
        for key in objects(self.stack, bucket, f"{prefix}/"):
            done = marks.envelopes(key) if key in marked else {}
            body = store.get(bucket, key)
            for each in envelopes_of(f"s3://{bucket}/{key}", key, body, pipeline) if body is not None else ():
                if isinstance(each, UnusableEnvelope):
                    self.unusable.append(each.message)
                elif chosen(each):
                    yield key, each, done.get((each.id, each.fingerprint), "waiting")

    def waiting(self) -> Iterator[tuple[str, Envelope]]:
        """Those of which nothing has been done."""
        return ((key, envelope) for key, envelope, state in self.each() if state == "waiting")

    def _condition(self) -> Callable[[Envelope], bool]:
        from aetherstream.recovery.selection import expression, holds

        condition = expression(self.where) if self.where else None
        reads = condition is not None and any(name.partition(".")[0] == "record" for name in condition.fields)

        def chosen(envelope: Envelope) -> bool:
            if self.fingerprints and not envelope.fingerprint.startswith(self.fingerprints):
                return False
            if condition is None:
                return True
            facts = envelope.as_json()
            if reads:
                facts["record"] = _record(envelope)
            return holds(condition, facts)

        return chosen

    def complain(self) -> None:
        """Name what could not be read."""
        for message in self.unusable:
            click.echo(f"UNUSABLE  {message}", err=True)


def _record(envelope: Envelope) -> Any:
    """The decoded record; null where it is not JSON."""
    try:
        return json.loads(envelope.payload())
    except ValueError:
        return None


@dataclass(slots=True)
class Totals:
    """What a command came to, over all requests."""

    finished: int = 0
    unmended: int = 0


Unit = tuple[list[dict[str, Any]], dict[str, str], list[str]]
"""Of a request: objects with ids, patched records by id, fingerprints."""


def units(selection: Selection, patch: Patch | None, totals: Totals) -> Iterator[Unit]:
    """Cut what is chosen into requests; only one of them is in memory."""
    ids: dict[str, list[str]] = {}
    patched: dict[str, str] = {}
    causes: set[str] = set()
    records = size = 0
    for key, envelope in selection.waiting():
        if patch is not None and envelope.id not in patched:
            try:
                data = base64.b64encode(patch(envelope)).decode()
            except Rejected as error:
                totals.unmended += 1
                click.echo(f"not mended: {envelope.id}: {error.message}", err=True)
                continue
            if records and size + len(data) > UNIT_BYTES:
                yield _unit(ids, patched, causes)
                ids, patched, causes, records, size = {}, {}, set(), 0, 0
            patched[envelope.id] = data
            size += len(data)
        ids.setdefault(key, []).append(envelope.id)
        causes.add(envelope.fingerprint)
        records += 1
        if records == UNIT_RECORDS:
            yield _unit(ids, patched, causes)
            ids, patched, causes, records, size = {}, {}, set(), 0, 0
    if records:
        yield _unit(ids, patched, causes)


def _unit(ids: dict[str, list[str]], patched: dict[str, str], causes: set[str]) -> Unit:
    return [{"key": key, "ids": sorted(set(found))} for key, found in ids.items()], patched, sorted(causes)
