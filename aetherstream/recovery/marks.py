"""What has been done about each dead letter and each envelope: marks beside them, which only ever become more.

Dead letters and quarantine objects are never changed nor removed by recovery (their lifecycle rules do that), so that a
wrong step can be taken back and every step stays visible. A mark is an object of its own under
`<pipeline>/audit/dead-letters/` or `<pipeline>/audit/quarantine/`, named by what it marks, its time and its action.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import orjson

from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.recovery.envelopes import Envelope

LetterState = Literal["redriven", "partial", "discarded"]
EnvelopeState = Literal["replayed", "discarded"]


@dataclass(frozen=True, slots=True)
class LetterMark:
    """The last that was done about a dead letter."""

    state: str
    at: str
    """When, as in the mark's key: `20261121T123000.000000`."""
    action: str
    """Id of the action in the audit trail."""


class Marks:
    """Reads and writes marks."""

    def __init__(self, store: ObjectStore, reader: ObjectReader, *, bucket: str, pipeline: str) -> None:
        self._store = store
        self._reader = reader
        self._bucket = bucket
        self._letters = f"{pipeline}/audit/dead-letters/"
        self._envelopes = f"{pipeline}/audit/quarantine/"

    def letters(self) -> dict[str, LetterMark]:
        """The last mark of each dead letter, by its key. One listing, no reads."""
        return self._last(self._letters)

    def _last(self, prefix: str) -> dict[str, LetterMark]:
        found = {}
        for listed in self._reader.list(self._bucket, prefix):  # by key, so by time
            key, _, name = listed.key.removeprefix(self._letters).rpartition("/")
            at, state, action = name.removesuffix(".json").split("_", 2)
            found[key] = LetterMark(state, at, action)
        return found

    def letter(self, key: str) -> LetterMark | None:
        """The last mark of one dead letter."""
        return self._last(f"{self._letters}{key}/").get(key)

    def mark_letter(self, key: str, state: LetterState, action: str, at: datetime) -> None:
        """Mark a dead letter."""
        place = f"{self._letters}{key}/{_stamp(at)}_{state}_{action}.json"
        facts = {"letter": key, "state": state, "at": at.isoformat(), "action": action}
        self._store.overwrite(self._bucket, place, orjson.dumps(facts), {})

    def marked_objects(self) -> set[str]:
        """Keys of the quarantine objects of which something is marked. One listing."""
        found = self._reader.list(self._bucket, self._envelopes)
        return {listed.key.removeprefix(self._envelopes).rpartition("/")[0] for listed in found}

    def envelopes(self, key: str) -> dict[tuple[str, str], str]:
        """The states of the marked envelopes of a quarantine object, by id and fingerprint."""
        found = {}
        for listed in self._reader.list(self._bucket, f"{self._envelopes}{key}/"):
            for line in (self._reader.get(self._bucket, listed.key) or b"").splitlines():
                mark = orjson.loads(line)
                found[mark["id"], mark["fingerprint"]] = mark["state"]
        return found

    def mark_envelopes(
        self, key: str, marked: Iterable[Envelope], state: EnvelopeState, action: str, at: datetime
    ) -> None:
        """Mark envelopes of a quarantine object."""
        facts = {"state": state, "at": at.isoformat(), "action": action}
        pairs = dict.fromkeys((envelope.id, envelope.fingerprint) for envelope in marked)
        lines = [orjson.dumps({"id": id_, "fingerprint": cause, **facts}) + b"\n" for id_, cause in pairs]
        place = f"{self._envelopes}{key}/{_stamp(at)}_{state}_{action}.ndjson"
        self._store.overwrite(self._bucket, place, b"".join(lines), {})


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S.%f}"
