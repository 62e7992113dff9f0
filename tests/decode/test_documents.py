from typing import Any

import pytest

from aetherstream.decode import Decoder, Limits
from aetherstream.decode.documents import read_document, split_array
from aetherstream.errors import ConfigurationError, Rejected
from aetherstream.records import Event
from aetherstream.testing.events import array, kpl, ndjson
from tests.decode.conftest import Decode

LIMITS = Limits()
A, B = {"a": 1}, {"b": 2}


def items(data: bytes, limits: Limits = LIMITS) -> list[Event | tuple[str, bytes]]:
    return [i if isinstance(i, dict) else (i.reason, i.payload) for i in read_document(data, limits)]


def refusal(data: bytes, limits: Limits = LIMITS) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_document(data, limits)
    return caught.value


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b' {"a":1}\r\n', [A]),
        (b'\xef\xbb\xbf{"a":1}', [A]),
        (b'\xef\xbb\xbf{"a":1}\n{"b":2}', [A, B]),
        (b'[{"a":1}, {"b":2}]\n', [A, B]),
        (b'{"a":1}\n{"b":2}', [A, B]),
        (b'\r\n{"a":1}\r\n\r\n \t\r\n{"b":2}\r\n\r\n', [A, B]),
        (b'{"a":\n1\n}', [A]),
        (b"{}", [{}]),
        (b"{}\n{}", [{}, {}]),
    ],
)
def test_objects_arrays_and_lines_are_read(data: bytes, expected: list[Event]) -> None:
    assert items(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n{"b":\n{"b":2}\n', [A, ("not JSON", b'{"b":'), B]),
        (b'oops\n{"a":1}\n\n7\n', [("not JSON", b"oops"), A, ("not an object", b"7")]),
        (b'{"a":1}\n[{"b":2}]', [A, ("not an object", b'[{"b":2}]')]),
        (b'{"a":1}\n\xff', [A, ("not UTF-8", b"\xff")]),
    ],
)
def test_a_bad_line_is_refused_alone(data: bytes, expected: list[Any]) -> None:
    assert items(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'[{"a":1},7, null,{"b":2}]', [A, ("not an object", b"7"), ("not an object", b"null"), B]),
        (b'[{"a":1},{"b":NaN},{"b":2}]', [A, ("not JSON", b'{"b":NaN}'), B]),
        (b'[{"a":1},{"b":"\xff"}]', [A, ("not UTF-8", b'{"b":"\xff"}')]),
        (b'[{"a":1},]', [A, ("empty record", b"")]),
        (b'[[{"a":1}]]', [("not an object", b'[{"a":1}]')]),
        (b'[{"a":1},{"b":36893488147419103232}]', [A, {"b": 36893488147419103232}]),
        (b'[{"a":1},{"b":"]},\\"{"},{"b":}]', [A, {"b": ']},"{'}, ("not JSON", b'{"b":}')]),
    ],
)
def test_a_bad_element_is_refused_alone(data: bytes, expected: list[Any]) -> None:
    assert items(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'{"a":1}{"b":2}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":-Infinity}', "not JSON"),
        (b'{"a":1}\0', "not JSON"),
        (b'{"a":"\0"}', "not JSON"),
        (b'{\n  "a": [\n    {"b": 1}\n  ],\n  "c"\n}', "not JSON"),
        (b'[{"a":1},{"b":2', "not JSON"),
        (b'[{"a":1}', "not JSON"),
        (b'{"a":1e400}', "number out of range"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b" \n ", "empty record"),
        (b"\xef\xbb\xbf", "empty record"),
        (b"7", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"[]", "empty array"),
        (b"[ ]\n", "empty array"),
    ],
)
def test_a_document_that_is_no_event_is_refused_as_a_whole(data: bytes, reason: str) -> None:
    assert refusal(data).reason == reason


def test_the_message_says_where_and_what() -> None:
    assert refusal(b'{"a":1,}').message == (
        "not JSON: trailing comma is not allowed: line 1 column 7 (char 6); begins '{\"a\":1,}'"
    )
    assert refusal(b'{"a":"\xff"}').message == ('not UTF-8: byte 0xff at offset 6; begins \'{"a":"\\\\xff"}\'')


@pytest.mark.parametrize(
    "number",
    ["18446744073709551615", "-9223372036854775808", "0", "-0", "9223372036854775808"],
)
def test_integers_of_64_bits_are_exact(decode: Decode, number: str) -> None:
    payload = f'{{"n":{number}}}'

    assert decode(payload).events == [(0, 0, {"n": int(number)})]


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" * 40, "-" + "9" * 300])
def test_an_integer_beyond_64_bits_is_exact_wherever_it_stands(decode: Decode, number: str) -> None:
    payload = f'{{"ok":1,"in":[{{"n":{number}}}]}}'.encode()
    value = {"ok": 1, "in": [{"n": int(number)}]}

    decoded = decode(A, payload, kpl([payload, A]), ndjson([payload, A]), array([A, payload]))

    assert decoded.events == [
        (0, 0, A),
        (1, 0, value),
        (2, 0, value),
        (2, 1, A),
        (3, 0, value),
        (3, 1, A),
        (4, 0, A),
        (4, 1, value),
    ]
    assert decoded.rejected == []


def test_an_integer_of_too_many_digits_for_python_is_refused(decode: Decode) -> None:
    assert [r[2] for r in decode(b'{"n":%s}' % (b"1" * 5000)).rejected] == ["number out of range"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"12345678901234567890123"', "12345678901234567890123"),
        ("0.12345678901234567890123", 0.12345678901234568),
        ("12345678901234567890.5", 1.2345678901234567e19),
        ("1e30", 1e30),
        ("123456789012345678901e3", 1.23456789012345678901e23),
        ('"--------------------------"', "-" * 26),
    ],
)
def test_other_long_digits_pass(decode: Decode, text: str, value: object) -> None:
    assert decode(f'{{"n":{text}}}').events == [(0, 0, {"n": value})]


def test_a_repeated_name_keeps_its_last_value(decode: Decode) -> None:
    assert decode(b'{"a":1,"a":2}').events == [(0, 0, {"a": 2})]


def test_an_escaped_nul_is_text(decode: Decode) -> None:
    assert decode(b'{"a":"\\u0000"}').events == [(0, 0, {"a": "\0"})]


@pytest.mark.parametrize("levels", [201, 400, 1024, 1025, 100_000])
def test_what_nests_too_deep_is_refused(decode: Decode, levels: int) -> None:
    decoded = decode(nested(200), nested(levels), b"[" + nested(levels) + b"]", ndjson([nested(levels), A]))

    assert [(r, s) for r, s, _ in decoded.events] == [(0, 0), (3, 1)]
    assert [(r, s, reason) for r, s, reason, _ in decoded.rejected] == [
        (1, None, "nested too deep"),
        (2, 0, "nested too deep"),
        (3, 0, "nested too deep"),
    ]


def test_many_brackets_side_by_side_are_not_deep(decode: Decode) -> None:
    value = {"a": [[1]] * 300, "b": "[" * 300}

    assert decode(value, b"[" + b",".join([b'{"a":[{"b":[1]}]}'] * 300) + b"]").events[0] == (0, 0, value)


def test_an_array_that_does_not_close_cannot_be_split() -> None:
    assert split_array(b'[{"a":"\\') is None
    assert split_array(b"[1,2") is None
    assert split_array(b"[1}") is None
    assert split_array(b"[1] 2") is None


@pytest.mark.parametrize(("option", "value"), [("max_expanded", 0), ("max_records", 0), ("max_depth", 255)])
def test_an_unusable_limit_is_refused(option: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"decode: {option} is {value}"):
        Decoder(**{option: value})
