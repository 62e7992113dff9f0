"""Named parameters of the Data API (`:name`), put into a statement as literals: they take the type that is wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.lexer import Token, tokens


def with_parameters(sql: str, values: Mapping[str, str]) -> tuple[str, Collection[str]]:
    """The statement with its parameters, and which it names. Raises StandInError for one that is not given."""
    if not values:
        return sql, ()
    found = tokens(sql)
    made: list[str] = []
    named: set[str] = set()
    at = 0
    while at < len(found):
        token = found[at]
        name = _name(found, at)
        if not name:
            made.append(token.space + token.text)
            at += 1
            continue
        if name not in values:
            raise StandInError("42601", f"the statement has no value for its parameter :{name}")
        named.add(name)
        made.append(f"{token.space}{_literal(values[name])}")
        at += 2
    return "".join(made), named


def _name(found: list[Token], at: int) -> str:
    """The parameter that begins here; empty: none does."""
    if found[at].text != ":" or at + 1 == len(found) or found[at + 1].kind != "word" or found[at + 1].space:
        return ""
    return found[at + 1].text


def _literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
