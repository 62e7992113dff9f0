from __future__ import annotations

from pathlib import Path

from demo.flights import data_directory, export_reference_tables, flights, partition_key


def test_the_first_flight_is_typed() -> None:
    assert next(flights(1)) == {
        "year": 2013,
        "month": 1,
        "day": 1,
        "dep_time": 517,
        "sched_dep_time": 515,
        "dep_delay": 2,
        "arr_time": 830,
        "sched_arr_time": 819,
        "arr_delay": 11,
        "carrier": "UA",
        "flight": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "air_time": 227,
        "distance": 1400,
        "hour": 5,
        "minute": 15,
        "time_hour": "2013-01-01T10:00:00Z",
    }


def test_flights_come_in_the_order_of_time_hour() -> None:
    hours = [flight["time_hour"] for flight in flights(20_000)]
    assert hours == sorted(hours)


def test_a_cancelled_flight_has_nulls() -> None:
    cancelled = next(flight for flight in flights(2_000) if flight["dep_time"] is None)
    assert [cancelled[name] for name in ("dep_delay", "arr_time", "arr_delay", "air_time")] == [None] * 4


def test_the_key_is_the_aircraft_or_the_flight_number() -> None:
    assert partition_key({"tailnum": "N14228", "carrier": "UA", "flight": 1545}) == "N14228"
    assert partition_key({"tailnum": None, "carrier": "UA", "flight": 1545}) == "UA-1545"


def test_reference_tables_are_exported_as_they_are(tmp_path: Path) -> None:
    paths = export_reference_tables(tmp_path / "reference")
    assert [path.name for path in paths] == ["airlines.csv", "airports.csv", "planes.csv"]
    assert [path.read_bytes() for path in paths] == [(data_directory() / path.name).read_bytes() for path in paths]
