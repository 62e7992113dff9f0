"""The requests of one delivery: sent, read, cut smaller, and sent again within the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aetherstream.errors import Rejected
from aetherstream.sinks.base import Answer, Outcome
from aetherstream.sinks.opensearch.answers import TOO_LARGE, Unreadable, Verdict, read, whole
from aetherstream.sinks.opensearch.wire import Response, Unreachable

T = TypeVar("T")

_NO_TIME = "no time left"
_MOST_ALONE = 8


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and after how long a request is sent again. Seconds."""

    fruitless: int = 8
    """Attempts in a row of which none brought a document on its way."""
    stuck: int = 3
    """The same where the cluster waits for somebody to act: a flood-stage block lasts until a disk is freed."""
    first: float = 0.1
    longest: float = 5.0
    request: float = 60.0
    """Most seconds of one request."""

    def pause(self, fruitless: int, random: float) -> float:
        """Seconds before the next attempt; `random` (0 to 1) keeps several writers from coming back at once."""
        return min(self.longest, self.first * 2.0 ** (fruitless - 1)) * (0.5 + random / 2)


@dataclass(frozen=True, slots=True)
class Moments:
    """The time that a delivery has, and how it passes."""

    deadline: float
    """On `clock`, in seconds."""
    clock: Callable[[], float]
    sleep: Callable[[float], object]
    random: Callable[[], float]

    def left(self) -> float:
        """Seconds that are left."""
        return self.deadline - self.clock()


class Requests:
    """What a delivery sends; `send` is called from several threads at once."""

    def __init__(
        self,
        request: Callable[[bytes, float], Response],
        ids: Sequence[str],
        body: Callable[[Sequence[int]], bytes],
        moments: Moments,
        retries: Retries,
    ) -> None:
        """`request` sends a body within so many seconds; `body` makes that of the documents at these indices."""
        self._request = request
        self._ids = ids
        self._body = body
        self._moments = moments
        self._retries = retries
        self._stopped = ""
        self._alone = 0

    def stop(self, why: str) -> None:
        """Send nothing more."""
        self._stopped = self._stopped or why

    def send(self, chunk: Sequence[int]) -> Outcome:
        """Send the documents at these indices until each is done, rejected, or can't be brought on its way now."""
        outcome = Outcome()
        self._send(chunk, outcome)
        return outcome

    def _send(self, chunk: Sequence[int], outcome: Outcome) -> None:
        left, fruitless, why = chunk, 0, _NO_TIME
        while True:
            if self._stopped or self._moments.left() <= 0:
                return self._leave(left, self._stopped or why, outcome)
            verdict, verdicts = self._ask(left)
            if len(verdicts) == len(chunk) and all(each.fate == "refused" for each in verdicts.values()):
                verdict = next(iter(verdicts.values()))
            if verdict is not None:
                why = verdict.message
                if verdict.fate == "split":
                    return self._split(left, verdict, outcome)
                refused = verdict.fate == "refused"
                outcome.answers.append(Answer(len(left), len(left), why, refused))
                if refused:
                    self.stop(why)
                    continue
                fruitless, stuck, failed = fruitless + 1, verdict.fate == "stuck", []
            else:
                again = self._sort(left, verdicts, outcome)
                failed = [verdicts[index] for index in again]
                why = failed[0].message if failed else ""
                # The documents that arrived by the attempts before count as well: the last one that is put off,
                # asked for again and again, is no cluster that takes nothing.
                outcome.answers.append(Answer(len(chunk), len(again), why))
                if not again:
                    return None
                fruitless = fruitless + 1 if len(again) == len(left) else 1
                stuck = all(each.fate == "stuck" for each in failed)
                left = [left[index] for index in again]
            if fruitless >= (self._retries.stuck if stuck else self._retries.fruitless):
                if failed and len(left) < len(chunk):
                    left = self._set_aside(left, failed, outcome)
                return self._leave(left, why, outcome)
            pause = self._retries.pause(fruitless, self._moments.random())
            if pause >= self._moments.left():
                return self._leave(left, why, outcome)
            self._moments.sleep(pause)

    def _ask(self, left: Sequence[int]) -> tuple[Verdict | None, Mapping[int, Verdict]]:
        """One request: what it came to as a whole, or else which of its documents are not done."""
        try:
            seconds = min(self._retries.request, self._moments.left())
            response = self._request(self._body(left), seconds)
            if not 200 <= response.status < 300:
                return whole(response.text, response.status), {}
            return None, read(response.text, len(left))
        except (Unreachable, Unreadable) as error:
            return Verdict("retry", "unreachable", str(error)), {}

    def _sort(self, left: Sequence[int], verdicts: Mapping[int, Verdict], outcome: Outcome) -> list[int]:
        """Note what is rejected; return the places in `left` of what may work later."""
        again = []
        for index, verdict in verdicts.items():
            if verdict.fate in ("retry", "failing", "stuck"):
                again.append(index)
            else:
                outcome.rejected[self._ids[left[index]]] = Rejected(verdict.reason, verdict.message)
        return again

    def _set_aside(self, left: Sequence[int], verdicts: Sequence[Verdict], outcome: Outcome) -> Sequence[int]:
        """Reject the few whose error has no status of its own, while their neighbours arrived; return the others.

        Else a document that the cluster can't digest would hold up its shard until its age is reached.
        """
        failing = [(index, each) for index, each in zip(left, verdicts, strict=True) if each.fate == "failing"]
        if self._alone + len(failing) > _MOST_ALONE:
            return left  # so many can't each be at fault
        self._alone += len(failing)
        for index, verdict in failing:
            why = f"{verdict.message} ({self._retries.fruitless} times, while others arrived)"
            outcome.rejected[self._ids[index]] = Rejected(verdict.reason, why)
        aside = {index for index, _ in failing}
        return [index for index in left if index not in aside]

    def _split(self, left: Sequence[int], verdict: Verdict, outcome: Outcome) -> None:
        """Send the halves of a request that is too large, or that holds something that can't be read."""
        if len(left) > 1:
            middle = len(left) // 2
            self._send(left[:middle], outcome)
            self._send(left[middle:], outcome)
            return
        self._alone += 1
        if self._alone > _MOST_ALONE and verdict.reason != TOO_LARGE:
            # So many can't each be at fault: the cluster refuses requests as we write them.
            outcome.answers.append(Answer(1, 1, verdict.message, refused=True))
            self.stop(verdict.message)
            self._leave(left, verdict.message, outcome)
            return
        outcome.answers.append(Answer(1, 0, verdict.message))
        outcome.rejected[self._ids[left[0]]] = Rejected(verdict.reason, verdict.message)

    def _leave(self, left: Sequence[int], why: str, outcome: Outcome) -> None:
        for document_id in take(self._ids, left):
            outcome.undelivered[document_id] = why


def take(column: Sequence[T], chunk: Sequence[int]) -> Sequence[T]:
    """Take the entries at these indices."""
    if isinstance(chunk, range):
        return column[chunk.start : chunk.stop]
    return [column[index] for index in chunk]
