"""One spill object: read, checked, and emptied when its documents have arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aetherstream.delivery.progress import ProgressStore, peek, progress_key
from aetherstream.delivery.put import DIGEST, EPOCH, Conflict, Missing, ObjectStore, PreconditionFailed
from aetherstream.delivery.reader import Listed, ObjectReader
from aetherstream.drain.backlog import name_of
from aetherstream.errors import Retryable
from aetherstream.objects import EMPTY, Name, Target, empty_object
from aetherstream.records import sortable
from aetherstream.spill import SpilledRow, UnusableSpill, read_rows

_TRIES = 5


@dataclass(frozen=True, slots=True)
class SpillObject:
    """A spill object as it was read."""

    bucket: str
    key: str
    name: Name
    etag: str
    epoch: int
    """0 with `delivery: at_least_once`, where there are no epochs."""
    version: str
    rows: Sequence[SpilledRow]
    modified: float
    """Epoch seconds."""

    def stands(self, store: ObjectStore) -> bool:
        """Tell whether the object still is what was read."""
        head = store.head(self.bucket, self.key)
        return head is not None and head.etag == self.etag

    def empty(self, store: ObjectStore) -> bool:
        """Empty it, in its own epoch, if it is still what was read; tell whether it was.

        The empty object stays: a late put of an older attempt meets it.
        """
        metadata = {"aether-count": "0", "aether-version": self.version, DIGEST: "drained"}
        if self.epoch:
            metadata[EPOCH] = str(self.epoch)
        body = empty_object(self.key, self.epoch)
        for _ in range(_TRIES):
            try:
                store.put(self.bucket, self.key, body, metadata, if_match=self.etag)
            except Conflict:
                continue
            except (PreconditionFailed, Missing):
                return False
            return True
        raise Retryable(f"s3://{self.bucket}/{self.key}: {_TRIES} puts in a row met another writer")


class SpillReader:
    """Reads the spill objects of one sink."""

    def __init__(
        self, pipeline: str, sink: str, target: Target, *, store: ObjectStore, reader: ObjectReader, fenced: bool
    ) -> None:
        """`fenced`: whether objects carry epochs (delivery `exactly_once`)."""
        self._pipeline = pipeline
        self._sink = sink
        self._target = target
        self._store = store
        self._reader = reader
        self._fenced = fenced

    def read(self, listed: Listed) -> SpillObject | None:
        """Read an object; None where it has been emptied or removed since it was listed.

        Raises UnusableSpill for one that the engine did not write so; Retryable and ConfigurationError like the store.
        """
        bucket, key = self._target.bucket, listed.key
        place = f"s3://{bucket}/{key}"
        name = name_of(self._target, key)
        if name is None:
            raise UnusableSpill("foreign", f"{place}: not a name that the engine gives")
        # First the ETag, then the bytes: what is emptied on this ETag is at most as new as what was read.
        head = self._store.head(bucket, key)
        body = None if head is None else self._reader.get(bucket, key)
        if head is None or body is None or len(body) <= EMPTY:
            return None
        epoch = head.metadata.get(EPOCH, "")
        if self._fenced and not epoch.isdecimal():
            raise UnusableSpill("foreign", f"{place}: it carries no epoch, so the engine did not write it")
        rows = list(read_rows(place, key, body))
        for number, row in enumerate(rows, 1):
            if row.pipeline != self._pipeline or row.where != f"sinks.{self._sink}":
                raise UnusableSpill(
                    "another's", f"{place} line {number}: of {row.where} of the pipeline {row.pipeline!r}"
                )
            if row.shard != name.shard or not row.sequence.isdecimal():
                raise UnusableSpill("foreign", f"{place} line {number}: {row.id} is not of the shard {name.shard}")
        version = head.metadata.get("aether-version", "")
        number = int(epoch) if epoch.isdecimal() else 0
        return SpillObject(bucket, key, name, head.etag, number, version, rows, listed.modified)


class Marks:
    """The shards' marks, each looked up once until they are forgotten."""

    def __init__(self, pipeline: str, progress: ProgressStore | None) -> None:
        """`progress` None: delivery `at_least_once`, where every object is final."""
        self.looked = 0
        """How often a mark has been looked up."""
        self._pipeline = pipeline
        self._progress = progress
        self._known: dict[str, tuple[str, int]] = {}

    def forget(self) -> None:
        """Look every mark up again."""
        self._known.clear()

    def passed(self, spilled: SpillObject, before: int, store: ObjectStore) -> bool:
        """Tell whether what was read is final: no attempt writes the object any more.

        `before`: what `looked` was when the reading began. A mark says that the object is final from then on; one that
        was looked up after the object was read may speak of what has been written over it since. Raises like
        `ProgressStore.write` and `ObjectStore.head`.
        """
        if self._progress is None:
            return True
        lasts: dict[str, str] = {}
        for row in spilled.rows:
            key = progress_key(self._pipeline, row.stream, row.shard)
            lasts[key] = max(lasts.get(key, ""), sortable(row.sequence))
        later = False
        for key, last in lasts.items():
            mark, at = self._mark(key, self._progress)
            if last > mark:
                return False
            later = later or at > before
        return not later or spilled.stands(store)

    def _mark(self, key: str, progress: ProgressStore) -> tuple[str, int]:
        if key not in self._known:
            self.looked += 1
            self._known[key] = peek(progress, key).completed, self.looked
        return self._known[key]


class Pace:
    """Keeps a rate: documents a second."""

    def __init__(self, rate: int, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """`clock`: seconds from any beginning."""
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def seconds(self) -> float:
        """How long the next documents have to wait."""
        return max(0.0, self._free_at - self._clock())

    def send(self, documents: int) -> None:
        """Wait until so many documents may be sent."""
        wait = self.seconds()
        if wait:
            self._sleep(wait)
        self._free_at = max(self._free_at, self._clock()) + documents / self._rate
