"""One request to the recovery function, and what is noted of it once it is done."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aetherstream.recovery.audit import Action, Audit

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What the deployed pipeline is; what `describe` answers."""

    pipeline: str
    version: str
    stream: str | None
    """ARN of the stream whose dead letters these are."""
    function: str | None
    """Name of the stream function; None where it is not known, and not asked for."""
    bucket: str
    """Of the quarantine and the audit trail."""
    prefix: str
    """Of the quarantine."""
    dead_letters: str | None
    """Bucket of the dead letters."""
    exactly_once: bool
    sinks: Mapping[str, str] = field(default_factory=dict)
    """By sink that writes objects: `bucket/prefix`."""
    staging: Sequence[str] = ()
    """Those of them whose objects hold rows of a table, and no events."""
    record_sinks: Sequence[str] = ()
    """The sinks that take single documents."""

    def as_json(self) -> Answer:
        """See `about` of the answer to `describe`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for: the fields of the action stand in `given`."""

    do: str
    given: Mapping[str, Any]
    dry_run: bool
    seconds_left: Callable[[], float]

    @property
    def by(self) -> str:
        """Who asks, for the audit trail."""
        return str(self.given.get("by") or "unknown")

    def owner(self) -> str:
        """Who holds the leases: who asks, and the `id` of the request.

        Whoever asks again after the function was killed gives the same id, and so goes on with what it had begun
        without waiting for the lease. A request without one has an owner of its own each time.
        """
        return f"{self.by} ({str(self.given.get('id') or uuid.uuid4().hex)[:8]})"


class Actions:
    """Notes what has been done: first in the audit trail, then beside what it was done to."""

    def __init__(self, audit: Audit, *, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    def done(self, request: Request, target: str, answer: Answer, mark: Callable[[Action], object]) -> Answer:
        """Write the line, then call `mark` with it; returns the answer with the line's place."""
        result = {name: value for name, value in answer.items() if name != "letter"}
        for option in ("where", "fingerprints", "why", "source", "into", "function", "skip_aggregates"):
            if request.given.get(option):
                result[option] = request.given[option]
        if request.given.get("patched"):
            result["patched"] = sorted(request.given["patched"])
        action = Action(self._new_id(), self._clock(), request.by, request.do, target, result)
        answer["audit"] = f"s3://{self._audit.bucket}/{self._audit.write(action)}"
        mark(action)
        return answer
