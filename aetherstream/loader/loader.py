"""One invocation of the loader, from the messages of the queue to those that come again.

`Loader.handle` reads from top to bottom: what is announced, of which table it is, whether it is final, what stands
there, the loads, and what becomes of the messages. Whatever is not known to be settled comes again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import groupby

from aetherstream.delivery.put import Head, ObjectStore
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.finality import UNKNOWN_SHARD, Finality
from aetherstream.loader.load_queue import LoaderQueue
from aetherstream.loader.manifests import Manifests, Remove
from aetherstream.loader.narrowing import NO_TIME, RESERVE, Loads, Narrowing
from aetherstream.loader.notifications import Announced, Foreign, Message, announced
from aetherstream.loader.parts import Staged, Warehouse
from aetherstream.loader.report import Handled, LoadReport
from aetherstream.objects import EMPTY
from aetherstream.warehouse.options import LoadTarget

COUNT = "aether-count"
"""Metadata: how many rows the object holds."""

PATIENCE = (60, 900)
"""Seconds until a message whose objects wait comes again: at first, and at most; doubled from time to time."""

_GONE = "the object is gone: it was removed before it was loaded"
_NO_SIZE = "S3 did not tell its size: something between the loader and S3 takes it from the answer"
_LISTED = 20
"""Most objects that a line of the log names."""

SecondsLeft = Callable[[], float]
Sink = tuple[LoadTarget, Warehouse]


@dataclass(slots=True)
class _Letter:
    """A message with what it announces."""

    message: Message
    objects: list[Announced] = field(default_factory=list)
    foreign: str = ""
    """Why the dead letters get it; its objects, if there are any, are loaded all the same."""


@dataclass(slots=True)
class _Work:
    """What is announced of one sink, by location."""

    target: LoadTarget
    warehouse: Warehouse
    objects: dict[str, Announced] = field(default_factory=dict)
    shards: dict[str, str] = field(default_factory=dict)
    """Of those that belong to one; the others are final."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Why."""
    etags: dict[str, str] = field(default_factory=dict)
    """Of those that hold rows."""


class Loader:
    """Loads what is announced into the tables of one pipeline."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        finality: Finality,
        store: ObjectStore,
        remove: Remove,
        queue: LoaderQueue,
        executor: Executor,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        """`remove`: for manifests; `clock`: epoch seconds; `new_id`: begins the ids of an invocation's loads."""
        # The longest prefix first: the folder of one sink may lie inside that of another.
        self._sinks = sorted(sinks, key=lambda sink: -len(sink[0].staging.prefix))
        self._finality = finality
        self._store = store
        self._remove = remove
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._new_id = new_id
        self._agreed: set[str] = set()
        """Sinks whose tables have been found to be as their contracts say."""

    def handle(self, messages: Sequence[Message], seconds_left: SecondsLeft) -> Handled:
        """Process an invocation; whatever the world does to it stands in the result. Raises only on a bug of ours."""
        done = Handled(len(messages))
        letters = [_read(message) for message in messages]
        works = self._sort(letters)
        settled: set[str] = set()
        for number, work in enumerate(works):
            done.reports.append(self._load(work, settled, _share(seconds_left, len(works) - number)))
        self._settle(letters, settled, done)
        return done

    # -- What is announced --------------------------------------------------------------------------------------------

    def _sort(self, letters: Iterable[_Letter]) -> list[_Work]:
        """Sort what is announced by sink; what is no sink's makes its message foreign."""
        works = {target.sink: _Work(target, warehouse) for target, warehouse in self._sinks}
        for letter in letters:
            for each in letter.objects:
                found = self._sink_of(each)
                if found is None:
                    letter.foreign = f"s3://{each.location} is not an object of a Redshift sink of this pipeline"
                    continue
                target, shard = found
                work = works[target.sink]
                known = work.objects.setdefault(each.location, each)
                if known.at is None or (each.at is not None and each.at < known.at):
                    work.objects[each.location] = each
                if shard:
                    work.shards[each.location] = shard
        return [work for work in works.values() if work.objects]

    def _sink_of(self, each: Announced) -> tuple[LoadTarget, str] | None:
        for target, _ in self._sinks:
            place = target.staging
            if each.bucket == place.bucket and each.key.startswith(f"{place.prefix}/"):
                shard = target.shard_of(each.key)
                return None if shard is None else (target, shard)
        return None

    # -- One sink -----------------------------------------------------------------------------------------------------

    def _load(self, work: _Work, settled: set[str], seconds_left: SecondsLeft) -> LoadReport:
        begun = self._clock()
        report = LoadReport(work.target.sink, announced=len(work.objects))
        done, mine = Loads(), set[str]()
        try:
            work.waiting = self._finality.waiting(work.shards)
            self._agree(work, report, seconds_left)
            staged, gone = self._look(work, mine, report, seconds_left)
            self._set_gone_aside(work.warehouse, gone, done, seconds_left)
            for chunk in _chunks(staged, work.target.objects):
                self._load_chunk(work, chunk, done, report, seconds_left)
        except (Retryable, ConfigurationError) as error:
            report.trouble = str(error)
            report.misconfigured = isinstance(error, ConfigurationError)
            report.failed += 1
            self._agreed.discard(work.target.sink)
        mine |= done.loaded | done.known.keys() | done.set_aside.keys()
        settled |= mine
        self._tell(work, mine, done, report)
        report.seconds = self._clock() - begun
        return report

    def _agree(self, work: _Work, report: LoadReport, seconds_left: SecondsLeft) -> None:
        """See, before a process loads the first time, that the table is as its contract says.

        Raises ConfigurationError where it is not, and may not or can't be made so.
        """
        if work.target.sink not in self._agreed and len(work.waiting) < len(work.objects):
            self._compare(work, report, seconds_left)

    def _compare(self, work: _Work, report: LoadReport, seconds_left: SecondsLeft) -> bool:
        """Compare the table with its contract, and make what it lacks; returns whether that was something."""
        target = work.target
        found = work.warehouse.compare(_patience(seconds_left))
        table = f"{target.contract.schema}.{target.contract.table}"
        if found.refusals:
            reasons = "; ".join(map(str, found.refusals))
            raise ConfigurationError(
                f"the table {table} of the sink {target.sink} differs from its contract: {reasons}"
            )
        if found.changes and target.changes == "check":
            missing = "; ".join(change.text for change in found.changes)
            raise ConfigurationError(
                f"the table {table} of the sink {target.sink} lacks something ({missing}), and the pipeline says "
                "`changes: check`: `aetherstream redshift apply` makes it"
            )
        if found.changes:
            report.changes += work.warehouse.apply(found, _patience(seconds_left))
        self._agreed.add(target.sink)
        return bool(found.changes)

    def _look(
        self, work: _Work, settled: set[str], report: LoadReport, seconds_left: SecondsLeft
    ) -> tuple[list[Staged], list[Staged]]:
        """See what stands there of the final objects: those with rows, and those that are gone.

        An object that is looked at before it is known to be final may be another one by then.
        """
        final = [each for location, each in work.objects.items() if location not in work.waiting]

        def head(each: Announced) -> Head | str | None:
            if seconds_left() < RESERVE:
                return NO_TIME
            try:
                return self._store.head(each.bucket, each.key)
            except Retryable as error:
                return str(error)

        staged: list[Staged] = []
        gone: list[Staged] = []
        for each, found in zip(final, self._executor.map(head, final), strict=True):
            if isinstance(found, str):
                work.waiting[each.location] = found
            elif found is None:
                gone.append(Staged(each.bucket, each.key, ""))
            elif found.size is None:
                work.waiting[each.location] = _NO_SIZE
            elif found.size <= EMPTY:
                settled.add(each.location)
                report.emptied += 1
            else:
                count = found.metadata.get(COUNT, "")
                rows = int(count) if count.isdecimal() else None
                staged.append(Staged(each.bucket, each.key, found.etag.strip('"'), rows))
                work.etags[each.location] = staged[-1].etag
        return staged, gone

    def _set_gone_aside(
        self, warehouse: Warehouse, gone: Sequence[Staged], done: Loads, seconds_left: SecondsLeft
    ) -> None:
        """Note what is gone, unless it was loaded before: then it may be."""
        if not gone:
            return
        done.known.update(warehouse.known([each.location for each in gone], _patience(seconds_left)))
        unknown = {each: _GONE for each in gone if each.location not in done.known}
        if unknown:
            warehouse.set_aside(unknown, self._new_id(), _patience(seconds_left))
            done.set_aside.update((each.location, why) for each, why in unknown.items())

    def _load_chunk(
        self, work: _Work, chunk: Sequence[Staged], done: Loads, report: LoadReport, seconds_left: SecondsLeft
    ) -> None:
        target = work.target
        narrowing = Narrowing(
            work.warehouse,
            lambda load: Manifests(target, load, self._store, self._remove),
            call=self._new_id(),
            seconds_left=seconds_left,
            done=done,
            # Somebody may have altered the table since: no object is at fault for that.
            mended=lambda: self._compare(work, report, seconds_left),
        )
        narrowing.load(chunk)

    def _tell(self, work: _Work, settled: set[str], done: Loads, report: LoadReport) -> None:
        waiting = [location for location in work.objects if location not in settled]
        why = work.waiting | done.waiting
        report.loaded, report.rows, report.known = len(done.loaded), done.rows, len(done.known)
        report.set_aside, report.waiting = len(done.set_aside), len(waiting)
        report.faults = dict(list(done.set_aside.items())[:_LISTED])
        report.rewritten, report.loads = self._rewritten(work, done), done.ids
        report.failed += done.failed
        report.trouble = report.trouble or done.cause
        report.reasons = Counter(why.get(location, report.trouble or NO_TIME) for location in waiting)
        report.misconfigured = report.misconfigured or UNKNOWN_SHARD in report.reasons
        times = [each.at for location in (*done.loaded, *waiting) if (each := work.objects[location]).at is not None]
        report.oldest = max(0.0, self._clock() - min(times)) if times else None

    def _rewritten(self, work: _Work, done: Loads) -> list[str]:
        """What was loaded and has other bytes now: nobody but a person does that, by a reset of the shard, say."""
        if not self._finality.fenced or work.target.final_at_once:
            return []  # equal rows may have been put again
        loaded = {location: entry.etag for location, entry in done.known.items() if entry.state == "loaded"}
        return [location for location, etag in work.etags.items() if loaded.get(location, etag) != etag]

    # -- The messages -------------------------------------------------------------------------------------------------

    def _settle(self, letters: Sequence[_Letter], settled: set[str], done: Handled) -> None:
        """Say which messages come again, and when; send on those that this loader is not for."""
        waits: list[tuple[Message, int]] = []
        for letter in letters:
            ours = [each for each in letter.objects if self._sink_of(each) is not None]
            if any(each.location not in settled for each in ours):
                waits.append((letter.message, _wait(letter.message.received)))
            elif letter.foreign:
                try:
                    self._queue.refuse(letter.message, letter.foreign)
                except (Retryable, ConfigurationError) as error:
                    done.trouble = done.trouble or str(error)
                    waits.append((letter.message, _wait(letter.message.received)))
                else:
                    done.refused += 1
        done.again = [message.id for message, _ in waits]
        try:
            self._queue.delay(waits)
        except (Retryable, ConfigurationError) as error:
            done.trouble = done.trouble or str(error)


def _read(message: Message) -> _Letter:
    try:
        return _Letter(message, announced(message.body))
    except Foreign as error:
        return _Letter(message, foreign=str(error))


def _wait(received: int) -> int:
    first, most = PATIENCE
    return int(min(most, first * 2 ** min(received - 1, 10)))


def _chunks(staged: Sequence[Staged], most: int) -> list[list[Staged]]:
    """Objects that may be loaded at once: of one compression, which a COPY has for all of its objects."""
    chunks: list[list[Staged]] = []
    for _, group in groupby(sorted(staged, key=_compression), key=_compression):
        objects = list(group)
        chunks += [objects[start : start + most] for start in range(0, len(objects), most)]
    return chunks


def _compression(each: Staged) -> str:
    return each.compression


def _share(seconds_left: SecondsLeft, sinks: int) -> SecondsLeft:
    """Give each sink its share of the time that is left: a slow table must not keep the next one waiting."""
    kept = seconds_left() * (1 - 1 / sinks)
    return lambda: seconds_left() - kept


def _patience(seconds_left: SecondsLeft) -> float:
    return max(1.0, seconds_left() - RESERVE)
