"""What an accumulator folds: the usable values of one group, by column, with their event times and places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, overload

from ..records import sortable
from .exact import Exact, total

Place = tuple[str, str, int, int]
"""Where an event stands, in an order that no batch or retry changes: shard, sortable sequence number, sub, nth."""


class Placed(Protocol):
    """Events by column: where each came from (`records.Events`, `encoded.EncodedEvents`)."""

    @property
    def records(self) -> Sequence[int]:
        """Index of the Kinesis record of each event."""

    @property
    def subs(self) -> Sequence[int]:
        """Flat index of its user record inside the Kinesis record."""

    @property
    def nths(self) -> Sequence[int] | None:
        """Which of the events of one user record; None: all are the first."""

    def __len__(self) -> int: ...


class Places(Sequence[Place]):
    """The places of a batch's events, made when they are asked for: only first and last want any."""

    def __init__(self, shard: str, sequences: Sequence[str], events: Placed) -> None:
        self._shard, self._sequences, self._events = shard, sequences, events

    @overload
    def __getitem__(self, index: int) -> Place: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Place]: ...

    def __getitem__(self, index: int | slice) -> Place | Sequence[Place]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        events = self._events
        nth = events.nths[index] if events.nths is not None else 0
        return (self._shard, sortable(self._sequences[events.records[index]]), events.subs[index], nth)

    def __len__(self) -> int:
        return len(self._events)


class Column:
    """Values that belong together; the accumulators of one field share it, and what it has found out.

    Args:
        values: All of them usable.
        times: Event times, and
        places: the places of the values; or, with `chosen`, of the whole batch.
        chosen: The index in the batch of each value.
        kind: The type that all values have, where the caller knows.
    """

    __slots__ = ("_chosen", "_places", "_times", "_total", "kind", "values")

    def __init__(
        self,
        values: Sequence[Any],
        times: Sequence[float] = (),
        places: Sequence[Place] = (),
        chosen: Sequence[int] | None = None,
        kind: type | None = None,
    ) -> None:
        self.values = values
        self._times, self._places, self._chosen = times, places, chosen
        self.kind = kind
        self._total: Exact | None = None

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, float, Place]]) -> Column:
        """Make one of (value, time, place)."""
        rows = list(rows)
        return cls([value for value, _, _ in rows], [time for _, time, _ in rows], [place for _, _, place in rows])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def times(self) -> Sequence[float]:
        """Event times, epoch seconds."""
        return self._times if self._chosen is None else [self._times[index] for index in self._chosen]

    def place(self, index: int) -> Place:
        """The place of one of the values."""
        return self._places[index if self._chosen is None else self._chosen[index]]

    @property
    def floats(self) -> bool:
        """Whether any value is a float."""
        return self.kind is float or (self.kind is None and float in set(map(type, self.values)))

    @property
    def total(self) -> Exact:
        """The sum of the values, which must be finite numbers."""
        if self._total is None:
            self._total = total(self.values, self.kind)
        return self._total
