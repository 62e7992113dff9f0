"""A proxy before the stack that refuses or holds requests by what stands in them, such as the name of a table."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.client import HTTPException

from tests.faults.proxy import Answer, Exchange, Proxy

HOLD = "hold"
"""The request goes no further, and nobody answers until `release`."""
CUT = "cut"
"""The request goes no further, and the connection is reset."""
TOGETHER = "TransactWriteItems"
"""How states are written on one machine, 25 at a time;"""
ALONE = "TransactionCanceledException"
"""with this answer each goes out by itself."""
Rule = Callable[[str, str, str], str | None]
"""Of operation, path and body: the code of DynamoDB's error that is answered, `HOLD`, `CUT`, or None to let it pass."""


def is_fold(operation: str, body: str) -> bool:
    """Whether a request writes states, one or many at a time."""
    return operation in ("UpdateItem", TOGETHER) and '":acc"' in body


class Faulty(Proxy):
    """Treats requests by a rule, which the test may change at any time; counts what it did."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._rule: Rule | None = None
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._refused = 0
        self._held = 0

    @property
    def refused(self) -> int:
        """How many requests were answered with an error, or cut."""
        with self._lock:
            return self._refused

    @property
    def held(self) -> int:
        """How many requests were held."""
        with self._lock:
            return self._held

    def obey(self, rule: Rule | None) -> None:
        """Treat requests so from now on."""
        with self._lock:
            self._rule = rule

    def release(self) -> None:
        """Let everything through, and hang up on those that were held: nothing of theirs has happened."""
        self.obey(None)
        self._released.set()

    def handle(self, exchange: Exchange, /) -> None:
        """See `Proxy.handle`."""
        body = exchange.read(exchange.length)
        fate = self._fate(exchange, body)
        if fate == HOLD:
            self._released.wait()
            exchange.reset()
        elif fate == CUT:
            exchange.reset()
        elif fate is not None:
            error = {"__type": f"com.amazonaws.dynamodb.v20120810#{fate}", "message": "slow down"}
            content = ("Content-Type", "application/x-amz-json-1.0")
            exchange.reply(Answer(400, (content,), json.dumps(error).encode()))
        else:
            try:
                exchange.reply(exchange.forward(body))
            except (OSError, HTTPException):
                exchange.reset()

    def _fate(self, exchange: Exchange, body: bytes) -> str | None:
        with self._lock:
            if self._rule is None:
                return None
            fate = self._rule(exchange.operation, exchange.path, body.decode(errors="replace"))
            self._held += fate == HOLD
            self._refused += fate not in (None, HOLD)
            return fate
