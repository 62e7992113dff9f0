from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

import pytest
import redshift_connector
from redshift_connector.core import Connection

from aetherstream.local.redshift import LocalRedshift
from demo.flights import data_directory, flights
from demo.warehouse import Carriers, Warehoused, in_file, look

Row = tuple[str, str, float | None]
"""Event id, airline, delay at departure."""


def by_hand(limit: int) -> Carriers:
    with (data_directory() / "airlines.csv").open() as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    delays: dict[str, list[int]] = defaultdict(list)
    for event in flights(limit):
        if event["dep_time"] is not None:
            delays[names[event["carrier"]]].append(event["dep_delay"])
    means = {
        airline: (Decimal(sum(each)) / len(each)).quantize(Decimal("0.1"), ROUND_HALF_UP)
        for airline, each in delays.items()
    }
    found = [(airline, len(each), means[airline]) for airline, each in delays.items()]
    return sorted(found, key=lambda line: (-line[2], -line[1]))[:5]


@pytest.fixture
def table(warehouse: LocalRedshift) -> Iterator[Connection]:
    with redshift_connector.connect(**warehouse.login) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE public.flights (_event_id varchar(200), airline varchar(64), dep_delay double precision)"
            )
            yield connection
            cursor.execute("DROP TABLE public.flights")


def insert(connection: Connection, *rows: Row) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO public.flights VALUES (%s, %s, %s)", list(rows))


def test_duckdb_computes_the_query_from_the_file() -> None:
    assert in_file(3000) == by_hand(3000)


@pytest.mark.integration
def test_a_table_is_counted_held_to_the_archive_and_queried(warehouse: LocalRedshift, table: Connection) -> None:
    insert(table, ("a", "Air One", 10.0), ("b", "Air One", 14.5), ("c", "Air Two", -3.0), ("c", "Air Two", None))
    assert look(warehouse.login, {"a", "b", "d", "e"}, 100) == Warehoused(
        rows=4,
        distinct=3,
        lacking=2,
        foreign=1,
        carriers=[("Air One", 2, Decimal("12.3")), ("Air Two", 2, Decimal("-3.0"))],
        carriers_in_file=in_file(100),
    )
