"""`aetherstream progress show` and `aetherstream progress reset`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from aetherstream.aggregates.windows import time_text
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.recovery import who
from aetherstream.commands.words import count, span
from aetherstream.errors import Retryable, UsageError

if TYPE_CHECKING:
    from aetherstream.recovery.progress_view import ProgressTable, ShardView


@click.group(short_help="Where each shard stands; set a shard back.")
def progress() -> None:
    """Show where each shard stands; set a shard back for a second pass, or for a stream that was made anew."""


@progress.command()
@click.option("--pipeline", metavar="NAME", help="Only this pipeline.")
@click.option("--shard", "shards", multiple=True, metavar="ID", help="Only this shard.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON a shard.")
@on_a_stack
def show(*, pipeline: str | None, shards: tuple[str, ...], as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show each shard's mark, what is open, how the last attempt ended, and the totals.

    The mark is the place up to which every record is delivered, quarantined, dropped or dead-lettered.
    """
    from aetherstream.recovery.stream import StreamReader

    stack = deployed()
    views = _chosen(_table(stack), pipeline, shards)
    reader = StreamReader(stack.client("kinesis"), stack.output("StreamArn"), sleep=time.sleep)
    now = datetime.now(UTC)
    if as_json:
        for view in views:
            click.echo(json.dumps(_facts(view, reader)))
        return
    heading = None
    for view in views:
        if heading != (heading := (view.pipeline, view.stream)):
            click.echo(f"{view.pipeline}, stream {view.stream}")
        for line in _lines(view, reader, now):
            click.echo(f"  {line}")
    known = {view.shard for view in views if view.stream == reader.stream.rpartition("/")[2]}
    for shard in [] if shards else reader.shards():
        if shard not in known:
            click.echo(f"  {shard}: no batch yet")


@progress.command()
@click.option("--pipeline", metavar="NAME", help="The pipeline; may be left out where the table knows one only.")
@click.option("--shard", "shards", multiple=True, metavar="ID", help="A shard to set back; repeat it for several.")
@click.option("--all", "every", is_flag=True, help="Set every shard of the pipeline back.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would be done.")
@on_a_stack
def reset(
    *, pipeline: str | None, shards: tuple[str, ...], every: bool, yes: bool, deployed: Callable[[], Deployed]
) -> None:
    """Clear the mark of shards: whatever Lambda brings from then on is delivered, also what was delivered before.

    For a stream that was made anew under its name, and for a deliberate second pass over the data. The item stays, and
    its epoch goes on rising. To bring back only what is missing, use `aetherstream replay`.
    """
    from aetherstream.delivery.dynamodb import DynamoProgress
    from aetherstream.delivery.s3 import S3Store
    from aetherstream.recovery import progress_view
    from aetherstream.recovery.audit import Action, Audit
    from aetherstream.recovery.lease import Leases

    if bool(shards) == every:
        raise UsageError("say which shards to set back: --shard ID (repeat it for several), or --all")
    stack = deployed()
    views = _chosen(_table(stack), pipeline, shards)
    names = sorted({view.pipeline for view in views})
    if len(names) > 1:
        raise UsageError(f"the table knows several pipelines ({', '.join(names)}): name one with --pipeline")
    for view in views:
        for line in _consequences(view):
            click.echo(line)
    _warn_of_the_mapping(stack)
    if not yes:
        click.echo("Nothing was changed. Add --yes to do it.")
        return
    store = S3Store(stack.client("s3"))
    writer = DynamoProgress(stack.client("dynamodb"), stack.output("ProgressTableName"))
    leases = Leases(writer, owner=f"progress reset by {who()} ({uuid.uuid4().hex[:8]})", clock=time.time)
    for view in views:
        done = progress_view.reset(view.item, leases, store=store)
        audit = Audit(store, bucket=stack.output("BucketName"), pipeline=view.pipeline)
        result = {"mark_before": view.mark, "epoch": done.epoch}
        audit.write(Action(uuid.uuid4().hex, datetime.now(UTC), who(), "progress reset", view.item.key, result))
        click.echo(f"{view.shard}: set back, epoch {done.epoch}")


def _table(stack: Deployed) -> ProgressTable:
    from aetherstream.recovery.progress_view import ProgressTable

    return ProgressTable(stack.client("dynamodb"), stack.output("ProgressTableName"))


def _chosen(table: ProgressTable, pipeline: str | None, shards: Sequence[str]) -> list[ShardView]:
    from aetherstream.transforms.mistakes import nearest

    views = table.shards()
    if not views:
        raise UsageError("the progress table is empty: no batch has been processed yet")
    names = sorted({view.pipeline for view in views})
    if pipeline is not None and pipeline not in names:
        raise UsageError(f"no shard of the pipeline {pipeline!r} has progress yet{nearest(pipeline, names)}")
    views = [view for view in views if pipeline in (None, view.pipeline)]
    known = sorted({view.shard for view in views})
    for shard in shards:
        if shard not in known:
            raise UsageError(f"the shard {shard} has no progress{nearest(shard, known)}")
    return [view for view in views if not shards or view.shard in shards]


def _lines(view: ShardView, reader: Any, now: datetime) -> Iterator[str]:
    item = view.item
    if view.mark is None or view.arrival is None:
        yield f"{view.shard}: no mark (epoch {item.epoch})"
    else:
        ago = span((now - view.arrival).total_seconds())
        yield f"{view.shard}: up to {view.mark}, which arrived {_time(view.arrival)}, {ago} ago (epoch {item.epoch})"
        yield f"  {_behind(view, reader)}"
    yield f"  last attempt: {view.last_attempt}"
    if item.open:
        yield f"  {count(len(item.open), 'object')} of unfinished attempts:"
        yield from (f"    s3://{location}" for location in sorted(item.open)[:5])
        if len(item.open) > 5:
            yield f"    … and {len(item.open) - 5} more"
    if item.lease is not None:
        until = datetime.fromtimestamp(item.lease.until / 1000, UTC)
        held = "redrives it until" if until > now else "began a redrive and did not end it; its lease ended at"
        yield f"  {item.lease.owner} {held} {_time(until)}"
    if item.redrive_keys:
        yield f"  {count(len(item.redrive_keys), 'object')} of an unfinished redrive; the next one empties them"
    for place in item.suspects:
        yield (
            f"  {count(place.killed, 'redrive')} killed from {_position(place.first)} to {_position(place.last)}; the "
            "next one takes these records apart"
        )
    totals = item.counters
    if totals:
        yield (
            f"  totals: {totals.get('records', 0):,} records = {totals.get('passed', 0):,} passed on + "
            f"{totals.get('quarantined', 0):,} quarantined + {totals.get('dropped', 0):,} dropped; "
            f"{totals.get('objects', 0):,} objects, {totals.get('bytes', 0):,} bytes"
        )
        made_for = sorted(key.removesuffix(".events") for key in totals if key.endswith(".events"))
        for name in [name for name in made_for if "." not in name]:
            made, delivered = totals[f"{name}.events"], totals.get(f"{name}.delivered", 0)
            refused = totals.get(f"{name}.quarantined", 0)
            spilled = f" + {kept:,} spilled" if (kept := totals.get(f"{name}.spilled", 0)) else ""
            yield f"  sink {name}: {count(made, 'event')} = {delivered:,} delivered + {refused:,} quarantined{spilled}"
        yield from (_aggregate(name, totals) for name in made_for if "." in name)
    if item.event_time is not None:
        yield f"  aggregates: event time {time_text(item.event_time)} committed, commit {item.commit}"
    yield from _redriven(item.redriven)


def _aggregate(name: str, totals: Mapping[str, int]) -> str:
    """What came to an aggregate; `name`: `aggregates.<name>`."""
    folded, late, refused = (totals.get(f"{name}.{what}", 0) for what in ("folded", "late", "quarantined"))
    told = f"{folded:,} folded + {late:,} late + {refused:,} quarantined"
    return f"  aggregate {name.partition('.')[2]}: {count(totals[f'{name}.events'], 'event')} = {told}"


def _redriven(totals: Mapping[str, int]) -> Iterator[str]:
    """What redrives did beside that."""
    if not totals:
        return
    words = {
        "delivered": "delivered from dead letters",
        "replayed": "from the quarantine",
        "quarantined": "quarantined",
    }
    told = ", ".join(f"{totals[name]:,} {what}" for name, what in words.items() if totals.get(name))
    if told:
        yield f"  records by redrives: {told}"
    for name in sorted(key for key in totals if "." in key):
        whose, _, what = name.rpartition(".")
        if what == "delivered":
            yield f"  sink {whose}: {count(totals[name], 'event')} delivered by redrives"
        elif what == "folded":
            yield f"  aggregate {whose.partition('.')[2]}: {count(totals[name], 'event')} folded by redrives"


def _behind(view: ShardView, reader: Any) -> str:
    if reader.stream.rpartition("/")[2] != view.stream:
        return "of another stream than the stack's"
    try:
        seconds = reader.waiting(view.shard, view.mark)
    except Retryable:
        return "what the stream has behind it can't be told: the shard is over, or the mark out of its retention"
    if seconds is None:
        return "nothing came after it"
    return f"records wait behind it; the stream's end is {span(seconds)} ahead"


def _facts(view: ShardView, reader: Any) -> dict[str, Any]:
    item, attempt = view.item, view.item.attempt
    return {
        "pipeline": view.pipeline,
        "stream": view.stream,
        "shard": view.shard,
        "mark": view.mark,
        "mark_arrival": None if view.arrival is None else _time(view.arrival),
        "epoch": item.epoch,
        "revision": item.revision,
        "open": sorted(item.open),
        "lease": None if item.lease is None else {"owner": item.lease.owner, "until": item.lease.until / 1000},
        "redrive_keys": list(item.redrive_keys),
        "suspects": [
            {"first": _position(place.first), "last": _position(place.last), "killed": place.killed}
            for place in item.suspects
        ],
        "attempt": {
            "start": attempt.start[3:] or None,
            "size": attempt.size,
            "ended": attempt.ended,
            "killed": attempt.killed,
            "says": view.last_attempt,
        },
        "totals": dict(item.counters),
        "redriven": dict(item.redriven),
        "behind": None if view.mark is None else _behind(view, reader),
    }


def _consequences(view: ShardView) -> Iterator[str]:
    """What a reset of the shard is going to do, before it is done."""
    item = view.item
    mark = "it has no mark" if view.mark is None else f"the mark {view.mark} is cleared"
    yield f"{view.shard} of {view.pipeline}: {mark}, the epoch goes from {item.epoch} to {item.epoch + 1}"
    if item.open:
        yield f"  {count(len(item.open), 'object')} of unfinished attempts are emptied (their records come again):"
        yield from (f"    s3://{location}" for location in sorted(item.open))
    if item.redrive_keys:
        yield f"  {count(len(item.redrive_keys), 'object')} of an unfinished redrive are emptied: redrive it again"
    if not item.attempt.ended:
        yield "  an attempt is under way or was killed; one that is under way is superseded, and its batch comes again"
    passed = item.counters.get("passed", 0)
    if passed:
        yield (
            f"  so far {count(passed, 'record')} went on to the sinks. Those of them that Lambda brings again are "
            "delivered again,"
        )
        yield "  and stand in the sinks twice unless their objects are moved away first or the sinks' prefixes change"
    if item.event_time is not None:
        yield (
            f"  aggregates keep their states and the event time {time_text(item.event_time)}: what comes again is late "
            "where its window is"
        )
        yield "  closed by it, and is counted a second time where it is not"
    yield "  the totals go on from where they are"


def _warn_of_the_mapping(stack: Deployed) -> None:
    if "MappingId" not in stack.outputs:
        return
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        mapping = stack.client("lambda").get_event_source_mapping(UUID=stack.outputs["MappingId"])
    except (ClientError, BotoCoreError) as error:
        click.echo(f"The event source mapping can't be looked at: {error}", err=True)
        return
    if mapping.get("State") == "Enabled":
        click.echo(
            "The event source mapping is enabled: it goes on from its own place, not from the stream's beginning."
        )


def _position(sortable: str) -> str:
    """`sequence`, or `sequence:sub` of a user record that came alone."""
    sequence, _, sub = sortable[3:].partition("-")
    return f"{sequence}:{int(sub)}" if sub else sequence


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
