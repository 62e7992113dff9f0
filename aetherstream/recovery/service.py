"""What the recovery function does for whoever calls it: one request, one unit, one answer, one line of audit.

Requests and answers are JSON objects. Every action may be interrupted anywhere and asked for again: the redrive writes
only what is not there, and what was done is marked after it was done. A dry run changes nothing and leaves no line.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from aetherstream.core import Decode
from aetherstream.delivery.progress import ProgressStore, peek, progress_key
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import AetherStreamError, Rejected, Retryable, UsageError
from aetherstream.records import KinesisRecords, sortable
from aetherstream.recovery.audit import Action, Audit
from aetherstream.recovery.dead_letters import DeadLetter, UnusableLetter, locations, parse
from aetherstream.recovery.envelopes import Envelope, EnvelopeUnit, UnusableEnvelope, envelopes_of, units_of
from aetherstream.recovery.lease import LeaseHeld
from aetherstream.recovery.marks import EnvelopeState, LetterState, Marks
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.replay import Replayer, from_json
from aetherstream.recovery.selection import matching

NAMED = 2_000
"""Most records, or objects, that an answer names."""

Answer = dict[str, Any]
Reread = Callable[[DeadLetter], KinesisRecords]
"""Reads the records of a letter's range from the stream again: those that the stream still has."""


@dataclass(frozen=True, slots=True)
class About:
    """What the deployed pipeline is; what `describe` answers."""

    pipeline: str
    version: str
    stream: str | None
    """ARN of the stream whose dead letters these are."""
    bucket: str
    """Of the quarantine and the audit trail."""
    prefix: str
    """Of the quarantine."""
    dead_letters: str | None
    """Bucket of the dead letters."""
    exactly_once: bool
    sinks: Mapping[str, str] = field(default_factory=dict)
    """By sink that writes objects: `bucket/prefix`."""

    def as_json(self) -> Answer:
        """See `about` of the answer to `describe`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Service:
    """Answers requests. One at a time."""

    def __init__(
        self,
        about: Callable[[], About],
        *,
        redriver: Callable[[str], Redriver],
        replayer: Replayer,
        decoder: Decode,
        reader: ObjectReader,
        progress: ProgressStore,
        marks: Marks,
        audit: Audit,
        reread: Reread,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        dry_run: bool = False,
    ) -> None:
        """`redriver` makes one for an owner of leases, given its name; `dry_run`: whatever a request says."""
        self._about = about
        self._redriver = redriver
        self._replayer = replayer
        self._decoder = decoder
        self._reader = reader
        self._progress = progress
        self._marks = marks
        self._audit = audit
        self._reread = reread
        self._clock = clock
        self._new_id = new_id
        self._dry_run = dry_run
        self._seconds_left: Callable[[], float] = lambda: math.inf

    def handle(self, request: Mapping[str, Any], seconds_left: Callable[[], float] = lambda: math.inf) -> Answer:
        """Answer a request; whatever hinders it is in the answer's `state` and `message`. Raises only on a bug."""
        self._seconds_left = seconds_left
        do = str(request.get("do"))
        actions: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "describe": self._describe,
            "dlq redrive": self._letter,
            "dlq discard": self._letter,
            "quarantine replay": self._envelopes,
            "quarantine discard": self._envelopes,
            "replay": self._replay_unit,
        }
        if do not in actions:
            known = ", ".join(actions)
            return {"state": "refused", "message": f"the recovery function knows no action {do!r}: it knows {known}"}
        try:
            return _short(actions[do](request))
        except LeaseHeld as error:
            return {"state": "held", "message": str(error), "who": error.who, "until": error.until}
        except Rejected as error:
            return {"state": "unusable", "message": error.message}
        except Retryable as error:
            return {"state": "failed", "message": str(error)}
        except AetherStreamError as error:
            return {"state": "refused", "message": str(error)}

    def messages(
        self, records: Sequence[Mapping[str, Any]], seconds_left: Callable[[], float] = lambda: math.inf
    ) -> list[str]:
        """Redrive what the messages of a queue speak of; the ids of those that have to come again."""
        return [str(record["messageId"]) for record in records if not self._message(str(record["body"]), seconds_left)]

    def _describe(self, request: Mapping[str, Any]) -> Answer:  # noqa: ARG002
        return {"state": "done", "about": self._about().as_json()}

    # -- Dead letters -------------------------------------------------------------------------------------------------

    def _letter(self, request: Mapping[str, Any]) -> Answer:
        """`key` (in the bucket of dead letters) or `letter` (its text); `where`, `dry_run`, `by`."""
        key = request.get("key")
        letter = self._read_letter(key, request.get("letter"))
        by, dry_run = str(request.get("by") or "unknown"), self._is_dry(request)
        missing = 0
        discarding = request["do"] == "dlq discard"
        if letter.batch is None and discarding:
            batch = _range_of(letter)
        elif letter.batch is None:
            batch = self._reread(letter)
            missing = letter.size - len(batch)
            if not len(batch):
                raise UnusableLetter("expired", _expired(letter, missing))
        else:
            batch = letter.batch
        redriver = self._redriver(by)
        state: LetterState = "discarded" if discarding else "redriven"
        answer: Answer = {"letter": letter.summary()}
        if not discarding:
            select, all_chosen = self._select(batch, request.get("where"))
            report = redriver.redrive(batch, select=select, dry_run=dry_run, seconds_left=self._seconds_left)
            state = "redriven" if all_chosen and report.finished else "partial"
            answer["report"] = report.as_dict()
        elif not dry_run:
            redriver.discard(batch, seconds_left=self._seconds_left)
        answer["state"] = state
        if missing:
            answer |= {"lost": missing, "message": _expired(letter, missing)}
        if dry_run:
            return answer

        def mark(action: Action) -> None:
            if key is not None:
                self._marks.mark_letter(key, state, action.id, action.at)

        return self._done(request, letter.place, answer, mark)

    def _read_letter(self, key: str | None, text: str | None) -> DeadLetter:
        about = self._about()
        if key is None:
            return parse("the message", (text or "").encode(), stream=about.stream)
        if about.dead_letters is None:
            raise UsageError("this pipeline's stack has no bucket of dead letters")
        body = self._reader.get(about.dead_letters, key)
        place = f"s3://{about.dead_letters}/{key}"
        if body is None:
            raise UnusableLetter("gone", f"{place}: there is no such object")
        return parse(place, body, stream=about.stream)

    def _select(self, batch: KinesisRecords, where: str | None) -> tuple[Callable[[str], bool] | None, bool]:
        """What `where` chooses of the decoded user records, and whether that is all of them."""
        if not where:
            return None, True
        chosen, seen = matching(self._decoder, batch, where)
        return chosen.__contains__, len(chosen) == seen

    def _message(self, body: str, seconds_left: Callable[[], float]) -> bool:
        places = locations(body)
        if not places:
            if '"s3:TestEvent"' in body:
                return True
            answer = self.handle({"do": "dlq redrive", "letter": body, "by": "queue"}, seconds_left)
            return bool(answer["state"] == "redriven")
        done = True
        for bucket, key in places:
            mark = self._marks.letter(key) if bucket == self._about().dead_letters else None
            if mark is not None and mark.state != "partial":
                continue  # somebody was faster; what was discarded stays so
            answer = self.handle({"do": "dlq redrive", "key": key, "by": "queue"}, seconds_left)
            done = done and answer["state"] in {"redriven", "unusable"}  # the object stays, and can be listed
        return done

    # -- Quarantine ---------------------------------------------------------------------------------------------------

    def _envelopes(self, request: Mapping[str, Any]) -> Answer:
        """`objects` ([{`key`, `ids`}]), `fingerprints`, `patched` (base64 by id); `dry_run`, `by`."""
        chosen: dict[str, list[Envelope]] = {}
        unusable: list[str] = []
        fingerprints = request.get("fingerprints")
        for entry in request["objects"]:
            found, bad = self._waiting(str(entry["key"]), entry.get("ids"), fingerprints)
            chosen[str(entry["key"])] = found
            unusable += bad
        flat = [envelope for found in chosen.values() for envelope in found]
        if request["do"] == "quarantine discard":
            done, answer = flat, self._counts(flat)
            answer["state"] = "discarded"
        else:
            done, answer = self._replay(flat, request)
        answer["unusable"] = unusable
        if self._is_dry(request):
            return answer

        def mark(action: Action) -> None:
            state: EnvelopeState = "discarded" if request["do"] == "quarantine discard" else "replayed"
            finished = {envelope.id for envelope in done}
            for key, found in chosen.items():
                marked = [envelope for envelope in found if envelope.id in finished]
                if marked:
                    self._marks.mark_envelopes(key, marked, state, action.id, action.at)

        targets = ", ".join(f"{key} ({len(found)})" for key, found in chosen.items())
        return self._done(request, targets, answer, mark)

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

    def _replay(self, found: Sequence[Envelope], request: Mapping[str, Any]) -> tuple[list[Envelope], Answer]:
        if not self._about().exactly_once:
            raise UsageError(
                "with `delivery: at_least_once` nothing tells which quarantined records are final, so they can't be "
                "replayed: put them on the stream again (`aetherstream quarantine export` writes them)"
            )
        patched = _patched(request.get("patched"))
        redriver = self._redriver(str(request.get("by") or "unknown"))
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
                dry_run=self._is_dry(request),
                seconds_left=self._seconds_left,
            )
            reports.append(report.as_dict())
            # A whole Kinesis record that can be opened now is still in the quarantine for each part that is refused.
            left = {*report.still_refused, *map(_kinesis_record, [*report.still_refused, *report.undelivered])}
            finished |= set(unit.ids()) - left - {_user_record(event) for event in report.undelivered}
        done = [e for e in found if e.id in finished or _kinesis_record(e.id) in finished]
        answer = self._counts(found)
        answer |= {
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

    def _is_dry(self, request: Mapping[str, Any]) -> bool:
        return self._dry_run or bool(request.get("dry_run"))

    @staticmethod
    def _counts(found: Iterable[Envelope]) -> Answer:
        envelopes = list(found)
        return {"envelopes": len(envelopes), "records": len({envelope.id for envelope in envelopes})}

    # -- Replay -------------------------------------------------------------------------------------------------------

    def _replay_unit(self, request: Mapping[str, Any]) -> Answer:
        """`unit` (`replay.as_json`), `source` (`stream` or `archive`), `into` (names of sinks); `dry_run`, `by`."""
        unit = from_json(request.get("unit"))
        stream = self._about().stream
        if stream is not None and unit.stream != stream:
            raise UsageError(f"the records are of {unit.stream}; this pipeline reads {stream}")
        if not self._about().exactly_once:
            raise UsageError("without progress items (`delivery: at_least_once`) nobody can tell what is delivered")
        done = self._replayer.replay(
            unit,
            source="archive" if request.get("source") == "archive" else "stream",
            into=[str(name) for name in request.get("into") or ()],
            owner=str(request.get("by") or "unknown"),
            dry_run=self._is_dry(request),
            seconds_left=self._seconds_left,
        )
        report = done.report
        answer: Answer = {
            "state": "partial" if report.left else "replayed",
            "report": report.as_dict(),
            "not_settled": done.not_settled,
            "refused": done.refused,
        }
        if self._is_dry(request):
            return answer
        return self._done(request, f"{report.shard} {report.first}–{report.last}", answer, lambda _: None)

    # -- All of them --------------------------------------------------------------------------------------------------

    def _done(
        self, request: Mapping[str, Any], target: str, answer: Answer, mark: Callable[[Action], object]
    ) -> Answer:
        """Note what has been done: first in the audit trail, then beside what it was done to."""
        result = {name: value for name, value in answer.items() if name != "letter"}
        for option in ("where", "fingerprints", "why", "source", "into"):
            if request.get(option):
                result[option] = request[option]
        if request.get("patched"):
            result["patched"] = sorted(request["patched"])
        by = str(request.get("by") or "unknown")
        action = Action(self._new_id(), self._clock(), by, str(request["do"]), target, result)
        answer["audit"] = f"s3://{self._audit.bucket}/{self._audit.write(action)}"
        mark(action)
        return answer


def _short(answer: Answer) -> Answer:
    """The answer with long lists of its reports cut (AWS: 6 MB for a response); the audit trail has all of them."""
    for report in [*answer.get("reports", ()), *([answer["report"]] if "report" in answer else ())]:
        for name, held in report.items():
            if isinstance(held, list | dict) and len(held) > NAMED:
                report[name] = held[:NAMED] if isinstance(held, list) else dict(islice(held.items(), NAMED))
    return answer


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


def _range_of(letter: DeadLetter) -> KinesisRecords:
    """A unit that covers the letter's range without its records, for a discard."""
    sequences = [letter.first] if letter.first == letter.last else [letter.first, letter.last]
    arrivals = [datetime.fromisoformat(at).timestamp() for at in (letter.first_arrival, letter.last_arrival)]
    count = len(sequences)
    return KinesisRecords(letter.stream, letter.shard, sequences, arrivals[-count:], [""] * count, [""] * count)


def _expired(letter: DeadLetter, missing: int) -> str:
    return (
        f"{missing} of the {letter.size} records of {letter.place} ({letter.shard}, {letter.first} to {letter.last}, "
        f"arrived {letter.first_arrival} to {letter.last_arrival}) are lost: the stream no longer has them, and the "
        "dead letter holds only their metadata"
    )
