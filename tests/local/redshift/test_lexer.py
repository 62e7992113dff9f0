from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.lexer import Reader, quote, split, statements, text, tokens


def test_quoted_names_are_folded_to_lower_case() -> None:
    assert text(tokens('select "Origin" from "Air".Flights')) == 'select "origin" from "air".Flights'


def test_a_backslash_escapes_in_a_string() -> None:
    (token,) = tokens(r"'it\'s a \\ and ''more'''")
    assert token.value == r"it's a \ and 'more'"


def test_semicolons_in_literals_and_comments_part_nothing() -> None:
    parts = statements(tokens("select ';' -- ;\n, $$;$$ /* ; */; select \";\""))
    assert [text(part) for part in parts] == ["select ';' -- ;\n, $$;$$", 'select ";"']


@pytest.mark.parametrize("sql", ["select 'open", 'select "open'])
def test_an_open_literal_is_a_syntax_error(sql: str) -> None:
    with pytest.raises(StandInError) as caught:
        tokens(sql)
    assert caught.value.code == "42601"


def test_commas_in_brackets_part_nothing() -> None:
    assert [text(part) for part in split(tokens("a(1, 2), b, c[3, 4]"))] == ["a(1, 2)", "b", "c[3, 4]"]


def test_an_open_bracket_is_a_syntax_error() -> None:
    with pytest.raises(StandInError, match="end of input"):
        Reader(tokens("(a, (b)")).bracket()


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1))
def test_what_is_quoted_reads_back_folded(name: str) -> None:
    (token,) = tokens(quote(name))
    assert token.name == name.lower()


@given(st.text("abc'\"\\;-/*$ ()\n", max_size=40))
def test_sql_without_quoted_names_keeps_every_character(sql: str) -> None:
    try:
        found = tokens(sql)
    except StandInError:
        return
    if not any(token.kind == "quoted" for token in found):
        rest = sql[len("".join(token.space + token.text for token in found)) :]
        assert "".join(token.space + token.text for token in found) + rest == sql
        assert tokens(rest) == []
