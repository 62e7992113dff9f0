"""`aetherstream breaker show | open | close | drain`: what stands between the pipeline and a sink that is down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from aetherstream.commands.called import Called
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.recovery import json_option, who, yes_option
from aetherstream.commands.words import count, span
from aetherstream.errors import UsageError

SECONDS = 300
"""How long the drain function runs at most."""

_STATES = {"closed": "closed", "open": "OPEN", "half_open": "half open"}
why_option = click.option("--why", metavar="TEXT", help="A reason, shown with the state.")
_sink_argument = click.argument("sink")


@click.group(short_help="Circuit breakers of sinks, and what is spilled: show, open, close, drain.")
def breaker() -> None:
    """Look at the circuit breakers of the sinks that spill (`on_outage: spill`), and turn them by hand."""


@breaker.command()
@json_option
@on_a_stack
def show(*, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show each breaker: its state, since when and why, and what is spilled."""
    _tell(_ask(deployed(), {"do": "show"}), as_json, _state)


@breaker.command("open")
@_sink_argument
@yes_option
@why_option
@json_option
@on_a_stack
def open_(*, sink: str, yes: bool, why: str | None, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Open a sink's breaker, for example before its cluster is upgraded: its events are spilled until it is closed."""
    _turn(deployed(), "open", sink, _OPENING, yes=yes, why=why, as_json=as_json)


@breaker.command()
@_sink_argument
@yes_option
@why_option
@json_option
@on_a_stack
def close(*, sink: str, yes: bool, why: str | None, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Close a sink's breaker: its events go to it again, from the next batches on."""
    _turn(deployed(), "close", sink, _CLOSING, yes=yes, why=why, as_json=as_json)


@breaker.command()
@click.argument("sink", required=False)
@click.option("--now", is_flag=True, help="Try an open sink at once, without waiting until a probe is due.")
@json_option
@on_a_stack
def drain(*, sink: str | None, now: bool, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Run the drain now, instead of with its next minute, and say what it did. Running it twice does no harm."""
    _tell(_ask(deployed(), {"do": "drain", "sink": sink, "now": now}), as_json, _done)


_OPENING = (
    "Within half a minute every process of the stream function stops asking the sink, and its events are spilled.",
    "The other sinks go on. Nothing is drained and nothing is probed until `aetherstream breaker close` closes it.",
)
_CLOSING = (
    "Within seconds the stream function sends the sink's events to it again; if it fails, the breaker opens again.",
    "What is spilled stays where it is, and the drain goes on bringing it, oldest first.",
)


def _turn(
    stack: Deployed, do: str, sink: str, consequences: tuple[str, ...], *, yes: bool, why: str | None, as_json: bool
) -> None:
    before = _ask(stack, {"do": "show", "sink": sink})
    if not as_json or not yes:
        _tell(before, as_json, _state)
    if not as_json:
        for line in consequences:
            click.echo(line)
    if not yes:
        click.echo("Nothing was changed. Add --yes to do it.", err=as_json)
        return
    _tell(_ask(stack, {"do": do, "sink": sink, "why": why}), as_json, _state)


def _ask(stack: Deployed, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the drain function. Raises UsageError and Retryable with what it, or Lambda, said."""
    if "DrainFunctionName" not in stack.outputs:
        raise UsageError(
            f"the stack {stack.name} has no drain function: no sink of it can spill. It gets one with the parameter "
            "OpenSearchEndpoint or OpenSearchCreate"
        )
    function = Called(stack, "drain", stack.output("DrainFunctionName"), SECONDS)
    return function.ask({**request, "by": who()})


def _tell(
    answer: Mapping[str, Any], as_json: bool, words: Callable[[Mapping[str, Any], datetime], Iterator[str]]
) -> None:
    now = datetime.now(UTC)
    for sink in answer["sinks"]:
        for line in [json.dumps(sink)] if as_json else words(sink, now):
            click.echo(line)
    if not answer["sinks"]:
        click.echo("no sink of the pipeline spills", err=True)
    for prefix, objects in answer["orphans"].items():
        click.echo(
            f"ORPHANED  {prefix}: {count(objects, 'object')} of a sink that spills no more; put the sink back into the "
            "pipeline file to drain them, or move them away",
            err=True,
        )


def _state(sink: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """How a breaker and its spill stand."""
    held = ", held by hand" if sink["held"] else ""
    since = f" since {sink['since']} ({_ago(sink['since'], now)})" if sink["since"] else ""
    why = f", by {sink['by']}: {sink['why']}" if sink["why"] else ""
    yield f"{sink['sink']}: {_STATES[sink['state']]}{held}{since}{why}"
    if sink["probe_at"]:
        failed = f", {count(sink['failed_probes'], 'probe')} failed" if sink["failed_probes"] else ""
        yield f"  next probe: {sink['probe_at']}{failed}"
    yield f"  {_spill(sink)}"
    yield from _unusable(sink)


def _spill(sink: Mapping[str, Any]) -> str:
    if not sink["objects"]:
        return "nothing is spilled"
    documents = ""
    if "documents" in sink:
        at_least = "at least " if sink["counted"] < sink["objects"] else ""
        documents = f" with {at_least}{count(sink['documents'], 'document')}"
    age = f", the oldest {span(sink['oldest'])} old" if sink["oldest"] is not None else ""
    place = f" in {sink['spill']}" if "spill" in sink else ""
    return f"spilled: {count(sink['objects'], 'object')}{documents}, {sink['bytes']:,} bytes{age}{place}"


def _done(sink: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """What a drain did."""
    refused = f", {count(sink['rejected'], 'document')} refused and in the quarantine" if sink["rejected"] else ""
    yield (
        f"{sink['sink']}: {count(sink['drained'], 'document')} delivered{refused}, "
        f"{count(sink['emptied'], 'object')} done"
    )
    for name in ("stopped", "trouble"):
        if sink[name]:
            yield f"  {name}: {sink[name]}"
    if sink["unfinished"]:
        yield f"  {count(sink['unfinished'], 'object')} not final yet: their shard's mark has not passed them"
    if sink["left"]:
        yield f"  {count(sink['left'], 'object')} left: the sink does not take every document of them now"
    if sink["state"] is not None:
        for line in _state(sink, now):
            yield f"  {line}"


def _unusable(sink: Mapping[str, Any]) -> Iterator[str]:
    for message in sink["unusable"]:
        yield f"  UNUSABLE  {message}"
    more = sink["unusables"] - len(sink["unusable"])
    if more > 0:
        yield f"  and {more} more"


def _ago(time: str, now: datetime) -> str:
    return f"{span((now - datetime.fromisoformat(time)).total_seconds())} ago"
