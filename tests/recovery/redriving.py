"""A bench with a redriver, a clock that is set by hand, and effects that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self, TypeVar

from aetherstream.core import Core
from aetherstream.delivery.aggregates.places import Address, WindowPlace
from aetherstream.delivery.aggregates.state import Mark, State, Write, Written
from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head
from aetherstream.delivery.reader import Listed
from aetherstream.errors import Retryable
from aetherstream.quarantine import Quarantine
from aetherstream.recovery.redrive import Redriver
from aetherstream.testing.builders import START
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.engine.harness import Bench

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here."""


class LandsLate(BaseException):
    """The process ends here, and the request that it was sending is carried out later."""


@dataclass
class Effects:
    """Counts the requests to the stores; `at` decides what goes wrong at the n-th."""

    count: int = 0
    before: Callable[[int], None] = lambda number: None
    after: Callable[[int], None] = lambda number: None
    late: list[Callable[[], object]] = field(default_factory=list)

    def run(self, act: Callable[[], T]) -> T:
        number = self.count
        self.count += 1
        try:
            self.before(number)
        except LandsLate:
            self.late.append(act)
            raise Killed from None
        done = act()
        self.after(number)
        return done


def kill(at: int) -> Callable[[int], None]:
    """End the process at the n-th effect."""

    def killed(number: int) -> None:
        if number >= at:
            raise Killed

    return killed


def once(at: int, do: Callable[[], object]) -> Callable[[int], None]:
    """Do something else at the n-th effect."""

    def done(number: int) -> None:
        if number == at:
            do()

    return done


@dataclass
class Watched:
    """The stores as one process sees them."""

    objects: MemoryObjects
    progress: MemoryProgress
    effects: Effects = field(default_factory=Effects)

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        self.effects.run(lambda: self.objects.put(bucket, key, body, metadata, if_match=if_match))

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        self.effects.run(lambda: self.objects.overwrite(bucket, key, body, metadata))

    def head(self, bucket: str, key: str, /) -> Head | None:
        return self.effects.run(lambda: self.objects.head(bucket, key))

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        return iter(self.effects.run(lambda: [*self.objects.list(bucket, prefix)]))

    def get(self, bucket: str, key: str, /) -> bytes | None:
        return self.effects.run(lambda: self.objects.get(bucket, key))

    def write(self, item: Progress, /) -> Progress | None:
        return self.effects.run(lambda: self.progress.write(item))


@dataclass
class WatchedStates(MemoryStates):
    """A state table as one process sees it; each write is a request."""

    effects: Effects = field(default_factory=Effects)

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        return self.effects.run(lambda: super(WatchedStates, self).read(addresses))

    def write(self, writes: Sequence[Write], /) -> Written:
        written = Written()
        for one in writes:
            try:
                written.add(self.effects.run(partial(super().write, [one])))
            except Retryable as error:
                written.failed[one.address] = error
        return written


@dataclass
class WatchedWindows(MemoryWindows):
    """What is known about windows, as one process sees it."""

    effects: Effects = field(default_factory=Effects)

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        return self.effects.run(lambda: super(WatchedWindows, self).begin(places, shard))

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        return self.effects.run(lambda: super(WatchedWindows, self).marks(places))


@dataclass
class Recovery(Bench):
    """One pipeline in memory; `redriver()` is a process that redrives."""

    now: float = START + 3600

    def redriver(
        self,
        owner: str = "alice",
        *,
        version: str = "v1",
        watched: Watched | None = None,
        core: Core | None = None,
        clock: Callable[[], float] | None = None,
        kind: type[Redriver] = Redriver,
        **changes: Any,
    ) -> Redriver:
        return kind(
            "flights",
            core or Core(self.decoder, sinks=self.sinks, transform=self.transform, columns=self._reader(), **self.core),
            quarantine=Quarantine(bucket="data", prefix="quarantine", pipeline="flights"),
            record_sinks=self.record_sinks,
            aggregation=self.aggregation() if watched is None else self.seen(watched).aggregation(),
            store=watched or self.objects,
            archive=watched or self.objects,
            progress=watched or self.progress,
            executor=InlineExecutor(),
            clock=clock or (lambda: self.now),
            owner=owner,
            version=lambda: version,
            **changes,
        )

    def seen(self, watched: Watched) -> Self:
        """This bench as one process sees it."""
        states = WatchedStates(self.states.items, effects=watched.effects)
        windows = WatchedWindows(self.windows.begun, self.windows.closed, effects=watched.effects)
        return replace(self, objects=watched, progress=watched, states=states, windows=windows)

    def watched(self, effects: Effects) -> Watched:
        return Watched(self.objects, self.progress, effects)
