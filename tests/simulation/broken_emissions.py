"""Emitters and closers with one part left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from aetherstream.delivery.aggregates.apply import Applied, Stores
from aetherstream.delivery.aggregates.places import GroupPlace, WindowPlace, scope_in
from aetherstream.delivery.aggregates.state import Item, Mark
from aetherstream.delivery.aggregates.statements import window_of
from aetherstream.emission.closer import Closer
from aetherstream.emission.emitter import Emitter, Record
from aetherstream.emission.report import Emission
from aetherstream.engine import Engine
from aetherstream.results.parts import Row, Sent
from tests.simulation.run import Simulation, Variant, parts
from tests.simulation.settings import COUNTS, SLOW_CLOSINGS


class _Wrapped:
    """Something with a part of it changed."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _NewestOnly(_Wrapped):
    """States of which only the greatest `k` counts for the version."""

    def group(self, place: GroupPlace) -> list[Item]:
        items = self._inner.group(place)
        newest = max((item.state.k for item in items), default=0)
        first = next((item.address for item in items if item.state.k == newest), None)
        return [item if item.address == first else item._replace(state=item.state._replace(k=0)) for item in items]

    def some(self, places: Sequence[GroupPlace]) -> dict[GroupPlace, list[Item]]:
        return {place: self.group(place) for place in places}


class _VersionsByTheNewest(Emitter):
    def __init__(self, pipeline: str, declarations: Any, stores: Stores, *rest: Any, **named: Any) -> None:
        states: Any = _NewestOnly(stores.states)
        super().__init__(pipeline, declarations, stores._replace(states=states), *rest, **named)


class _EmitsOpenWindowsOnly(Emitter):
    """Tells of no change after closing."""

    def emit(self, records: Sequence[Record], seconds_left: Callable[[], float]) -> Emission:
        left = [record for record in records if self._is_open(record["dynamodb"]["NewImage"])]
        return super().emit(left, seconds_left)

    def _is_open(self, image: Mapping[str, Any]) -> bool:
        place = WindowPlace(scope_in(image["pk"]["S"]), window_of(image["window"]["S"]))
        windows: Any = self._stores.windows
        return place.window is None or place not in windows.closed


class _Remembering(_Wrapped):
    """Windows whose marks are looked at once."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        if not hasattr(inner, "remembered"):
            inner.remembered = {}

    def marks(self, places: Collection[WindowPlace]) -> dict[WindowPlace, Mark]:
        known: dict[WindowPlace, Mark] = self._inner.remembered
        unknown = [place for place in places if place not in known]
        found = self._inner.marks(unknown)
        known |= {place: found.get(place, Mark()) for place in unknown}
        return {place: known[place] for place in places}


class _RemembersMarks(Emitter):
    def __init__(self, pipeline: str, declarations: Any, stores: Stores, *rest: Any, **named: Any) -> None:
        windows: Any = _Remembering(stores.windows)
        super().__init__(pipeline, declarations, stores._replace(windows=windows), *rest, **named)


class _KeepsUnited(_Wrapped):
    """A place that is not told of sessions which are no more."""

    def send(self, rows: Sequence[Row], seconds_left: float) -> Sent:
        sent: Sent = self._inner.send([row for row in rows if not row.removed], seconds_left)
        return sent


class _LeavesUnitedSessions(Emitter):
    def __init__(
        self, pipeline: str, declarations: Any, stores: Stores, outlets: Any, *rest: Any, **named: Any
    ) -> None:
        kept: Any = {name: [_KeepsUnited(place) for place in places] for name, places in outlets.items()}
        super().__init__(pipeline, declarations, stores, kept, *rest, **named)


class _CallsAllDone(Emitter):
    """Moves past changes that could not be emitted."""

    def emit(self, records: Sequence[Record], seconds_left: Callable[[], float]) -> Emission:
        done = super().emit(records, seconds_left)
        done.error = None
        return done


class _MarkedLast(_Wrapped):
    """Windows that are marked as closed when their results are out."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._later: dict[WindowPlace, tuple[int, int]] = {}

    def close(self, place: WindowPlace, expires: int, *, kept: int) -> Mark:
        self._later[place] = (expires, kept)
        return Mark(expires)

    def settle(self, place: WindowPlace, shards: Sequence[str]) -> None:
        expires, kept = self._later[place]
        self._inner.close(place, expires, kept=kept)
        self._inner.settle(place, shards)


class _MarksLast(Closer):
    def __init__(self, owner: str, declarations: Any, stores: Stores, *rest: Any, **named: Any) -> None:
        windows: Any = _MarkedLast(stores.windows)
        super().__init__(owner, declarations, stores._replace(windows=windows), *rest, **named)


class _FoldsNothing(_Wrapped):
    """Commits of which nothing is folded."""

    def fold(self, *_: Any, **__: Any) -> Applied:
        return Applied()


class _ClosesWithoutFolding(Closer):
    def __init__(
        self, owner: str, declarations: Any, stores: Stores, outlets: Any, commits: Any, *rest: Any, **named: Any
    ) -> None:
        folding: Any = _FoldsNothing(commits)
        super().__init__(owner, declarations, stores, outlets, folding, *rest, **named)


class _SettlesFirst(_Wrapped):
    """Windows that are no longer due as soon as they are marked."""

    def close(self, place: WindowPlace, expires: int, *, kept: int) -> Mark:
        mark: Mark = self._inner.close(place, expires, kept=kept)
        self._inner.settle(place, [shard for at, shard in self._inner.begun if at == place])
        return mark


class _ForgetsTheUnsent(Closer):
    def __init__(self, owner: str, declarations: Any, stores: Stores, *rest: Any, **named: Any) -> None:
        windows: Any = _SettlesFirst(stores.windows)
        super().__init__(owner, declarations, stores._replace(windows=windows), *rest, **named)


def _emitter(kind: type[Emitter]) -> Variant:
    def make(simulation: Simulation, name: str, version: str) -> Engine:
        simulation.aggregates.emitter = kind
        return Engine(**parts(simulation, name, version))

    return make


def _closer(kind: type[Closer]) -> Variant:
    def make(simulation: Simulation, name: str, version: str) -> Engine:
        simulation.aggregates.closer = kind
        return Engine(**parts(simulation, name, version))

    return make


BROKEN_EMISSIONS = {
    "emitter takes the newest commit for the version": _emitter(_VersionsByTheNewest),
    "emitter leaves closed windows": _emitter(_EmitsOpenWindowsOnly),
    "emitter remembers which windows are open": _emitter(_RemembersMarks),
    "emitter leaves united sessions": _emitter(_LeavesUnitedSessions),
    "emitter calls everything done": _emitter(_CallsAllDone),
    "closer marks last": _closer(_MarksLast),
    "closer folds nothing": _closer(_ClosesWithoutFolding),
    "closer forgets what it could not send": _closer(_ForgetsTheUnsent),
}
"""What is left out → the engine beside an emitter or a closer without it."""
EMITTED_BY = {"closer marks last": SLOW_CLOSINGS, "closer folds nothing": COUNTS}
"""What shows those that schedules with many closings don't."""
