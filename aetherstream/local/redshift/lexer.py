"""SQL cut into tokens: enough to see words, names, literals and brackets, not to understand them.

As Redshift reads it: a backslash escapes inside an ordinary string, and a quoted name is folded to lower case like one
that is not quoted (its `enable_case_sensitive_identifier` is off by default).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from aetherstream.local.redshift.errors import StandInError

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
  | (?P<string>[eE]?'(?:[^'\\]|''|\\.)*')
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<word>[A-Za-z_\x80-\U0010ffff\#][\w$\x80-\U0010ffff]*)
  | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<parameter>\$\d+)
  | (?P<sign>::|[^\s\w'"])
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token: its kind, its text as it stands, and the white space and comments before it."""

    kind: str
    text: str
    space: str = ""

    @property
    def word(self) -> str:
        """In lower case, when it is a word or a sign that could be syntax; a quoted name never is."""
        return self.text.lower() if self.kind in ("word", "sign") else ""

    @property
    def name(self) -> str:
        """The name that it stands for, folded. Raises `StandInError` when it is none."""
        if self.kind == "word":
            return self.text.lower()
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"').lower()
        raise StandInError("42601", f'syntax error at or near "{self.text}": a name was expected')

    @property
    def value(self) -> str:
        """The text of a string. Raises `StandInError` when it is none."""
        if self.kind != "string":
            raise StandInError("42601", f'syntax error at or near "{self.text}": a string was expected')
        inner = self.text[self.text.index("'") + 1 : -1]
        return re.sub(r"''|\\(.)", lambda found: found[1] or "'", inner, flags=re.DOTALL)


def tokens(sql: str) -> list[Token]:
    """The tokens of `sql`. Raises `StandInError` (42601) where a literal is not closed."""
    found: list[Token] = []
    position, space = 0, ""
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            raise StandInError("42601", f"unterminated literal at or near {sql[position : position + 20]!r}")
        position = match.end()
        kind = match.lastgroup if match.lastgroup != "tag" else "dollar"
        if kind == "space":
            space += match[0]
            continue
        found.append(Token(kind or "sign", match[0], space))
        space = ""
    return found


def statements(found: Sequence[Token]) -> list[list[Token]]:
    """The tokens of each statement between semicolons; empty ones are left out."""
    parts: list[list[Token]] = [[]]
    for token in found:
        if token.text == ";":
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def quote(name: str) -> str:
    """A name as PostgreSQL takes it unchanged."""
    return '"' + name.replace('"', '""') + '"'


def text(found: Sequence[Token]) -> str:
    """The tokens as SQL again, with quoted names folded."""
    return "".join(
        token.space + (quote(token.name) if token.kind == "quoted" else token.text) for token in found
    ).strip()


class Reader:
    """Reads tokens from left to right."""

    def __init__(self, found: Sequence[Token]) -> None:
        self.tokens = found
        self.position = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.tokens)

    @property
    def rest(self) -> list[Token]:
        """What is left."""
        return list(self.tokens[self.position :])

    def peek(self, ahead: int = 0) -> Token:
        """A token further on, or an empty one past the end."""
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else Token("end", "")

    def next(self) -> Token:
        """The next token. Raises `StandInError` at the end."""
        if self.done:
            raise StandInError("42601", "syntax error at end of input")
        self.position += 1
        return self.tokens[self.position - 1]

    def took(self, *words: str) -> bool:
        """Take these words if they come next."""
        if all(self.peek(ahead).word == word for ahead, word in enumerate(words)):
            self.position += len(words)
            return True
        return False

    def took_any(self, *words: str) -> str:
        """Take one of these words if it comes next, and say which."""
        word = self.peek().word
        if word and word in words:
            self.position += 1
            return word
        return ""

    def expect(self, *words: str) -> None:
        """Take these words. Raises `StandInError` (42601) when others come."""
        for word in words:
            token = self.next()
            if token.word != word:
                raise StandInError("42601", f'syntax error at or near "{token.text}": {word.upper()} was expected')

    def table(self) -> str:
        """A name with or without a schema, quoted for PostgreSQL."""
        parts = [self.next().name]
        while self.took("."):
            parts.append(self.next().name)
        if parts[-1].startswith("#"):
            raise StandInError("0A000", "names of temporary tables with # are not supported by the stand-in: use TEMP")
        return ".".join(map(quote, parts))

    def bracket(self) -> list[Token]:
        """What stands in the brackets that come next."""
        self.expect("(")
        start, depth = self.position, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(self.next().text, 0)
        return list(self.tokens[start : self.position - 1])

    def names(self) -> list[str]:
        """A list of names in brackets."""
        return [Reader(part).next().name for part in split(self.bracket())]


def split(found: Sequence[Token]) -> list[list[Token]]:
    """Tokens between commas that stand in no brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]
