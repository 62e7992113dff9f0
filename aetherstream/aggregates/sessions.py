"""Sessions of one group: cut by gaps, merged where they overlap, in any order with one result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .windows import Window

Accs = tuple[Any, ...]
"""The states of an aggregate's outputs, in their order."""


class SessionState(NamedTuple):
    """One session and its states."""

    first: float
    """Event time of its first event."""
    last: float
    """Event time of its last event; the session ends a gap later."""
    accs: Accs

    def window(self, gap: float) -> Window:
        """From its first event to a gap behind its last."""
        return Window(self.first, self.last + gap)


Sessions = tuple[SessionState, ...]
"""Ascending; the gap between two is `gap` at least."""


def cut(times: Sequence[float], indices: Iterable[int], gap: float) -> list[list[int]]:
    """Cut events of one group into sessions: lists of indices, each ascending by time."""
    ordered = sorted(indices, key=lambda index: times[index])
    sessions = [[ordered[0]]] if ordered else []
    for index in ordered[1:]:
        if times[index] < times[sessions[-1][-1]] + gap:
            sessions[-1].append(index)
        else:
            sessions.append([index])
    return sessions


def merged(a: Sessions, b: Sessions, gap: float, merge: Callable[[Accs, Accs], Accs]) -> Sessions:
    """Unite sessions; those that overlap become one, also where only a third one bridges them."""
    out: list[SessionState] = []
    for session in sorted((*a, *b), key=lambda session: session[:2]):
        if out and session.first < out[-1].last + gap:
            before = out.pop()
            session = SessionState(before.first, max(before.last, session.last), merge(before.accs, session.accs))
        out.append(session)
    return tuple(out)


def split(sessions: Sessions, gap: float, watermark: float | None, lateness: float) -> tuple[Sessions, Sessions]:
    """Tell the closed sessions from the open ones."""
    if watermark is None:
        return (), sessions
    done = sum(session.last + gap + lateness <= watermark for session in sessions)
    return sessions[:done], sessions[done:]
