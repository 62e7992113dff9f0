"""A table as its contract wants it, and what a live table lacks. Pure: plain data in, statements and reasons out.

Only what adds is done: a new column that may be null, a wider VARCHAR. Anything else would lose or rewrite what is
there; it is refused with its reason and the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.fields import INTEGERS
from aetherstream.warehouse.sql import identifier, table_name
from aetherstream.warehouse.types import ColumnType, column_type


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as the catalogue shows it (`svv_columns`, `pg_table_def`)."""

    name: str
    type: str
    """With its measure, for example `character varying(64)`, `numeric(12,2)`."""
    nullable: bool
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One statement that brings the table nearer to its contract."""

    text: str
    """For a person, for example `add column carrier char(2)`."""
    statement: str
    alone: bool = False
    """Whether it has to run outside of a transaction. AWS: ALTER COLUMN ... TYPE can't run in one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A difference that is left to a person."""

    column: str
    reason: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.column}: {self.reason}; {self.way_out}"


@dataclass(slots=True)
class Differences:
    """What a table lacks of its contract."""

    changes: list[Change] = field(default_factory=list)
    """In the order in which they are to be made."""
    refusals: list[Refusal] = field(default_factory=list)
    """While there is one, rows of the contract may not load."""
    notes: list[str] = field(default_factory=list)
    """In which the table differs without harm."""


def create_schema(contract: Contract) -> str:
    """The statement that makes the schema where there is none."""
    return f"CREATE SCHEMA IF NOT EXISTS {identifier(contract.schema)}"


def create_table(contract: Contract) -> str:
    """The statement that makes the table."""
    parts = [f"CREATE TABLE {table_name(contract)} ({', '.join(map(_definition, contract.stored))})"]
    distribution = contract.distribution
    parts.append(f"DISTSTYLE {distribution.style.upper()}")
    if distribution.style == "key":
        parts.append(f"DISTKEY ({identifier(distribution.column)})")
    if contract.sort:
        parts.append(f"COMPOUND SORTKEY ({', '.join(map(identifier, contract.sort))})")
    return " ".join(parts)


def differences(contract: Contract, live: Sequence[LiveColumn] | None) -> Differences:
    """Compare a contract with the live table; None: there is none.

    Distribution and sort keys of a live table are not compared.
    """
    if live is None:
        name = f"{contract.schema}.{contract.table}"
        return Differences([Change(f"create table {name}", create_table(contract))])
    found = Differences()
    by_name = {column.name: column for column in live}
    for column in contract.stored:
        if column.name in by_name:
            _compare(contract, column, by_name[column.name], found)
        else:
            _add(contract, column, found)
    names = set(contract.names)
    for spare in live:
        if spare.name not in names:
            _spare(spare, found)
    return found


def _sql(column: ColumnType) -> str:
    return str(column).upper()


def _definition(column: Column) -> str:
    return f"{identifier(column.name)} {_sql(column.type)}" + ("" if column.nullable else " NOT NULL")


def _add(contract: Contract, column: Column, found: Differences) -> None:
    if not column.nullable:
        found.refusals.append(
            Refusal(
                column.name,
                "is missing, and may not be null, which the rows that are there would be",
                "let it be null (`null: true`), or make a new table and copy the old one's rows into it",
            )
        )
        return
    statement = f"ALTER TABLE {table_name(contract)} ADD COLUMN {_definition(column)}"
    found.changes.append(Change(f"add column {column.name} {column.type}", statement))


def _compare(contract: Contract, column: Column, live: LiveColumn, found: Differences) -> None:
    try:
        there = column_type(live.type)
    except ValueError:
        found.refusals.append(Refusal(column.name, f"is {live.type} in the table, not {column.type}", _ANOTHER))
        return
    if not live.nullable and column.nullable:
        found.refusals.append(
            Refusal(
                column.name,
                "may be null here, and may not be in the table",
                "say so in the contract (`null: false`), or make a new table",
            )
        )
    if live.nullable and not column.nullable:
        found.notes.append(f"{column.name} may be null in the table; what is staged never is")
    if there == column.type:
        return
    if _holds(there, column.type):
        found.notes.append(f"{column.name} is {there} in the table, which holds {column.type}")
    elif there.name == column.type.name == "varchar":
        name, kind = identifier(column.name), _sql(column.type)
        found.changes.append(
            Change(
                f"widen column {column.name} from {there} to {column.type}",
                f"ALTER TABLE {table_name(contract)} ALTER COLUMN {name} TYPE {kind}",
                alone=True,
            )
        )
    else:
        found.refusals.append(Refusal(column.name, f"is {there} in the table, not {column.type}", _ANOTHER))


_ANOTHER = (
    "write the table's type into the contract, or add a column of another name and copy the values into it, or make a"
    " new table"
)


def _holds(there: ColumnType, wanted: ColumnType) -> bool:
    """Whether every value of one type goes into the other unaltered."""
    if there.name in INTEGERS and wanted.name in INTEGERS:
        return INTEGERS[there.name][1] >= INTEGERS[wanted.name][1]
    if there.name == "varchar" and wanted.name == "varchar":
        return there.length >= wanted.length
    if there.name == wanted.name == "decimal":
        # Of 19 digits the last is not whole: such a decimal is a 64-bit integer.
        digits = 18 if there.precision == 19 else there.precision
        return digits - there.scale >= wanted.precision - wanted.scale and there.scale >= wanted.scale
    return False


def _spare(spare: LiveColumn, found: Differences) -> None:
    if spare.nullable or spare.has_default:
        found.notes.append(f"{spare.name} is in the table alone and is left as it is")
        return
    found.refusals.append(
        Refusal(
            spare.name,
            "is in the table alone and may not be null: no row without it loads",
            "put it into the contract, or drop it",
        )
    )


def statements(found: Differences) -> Iterator[str]:
    """The statements of the changes, in their order."""
    return (change.statement for change in found.changes)
