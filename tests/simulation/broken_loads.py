"""Loaders with one part left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head
from aetherstream.loader.finality import OPEN, REDRIVEN, Finality
from aetherstream.loader.loader import Loader, SecondsLeft
from aetherstream.loader.notifications import Message, announced
from aetherstream.loader.parts import Entry, Load, Loaded
from aetherstream.loader.report import Handled
from aetherstream.testing.warehouse import Row
from tests.simulation.faults import AT_WRITE
from tests.simulation.loading import LoaderVariant, Table, loader_parts, table_of
from tests.simulation.run import Simulation


class _LooksFirst(Loader):
    """Looks at the objects before it reads the progress items."""

    def handle(self, messages: Sequence[Message], seconds_left: SecondsLeft) -> Handled:
        seen: dict[tuple[str, str], Head | None] = {}
        files: Any = self._store
        for message in messages:
            for each in announced(message.body):
                seen[each.bucket, each.key] = files.head(each.bucket, each.key)
        self._store = _Remembered(files, seen)
        try:
            return super().handle(messages, seconds_left)
        finally:
            self._store = files


class _Remembered:
    def __init__(self, inner: Any, seen: Mapping[tuple[str, str], Head | None]) -> None:
        self._seen = seen
        self.overwrite = inner.overwrite
        self.put = inner.put

    def head(self, bucket: str, key: str, /) -> Head | None:
        return self._seen[bucket, key]


class _LosesWhatWaits(Loader):
    """Calls every message done."""

    def handle(self, messages: Sequence[Message], seconds_left: SecondsLeft) -> Handled:
        return replace(super().handle(messages, seconds_left), again=[])


class _Ignoring(Finality):
    """Takes objects for final that wait for one of the reasons."""

    def __init__(self, inner: Finality, *reasons: str) -> None:
        super().__init__(inner._pipeline, inner._stream, inner._progress)
        self._reasons = reasons

    def waiting(self, objects: Mapping[str, str]) -> dict[str, str]:
        return {at: why for at, why in super().waiting(objects).items() if why not in self._reasons}


class _Remembering(Finality):
    """Reads each progress item once in the life of the process."""

    def __init__(self, inner: Finality) -> None:
        super().__init__(inner._pipeline, inner._stream, inner._progress)
        self._known: dict[str, Progress] = {}

    def _item(self, shard: str, progress: Any) -> Progress:
        if shard not in self._known:
            self._known[shard] = super()._item(shard, progress)
        return self._known[shard]


class _Bare(Table):
    """Nothing but the ledger keeps an append from bringing an event twice."""

    def _merged(self, rows: list[Row], stage: Sequence[Row]) -> list[Row]:  # type: ignore[override]
        return [*rows, *stage] if self.contract.mode == "append" else super()._merged(rows, stage)


class _AsksNoLedger(_Bare):
    """Loads whatever it is given."""

    def load(self, load: Load, seconds: float, /) -> Loaded:
        self.database.ledger.clear()
        return super().load(load, seconds)


class _TakesNoTurn(_Bare):
    """Commits beside a transaction that it overlaps: both bring their rows."""

    def load(self, load: Load, seconds: float, /) -> Loaded:
        self._turn, self._began = self.database.turn, len(self.database.rows)
        return super().load(load, seconds)

    def _commit(self, commit: Callable[[], bool]) -> bool:
        def beside() -> bool:
            rows, ledger = self.database.rows, self.database.ledger
            self.database.turn, turn = self._turn, self.database.turn
            made = commit()
            self.database.turn = turn + 1
            if self.contract.mode == "append":
                self.database.rows = [*rows, *self.database.rows[self._began :]]
            self.database.ledger = ledger | self.database.ledger
            return made

        return super()._commit(beside)


class _NotesAfterwards(_Bare):
    """Notes what was loaded in a transaction of its own, after that of the rows."""

    def _commit(self, commit: Callable[[], bool]) -> bool:
        noted: dict[str, Entry] = {}

        def rows_alone() -> bool:
            before = self.database.ledger
            made = commit()
            noted.update(self.database.ledger)
            self.database.ledger = before
            return made

        made = super()._commit(rows_alone)
        self.simulation.world.effect("note what was loaded", lambda: self.database.ledger.update(noted), AT_WRITE)
        return made


class _TakesTheLastForTheNewest(Table):
    """Of an upsert, keeps what was loaded last."""

    def _merged(self, rows: list[Row], stage: Sequence[Row]) -> list[Row]:  # type: ignore[override]
        if self.contract.mode == "append":
            return super()._merged(rows, stage)
        last = {row["p"]: row for row in (*rows, *stage)}
        return list(last.values())


def _kind(kind: type[Loader]) -> LoaderVariant:
    return lambda simulation, name: kind(**loader_parts(simulation, name))


def _finality(change: Callable[[Finality], Finality]) -> LoaderVariant:
    def make(simulation: Simulation, name: str) -> Loader:
        parts = loader_parts(simulation, name)
        return Loader(**{**parts, "finality": change(parts["finality"])})

    return make


def _table(kind: type[Table]) -> LoaderVariant:
    def make(simulation: Simulation, name: str) -> Loader:
        parts = loader_parts(simulation, name)
        [(target, _)] = parts["sinks"]
        return Loader(**{**parts, "sinks": [(target, table_of(simulation, kind))]})

    return make


BROKEN_LOADS = {
    "loader takes what is not final": _finality(lambda found: _Ignoring(found, OPEN, REDRIVEN)),
    "loader takes what a redrive may write": _finality(lambda found: _Ignoring(found, REDRIVEN)),
    "loader trusts an item that it read before": _finality(_Remembering),
    "loader looks before it knows what is final": _kind(_LooksFirst),
    "loader loses what waits": _kind(_LosesWhatWaits),
    "loader asks no ledger": _table(_AsksNoLedger),
    "loader notes what it loaded afterwards": _table(_NotesAfterwards),
    "loader takes no turn": _table(_TakesNoTurn),
    "loader takes the last for the newest": _table(_TakesTheLastForTheNewest),
}
"""What is left out → the loader without it."""
