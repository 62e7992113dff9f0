"""One statement of Redshift as PostgreSQL takes it, or refused.

What Redshift has and the stand-in has not is refused, and so is what only PostgreSQL has: a statement that works here
must have a chance to work there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aetherstream.local.redshift.copy import Copy, parse_copy
from aetherstream.local.redshift.errors import NotSupported, StandInError
from aetherstream.local.redshift.lexer import Reader, Token, statements, text, tokens
from aetherstream.local.redshift.tables import alter_table, create_table


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be done for one statement: `sql` for the server, unless it is a COPY or refused.

    `alone` is why it can't run inside a transaction block, or empty.
    """

    sql: str = ""
    copy: Copy | None = None
    refused: StandInError | None = None
    alone: str = ""

    @property
    def passed_on(self) -> bool:
        """Whether the server gets it as it is in `sql`, at any time."""
        return self.copy is None and self.refused is None and not self.alone


_PASSED = {
    *("select", "with", "insert", "update", "delete", "explain", "show", "reset", "lock", "analyze", "grant", "revoke"),
    *("comment", "declare", "fetch", "close", "commit", "end", "rollback", "abort", "deallocate", "drop", "set"),
}
_ONLY_POSTGRES = (
    ("returning",),
    ("on", "conflict"),
    ("distinct", "on"),
    ("for", "update"),
    ("for", "share"),
    ("for", "no", "key"),
    ("skip", "locked"),
    ("filter", "("),
    ("lateral",),
    ("array", "["),
    ("tablesample",),
    (":", ":", "json"),
    ("::", "json"),
    ("::", "jsonb"),
    ("::", "bytea"),
    ("::", "uuid"),
    ("as", "json", ")"),
    ("as", "jsonb", ")"),
)
"""Words that Redshift refuses or reads otherwise."""
_ONLY_REDSHIFT = (
    ("qualify",),
    ("minus", "select"),
    ("select", "top"),
    ("approximate",),
    ("unpivot",),
    ("decode", "("),
    ("connect", "by"),
    ("remove", "duplicates"),
)
"""Words that PostgreSQL refuses or, worse, reads otherwise."""
# JSON_SERIALIZE is PostgreSQL's syntax for something else.
_FUNCTIONS = {"nvl": "coalesce", "len": "length", "json_serialize": "pg_catalog.super_text"}
_IGNORED_SETTINGS = {
    *("query_group", "wlm_query_slot_count", "wlm_json_configuration", "enable_result_cache_for_session"),
    *("auto_analyze", "max_concurrency_scaling_clusters", "describe_field_name_in_uppercase"),
}
_SETTINGS = {
    *("statement_timeout", "search_path", "timezone", "datestyle", "application_name", "client_encoding"),
    *("extra_float_digits", "time"),
}


def translate(sql: str) -> list[Statement]:
    """Every statement of `sql`. What is wrong with one stands in its `refused`; nothing is raised for it."""
    try:
        found = tokens(sql)
    except StandInError as error:
        return [Statement(refused=error)]
    translated = []
    for part in statements(found):
        try:
            translated.append(_statement(part))
        except StandInError as error:
            translated.append(Statement(refused=error))
    return translated


def _statement(found: Sequence[Token]) -> Statement:
    reader = Reader(found)
    first = reader.peek().word
    if first == "copy":
        return Statement(copy=parse_copy(reader))
    _refuse_words(found)
    if first in ("begin", "start"):
        return Statement(_begin(reader))
    if first == "create":
        return Statement(_create(reader))
    if first == "alter":
        if not reader.took("alter", "table"):
            raise NotSupported(f"ALTER {reader.peek(1).text.upper()}")
        sql, alone = alter_table(reader)
        return Statement(sql, alone="ALTER TABLE ALTER COLUMN cannot run inside a transaction block" if alone else "")
    if first == "merge":
        _check_merge(reader)
        return Statement(_words(found))
    if first == "truncate":
        reader.took("truncate")
        reader.took("table")
        name = reader.table()
        if not reader.done:
            raise NotSupported("TRUNCATE of more than one table")
        why = "TRUNCATE commits the transaction that it stands in, on Redshift: the stand-in refuses it there"
        return Statement(f"TRUNCATE TABLE {name}", alone=why)
    if first == "set":
        return Statement(_set(reader))
    if first in _PASSED or first == "(":
        _check_passed(reader)
        return Statement(_words(found))
    raise NotSupported(reader.peek().text.upper())


def _refuse_words(found: Sequence[Token]) -> None:
    words = [token.word for token in found]
    for sequence in (*_ONLY_POSTGRES, *_ONLY_REDSHIFT):
        size = len(sequence)
        if any(tuple(words[at : at + size]) == sequence for at in range(len(words) - size + 1)):
            which = "which Redshift has not" if sequence in _ONLY_POSTGRES else "which is Redshift's own"
            raise NotSupported(f"{' '.join(sequence).upper()}, {which}")


def _begin(reader: Reader) -> str:
    # AWS: the isolation level is the database's; naming one here has no effect.
    only = any(token.word == "only" for token in reader.rest)
    return "BEGIN READ ONLY" if only else "BEGIN"


def _create(reader: Reader) -> str:
    reader.expect("create")
    if reader.peek().word in ("temp", "temporary", "local", "table"):
        return create_table(reader)
    if reader.peek().word == "schema":
        return "CREATE " + _words(reader.rest)
    if reader.peek().word == "view" or [reader.peek(ahead).word for ahead in range(3)] == ["or", "replace", "view"]:
        if [token.word for token in reader.rest][-4:] == ["with", "no", "schema", "binding"]:
            raise NotSupported("a view WITH NO SCHEMA BINDING")
        return "CREATE " + _words(reader.rest)
    raise NotSupported(f"CREATE {reader.peek().text.upper()}")


def _set(reader: Reader) -> str:
    reader.expect("set")
    scope = reader.took_any("session", "local")
    name = reader.peek().name
    if name == "session" or name == "transaction" or reader.peek().word == "authorization":
        raise NotSupported(f"SET {name.upper()}")
    if name in _IGNORED_SETTINGS:
        return f"SET {scope} aetherstream.{_words(reader.rest)}"
    if name == "enable_case_sensitive_identifier":
        if reader.rest[-1].text.strip("'").lower() in ("false", "off"):
            return "SET aetherstream.enable_case_sensitive_identifier TO off"
        raise NotSupported("enable_case_sensitive_identifier")
    if name not in _SETTINGS:
        raise NotSupported(f"SET {name}")
    return f"SET {scope} {_words(reader.rest)}"


def _check_merge(reader: Reader) -> None:
    """AWS: no alias of the target, one WHEN MATCHED and one WHEN NOT MATCHED, neither with a condition."""
    reader.expect("merge", "into")
    reader.table()
    if not reader.took("using"):
        raise StandInError("42601", f'syntax error at or near "{reader.peek().text}": the target takes no alias')
    whens: list[tuple[str, ...]] = []
    depth = case = 0
    for at, token in enumerate(reader.rest):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        case += {"case": 1, "end": -1}.get(token.word, 0)
        if token.word == "when" and depth == 0 and case == 0:
            follow = [reader.peek(at + ahead).word for ahead in (1, 2, 3, 4)]
            whens.append(tuple(follow[: 4 if follow[0] == "not" else 3]))
    kinds = [when[:2] if when[0] == "not" else when[:1] for when in whens]
    if len(whens) == 1:
        raise StandInError("0A000", "MERGE statement with a single WHEN clause is not enabled.")
    if kinds != [("matched",), ("not", "matched")]:
        raise StandInError("0A000", "MERGE takes one WHEN MATCHED and then one WHEN NOT MATCHED")
    if whens[0] not in (("matched", "then", "update"), ("matched", "then", "delete")):
        raise StandInError("0A000", "WHEN MATCHED takes no condition, and UPDATE or DELETE")
    if whens[1] != ("not", "matched", "then", "insert"):
        raise StandInError("0A000", "WHEN NOT MATCHED takes no condition, and INSERT")


def _check_passed(reader: Reader) -> None:
    kind = reader.peek(1).word
    first = reader.peek().word
    if first == "drop" and kind not in ("table", "view", "schema"):
        raise NotSupported(f"DROP {kind.upper()}")
    if first == "rollback" and kind == "to":
        raise NotSupported("SAVEPOINT, which Redshift has not")
    if first in ("commit", "rollback") and kind == "prepared":
        raise NotSupported(f"{first.upper()} PREPARED")
    if first == "lock" and any(token.word in ("in", "nowait") for token in reader.rest):
        raise NotSupported("LOCK with a mode: Redshift has none, and takes the table for itself")
    if first == "with" and any(token.word == "merge" for token in reader.rest):
        raise NotSupported("WITH before MERGE")


def _words(found: Sequence[Token]) -> str:
    """The tokens as SQL, with the types and functions that PostgreSQL calls otherwise."""
    replaced: list[Token] = []
    for at, token in enumerate(found):
        before = found[at - 1].word if at else ""
        after = found[at + 1].word if at + 1 < len(found) else ""
        word = token.word
        if word == "super" and (before == "::" or (before == "as" and after == ")")):
            token = token._replace(text="jsonb")
        elif word == "sysdate" and after != "(" and before != ".":
            token = token._replace(text="pg_catalog.sysdate()")
        elif word in _FUNCTIONS and after == "(" and before != ".":
            token = token._replace(text=_FUNCTIONS[word])
        elif word == "max" and before == "(" and after == ")" and _is_varchar(found, at):
            token = token._replace(text="65535")
        replaced.append(token)
    return text(replaced)


def _is_varchar(found: Sequence[Token], at: int) -> bool:
    return at >= 2 and found[at - 2].word in ("varchar", "nvarchar", "varying")
