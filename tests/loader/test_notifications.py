from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.loader.load_queue import notifications
from aetherstream.loader.notifications import Announced, Foreign, Message, announced, messages_of
from aetherstream.warehouse.sql import ObjectRef

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)


def record(key: str = "a/b.ndjson.gz", name: str = "ObjectCreated:Put") -> dict[str, object]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2025-11-21T08:00:00.500Z",
        "eventName": name,
        "s3": {"bucket": {"name": "data"}, "object": {"key": key, "size": 5, "eTag": "e", "sequencer": "1"}},
    }


def body(*records: object) -> str:
    return orjson.dumps({"Records": list(records)}).decode()


def test_the_objects_of_every_record_are_announced() -> None:
    text = body(record("a.ndjson.gz"), record("b.ndjson.gz", "ObjectCreated:CompleteMultipartUpload"))
    at = 1_763_712_000.5
    assert announced(text) == [Announced("data", "a.ndjson.gz", at), Announced("data", "b.ndjson.gz", at)]


def test_a_key_is_decoded() -> None:
    text = body(record("flights/staging/day%3D2025-11-21/carrier%3D%2520A%2B+x/s-1.ndjson.gz"))
    assert [each.key for each in announced(text)] == ["flights/staging/day=2025-11-21/carrier=%20A+ x/s-1.ndjson.gz"]


@given(st.lists(st.tuples(NAMES, NAMES), max_size=30))
def test_what_is_announced_by_hand_reads_back(places: list[tuple[str, str]]) -> None:
    objects = [ObjectRef(bucket, key) for bucket, key in places]
    read = [each for text in notifications(objects, 1_763_712_000.5) for each in announced(text)]
    assert read == [Announced(each.bucket, each.key, 1_763_712_000.5) for each in objects]


def test_the_test_of_a_new_notification_announces_nothing() -> None:
    assert announced('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "data"}') == []


def test_an_event_of_eventbridge_announces_its_object_with_its_key_as_it_is() -> None:
    event = {
        "detail-type": "Object Created",
        "time": "2025-11-21T08:00:00Z",
        "detail": {"bucket": {"name": "data"}, "object": {"key": "a+b%20.ndjson.gz", "size": 5}},
    }
    assert announced(orjson.dumps(event).decode()) == [Announced("data", "a+b%20.ndjson.gz", 1_763_712_000.0)]


@pytest.mark.parametrize("time", [None, 5, "yesterday", "2025-11-21T08:00:00"])
def test_a_time_that_is_none_is_not_known(time: object) -> None:
    assert announced(body({**record("a"), "eventTime": time})) == [Announced("data", "a", None)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("{oops", "it is not JSON"),
        ("[1]", "it is no JSON object"),
        ("{}", "it is no notification of an object"),
        ('{"Records": [5]}', "it is no notification of an object"),
        ('{"Records": 5}', "it is no notification of an object"),
        (body({**record(), "s3": {"bucket": {}}}), "it is no notification of an object"),
        (body(record("")), "it is no notification of an object"),
        (body(record("%ff")), "it is no notification of an object"),
        (body({**record(), "eventName": 5}), "it is no notification of an object"),
        (
            body(record(name="ObjectRemoved:Delete")),
            "it tells of 'ObjectRemoved:Delete', not of an object that was created",
        ),
        ('{"detail-type": "Object Deleted"}', "it tells of 'Object Deleted', not of an object that was created"),
    ],
)
def test_what_is_no_notification_is_foreign(text: str, reason: str) -> None:
    with pytest.raises(Foreign) as raised:
        announced(text)
    assert str(raised.value) == reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(
                    ["Records", "s3", "bucket", "object", "key", "name", "eventName", "detail-type", "detail"]
                ),
                each,
            )
        ),
    )
)
def test_no_json_is_more_than_foreign(found: object) -> None:
    try:
        text = orjson.dumps(found).decode()
    except TypeError:  # an integer that JSON writes and orjson does not
        return
    with suppress(Foreign):
        assert all(isinstance(each, Announced) for each in announced(text))


def test_messages_are_read_with_how_often_they_were_received() -> None:
    record = {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "7", "SentTimestamp": "1763712000000"},
        "eventSource": "aws:sqs",
    }
    assert messages_of({"Records": [record]}) == [Message("m1", "r1", "{}", 7)]
