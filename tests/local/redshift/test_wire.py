from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.local.redshift.errors import StandInError, as_redshift
from aetherstream.local.redshift.wire import (
    Cutter,
    Message,
    error,
    error_fields,
    literal,
    startup,
    startup_parameters,
)

MESSAGES = st.lists(st.builds(Message, st.sampled_from([b"D", b"Z", b"E"]), st.binary(max_size=50)), max_size=10)


@given(MESSAGES, st.integers(1, 20))
def test_messages_are_cut_out_of_pieces_of_any_size(messages: list[Message], size: int) -> None:
    data = b"".join(message.packed() for message in messages)
    cutter = Cutter()
    found = [message for at in range(0, len(data), size) for message in cutter.feed(data[at : at + size])]
    assert found == messages


def test_a_length_that_cannot_be_breaks_the_session() -> None:
    with pytest.raises(StandInError, match="breaks the protocol"):
        list(Cutter().feed(b"D\0\0\0\1"))


def test_parameters_of_a_start_up_read_back() -> None:
    assert startup_parameters(startup({"user": "a", "database": "b"})[8:]) == {"user": "a", "database": "b"}


def test_fields_of_an_error_read_back() -> None:
    fields = {"S": "ERROR", "C": "XX000", "M": "message"}
    assert error_fields(error(fields).body) == fields


def test_a_literal_has_no_end_of_its_own() -> None:
    assert [literal("a'b\\c\0"), literal(None)] == ["E'a''b\\\\c'", "NULL"]


@pytest.mark.parametrize(
    ("postgres", "redshift"),
    [
        (
            {"S": "ERROR", "C": "40001", "M": "could not serialize access due to concurrent update", "R": "x"},
            {
                "S": "ERROR",
                "C": "XX000",
                "M": "1023",
                "D": "Serializable isolation violation on table - 0, transactions forming the cycle are: 0, 0 (pid:0)",
            },
        ),
        (
            {"C": "21000", "M": "MERGE command cannot affect row a second time", "H": "Ensure that ..."},
            {"C": "XX000", "M": "Found multiple matches to update the same tuple."},
        ),
        (
            {"C": "23514", "M": "new row violates check", "n": "bytes:origin", "t": "flights", "D": "Failing row ..."},
            {"C": "22001", "M": 'value too long for the type of column "origin", which counts bytes'},
        ),
        ({"C": "28P01", "M": "password authentication failed"}, {"C": "28000", "M": "password authentication failed"}),
        ({"C": "42P01", "M": "no such table", "F": "x.c"}, {"C": "42P01", "M": "no such table", "F": "x.c"}),
    ],
)
def test_errors_read_as_redshift_words_them(postgres: dict[str, str], redshift: dict[str, str]) -> None:
    assert as_redshift(postgres) == redshift
