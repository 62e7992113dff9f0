"""The emitter: what the state table's stream tells of is read again, merged over the shards, and sent.

Emitting again is harmless, and so is emitting late: what is sent is the present state under a version that only grows.
So whatever fails, the whole batch comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from itertools import islice
from typing import Any

from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.serial import UnreadableState
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.changes import Images, changed, session_images
from aetherstream.delivery.aggregates.closing import at_once, let_expire, noted
from aetherstream.delivery.aggregates.places import GroupPlace, WindowPlace
from aetherstream.delivery.aggregates.results import merged
from aetherstream.delivery.aggregates.state import Item, Mark
from aetherstream.emission.publish import RESERVE, Outlets, Publisher
from aetherstream.emission.ranking import ranked_rows
from aetherstream.emission.report import Emission
from aetherstream.emission.sessions import Change, changes_of, may_be_final, session_rows
from aetherstream.errors import AetherStreamError, ConfigurationError, Retryable
from aetherstream.results.parts import Row
from aetherstream.results.rows import rows

Marks = Mapping[WindowPlace, Mark]
Record = Mapping[str, Any]


class Emitter:
    """Sends the results of the aggregates of one pipeline."""

    def __init__(
        self,
        pipeline: str,
        declarations: Iterable[Declaration],
        stores: Stores,
        outlets: Outlets,
        executor: Executor,
        *,
        now: Callable[[], float],
    ) -> None:
        """`executor` runs the queries: another one than the stores', which wait for theirs; `now`: epoch seconds."""
        self._pipeline = pipeline
        self._declared = {(one.name, one.aggregate.fingerprint): one for one in declarations}
        self._stores, self._outlets, self._executor, self._now = stores, outlets, executor, now

    def emit(self, records: Sequence[Record], seconds_left: Callable[[], float]) -> Emission:
        """Send the results of the groups that `records` (of the Lambda event) tell of.

        Doesn't raise where the batch has to come again: `Emission.error` says why.
        """
        done = Emission(records=len(records), oldest=_oldest(records))
        run = _Run(self._stores, self._executor, self._now, seconds_left, done, self._outlets)
        try:
            for declaration, places, marks in self._marked(records, done):
                run.emit(declaration, places, marks)
        except (Retryable, ConfigurationError) as error:
            done.fail(error)
        return done

    def _marked(
        self, records: Sequence[Record], done: Emission
    ) -> Iterator[tuple[Declaration, dict[GroupPlace, list[Images]], Marks]]:
        """By aggregate: the groups, those of sessions with what was written, and what closing left behind of them."""
        images = session_images(records)
        found: dict[tuple[str, str], dict[GroupPlace, list[Images]]] = {}
        for place in changed(records):
            scope = place.scope
            key = (scope.aggregate, scope.fingerprint)
            if key in self._declared and scope.owner.partition("#")[0] == self._pipeline:
                found.setdefault(key, {})[place] = images.get(place, [])
            else:
                done.undeclared += 1
        # What is read after a change finds the mark of whoever has not read the change; so marks are never remembered.
        windows = {place.in_window for places in found.values() for place in places}
        marks = self._stores.windows.marks(windows) if windows else {}
        for key, places in found.items():
            yield self._declared[key], places, marks


class _Run:
    """One batch."""

    def __init__(
        self,
        stores: Stores,
        executor: Executor,
        now: Callable[[], float],
        seconds_left: Callable[[], float],
        done: Emission,
        outlets: Outlets,
    ) -> None:
        self._stores, self._executor, self._now, self._seconds_left = stores, executor, now, seconds_left
        self._done = done
        self._publisher = Publisher(outlets, seconds_left, done.published)

    def emit(self, declaration: Declaration, places: Mapping[GroupPlace, Sequence[Images]], marks: Marks) -> None:
        """Emit the groups of one aggregate; what fails is noted, and the others go on."""
        if declaration.aggregate.gap is not None:
            self._in_parts(declaration, self._touched(declaration, places, marks), marks)
            return
        closed = {place.in_window: None for place in places if _mark(marks, place.in_window).expires is not None}
        if declaration.ranking is not None:
            for window in closed:
                with self._noting():
                    self._rank(declaration, declaration.ranking, window, marks[window])
            return
        chosen = {place: () for place in places if declaration.emit == "updates" or place.in_window in closed}
        self._in_parts(declaration, chosen, marks)

    def _touched(
        self, declaration: Declaration, places: Mapping[GroupPlace, Sequence[Images]], marks: Marks
    ) -> dict[GroupPlace, Sequence[Change]]:
        """Groups of sessions with what was written, without those of which nothing would be sent."""
        found: dict[GroupPlace, Sequence[Change]] = {}
        for place, images in places.items():
            with self._making():
                changes = changes_of(declaration.aggregate, images)
                upto = _mark(marks, place.in_window).upto
                if declaration.emit == "updates" or may_be_final(changes, declaration.aggregate.gap or 0, upto):
                    found[place] = changes
        return found

    def _in_parts(self, declaration: Declaration, places: Mapping[GroupPlace, Sequence[Change]], marks: Marks) -> None:
        # Groups of one partition are read together.
        left = iter(sorted(places.items(), key=lambda one: one[0].prefix))
        while some := dict(islice(left, at_once(declaration.aggregate))):
            with self._noting():
                self._groups(declaration, some, marks)

    def _groups(self, declaration: Declaration, places: Mapping[GroupPlace, Sequence[Change]], marks: Marks) -> None:
        self._hurry()
        found: list[Row] = []
        ending: dict[int, list[Item]] = {}
        read = list(self._read(places))
        later = marks
        if declaration.aggregate.gap is not None:
            later = self._stores.windows.marks({place.in_window for place, _ in read})
        for place, items in read:
            mark = _mark(marks, place.in_window)
            # Asked after reading: until then nothing of the group can have been removed.
            if mark.expires is not None and mark.expires <= self._now():
                self._done.gone += 1
                continue
            with self._making():
                found += _rows(declaration, items, places[place], mark, _mark(later, place.in_window))
                if mark.expires is not None:
                    ending.setdefault(mark.expires, []).extend(items)
        self._publisher.send(declaration.name, found)
        for at, items in ending.items():
            let_expire(self._stores.states, items, at)

    def _read(self, places: Iterable[GroupPlace]) -> Iterator[tuple[GroupPlace, list[Item]]]:
        partitions: dict[str, list[GroupPlace]] = {}
        for place in places:
            partitions.setdefault(place.prefix.pk, []).append(place)
        jobs = [self._executor.submit(self._stores.states.some, some) for some in partitions.values()]
        for job in jobs:
            try:
                found = job.result()
            except (Retryable, ConfigurationError) as error:
                self._done.fail(error)
                continue
            self._done.groups += len(found)
            yield from ((place, items) for place, items in found.items() if items)

    def _rank(self, declaration: Declaration, ranking: Ranking, place: WindowPlace, mark: Mark) -> None:
        """Rank a closed window again: what has changed in it may have moved every group."""
        self._hurry()
        if place.window is None or mark.expires is None:
            return
        read: list[Item] = []
        groups = noted(self._stores.states.window(place), read)
        made: list[list[Row]] = []
        with self._making():
            made.append(ranked_rows(declaration, ranking, place.window, groups))
        if made and mark.expires <= self._now():
            self._done.gone += 1
        elif made:
            self._done.ranked += 1
            self._publisher.send(declaration.name, made[0])
            let_expire(self._stores.states, read, mark.expires)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what fails, and go on with the next part."""
        try:
            yield
        except (Retryable, ConfigurationError) as error:
            self._done.fail(error)

    def _hurry(self) -> None:
        if (left := self._seconds_left()) < RESERVE:
            raise Retryable(f"not all changes are emitted, {left:.1f} s were left")

    @contextmanager
    def _making(self) -> Iterator[None]:
        """Leave out, and count, what no results can be made of: another version's states, a mistake in a user's class.

        Tried again it would hold up every later change of this part of the table, for a day.
        """
        try:
            yield
        except UnreadableState as error:
            self._unreadable(error)
        except (AetherStreamError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - a user's accumulator may raise anything
            self._unreadable(error)

    def _unreadable(self, error: Exception) -> None:
        self._done.unreadable += 1
        self._done.unread = self._done.unread or f"{type(error).__name__}: {error}"


def _rows(
    declaration: Declaration, items: Sequence[Item], changes: Sequence[Change], mark: Mark, later: Mark
) -> list[Row]:
    aggregate = declaration.aggregate
    if aggregate.gap is not None:
        return session_rows(aggregate, changes, items, mark, later, final_only=declaration.emit == "close")
    return rows(aggregate, merged(aggregate, items), final=mark.expires is not None)


def _mark(marks: Marks, place: WindowPlace) -> Mark:
    return marks.get(place, Mark())


def _oldest(records: Iterable[Record]) -> float | None:
    """AWS: ApproximateCreationDateTime is in epoch seconds."""
    times = [record["dynamodb"].get("ApproximateCreationDateTime") for record in records]
    return min((float(time) for time in times if isinstance(time, int | float)), default=None)
