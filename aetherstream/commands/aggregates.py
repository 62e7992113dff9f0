"""`aetherstream aggregates show | close | recompute`: windows, what they hold, and whether that is right."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aetherstream.commands import aggregates_words as words
from aetherstream.commands.aggregated import Aggregated, opened, pipeline_option
from aetherstream.commands.called import Called, Ended
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.pipeline import env_option
from aetherstream.commands.recovery import json_option
from aetherstream.commands.times import TimeOption
from aetherstream.commands.words import count, span
from aetherstream.errors import Retryable, UsageError

if TYPE_CHECKING:
    from aetherstream.aggregates.declaration import Declaration
    from aetherstream.aggregates.windows import Window
    from aetherstream.delivery.aggregates.state import Item

LISTED = 20
"""Most windows, groups and differences that are told one by one."""
SECONDS = 900
"""AWS: the longest that a function runs."""
_LAST = 253_402_300_800
"""The year 10000: every window ends before it."""


@click.group(short_help="Windows of live aggregates: show, close, recompute.")
def aggregates() -> None:
    """Look at the windows of live aggregates, close them by hand, and hold them against the archive."""


@aggregates.command()
@click.argument("name", required=False)
@click.option("--window", "at", type=TimeOption(), help="The results of the window that holds this event time.")
@click.option("--group", metavar="JSON", help="Only this group, as a JSON array: '[\"AA\"]'.")
@env_option
@pipeline_option
@json_option
@on_a_stack
def show(
    *,
    name: str | None,
    at: datetime | None,
    group: str | None,
    env: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Show the windows that are not closed yet, the watermark and what holds it back; or the results of a window.

    With a name also their groups and bytes. Results are merged over the shards, as they would be emitted now. A closed
    window can be looked at as long as its states are kept (seven days). Of sessions, --window shows those that it lies
    in.
    """
    if name is None and (at is not None or group is not None):
        raise UsageError("--window and --group are of one aggregate: name it")
    found = opened(deployed(), file, env)
    if name is not None and (at is not None or group is not None):
        declaration = found.declaration(name)
        facts = _results(found, declaration, at, _group(group))
        _tell(facts, as_json, _result_line, "no state: nothing came, or its states were removed after closing")
        return
    if not as_json:
        for line in _times(found):
            click.echo(line)
    for declaration in found.declarations if name is None else [found.declaration(name)]:
        facts = _open_windows(found, declaration, sized=name is not None)
        if not as_json:
            click.echo(f"{declaration.name}: {_declared(declaration)}")
        _tell(facts, as_json, lambda each: f"  {_window_line(each)}", "  no open window")


@aggregates.command()
@click.option("--upto", type=TimeOption(), required=True, help="Windows that end at this event time or before.")
@json_option
@on_a_stack
def close(*, upto: datetime, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Close windows now, wherever the watermark is: their final results go out.

    For a stream that has stopped, or a shard that holds all windows open. What comes later for them is late; where it
    is folded all the same, final results go out again. Exit code 1 where something hindered it.
    """
    stack = deployed()
    if "CloserFunctionName" not in stack.outputs:
        raise UsageError(f"the stack {stack.name} has no closer function: it has no aggregates")
    called = Called(stack, "closer", stack.output("CloserFunctionName"), SECONDS)
    try:
        answer = called.invoke({"upto": upto.isoformat()})
    except Ended as error:
        raise Retryable(str(error)) from error
    if as_json:
        click.echo(json.dumps(answer))
    else:
        sessions = f", {count(answer['sessions'], 'session')}" if answer.get("sessions") else ""
        click.echo(f"{count(answer.get('windows', 0), 'window')}{sessions} closed up to {upto.isoformat()}")
        if answer.get("overdue"):
            click.echo(f"{count(answer['overdue'], 'window')} still open: call it again")
        if answer.get("dry_run"):
            click.echo("the stack is in a dry run: nothing is closed")
        if answer.get("message"):
            click.echo(answer["message"], err=True)
    if answer.get("state") != "done":
        sys.exit(1)


@aggregates.command()
@click.argument("name")
@click.option("--window", "start", type=TimeOption(), required=True, help="An event time in the first window.")
@click.option("--to", "end", type=TimeOption(), help="Windows that begin before this; by default that window alone.")
@click.option("--sink", "sinks", multiple=True, metavar="NAME", help="Read this s3 sink; by default all of them.")
@click.option("--results", is_flag=True, help="Print the rebuilt results instead, a JSON a group; compare nothing.")
@env_option
@pipeline_option
@json_option
@on_a_stack
def recompute(
    *,
    name: str,
    start: datetime,
    end: datetime | None,
    sinks: tuple[str, ...],
    results: bool,
    env: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Rebuild windows from the archive in S3, and compare them with the states, group by group. Changes nothing.

    What the quarantine holds of the stage aggregate is left out, what redrives folded of it since is counted in. Late
    events that were dropped stand in the archive and not in the states. Exit code 1 where there is a difference.
    """
    from aetherstream.recovery.recomputing import recompute as recomputed
    from aetherstream.recovery.recomputing import span_of

    found = opened(deployed(), file, env)
    declaration = found.declaration(name)
    between = span_of(declaration.aggregate, start.timestamp(), None if end is None else end.timestamp())
    done = recomputed(
        declaration,
        found.scope(declaration),
        between,
        time=_time_of(found),
        places=_places(found, sinks),
        items=found.progress(),
        reader=_reader(found),
        stores=found.stores,
        now=found.now(),
    )
    if results:
        for each in words.rebuilt(declaration.aggregate, done):
            click.echo(json.dumps(each, default=str))
        return
    if as_json:
        click.echo(json.dumps(words.facts(done), default=str))
    else:
        for line in words.lines(name, done, LISTED):
            click.echo(line)
    if done.differences:
        sys.exit(1)


# -- show --------------------------------------------------------------------------------------------------------------


def _times(found: Aggregated) -> Iterator[str]:
    """How far the shards have come."""
    from aetherstream.aggregates.windows import time_text

    clock = found.clock()
    for shard, item in clock.items.items():
        at = "nothing committed" if item.event_time is None else f"event time {time_text(item.event_time)} committed"
        yield f"{shard}: {at}{', holds the watermark back' if shard in clock.held_by else ''}"
    yield f"watermark: {'none yet' if clock.watermark is None else time_text(clock.watermark)}"


def _declared(declaration: Declaration) -> str:
    from aetherstream.aggregates.windows import Hopping, Session

    one = declaration.aggregate
    windows = one.windows
    if isinstance(windows, Session):
        kind = f"sessions with gaps of {span(windows.gap)}"
    elif isinstance(windows, Hopping):
        kind = f"hopping windows of {span(windows.size)} every {span(windows.every)}"
    else:
        kind = f"tumbling windows of {span(windows.size)}"
    groups = ", ".join(name for name, _ in one.group_by) or "one group of everything"
    return f"{kind} by {groups}, lateness {span(one.lateness)}, emitted on {declaration.emit}"


def _open_windows(found: Aggregated, declaration: Declaration, *, sized: bool) -> list[dict[str, Any]]:
    from aetherstream.aggregates.windows import time_text
    from aetherstream.delivery.aggregates.places import WindowPlace

    scope, stores = found.scope(declaration), found.stores
    if declaration.aggregate.gap is not None:
        return [_sized(declaration.name, stores.states.window(WindowPlace(scope, None)))]
    facts = []
    for window, shards in stores.windows.due(scope, _LAST).items():
        told: dict[str, Any] = {"aggregate": declaration.name, "window": window.id, "end": time_text(window.end)}
        told["shards"] = shards
        if sized:
            told |= _sized(declaration.name, stores.states.window(WindowPlace(scope, window)))
        facts.append(told)
    return facts


def _sized(name: str, groups: Iterator[list[Item]]) -> dict[str, Any]:
    told: dict[str, Any] = {"aggregate": name, "groups": 0, "items": 0, "bytes": 0}
    for items in groups:
        told["groups"] += 1
        told["items"] += len(items)
        told["bytes"] += sum(len(item.state.acc) for item in items)
    return told


def _window_line(each: dict[str, Any]) -> str:
    sized = f"{count(each['groups'], 'group')}, {each['bytes']:,} bytes" if "groups" in each else ""
    if "window" not in each:
        return f"sessions: {sized}"
    told = f"{each['window']} to {each['end']}: {count(len(each['shards']), 'shard')}"
    return f"{told}, {sized}" if sized else told


def _results(
    found: Aggregated, declaration: Declaration, at: datetime | None, group: str | None
) -> list[dict[str, Any]]:
    from aetherstream.aggregates.aggregate import Key
    from aetherstream.aggregates.partials import results
    from aetherstream.aggregates.windows import time_text
    from aetherstream.delivery.aggregates.places import GroupPlace, WindowPlace
    from aetherstream.delivery.aggregates.results import merged

    aggregate, scope, states = declaration.aggregate, found.scope(declaration), found.stores.states
    facts: list[dict[str, Any]] = []
    for window in _windows(found, declaration, at):
        place = WindowPlace(scope, window)
        if group is not None:
            groups: Any = [states.group(GroupPlace(scope, Key(aggregate.name, window, group)))]
        else:
            groups = states.window(place)
        for items in groups:
            for result in merged(aggregate, items):
                if at is not None and not result.window.start <= at.timestamp() < result.window.end:
                    continue
                facts.append(
                    {
                        "window": result.window.id,
                        "end": time_text(result.window.end),
                        "group": json.loads(result.key.group),
                        "results": results(aggregate, result.accs),
                        "version": result.version,
                        "shards": len({item.address.sk.split("#")[1] for item in items}),
                    }
                )
    return sorted(facts, key=lambda each: (each["window"], json.dumps(each["group"])))


def _windows(found: Aggregated, declaration: Declaration, at: datetime | None) -> Sequence[Window | None]:
    """The windows that hold a time; without one those that are open."""
    windows: Any = declaration.aggregate.windows
    if declaration.aggregate.gap is not None:
        return [None]
    if at is None:
        return list(found.stores.windows.due(found.scope(declaration), _LAST))
    return list(windows.assign(at.timestamp()))


def _result_line(each: dict[str, Any]) -> str:
    told = ", ".join(f"{name} {json.dumps(value, default=str)}" for name, value in each["results"].items())
    return f"{each['window']} {json.dumps(each['group'])}: {told} ({count(each['shards'], 'shard')})"


def _group(given: str | None) -> str | None:
    """The group as it is written in keys."""
    from aetherstream.aggregates.groups import comparable, group_text

    if given is None:
        return None
    try:
        parts = json.loads(given)
    except ValueError as error:
        raise UsageError(f"--group {given}: not JSON: {error}") from error
    if not isinstance(parts, list):
        raise UsageError(f"--group {given}: write a JSON array with a value for each part, such as '[\"AA\"]'")
    return group_text([comparable([part], {})[0] for part in parts])


def _tell(facts: Sequence[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str], nothing: str) -> None:
    if as_json:
        for each in facts:
            click.echo(json.dumps(each, default=str))
        return
    for each in facts[:LISTED]:
        click.echo(line(each))
    if len(facts) > LISTED:
        click.echo(f"… and {len(facts) - LISTED:,} more (--json prints all)")
    if not facts:
        click.echo(nothing)


# -- recompute ---------------------------------------------------------------------------------------------------------


def _time_of(found: Aggregated) -> Any:
    """How event times are read from the archive."""
    from msgspec import UnsetType

    from aetherstream.eventtime import EventTime

    declared = found.pipeline.file.event_time
    if isinstance(declared, UnsetType) or not declared.field:
        raise UsageError(
            "the pipeline names no `event_time`: its windows are over times of arrival, which the archive does not keep"
        )
    return EventTime(declared.field, declared.format)


def _places(found: Aggregated, sinks: Sequence[str]) -> Any:
    from aetherstream.compose import quarantine_of, sinks_of
    from aetherstream.recovery.recomputing import Places
    from aetherstream.recovery.refold import notes
    from aetherstream.transforms.mistakes import nearest

    archives = {sink.name: sink.target for sink in sinks_of(found.pipeline) if sink.rewrite is None}
    for name in sinks:
        if name not in archives:
            raise UsageError(f"--sink {name}: the pipeline has no s3 sink of that name{nearest(name, archives)}")
    if not archives:
        raise UsageError("the pipeline has no s3 sink: only the objects of one hold events that can be read again")
    quarantine = quarantine_of(found.pipeline).target
    return Places(
        [target for name, target in archives.items() if name in (sinks or archives)],
        quarantine,
        notes(quarantine.bucket, found.pipeline.name, found.stream),
    )


def _reader(found: Aggregated) -> Any:
    from aetherstream.commands.recovery import reader

    return reader(found.stack)
