"""A per-record sink in memory that fails on request: what tests put where OpenSearch or DynamoDB stands."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from aetherstream.errors import Rejected
from aetherstream.records import Event
from aetherstream.sinks.base import Answer as RequestAnswer
from aetherstream.sinks.base import Documents, Outcome

Answer = Rejected | str | None
"""What a document comes to: refused for good, not now (the reason), or stored."""


def store_all(document_id: str, document: Event) -> Answer:  # noqa: ARG001
    """Store every document."""
    return None


class MemoryRecordSink:
    """`RecordSink` in memory. `answer` may be replaced at any time; `max_bytes` refuses documents that are larger."""

    def __init__(
        self,
        name: str = "search",
        *,
        answer: Callable[[str, Event], Answer] = store_all,
        max_bytes: int = 10 * 1024 * 1024,
    ) -> None:
        self.name = name
        self.answer = answer
        self.down: str | None = None
        """Why the sink does not answer at all; None: it does."""
        self.documents: dict[str, Event] = {}
        self.places: dict[str, str] = {}
        self.writes = 0
        self._max_bytes = max_bytes

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
        """See `RecordSink.deliver`."""
        outcome, count = Outcome(), len(documents)
        if self.down is not None:
            outcome.undelivered = dict.fromkeys(documents.ids, self.down)
            outcome.answers = [RequestAnswer(count, count, self.down)] if count else []
            return outcome
        for document_id, place, line in zip(documents.ids, documents.places, documents.bodies, strict=True):
            document = orjson.loads(line)
            answer = self.answer(document_id, document) if seconds > 0 else "no time left"
            if len(line) > self._max_bytes:
                answer = Rejected("document is too large", f"{document_id}: larger than {self._max_bytes} bytes")
            if isinstance(answer, Rejected):
                outcome.rejected[document_id] = answer
            elif answer is not None:
                outcome.undelivered[document_id] = answer
            else:
                # As OpenSearch creates documents: the first of an id stays.
                self.documents.setdefault(document_id, document)
                self.places.setdefault(document_id, place)
                self.writes += 1
        if count:
            outcome.answers = [
                RequestAnswer(count, len(outcome.undelivered), next(iter(outcome.undelivered.values()), ""))
            ]
        return outcome
