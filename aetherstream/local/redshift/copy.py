"""COPY of Redshift, parsed: what is loaded into which columns of which table, and how it is to be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from aetherstream.local.redshift.errors import NotSupported, StandInError
from aetherstream.local.redshift.lexer import Reader


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY statement.

    `table` is quoted for PostgreSQL. `jsonpaths` is the place of a JSONPaths file; without one, keys are matched with
    the names of columns (`ignore_case`: whatever their case). `compression` is "", "gzip" or "zstd". `parquet`: columns
    are matched by their order, and nested ones load into SUPER where the COPY says so (`serialize`).
    """

    table: str
    source: str
    columns: tuple[str, ...] = ()
    manifest: bool = False
    jsonpaths: str = ""
    ignore_case: bool = False
    compression: str = ""
    time_format: str = ""
    date_format: str = ""
    no_load: bool = False
    truncate_columns: bool = False
    round_decimals: bool = False
    blanks_as_null: bool = False
    empty_as_null: bool = False
    parquet: bool = False
    serialize: bool = False


_SWITCHES = {"compupdate", "statupdate"}
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+\Z|default\Z")
_TIME_FORMATS = {"auto", "epochsecs", "epochmillisecs", "YYYY-MM-DD HH:MI:SS", "YYYY-MM-DD HH:MI:SSOF"}
_DATE_FORMATS = {"auto", "YYYY-MM-DD"}
_WITH_PARQUET = {"iam_role", "manifest", "statupdate", "format", "parquet", "serializetojson"}
"""AWS: the only parameters of a COPY from a columnar format, besides three that the stand-in has for no format."""


def parse_copy(reader: Reader) -> Copy:
    """The statement from COPY on. Raises `StandInError` where it is wrong, or beyond the stand-in."""
    reader.expect("copy")
    table = reader.table()
    columns = tuple(reader.names()) if reader.peek().word == "(" else ()
    reader.expect("from")
    source = reader.next().value
    if not re.match(r"s3://[^/]+/.", source, re.DOTALL):
        raise NotSupported("COPY from anything but s3://bucket/key")
    copy = Copy(table, source, columns)
    said: list[str] = []
    while not reader.done:
        said.append(reader.peek().word)
        if reader.took("iam_role"):
            _check_role(reader)
        elif reader.took("format"):
            reader.took("as")
            said.append(reader.peek().word)
            if reader.took("json"):
                copy = _json(reader, copy)
            elif reader.took("parquet"):
                copy = replace(copy, parquet=True)
            else:
                raise NotSupported(f"COPY ... FORMAT {reader.peek().text.upper()}")
        elif reader.took("json"):
            reader.took("as")
            copy = _json(reader, copy)
        elif reader.took("parquet"):
            copy = replace(copy, parquet=True)
        else:
            copy = _option(reader, copy)
    if "iam_role" not in said:
        raise StandInError("XX000", "COPY needs authorization: IAM_ROLE is missing")
    if copy.parquet:
        _check_parquet(said)
    elif "json" not in said:
        raise NotSupported("COPY of anything but FORMAT JSON and FORMAT PARQUET")
    elif copy.serialize:
        raise NotSupported("SERIALIZETOJSON with anything but FORMAT PARQUET")
    return copy


def _check_parquet(said: list[str]) -> None:
    for word in said:
        if word not in _WITH_PARQUET:
            raise StandInError("0A000", f"{word.upper()} argument is not supported for PARQUET based COPY")


def _option(reader: Reader, copy: Copy) -> Copy:
    if reader.took("manifest"):
        return replace(copy, manifest=True)
    if compression := reader.took_any("gzip", "zstd"):
        return replace(copy, compression=compression)
    if reader.took("serializetojson"):
        return replace(copy, serialize=True)
    if reader.took("noload"):
        return replace(copy, no_load=True)
    if reader.took("truncatecolumns"):
        return replace(copy, truncate_columns=True)
    if reader.took("roundec"):
        return replace(copy, round_decimals=True)
    if reader.took("blanksasnull"):
        return replace(copy, blanks_as_null=True)
    if reader.took("emptyasnull"):
        return replace(copy, empty_as_null=True)
    if option := reader.took_any("timeformat", "dateformat"):
        reader.took("as")
        form = reader.next().value
        if form not in (_TIME_FORMATS if option == "timeformat" else _DATE_FORMATS):
            raise NotSupported(f"{option.upper()} {form!r}")
        return replace(copy, time_format=form) if option == "timeformat" else replace(copy, date_format=form)
    if option := reader.took_any(*_SWITCHES):
        reader.took_any("on", "off", "true", "false", "preset")
        return copy
    if reader.took("maxerror"):
        reader.took("as")
        count = reader.next().text
        if count not in ("0", "1"):
            raise NotSupported(f"MAXERROR {count}: only 0 and 1, which fail at the first error,")
        return copy
    if reader.took("region"):
        reader.took("as")
        _ = reader.next().value
        return copy
    if reader.took("comprows"):
        reader.next()
        return copy
    raise NotSupported(f"COPY ... {reader.peek().text.upper()}")


def _json(reader: Reader, copy: Copy) -> Copy:
    how = reader.next().value
    if how == "auto":
        return copy
    if how == "auto ignorecase":
        return replace(copy, ignore_case=True)
    if how.startswith("s3://"):
        return replace(copy, jsonpaths=how)
    raise NotSupported(f"JSON {how!r}")


def _check_role(reader: Reader) -> None:
    if reader.took("default"):
        return
    for role in reader.next().value.split(","):
        if not _ROLE.match(role):
            raise StandInError("XX000", f"Invalid role: {role!r} is no ARN of an IAM role")
