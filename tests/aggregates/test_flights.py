"""Real data, dealt to four shards and merged in any order, against what DuckDB makes of the same events."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output, expressions
from aetherstream.aggregates.columns import ColumnReader, Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.groups import group_values
from aetherstream.aggregates.partials import Partials, dump, load, merge_all, results
from aetherstream.aggregates.windows import Session, Tumbling
from demo.flights import flights

FLIGHTS = 12_000
BATCH = 1_000
DELAYS = tuple(Output(kind, make(kind), "dep_delay") for kind in ("count", "min", "max", "sum", "mean", "variance"))
AGGREGATES = {
    one.name: one
    for one in (
        Aggregate("hourly", (("carrier", "carrier"),), Tumbling(3600), (Output("n", make("count")),)),
        Aggregate(
            "daily", (("origin", "origin"),), Tumbling(86_400), (*DELAYS, Output("q", make("quantiles"), "dep_delay"))
        ),
        Aggregate(
            "all",
            (),
            Tumbling(366 * 86_400, 1_356_998_400),
            (
                Output("routes", make("top_k", k=5), "origin + '-' + dest"),
                Output("planes", make("distinct"), "tailnum"),
            ),
        ),
        Aggregate("trips", (("tailnum", "tailnum"),), Session(6 * 3600), (Output("n", make("count")),)),
    )
}


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [{**event, "t": datetime.fromisoformat(event["time_hour"]).timestamp()} for event in flights(FLIGHTS)]


@pytest.fixture(scope="module")
def partials(events: list[dict[str, Any]]) -> Partials:
    """Four shards, batches, stored and read again, merged in random order."""
    reader, rng = ColumnReader(expressions(list(AGGREGATES.values()))), random.Random(1)
    parts = []
    for shard in range(4):
        own = [event for event in events if (event["flight"] or 0) % 4 == shard]
        for at in range(0, len(own), BATCH):
            batch = own[at : at + BATCH]
            columns = Columns(reader.read(batch), [event["t"] for event in batch])
            parts += [
                {key: load(one, dump(one, partial)) for key, partial in fold(one, columns).partials.items()}
                for one in AGGREGATES.values()
            ]
    rng.shuffle(parts)
    return merge_all(AGGREGATES, parts)


@pytest.fixture(scope="module")
def database(events: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file: Path = tmp_path_factory.mktemp("flights") / "events.ndjson"
    file.write_bytes(b"\n".join(map(orjson.dumps, events)))
    with duckdb.connect() as connection:
        connection.read_json(str(file), sample_size=-1).create("f")
        yield connection


def found(partials: Partials, name: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        (*group_values(key.group), key.window.start): results(AGGREGATES[name], partial)
        for key, partial in partials.items()
        if key.aggregate == name and key.window is not None
    }


def test_flights_by_carrier_and_hour_are_equal(partials: Partials, database: Any) -> None:
    rows = database.execute("select carrier, floor(t / 3600) * 3600, count(*) from f group by all").fetchall()
    assert found(partials, "hourly") == {(carrier, hour): {"n": count} for carrier, hour, count in rows}


def test_delays_by_airport_and_day_are_equal(partials: Partials, database: Any) -> None:
    rows = database.execute(
        "select origin, floor(t / 86400) * 86400, count(dep_delay), min(dep_delay), max(dep_delay), sum(dep_delay), "
        "avg(dep_delay), var_samp(dep_delay) from f group by all"
    ).fetchall()
    daily = found(partials, "daily")
    assert {key: [row[output.name] for output in DELAYS] for key, row in daily.items()} == {
        (origin, day): [*exact, pytest.approx(mean, rel=1e-12), pytest.approx(variance, rel=1e-12)]
        for origin, day, *exact, mean, variance in rows
    }


def test_quantiles_of_delays_are_within_their_error(partials: Partials, database: Any) -> None:
    rows = database.execute(
        "select origin, floor(t / 86400) * 86400, list(dep_delay order by dep_delay) from f "
        "where dep_delay is not null group by all"
    ).fetchall()
    daily = found(partials, "daily")
    for origin, day, delays in rows:
        true = {name: delays[percent * (len(delays) - 1) // 100] for name, percent in (("p50", 50), ("p95", 95))}
        told = daily[origin, day]["q"]
        assert {name: told[name] for name in true} == pytest.approx(true, rel=0.01)


def test_the_busiest_routes_are_equal(partials: Partials, database: Any) -> None:
    rows = database.execute(
        "select origin || '-' || dest as route, count(*) as n from f group by 1 order by n desc, route limit 5"
    ).fetchall()
    (row,) = found(partials, "all").values()
    assert row["routes"] == [{"value": route, "count": count} for route, count in rows]


def test_the_number_of_aircraft_is_within_its_error(partials: Partials, database: Any) -> None:
    ((true,),) = database.execute("select count(distinct tailnum) from f").fetchall()
    (row,) = found(partials, "all").values()
    assert row["planes"] == pytest.approx(true, rel=3 * 0.01625)


def test_trips_of_aircraft_are_equal(partials: Partials, database: Any) -> None:
    rows = database.execute(
        "select tailnum, count(*) filter (t - before >= 6 * 3600 or before is null) from "
        "(select tailnum, t, lag(t) over (partition by tailnum order by t) as before from f) group by 1"
    ).fetchall()
    trips = {key.group: len(partial) for key, partial in partials.items() if key.aggregate == "trips"}
    assert {group_values(group)[0]: count for group, count in trips.items()} == dict(rows)
