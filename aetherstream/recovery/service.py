"""What the recovery function does for whoever calls it: one request, one unit, one answer, one line of audit.

Requests and answers are JSON objects. Every action may be interrupted anywhere and asked for again: the redrive writes
only what is not there, and what was done is marked after it was done. A dry run changes nothing and leaves no line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from aetherstream.core import Decode
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import AetherStreamError, Rejected, Retryable, UsageError
from aetherstream.recovery.audit import Audit
from aetherstream.recovery.dead_letters import locations
from aetherstream.recovery.lease import LeaseHeld
from aetherstream.recovery.letters import Letters, Reread
from aetherstream.recovery.marks import Marks
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.refused import Refused
from aetherstream.recovery.replay import Replayer, from_json
from aetherstream.recovery.request import About, Actions, Answer, Request

NAMED = 2_000
"""Most records, or objects, that an answer names."""


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
        self._replayer = replayer
        self._dry_run = dry_run
        self._actions = Actions(audit, clock=clock, new_id=new_id)
        self._letters = Letters(
            about,
            redriver=redriver,
            decoder=decoder,
            reader=reader,
            marks=marks,
            actions=self._actions,
            reread=reread,
        )
        refused = Refused(
            about, redriver=redriver, reader=reader, progress=progress, marks=marks, actions=self._actions
        )
        self._acts: Mapping[str, Callable[[Request], Answer]] = {
            "describe": self._describe,
            "dlq redrive": self._letters.act,
            "dlq discard": self._letters.act,
            "quarantine replay": refused.act,
            "quarantine discard": refused.act,
            "replay": self._replay,
        }

    def handle(self, given: Mapping[str, Any], seconds_left: Callable[[], float] = lambda: math.inf) -> Answer:
        """Answer a request: `do`, who asks (`by`), its `id`, `dry_run`, and the fields of the action.

        Whatever hinders it is in the answer's `state` and `message`. Raises only on a bug.
        """
        request = Request(str(given.get("do")), given, self._dry_run or bool(given.get("dry_run")), seconds_left)
        if request.do not in self._acts:
            known = ", ".join(self._acts)
            message = f"the recovery function knows no action {request.do!r}: it knows {known}"
            return {"state": "refused", "message": message}
        try:
            return _short(self._acts[request.do](request))
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
        return [str(record["messageId"]) for record in records if not self._message(record, seconds_left)]

    def _message(self, record: Mapping[str, Any], seconds_left: Callable[[], float]) -> bool:
        body = str(record["body"])
        # The message that comes again, because the function was killed by it, goes on with what it had begun.
        asked = {"do": "dlq redrive", "by": "queue", "id": str(record["messageId"])}
        places = locations(body)
        if not places:
            if '"s3:TestEvent"' in body:
                return True
            answer = self.handle({**asked, "letter": body}, seconds_left)
            return bool(answer["state"] == "redriven")
        done = True
        for bucket, key in places:
            if self._letters.is_settled(bucket, key):
                continue  # somebody was faster; what was discarded stays so
            answer = self.handle({**asked, "key": key}, seconds_left)
            done = done and answer["state"] in {"redriven", "unusable"}  # the object stays, and can be listed
        return done

    def _describe(self, request: Request) -> Answer:  # noqa: ARG002
        return {"state": "done", "about": self._about().as_json()}

    def _replay(self, request: Request) -> Answer:
        """`unit` (`replay.as_json`), `source` (`stream` or `archive`), `into` (names of sinks), `skip_aggregates`."""
        given, about = request.given, self._about()
        unit = from_json(given.get("unit"))
        if about.stream is not None and unit.stream != about.stream:
            raise UsageError(f"the records are of {unit.stream}; this pipeline reads {about.stream}")
        if not about.exactly_once:
            raise UsageError("without progress items (`delivery: at_least_once`) nobody can tell what is delivered")
        done = self._replayer.replay(
            unit,
            source="archive" if given.get("source") == "archive" else "stream",
            into=[str(name) for name in given.get("into") or ()],
            owner=request.owner(),
            folds=not given.get("skip_aggregates"),
            dry_run=request.dry_run,
            seconds_left=request.seconds_left,
        )
        report = done.report
        answer: Answer = {
            "state": "partial" if report.left else "replayed",
            "report": report.as_dict(),
            "not_settled": done.not_settled,
            "refused": done.refused,
        }
        if request.dry_run:
            return answer
        return self._actions.done(request, f"{report.shard} {report.first}–{report.last}", answer, lambda _: None)


def _short(answer: Answer) -> Answer:
    """The answer with long lists of its reports cut (AWS: 6 MB for a response); the audit trail has all of them."""
    for report in [*answer.get("reports", ()), *([answer["report"]] if "report" in answer else ())]:
        for name, held in report.items():
            if isinstance(held, list | dict) and len(held) > NAMED:
                report[name] = held[:NAMED] if isinstance(held, list) else dict(islice(held.items(), NAMED))
    return answer
