"""Marks and the audit trail only ever grow, and the last mark counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aetherstream.recovery.audit import Action, Audit
from aetherstream.recovery.marks import LetterMark, Marks
from aetherstream.testing.stores import MemoryObjects
from tests.recovery.test_envelopes import FIRST, PART, WHOLE

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LETTER = "aws/lambda/m/shardId-000000000000/2026/11/21/2026-11-21T12.00.00-1"


def marks(objects: MemoryObjects) -> Marks:
    return Marks(objects, objects, bucket="data", pipeline="p")


def test_the_last_mark_of_a_letter_counts() -> None:
    objects = MemoryObjects()
    found = marks(objects)
    found.mark_letter(LETTER, "partial", "a2", NOON)
    found.mark_letter(LETTER, "redriven", "a1", NOON + timedelta(seconds=1))
    found.mark_letter(f"{LETTER}0", "discarded", "a3", NOON)
    assert found.letters() == {
        LETTER: LetterMark("redriven", "20261121T120001.000000", "a1"),
        f"{LETTER}0": LetterMark("discarded", "20261121T120000.000000", "a3"),
    }
    assert found.letter(LETTER) == LetterMark("redriven", "20261121T120001.000000", "a1")
    assert found.letter("aws/lambda/m") is None
    assert len(objects.objects) == 3


def test_envelopes_are_marked_by_id_and_cause_in_their_object() -> None:
    found = marks(MemoryObjects())
    found.mark_envelopes("p/quarantine/a.ndjson.gz", [FIRST, FIRST, PART], "replayed", "a1", NOON)
    found.mark_envelopes("p/quarantine/a.ndjson.gz", [WHOLE], "discarded", "a2", NOON)
    assert found.envelopes("p/quarantine/a.ndjson.gz") == {
        (FIRST.id, FIRST.fingerprint): "replayed",
        (PART.id, PART.fingerprint): "replayed",
        (WHOLE.id, WHOLE.fingerprint): "discarded",
    }
    assert (found.envelopes("p/quarantine/a"), found.marked_objects()) == ({}, {"p/quarantine/a.ndjson.gz"})


def test_an_action_is_one_line_under_its_day() -> None:
    objects = MemoryObjects()
    action = Action("a1", NOON, "me@here", "dlq discard", "s3://dead/x", {"state": "discarded"})
    key = Audit(objects, bucket="data", pipeline="p").write(action)
    assert key == "p/audit/day=2026-11-21/120000.000000-a1.ndjson"
    assert objects.get("data", key) == (
        b'{"at":"2026-11-21T12:00:00.000+00:00","by":"me@here","what":"dlq discard","target":"s3://dead/x",'
        b'"result":{"state":"discarded"},"id":"a1"}\n'
    )
