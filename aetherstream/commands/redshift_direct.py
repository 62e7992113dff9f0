"""A pipeline file's tables without a stack: compared and changed by a connection from here, or printed from nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from aetherstream.commands.deployed import Deployed
from aetherstream.commands.pipeline import environment
from aetherstream.errors import UsageError

if TYPE_CHECKING:
    import boto3

    from aetherstream.warehouse.options import LoadTarget

SECONDS = 600.0
"""How long a question to a warehouse may take: a change of a table waits for the load that runs."""

_ENDPOINT = "AETHERSTREAM_REDSHIFT_ENDPOINT"
_OFFLINE = {_ENDPOINT: "nobody.is.asked/dev", "AETHERSTREAM_REDSHIFT_SECRET": "none"}
"""What the template sets by itself, for those who ask nobody."""


def ask(
    do: str, file: Path, env: tuple[str, ...], sink: str | None, deployed: Callable[[], Deployed]
) -> list[Mapping[str, Any]]:
    """Answer `plan` or `apply` as the loader function does (`aetherstream.loader.by_hand`)."""
    context = click.get_current_context()
    is_named = context.get_parameter_source("stack") is ParameterSource.COMMANDLINE
    targets = _targets(file, sink, environment(env, deployed().variables() if is_named else None))
    from aetherstream.loader.told import applied, planned
    from aetherstream.loader_app import warehouse_of

    session = _Session(context.params["profile"], context.params["region"], context.params["endpoint_url"])
    answer = applied if do == "apply" else planned
    told: list[Mapping[str, Any]] = []
    for target in targets:
        with closing(warehouse_of(target, cast("boto3.Session", session))) as warehouse:
            told.append(answer(target, warehouse, SECONDS))
    return told


def from_nothing(file: Path, env: tuple[str, ...], sink: str | None) -> Iterator[str]:
    """The statements that make schemas, tables and ledgers where there is nothing."""
    from aetherstream.loader.catalogue import compare

    seen: set[str] = set()
    for target in _targets(file, sink, {**_OFFLINE, **environment(env)}):
        yield f"-- {target.sink}"
        for change in compare(target.contract, lambda _: []).changes:
            if change.statement not in seen:  # tables of one schema share a ledger
                yield f"{change.statement};"
            seen.add(change.statement)


class _Session:
    """As much of a boto3 session as a warehouse needs, at another endpoint where one is given."""

    def __init__(self, profile: str | None, region: str | None, endpoint_url: str | None) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            self._session = boto3.Session(profile_name=profile, region_name=region)
        except BotoCoreError as error:
            raise UsageError(str(error)) from error
        self._endpoint_url = endpoint_url

    def client(self, service: Any, **more: Any) -> Any:
        """See `boto3.Session.client`."""
        from botocore.exceptions import BotoCoreError

        try:
            return self._session.client(service, endpoint_url=self._endpoint_url, **more)
        except BotoCoreError as error:
            raise UsageError(f"{error}: name the Region with --region, or a profile with --profile") from error


def _targets(file: Path, sink: str | None, variables: Mapping[str, str]) -> list[LoadTarget]:
    from msgspec import UnsetType

    from aetherstream.compose_loads import load_targets_of
    from aetherstream.pipeline import load
    from aetherstream.transforms.mistakes import nearest

    pipeline = load(file, variables)
    targets = load_targets_of(pipeline)
    off = [
        name
        for name in pipeline.switched_off
        if not isinstance(pipeline.sinks[name].redshift, UnsetType)
        and (sink in (None, name) or str(sink).endswith(f".to.{name}"))
    ]
    chosen = [target for target in targets if sink in (None, target.sink)]
    for name in off:
        click.echo(f"{name}: switched off, because its endpoint is empty", err=True)
    if not chosen and off:
        raise UsageError(
            f"name the warehouse with --env {_ENDPOINT}=host:port/database (or as {file} calls it), or take what a "
            "stack has with --stack NAME"
        )
    if not chosen:
        names = [target.sink for target in targets]
        raise UsageError(f"{file} has no Redshift sink" + (f" {sink!r}{nearest(sink, names)}" if sink else ""))
    return chosen
