"""The judge of the fault tests sees what it is to see."""

from __future__ import annotations

from typing import Any

from tests.faults.verdict import Verdict, judge

STREAM = {"s:1": b'{"order":1}', "s:2": b'{"order":2}', "s:3": b"not JSON"}
LINES: list[dict[str, Any]] = [{"order": 1, "_event_id": "s:1:0"}, {"order": 2, "_event_id": "s:2:0"}]
ENVELOPES: list[dict[str, Any]] = [{"id": "s:3"}]
FINE = Verdict(records=3, lost=0, doubled=0, strayed=0, altered=0, unsent=0, resent=0)


def test_everything_in_its_place_is_fine() -> None:
    verdict = judge(STREAM.values(), STREAM, LINES, ENVELOPES)
    assert (verdict, verdict.wrong) == (FINE, {})


def test_an_event_in_no_sink_is_lost() -> None:
    assert judge(STREAM.values(), STREAM, LINES[1:], ENVELOPES).wrong == {"lost": 1}


def test_an_envelope_in_no_quarantine_is_lost() -> None:
    assert judge(STREAM.values(), STREAM, LINES, []).wrong == {"lost": 1}


def test_a_line_that_stands_three_times_is_doubled_twice() -> None:
    assert judge(STREAM.values(), STREAM, [*LINES, LINES[0], LINES[0]], ENVELOPES).wrong == {"doubled": 2}


def test_an_event_that_is_delivered_and_quarantined_has_strayed() -> None:
    assert judge(STREAM.values(), STREAM, LINES, [*ENVELOPES, {"id": "s:1"}]).wrong == {"strayed": 1}


def test_a_line_of_a_position_that_the_stream_has_not_has_strayed() -> None:
    line = {"order": 1, "_event_id": "s:9:0"}
    assert judge(STREAM.values(), STREAM, [*LINES, line], ENVELOPES).wrong == {"strayed": 1}


def test_a_line_with_another_records_content_is_altered() -> None:
    lines = [LINES[0], {"order": 1, "_event_id": "s:2:0"}]
    assert judge(STREAM.values(), STREAM, lines, ENVELOPES).wrong == {"altered": 1}


def test_a_payload_that_never_got_to_the_stream_is_unsent() -> None:
    assert judge([*STREAM.values(), b'{"order":4}'], STREAM, LINES, ENVELOPES).wrong == {"unsent": 1}


RESENT = {**STREAM, "s:4": b'{"order":2}'}
RESENT_LINES = [{**line, "_identity": f"[{line['order']}]"} for line in [*LINES, {"order": 2, "_event_id": "s:4:0"}]]


def test_what_a_producer_sent_twice_is_counted_apart_and_gone_by_identity() -> None:
    verdict = judge(STREAM.values(), RESENT, RESENT_LINES, ENVELOPES, identified=True)
    assert (verdict.wrong, verdict.resent, verdict.left) == ({}, 1, 0)


def test_an_identity_that_is_not_the_events_own_leaves_it_doubled() -> None:
    lines = [{**line, "_identity": line["_event_id"]} for line in RESENT_LINES]
    assert judge(STREAM.values(), RESENT, lines, ENVELOPES, identified=True).wrong == {"left": 1}


def test_one_identity_for_two_events_loses_one() -> None:
    lines = [{**line, "_identity": "[]"} for line in RESENT_LINES]
    assert judge(STREAM.values(), RESENT, lines, ENVELOPES, identified=True).wrong == {"left": 1}
