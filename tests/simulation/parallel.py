"""The parallel puts of one attempt, interleaved by the seed: each has a thread, of which one runs at a time."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from tests.simulation.world import Killed, World

P = ParamSpec("P")
T = TypeVar("T")


class _Put(Future[Any]):
    """A job that stops before each of its requests. Waiting for it drives all jobs of its executor."""

    def __init__(self, executor: Interleaved, work: Callable[[], Any]) -> None:
        super().__init__()
        self._executor = executor
        self._work = work
        self._go, self._back = threading.Lock(), threading.Lock()
        self._begun = self._doomed = False
        self.killed = False

    def step(self, world: World) -> None:
        """Go on until before the next request."""
        before, world.job = world.job, self
        if self._begun:
            self._go.release()
        else:
            self._begun = True
            self._go.acquire()
            self._back.acquire()
            _thread.start_new_thread(self._run, ())  # one of `threading` waits for its start: another switch
        self._back.acquire()
        world.job = before

    def doom(self, world: World) -> None:
        """End with the process."""
        self._doomed = True
        if self._begun:
            self.step(world)

    def pause(self) -> None:
        """See `Job.pause`."""
        self._back.release()
        self._go.acquire()
        if self._doomed:
            raise Killed

    def _run(self) -> None:
        try:
            self.set_result(self._work())
        except Killed as end:
            self.killed = True
            self.set_exception(end)
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            self.set_exception(error)
        self._back.release()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Drive the jobs until all are done."""
        self._executor.drive()
        return super().exception(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Drive the jobs until all are done."""
        self._executor.drive()
        return super().result(timeout)


class Interleaved(Executor):
    """Jobs take turns between their requests, whichever comes; a killed one takes the others along."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: list[_Put] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Note the job; it begins now or later."""
        job = _Put(self, lambda: fn(*args, **kwargs))
        self._jobs.append(job)
        if self._world.rng.random() < 0.3:
            self._step()
        return job

    def drive(self) -> None:
        """Let the jobs go on until none is left."""
        while self._jobs:
            self._step()

    def _step(self) -> None:
        job = self._world.rng.choice(self._jobs)
        job.step(self._world)
        if job.done():
            self._jobs.remove(job)
        if job.killed:
            others, self._jobs = self._jobs, []
            for other in others:
                other.doom(self._world)
            raise Killed
