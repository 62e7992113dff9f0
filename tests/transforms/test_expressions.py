from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.errors import Rejected
from aetherstream.transforms.expressions import ExpressionError, compile_expression
from aetherstream.transforms.functions import FUNCTIONS

EVENT: dict[str, Any] = {
    "n": 7,
    "f": 2.5,
    "s": "Text",
    "zero": 0,
    "nothing": None,
    "yes": True,
    "u": {"a": {"b": 3}, "odd name": 4},
    "list": [1, {"k": "v"}],
    "t": "2013-02-03T10:20:30+01:00",
    "from": 1,
}
VALUES = [
    ("n + 1", 8),
    ("n - f", 4.5),
    ("n * 2", 14),
    ("n / 2", 3.5),
    ("n // 2", 3),
    ("n % 4", 3),
    ("-n", -7),
    ("s + '!'", "Text!"),
    ("1 < n <= 7", True),
    ("n == 7.0", True),
    ("missing == null", True),
    ("nothing != null", False),
    ("'x' == n", False),
    ("s in ['a', 'Text']", True),
    ("'ex' in s", True),
    ("1 not in list", False),
    ("not zero", True),
    ("zero or 'else'", "else"),
    ("yes and n > 3", True),
    ("'big' if n > 5 else 'small'", "big"),
    ("u.a.b", 3),
    ("u.x.b", None),
    ("s.x", None),
    ("event['u']['odd name']", 4),
    ("event['from']", 1),
    ("list[1].k", "v"),
    ("list[-1]['k']", "v"),
    ("list[9]", None),
    ("[n, s]", [7, "Text"]),
    ("true", True),
    ("null", None),
    ("lower(s)", "text"),
    ("upper(s)", "TEXT"),
    ("lower(missing)", None),
    ("trim(' x ')", "x"),
    ("len(s) + len(list) + len(u)", 8),
    ("int('12')", 12),
    ("float('1.5')", 1.5),
    ("str(n)", "7"),
    ("bool('true')", True),
    ("round(f)", 2),
    ("round(2.567, 1)", 2.6),
    ("floor(f)", 2),
    ("ceil(f)", 3),
    ("abs(-3)", 3),
    ("min(n, 3, 5)", 3),
    ("max(n, 3)", 7),
    ("coalesce(missing, nothing, n)", 7),
    ("coalesce(zero, 5)", 0),
    ("exists(nothing)", True),
    ("exists(missing)", False),
    ("exists(u.a.b)", True),
    ("exists(n.x)", False),
    ("exists(s.ex)", False),
    ("startswith(s, 'T')", True),
    ("endswith(s, 'T')", False),
    ("contains(s, 'ex')", True),
    ("contains(list, 1)", True),
    ("contains(missing, 'x')", False),
    ("matches(s, '^[A-Z][a-z]+$')", True),
    (r"matches(s, r'\d')", False),
    ("matches(n, '7')", False),
    ("replace(s, 'T', 't')", "text"),
    ("concat(s, '-', n, '-', yes)", "Text-7-true"),
    ("substring(s, 1, 2)", "ex"),
    ("substring(s, 2)", "xt"),
    ("epoch(t)", 1359883230.0),
    ("year(t)", 2013),
    ("month(t)", 2),
    ("day(t)", 3),
    ("hour(t)", 9),
    ("minute(t)", 20),
    ("weekday(t)", 7),
    ("n >\n 3", True),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_gives(text: str, value: Any) -> None:
    result = compile_expression(text)(EVENT)
    assert (result, type(result)) == (value, type(value))


def test_every_function_is_tested() -> None:
    assert {name for name in FUNCTIONS if not any(f"{name}(" in text for text, _ in VALUES)} == set()


REJECTED = [
    ("nothing > 3", "nothing > 3: nothing is null", "write coalesce(nothing, 0)"),
    ("3 + u.x", "3 + u.x: u.x is null", "write coalesce(u.x, 0)"),
    ("s > 3", "s > 3: does not work with text and number", "s is the text 'Text', 3 is the number 3"),
    ("n in missing", "n in missing: missing is null", "`n in missing`"),
    ("n / zero", "n / zero: division by zero", "division by zero"),
    ("s * 1000000000", "s * 1000000000: does not work with text and number", "s is the text"),
    ("s % n", "s % n: does not work with text and number", "s is the text"),
    ("list * 3", "list * 3: does not work with list and number", "list is a list of 2"),
    ("lower(n)", "lower(n): lower takes a text", "not the number 7"),
    ("1 + int('x')", "int('x'): the argument of int is not an integer", "the text 'x'"),
    ("max(n, nothing)", "max(n, nothing): nothing is null", "coalesce(nothing, 0)"),
    ("concat(s, nothing)", "concat(s, nothing): concat of null", "argument 2 of concat is null"),
    ("hour(s)", "hour(s): the argument of hour is not a time (iso8601)", "the text 'Text'"),
    ("yes and (nothing == null or zero > s) and nothing > 1", "nothing > 1: nothing is null", "nothing is null"),
    ("nothing > 1 if zero else s > 1", "s > 1: does not work with text and number", "the text 'Text'"),
    (
        "coalesce(n, nothing > 1) > s",
        "coalesce(n, nothing > 1) > s: does not work with number and text",
        "the number 7",
    ),
]


@pytest.mark.parametrize(("text", "reason", "part"), REJECTED)
def test_what_an_event_cannot_give_is_a_rejection_that_names_the_part(text: str, reason: str, part: str) -> None:
    with pytest.raises(Rejected) as caught:
        compile_expression(text)(EVENT)
    assert caught.value.reason == reason
    assert part in caught.value.message


MISTAKES = [
    ("n +* 2", "not an expression"),
    ("n = 3", "`=` is not of the language: write == to compare"),
    ("a && b", "`&&` is not of the language: write `and`"),
    ("a || b", "`||` is not of the language: write `or`"),
    ("!a", "`!` is not of the language: write `not`"),
    ("from == 'x'", "write a field of this name as event['from']"),
    ("a ** b", "`**` is not of the language: write x * x"),
    ("a << 3", "this operator is not of the language"),
    ("a is null", "write == null or != null"),
    ("lenth(a)", "there is no function 'lenth' (did you mean 'len'?)"),
    ("now() > t", "a retry has to give the same result"),
    ("random()", "a retry has to give the same result"),
    ("s.lower()", "write lower(x), not x.lower()"),
    ("lower(a, b)", "lower takes other arguments: lower(x)"),
    ("round(x=1)", "write round(x, digits)"),
    ("matches(a, b)", "the regular expression is a text in quotes"),
    ("matches(a, '(')", "not a regular expression"),
    (r"matches(a, '\bx')", "stands in r'…'"),
    ("matches(a, '(?=x)')", "there is no look-around"),
    (r"'\d'", "write r'…' for a text with backslashes"),
    ("event", "write event['name'] for a field"),
    ("event[0]", "the event has names, not numbers"),
    ("a[b]", "a field's name in quotes"),
    ("{'a': 1}", "Dict is not of the language"),
    ("lambda: 1", "not of the language"),
    ("[x for x in a]", "ListComp is not of the language"),
    ("f'{a}'", "JoinedStr is not of the language"),
    ("(a := 1)", "NamedExpr is not of the language"),
    ("().__class__", "a field's name in quotes"),
    ("__import__('os')", "there is no function '__import__'"),
    ("99999999999999999999", "at most 64 bits"),
    ("1e999", "only texts, numbers"),
    ("b'x'", "only texts, numbers"),
    ("'" + "x" * 1001 + "'", "at most 1000 characters"),
    ("x" * 2001, "at most 2000 characters"),
    ("+".join("x" * 200), "at most 300 parts"),
    ("-" * 60 + "x", "at most 300 parts"),
    ("", "not an expression"),
]


@pytest.mark.parametrize(("text", "part"), MISTAKES)
def test_what_is_not_of_the_language_is_a_mistake(text: str, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert part in str(caught.value)


def test_a_mistake_has_its_column_in_characters() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("größe == lenn(größe)")
    assert caught.value.column == 10


def test_an_expression_knows_the_fields_it_reads() -> None:
    assert compile_expression("a + u.b.c if exists(d) else event['x.y'] + l[0].z").fields == {
        "a",
        "u.b.c",
        "d",
        r"x\.y",
        "l.z",
    }


def test_a_regular_expression_that_explodes_elsewhere_takes_linear_time() -> None:
    assert compile_expression("matches(s, '^(a|a)*$')")({"s": "a" * 100_000 + "b"}) is False


def test_a_text_that_would_explode_is_refused() -> None:
    with pytest.raises(Rejected, match="more than"):
        compile_expression("replace(s, 'a', s)")({"s": "a" * 10_000})


SCALARS: list[Any] = [None, True, False, 0, 1, -7, 2**64 - 1, -(2**63), 1e308, float("nan"), "", "a", "2013", "\ud800"]
ANYTHING = [*SCALARS, [], {}, [1, "a"], [{"k": None}, {"k": 1}], {"a": 1, "k": {}}, {"a": {"b": "x"}, "odd name": []}]


@settings(deadline=None)
@given(
    st.sampled_from([text for text, _ in VALUES]),
    st.dictionaries(st.sampled_from(list(EVENT)), st.sampled_from(ANYTHING)),
)
def test_any_event_gives_a_value_or_a_rejection(text: str, event: dict[str, Any]) -> None:
    with contextlib.suppress(Rejected):
        compile_expression(text)(event)
