# ruff: noqa: S608 - what is chosen by is a parameter, names go through `identifier`
"""What stands in the warehouse's catalogue, against the contract: the table, its ledger, and how the table is noted.

Pure but for `ask`, which runs a query and gives its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aetherstream.errors import ConfigurationError
from aetherstream.loader.failures import grants
from aetherstream.loader.ledger import LEDGER, LOADS, TABLES, TURNS, Ledger, Query
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.ddl import Change, Differences, LiveColumn, Refusal, create_schema, differences
from aetherstream.warehouse.sql import identifier, table_name

Ask = Callable[[Query], Sequence[Sequence[Any]]]

_ROUNDS = 3
"""Times that a table is compared and changed: what somebody else makes meanwhile shows then."""


def apply(
    contract: Contract, found: Differences, make: Callable[[Change], bool], again: Callable[[], Differences]
) -> list[str]:
    """Make what the schema lacks, and return what was made here; what somebody else makes meanwhile is theirs.

    `make`: whether it was made here; `again`: compares. Raises ConfigurationError where something is refused, or still
    lacking after some rounds.
    """
    name = f"{contract.schema}.{contract.table}"
    done: list[str] = []
    for _ in range(_ROUNDS):
        if found.refusals:
            raise ConfigurationError(f"{name}: {'; '.join(map(str, found.refusals))}")
        done += [change.text for change in found.changes if make(change)]
        found = again()
        if not found.changes:
            return done
    still = "; ".join(change.text for change in found.changes)
    raise ConfigurationError(
        f"{name}: still to be done: {still}. What is there and can't be seen lacks rights: {grants(contract)}"
    )


def compare(contract: Contract, ask: Ask) -> Differences:
    """What the schema lacks: itself, the ledger, the table, columns, and the note of how the table is kept."""
    live = columns(contract, ask)
    ledger = Ledger(contract)
    found = Differences()
    if not live and not ask(Query("SELECT 1 FROM pg_namespace WHERE nspname = :schema", {"schema": contract.schema})):
        found.changes.append(Change(f"create schema {contract.schema}", create_schema(contract)))
    for name, statement in ledger.create().items():
        if name not in live:
            found.changes.append(Change(f"create table {contract.schema}.{name}", statement))
        elif missing := sorted(set(LEDGER[name]) - {column.name for column in live[name]}):
            found.refusals.append(
                Refusal(
                    f"{contract.schema}.{name}", f"lacks {', '.join(missing)}", "it is no ledger of ours: rename it"
                )
            )
    table = differences(contract, live.get(contract.table))
    found.changes += table.changes
    found.refusals += table.refusals
    found.notes += table.notes
    noted = {str(mode) for (mode,) in ask(ledger.noted())} if TABLES in live else set()
    if noted != {ledger.mode}:
        may_be_doubled = contract.mode == "upsert" and contract.table in live and not found.refusals
        if may_be_doubled and (count := int(ask(doubled(contract))[0][0])):
            found.refusals.append(_doubled(contract, noted, count))
        else:
            before = f" (it was {' and '.join(sorted(noted))})" if noted else ""
            text = f"note in {contract.schema}.{TABLES} that {contract.table} is kept by {ledger.mode}{before}"
            found.changes.append(Change(text, ledger.note(again=bool(noted))))
    return found


def columns(contract: Contract, ask: Ask) -> dict[str, list[LiveColumn]]:
    """The columns of the table and of the ledger, by table, in their order; a table that isn't there is left out.

    By `svv_columns`, which needs no search_path (`pg_table_def` does), and shows what the user may see.
    """
    found: dict[str, list[LiveColumn]] = {}
    rows = ask(
        Query(
            "SELECT table_name, column_name, data_type, is_nullable, character_maximum_length, numeric_precision,"
            " numeric_scale, CASE WHEN column_default IS NULL THEN 0 ELSE 1 END FROM svv_columns"
            " WHERE table_schema = :schema AND table_name IN (:table, :loads, :tables, :turns)"
            " ORDER BY ordinal_position",
            {"schema": contract.schema, "table": contract.table, "loads": LOADS, "tables": TABLES, "turns": TURNS},
        )
    )
    for table, name, kind, nullable, length, precision, scale, default in rows:
        measured = _measured(str(kind), length, precision, scale)
        found.setdefault(str(table), []).append(LiveColumn(str(name), measured, nullable == "YES", bool(int(default))))
    return found


def doubled(contract: Contract) -> Query:
    """The number of keys that several rows of the table have."""
    keys = ", ".join(map(identifier, contract.key))
    counted = f"SELECT 1 AS many FROM {table_name(contract)} GROUP BY {keys} HAVING COUNT(*) > 1"
    return Query(f"SELECT COUNT(*) FROM ({counted}) AS doubled")


def _doubled(contract: Contract, noted: set[str], count: int) -> Refusal:
    keys = ", ".join(contract.key)
    before = f" (it was kept by {' and '.join(sorted(noted))})" if noted else ""
    return Refusal(
        keys,
        f"{count} keys have several rows each in the table{before}, and an upsert keeps one row a key",
        "remove all but the newest row of each key, or make a new table",
    )


def _measured(kind: str, length: Any, precision: Any, scale: Any) -> str:
    if kind.startswith("character") and length is not None:
        return f"{kind}({length})"
    return f"numeric({precision},{scale})" if kind == "numeric" and precision is not None else kind
