import orjson
import pytest

from aetherstream.errors import Rejected
from aetherstream.objects import Compression
from aetherstream.records import Event
from aetherstream.sinks.s3 import S3Archive, by_field, by_time
from aetherstream.testing.contract import ObjectSinkContract, ObjectSubject, RecordSinkContract, RecordSubject
from aetherstream.testing.sinks import MemoryRecordSink


def archive(compression: Compression) -> S3Archive:
    partition = [by_time("day"), by_time("hour"), by_field("p")]
    return S3Archive("archive", bucket="data", prefix="archive", partition=partition, compression=compression)


class TestArchiveInGzip(ObjectSinkContract):
    def subject(self) -> ObjectSubject:
        return ObjectSubject(archive("gzip"))


class TestArchiveInZstd(ObjectSinkContract):
    def subject(self) -> ObjectSubject:
        return ObjectSubject(archive("zstd"))


class TestArchiveWithoutPartitions(ObjectSinkContract):
    def subject(self) -> ObjectSubject:
        return ObjectSubject(S3Archive("archive", bucket="data", prefix="archive"))


class MemorySubject:
    def __init__(self) -> None:
        self.sink = MemoryRecordSink(answer=self._answer, max_bytes=1000)
        self._throttled: set[str] = set()
        self._refused: set[str] = set()

    def _answer(self, document_id: str, _: Event) -> Rejected | str | None:
        if document_id in self._refused:
            return Rejected("mapping conflict", document_id)
        return "429" if document_id in self._throttled else None

    def stored(self) -> dict[str, Event]:
        return self.sink.documents

    def throttle(self, document_id: str) -> None:
        self._throttled.add(document_id)

    def refuse(self, document_id: str) -> None:
        self._refused.add(document_id)

    def take_down(self) -> None:
        self.sink.down = "connection refused"

    def bring_up(self) -> None:
        self.sink.down = None
        self._throttled.clear()

    def oversize(self) -> bytes:
        return orjson.dumps({"text": "x" * 1000})


class TestMemoryRecordSink(RecordSinkContract):
    def subject(self) -> RecordSubject:
        return MemorySubject()


class Forgetful(MemoryRecordSink):
    """Calls delivered what it was told to put off, as a sink does that does not read its bulk answers."""

    def deliver(self, documents, seconds, /):  # type: ignore[no-untyped-def]
        outcome = super().deliver(documents, seconds)
        outcome.undelivered = {}
        return outcome


def test_the_contract_catches_a_sink_that_does_not_read_its_answers() -> None:
    class Contract(RecordSinkContract):
        def subject(self) -> RecordSubject:
            subject = MemorySubject()
            subject.sink = Forgetful(answer=subject._answer)
            return subject

    with pytest.raises(AssertionError):
        Contract().test_a_throttled_document_is_undelivered_and_the_others_are_stored()
    with pytest.raises(AssertionError):
        Contract().test_an_unavailable_service_leaves_every_document_undelivered()


def test_the_contract_catches_an_object_without_its_epoch() -> None:
    class Timeless(S3Archive):
        def encode(self, lines: bytes, epoch: int, /) -> bytes:
            return super().encode(lines, 1)

    class Contract(ObjectSinkContract):
        def subject(self) -> ObjectSubject:
            return ObjectSubject(Timeless("archive", bucket="data", prefix="archive"))

    with pytest.raises(AssertionError):
        Contract().test_the_epoch_stands_in_the_bytes(b"")
