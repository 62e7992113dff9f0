import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.local.esm.events import (
    EMPTY_EVENT_BYTES,
    StreamRecord,
    fixed_bytes,
    iso_millis,
    kinesis_event,
    record_bytes,
    window_event,
)

from .harness import SHARD, START, STREAM

ROLE = "arn:aws:iam::123456789012:role/flights"


def test_an_ordinary_event_has_exactly_the_keys_of_aws() -> None:
    record = StreamRecord("49590338271490256608559692538361571095921575989136588898", "1", b"hello", 1545084650.987)
    assert kinesis_event(SHARD, [record], stream_arn=STREAM, role_arn=ROLE) == {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
                    "data": "aGVsbG8=",
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{SHARD}:49590338271490256608559692538361571095921575989136588898",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": ROLE,
                "awsRegion": "eu-central-1",
                "eventSourceARN": STREAM,
            }
        ]
    }


def test_a_window_event_adds_the_window_to_an_ordinary_one() -> None:
    assert window_event(SHARD, [], stream_arn=STREAM, start=START, end=START + 120, state={"n": 1}, final=True) == {
        "Records": [],
        "window": {"start": "2025-11-21T08:00:00Z", "end": "2025-11-21T08:02:00Z"},
        "state": {"n": 1},
        "shardId": SHARD,
        "eventSourceARN": STREAM,
        "isFinalInvokeForWindow": True,
        "isWindowTerminatedEarly": False,
    }


def test_an_arrival_time_becomes_a_json_float() -> None:
    event = kinesis_event(SHARD, [StreamRecord("1", "k", b"", 1545084650.0)], stream_arn=STREAM)
    assert b'"approximateArrivalTimestamp":1545084650.0' in orjson.dumps(event)


@given(
    st.lists(
        st.builds(
            StreamRecord,
            st.from_regex(r"0|[1-9][0-9]{0,128}", fullmatch=True),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256),
            st.binary(max_size=400),
            st.floats(0, 4e9),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_size_of_an_event_is_the_sum_of_its_records_to_the_byte(batch: list[StreamRecord]) -> None:
    fixed = fixed_bytes(SHARD, stream_arn=STREAM)
    size = EMPTY_EVENT_BYTES + sum(record_bytes(record, fixed) for record in batch) - 1
    assert len(orjson.dumps(kinesis_event(SHARD, batch, stream_arn=STREAM))) == size


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (START, "2025-11-21T08:00:00.000Z"),
        (START + 0.0209, "2025-11-21T08:00:00.021Z"),
        (START + 0.9999, "2025-11-21T08:00:01.000Z"),
    ],
)
def test_timestamps_have_milliseconds(at: float, text: str) -> None:
    assert iso_millis(at) == text
