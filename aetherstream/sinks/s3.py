"""The S3 archive: NDJSON objects under Hive-style partitions by event time and fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import methodcaller
from typing import Any, Literal

from aetherstream.errors import Rejected
from aetherstream.eventtime import field_reader
from aetherstream.objects import SUFFIX, Compression, Target, compressor
from aetherstream.records import Event, Events
from aetherstream.sinks.base import Rewrite

TimeUnit = Literal["year", "month", "day", "hour"]
_TIME_FORMAT: dict[str, str] = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%H"}

# What Hive escapes in partition values (org.apache.hadoop.hive.common.FileUtils), and what S3 advises against in keys.
_UNSAFE = frozenset("\"#%'*/:=?\\{}[]^<>|~`&$@,;+ ") | {chr(c) for c in range(0x20)} | {"\x7f"}
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_MAX_VALUE = 200

Column = Callable[[Events, Sequence[int]], list[Any]]


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """One level of the partition path: `name=value`.

    Events with equal values in their columns go together; the text is made once for each value, not for each event.
    """

    name: str
    column: Column
    text: Callable[[Any], str]


def by_time(unit: TimeUnit, name: str | None = None) -> PartitionKey:
    """Partition by event time, in UTC."""
    pattern = _TIME_FORMAT[unit]
    return PartitionKey(name or unit, hours, lambda hour: datetime.fromtimestamp(hour * 3600, UTC).strftime(pattern))


def hours(events: Events, indices: Sequence[int]) -> list[Any]:
    """The hour of each event since the epoch. All time keys share this column, so that it is made once."""
    times = events.times or []
    if len(indices) == len(times):
        return [time // 3600 for time in times]
    return [times[index] // 3600 for index in indices]


def by_field(path: str, name: str | None = None) -> PartitionKey:
    """Partition by a field's value; null or missing goes to Hive's default partition."""
    if "." not in path:
        return by_value(methodcaller("get", path), name or path)
    read = field_reader(path)

    def lenient(event: Event) -> Any:
        try:
            return read(event)
        except (KeyError, TypeError, IndexError):
            return None

    return by_value(lenient, name or path.rpartition(".")[2])


def by_value(read: Callable[[Event], Any], name: str) -> PartitionKey:
    """Partition by what `read` gives for an event."""

    def column(events: Events, indices: Sequence[int]) -> list[Any]:
        whole = len(indices) == len(events.values)
        found = list(map(read, events.values if whole else [events.values[index] for index in indices]))
        if set(map(type, found)) == {str}:
            return found
        # The type goes in: True, 1 and 1.0 are equal, and one must not take the other's partition.
        return [value if type(value) is str else (type(value), value) for value in found]

    return PartitionKey(name, column, lambda value: path_safe(value if type(value) is str else value[1]))


def path_safe(value: Any) -> str:
    """Write a partition value as part of an S3 key, as Hive does: unsafe characters as `%XX` of their UTF-8 bytes.

    Raises Rejected for a value that is no scalar or is longer than 200 characters when written.
    """
    if value is None or value == "":
        return HIVE_NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise Rejected("partition value is not a scalar", f"partition value {value!r:.80} is not a scalar")
    # -0.0 equals 0.0, so in one batch they go together; they have to in every batch.
    text = str(value + 0.0 if isinstance(value, float) else value)
    if not _UNSAFE.isdisjoint(text) or not text.isascii() or text in {".", ".."}:
        text = "".join(_escape(c) for c in text) if text not in {".", ".."} else text.replace(".", "%2E")
    if len(text) > _MAX_VALUE:
        raise Rejected("partition value is too long", f"partition value {text[:80]!r}… is longer than {_MAX_VALUE}")
    return text


def _escape(character: str) -> str:
    if character in _UNSAFE or not character.isascii():
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    return character


class S3Archive:
    """`ObjectSink` of the archive: partitioned, compressed NDJSON."""

    def __init__(
        self,
        name: str,
        *,
        bucket: str,
        prefix: str,
        partition: Sequence[PartitionKey] = (),
        compression: Compression = "gzip",
        level: int = 1,
        max_partitions: int = 200,
    ) -> None:
        self.name = name
        self.target = Target(bucket, prefix, SUFFIX[compression])
        self.max_partitions = max_partitions
        self.rewrite: Rewrite | None = None
        self._keys = list(partition)
        self._columns = list(dict.fromkeys(key.column for key in partition))
        # A batch comes in many parts, and most of them open the same partitions again.
        self._path = lru_cache(maxsize=4096)(self._write_path)
        self._compress = compressor(compression, level)

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        """See `ObjectSink.partition`."""
        if not self._keys:
            return ({"": list(indices)} if indices else {}), {}
        columns = [column(events, indices) for column in self._columns]
        refused: dict[int, Rejected] = {}
        groups: dict[Any, list[int]] = {}
        rows: Any = columns[0] if len(columns) == 1 else zip(*columns, strict=True)
        for index, row in zip(indices, rows, strict=True):
            try:
                groups[row].append(index)
            except KeyError:
                groups[row] = [index]
            except TypeError:  # unhashable: a list or an object, which can't be written either
                try:
                    self._write_path(row)
                except Rejected as error:
                    refused[index] = error
        paths: dict[str, list[int]] = {}
        for row, members in groups.items():
            try:
                path = self._path(row)
            except Rejected as error:
                refused.update(dict.fromkeys(members, error))
                continue
            # Different values may be written alike (`1` and `"1"`, the days of a month): one object holds them all.
            paths[path] = sorted(paths[path] + members) if path in paths else members
        return paths, refused

    def _write_path(self, row: Any) -> str:
        values = (row,) if len(self._columns) == 1 else row
        by_column = dict(zip(self._columns, values, strict=True))
        return "/".join(f"{key.name}={key.text(by_column[key.column])}" for key in self._keys)

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """See `ObjectSink.encode`."""
        return self._compress(lines, epoch)
