"""What the live aggregates came to, held to what DuckDB computes from the file that the flights came from."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

import duckdb

from demo.flights import data_directory

AGGREGATES: Final = ("carrier_hours", "origin_days", "days")
END: Final = "2014-02-01T00:00:00Z"
"""Event time up to which the demo has windows closed: all flights lie before it."""
QUANTILE_ERROR: Final = 0.01
DISTINCT_ERROR: Final = 0.0163
"""Relative standard error of `distinct` beyond what it counts exactly. The pipeline takes the defaults of both."""

# As `demo.flights` takes the first flights: by hour, those of one hour in the order of the file. All is text in it.
_FLOWN: Final = """(
    SELECT carrier, origin, origin || '-' || dest AS route, NULLIF(tailnum, 'NA') AS aircraft,
        CAST(dep_delay AS DOUBLE) AS delay, strftime(CAST(time_hour AS TIMESTAMP), '%Y-%m-%dT%H:00:00Z') AS hour,
        strftime(CAST(time_hour AS TIMESTAMP), '%Y-%m-%dT00:00:00Z') AS day
    FROM (
        SELECT * FROM (SELECT *, ROW_NUMBER() OVER () AS line FROM read_csv('{flights}', all_varchar = true))
        ORDER BY time_hour, line LIMIT {limit}
    )
    WHERE dep_time <> 'NA'
)"""
_CARRIER_HOURS: Final = "SELECT carrier, hour, COUNT(*) FROM {flown} GROUP BY ALL"
_ORIGIN_DAYS: Final = """SELECT origin, day, COUNT(*), AVG(delay),
    list_sort(list(delay))[1 + CAST(floor(0.95 * (COUNT(*) - 1)) AS INTEGER)]
FROM {flown} GROUP BY origin, day"""
_AIRCRAFT: Final = "SELECT day, COUNT(DISTINCT aircraft) FROM {flown} GROUP BY day"
_ROUTES: Final = "SELECT day, route, COUNT(*) AS n FROM {flown} GROUP BY ALL ORDER BY day, n DESC, route"

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What the results say, and what the file says."""

    finals: Mapping[str, int]
    """By aggregate: how many final results there are."""
    expected: Mapping[str, int]
    """By aggregate: how many groups and windows the file makes."""
    differing: Mapping[str, list[str]] = field(default_factory=dict)
    """By what was compared: ids of results that differ from the file by more than their stated error."""
    worst_quantile: float = 0.0
    """The greatest relative error of a 95th percentile."""
    distinct_error: float = 0.0
    """Of the distinct aircraft: root of the mean square of the relative errors,"""
    distinct_allowed: float = DISTINCT_ERROR
    """and how far that may lie above the standard error, with as few days as there are (three standard deviations)."""
    busiest: Sequence[tuple[str, list[tuple[str, int]]]] = ()
    """Some days with their busiest routes, as the results have them."""
    places: Mapping[str, int] = field(default_factory=dict)
    """By sink: how many results of `carrier_hours` it has."""

    def checks(self) -> dict[str, bool]:
        """Each comparison, by what it says."""
        found = {
            f"{name}: {count:,} groups in the file = {self.finals.get(name, 0):,} final results": count
            == self.finals.get(name, 0)
            for name, count in self.expected.items()
        }
        exact = not any(self.differing.values())
        found["counts, means and busiest routes equal DuckDB's from the file"] = exact
        found[f"95th percentiles within 1 % of DuckDB's: {self.worst_quantile:.2%} at most"] = (
            self.worst_quantile <= QUANTILE_ERROR
        )
        found[f"distinct aircraft within 1.6 % (standard error) of DuckDB's: {self.distinct_error:.2%}"] = (
            self.distinct_error <= self.distinct_allowed
        )
        for sink, count in self.places.items():
            expected = self.expected["carrier_hours"]
            found[f"{expected:,} results of carrier_hours = {count:,} in {sink}"] = expected == count
        return found


def newest(rows: Iterable[Result]) -> dict[str, Result]:
    """By id, the row with the greatest version."""
    found: dict[str, Result] = {}
    for row in rows:
        if row["id"] not in found or row["version"] > found[row["id"]]["version"]:
            found[row["id"]] = row
    return found


def compare(results: Mapping[str, Iterable[Result]], flights: int, places: Mapping[str, int]) -> Aggregated:
    """Hold final results (by aggregate, as S3 has them) to the file; `flights`: how many were sent."""
    final = {name: newest(results.get(name, ())) for name in AGGREGATES}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(data_directory() / "flights.csv.zip") as archive:
        flown = _FLOWN.format(flights=archive.extract("flights.csv", folder), limit=flights)
        with duckdb.connect(config={"threads": 1}) as database:
            carrier_hours, origin_days, aircraft, routes = (
                database.execute(query.format(flown=flown)).fetchall()
                for query in (_CARRIER_HOURS, _ORIGIN_DAYS, _AIRCRAFT, _ROUTES)
            )
    by_place = {
        name: {(row.get("carrier") or row.get("origin"), row["window_start"]): row for row in rows.values()}
        for name, rows in final.items()
    }
    differing: dict[str, list[str]] = {"carrier_hours": [], "origin_days": [], "days": []}
    for carrier, hour, count in carrier_hours:
        row = by_place["carrier_hours"].get((carrier, hour), {})
        if row.get("flights") != count:
            differing["carrier_hours"].append(f"{carrier} {hour}")
    worst = 0.0
    for origin, day, count, mean, p95 in origin_days:
        row = by_place["origin_days"].get((origin, day), {})
        if row.get("flights") != count or abs(row.get("mean_delay", 1e9) - mean) > 1e-9 * max(1.0, abs(mean)):
            differing["origin_days"].append(f"{origin} {day}")
        else:
            worst = max(worst, _relative(row["delays"]["p95"], p95))
    days = {row["window_start"]: row for row in final["days"].values()}
    counts: dict[str, list[tuple[str, int]]] = {}
    for day, route, count in routes:
        counts.setdefault(day, []).append((route, count))
    for day, all_routes in counts.items():
        found = [(each["value"], each["count"]) for each in days.get(day, {}).get("routes", ())]
        if found != all_routes[:5]:
            differing["days"].append(day)
    errors = [_relative(days[day]["aircraft"], count) for day, count in aircraft if day in days]
    busiest = [(day, [(each["value"], each["count"]) for each in days[day]["routes"]]) for day in sorted(days)[:3]]
    return Aggregated(
        finals={name: len(rows) for name, rows in final.items()},
        expected={"carrier_hours": len(carrier_hours), "origin_days": len(origin_days), "days": len(counts)},
        differing=differing,
        worst_quantile=worst,
        distinct_error=sqrt(sum(error * error for error in errors) / len(errors)) if errors else 0.0,
        distinct_allowed=DISTINCT_ERROR * (1 + 3 / sqrt(2 * max(1, len(errors)))),
        busiest=busiest,
        places=dict(places),
    )


def _relative(found: float, true: float) -> float:
    if true == 0:
        return abs(found)
    return abs(found - true) / abs(true)
