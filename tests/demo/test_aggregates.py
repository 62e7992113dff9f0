"""The demo's comparison of aggregates with the file: what is right passes, what is wrong is named."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from demo.aggregates import AGGREGATES, Aggregated, compare
from demo.flights import flights

LIMIT = 3000
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def right() -> Rows:
    """The final results of the first flights, computed by hand."""
    hours: Counter[tuple[str, str]] = Counter()
    delays: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    routes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    aircraft: defaultdict[str, set[str]] = defaultdict(set)
    for event in flights(LIMIT):
        if event["dep_time"] is None:
            continue
        hour, day = event["time_hour"], f"{event['time_hour'][:10]}T00:00:00Z"
        hours[event["carrier"], hour] += 1
        delays[event["origin"], day].append(event["dep_delay"])
        routes[day][f"{event['origin']}-{event['dest']}"] += 1
        if event["tailnum"]:
            aircraft[day].add(event["tailnum"])
    rows: Rows = {name: [] for name in AGGREGATES}
    for (carrier, hour), count in hours.items():
        rows["carrier_hours"].append(row(f"c/{hour}/{carrier}", hour, carrier=carrier, flights=count))
    for (origin, day), each in delays.items():
        p95 = sorted(each)[int(0.95 * (len(each) - 1))]
        made = {"flights": len(each), "mean_delay": sum(each) / len(each), "delays": {"p95": p95}}
        rows["origin_days"].append(row(f"o/{day}/{origin}", day, origin=origin, **made))
    for day, counts in routes.items():
        busiest = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
        named = [{"value": route, "count": count} for route, count in busiest]
        rows["days"].append(row(f"d/{day}", day, routes=named, aircraft=len(aircraft[day])))
    return rows


def row(name: str, start: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "window_start": start, "version": 3, "final": True, **fields}


def failed(found: Aggregated) -> list[str]:
    return [text.split(":")[0] for text, holds in found.checks().items() if not holds]


def test_right_results_pass_every_check(right: Rows) -> None:
    found = compare(right, LIMIT, {"search": len(right["carrier_hours"])})
    assert (failed(found), found.worst_quantile, found.distinct_error) == ([], 0.0, 0.0)


def test_the_newest_row_of_an_id_counts(right: Rows) -> None:
    stale = {name: [{**each, "version": 1, "flights": 0} for each in rows] for name, rows in right.items()}
    assert failed(compare({name: right[name] + stale[name] for name in right}, LIMIT, {})) == []


def test_a_result_that_lacks_is_named(right: Rows) -> None:
    assert failed(compare({**right, "carrier_hours": right["carrier_hours"][1:]}, LIMIT, {})) == [
        "carrier_hours",
        "counts, means and busiest routes equal DuckDB's from the file",
    ]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("carrier_hours", {"flights": 1000}, "counts, means and busiest routes equal DuckDB's from the file"),
        ("origin_days", {"mean_delay": 0.5}, "counts, means and busiest routes equal DuckDB's from the file"),
        ("origin_days", {"delays": {"p95": 1000}}, "95th percentiles within 1 % of DuckDB's"),
        ("days", {"routes": []}, "counts, means and busiest routes equal DuckDB's from the file"),
        ("days", {"aircraft": 10}, "distinct aircraft within 1.6 % (standard error) of DuckDB's"),
    ],
)
def test_a_wrong_result_fails_its_check(right: Rows, name: str, change: dict[str, Any], said: str) -> None:
    first, *others = right[name]
    assert failed(compare({**right, name: [{**first, **change}, *others]}, LIMIT, {})) == [said]


def test_a_sink_that_lacks_results_fails_its_check(right: Rows) -> None:
    expected = len(right["carrier_hours"])
    found = compare(right, LIMIT, {"search": expected - 1})
    assert failed(found) == [f"{expected:,} results of carrier_hours = {expected - 1:,} in search"]
