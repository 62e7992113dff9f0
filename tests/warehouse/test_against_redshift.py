# ruff: noqa: S608 - names of the tests' own
"""The checks and the SQL against the stand-in for Redshift, with the real driver."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from redshift_connector.core import Connection
from redshift_connector.error import ProgrammingError

from aetherstream.objects import compressor
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract, Distribution
from aetherstream.warehouse.ddl import Differences, LiveColumn, create_table, differences
from aetherstream.warehouse.rows import Rows
from aetherstream.warehouse.sql import ObjectRef, Style, load, manifest
from tests.redshift_fixture import ROLE, Objects
from tests.warehouse.contracts import column, flights, upserting
from tests.warehouse.values import TYPES, columns, of_type

pytestmark = pytest.mark.integration
slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Warehouse:
    """Runs statements, and loads objects as a loader does: in one transaction."""

    def __init__(self, connection: Connection, objects: Objects, schema: str) -> None:
        self._connection = connection
        self._objects = objects
        self.schema = schema
        self._loads = 0

    def run(self, *statements: str) -> list[Any]:
        """Run statements in one transaction; what the last one gives."""
        with self._connection.cursor() as cursor:
            try:
                for statement in statements:
                    cursor.execute(statement)
                found = list(cursor.fetchall()) if cursor.description else []
            except Exception:
                self._connection.rollback()
                raise
        self._connection.commit()
        return found

    def load(self, contract: Contract, rows: bytes, style: Style = "merge") -> None:
        """Load one object of rows."""
        self._loads += 1
        staged = ObjectRef(self._objects.bucket, f"{self.schema}/{self._loads}.ndjson.gz")
        self._objects.put(staged.key, compressor("gzip", 1)(rows, self._loads))
        named = ObjectRef(self._objects.bucket, f"{self.schema}/{self._loads}.manifest")
        self._objects.put(named.key, manifest([staged]))
        self.run(*load(contract, named, role=ROLE, style=style))

    def table(self, contract: Contract) -> list[Any]:
        """All rows, by event id."""
        names = ", ".join(f'"{name}"' for name in contract.names)
        return self.run(f"SELECT {names} FROM {contract.schema}.{contract.table} ORDER BY 1")

    def live(self, contract: Contract) -> list[LiveColumn]:
        """The columns as the catalogue shows them."""
        found = self.run(
            "SELECT column_name, data_type, is_nullable, character_maximum_length, numeric_precision, numeric_scale"
            f" FROM svv_columns WHERE table_schema = '{contract.schema}' AND table_name = '{contract.table}'"
        )
        return [
            LiveColumn(name, _measured(kind, length, precision, scale), nullable == "YES")
            for name, kind, nullable, length, precision, scale in found
        ]


def _measured(kind: str, length: int | None, precision: int | None, scale: int | None) -> str:
    if kind.startswith("character"):
        return f"{kind}({length})"
    return f"numeric({precision},{scale})" if kind == "numeric" else kind


@pytest.fixture
def redshift(connection: Connection, objects: Objects, schema: str) -> Warehouse:
    return Warehouse(connection, objects, schema)


Expect = Callable[[Any], Any]


def _real(value: Any) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


# What the driver gives for the staged form of a value.
EXPECTED: dict[str, Expect] = {
    "decimal": Decimal,
    "real": _real,
    "double precision": float,
    "char": lambda text: text.ljust(3),
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat,
}


def exact(text: str | bytes) -> Any:
    """Read JSON whose numbers are compared by their digits: SUPER may write a double without its exponent."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def expected(kind: str, staged: Any) -> Any:
    if staged is None:
        return None
    return EXPECTED.get(kind.partition("(")[0], lambda value: value)(staged)


def stored(kind: str, found: Any) -> Any:
    if found is None:
        return None
    name = kind.partition("(")[0]
    return exact(found) if name == "super" else _real(found) if name == "real" else found


@slow
@given(data=st.data())
def test_what_passes_the_check_loads_unaltered(redshift: Warehouse, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TYPES))
    name = f"t{redshift._loads}"
    contract = Contract(name, (column("c", kind),), schema=redshift.schema)
    events = [{"c": value, "_event_id": f"{n:03}"} for n, value in enumerate(data.draw(columns(kind)))]
    wrong = Table(contract).check(events)
    fit = [event for index, event in enumerate(events) if index not in wrong]
    assume(fit)
    rows = Rows(contract).of(fit)
    staged = [(exact if kind == "super" else json.loads)(row)["c"] for row in rows.splitlines()]
    redshift.run(create_table(contract))
    redshift.load(contract, rows)
    found = [(event_id, stored(kind, value)) for event_id, value in redshift.table(contract)]
    assert found == [(event["_event_id"], expected(kind, form)) for event, form in zip(fit, staged, strict=True)]


@slow
@given(data=st.data())
def test_what_the_check_refuses_fails_or_is_altered(redshift: Warehouse, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TYPES))
    value = data.draw(of_type(kind).filter(lambda value: value is not None))
    name = f"t{redshift._loads}"
    contract = Contract(name, (column("c", kind),), schema=redshift.schema)
    assume(Table(contract).check([{"c": value}]))
    redshift.run(create_table(contract))
    why = ""
    try:
        redshift.load(contract, json.dumps({"_event_id": "1", "c": value}).encode())
    except ProgrammingError as error:
        why = str(error)
    if why:
        assert "load_error" in why
    else:
        ((_, found),) = redshift.table(contract)
        assert is_altered(kind, value, found), (kind, value, found)


def is_altered(kind: str, value: Any, found: Any) -> bool:
    """Whether what is stored is not what the event said."""
    if found is None:
        return True
    if kind.startswith("decimal"):
        return bool(Decimal(str(value)) != found)
    if isinstance(value, float) and not math.isfinite(value):
        return True
    if kind == "super":
        return bool(exact(found) != exact(json.dumps(value)))
    return bool(stored(kind, found) != value)


def event(number: int, key: str, version: int, origin: str = "JFK") -> dict[str, Any]:
    return {
        "_event_id": f"s:{number}:0",
        "flight_id": key,
        "updated_at": f"2013-01-01T00:00:{version:02}Z",
        "origin": origin,
    }


def rows(contract: Contract, events: Sequence[dict[str, Any]]) -> bytes:
    return Rows(contract).of(events)


def test_append_takes_each_event_once_however_often_it_comes(redshift: Warehouse) -> None:
    contract = flights(schema=redshift.schema)
    redshift.run(create_table(contract))
    redshift.load(contract, rows(contract, [event(1, "a", 1), event(2, "a", 1), event(1, "a", 1)]))
    redshift.load(contract, rows(contract, [event(2, "a", 1), event(3, "b", 1)]))
    assert [row[0] for row in redshift.table(contract)] == ["s:1:0", "s:2:0", "s:3:0"]


@pytest.mark.parametrize("style", ["merge", "delete_insert"])
def test_upserts_end_in_the_same_table_whatever_their_order(redshift: Warehouse, style: Style) -> None:
    # The fourth is as new as the third and stands behind it, though its number is the lesser text.
    events = [event(1, "a", 1), event(2, "a", 3), event(9, "b", 2), event(10, "b", 2), event(3, "a", 2)]
    base = upserting(schema=redshift.schema)
    for number, order in enumerate(list(permutations(events))[::12]):
        contract = replace(base, table=f"{style}{number}")
        redshift.run(create_table(contract))
        for part in (order[:2], order[2:], order[1:4]):
            redshift.load(contract, rows(contract, part), style)
        assert [(row[0], row[1]) for row in redshift.table(contract)] == [("s:10:0", "b"), ("s:2:0", "a")]


def test_events_of_one_record_are_ordered_by_their_numbers(redshift: Warehouse) -> None:
    contract = upserting(schema=redshift.schema)
    redshift.run(create_table(contract))
    ids = ["s:5:9", "s:5:10", "s:5:10:2", "s:5:10:10", "s:5:2"]
    redshift.load(contract, rows(contract, [event(0, "a", 1) | {"_event_id": found} for found in ids]))
    redshift.load(contract, rows(contract, [event(0, "a", 1) | {"_event_id": "s:5:10:9"}]))
    assert [row[0] for row in redshift.table(contract)] == ["s:5:10:10"]


def test_a_table_that_was_made_lacks_nothing(redshift: Warehouse) -> None:
    kinds = {f"c{number}": kind for number, kind in enumerate(TYPES)}
    contract = Contract(
        "every",
        tuple(column(name, kind, null=name != "c0") for name, kind in kinds.items()),
        schema=redshift.schema,
        distribution=Distribution("key", "c0"),
        sort=("c0", "c1"),
    )
    redshift.run(create_table(contract))
    assert differences(contract, redshift.live(contract)) == Differences()


def test_changes_bring_a_table_to_its_contract(redshift: Warehouse) -> None:
    small = flights(schema=redshift.schema, columns=(column("flight_id", "varchar(10)", null=False),))
    wanted = flights(
        schema=redshift.schema, columns=(column("flight_id", "varchar(40)", null=False), column("carrier", "char(2)"))
    )
    redshift.run(create_table(small))
    changes = differences(wanted, redshift.live(small)).changes
    assert [change.text for change in changes] == [
        "widen column flight_id from varchar(10) to varchar(40)",
        "add column carrier char(2)",
    ]
    for change in changes:
        redshift._connection.autocommit = change.alone
        redshift.run(change.statement)
        redshift._connection.autocommit = False
    assert differences(wanted, redshift.live(wanted)) == Differences()
