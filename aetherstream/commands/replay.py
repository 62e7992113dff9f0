"""`aetherstream replay`: give sinks what they lack, from the stream or from the archive."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from aetherstream.commands.answers import causes
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.recovery import Recovery, reader, wait_option
from aetherstream.commands.times import TimeOption
from aetherstream.commands.words import count
from aetherstream.errors import Retryable, UsageError
from aetherstream.records import KinesisRecords

UNIT_RECORDS = 5_000
UNIT_CHARACTERS = 4_000_000
"""AWS: a synchronous invocation takes 6 MB; sequence numbers and keys come on top."""


@click.command(short_help="Give sinks what they lack, from the stream or the archive.")
@click.option("--from", "start", type=TimeOption(), required=True, help="What arrived (or was written) from then on.")
@click.option("--to", "end", type=TimeOption(), help="What arrived (or was written) before it; by default now.")
@click.option("--archive", metavar="SINK", help="Read the objects of this sink instead of the stream.")
@click.option("--into", multiple=True, metavar="SINK", help="Only into this sink; with --archive it has to be said.")
@click.option("--shard", "shards", multiple=True, metavar="ID", help="Only this shard.")
@click.option(
    "--skip-aggregates",
    is_flag=True,
    help="Fold nothing: for a sink whose prefix is new, or whose objects were removed. What they held was folded.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as JSON.")
@wait_option
@on_a_stack
def replay(
    *,
    start: datetime,
    end: datetime | None,
    archive: str | None,
    into: tuple[str, ...],
    shards: tuple[str, ...],
    skip_aggregates: bool,
    dry_run: bool,
    as_json: bool,
    wait: int,
    deployed: Callable[[], Deployed],
) -> None:
    """Run what arrived between two times through the deployed pipeline again, and deliver what sinks do not hold yet.

    Events are known by their place in the stream: what a sink holds is never written twice, so a replay may be
    interrupted and repeated. What the stream function has not settled yet, and what stands in the quarantine, is left
    alone. An event that no object of any sink holds is folded into the aggregates, too. From the archive, events go as
    they are, without being transformed again, into the sinks of --into.
    """
    if archive is not None and not into:
        raise UsageError("say with --into which sinks are to get the archive's events")
    if archive is not None and archive in into:
        raise UsageError(f"--into {archive}: that is where the events are read from")
    end = end or datetime.now(UTC)
    if end <= start:
        raise UsageError(f"--to {end.isoformat()} is not after --from {start.isoformat()}")
    stack = deployed()
    recovery = Recovery(stack, wait=wait)
    _check_sinks(recovery.about, into, archive)
    if archive is None:
        units = _of_stream(stack, shards, start, end)
    else:
        units = _of_archive(stack, recovery, archive, shards, start, end)
    totals = Totals(dry_run)
    for unit in units:
        request: dict[str, Any] = {"source": "stream" if archive is None else "archive", "into": list(into)}
        if skip_aggregates:
            request["skip_aggregates"] = True
        _ask(recovery, unit, totals, request)
        if sys.stderr.isatty() and not as_json:
            click.echo(f"\r{totals.kinesis:,} Kinesis records", nl=False, err=True)
    if sys.stderr.isatty() and not as_json:
        click.echo("\r", nl=False, err=True)
    click.echo(json.dumps(totals.facts()) if as_json else "\n".join(totals.lines()))
    if totals.left:
        raise SystemExit(1)


def _check_sinks(about: Mapping[str, Any], into: tuple[str, ...], archive: str | None) -> None:
    from aetherstream.transforms.mistakes import nearest

    documents = about.get("record_sinks", ())
    sinks = [*about["sinks"], *documents]
    for name in (*into, *([archive] if archive else [])):
        if name not in sinks:
            raise UsageError(f"the pipeline has no sink {name!r}{nearest(name, sinks)}")
    if archive in about.get("staging", ()):
        raise UsageError(
            f"--archive {archive}: its objects hold the rows of a table; events are in those of an s3 sink"
        )
    if archive in documents:
        raise UsageError(f"--archive {archive}: only the objects of a sink in S3 can be read again")


@dataclass(slots=True)
class Totals:
    """What all units came to."""

    dry_run: bool
    kinesis: int = 0
    records: Counter[str] = field(default_factory=Counter)
    sinks: dict[str, Counter[str]] = field(default_factory=dict)
    aggregates: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    not_settled: int = 0
    causes: list[str] = field(default_factory=list)
    """Why that is left, in a few examples."""
    refused: dict[str, str] = field(default_factory=dict)
    refused_count: int = 0
    objects: int = 0
    units: int = 0

    @property
    def left(self) -> int:
        """Records of which a sink could not take an event now."""
        return self.records["left"]

    def add(self, answer: Any, unit: KinesisRecords) -> None:
        """Take in the answer to one unit."""
        report = answer["report"]
        self.units += 1
        self.kinesis += len(unit)
        names = ("records", "passed", "held", "quarantined", "still_quarantined", "dropped", "not_chosen", "left")
        self.records.update({name: report[name] for name in (*names, "held_refused")})
        for name, share in report["sinks"].items():
            self.sinks.setdefault(name, Counter()).update(share)
        for name, share in report["aggregates"].items():
            self.aggregates.setdefault(name, Counter()).update(share)
        self.reasons.update(report["reasons"])
        self.causes = list(dict.fromkeys([*self.causes, *causes(report)]))[:3]
        self.not_settled += answer["not_settled"]
        self.refused_count += len(answer["refused"])
        for record, why in answer["refused"].items():
            if len(self.refused) < 3:
                self.refused[record] = why
        self.objects += len(report["objects"])

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dry_run": self.dry_run,
            "units": self.units,
            "kinesis_records": self.kinesis,
            "records": dict(self.records),
            "sinks": {name: dict(share) for name, share in self.sinks.items()},
            "aggregates": {name: dict(share) for name, share in self.aggregates.items()},
            "rejected": dict(self.reasons),
            "not_settled": self.not_settled,
            "undelivered": self.causes,
            "refused": self.refused_count,
            "objects": self.objects,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        would = "would be " if self.dry_run else ""
        read, replayed = count(self.kinesis, "Kinesis record"), count(self.records["records"], "user record")
        yield f"{read} read, {replayed} replayed"
        for name, share in self.sinks.items():
            if share["events"]:
                yield (
                    f"sink {name}: {count(share['events'], 'event')} = {share['delivered']:,} {would}delivered + "
                    f"{share['held']:,} held already + {share['quarantined']:,} {would}quarantined + "
                    f"{share['left']:,} left"
                )
        for name, share in self.aggregates.items():
            refused = f"{share['quarantined']:,} {would}quarantined"
            told = f"{share['folded']:,} {would}folded + {share['late']:,} late + {refused}"
            yield f"aggregate {name}: {count(share['events'], 'event')} = {told}"
        for name, words in (
            ("dropped", "dropped by a filter"),
            ("quarantined", f"{would}quarantined for the first time"),
            ("still_quarantined", "in the quarantine before (`aetherstream quarantine replay`)"),
            ("held_refused", "refused now, delivered elsewhere before: left as is"),
        ):
            if self.records[name]:
                yield f"{count(self.records[name], 'record')} {words}"
        for reason, number in self.reasons.most_common():
            yield f"  {number:,}  {reason}"
        if self.left:
            yield f"{count(self.left, 'record')} left: call it again when the sink takes them"
            yield from (f"  {why}" for why in self.causes)
        if self.not_settled:
            behind = count(self.not_settled, "Kinesis record")
            yield f"{behind} behind the mark of the shard: left to the stream function"
        if self.refused_count:
            yield f"{count(self.refused_count, 'record')} without a place in a sink, left in the archive only:"
            yield from (f"  {record}  {why}" for record, why in self.refused.items())
        yield f"{count(self.objects, 'object')} {would}written" + (". Nothing was changed." if self.dry_run else "")


def _ask(recovery: Recovery, unit: KinesisRecords, totals: Totals, request: Mapping[str, Any]) -> None:
    from aetherstream.recovery.replay import as_json

    answer = recovery.ask({"do": "replay", "unit": as_json(unit), **request, "dry_run": totals.dry_run})
    if "report" not in answer:
        raise Retryable(
            f"{answer.get('message', answer)}\nStopped at {unit.shard} {unit.sequences[0]}, after {totals.kinesis:,} "
            "Kinesis records. Call it again: what was delivered is not delivered twice"
        )
    totals.add(answer, unit)


def _of_stream(stack: Deployed, shards: tuple[str, ...], start: datetime, end: datetime) -> Iterator[KinesisRecords]:
    from aetherstream.commands.captured import captured
    from aetherstream.recovery.stream import units_of

    for page in captured(stack, shards, start, end):
        yield from units_of(page, records=UNIT_RECORDS, characters=UNIT_CHARACTERS)


def _of_archive(
    stack: Deployed, recovery: Recovery, sink: str, shards: tuple[str, ...], start: datetime, end: datetime
) -> Iterator[KinesisRecords]:
    """What the objects hold that were written between two times, shard by shard."""
    from aetherstream.objects import lines_of
    from aetherstream.recovery.replay import ArchivedUnits

    bucket, _, prefix = recovery.about["sinks"][sink].partition("/")
    archive = reader(stack)
    collected = ArchivedUnits(stack.output("StreamArn"), lines=UNIT_RECORDS, characters=UNIT_CHARACTERS)
    for listed in archive.list(bucket, f"{prefix}/"):
        if not start.timestamp() <= listed.modified < end.timestamp():
            continue
        if shards and not listed.key.rpartition("/")[2].startswith(tuple(f"{shard}-" for shard in shards)):
            continue
        place = f"s3://{bucket}/{listed.key}"
        body = archive.get(bucket, listed.key)
        try:
            lines = [] if body is None else lines_of(listed.key, body)
        except Exception as error:  # every library has its own for bad bytes
            raise UsageError(
                f"{place} can't be read ({error}): restore an earlier version, or move it out of the sink's prefix"
            ) from error
        yield from collected.add(place, lines)
    yield from collected.rest()
