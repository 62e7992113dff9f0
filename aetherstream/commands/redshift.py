"""`aetherstream redshift`: tables of the Redshift sinks, wanted and live, and what became of the staged objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from aetherstream.commands import redshift_words as words
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.loader import Loader
from aetherstream.commands.pipeline import env_option
from aetherstream.commands.recovery import json_option
from aetherstream.commands.words import count
from aetherstream.errors import UsageError

Told = Mapping[str, Any]

sink_option = click.option("--sink", metavar="NAME", help="Only this sink; of results aggregates.AGGREGATE.to.SINK.")
pipeline_option = click.option(
    "--pipeline",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Connect from here, with this pipeline file; otherwise the loader function of the stack is asked.",
)
sql_option = click.option("--sql", is_flag=True, help="Print the statements too.")


@click.group(short_help="Tables of Redshift sinks, and their loads: show, plan, apply, mend.")
def redshift() -> None:
    """Look after the Redshift sinks: their tables, their loads, and the objects that did not load."""


@redshift.command()
@sink_option
@json_option
@on_a_stack
def show(*, sink: str | None, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show the queue of staged objects, and for each sink what is loaded, what was set aside, how its table stands."""
    answer = Loader(deployed()).ask({"do": "show", "sink": sink})
    for line in [json.dumps({"queue": answer["queue"]})] if as_json else words.queue(answer["queue"]):
        click.echo(line)
    _tell(answer["sinks"], as_json, words.shown)
    if "trouble" in answer["queue"]:
        sys.exit(1)


@redshift.command()
@click.option("--exit-code", is_flag=True, help="Exit with 1 also where the table only lacks what apply would do.")
@click.option(
    "--offline", is_flag=True, help="With --pipeline: print what makes the tables from nothing, and ask nobody."
)
@sql_option
@env_option
@pipeline_option
@sink_option
@json_option
@on_a_stack
def plan(
    *,
    sink: str | None,
    file: Path | None,
    env: tuple[str, ...],
    sql: bool,
    offline: bool,
    exit_code: bool,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Compare the tables with their contracts in the pipeline file: what apply would do, what it refuses and why.

    With --pipeline the file is the one that is named, and the connection is made from here: variables come from the
    shell, from --env, or with --stack from the stack's function. Exit code 1 where something is refused.
    """
    if offline:
        if file is None:
            raise UsageError("--offline is about a file: name it with --pipeline")
        from aetherstream.commands.redshift_direct import from_nothing

        for line in from_nothing(file, env, sink):
            click.echo(line)
        return
    told = _ask("plan", file, env, sink, deployed)
    _tell(told, as_json, partial(words.planned, sql=sql))
    if exit_code and any(each["changes"] for each in told):
        sys.exit(1)


@redshift.command()
@sql_option
@env_option
@pipeline_option
@sink_option
@json_option
@on_a_stack
def apply(
    *,
    sink: str | None,
    file: Path | None,
    env: tuple[str, ...],
    sql: bool,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    """Make what the tables lack of their contracts: table, new columns, wider VARCHARs; and the ledger of the loads.

    Nothing is lost by it: what would rewrite or remove something is refused, with the reason and the way out, and then
    nothing at all is done to that table. Exit code 1 where something is refused.
    """
    told = _ask("apply", file, env, sink, deployed)
    _tell(told, as_json, partial(words.applied, sql=sql))


@redshift.command()
@sink_option
@json_option
@on_a_stack
def failures(*, sink: str | None, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show the objects that were set aside, because Redshift refused them, in its own words; the latest first."""
    told = Loader(deployed()).ask({"do": "failures", "sink": sink})["sinks"]
    _tell(told, as_json, words.failed)


@redshift.command()
@click.argument("objects", nargs=-1, metavar="[OBJECT]...")
@click.option("--all", "every", is_flag=True, help="Every object that was set aside.")
@sink_option
@json_option
@on_a_stack
def retry(
    *, objects: tuple[str, ...], every: bool, sink: str | None, as_json: bool, deployed: Callable[[], Deployed]
) -> None:
    """Load objects again that were set aside (s3://bucket/key, as failures shows them), once their cause is mended.

    They are taken out of the ledger and announced to the loader; one that is refused again is set aside again.
    """
    if bool(objects) == every:
        raise UsageError("name the objects as `aetherstream redshift failures` does, or say --all")
    told = Loader(deployed()).ask({"do": "retry", "sink": sink, "objects": objects, "all": every})["sinks"]
    _tell(told, as_json, words.announced)


@redshift.command()
@click.option("--dry-run", is_flag=True, help="Say what is missing, and announce nothing.")
@sink_option
@json_option
@on_a_stack
def backfill(*, dry_run: bool, sink: str | None, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Announce the staged objects that the ledger does not know, so that they are loaded.

    For objects that were staged before the loader was there, whose notifications were lost, or whose ledger rows were
    removed to load them anew. Announcing an object twice does no harm.
    """
    told = Loader(deployed()).through(
        {"do": "backfill", "sink": sink, "dry_run": dry_run},
        lambda each: click.echo(f"{each['sink']}: {count(each['staged'], 'staged object')} so far", err=True),
    )
    _tell(told, as_json, partial(words.filled, dry_run=dry_run))


def _ask(
    do: str, file: Path | None, env: tuple[str, ...], sink: str | None, deployed: Callable[[], Deployed]
) -> Sequence[Told]:
    if file is not None:
        from aetherstream.commands.redshift_direct import ask

        return ask(do, file, env, sink, deployed)
    if env:
        raise UsageError("--env fills a pipeline file: name it with --pipeline")
    return list(Loader(deployed()).ask({"do": do, "sink": sink})["sinks"])


def _tell(told: Sequence[Told], as_json: bool, say: Callable[[Told], Iterator[str]]) -> None:
    for each in told:
        for line in [json.dumps(each)] if as_json else say(each):
            click.echo(line)
    if not told:
        click.echo("no Redshift sink of the pipeline is on", err=True)
    if any("trouble" in each or each.get("refusals") for each in told):
        sys.exit(1)
