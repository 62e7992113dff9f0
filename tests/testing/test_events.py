from itertools import pairwise

from aetherstream.decode import Decoder, read_batch
from aetherstream.testing.events import FIRST_SEQUENCE, array, gz, kinesis_event, kpl, ndjson, sequence_numbers, zst


def test_sequence_numbers_have_56_digits_and_rise_with_gaps() -> None:
    numbers = [int(n) for n in sequence_numbers(500)]

    assert str(numbers[0]) == FIRST_SEQUENCE
    assert {len(str(n)) for n in numbers} == {56}
    assert all(b > a for a, b in pairwise(numbers))
    assert len({b - a for a, b in pairwise(numbers)}) > 100


def test_the_same_call_builds_the_same_event() -> None:
    def build() -> dict[str, object]:
        return kinesis_event([{"a": 1}, "text", b"\0", kpl([b"x"]), gz("y"), zst("z")], first_sequence="7", arrival=5.0)

    assert build() == build()


def test_payloads_are_objects_text_or_bytes() -> None:
    event = kinesis_event([{"a": 1}, '{"a":1}', b'{"a":1}', ndjson([{"a": 1}, '{"a":1}']), array([b'{"a":1}'])])
    records = read_batch(event)

    assert Decoder().decode(records, 0, len(records), []).values == [{"a": 1}] * 6
