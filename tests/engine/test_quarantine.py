import base64
from dataclasses import replace

from aetherstream.quarantine import Quarantine, envelope, fingerprint
from aetherstream.records import Rejection
from aetherstream.testing.builders import SHARD, STREAM, kinesis_records, lines

REJECTION = Rejection(1, 2, "transform", "transforms[2].cast", "not a number", "delay: 'late' is no number")
BATCH = kinesis_records([{"n": 1}, {"n": 2}])
QUARANTINE = Quarantine(bucket="data", prefix="quarantine", pipeline="flights")


def test_an_envelope_says_what_where_and_why() -> None:
    assert envelope(REJECTION, BATCH, "flights", "v1") == {
        "id": f"{SHARD}:110:2",
        "fingerprint": fingerprint(REJECTION),
        "stage": "transform",
        "where": "transforms[2].cast",
        "reason": "not a number",
        "message": "delay: 'late' is no number",
        "pipeline": "flights",
        "version": "v1",
        "stream": STREAM,
        "shard": SHARD,
        "sequence": "110",
        "sub": 2,
        "partition_key": "key-1",
        "arrival": "2025-11-21T08:00:01.000+00:00",
        "alone": False,
        "data": base64.b64encode(b'{"n":2}').decode(),
    }


def test_bytes_of_the_user_record_alone_are_said_to_be_that() -> None:
    made = envelope(replace(REJECTION, payload=b"\xff\x00late"), BATCH, "flights", "v1")
    assert (made["alone"], base64.b64decode(made["data"])) == (True, b"\xff\x00late")


def test_a_record_that_could_not_be_opened_has_no_index() -> None:
    made = envelope(replace(REJECTION, sub=None), BATCH, "flights", "v1")
    assert (made["id"], made["sub"]) == (f"{SHARD}:110", None)


def test_equal_causes_have_equal_fingerprints() -> None:
    other = replace(REJECTION, record=0, sub=7, message="delay: 'soon' is no number", payload=b"soon")
    assert fingerprint(REJECTION) == fingerprint(other)


def test_stage_place_and_reason_tell_fingerprints_apart() -> None:
    causes = [
        REJECTION,
        replace(REJECTION, stage="decode"),
        replace(REJECTION, where="elsewhere"),
        replace(REJECTION, reason="too large"),
        replace(REJECTION, where="transforms[2].cast\0", reason="not a number"),
    ]
    assert len({fingerprint(cause) for cause in causes}) == 5
    assert len(fingerprint(REJECTION)) == 12


def test_the_object_stands_under_the_day_of_arrival() -> None:
    key = QUARANTINE.key(BATCH, 0, "003100-000000")
    assert key == f"quarantine/day=2025-11-21/{SHARD}-003100-000000.ndjson.gz"


def test_the_object_holds_a_line_for_each_rejection() -> None:
    rejections = [REJECTION, replace(REJECTION, record=0)]
    body = QUARANTINE.encode(rejections, BATCH, "v1", 7)
    assert lines(body) == [envelope(rejection, BATCH, "flights", "v1") for rejection in rejections]


def test_the_epoch_stands_in_the_bytes() -> None:
    assert QUARANTINE.encode([REJECTION], BATCH, "v1", 7) != QUARANTINE.encode([REJECTION], BATCH, "v1", 8)


def test_what_json_does_not_have_is_written_all_the_same() -> None:
    odd = replace(REJECTION, message="half a character: \ud800", event={"set": {1}, "large": 2**70})
    (line,) = lines(QUARANTINE.encode([odd], BATCH, "v1", 7))
    assert (line["message"], line["event"]) == (
        "half a character: \\ud800",
        {"set": "{1}", "large": "1180591620717411303424"},
    )
