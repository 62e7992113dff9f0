"""The objects of a COPY, read from S3, as rows for PostgreSQL's own COPY.

Everything that keeps Redshift from loading is raised: `CopyFailed` for what lies outside the rows, `BadRow` for a row.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import CopyFailed, NotSupported, SpectrumError
from aetherstream.local.redshift.rules import MAX_ROW_BYTES, BadValue, Check, Column, check_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['([^']*)'\]|\[(\d+)\]")
_MISSING = {"NoSuchKey", "404", "NoSuchBucket"}


class BadRow(Exception):
    """A row that can't be loaded: where it stands, what of it is wrong, and why."""

    def __init__(self, file: str, line: int, column: Column | None, raw: str, why: BadValue) -> None:
        super().__init__(why.reason)
        self.file = file
        self.line = line
        self.column = column
        self.raw = raw
        self.why = why


@dataclass(slots=True)
class Loaded:
    """What a COPY has read: rows and bytes of each object, in order."""

    files: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of all objects."""
        return sum(rows for _, rows, _ in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all objects as they are stored."""
        return sum(size for _, _, size in self.files)


def chosen_columns(copy: Copy, table: Sequence[Column]) -> list[Column]:
    """The columns that the COPY fills, in its order. Raises `CopyFailed`, `NotSupported`."""
    by_name = {column.name: column for column in table}
    for name in copy.columns:
        if name not in by_name:
            raise CopyFailed(f'column "{name}" of relation {copy.table} does not exist')
    if len(set(copy.columns)) < len(copy.columns):
        raise CopyFailed("a column is named twice in COPY")
    chosen = [by_name[name] for name in copy.columns] if copy.columns else list(table)
    for column in chosen:
        if column.identity:
            raise NotSupported(f'COPY into the identity column "{column.name}": leave it out of the column list; this')
        if column.name != column.name.lower():
            raise NotSupported(f'the column name "{column.name}"')
    return chosen


class Objects:
    """The objects of one COPY."""

    def __init__(self, s3: S3Client, copy: Copy) -> None:
        self._s3 = s3
        self._copy = copy

    def places(self) -> list[str]:
        """The objects to load, as the manifest or the listing of the prefix names them."""
        if not self._copy.manifest:
            return self._listed()
        manifest = self._json(self._copy.source, "manifest")
        entries = manifest.get("entries")
        if not isinstance(entries, list):
            raise CopyFailed(f"Problem reading manifest file {self._copy.source}: it has no entries", "code: 9005")
        places = []
        for entry in entries:
            url = entry.get("url", "") if isinstance(entry, dict) else ""
            if not isinstance(url, str) or not re.match(r"s3://[^/]+/.", url):
                raise CopyFailed("COPY with MANIFEST parameter requires full path of an S3 object.", "code: 8001")
            size = self._size(url)
            if size is not None:
                if self._copy.parquet:
                    _check_length(url, entry.get("meta"), size)
                places.append(url)
            elif entry.get("mandatory") is True:
                raise CopyFailed(
                    f"S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey: {url}",
                    f"The manifest {self._copy.source} names it as mandatory",
                )
        if not places:
            raise CopyFailed(f"None of the files of the manifest {self._copy.source} was found")
        return places

    def paths(self, columns: Sequence[Column]) -> list[list[str | int]] | None:
        """The steps to each column's value as the JSONPaths file has them; None for `auto`."""
        if not self._copy.jsonpaths:
            return None
        paths = self._json(self._copy.jsonpaths, "JSONPaths").get("jsonpaths")
        if paths is None:
            return None  # AWS: an unexpected key falls back to 'auto', silently
        if len(paths) != len(columns):
            raise CopyFailed(
                "Number of jsonpaths and the number of columns should match. "
                f"JSONPath size: {len(paths)}, Number of columns in table or column list: {len(columns)}"
            )
        return [_steps(path) for path in paths]

    def lines(self, place: str) -> tuple[list[bytes], int]:
        """The lines of an object, unpacked, and its size as it is stored. Raises `CopyFailed`."""
        packed = self.content(place)
        return self._unpacked(place, packed).split(b"\n"), len(packed)

    def content(self, place: str) -> bytes:
        """An object as it is stored. Raises `CopyFailed`."""
        bucket, key = _split(place)
        with _Told(place):
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def _unpacked(self, place: str, packed: bytes) -> bytes:
        try:
            if self._copy.compression == "gzip":
                return gzip.decompress(packed)
            if self._copy.compression == "zstd":
                return bytes(zstd.decompress(packed)) if packed else b""
        except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
            raise CopyFailed(f"Invalid {self._copy.compression.upper()} file: {place}", str(error)) from error
        return packed

    def _json(self, place: str, what: str) -> dict[str, Any]:
        try:
            found = json.loads(self.content(place).decode("utf-8"))
        except ValueError as error:
            raise CopyFailed(f"Problem reading {what} file {place}: {error}") from error
        if not isinstance(found, dict):
            raise CopyFailed(f"Problem reading {what} file {place}: it is no object")
        return found

    def _size(self, place: str) -> int | None:
        bucket, key = _split(place)
        try:
            with _Told(place):
                return self._s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except CopyFailed as error:
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) in _MISSING:
                return None
            raise

    def _listed(self) -> list[str]:
        bucket, prefix = _split(self._copy.source)
        with _Told(self._copy.source):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        if not keys:
            raise CopyFailed(f"The specified S3 prefix '{prefix}' does not exist")
        return [f"s3://{bucket}/{key}" for key in keys]


class Rows:
    """Rows of objects, checked against the columns."""

    def __init__(self, copy: Copy, columns: Sequence[Column], paths: list[list[str | int]] | None) -> None:
        self._checks: list[tuple[Column, Check]] = [(column, check_of(column, copy)) for column in columns]
        self._names = [column.name for column in columns]
        self._ignore_case = copy.ignore_case
        self._paths = paths

    def of(self, place: str, lines: Sequence[bytes]) -> Iterator[str]:
        """The rows of one object, as lines for PostgreSQL's COPY in text form. Raises `BadRow`, `NotSupported`."""
        for number, line in enumerate(lines, 1):
            if not line or line.isspace():
                continue
            try:
                values = self._found(line)
            except BadValue as why:
                raise BadRow(place, number, None, line[:1024].decode(errors="replace"), why) from why
            row = []
            for (column, check), raw in zip(self._checks, values, strict=True):
                try:
                    row.append(_stored(column, check, raw))
                except BadValue as why:
                    raise BadRow(place, number, column, line[:1024].decode(errors="replace"), why) from why
            yield stored_line(row)

    def _found(self, line: bytes) -> list[bytes | None]:
        if len(line) > MAX_ROW_BYTES:
            raise BadValue(1224, "JSON object is larger than the maximum of 4 MB")
        try:
            line.isascii() or line.decode()
        except UnicodeDecodeError as error:
            bad = line[error.start : error.end].hex(" ")
            raise BadValue(
                1220, f"String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {bad}"
            ) from error
        if self._paths is not None:
            return [_walk(line, steps) for steps in self._paths]
        fields = _object(line)
        if self._ignore_case:
            fields = {key.lower(): value for key, value in fields.items()}
        return [bytes(fields[name]) if name in fields else None for name in self._names]


def stored_line(values: Sequence[str | None]) -> str:
    """The line of a row in PostgreSQL's COPY in text form."""
    return "\t".join("\\N" if value is None else value.translate(_ESCAPES) for value in values) + "\n"


def _stored(column: Column, check: Check, raw: bytes | None) -> str | None:
    if raw is None and column.default:
        raise NotSupported(f'COPY without a value for "{column.name}", which has a default')
    value = check(raw) if raw is not None else None
    if value is None and column.required:
        raise BadValue(1213, "Missing data for not-null field")
    return value


def _object(line: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _ROW.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadValue(1216, "Invalid JSONPath format or invalid JSON: no whole object on one line") from error


def _walk(line: bytes, steps: Sequence[str | int]) -> bytes | None:
    at = line.strip()
    for step in steps:
        try:
            if isinstance(step, int):
                inside = _LIST.decode(at)
                if step >= len(inside):
                    raise BadValue(1216, "Invalid JSONPath format: array index out of range")
                at = bytes(inside[step])
            else:
                found = _ROW.decode(at).get(step)
                if found is None:
                    return None
                at = bytes(found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadValue(1216, "Invalid JSONPath format or invalid JSON") from error
    return at


def _steps(path: object) -> list[str | int]:
    if not isinstance(path, str) or not path.startswith("$"):
        raise CopyFailed(f"Invalid JSONPath format: {path!r}")
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            raise CopyFailed(f"Invalid JSONPath format: {path!r}")
        steps.append(int(found[3]) if found[3] else found[1] or found[2])
        position = found.end()
    return steps


def _check_length(url: str, meta: object, size: int) -> None:
    # AWS: columnar formats need meta.content_length, the object's exact size.
    if not isinstance(meta, dict):
        raise CopyFailed("File entry does not have 'meta' key.", f"code: 15003, {url}")
    length = meta.get("content_length")
    if type(length) is not int:
        raise CopyFailed("File entry does not have a 'content_length' in its 'meta' key.", f"code: 15003, {url}")
    if length > size:
        raise SpectrumError(
            f"HTTP response error code: 416 Message: InvalidRange The requested range is not satisfiable, {url}: "
            f"the manifest says {length} bytes, the object has {size}"
        )
    if length < size:
        raise SpectrumError(f"File '{url}' is cut: the manifest says {length} bytes, the object has {size}")


def _split(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class _Told:
    """Whatever S3 refuses comes out as Redshift words it."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError):
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            said = error.response.get("Error", {}).get("Message", "")
            raise CopyFailed(
                f"S3ServiceException:{said},Status {status},Error {_code(error)}: {self._place}"
            ) from error
        if isinstance(error, BotoCoreError):
            raise CopyFailed(f"S3CurlException: {error}") from error
