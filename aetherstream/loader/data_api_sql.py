# ruff: noqa: S608 - names go through `identifier`, values through `quoted`; tests try to get past them
"""A load as one batch of the Data API: its statements, checks that fail it, and what its failure means. Pure.

A batch can't look at a result and decide, so what a connection would decide is a statement that divides by zero. Values
stand in the text: how many parameters a batch may have is not documented, and they can't be empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

from aetherstream.errors import ConfigurationError
from aetherstream.loader.failures import Refused
from aetherstream.loader.ledger import LOADS, TABLES, Ledger, Query
from aetherstream.loader.parts import Entry, Staged
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import (
    STAGE,
    ObjectRef,
    copy,
    create_stage,
    deduplicate,
    drop_stage,
    identifier,
    literal,
    merge,
)

MOST_STATEMENTS = 40
"""AWS: statements of a batch."""
MOST_TEXT = 90_000
"""Bytes of a statement. AWS: 100 KB."""
MOST_NAMED = 250_000
"""Bytes of the locations and ETags of one load: its statements stay below their number, its item below 400 KB."""

Step = Literal["guard", "noted", "count", "COPY", ""]
"""What a statement of a load is for, as far as its failure means something of its own."""

_T = TypeVar("_T")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
_SPECIAL = re.compile(r"([\\\x01-\x1f\x7f])")
_STEP = re.compile(r"\s*(?:SELECT '(guard|noted|count)'|(COPY)\b)")
_FAILED = re.compile(r"\A\s*(?:Query #\d+ failed with\s*)?(?:ERROR|FATAL)?:?\s*", re.IGNORECASE)
_DETAIL = re.compile(r"\n\s*Detail:|\bDetail:", re.IGNORECASE)
_POSITION = re.compile(r"\n\s*(Position|Hint|Where):.*\Z", re.DOTALL)
# The Data API says no SQLSTATE: what would be told by it alone is told by its words.
_CODES = (
    (re.compile(r"syntax error at|not supported by", re.IGNORECASE), "42601"),
    (re.compile(r"authentication failed|(database|user|role) \"?[^\"]*\"? does not exist", re.IGNORECASE), "28000"),
    (re.compile(r"null value in column|violates not-null|cannot insert a null", re.IGNORECASE), "23502"),
)


def quoted(text: str) -> str:
    """A text as an expression. Raises ConfigurationError for what Redshift could read otherwise than it stands there.

    What `literal` refuses of ASCII is named by its number.
    """
    parts = [
        f"CHR({ord(part)})" if _SPECIAL.fullmatch(part) else literal(part) for part in _SPECIAL.split(text) if part
    ]
    return parts[0] if len(parts) == 1 else f"({' || '.join(parts)})" if parts else "''"


def printable(text: str) -> str:
    """A text for a person, without what `quoted` refuses."""
    return "".join(each if each.isprintable() or _SPECIAL.fullmatch(each) else "?" for each in text)


def spelled(query: Query) -> str:
    """A statement with its parameters in their places. Raises ConfigurationError like `quoted`."""
    return _PARAMETER.sub(lambda found: quoted(query.parameters[found[1]]), query.sql)


def texts(make: Callable[[Sequence[_T]], Iterable[Query]], items: Sequence[_T]) -> list[str]:
    """The statements about these items, in so many that each is short enough.

    Raises ConfigurationError where one item alone is too much.
    """
    made = [spelled(query) for query in make(items)] if items else []
    if all(len(text.encode()) <= MOST_TEXT for text in made):
        return made
    if len(items) == 1:
        raise ConfigurationError(f"a statement about {items[0]!r:.200} has more than {MOST_TEXT} bytes")
    half = len(items) // 2
    return [*texts(make, items[:half]), *texts(make, items[half:])]


def fitting(objects: Iterable[Staged], most: int) -> list[Staged]:
    """The first objects that one load can name: at most so many, and at least one."""
    chosen: list[Staged] = []
    size = 0
    for staged in objects:
        size += len(staged.location.encode()) + len(staged.etag)
        if chosen and (len(chosen) >= most or size > MOST_NAMED):
            break
        chosen.append(staged)
    return chosen


def batch(target: LoadTarget, load: str, objects: Sequence[Staged], manifest: ObjectRef) -> list[str]:
    """The statements of a load, which are one transaction; the same for the same arguments.

    It fails, and does nothing, where the ledger knows one of the objects: so a second submission of the same load, or
    of another with an object of this one, does nothing. The ledger's rows come first: they say which objects are meant.
    """
    contract = target.contract
    ledger = Ledger(contract)
    entries = [Entry(each.location, each.etag, "loaded", load, 0.0, each.rows or 0) for each in objects]
    loading = copy(
        contract, manifest, role=target.copy_role, compression=objects[0].compression, region=target.bucket_region
    )
    made = [
        spelled(ledger.lock()),
        spelled(ledger.raise_turn()),
        _noted(target, ledger),
        *texts(lambda part: ledger.add(load, part), entries),
        guard(target.contract, load),
        create_stage(contract),
        loading,
        *_count(target.contract, load, objects),
        *deduplicate(contract),
        *merge(contract, target.style),
        *drop_stage(),
    ]
    if len(made) > MOST_STATEMENTS:
        raise ConfigurationError(f"a load of {len(objects)} objects has {len(made)} statements: set fewer `objects`")
    return made


def step_of(statement: str) -> Step:
    """What a statement of `batch` is for."""
    found = _STEP.match(statement)
    if found is None:
        return ""
    return "COPY" if found[2] else next(step for step in _CHECKS if step == found[1])


def guard(contract: Contract, load: str) -> str:
    """A check that fails where the ledger has other rows of this load's objects than one each, of this load."""
    loads = f"{identifier(contract.schema)}.{identifier(LOADS)}"
    named = {"target": contract.table, "load": load}
    mine = spelled(Query(f'SELECT "object" FROM {loads} WHERE "target" = :target AND "load_id" = :load', named))
    of_table = spelled(Query('"target" = :target', named))
    check = _unless('COUNT(*) <> COUNT(DISTINCT "object")')
    return f"SELECT 'guard', {check} FROM {loads} WHERE {of_table} AND \"object\" IN ({mine})"


def load_errors(target: LoadTarget, seconds: int) -> Query:
    """The rows of `sys_load_error_detail` of the last seconds about the sink's objects, for `failures.details`."""
    place = target.staging
    return Query(
        "SELECT file_name, column_name, column_type, line_number, error_message FROM sys_load_error_detail"
        f" WHERE start_time >= GETDATE() - INTERVAL '{int(seconds)} seconds'"
        f" AND POSITION(:place IN file_name) = 1 ORDER BY start_time LIMIT 5000",
        {"place": f"s3://{place.bucket}/{place.prefix}/"},
    )


def refused(text: str, doing: str = "") -> Refused:
    """What the Data API says of a statement, as the connection would say it; `doing`: for a person."""
    words = _POSITION.sub("", _FAILED.sub("", text))
    found = _DETAIL.search(words)
    message, detail = (words, "") if found is None else (words[: found.start()], words[found.end() :])
    code = next((code for found, code in _CODES if found.search(message)), "")
    made = Refused({"C": code, "M": message.strip(), "D": detail.strip()})
    made.doing = doing
    return made


_CHECKS: tuple[Literal["guard", "noted", "count"], ...] = ("guard", "noted", "count")


def _noted(target: LoadTarget, ledger: Ledger) -> str:
    """Fails where the table is not noted in the way that it is kept."""
    tables = f"{identifier(target.contract.schema)}.{identifier(TABLES)}"
    where = spelled(
        Query('"target" = :target AND "mode" = :mode', {"target": target.contract.table, "mode": ledger.mode})
    )
    return f"SELECT 'noted', {_unless('COUNT(*) = 0')} FROM {tables} WHERE {where}"


def _count(contract: Contract, load: str, objects: Sequence[Staged]) -> Iterator[str]:
    """Fails where COPY has read another number of rows than the metadata say.

    Of a single object whose metadata say nothing, what is left is noted; of several, nothing is known.
    """
    silent = [staged for staged in objects if staged.rows is None]
    said = sum(staged.rows or 0 for staged in objects)
    if not silent:
        yield f"SELECT 'count', {_unless(f'COUNT(*) <> {said}')} FROM {identifier(STAGE)}"
    if len(silent) == 1:
        loads = f"{identifier(contract.schema)}.{identifier(LOADS)}"
        left = f"(SELECT COUNT(*) - {said} FROM {identifier(STAGE)})"
        where = '"target" = :target AND "load_id" = :load AND "object" = :object'
        named = {"target": contract.table, "load": load, "object": silent[0].location}
        yield spelled(Query(f'UPDATE {loads} SET "rows" = {left} WHERE {where}', named))


def _unless(wrong: str) -> str:
    """An expression that fails where `wrong`, which is about aggregates: no planner works it out beforehand."""
    return f"1 / CASE WHEN {wrong} THEN 0 ELSE 1 END"
