"""A proxy that makes PutRecords fail in part: the service takes some records of a request and refuses the others.

microburst answers or spoils whole calls. Here the refused entries are left out of the request that goes on to the
stack, and the answer says of each of them what Kinesis says.
"""

from __future__ import annotations

import http
import threading
from itertools import count
from typing import Any

import orjson

from tests.faults.proxy import Answer, Exchange, Proxy

THROTTLED = {
    "ErrorCode": "ProvisionedThroughputExceededException",
    "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream drill under account 000000000000.",
}
FAILED = {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"}
_HEADERS = (("Content-Type", "application/x-amz-json-1.1"),)


class PartialFailures(Proxy):
    """Of each two PutRecords requests the first loses every third record, by turns throttled and failed."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.refused = 0
        """Records refused so far."""
        self._calls = count()
        self._lock = threading.Lock()

    def handle(self, exchange: Exchange, /) -> None:
        """Take some records of a request, and refuse the others."""
        body = exchange.read(exchange.length)
        exchange.reply(self._put(exchange, body) if exchange.operation == "PutRecords" else exchange.forward(body))

    def _put(self, exchange: Exchange, body: bytes) -> Answer:
        request = orjson.loads(body)
        with self._lock:
            odd = next(self._calls) % 2
            refusals = {} if odd else _refusals(len(request["Records"]))
            self.refused += len(refusals)
        kept = [record for index, record in enumerate(request["Records"]) if index not in refusals]
        stored: list[Any] = []
        if kept:
            answer = exchange.forward(orjson.dumps({**request, "Records": kept}))
            if answer.status != http.HTTPStatus.OK:
                return answer
            stored = orjson.loads(answer.body)["Records"]
        rest = iter(stored)
        records = [refusals.get(index) or next(rest) for index in range(len(request["Records"]))]
        failed = sum("ErrorCode" in record for record in records)
        said = orjson.dumps({"FailedRecordCount": failed, "Records": records})
        return Answer(http.HTTPStatus.OK, _HEADERS, said)


def _refusals(records: int) -> dict[int, dict[str, str]]:
    """What is said of each refused entry, by its index; of a request of one record, that one."""
    refused = range(0, records, 3)
    return {index: THROTTLED if number % 2 == 0 else FAILED for number, index in enumerate(refused)}
