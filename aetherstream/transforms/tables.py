"""Reference tables: from the bytes of a CSV, JSON or NDJSON file to rows found by key, reloaded between batches.

A table's version is the hash of its content, and part of the pipeline version: another table makes other events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ..errors import AetherStreamError, ConfigurationError
from ..records import Event
from .convert import to_str
from .mistakes import nearest

Format = Literal["csv", "json", "ndjson"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def format_of(uri: str) -> Format:
    """Tell the format from the suffix.

    Raises:
        ConfigurationError: another suffix.
    """
    for suffix, name in SUFFIXES.items():
        if uri.lower().endswith(suffix):
            return name
    raise ConfigurationError(f"{uri}: a reference table is a {', '.join(SUFFIXES)} file")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by the text of their key."""

    rows: Mapping[str, Event]
    """Shared by all events that found them: never changed."""
    columns: tuple[str, ...]
    version: str
    """The first 16 hex digits of the SHA-256 of the content."""

    @classmethod
    def parse(cls, data: bytes, key: str, *, file: str, format: Format | None = None) -> Table:  # noqa: A002
        """Read a table; `file` names it in messages and, by its suffix, its format.

        CSV has a header, its cells are texts, an empty cell is null. JSON is a list of objects, or an object of rows by
        key. NDJSON is an object a line. Keys are compared as text.

        Raises:
            ConfigurationError: not this format, a row without key, two rows with one key; with the line or row.
        """
        readers = {"csv": _read_csv, "json": _read_json, "ndjson": _read_ndjson}
        rows: dict[str, Event] = {}
        columns: dict[str, None] = {}
        for place, row in readers[format or format_of(file)](data, key, file):
            value = row.get(key)
            if value is None:
                said = nearest(key, row) if key not in row else ": it is empty"
                raise ConfigurationError(f"{file}, {place}: no value for the key {key!r}{said}")
            name = to_str(value, key)
            if name in rows:
                raise ConfigurationError(f"{file}, {place}: the key {name!r} stands there twice; keys are unique")
            rows[name] = row
            columns |= dict.fromkeys(row)
        if not rows:
            raise ConfigurationError(f"{file}: the table has no rows")
        return cls(rows, tuple(columns), hashlib.sha256(data).hexdigest()[:16])


Rows = Iterator[tuple[str, Event]]


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from None


def _read_csv(data: bytes, key: str, file: str) -> Rows:
    import csv
    import io

    reader = csv.reader(io.StringIO(_decode(data, file), newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            place = f"line {reader.line_num}"
            if not cells:
                continue
            if header is None:
                header = cells
                if key not in header:
                    raise ConfigurationError(f"{file}, {place}: there is no column {key!r}{nearest(key, header)}")
                if len(set(header)) != len(header):
                    raise ConfigurationError(f"{file}, {place}: a column stands there twice: {', '.join(header)}")
                continue
            if len(cells) != len(header):
                raise ConfigurationError(f"{file}, {place}: {len(cells)} cells under {len(header)} columns")
            yield place, {name: cell or None for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise ConfigurationError(f"{file}, line {reader.line_num}: {error}") from None


def _parse_json(data: bytes | str, file: str, place: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{file}, {place or f'line {error.lineno}'}: not JSON: {error.msg}") from None


def _an_object(row: Any, file: str, place: str) -> Event:
    if not isinstance(row, dict):
        raise ConfigurationError(f"{file}, {place}: a row is an object, not {type(row).__name__}")
    return row


def _read_json(data: bytes, key: str, file: str) -> Rows:
    content = _parse_json(_decode(data, file), file, "")
    if isinstance(content, dict):
        for name, row in content.items():
            yield f"row {name!r}", {key: name, **_an_object(row, file, f"row {name!r}")}
    elif isinstance(content, list):
        for number, row in enumerate(content, start=1):
            yield f"row {number}", _an_object(row, file, f"row {number}")
    else:
        raise ConfigurationError(f"{file}: a table is a list of objects, or an object of rows by key")


def _read_ndjson(data: bytes, key: str, file: str) -> Rows:  # noqa: ARG001 - the readers are called alike
    for number, line in enumerate(_decode(data, file).split("\n"), start=1):
        if line.strip():
            place = f"line {number}"
            yield place, _an_object(_parse_json(line, file, place), file, place)


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where a table comes from."""

    uri: str
    """A path, or `s3://bucket/key`: whatever `fetch` takes."""
    key: str
    """The column that finds a row."""
    reload: float | None = None
    """Age in seconds after which it is fetched again; None: never."""
    columns: tuple[str, ...] = ()
    """Columns that the steps take: a new version without them is refused."""


class ReferenceTables(Mapping[str, Table]):
    """The tables of a pipeline; a mapping that always gives the newest good version of each.

    Steps look into it at each batch, so a refresh needs no new compilation.
    """

    def __init__(
        self, sources: Mapping[str, TableSource], fetch: Callable[[str], bytes], clock: Callable[[], float]
    ) -> None:
        """Fetch all tables. `clock` gives seconds that never go back.

        Raises:
            ConfigurationError: a table is wrong. What `fetch` raises propagates.
        """
        self._sources = dict(sources)
        self._fetch = fetch
        self._clock = clock
        self._tables: dict[str, Table] = {}
        self._loaded: dict[str, float] = {}
        for name in self._sources:
            self._tables[name] = self._load(name)
            self._loaded[name] = clock()

    def _load(self, name: str) -> Table:
        source = self._sources[name]
        table = Table.parse(self._fetch(source.uri), source.key, file=source.uri)
        for column in source.columns:
            if column not in table.columns:
                raise ConfigurationError(f"{source.uri}: there is no column {column!r}{nearest(column, table.columns)}")
        return table

    def refresh(self) -> list[str]:
        """Reload what is older than its `reload`; call it between batches only. Returns warnings.

        A table that cannot be loaded stays as it was, is warned about, and is tried again after the same age.
        """
        warnings = []
        now = self._clock()
        for name, source in self._sources.items():
            if source.reload is None or now - self._loaded[name] < source.reload:
                continue
            self._loaded[name] = now
            try:
                self._tables[name] = self._load(name)
            except (AetherStreamError, OSError) as error:
                warnings.append(f"table {name} could not be reloaded and stays at {self[name].version}: {error}")
        return warnings

    @property
    def versions(self) -> dict[str, str]:
        """The content hash of each table, for the pipeline version."""
        return {name: table.version for name, table in self._tables.items()}

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)
