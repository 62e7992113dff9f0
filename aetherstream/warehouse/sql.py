# ruff: noqa: S608 - names go through `identifier` and texts through `literal`; tests try to get past them
"""The SQL of a load: a stage, the COPY into it with its manifest, removing duplicates, and bringing it into the table.

Pure: text only. Names are checked and quoted, literals are quoted; whatever would need an escape is refused. Statements
run in one transaction, in the order of `load`; none of them commits it (TRUNCATE would).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from aetherstream.encoded import EVENT_ID
from aetherstream.errors import ConfigurationError
from aetherstream.objects import Compression
from aetherstream.warehouse.contract import Contract

Style = Literal["merge", "delete_insert"]
"""How upserts are brought into the table: by MERGE, or by DELETE and INSERT where MERGE can't."""

STAGE = "aether_stage"
"""Temporary table that COPY loads into; the table may not have its name."""
FRESH = "aether_fresh"
"""Temporary table of the rows that go into the table: each once, and none that is there already or is older."""
RANK = "aether_rank"

_LONGEST_NAME = 127
"""Redshift: bytes of a name."""
_ROLE = re.compile(r"arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_COMPRESSION = {"gzip": "GZIP", "zstd": "ZSTD"}


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object that a manifest names."""

    bucket: str
    key: str

    @property
    def url(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


def identifier(name: str) -> str:
    """Quote a name. Raises ConfigurationError for one that Redshift would fold, or would not take."""
    if not 1 <= len(name.encode("utf-8", "replace")) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"{name!r:.150} is no name: Redshift takes 1 to {_LONGEST_NAME} printable bytes")
    if name != name.lower():
        raise ConfigurationError(f"{name!r}: Redshift folds names to lower case, also quoted ones")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text. Raises ConfigurationError where it holds a backslash or what is not printable.

    Whether a backslash is an escape inside quotes differs between Redshift and PostgreSQL, so none gets there.
    """
    if "\\" in text or not text.isprintable():
        raise ConfigurationError(f"{text!r:.200} can't stand in SQL: it holds a backslash or a control character")
    return "'" + text.replace("'", "''") + "'"


def table_name(contract: Contract) -> str:
    """`"schema"."table"`."""
    return f"{identifier(contract.schema)}.{identifier(contract.table)}"


def check_role(role: str) -> None:
    """Raise ConfigurationError for what is neither the ARN of a role nor several with commas between."""
    if not all(map(_ROLE.fullmatch, role.split(","))):
        raise ConfigurationError(f"{role!r:.200} is no ARN of a role")


def manifest(objects: Iterable[ObjectRef]) -> bytes:
    """The manifest of a COPY: it loads exactly these objects, or fails.

    Raises ConfigurationError for no object, or one that is named twice: Redshift would load it twice.
    """
    urls = [found.url for found in objects]
    if not urls or len(set(urls)) < len(urls):
        raise ConfigurationError("a manifest names at least one object, and each once")
    # AWS: `mandatory` is false by default; a missing object would be passed over without a word.
    return orjson.dumps({"entries": [{"url": url, "mandatory": True} for url in urls]})


def create_stage(contract: Contract) -> str:
    """Make the stage: as the table is, with its distribution and its sort keys.

    With its defaults: a column of the table alone may not be null as long as it has one.
    """
    _check_names(contract)
    return f"CREATE TEMP TABLE {identifier(STAGE)} (LIKE {table_name(contract)} INCLUDING DEFAULTS)"


def copy(
    contract: Contract,
    manifest: ObjectRef,
    *,
    role: str | None,
    compression: Compression = "gzip",
    region: str | None = None,
) -> str:
    """Load the objects of a manifest into the stage.

    `role`: ARN, or several with commas between (a chain), None: the cluster's default role; `region`: of the bucket,
    where it is not the cluster's. Nothing is cut, replaced or passed over: the first wrong row ends the COPY. Raises
    ConfigurationError for a bucket, a role or a region that is none.
    """
    _check_names(contract)
    if not _BUCKET.fullmatch(manifest.bucket):
        raise ConfigurationError(f"{manifest.bucket!r:.150} is no bucket's name")
    if role is not None:
        check_role(role)
    if region is not None and not _REGION.fullmatch(region):
        raise ConfigurationError(f"{region!r:.100} is no AWS Region")
    parts = [
        f"COPY {identifier(STAGE)} ({_list(contract.names)})",
        f"FROM {literal(manifest.url)}",
        "IAM_ROLE DEFAULT" if role is None else f"IAM_ROLE {literal(role)}",
        f"REGION {literal(region)}" if region else "",
        "MANIFEST FORMAT AS JSON 'auto'",
        _COMPRESSION[compression],
        # Small loads into a table that has its encodings: neither is looked at again.
        "TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF MAXERROR 0",
    ]
    return " ".join(filter(None, parts))


def deduplicate(contract: Contract) -> list[str]:
    """Bring each row of the stage into the fresh rows once, without what the table has already.

    `append`: one row an event id. `upsert`: one row a key, of the newest version, the later position among equals; and
    none that is older than the table's. Of rows that are no events equal versions are equal: any of them is taken.
    """
    _check_names(contract)
    keys = contract.key if contract.mode == "upsert" else (EVENT_ID,)
    order = [f"{_column(STAGE, contract.version)} DESC"] if contract.mode == "upsert" else []
    if contract.events:
        order.append(f"{_position(STAGE)} DESC")
    inner = ", ".join(_column(STAGE, name) for name in contract.names)
    ranked = (
        f"SELECT {inner}, ROW_NUMBER() OVER (PARTITION BY {', '.join(_column(STAGE, key) for key in keys)}"
        f" ORDER BY {', '.join(order)}) AS {identifier(RANK)} FROM {identifier(STAGE)}"
    )
    return [
        f"CREATE TEMP TABLE {identifier(FRESH)} AS {_first(contract, ranked)}",
        f"DELETE FROM {identifier(FRESH)} USING {table_name(contract)} WHERE {_held(contract, keys)}",
    ]


def merge(contract: Contract, style: Style = "merge") -> list[str]:
    """Bring the fresh rows into the table."""
    _check_names(contract)
    if contract.mode == "append":
        return [_insert(contract)]
    match = _equal(contract, contract.key)
    if style == "delete_insert":
        return [f"DELETE FROM {table_name(contract)} USING {identifier(FRESH)} WHERE {match}", _insert(contract)]
    changed = [name for name in contract.names if name not in contract.key]
    statement = (
        f"MERGE INTO {table_name(contract)} USING {identifier(FRESH)} ON {match}"
        f" WHEN MATCHED THEN UPDATE SET {', '.join(f'{identifier(n)} = {_column(FRESH, n)}' for n in changed)}"
        f" WHEN NOT MATCHED THEN INSERT ({_list(contract.names)})"
        f" VALUES ({', '.join(_column(FRESH, name) for name in contract.names)})"
    )
    return [statement]


def drop_stage() -> list[str]:
    """Remove both temporary tables, so that a connection can be used again.

    In the transaction that made them: before, or after a rollback, a table of that name would be somebody else's.
    """
    return [f"DROP TABLE {identifier(name)}" for name in (STAGE, FRESH)]


def load(
    contract: Contract,
    manifest: ObjectRef,
    *,
    role: str | None,
    compression: Compression = "gzip",
    region: str | None = None,
    style: Style = "merge",
) -> list[str]:
    """Every statement between the ledger's check and its rows, in their order."""
    return [
        create_stage(contract),
        copy(contract, manifest, role=role, compression=compression, region=region),
        *deduplicate(contract),
        *merge(contract, style),
        *drop_stage(),
    ]


def _first(contract: Contract, ranked: str) -> str:
    columns, rank = _list(contract.names), identifier(RANK)
    return f"SELECT {columns} FROM ({ranked}) AS {identifier('aether_ranked')} WHERE {rank} = 1"


def _insert(contract: Contract) -> str:
    columns = _list(contract.names)
    return f"INSERT INTO {table_name(contract)} ({columns}) SELECT {columns} FROM {identifier(FRESH)}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(identifier, names))


def _column(table: str, name: str) -> str:
    return f"{identifier(table)}.{identifier(name)}"


def _equal(contract: Contract, keys: Sequence[str]) -> str:
    return " AND ".join(f"{_column(contract.table, key)} = {_column(FRESH, key)}" for key in keys)


def _held(contract: Contract, keys: Sequence[str]) -> str:
    """Whether the table makes a fresh row needless."""
    match = _equal(contract, keys)
    if contract.mode == "append":
        return match
    fresh, live = _column(FRESH, contract.version), _column(contract.table, contract.version)
    if not contract.events:
        return f"{match} AND {fresh} <= {live}"
    same = f"{fresh} = {live} AND {_position(FRESH)} <= {_position(contract.table)}"
    return f"{match} AND ({fresh} < {live} OR ({same}))"


def _position(table: str) -> str:
    """An event id as a text that sorts as the stream does: `shard:sequence:sub[:n]` with its numbers padded.

    Sequence numbers have up to 129 digits.
    """
    parts = [f"SPLIT_PART({_column(table, EVENT_ID)}, ':', {number})" for number in (1, 2, 3, 4)]
    padded = [f"LPAD({part}, {width}, '0')" for part, width in zip(parts[1:], (129, 10, 10), strict=True)]
    return "(" + " || ':' || ".join([parts[0], *padded]) + ")"


def _check_names(contract: Contract) -> None:
    """Columns are named by their table, without its schema: it may not be called as ours are."""
    if contract.table in (STAGE, FRESH):
        raise ConfigurationError(f"a table can't be called {contract.table}: a load uses the name")
