"""CREATE TABLE and ALTER TABLE of Redshift as PostgreSQL takes them.

Distribution, sort keys, encodings and declared keys, which PostgreSQL has no place for, go as JSON into a comment
before the statement; a trigger of the embedded server keeps them beside the table (`catalog`). Keys are declared and
never enforced, as on Redshift.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aetherstream.local.redshift.errors import BYTES_CHECK, NotSupported, StandInError
from aetherstream.local.redshift.lexer import Reader, Token, quote, split, text
from aetherstream.local.redshift.types import read_type

MARK = "redshift:"
"""How the comment with the attributes begins."""

_COLUMN_WORDS = {
    "default",
    "identity",
    "generated",
    "encode",
    "distkey",
    "sortkey",
    "not",
    "null",
    "unique",
    "primary",
    "references",
    "collate",
}


def create_table(reader: Reader) -> str:
    """The statement after CREATE, from TEMP or TABLE on."""
    temporary = bool(reader.took("local") | bool(reader.took_any("temp", "temporary")))
    reader.expect("table")
    unless = "IF NOT EXISTS " if reader.took("if", "not", "exists") else ""
    name = reader.table()
    head = f"CREATE {'TEMP ' if temporary else ''}TABLE {unless}{name}"
    attributes: dict[str, Any] = {}
    columns = ""
    if reader.peek().word == "(":
        inside = reader.bracket()
        if all(len(part) == 1 for part in split(inside)):
            columns = f" ({', '.join(quote(part[0].name) for part in split(inside))})"  # names for CREATE TABLE ... AS
        else:
            items = [_item(Reader(part), attributes) for part in split(inside)]
            columns = f" ({', '.join(filter(None, items))})"
    _table_attributes(reader, attributes)
    if reader.took("as"):
        columns += " AS " + text(reader.rest)
    elif not columns:
        raise StandInError("42601", "syntax error at end of input: CREATE TABLE needs columns or a query")
    elif not reader.done:
        raise NotSupported(f"CREATE TABLE ... {reader.peek().text.upper()}")
    _check_names(attributes)
    return f"/*{MARK}{_comment(attributes)}*/ {head}{columns}"


def alter_table(reader: Reader) -> tuple[str, bool]:
    """The statement after ALTER TABLE, and whether Redshift takes it in no transaction block."""
    name = reader.table()
    if reader.took("add"):
        if reader.took_any("constraint", "primary", "unique", "foreign"):
            raise NotSupported("ALTER TABLE ADD of a constraint")
        reader.took("column")
        return f"ALTER TABLE {name} ADD COLUMN {_added(reader)}", False
    if reader.took("drop"):
        reader.took("column")
        column = quote(reader.next().name)
        how = reader.took_any("restrict", "cascade")
        _end(reader)
        return f"ALTER TABLE {name} DROP COLUMN {column} {how}".rstrip(), False
    if reader.took("alter"):
        reader.took("column")
        column = reader.next().name
        if not reader.took("type"):
            raise NotSupported("ALTER TABLE ALTER of anything but a column's TYPE")
        kind = read_type(reader)
        if not kind.postgres.startswith("character varying"):
            raise StandInError("0A000", f'target data type "{kind.postgres}" is not supported: only VARCHAR is')
        _end(reader)
        check = quote(BYTES_CHECK + column)
        changes = f"ALTER COLUMN {quote(column)} TYPE {kind.postgres}, DROP CONSTRAINT IF EXISTS {check}"
        # AWS: ALTER TABLE ALTER COLUMN cannot run inside a transaction block
        return f"ALTER TABLE {name} {changes}, ADD {kind.constraint(column)}", True
    if reader.took("rename"):
        if reader.took("to"):
            fresh = quote(reader.next().name)
            _end(reader)
            return f"ALTER TABLE {name} RENAME TO {fresh}", False
        reader.took("column")
        old = quote(reader.next().name)
        reader.expect("to")
        fresh = quote(reader.next().name)
        _end(reader)
        return f"ALTER TABLE {name} RENAME COLUMN {old} TO {fresh}", False
    if reader.took("owner", "to"):
        owner = quote(reader.next().name)
        _end(reader)
        return f"ALTER TABLE {name} OWNER TO {owner}", False
    raise NotSupported(f"ALTER TABLE ... {reader.peek().text.upper()}")


def _item(reader: Reader, attributes: dict[str, Any]) -> str:
    if reader.took("like"):
        parent = reader.table()
        attributes["like"] = parent
        options = " INCLUDING CONSTRAINTS INCLUDING IDENTITY"
        if reader.took("including", "defaults"):
            options += " INCLUDING DEFAULTS"
        else:
            reader.took("excluding", "defaults")
        _end(reader)
        return f"LIKE {parent}{options}"
    if reader.took("constraint"):
        reader.next()
    if reader.took("primary", "key"):
        attributes["primary_key"] = reader.names()
        _end(reader)
        return ", ".join(f"NOT NULL {quote(column)}" for column in attributes["primary_key"])
    if reader.peek().word in ("unique", "foreign", "check") and reader.peek(1).word in ("(", "key"):
        if reader.took("check"):
            raise NotSupported("CHECK, which Redshift has not")
        return ""  # declared to the planner and never enforced
    return _column(reader, attributes)


def _column(reader: Reader, attributes: dict[str, Any]) -> str:
    column = reader.next().name
    kind = read_type(reader)
    parts = [quote(column), kind.postgres]
    while not reader.done:
        if reader.took("not", "null"):
            parts.append("NOT NULL")
        elif reader.took("null") or reader.took("unique"):
            continue
        elif reader.took("primary", "key"):
            attributes["primary_key"] = [column]
            parts.append("NOT NULL")
        elif reader.took("references"):
            reader.table()
            if reader.peek().word == "(":
                reader.bracket()
        elif reader.took("encode"):
            attributes.setdefault("encodings", {})[column] = reader.next().name
        elif reader.took("distkey"):
            attributes.update(diststyle="key", distkey=column)
        elif reader.took("sortkey"):
            attributes["sortkeys"] = [column]
        elif reader.took("default"):
            parts.append(f"DEFAULT {_expression(reader)}")
        elif reader.took("identity"):
            parts.append(f"GENERATED ALWAYS AS IDENTITY {_identity(reader)}")
        elif reader.took("generated", "by", "default", "as", "identity"):
            parts.append(f"GENERATED BY DEFAULT AS IDENTITY {_identity(reader)}")
        else:
            raise NotSupported(f"{reader.peek().text.upper()} of a column")
    return " ".join(filter(None, [*parts, kind.constraint(column)]))


def _added(reader: Reader) -> str:
    if reader.peek().word == "if" and reader.peek(1).word == "not":
        raise NotSupported("ALTER TABLE ADD COLUMN IF NOT EXISTS, which Redshift has not")
    if len(split(reader.rest)) > 1:
        raise NotSupported("more than one column in an ALTER TABLE, which Redshift does not take")
    attributes: dict[str, Any] = {}
    added = _column(reader, attributes)
    if attributes.keys() - {"encodings"}:
        raise NotSupported("ALTER TABLE ADD COLUMN with a key")
    if " NOT NULL" in added and " DEFAULT " not in added:
        raise StandInError(
            "0A000", "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
        )
    return added


def _expression(reader: Reader) -> str:
    found: list[Token] = []
    depth = 0
    while not reader.done and not (depth == 0 and found and reader.peek().word in _COLUMN_WORDS):
        token = reader.next()
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        found.append(token)
    return text(found)


def _identity(reader: Reader) -> str:
    seed, step = (text(part) for part in split(reader.bracket()))
    return f"(START WITH {seed} INCREMENT BY {step})"


def _table_attributes(reader: Reader, attributes: dict[str, Any]) -> None:
    while not reader.done and reader.peek().word != "as":
        if reader.took("backup"):
            reader.next()
        elif reader.took("diststyle"):
            style = reader.next().name
            if style not in ("auto", "even", "all", "key"):
                raise StandInError("42601", f'syntax error at or near "{style}": AUTO, EVEN, ALL or KEY was expected')
            attributes["diststyle"] = style
        elif reader.took("distkey"):
            (attributes["distkey"],) = reader.names()
            attributes["diststyle"] = "key"
        elif reader.took("encode", "auto") or reader.took("sortkey", "auto"):
            continue
        elif reader.took("interleaved"):
            raise NotSupported("INTERLEAVED SORTKEY")
        elif reader.took("compound", "sortkey") or reader.took("sortkey"):
            attributes["sortkeys"] = reader.names()
        else:
            return


def _check_names(attributes: dict[str, Any]) -> None:
    if attributes.get("diststyle") == "key" and "distkey" not in attributes:
        raise StandInError("42601", "DISTSTYLE KEY needs a DISTKEY")
    if "distkey" in attributes and attributes.get("diststyle") != "key":
        raise StandInError("42601", "a DISTKEY goes with DISTSTYLE KEY only")


def _comment(attributes: dict[str, Any]) -> str:
    # Inside a comment of SQL: nothing in it may end the comment.
    return json.dumps(attributes, ensure_ascii=True).replace("/", "\\u002f").replace("*", "\\u002a")


def _end(reader: Reader) -> None:
    if not reader.done:
        raise NotSupported(f"{reader.peek().text.upper()} at the end of the statement")


def columns_of(names: Sequence[str]) -> str:
    """Names as a list in brackets."""
    return f"({', '.join(map(quote, names))})"
