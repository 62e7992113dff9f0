"""`aetherstream opensearch`: index template, lifecycle policy and first index of the sinks, wanted and live.

The index of an aggregate's results belongs to the sink by which they go.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aetherstream.commands.pipeline import env_option, environment, only_pipeline
from aetherstream.errors import Retryable, UsageError

if TYPE_CHECKING:
    from aetherstream.sinks.opensearch.options import OpenSearchOptions
    from aetherstream.sinks.opensearch.setup import Difference

Command = TypeVar("Command", bound=Callable[..., Any])

_ENDPOINT_VARIABLE = "AETHERSTREAM_OPENSEARCH_ENDPOINT"


def _chosen(command: Command) -> Command:
    """The options that say which sinks of which file are meant, and where its variables come from."""
    decorated: Any = command
    for option in (
        click.option("--profile", help="A profile of the AWS configuration."),
        click.option("--region", help="Region of the stack, and of signed requests; by default that of the profile."),
        click.option("--endpoint-url", help="Another endpoint than AWS's, e.g. that of the one-machine stack."),
        click.option("--stack", metavar="NAME", help="Take the variables for ${NAME} from this stack's function."),
        env_option,
        click.option("--sink", "sinks", multiple=True, metavar="NAME", help="Only this sink; repeat it for several."),
        click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@click.group(short_help="Index templates and policies: wanted, live, set up.")
def opensearch() -> None:
    """Index template, lifecycle policy and first index of a pipeline's OpenSearch sinks."""


@opensearch.command()
@_chosen
def show(
    *,
    file: Path | None,
    sinks: tuple[str, ...],
    env: tuple[str, ...],
    stack: str | None,
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
) -> None:
    """Print what the sinks want of their clusters, as the requests that would put it there; nothing is asked.

    For those who set clusters up with tools of their own.
    """
    _, variables = _surroundings(env, stack, endpoint_url, region, profile)
    for options in _options(file, sinks, variables):
        for line in _requests(options):
            click.echo(line)


@opensearch.command()
@click.option("--apply", is_flag=True, help="Put there what is missing or differs. Without this, only show it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON a sink.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where a cluster is not what the pipeline wants.")
@_chosen
def setup(
    *,
    file: Path | None,
    sinks: tuple[str, ...],
    env: tuple[str, ...],
    stack: str | None,
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    apply: bool,
    as_json: bool,
    exit_code: bool,
) -> None:
    """Compare what the sinks want with what their clusters have, line by line, live → wanted; and apply it.

    The function itself creates what is missing before its first write, and never changes what differs: that is done
    here. Where something stands in a sink's way that this can't settle, the exit code is 1.
    """
    from aetherstream.sinks.opensearch.connect import setup_of
    from aetherstream.sinks.opensearch.wire import Unreachable

    session, variables = _surroundings(env, stack, endpoint_url, region, profile)
    stuck = False
    for options in _options(file, sinks, variables):
        wanted = setup_of(options, session())
        try:
            found = wanted.check()
            settled = wanted.apply() if apply else []
        except Unreachable as error:
            raise Retryable(f"{options.name}: {options.endpoint} can't be reached: {error}") from error
        left = [difference for difference in found if difference not in settled]
        # What a cluster does not have at all nobody can mend: it is said, and that is all.
        mendable = [difference for difference in left if difference.state != "unsupported"]
        stuck = stuck or any(exit_code or difference.state in ("forbidden", "blocked") for difference in mendable)
        if as_json:
            done = [difference.what for difference in settled]
            facts = [{**asdict(difference), "applied": difference.what in done} for difference in found]
            click.echo(json.dumps({"sink": options.name, "endpoint": options.endpoint, "differences": facts}))
            continue
        for line in _lines(options, found, settled, apply=apply):
            click.echo(line)
    if stuck:
        sys.exit(1)


def _surroundings(
    env: tuple[str, ...], stack: str | None, endpoint_url: str | None, region: str | None, profile: str | None
) -> tuple[Callable[[], Any], dict[str, str]]:
    """What makes the boto3 session, and the variables for `${NAME}`."""
    if stack is not None:
        from aetherstream.commands.deployed import find

        deployed = find(stack, endpoint_url=endpoint_url, region=region, profile=profile)
        return lambda: deployed.session, environment(env, deployed.variables())

    def session() -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            return boto3.Session(profile_name=profile, region_name=region)
        except BotoCoreError as error:
            raise UsageError(str(error)) from error

    return session, environment(env)


def _options(file: Path | None, names: Sequence[str], variables: Mapping[str, str]) -> list[OpenSearchOptions]:
    from aetherstream.compose import opensearch_of
    from aetherstream.pipeline import load
    from aetherstream.transforms.mistakes import nearest

    file = file or only_pipeline()
    pipeline = load(file, variables)
    found = {options.name: options for options in opensearch_of(pipeline)}
    declared = [*found, *pipeline.switched_off]
    for name in names:
        if name not in declared:
            raise UsageError(f"{file} has no OpenSearch sink {name!r}{nearest(name, declared)}")
    off = [name for name in pipeline.switched_off if not names or name in names]
    for name in off:
        click.echo(f"{name}: switched off, because its endpoint is empty", err=True)
    chosen = [options for name, options in found.items() if not names or name in names]
    if pipeline.aggregates:
        from aetherstream.compose_aggregates import declarations_of
        from aetherstream.compose_results import result_indices_of

        # What goes by a sink is the sink's.
        results = result_indices_of(pipeline, declarations_of(pipeline))
        chosen += [options for options in results if not names or options.name.rpartition(".")[2] in names]
    if not chosen and off:
        raise UsageError(
            f"name the cluster with --env {_ENDPOINT_VARIABLE}=https://host (or as {file} calls it), or take what a"
            " stack has with --stack NAME"
        )
    if not chosen:
        raise UsageError(f"{file} has no OpenSearch sink")
    return chosen


def _requests(options: OpenSearchOptions) -> Iterator[str]:
    from aetherstream.sinks.opensearch.template import index_template, policy

    spec, serverless = options.spec, options.auth == "aoss"
    wanted: dict[str, dict[str, Any]] = {}
    if spec.managed and not serverless:
        wanted[f"_plugins/_ism/policies/{spec.template}"] = policy(spec)
    wanted[f"_index_template/{spec.template}"] = index_template(spec, ism=not serverless, serverless=serverless)
    if spec.kind == "alias":
        wanted[spec.first_index] = {"aliases": {spec.target: {"is_write_index": True}}}
    yield f"# {options.name}, at {options.endpoint}"
    for path, body in wanted.items():
        yield f"PUT /{path}\n{json.dumps(body, indent=2)}\n"


def _lines(
    options: OpenSearchOptions, found: Sequence[Difference], settled: Sequence[Difference], *, apply: bool
) -> Iterator[str]:
    yield f"{options.name}, at {options.endpoint}"
    done = {difference.what: "created" if difference.state == "missing" else "changed" for difference in settled}
    for difference in found:
        yield f"  {difference.what}: {done.get(difference.what, difference.state)}"
        yield from (f"    {line}" for line in difference.lines)
    if not found:
        yield "  the cluster has what the pipeline wants"
    if any(each.state == "differs" for each in settled):
        yield "  It holds for indices made from now on; those that stand keep what they were made with."
    if not apply and any(difference.state in ("missing", "differs") for difference in found):
        yield "  Nothing was changed. Add --apply to do it."
