"""Requests about dead letters: redriven or discarded, whole or in part, from the bucket or from a message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aetherstream.core import Decode
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import UsageError
from aetherstream.records import KinesisRecords
from aetherstream.recovery.audit import Action
from aetherstream.recovery.choice import Select
from aetherstream.recovery.dead_letters import DeadLetter, UnusableLetter, parse
from aetherstream.recovery.marks import LetterState, Marks
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.request import About, Actions, Answer, Request
from aetherstream.recovery.selection import Matching

Reread = Callable[[DeadLetter], KinesisRecords]
"""Reads the records of a letter's range from the stream again: those that the stream still has."""


class Letters:
    """Redrives and discards dead letters."""

    def __init__(
        self,
        about: Callable[[], About],
        *,
        redriver: Callable[[str], Redriver],
        decoder: Decode,
        reader: ObjectReader,
        marks: Marks,
        actions: Actions,
        reread: Reread,
    ) -> None:
        self._about = about
        self._redriver = redriver
        self._decoder = decoder
        self._reader = reader
        self._marks = marks
        self._actions = actions
        self._reread = reread

    def act(self, request: Request) -> Answer:
        """`key` (in the bucket of dead letters) or `letter` (its text); `where`; `function`, which may be another."""
        key = request.given.get("key")
        letter = self._read(request, key)
        discarding = request.do == "dlq discard"
        batch = _range_of(letter) if letter.batch is None and discarding else letter.batch
        missing = 0
        if batch is None:
            batch = self._reread(letter)
            missing = letter.size - len(batch)
            if not len(batch):
                raise UnusableLetter("expired", _expired(letter, missing))
        answer: Answer = {"letter": letter.summary()}
        state: LetterState = "discarded"
        redriver = self._redriver(request.owner())
        if not discarding:
            select = self._select(batch, request.given.get("where"))
            report = redriver.redrive(batch, select=select, dry_run=request.dry_run, seconds_left=request.seconds_left)
            state = "redriven" if report.finished else "partial"
            answer["report"] = report.as_dict()
        elif not request.dry_run:
            redriver.discard(batch, seconds_left=request.seconds_left)
        answer["state"] = state
        if missing:
            answer |= {"lost": missing, "message": _expired(letter, missing)}
        if request.dry_run:
            return answer

        def mark(action: Action) -> None:
            if key is not None:
                self._marks.mark_letter(key, state, action.id, action.at)

        return self._actions.done(request, letter.place, answer, mark)

    def is_settled(self, bucket: str, key: str) -> bool:
        """Whether somebody has redriven or discarded all of a letter."""
        mark = self._marks.letter(key) if bucket == self._about().dead_letters else None
        return mark is not None and mark.state != "partial"

    def _read(self, request: Request, key: str | None) -> DeadLetter:
        about = self._about()
        function = request.given.get("function") or about.function
        if key is None:
            text = str(request.given.get("letter") or "")
            return parse("the message", text.encode(), stream=about.stream, function=function)
        if about.dead_letters is None:
            raise UsageError("this pipeline's stack has no bucket of dead letters")
        body = self._reader.get(about.dead_letters, key)
        place = f"s3://{about.dead_letters}/{key}"
        if body is None:
            raise UnusableLetter("gone", f"{place}: there is no such object")
        return parse(place, body, stream=about.stream, function=function)

    def _select(self, batch: KinesisRecords, where: str | None) -> Select | None:
        return Matching(self._decoder, batch, where) if where else None


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
