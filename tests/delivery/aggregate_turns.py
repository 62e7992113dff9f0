"""Actors that take turns at every effect, in an order that a seed decides: threads of which one runs at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable


class Killed(BaseException):
    """The process of an actor is gone; nothing catches it but the end of the actor."""


class Actor:
    """One of them. Its body calls `Turns.step` before and after each effect."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.killed = False
        self.error: BaseException | None = None
        self.ended = False
        # Bare locks, released by the other side: a semaphore of Python takes several times as long.
        self._go, self._stopped = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._stopped.acquire()
        self._body = body
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever runs the turns
            self.error = error
        self.ended = True
        self._stopped.release()

    def turn(self) -> None:
        """Let it run up to its next step, or its end."""
        if not self._thread.is_alive():
            self._thread.start()
        self._go.release()
        self._stopped.acquire()
        if self.error is not None:
            raise self.error

    def wait(self) -> None:
        """Called by its own thread."""
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed


class Turns:
    """Decides whose turn it is."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.actors: list[Actor] = []
        self._running: Actor | None = None

    def start(self, name: str, body: Callable[[], None]) -> Actor:
        """Add an actor; it begins when it is given a turn."""
        actor = Actor(name, body)
        self.actors.append(actor)
        return actor

    def step(self) -> None:
        """Let others go first. Raises Killed where the actor is killed meanwhile."""
        if self._running is not None:
            self._running.wait()

    def some_turn(self) -> None:
        """Give some actor a turn."""
        actor = self._rng.choice(self.actors)
        self._running = actor
        try:
            actor.turn()
        finally:
            self._running = None
            if actor.ended:
                self.actors.remove(actor)

    def kill(self, actor: Actor) -> None:
        """Kill an actor where it stands."""
        actor.killed = True
        self._running = actor
        try:
            actor.turn()
        finally:
            self._running = None
            if actor in self.actors:
                self.actors.remove(actor)
