from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.esm import Discard, FunctionError, Invoke, MappingSettings, Result, Returned
from aetherstream.local.poller import Poller
from aetherstream.local.progress import Progress
from aetherstream.local.shards import KinesisStream
from tests.local.fakes import FUNCTION, STREAM, FakeKinesis, client_error

PARENT, LEFT, RIGHT = "shardId-000000000000", "shardId-000000000001", "shardId-000000000002"


class Function:
    """Notes what it is given, in order, and answers as the test says."""

    def __init__(self, answer: Callable[[list[bytes]], Result] = lambda _: Returned(None)) -> None:
        self.answer = answer
        self.seen: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()

    def __call__(self, invoke: Invoke, /) -> tuple[Result, str]:
        data = [base64.b64decode(record["kinesis"]["data"]) for record in invoke.event["Records"]]
        result = self.answer(data)
        with self._lock:
            self.seen += [(invoke.shard_id, value) for value in data]
        return result, "" if isinstance(result, Returned) else "it failed"


def poller(
    kinesis: FakeKinesis, function: Function, send: Callable[[Discard], bool] | None = None, **settings: Any
) -> Poller:
    given = {"enabled": False, "stream_arn": STREAM, "function_arn": FUNCTION, "batch_size": 10_000, **settings}
    resume = given.pop("resume", None)
    return Poller(
        MappingSettings(**given),
        source=KinesisStream(cast("Any", kinesis), STREAM),
        invoker=function,
        send=send or (lambda _: True),
        resume=resume,
        poll_interval=0.001,
    )


def test_every_record_is_processed_in_order() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    kinesis.put(PARENT, b"a", b"b")
    with poller(kinesis, function) as running:
        kinesis.put(PARENT, b"c")
        running.drain(10)
    assert function.seen == [(PARENT, b"a"), (PARENT, b"b"), (PARENT, b"c")]


def test_what_is_put_after_the_start_is_read_with_latest() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    kinesis.put(PARENT, b"old")
    with poller(kinesis, function, starting_position="LATEST") as running:
        kinesis.put(PARENT, b"new")
        running.drain(10)
    assert function.seen == [(PARENT, b"new")]


def test_a_resumed_shard_continues_behind_its_checkpoint() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    numbers = kinesis.put(PARENT, b"a", b"b")
    with poller(kinesis, function, resume={PARENT: numbers[0]}) as running:
        running.drain(10)
        assert running.checkpoints() == {PARENT: numbers[1]}
    assert function.seen == [(PARENT, b"b")]


def test_children_of_a_split_start_when_the_parent_is_finished() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    kinesis.put(PARENT, b"a")
    with poller(kinesis, function) as running:
        kinesis.split(PARENT, LEFT, RIGHT)
        kinesis.put(LEFT, b"b")
        running.drain(10)
        assert running.progress().finished == 2
    assert function.seen == [(PARENT, b"a"), (LEFT, b"b")]


def test_an_expired_iterator_is_renewed_where_it_stood() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    with poller(kinesis, function) as running:
        kinesis.put(PARENT, b"a")
        running.drain(10)
        kinesis.failures.append(client_error("ExpiredIteratorException"))
        kinesis.put(PARENT, b"b")
        running.drain(10)
    assert function.seen == [(PARENT, b"a"), (PARENT, b"b")]


def test_a_batch_that_keeps_failing_goes_to_the_destination() -> None:
    sent: list[Discard] = []

    def send(discard: Discard) -> bool:
        sent.append(discard)
        return True

    kinesis, function = FakeKinesis(PARENT), Function(lambda _: FunctionError())
    (number,) = kinesis.put(PARENT, b"bad")
    with poller(kinesis, function, send, maximum_retry_attempts=0, on_failure="arn:aws:s3:::b") as running:
        progress = running.drain(10)
    assert progress == Progress(read=1, finished=1, discarded=1, invocations=1, failed=1, last_error="it failed")
    assert [(d.condition, d.destination, d.records[0].sequence_number) for d in sent] == [
        ("RetryAttemptsExhausted", "arn:aws:s3:::b", number)
    ]


def test_records_that_no_destination_took_are_counted() -> None:
    kinesis, function = FakeKinesis(PARENT), Function(lambda _: FunctionError())
    kinesis.put(PARENT, b"bad")
    with poller(kinesis, function, lambda _: False, maximum_retry_attempts=0) as running:
        assert running.drain(10).undelivered == 1


def test_a_drain_that_takes_too_long_says_where_it_stands() -> None:
    release = threading.Event()

    def wait(_: list[bytes]) -> Result:
        release.wait()
        return Returned(None)

    kinesis, function = FakeKinesis(PARENT), Function(wait)
    kinesis.put(PARENT, b"slow")
    with poller(kinesis, function) as running:
        with pytest.raises(UsageError, match="1 of 1 records read are unfinished, 1 invocations run"):
            running.drain(0.01)
        release.set()


def test_drain_shows_its_progress() -> None:
    kinesis, function = FakeKinesis(PARENT), Function()
    kinesis.put(PARENT, b"a")
    shown: list[Progress] = []
    with poller(kinesis, function) as running:
        progress = running.drain(10, shown.append)
    assert shown[-1] == progress == Progress(read=1, finished=1, invocations=1)


def test_a_bug_in_an_invoker_ends_the_poller_and_shows() -> None:
    def explode(_: list[bytes]) -> Result:
        raise KeyError("bug")

    kinesis, function = FakeKinesis(PARENT), Function(explode)
    kinesis.put(PARENT, b"a")
    with poller(kinesis, function) as running, pytest.raises(RuntimeError, match="ended by an error"):
        running.drain(10)


def test_a_stream_that_can_not_be_listed_is_said_at_the_start() -> None:
    class Gone(FakeKinesis):
        def list_shards(self, **_: object) -> dict[str, Any]:
            raise client_error("ResourceNotFoundException")

    with pytest.raises(UsageError, match=r"the shards of .*stream/s can't be listed"):
        poller(Gone(), Function()).start()
