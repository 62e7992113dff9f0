"""`aetherstream shadow`: what a changed pipeline would do differently, before it is deployed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.times import TimeOption
from aetherstream.errors import UsageError
from aetherstream.records import KinesisRecords

if TYPE_CHECKING:
    from aetherstream.recovery.shadow import Diff, Example, SinkDiff

UNIT_RECORDS = 5_000
UNIT_CHARACTERS = 8_000_000


@click.command(short_help="Show what a changed pipeline would do differently.")
@click.option(
    "--pipeline", "candidate", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The candidate."
)
@click.option(
    "--against", type=click.Path(path_type=Path, dir_okay=False), help="The present file; by default what is deployed."
)
@click.option("--from", "start", type=TimeOption(), help="Records that arrived from this time on.")
@click.option("--to", "end", type=TimeOption(), help="Records that arrived before it; by default now.")
@click.option("--shard", "shards", multiple=True, metavar="ID", help="Only this shard.")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lambda events in files instead of the stream; then no stack is needed with --against.",
)
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for ${NAME}, for both pipelines.")
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="Of each kind and sink.")
@click.option("--json", "as_json", is_flag=True, help="Print the difference as JSON.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where anything differs.")
@on_a_stack
def shadow(
    *,
    candidate: Path,
    against: Path | None,
    start: datetime | None,
    end: datetime | None,
    shards: tuple[str, ...],
    events: tuple[Path, ...],
    env: tuple[str, ...],
    examples: int,
    as_json: bool,
    exit_code: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Run a candidate and the present pipeline over the same records, and show what differs. Nothing is delivered.

    The records are those that arrived in the stream between two times, as far as its retention goes. Events are matched
    by their place in the stream. Both pipelines run in this machine's version of AetherStream.
    """
    from aetherstream.commands.pipeline import environment
    from aetherstream.commands.sides import Side, download
    from aetherstream.recovery.shadow import Diff

    if bool(events) == (start is not None):
        raise UsageError("say which records: --from TIME (and --to), or --event FILE")
    stack = deployed() if against is None or start is not None else None
    diff = Diff(keep=examples)
    with ExitStack() as held:
        variables: dict[str, str] = {}
        present, root = against, Path.cwd()
        if present is None and stack is not None:
            found = download(stack, Path(held.enter_context(TemporaryDirectory(prefix="aetherstream-shadow-"))))
            present, root, variables = found.file, found.root, dict(found.variables)
        given = environment(env)
        if variables:
            # The function's own environment decides for both, unless the call says otherwise.
            named = {item.partition("=")[0] for item in env}
            given |= {name: value for name, value in variables.items() if name not in named}
        before = held.enter_context(Side(root, present or candidate, given))
        after = held.enter_context(Side(Path.cwd(), candidate, given))
        was, now = before.opened(), after.opened()
        units = _of_files(events) if events else _of_stream(stack, shards, start, end)
        for unit in units:
            old, new = before.make(unit), after.make(unit)
            diff.add(old.result(), new.result())
            if sys.stderr.isatty() and not as_json:
                click.echo(f"\r{diff.records:,} records", nl=False, err=True)
    if sys.stderr.isatty() and not as_json:
        click.echo("\r", nl=False, err=True)
    targets = {name: (was.targets.get(name), now.targets.get(name)) for name in diff.sinks}
    moved = {name: pair for name, pair in targets.items() if pair[0] != pair[1]}
    if as_json:
        click.echo(json.dumps(_facts(diff, moved)))
    else:
        label = "what is deployed" if against is None else str(against)
        click.echo(f"{diff.records:,} records through {label} and through {candidate}")
        if was.name != now.name:
            click.echo(f"The candidate is another pipeline ({now.name}, not {was.name}): it has progress of its own")
        for line in _lines(diff, moved):
            click.echo(line)
    if exit_code and not (diff.is_empty and not moved):
        raise SystemExit(1)


def _of_files(paths: tuple[Path, ...]) -> Iterator[KinesisRecords]:
    from aetherstream.commands.run import read_event

    return (read_event(path) for path in paths)


def _of_stream(
    stack: Deployed | None, shards: tuple[str, ...], start: datetime | None, end: datetime | None
) -> Iterator[KinesisRecords]:
    from aetherstream.commands.captured import captured
    from aetherstream.recovery.stream import units_of

    if stack is not None and start is not None:
        for page in captured(stack, shards, start, end):
            yield from units_of(page, records=UNIT_RECORDS, characters=UNIT_CHARACTERS)


def _lines(diff: Diff, moved: dict[str, tuple[str | None, str | None]]) -> Iterator[str]:
    for name, sink in diff.sinks.items():
        yield ""
        yield (
            f"sink {name}: {sink.before:,} events before, {sink.after:,} after: {sink.same:,} same, "
            f"{sink.added:,} added, {sink.missing:,} missing, {sink.changed:,} changed"
        )
        yield from (f"  {line}" for line in _sink_lines(sink))
        if name in moved:
            yield f"  {_moved(*moved[name])}"
    yield ""
    yield f"rejected: {diff.rejected_before:,} before, {diff.rejected_after:,} after"
    for title, counter in (("no longer", diff.only_before), ("newly", diff.only_after)):
        for cause, number in counter.most_common():
            record, message = diff.messages[cause]
            yield f"  {title} {number:,}  {cause}"
            yield f"    {record}  {message[:160]}"
    yield f"dropped: {diff.dropped_before:,} before, {diff.dropped_after:,} after"
    yield "Nothing differs." if diff.is_empty and not moved else "Nothing was delivered."


def _moved(was: str | None, now: str | None) -> str:
    if was is None:
        return f"a new sink, at {now}"
    if now is None:
        return f"there is no such sink any more; what stands at {was} stays"
    return f"goes to {now} instead of {was}; what stands there stays"


def _sink_lines(sink: SinkDiff) -> Iterator[str]:
    if sink.fields:
        yield "changed fields: " + ", ".join(f"{name} {number:,}" for name, number in sink.fields.most_common())
    for why, number in sink.why_missing.most_common():
        yield f"missing {number:,}, now: {why}"
    for example in sorted(sink.examples, key=lambda example: example.kind):
        yield from _example_lines(example)


def _example_lines(example: Example) -> Iterator[str]:
    because = {"added": f", before: {example.why}", "missing": f", now: {example.why}"}.get(example.kind, "")
    yield f"{example.kind}  {example.id}{because}"
    for change in example.changes:
        yield f"  {change.field}: {_short(change.before)} → {_short(change.after)}"
    if example.event is not None:
        yield f"  {_short(json.dumps(example.event, ensure_ascii=False))}"


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= 160 else f"{text[:160]}…"


def _facts(diff: Diff, moved: dict[str, tuple[str | None, str | None]]) -> dict[str, Any]:
    def causes(counter: Any) -> list[dict[str, Any]]:
        return [
            {
                "stage": cause.stage,
                "where": cause.where,
                "reason": cause.reason,
                "records": number,
                "example": {"record": diff.messages[cause][0], "message": diff.messages[cause][1]},
            }
            for cause, number in counter.most_common()
        ]

    return {
        "records": diff.records,
        "differs": not (diff.is_empty and not moved),
        "sinks": {
            name: {
                "before": sink.before,
                "after": sink.after,
                "same": sink.same,
                "added": sink.added,
                "missing": sink.missing,
                "changed": sink.changed,
                "fields": dict(sink.fields),
                "why_missing": dict(sink.why_missing),
                "examples": [
                    {
                        "kind": example.kind,
                        "id": example.id,
                        "event": example.event,
                        "why": example.why,
                        "changes": {change.field: [change.before, change.after] for change in example.changes},
                    }
                    for example in sink.examples
                ],
                "moved": list(moved[name]) if name in moved else None,
            }
            for name, sink in diff.sinks.items()
        },
        "rejected": {
            "before": diff.rejected_before,
            "after": diff.rejected_after,
            "no_longer": causes(diff.only_before),
            "newly": causes(diff.only_after),
        },
        "dropped": {"before": diff.dropped_before, "after": diff.dropped_after},
    }
