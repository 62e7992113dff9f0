"""Requests about quarantined records: replayed through the pipeline, perhaps patched, or discarded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence

from aetherstream.delivery.progress import ProgressStore, peek, progress_key
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import UsageError
from aetherstream.records import sortable
from aetherstream.recovery.audit import Action
from aetherstream.recovery.envelopes import Envelope, EnvelopeUnit, UnusableEnvelope, envelopes_of, units_of
from aetherstream.recovery.marks import EnvelopeState, Marks
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.request import About, Actions, Answer, Request


class Refused:
    """Replays and discards envelopes of the quarantine."""

    def __init__(
        self,
        about: Callable[[], About],
        *,
        redriver: Callable[[str], Redriver],
        reader: ObjectReader,
        progress: ProgressStore,
        marks: Marks,
        actions: Actions,
    ) -> None:
        self._about = about
        self._redriver = redriver
        self._reader = reader
        self._progress = progress
        self._marks = marks
        self._actions = actions

    def act(self, request: Request) -> Answer:
        """`objects` ([{`key`, `ids`}]), `fingerprints`, `patched` (base64 by id)."""
        chosen: dict[str, list[Envelope]] = {}
        unusable: list[str] = []
        fingerprints = request.given.get("fingerprints")
        for entry in request.given["objects"]:
            found, bad = self._waiting(str(entry["key"]), entry.get("ids"), fingerprints)
            chosen[str(entry["key"])] = found
            unusable += bad
        flat = [envelope for found in chosen.values() for envelope in found]
        discarding = request.do == "quarantine discard"
        done, answer = (flat, {**_counts(flat), "state": "discarded"}) if discarding else self._replay(flat, request)
        answer["unusable"] = unusable
        if request.dry_run:
            return answer

        def mark(action: Action) -> None:
            state: EnvelopeState = "discarded" if discarding else "replayed"
            finished = {envelope.id for envelope in done}
            for key, found in chosen.items():
                marked = [envelope for envelope in found if envelope.id in finished]
                if marked:
                    self._marks.mark_envelopes(key, marked, state, action.id, action.at)

        targets = ", ".join(f"{key} ({len(found)})" for key, found in chosen.items())
        return self._actions.done(request, targets, answer, mark)

    def _waiting(
        self, key: str, ids: Sequence[str] | None, fingerprints: Sequence[str] | None
    ) -> tuple[list[Envelope], list[str]]:
        """The chosen envelopes of an object of which nothing has been done yet, and what is wrong with others."""
        about = self._about()
        if not key.startswith(f"{about.prefix}/"):
            raise UsageError(
                f"{key} is not in the quarantine of {about.pipeline} (s3://{about.bucket}/{about.prefix}/)"
            )
        body = self._reader.get(about.bucket, key)
        place = f"s3://{about.bucket}/{key}"
        if body is None:
            return [], [f"{place}: there is no such object"]
        marks = self._marks.envelopes(key)
        wanted = None if ids is None else set(ids)
        found: list[Envelope] = []
        bad: list[str] = []
        for each in envelopes_of(place, key, body, about.pipeline):
            if isinstance(each, UnusableEnvelope):
                bad.append(each.message)
            elif (
                (wanted is None or each.id in wanted)
                and (fingerprints is None or each.fingerprint in fingerprints)
                and (each.id, each.fingerprint) not in marks
            ):
                found.append(each)
        return found, bad

    def _replay(self, found: Sequence[Envelope], request: Request) -> tuple[list[Envelope], Answer]:
        if not self._about().exactly_once:
            raise UsageError(
                "with `delivery: at_least_once` nothing tells which quarantined records are final, so they can't be "
                "replayed: put them on the stream again (`aetherstream quarantine export` writes them)"
            )
        patched = _patched(request.given.get("patched"))
        redriver = self._redriver(request.owner())
        finished: set[str] = set()
        reports: list[Answer] = []
        not_final = 0
        for whole in units_of(found, patched):
            unit = self._final(whole)
            not_final += len(whole) - len(unit)
            if not len(unit):
                continue
            report = redriver.redrive(
                unit.records,
                origin="quarantine",
                subs=unit.subs,
                dry_run=request.dry_run,
                seconds_left=request.seconds_left,
            )
            reports.append(report.as_dict())
            # A whole Kinesis record that can be opened now is still in the quarantine for each part that is refused.
            left = {*report.still_refused, *map(_kinesis_record, [*report.still_refused, *report.undelivered])}
            finished |= set(unit.ids()) - left - {_user_record(event) for event in report.undelivered}
        done = [e for e in found if e.id in finished or _kinesis_record(e.id) in finished]
        answer: Answer = {
            **_counts(found),
            "state": "replayed" if len(done) == len(found) else "partial",
            "finished": len({envelope.id for envelope in done}),
            "not_final": not_final,
            "reports": reports,
        }
        return done, answer

    def _final(self, unit: EnvelopeUnit) -> EnvelopeUnit:
        """The rows up to the shard's mark: what lies beyond may still be changed by the batch that is under way."""
        records = unit.records
        item = peek(self._progress, progress_key(self._about().pipeline, records.stream, records.shard))
        return unit.part(0, sum(1 for sequence in records.sequences if sortable(sequence) <= item.completed))


def _counts(found: Iterable[Envelope]) -> Answer:
    envelopes = list(found)
    return {"envelopes": len(envelopes), "records": len({envelope.id for envelope in envelopes})}


def _kinesis_record(name: str) -> str:
    """`shard:sequence` of the name of a record or event."""
    return ":".join(name.split(":")[:2])


def _user_record(event_id: str) -> str:
    """`shard:sequence:sub` of an event id."""
    return ":".join(event_id.split(":")[:3])


def _patched(given: Mapping[str, str] | None) -> dict[str, bytes]:
    try:
        return {id_: base64.b64decode(data, validate=True) for id_, data in (given or {}).items()}
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"`patched` holds what is not base64: {error}") from None
