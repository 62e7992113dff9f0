"""The proxy by which PutRecords fails in part refuses what it says, and passes the rest."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.faults.partial import FAILED, THROTTLED, PartialFailures
from tests.faults.proxy import Answer, Exchange, Proxy


class Kinesis(Proxy):
    """Takes every record, and answers to any other operation with its name."""

    def __init__(self) -> None:
        super().__init__("http://nowhere")
        self.taken: list[str] = []

    def handle(self, exchange: Exchange, /) -> None:
        body = exchange.read(exchange.length)
        said: dict[str, Any] = {"Operation": exchange.operation}
        if exchange.operation == "PutRecords":
            records = [record["Data"] for record in orjson.loads(body)["Records"]]
            self.taken += records
            said = {"FailedRecordCount": 0, "Records": [{"SequenceNumber": data} for data in records]}
        exchange.reply(Answer(200, (), orjson.dumps(said)))


@pytest.fixture
def kinesis() -> Iterator[Kinesis]:
    with Kinesis() as running:
        yield running


def call(url: str, operation: str, request: object = None) -> Any:
    headers = {"X-Amz-Target": f"Kinesis_20131202.{operation}"}
    with urllib.request.urlopen(urllib.request.Request(url, orjson.dumps(request), headers)) as answer:  # noqa: S310
        return orjson.loads(answer.read())


def put(url: str, *data: str) -> Any:
    return call(url, "PutRecords", {"StreamName": "s", "Records": [{"Data": one} for one in data]})


def test_every_third_record_of_every_other_request_is_refused_in_its_place(kinesis: Kinesis) -> None:
    with PartialFailures(kinesis.url) as partial:
        first, second = put(partial.url, *"abcd"), put(partial.url, *"efgh")
        assert partial.refused == 2
    assert first == {
        "FailedRecordCount": 2,
        "Records": [THROTTLED, {"SequenceNumber": "b"}, {"SequenceNumber": "c"}, FAILED],
    }
    assert second == {"FailedRecordCount": 0, "Records": [{"SequenceNumber": data} for data in "efgh"]}
    assert kinesis.taken == [*"bc", *"efgh"]


def test_a_request_of_one_record_is_refused_whole_and_does_not_go_on(kinesis: Kinesis) -> None:
    with PartialFailures(kinesis.url) as partial:
        assert put(partial.url, "a") == {"FailedRecordCount": 1, "Records": [THROTTLED]}
    assert kinesis.taken == []


def test_other_operations_pass(kinesis: Kinesis) -> None:
    with PartialFailures(kinesis.url) as partial:
        assert call(partial.url, "ListShards") == {"Operation": "ListShards"}
        assert partial.refused == 0
