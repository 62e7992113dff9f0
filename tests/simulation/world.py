"""Whose turn it is: one attempt runs at a time, and others get theirs between its requests to the services.

An attempt that Lambda gives up goes on: it has a thread of its own, which runs only while it holds the baton. So a
schedule is decided by the seed alone.
"""

from __future__ import annotations

import _thread
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aetherstream.delivery.put import Conflict, Missing, PreconditionFailed
from aetherstream.errors import Retryable
from tests.simulation.faults import KILLS, Fault, Profile

T = TypeVar("T")
_LANDS_UNSEEN = (PreconditionFailed, Missing)


class Killed(BaseException):
    """The process of the attempt ends here."""


class Job(Protocol):
    """One of the parallel puts of an attempt."""

    def pause(self) -> None:
        """Let the attempt's other puts go on; comes back when it is this one's turn again."""


@dataclass(eq=False)
class Attempt:
    """One invocation of the function, or one redrive."""

    name: str
    body: Callable[[], Any]
    sequences: list[str]
    abandon_at: int | None = None
    """Number of the effect before which Lambda gives the attempt up."""
    report: Any = None
    error: BaseException | None = None
    done: bool = False
    redrives: bool = False
    """Whether it is an operator's."""
    abandoned: bool = False
    unclean: bool = False
    """Whether its end may look like that of a killed one."""
    effects: int = 0
    doomed: bool = False
    dead: bool = False
    """Killed: whatever it still tries in a `finally` does not happen."""
    go: threading.Lock = field(default_factory=threading.Lock)
    back: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """Run to the end, whatever it is."""
        try:
            self.report = self.body()
        except Killed as end:
            self.error = end
        except Exception as error:  # noqa: BLE001 - a bug, which the check reports
            self.error = error
        self.done = True


class World:
    """The baton, the faults, and the log of what happened."""

    def __init__(self, rng: random.Random, profile: Profile, spared: frozenset[int] = frozenset()) -> None:
        """`spared`: numbers of the faults, in their order, that are not to happen after all."""
        self.rng = rng
        self.profile = profile
        self.spared = spared
        self.faults = 0
        """Number of the next fault."""
        self.eagerness = 0.4
        """How soon what was given up goes on, and what is late lands."""
        self.calm = False
        """Once it is, nothing goes wrong any more."""
        self.outage = 0
        """Requests for which the stores stay down."""
        self.now = 0.0
        self.log: list[tuple[float, str, str, Fault | None]] = []
        self.violations: list[str] = []
        self.late: list[tuple[str, Callable[[], object]]] = []
        self.current: Attempt | None = None
        self.job: Job | None = None
        """Whichever of the attempt's parallel puts is at work."""
        self.abandoned: list[Attempt] = []

    def note(self, what: str, fault: Fault | None = None) -> None:
        """Write a line of the schedule."""
        self.log.append((self.now, self.current.name if self.current else "-", what, fault))

    def violate(self, what: str) -> None:
        """Note that a promise was broken."""
        self.violations.append(what)
        self.note(f"VIOLATION: {what}")

    # -- Attempts ----------------------------------------------------------------------------------------------------

    def run(self, attempt: Attempt) -> None:
        """Run an attempt until it is done or given up."""
        if attempt.abandon_at is None:
            self.current = attempt
            attempt.work()
            self.current = None
            return
        attempt.go.acquire()
        attempt.back.acquire()
        self.current = attempt

        def thread() -> None:
            attempt.work()
            attempt.back.release()

        _thread.start_new_thread(thread, ())
        attempt.back.acquire()
        self.current = self.job = None
        if not attempt.done:
            attempt.abandoned = attempt.unclean = True
            self.abandoned.append(attempt)
            self.note(f"{attempt.name} is given up and goes on", Fault.ABANDONED)

    def resume(self, attempt: Attempt) -> None:
        """Let an abandoned attempt make its next request."""
        before, self.current = self.current, attempt
        attempt.go.release()
        attempt.back.acquire()
        self.current = before
        if attempt.done:
            self.abandoned.remove(attempt)

    def end_abandoned(self, *, kill: bool = False) -> None:
        """Let everything that is still under way come to its end."""
        while self.abandoned or self.late:
            if self.late and (not self.abandoned or self.rng.random() < 0.5):
                self._land()
            else:
                attempt = self.rng.choice(self.abandoned)
                attempt.doomed = kill
                self.resume(attempt)

    # -- Effects -----------------------------------------------------------------------------------------------------

    def effect(self, what: str, act: Callable[[], T], among: frozenset[Fault], *, progress: bool = False) -> T:
        """Perform a request, or let something of `among` happen to it. Others take their turns before."""
        if self.current is not None and self.current.dead:
            raise Killed
        self._take_turns()
        fault = self.draw(among)
        self.note(what, fault)
        if fault is None:
            return act()
        if progress and self.current:
            self.current.unclean = True
        if fault in (Fault.LATE, Fault.KILLED_IN_FLIGHT):
            self.late.append((what, act))
        elif fault in (Fault.KILLED_AFTER, Fault.LOST, Fault.RESENT):
            with suppress(*_LANDS_UNSEEN):
                act()
        if fault in KILLS:
            raise self.killed()
        if fault is Fault.CONFLICT:
            raise Conflict
        if fault is Fault.RESENT:
            return act()
        raise Retryable(fault.value)

    def killed(self) -> Killed:
        """What ends the process of the attempt, to be raised."""
        if self.current is not None:
            self.current.dead = True
        return Killed()

    def draw(self, among: frozenset[Fault]) -> Fault | None:
        """Which of these faults happens now."""
        if self.calm:
            return None
        if self.outage:
            self.outage -= 1
            return Fault.REFUSED if Fault.REFUSED in among else None
        return self._unless_spared(self.profile.pick(among, self.rng))

    def happens(self, fault: Fault) -> bool:
        """Whether this fault happens now."""
        return not self.calm and self._unless_spared(fault if self.profile.happens(fault, self.rng) else None) is fault

    def _unless_spared(self, fault: Fault | None) -> Fault | None:
        if fault is None:
            return None
        self.faults += 1
        return None if self.faults - 1 in self.spared else fault

    def _take_turns(self) -> None:
        attempt, job = self.current, self.job
        if attempt is not None:
            attempt.effects += 1
            if attempt.effects == attempt.abandon_at or (attempt.abandoned and self.rng.random() < 0.7):
                self.job = None
                attempt.back.release()
                attempt.go.acquire()
                self.job = job
                if attempt.doomed:
                    raise self.killed()
            elif attempt.abandoned:
                pass
            else:
                self.job = None
                self.others()
                self.job = job
        if job is not None:
            job.pause()

    def others(self) -> None:
        """Let late requests land and abandoned attempts go on, as it comes."""
        while (self.late or self.abandoned) and self.rng.random() < self.eagerness:
            if self.late and (not self.abandoned or self.rng.random() < 0.4):
                self._land()
            else:
                self.resume(self.rng.choice(self.abandoned))

    def _land(self) -> None:
        what, act = self.late.pop(self.rng.randrange(len(self.late)))
        try:
            act()
        except _LANDS_UNSEEN:
            self.note(f"{what} lands late: 412")
        else:
            self.note(f"{what} lands late")
