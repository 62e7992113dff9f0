"""What the sink asks of whoever talks to the cluster: requests bounded in time, and their answers as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aetherstream.errors import Retryable


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whatever its status."""

    status: int
    text: str


class Unreachable(Retryable):
    """No answer: connection refused or lost, a time-out, a name that is not found. What was sent may have arrived."""


class Wire(Protocol):
    """Requests to one cluster.

    Obligations: one attempt a call, no retries; called from several threads at once; nothing that was sent is changed.
    """

    def request(self, method: str, path: str, body: bytes | None, seconds: float, /) -> Response:
        """Send a request and return the answer, whatever its status; `path` with its query, `seconds` at most.

        Raises Unreachable.
        """

    def begin(self) -> None:
        """Say that a delivery begins: no request is under way. Connections that were idle for long are given up."""

    def abort(self) -> None:
        """Break every request that is under way; each raises Unreachable."""
