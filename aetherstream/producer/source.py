"""Events from a file, line by line: NDJSON as it stands, CSV as JSON objects. A bad line never ends the reading."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final, Literal, NamedTuple

import orjson

Format = Literal["ndjson", "csv"]
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_WORDS: Final = {"true": True, "false": False}


class Line(NamedTuple):
    """An event: the number of its (last) line from 1, its fields, and the JSON to send."""

    number: int
    event: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no event, and why."""

    number: int
    reason: str


class KeyMissingError(ValueError):
    """The event has no value to take the partition key from."""


def format_of(name: str) -> Format:
    """The format that a file's name tells: CSV by `.csv` or `.csv.gz`, else NDJSON."""
    return "csv" if name.lower().removesuffix(".gz").endswith(".csv") else "ndjson"


def uncompressed(name: str, raw: IO[bytes]) -> IO[bytes]:
    """The file's content; gzip is opened where the name ends in `.gz`."""
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)) if name.lower().endswith(".gz") else raw


def read(stream: IO[bytes], kind: Format, *, typed: bool = False) -> Iterator[Line | BadLine]:
    """The events of a file. `typed`: CSV cells that look like JSON numbers, true or false become such."""
    return _csv(stream, typed) if kind == "csv" else _ndjson(stream)


def key_of(event: dict[str, Any], field: str) -> str:
    """The partition key of an event. Raises `KeyMissingError` when the field is absent, null, empty or no scalar."""
    value = event.get(field)
    if value is None or value == "" or isinstance(value, dict | list):
        raise KeyMissingError(f"no value in {field!r} to take the partition key from")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _ndjson(stream: IO[bytes]) -> Iterator[Line | BadLine]:
    for number, text in enumerate(stream, 1):
        line = text.strip()
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            continue
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield BadLine(number, f"not JSON: {error}")
            continue
        if isinstance(event, dict):
            yield Line(number, event, line)
        else:
            yield BadLine(number, f"a JSON {type(event).__name__}, not an object")


def _csv(stream: IO[bytes], typed: bool) -> Iterator[Line | BadLine]:
    # Bytes that are not UTF-8 become lone surrogates, which orjson refuses to write: so a bad cell spoils its row only.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(csv.reader(text, strict=True), typed)
    finally:
        text.detach()  # or it would close the caller's stream


def _rows(reader: Any, typed: bool) -> Iterator[Line | BadLine]:
    header: list[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(reader.line_num, f"not CSV: {error}")
            continue
        if not row:
            continue
        if header is None:
            header = row
            continue
        if len(row) != len(header):
            yield BadLine(reader.line_num, f"{len(row)} cells, but the header has {len(header)}")
            continue
        event = {name: _value(cell) if typed else cell or None for name, cell in zip(header, row, strict=True)}
        try:
            data = orjson.dumps(event)
        except TypeError:
            yield BadLine(reader.line_num, "not UTF-8")
            continue
        yield Line(reader.line_num, event, data)


def _value(cell: str) -> str | int | float | bool | None:
    if not cell:
        return None
    if number := _NUMBER.fullmatch(cell):
        return float(cell) if number[2] else int(cell)
    return _WORDS.get(cell, cell)
