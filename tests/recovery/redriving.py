"""A bench with a redriver, a clock that is set by hand, and effects that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aetherstream.core import Core
from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head
from aetherstream.delivery.reader import Listed
from aetherstream.quarantine import Quarantine
from aetherstream.recovery.redrive import Redriver
from aetherstream.testing.builders import START
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
            aggregation=self.aggregation(),
            store=watched or self.objects,
            archive=watched or self.objects,
            progress=watched or self.progress,
            executor=InlineExecutor(),
            clock=clock or (lambda: self.now),
            owner=owner,
            version=lambda: version,
            **changes,
        )

    def watched(self, effects: Effects) -> Watched:
        return Watched(self.objects, self.progress, effects)
