"""The bytes of single user records, found again in their Kinesis record."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.decode import Decoder, Limits, read_batch
from aetherstream.decode.cut import cut_document
from aetherstream.testing.events import Payload, array, gz, kinesis_event, kpl, kpl_message, ndjson, zst
from tests.decode.test_properties import WRAPPED, decoded

A, B = b'{ "a": 1 }', b'{"b":[2,null],"b":1.50}'


def payloads(payload: Payload, **limits: int) -> list[bytes] | None:
    return Decoder(**limits).payloads(read_batch(kinesis_event([payload])), 0)


@pytest.mark.parametrize(
    "payload",
    [
        array([A, B]),
        b" [" + A + b" ,\n " + B + b"] ",
        ndjson([A, B]),
        A + b"\n\n" + B,
        b"\xef\xbb\xbf" + ndjson([A, B]),
        kpl([A, B]),
        gz(ndjson([A, B])),
        gz(zst(array([A, B]))),
        kpl([ndjson([A, B])]),
        kpl([gz(array([A, B]))]),
    ],
)
def test_user_records_that_share_a_kinesis_record_have_their_own_bytes(payload: bytes) -> None:
    assert payloads(payload) == [A, B]


@pytest.mark.parametrize("payload", [A, gz(A), ndjson([A]), array([A]), kpl([A]), b'{\n"a":\n1}'])
def test_a_user_record_that_is_alone_has_none_but_those_of_its_kinesis_record(payload: bytes) -> None:
    assert payloads(payload) is None


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"[]", b"7", gz(A)[:-3], kpl([A, B])[:-1], kpl_message(b""), b"[x]\n[y]"]
)
def test_what_cannot_be_opened_has_none(payload: bytes) -> None:
    assert payloads(payload) is None


def test_what_is_not_base64_has_none() -> None:
    records = read_batch(kinesis_event([A]))
    records.data[0] = "e3 0="
    assert Decoder().payloads(records, 0) is None


def test_limits_hold_when_a_record_is_opened_again() -> None:
    assert payloads(gz(ndjson([A, B])), max_expanded=20) is None
    assert payloads(ndjson([A, B]), max_records=1) is None


def test_a_sub_record_of_one_user_record_has_its_bytes_as_they_were_sent() -> None:
    assert payloads(kpl([gz(A), array([B]), A])) == [gz(A), array([B]), A]


def test_broken_neighbours_keep_their_places() -> None:
    sent = kpl([ndjson([A, b"{bad"]), gz(A)[:-3], b"", array([b"7", b"NaN", B])])
    assert payloads(sent) == [A, b"{bad", gz(A)[:-3], b"", b"7", b"NaN", B]


def test_elements_of_a_long_array_are_written_anew() -> None:
    long = array([A, b"7", B, b'{"n":100000000000000000000}'])
    assert cut_document(long, Limits(), sliced=10) == [
        b'{"a":1}',
        b"7",
        b'{"b":1.5}',
        b'{"n":100000000000000000000}',
    ]


@given(WRAPPED)
def test_the_bytes_of_a_user_record_alone_give_the_same_event(payload: bytes) -> None:
    events, rejections, seen = decoded([payload])
    found = payloads(payload)
    if found is None:
        assert seen == 1
        return
    assert len(found) == seen
    for sub, value in zip(events.subs, events.values, strict=True):
        alone = decoded([found[sub]])
        assert (alone[0].values, alone[0].subs, alone[1]) == ([value], [0], [])
    assert [found[r.sub] for r in rejections if r.sub is not None] == [r.payload for r in rejections]


@given(st.lists(WRAPPED, max_size=4))
def test_looking_for_the_bytes_never_raises(parts: list[Any]) -> None:
    for form in (kpl, array, ndjson):
        payloads(form(parts), max_expanded=30, max_records=3, max_values=5, max_depth=2)
