"""`aetherstream quarantine list | show | export | replay | discard`: records that were refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import click

from aetherstream.commands.answers import Answer, Teller
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.quarantined import Selection, Totals, units
from aetherstream.commands.recovery import Recovery, json_option, patiently, wait_option, who, why_option, yes_option
from aetherstream.commands.words import count
from aetherstream.errors import UsageError

if TYPE_CHECKING:
    from aetherstream.recovery.patch import Patch

_fingerprints = click.option("--fingerprint", "fingerprints", multiple=True, metavar="F", help="Only this cause.")
_where = click.option(
    "--where", metavar="EXPR", help="Only envelopes for which this holds; `record` is the decoded record."
)


@click.group(short_help="Records that were refused: show, mend, bring back.")
def quarantine() -> None:
    """Look at quarantined records by cause, mend them, bring them back, or discard them.

    Nothing is removed: what was done is marked, and stands in the audit trail.
    """


@quarantine.command("list")
@_fingerprints
@_where
@click.option("--all", "everything", is_flag=True, help="Also causes of which nothing is waiting any more.")
@json_option
@on_a_stack
def list_(
    *,
    fingerprints: tuple[str, ...],
    where: str | None,
    everything: bool,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Show the causes: how many records of each, first and last seen, and an example."""
    from aetherstream.recovery.envelopes import grouped

    stack = deployed()
    selection = Selection(stack, Recovery(stack).about, fingerprints, where)
    groups = grouped((envelope, state) for _, envelope, state in selection.each())
    selection.complain()
    shown = [group for group in groups.values() if group.waiting or everything]
    for group in sorted(shown, key=lambda group: (-group.waiting, group.example.fingerprint)):
        facts = group.as_json()
        if as_json:
            click.echo(json.dumps(facts))
            continue
        done = "".join(f", {facts[state]} {state}" for state in ("replayed", "discarded") if facts[state])
        click.echo(f"{facts['fingerprint']}  {facts['waiting']} waiting{done}  {facts['stage']}: {facts['reason']}")
        click.echo(f"  arrived {facts['first']} to {facts['last']}, refused by {facts['where']}")
        click.echo(f"  for example {facts['example']['id']}: {facts['example']['message'][:300]}")
    if not as_json:
        waiting = sum(group.waiting for group in groups.values())
        click.echo(f"{count(waiting, 'envelope')} waiting, of {count(len(shown), 'cause')}")


@quarantine.command()
@click.argument("named")
@click.option("--limit", type=click.IntRange(1), default=5, show_default=True, help="At most so many.")
@json_option
@on_a_stack
def show(*, named: str, limit: int, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show envelopes with their records, by fingerprint (or its beginning) or by id."""
    stack = deployed()
    selection = Selection(stack, Recovery(stack).about)
    shown = 0
    for key, envelope, state in selection.each():
        if not (envelope.fingerprint.startswith(named) or envelope.id == named):
            continue
        text = envelope.payload().decode("utf-8", "backslashreplace")
        facts = {"state": state, "object": key, **envelope.as_json(), "record": text}
        if as_json:
            click.echo(json.dumps(facts))
        else:
            for name, value in facts.items():
                if name not in {"data", "alone"}:
                    click.echo(f"{name:<14} {value}")
            click.echo()
        shown += 1
        if shown == limit:
            break
    if not shown:
        raise UsageError(f"no envelope has a fingerprint or id {named!r}: `aetherstream quarantine list` shows them")


@quarantine.command()
@_fingerprints
@_where
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed or discarded.")
@click.option("--raw", is_flag=True, help="The records' own bytes, one a line, instead of the envelopes.")
@click.option("--out", type=click.File("wb"), default="-", help="A file; by default standard output.")
@on_a_stack
def export(
    *,
    fingerprints: tuple[str, ...],
    where: str | None,
    everything: bool,
    raw: bool,
    out: IO[bytes],
    deployed: Callable[[], Deployed],
) -> None:
    """Write envelopes as NDJSON, or the records' own bytes."""
    stack = deployed()
    selection = Selection(stack, Recovery(stack).about, fingerprints, where)
    written = 0
    for _, envelope, state in selection.each():
        if state == "waiting" or everything:
            line = envelope.payload() if raw else json.dumps({**envelope.as_json(), "state": state}).encode()
            out.write(line.rstrip(b"\n") + b"\n")
            written += 1
    selection.complain()
    click.echo(f"{count(written, 'envelope')} written", err=True)


class _Asks(Protocol):
    def ask(self, request: dict[str, Any], /) -> Answer: ...


@quarantine.command()
@_fingerprints
@_where
@click.option("--patch", "named_patch", metavar="PATCH", help="Mend records first: module:function, or a YAML file.")
@click.option(
    "--pipeline",
    "candidate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Run them through this file, on this machine, instead of the deployed pipeline.",
)
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="With --pipeline: a variable for ${NAME}.")
@yes_option
@wait_option
@why_option
@json_option
@on_a_stack
def replay(
    *,
    fingerprints: tuple[str, ...],
    where: str | None,
    named_patch: str | None,
    candidate: Path | None,
    env: tuple[str, ...],
    yes: bool,
    wait: int,
    why: str | None,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Run quarantined records through the pipeline as it is deployed now, or through a candidate file.

    What passes is delivered, to each sink what it does not hold, and marked; what is refused stays. A patch function
    takes the record's bytes and its envelope, and returns bytes, or None to leave it; a YAML file holds `transforms:`.
    """
    from aetherstream.commands.pipeline import importable

    stack = deployed()
    recovery = Recovery(stack, wait=wait)
    patch = None
    if named_patch:
        from aetherstream.recovery.patch import patch_of

        importable()
        patch = patch_of(named_patch)
    asked: _Asks = recovery if candidate is None else _local(stack, recovery, candidate, env, wait)
    selection = Selection(stack, recovery.about, fingerprints, where)
    _run("quarantine replay", selection, asked, patch, yes=yes, why=why, as_json=as_json)


@quarantine.command()
@_fingerprints
@_where
@yes_option
@why_option
@json_option
@on_a_stack
def discard(
    *,
    fingerprints: tuple[str, ...],
    where: str | None,
    yes: bool,
    why: str | None,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Mark quarantined records as given up. They stay in their objects, and `list --all` still counts them."""
    if not fingerprints and not where:
        raise UsageError("say which: --fingerprint F (repeat it for several), or --where EXPR (`--where true`: all)")
    stack = deployed()
    recovery = Recovery(stack)
    selection = Selection(stack, recovery.about, fingerprints, where)
    _run("quarantine discard", selection, recovery, None, yes=yes, why=why, as_json=as_json)


def _run(
    do: str,
    selection: Selection,
    asked: _Asks,
    patch: Patch | None,
    *,
    yes: bool,
    why: str | None,
    as_json: bool,
) -> None:
    totals = Totals()
    teller = Teller(dry_run=not yes, as_json=as_json)
    for objects_, patched, fingerprints in units(selection, patch, totals):
        request = {"do": do, "objects": objects_, "fingerprints": fingerprints, "dry_run": not yes, "why": why}
        if patch is not None:
            request["patched"] = patched
        answer = asked.ask(request)
        totals.finished += answer.get("finished", answer.get("records", 0))
        teller.tell(answer)
    selection.complain()
    word = "discarded" if do.endswith("discard") else "delivered, or found delivered"
    mended = f"; {totals.unmended:,} not mended by the patch" if totals.unmended else ""
    teller.end(f"{count(totals.finished, 'record')} {'' if yes else 'would be '}{word}{mended}")


def _local(stack: Deployed, recovery: Recovery, candidate: Path, env: tuple[str, ...], wait: int) -> _Asks:
    """The candidate's recovery on this machine, with the deployed stack's stores."""
    from concurrent.futures import ThreadPoolExecutor

    from aetherstream.app import aggregation_for
    from aetherstream.commands.core import fetch
    from aetherstream.commands.pipeline import environment, importable
    from aetherstream.compose import tables_of
    from aetherstream.delivery.dynamodb import DynamoProgress
    from aetherstream.delivery.s3 import S3Reader, S3Store
    from aetherstream.pipeline import load
    from aetherstream.recovery_app import service_of
    from aetherstream.settings import from_environment

    importable()
    deployed = {"AETHERSTREAM_BUCKET": stack.output("BucketName")}
    variables = {**environment(env), **deployed, "AETHERSTREAM_PIPELINE": str(candidate), "LAMBDA_TASK_ROOT": ""}
    pipeline = load(candidate, variables)
    if pipeline.name != recovery.about["pipeline"]:
        raise UsageError(
            f"{candidate} is the pipeline {pipeline.name!r}, the deployed one is {recovery.about['pipeline']!r}: "
            "positions and marks are a pipeline's own"
        )
    s3 = stack.client("s3")
    executor = ThreadPoolExecutor(8)
    theirs = stack.variables() if pipeline.aggregates else {}  # says where the states are
    settings = from_environment({**os.environ, **theirs, **variables})
    service = service_of(
        pipeline,
        tables_of(pipeline, fetch),
        settings,
        store=S3Store(s3),
        reader=S3Reader(s3),
        progress=DynamoProgress(stack.client("dynamodb"), stack.output("ProgressTableName")),
        executor=executor,
        reread=_not_here,
        aggregation=aggregation_for(pipeline, settings, cast("Any", stack), s3, executor),
    )

    class Local:
        def ask(self, request: dict[str, Any], /) -> Answer:
            asked = {**request, "by": f"{who()} with {candidate}"}
            return patiently(lambda: service.handle(asked), wait)

    return Local()


def _not_here(_: Any) -> Any:
    raise UsageError("a candidate file is for quarantined records")
