"""What a schema can't say of a Redshift sink: its endpoint and credentials, and the contract of its table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from msgspec import UnsetType

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.model_sinks import Sink
from aetherstream.pipeline.warehouse import LOOPBACK, Endpoint, declared_table, endpoint
from aetherstream.warehouse.contract import mistakes, split_table
from aetherstream.warehouse.sql import FRESH, RANK, STAGE, check_role
from aetherstream.warehouse.types import ColumnType, column_type

_TAKEN_TABLES = frozenset({STAGE, FRESH, "aetherstream_loads", "aetherstream_tables", "aetherstream_turns"})
"""Tables that a load makes, and that the ledger is kept in."""
TablePlace = tuple[Endpoint | str, str, str]
"""Warehouse, schema and name of a table."""
_OF_MODE = frozenset({"key", "version"})


def check_redshift(sink: RedshiftSink, path: Path, document: Document) -> None:
    """Note what is wrong with a sink."""
    if not sink.is_off:
        _endpoint(sink, path, document)
        _credentials(sink, path, document)
    _copy_role(sink, path, document)
    _table(sink, path, document)


def check_tables(sinks: Mapping[str, Sink], document: Document) -> None:
    """Note sinks of one table: the ledger tells tables apart, and an event of both would be one row."""
    seen: dict[TablePlace, str] = {}
    for name, sink in sinks.items():
        if isinstance(sink.redshift, UnsetType) or document.lost(("sinks", name, "redshift", "endpoint")):
            continue
        place = table_place(sink.redshift, sink.redshift.table)
        if (other := seen.setdefault(place, name)) != name:
            document.add(
                ("sinks", name, "redshift", "table"),
                f"sinks.{other} loads into {sink.redshift.table!r} of this warehouse too; give each a table of its own",
            )


def table_place(sink: RedshiftSink, table: str) -> TablePlace:
    """Tell tables apart: that of this name in the warehouse of a sink."""
    where: Endpoint | str = sink.endpoint or ""
    with suppress(ValueError):
        where = endpoint(str(where))
    return where, *split_table(table)


def check_announced(
    sinks: Mapping[str, Sink],
    aggregates: Mapping[str, DeclaredAggregate],
    bucket: str,
    prefix: str,
    document: Document,
) -> None:
    """Note sinks and results whose objects the loader would never hear of: it hears of one prefix of one bucket."""
    for name, sink in sinks.items():
        if isinstance(sink.redshift, UnsetType) or sink.is_off:
            continue
        at = ("sinks", name, "redshift")
        if bucket and sink.redshift.bucket != bucket:
            document.add((*at, "bucket"), f"the loader only hears of objects in {bucket!r}, the stack's own bucket")
        staged: list[tuple[Path, object]] = [(at, sink.redshift.prefix)]
        staged += [
            (("aggregates", one, "to", name), to.to[name].prefix) for one, to in aggregates.items() if name in to.to
        ]
        for path, below in staged:
            if not f"{below}/".startswith(f"{prefix.rstrip('/')}/"):
                document.add(
                    (*path, "prefix"),
                    f"{below!r} is not below {prefix!r}, and the loader only hears of objects there: change"
                    " one of them (the template's parameter is RedshiftStagingPrefix)",
                )


def _endpoint(sink: RedshiftSink, path: Path, document: Document) -> None:
    at = (*path, "endpoint")
    if not sink.endpoint:
        document.add(at, "is empty; give host/database, or `optional: true`, which switches the sink off then")
        return
    try:
        host = endpoint(sink.endpoint).host
    except ValueError as error:
        document.add(at, str(error))
        return
    if sink.tls == "off" and host not in LOOPBACK and not document.lost(at):
        document.add((*path, "tls"), f"`off` would send everything to {host} unencrypted; it is for this machine only")


def _credentials(sink: RedshiftSink, path: Path, document: Document) -> None:
    def lost(*names: str) -> bool:
        return any(document.lost((*path, name)) for name in names)

    if sink.auth == "secret" and not sink.secret and not lost("auth", "secret"):
        document.add((*path, "auth"), "`auth: secret` needs `secret`, the name or ARN of a Secrets Manager secret")
    if sink.auth == "password" and not lost("auth", "username", "password"):
        lacks = [name for name in ("username", "password") if not getattr(sink, name)]
        if lacks:
            document.add((*path, "auth"), f"`auth: password` lacks {' and '.join(f'`{name}`' for name in lacks)}")
    if lost("workgroup", "cluster"):
        return
    if sink.workgroup and sink.cluster:
        document.add((*path, "cluster"), "only one of `workgroup` and `cluster` may stand here", on_key=True)
    by_api = sink.load.through == "data_api" and not lost("load")
    by_role = sink.auth == "iam" and not lost("auth")
    if not sink.workgroup and not sink.cluster and (by_role or by_api):
        who, where = ("`auth: iam`", ("auth",)) if by_role else ("`through: data_api`", ("load", "through"))
        document.add((*path, *where), f"{who} needs `workgroup` (Redshift Serverless) or `cluster` (provisioned)")
    if by_role and sink.workgroup and not sink.cluster and sink.username:
        document.add((*path, "username"), "belongs to `cluster`; in a workgroup a role is its own user", on_key=True)
    if by_api and sink.auth == "password" and not lost("auth"):
        document.add((*path, "auth"), "`through: data_api` takes no password; use `auth: secret` or `auth: iam`")


def _copy_role(sink: RedshiftSink, path: Path, document: Document) -> None:
    if not sink.copy_role:
        return
    try:
        check_role(sink.copy_role)
    except ConfigurationError as error:
        document.add((*path, "copy_role"), str(error))


def _table(sink: RedshiftSink, path: Path, document: Document) -> None:
    def read(column: str, text: str) -> ColumnType:
        try:
            return column_type(text)
        except ValueError as error:
            short = isinstance(sink.columns[column], str)
            document.add((*path, "columns", column) if short else (*path, "columns", column, "type"), str(error))
            # What this column can't be because of its type is not known then.
            return ColumnType("super") if column == sink.unknown else ColumnType("varchar", length=1)

    declared = declared_table(sink, read)
    unclear = document.lost((*path, "columns"))
    of_mode = document.lost((*path, "mode"))
    for place, message in (*mistakes(declared), *taken(declared.table, sink.columns)):
        where = ("table", *place[1:]) if place[0] == "schema" else place
        if unclear and where[0] not in ("table", "columns"):
            continue  # it may hang on a column that is lost
        if of_mode and where[0] in _OF_MODE:
            continue
        document.add((*path, *where), message, on_key=where[0] == "columns" and len(where) == 2)


def taken(table: str, columns: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What names of a table and its columns collide with: where, and what."""
    if table in _TAKEN_TABLES:
        yield ("table",), f"{table!r} is a table of AetherStream's own; give this one another name"
    if RANK in columns:
        yield ("columns", RANK), f"a load uses the name {RANK}; give the column another name, and the field with `from`"
