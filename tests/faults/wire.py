"""A proxy that loses answers and cuts uploads, and writes down what it did.

microburst can do neither to a put of S3 and count it: the answer has no body whose sending it could break off, and it
counts the calls that it chose, not those that it spoilt.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Literal

from tests.faults.proxy import Exchange, Proxy

Part = Literal["answer", "upload"]
Fate = Literal["passed", "answer lost", "upload cut", "unanswered"]


@dataclass(frozen=True, slots=True)
class Spoil:
    """Of each `one_of` requests of an operation that can be spoilt so, one is; which one, the seed says.

    answer: the request goes on whole and has its effect (2xx); the whole answer is read, and none of it sent.
    upload: when half of the body has been read, the connection is reset; nothing goes on.
    """

    part: Part
    operation: str
    one_of: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, as the proxy saw it."""

    operation: str
    call: str
    """The SDK's id of the call: the same for each try of it."""
    fate: Fate
    status: int | None
    """What the service answered; None where the request did not get there, or nothing came back."""


class Wire(Proxy):
    """Spoils requests by `spoils`, and keeps a log."""

    def __init__(self, upstream: str, spoils: Iterable[Spoil] = (), *, seed: int = 1) -> None:
        super().__init__(upstream)
        self._lots = {
            (spoil.part, spoil.operation): _Lots(spoil.one_of, random.Random(f"{seed} {spoil}")) for spoil in spoils
        }
        self._lock = threading.Lock()
        self._log: list[Seen] = []

    @property
    def log(self) -> list[Seen]:
        """Every request so far whose fate is decided."""
        with self._lock:
            return list(self._log)

    @property
    def spoilt(self) -> int:
        """How many requests this proxy has spoilt."""
        return sum(seen.fate in ("answer lost", "upload cut") for seen in self.log)

    def handle(self, exchange: Exchange, /) -> None:
        """Send a request on and answer it, unless it is spoilt."""
        if exchange.length and self._is_drawn("upload", exchange.operation):
            exchange.read(exchange.length // 2)
            self._note(exchange, "upload cut", None)
            exchange.reset()
            return
        try:
            answer = exchange.forward(exchange.read(exchange.length))
        except (OSError, HTTPException):
            self._note(exchange, "unanswered", None)
            exchange.reset()
            return
        if answer.status < 300 and self._is_drawn("answer", exchange.operation):
            self._note(exchange, "answer lost", answer.status)
            exchange.hang_up()
        else:
            self._note(exchange, "passed", answer.status)
            exchange.reply(answer)

    def _is_drawn(self, part: Part, operation: str) -> bool:
        with self._lock:
            lots = self._lots.get((part, operation))
            return lots is not None and lots.draw()

    def _note(self, exchange: Exchange, fate: Fate, status: int | None) -> None:
        seen = Seen(exchange.operation, exchange.headers.get("amz-sdk-invocation-id", ""), fate, status)
        with self._lock:
            self._log.append(seen)


class _Lots:
    """One of each `one_of` draws is True."""

    def __init__(self, one_of: int, chance: random.Random) -> None:
        self._one_of = one_of
        self._chance = chance
        self._left: list[bool] = []

    def draw(self) -> bool:
        if not self._left:
            self._left = [index == 0 for index in range(self._one_of)]
            self._chance.shuffle(self._left)
        return self._left.pop()
