# ruff: noqa: S101 - these are tests, shipped
"""What every sink has to hold to, as tests: subclass, say what the sink is, and pytest runs the rest.

class TestSearch(RecordSinkContract):
    def subject(self) -> RecordSubject:
        return MySubject()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Protocol

import orjson
import pytest

from aetherstream.core import Core
from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.put import ObjectStore
from aetherstream.engine import Engine
from aetherstream.errors import Retryable
from aetherstream.quarantine import Quarantine
from aetherstream.records import Event, Events, KinesisRecords
from aetherstream.report import Report
from aetherstream.sinks.base import Documents, ObjectSink, RecordSink
from aetherstream.testing.builders import START, JsonLists, decompressed, kinesis_records, lines
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

MAX_KEY = 1024
"""S3: bytes of a key."""


class ObjectSubject:
    """A per-object sink under test, and the store that its objects go to. Override what differs."""

    def __init__(self, sink: ObjectSink) -> None:
        self.sink = sink
        self._memory = MemoryObjects()

    @property
    def store(self) -> ObjectStore:
        """Where the objects go."""
        return self._memory

    def read(self) -> dict[str, bytes]:
        """Every object under the sink's prefix: key → bytes."""
        prefix = f"{self.sink.target.prefix}/"
        return {key: stored.body for key, stored in self._memory.under(self.sink.target.bucket, prefix)}

    def samples(self) -> list[Event]:
        """Three or more events that the sink takes."""
        return [{"n": n, "p": "ab"[n % 2]} for n in range(5)]


class Unreliable:
    """An object store of which the first puts fail."""

    def __init__(self, inner: ObjectStore, failures: int) -> None:
        self._inner = inner
        self._failures = failures
        self.overwrite = inner.overwrite
        self.head = inner.head

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        """Fail, or put."""
        if self._failures > 0:
            self._failures -= 1
            raise Retryable("503 SlowDown")
        self._inner.put(bucket, key, body, metadata, if_match=if_match)


class ObjectSinkContract:
    """The obligations of a per-object sink (`aetherstream.sinks.base.ObjectSink`)."""

    def subject(self) -> ObjectSubject:
        """The sink, new for each test."""
        raise NotImplementedError

    def test_every_event_is_placed_once_in_ascending_order(self) -> None:
        """No event is lost or doubled by partitioning."""
        subject = self.subject()
        events = columns(subject.samples())
        paths, refused = subject.sink.partition(events, range(len(events)))
        assert all(members == sorted(members) and members for members in paths.values())
        assert sorted(index for members in paths.values() for index in members) == list(range(len(events)))
        assert refused == {}

    def test_only_the_events_asked_for_are_placed(self) -> None:
        """Routing names some of the events."""
        subject = self.subject()
        events = columns(subject.samples())
        paths, _ = subject.sink.partition(events, [0, 2])
        assert sorted(index for members in paths.values() for index in members) == [0, 2]

    def test_no_events_open_no_partition(self) -> None:
        """An empty batch makes no object."""
        assert self.subject().sink.partition(columns([]), []) == ({}, {})

    def test_an_events_place_does_not_depend_on_its_neighbours(self) -> None:
        """A retry that is cut differently must find the same place."""
        subject = self.subject()
        samples = subject.samples()
        together, _ = subject.sink.partition(columns(samples), range(len(samples)))
        for index, sample in enumerate(samples):
            events = columns([sample])
            events.times = [START + index]
            alone, _ = subject.sink.partition(events, [0])
            assert list(alone) == [path for path, members in together.items() if index in members]

    def test_partitioning_changes_nothing(self) -> None:
        """Events are shared with the other sinks."""
        subject = self.subject()
        events = columns(subject.samples())
        before = deepcopy(events)
        subject.sink.partition(events, range(len(events)))
        assert events == before

    def test_an_object_reads_back_as_its_lines(self) -> None:
        """Whatever the compression, readers find the lines."""
        subject = self.subject()
        body = subject.sink.encode(b'{"n":1}\n{"n":2}\n', 7)
        assert decompressed(body) == b'{"n":1}\n{"n":2}\n'

    def test_an_object_without_lines_is_empty(self) -> None:
        """What an earlier attempt left is emptied by such an object."""
        assert decompressed(self.subject().sink.encode(b"", 7)) == b""

    @pytest.mark.parametrize("content", [b"", b'{"n":1}\n'])
    def test_the_epoch_stands_in_the_bytes(self, content: bytes) -> None:
        """Equal bytes of two epochs would let a late writer through."""
        sink = self.subject().sink
        assert len({sink.encode(content, epoch) for epoch in (1, 2, 3, 2**31)}) == 4

    def test_the_same_lines_and_epoch_make_the_same_bytes(self) -> None:
        """A put whose answer was lost is recognised by its bytes."""
        sink = self.subject().sink
        assert sink.encode(b'{"n":1}\n', 7) == sink.encode(b'{"n":1}\n', 7)

    def test_a_batch_reads_back_whole(self) -> None:
        """Every event, once, with its id."""
        subject = self.subject()
        report = deliver(subject, subject.store, kinesis_records(subject.samples()))
        assert (report.error, _held(subject)) == (None, _ids(len(subject.samples())))

    def test_a_batch_that_comes_twice_stands_once(self) -> None:
        """Also without the memory of the first attempt."""
        subject = self.subject()
        batch = kinesis_records(subject.samples())
        deliver(subject, subject.store, batch)
        progress = MemoryProgress()
        deliver(subject, subject.store, batch, progress)
        assert _held(subject) == _ids(len(batch))

    @pytest.mark.parametrize("failures", [1, 2])
    def test_a_throttled_batch_is_left_and_stands_once_after_the_retry(self, failures: int) -> None:
        """Some of the puts fail."""
        subject = self.subject()
        batch, progress = kinesis_records(subject.samples()), MemoryProgress()
        store = Unreliable(subject.store, failures)
        first = deliver(subject, store, batch, progress)
        for _ in range(failures):
            deliver(subject, store, batch, progress)
        assert first.failed_from == batch.sequences[0]
        assert _held(subject) == _ids(len(batch))

    def test_an_unavailable_store_leaves_the_batch(self) -> None:
        """Nothing is called delivered."""
        subject = self.subject()
        batch = kinesis_records(subject.samples())
        report = deliver(subject, Unreliable(subject.store, 10**6), batch)
        assert (report.failed_from, report.left, _held(subject)) == (batch.sequences[0], len(batch), [])

    def test_a_shorter_retry_takes_back_what_it_does_not_bring(self) -> None:
        """A retry that is cut differently leaves no event twice."""
        subject = self.subject()
        batch, progress = kinesis_records(subject.samples()), MemoryProgress()
        deliver(subject, Unreliable(subject.store, 1), batch, progress)
        deliver(subject, subject.store, batch.part(0, 1), progress)
        assert _held(subject) == _ids(1)
        deliver(subject, subject.store, batch.part(1, len(batch)), progress)
        assert _held(subject) == _ids(len(batch))

    def test_keys_stay_within_what_s3_takes(self) -> None:
        """S3: 1,024 bytes."""
        subject = self.subject()
        deliver(subject, subject.store, kinesis_records(subject.samples()))
        assert [key for key in subject.read() if len(key.encode()) > MAX_KEY] == []

    def test_an_oversize_event_is_stored_whole(self) -> None:
        """Kinesis: 1 MiB a record and more; an object has no such bound."""
        subject = self.subject()
        large = {**subject.samples()[0], "text": "x" * 2_000_000}
        deliver(subject, subject.store, kinesis_records([large]))
        (found,) = [line for body in subject.read().values() for line in lines(body)]
        assert len(found["text"]) == 2_000_000


def columns(values: Sequence[Event]) -> Events:
    """Events of a Kinesis record each, a second apart."""
    count = len(values)
    return Events(list(values), list(range(count)), [0] * count, times=[START + n for n in range(count)])


def deliver(
    subject: ObjectSubject, store: ObjectStore, batch: KinesisRecords, progress: MemoryProgress | None = None
) -> Report:
    """Run a batch through the real engine, in a new process."""
    engine = Engine(
        "contract",
        Core(JsonLists(), sinks=[subject.sink]),
        store=store,
        ledger=Ledger(MemoryProgress() if progress is None else progress, "process"),
        quarantine=Quarantine(bucket=subject.sink.target.bucket, prefix="quarantine", pipeline="contract"),
        executor=InlineExecutor(),
        version=lambda: "v1",
    )
    return engine.process(batch, lambda: 900.0)


def _held(subject: ObjectSubject) -> list[str]:
    return sorted(line["_event_id"] for body in subject.read().values() for line in lines(body))


def _ids(count: int) -> list[str]:
    batch = kinesis_records([{}] * count)
    return [f"{batch.shard}:{sequence}:0" for sequence in batch.sequences]


class RecordSubject(Protocol):
    """A per-record sink under test, with the levers that make its service fail."""

    @property
    def sink(self) -> RecordSink:
        """The sink."""

    def stored(self) -> Mapping[str, Event]:
        """What the service holds: id → document."""

    def throttle(self, document_id: str) -> None:
        """Make the service put off this document, and take the others."""

    def refuse(self, document_id: str) -> None:
        """Make the service refuse this document for good."""

    def take_down(self) -> None:
        """Make the service unreachable."""

    def bring_up(self) -> None:
        """Make it answer again, without throttling."""

    def oversize(self) -> bytes:
        """A document (JSON) that is larger than the service takes."""


class RecordSinkContract:
    """The obligations of a per-record sink (`aetherstream.sinks.base.RecordSink`)."""

    DOCUMENTS: Mapping[str, Event] = {f"s:10{n}:0": {"n": n} for n in range(5)}

    def subject(self) -> RecordSubject:
        """The sink, new for each test."""
        raise NotImplementedError

    PLACE = "documents"
    """Where in the service they go."""

    def documents(self, **more: bytes) -> Documents:
        """Some documents as the engine hands them over."""
        bodies = {name: orjson.dumps(document) for name, document in self.DOCUMENTS.items()} | more
        return Documents(list(bodies), [self.PLACE] * len(bodies), list(bodies.values()))

    def test_nothing_is_delivered_of_nothing(self) -> None:
        """An empty batch writes nothing."""
        subject = self.subject()
        outcome = subject.sink.deliver(Documents(), 60.0)
        assert (outcome.rejected, outcome.undelivered, subject.stored()) == ({}, {}, {})

    def test_each_document_is_stored_under_its_id(self) -> None:
        """Whole values."""
        subject = self.subject()
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (outcome.rejected, outcome.undelivered, subject.stored()) == ({}, {}, self.DOCUMENTS)

    def test_documents_that_come_twice_are_stored_once(self) -> None:
        """A retry is harmless."""
        subject = self.subject()
        subject.sink.deliver(self.documents(), 60.0)
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (outcome.rejected, outcome.undelivered, subject.stored()) == ({}, {}, self.DOCUMENTS)

    def test_a_throttled_document_is_undelivered_and_the_others_are_stored(self) -> None:
        """Every item of the answer is inspected."""
        subject = self.subject()
        subject.throttle("s:102:0")
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (outcome.rejected, list(outcome.undelivered)) == ({}, ["s:102:0"])
        assert subject.stored() == {name: value for name, value in self.DOCUMENTS.items() if name != "s:102:0"}

    def test_a_retry_completes_a_partial_delivery(self) -> None:
        """Nothing is lost on the way."""
        subject = self.subject()
        subject.throttle("s:102:0")
        subject.sink.deliver(self.documents(), 60.0)
        subject.bring_up()
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (outcome.undelivered, subject.stored()) == ({}, self.DOCUMENTS)

    def test_a_refused_document_is_rejected_with_its_reason_and_the_others_are_stored(self) -> None:
        """It goes to the quarantine."""
        subject = self.subject()
        subject.refuse("s:103:0")
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (list(outcome.rejected), outcome.undelivered) == (["s:103:0"], {})
        assert outcome.rejected["s:103:0"].reason
        assert subject.stored() == {name: value for name, value in self.DOCUMENTS.items() if name != "s:103:0"}

    def test_an_oversize_document_is_rejected_and_the_others_are_stored(self) -> None:
        """It would never fit: retrying it would hold up the shard."""
        subject = self.subject()
        outcome = subject.sink.deliver(self.documents(**{"s:109:0": subject.oversize()}), 60.0)
        assert (list(outcome.rejected), outcome.undelivered) == (["s:109:0"], {})
        assert subject.stored() == self.DOCUMENTS

    def test_an_unavailable_service_leaves_every_document_undelivered(self) -> None:
        """It does not raise: what is undelivered has a reason each."""
        subject = self.subject()
        subject.take_down()
        outcome = subject.sink.deliver(self.documents(), 60.0)
        assert (outcome.rejected, list(outcome.undelivered)) == ({}, list(self.DOCUMENTS))
        assert all(outcome.undelivered.values())

    def test_without_time_nothing_is_called_delivered(self) -> None:
        """What is not in the outcome counts as stored."""
        subject = self.subject()
        outcome = subject.sink.deliver(self.documents(), 0.0)
        missing = [name for name in self.DOCUMENTS if name not in subject.stored()]
        assert [name for name in missing if name not in outcome.undelivered] == []

    def test_documents_are_not_changed(self) -> None:
        """They are shared with the other sinks."""
        subject = self.subject()
        documents = self.documents()
        subject.sink.deliver(documents, 60.0)
        assert documents == self.documents()
