"""A sink's circuit breaker as one process of the stream function has it.

It promises: a sink that is down is noticed after a few requests and is then left alone; a probe always becomes due; a
table that can't be reached never stops a batch, since what this process has seen itself then counts. A warm process
reads the shared state once in `LOOK` seconds, and every `LOOK_OPEN` seconds while the breaker is not closed; it writes
only when the state changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aetherstream.delivery.breaker_item import (
    OVERDUE,
    BreakerItem,
    BreakerStore,
    Rules,
    State,
    breaker_key,
    due,
    half_opened,
    has_answered,
    opened,
)
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.sinks.base import Answer

__all__ = ["Breaker", "BreakerStore", "Rules", "State", "breaker_key", "is_failing"]

LOOK: Final = 30.0
"""Seconds between two readings of the shared state while it is closed: so a breaker opened by hand is heard of."""

LOOK_OPEN: Final = 5.0
"""Seconds between two readings while it is not closed."""

LEAST_REQUESTS: Final = 10
"""Requests in the window from which a share of failed documents says something."""

BY: Final = "stream"
_TRIES = 5


def is_failing(answer: Answer, share: float) -> bool:
    """Tell whether an answer speaks of a sink that does not work: refused, or at least `share` of the documents."""
    return answer.refused or (answer.failed > 0 and answer.failed >= share * answer.documents)


@dataclass(slots=True)
class _Second:
    at: float
    requests: int = 0
    documents: int = 0
    failed: int = 0


class Judge:
    """Decides from the answers of a sink whether it is down."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._streak = 0
        self._refused = ""
        self._last = ""
        self._seconds: deque[_Second] = deque()

    def add(self, answers: Sequence[Answer], now: float) -> None:
        """Take note of the answers of a delivery; `now`: epoch seconds."""
        for answer in answers:
            if answer.refused:
                self._refused = answer.why or "refused"
            if not answer.documents:
                continue
            self._streak = self._streak + 1 if answer.failed >= answer.documents else 0
            if answer.failed:
                self._last = answer.why
            if not self._seconds or now - self._seconds[-1].at >= 1 or now < self._seconds[-1].at:
                self._seconds.append(_Second(now))
            second = self._seconds[-1]
            second.requests += 1
            second.documents += answer.documents
            second.failed += answer.failed
        while self._seconds and not 0 <= now - self._seconds[0].at < self._rules.window:
            self._seconds.popleft()

    def verdict(self) -> str:
        """Why the breaker has to open; empty where it has not."""
        because = f": {self._last}" if self._last else ""
        if self._refused:
            return f"the sink refuses requests as a whole: {self._refused}"
        if self._streak >= self._rules.failures:
            return f"{self._streak} requests in a row failed whole{because}"
        requests = sum(second.requests for second in self._seconds)
        documents = sum(second.documents for second in self._seconds)
        failed = sum(second.failed for second in self._seconds)
        if requests >= LEAST_REQUESTS and failed and failed >= self._rules.share * documents:
            return f"{failed} of {documents} documents of the last {self._rules.window:g} s failed{because}"
        return ""


class Breaker:
    """The breaker of one sink in one process. Not thread-safe."""

    def __init__(self, store: BreakerStore, key: str, rules: Rules, *, clock: Callable[[], float]) -> None:
        """`key`: from `breaker_key`; `clock`: epoch seconds."""
        self.trouble = ""
        """Why the shared state could not be read or written the last time; empty where it could."""
        self._store = store
        self._rules = rules
        self._clock = clock
        self._judge = Judge(rules)
        self._item = BreakerItem(key)
        self._looked: float | None = None

    @property
    def patience(self) -> float:
        """Most seconds that one delivery may take."""
        return self._rules.patience

    @property
    def state(self) -> State:
        """The state as this process knows it."""
        return self._item.state

    @property
    def why(self) -> str:
        """What brought the state about, in words."""
        return self._item.why

    def allows(self) -> bool:
        """Tell whether the sink is to be asked; False: it is open, and its documents are to be spilled."""
        now = self._clock()
        interval = LOOK if self._item.state == "closed" else LOOK_OPEN
        if self._looked is None or not 0 <= now - self._looked < interval:
            self._look(now)
        return self._item.state != "open"

    def note(self, answers: Sequence[Answer]) -> bool:
        """Judge by the answers of a delivery.

        Returns whether the breaker is open now: then what is undelivered is to be spilled in this same attempt.
        """
        now = self._clock()
        self._judge.add(answers, now)
        for _ in range(_TRIES):
            change = self._change(answers, now)
            if change is None or self._write(change):
                break
        return self._item.state == "open"

    def _change(self, answers: Sequence[Answer], now: float) -> BreakerItem | None:
        """What the answers make of the state as it is known."""
        item = self._item
        if item.state == "closed":
            why = self._judge.verdict()
            return opened(item, now, why, BY, self._rules) if why else None
        if item.state == "half_open":
            failing = next((answer for answer in answers if is_failing(answer, self._rules.share)), None)
            if failing is not None:
                why = f"half open, a request failed: {failing.why or 'no reason given'}"
                return opened(item, now, why, BY, self._rules)
            if not item.answered and any(answer.documents for answer in answers):
                return has_answered(item)
        return None

    def _look(self, now: float) -> None:
        """Read the shared state; share what this process had to decide alone."""
        self._looked = now
        mine = self._item
        try:
            stored = self._store.read(mine.key)
        except (Retryable, ConfigurationError) as error:
            self.trouble = str(error)
            if due(mine, now):
                # Nobody can tell this process of a probe: the live traffic is one.
                why = "the shared state can't be read, and a probe is due"
                self._set(half_opened(mine, now, why, BY, answered=False))
            return
        self.trouble = ""
        unshared = mine.state == "open" and stored.revision < mine.revision and not due(mine, now)
        self._set(stored)
        for _ in range(_TRIES):
            item = self._item
            if unshared and item.state != "open":
                change = opened(item, now, mine.why, BY, self._rules)
            elif due(item, now, late=OVERDUE):
                why = f"a probe has been due for {OVERDUE:g} s and no drain has made it"
                change = half_opened(item, now, why, BY, answered=False)
            else:
                return
            if self._write(change):
                return

    def _write(self, item: BreakerItem) -> bool:
        """Write; returns False where another writer came between, whose item then counts."""
        try:
            stored = self._store.write(item)
        except (Retryable, ConfigurationError) as error:
            self.trouble = str(error)
            self._set(item)
            return True
        self.trouble = ""
        if stored is None or stored == item:  # equal: our own write, of which the answer was lost
            self._set(item)
            return True
        self._set(stored)
        return False

    def _set(self, item: BreakerItem) -> None:
        if item.state != self._item.state:
            self._judge = Judge(self._rules)  # what came before was judged
        self._item = item
