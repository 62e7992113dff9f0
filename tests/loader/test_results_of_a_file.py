# ruff: noqa: S608 - names of the tests' own
"""From a pipeline file to the rows of its results: outlets, loader and table as the functions compose them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from boto3 import Session

from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_loads import load_targets_of
from aetherstream.compose_results import outlets_of
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.loader.manifests import remover
from aetherstream.loader_app import LoaderApp, loader_of, warehouse_of
from aetherstream.pipeline import Pipeline
from aetherstream.results.parts import Sent
from aetherstream.testing.builders import STREAM
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.results import row, taken_back
from aetherstream.testing.stores import MemoryProgress
from aetherstream.warehouse.sql import ObjectRef
from tests.loader.sql_bench import Bench
from tests.pipeline.writing import ENV, loaded

pytestmark = pytest.mark.integration

FILE = """\
pipeline: flights
event_time: {{field: at}}
delivery: exactly_once
sinks:
  warehouse:
    redshift:
      endpoint: {host}:{port}/{database}
      auth: password
      username: {user}
      password: ${{PASSWORD}}
      tls: off
      copy_role: arn:aws:iam::123456789012:role/load
      bucket: {bucket}
      prefix: {schema}/warehouse
      table: {schema}.flights
      columns: {{carrier: char(2)}}
aggregates:
  hours:
    group_by: [carrier]
    window: {{tumbling: 1h}}
    outputs:
      flights: count
      delay: {{kind: mean, of: dep_delay}}
      note: {{kind: last, of: note}}
    to:
      warehouse: {{table: {schema}.hours, columns: {{carrier: char(2), note: varchar(20)}}}}
"""


class Context:
    """Lambda's context: an invocation of a quarter of an hour."""

    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")


@pytest.fixture
def pipeline(bench: Bench, tmp_path: Path) -> Pipeline:
    login = {**bench.login, "bucket": bench.objects.bucket, "schema": bench.schema}
    return loaded(tmp_path, FILE.format(**login), {**ENV, "PASSWORD": bench.login["password"]})


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue(clock=lambda: 0.0)


@pytest.fixture
def app(pipeline: Pipeline, bench: Bench, queue: MemoryQueue) -> Iterator[LoaderApp]:
    s3: Any = bench.objects.s3
    sinks = [(target, warehouse_of(target, Session())) for target in load_targets_of(pipeline)]
    executor = ThreadPoolExecutor(2)
    yield loader_of(
        pipeline,
        sinks,
        stream=STREAM,
        store=S3Store(s3),
        reader=S3Reader(s3),
        remove=remover(s3),
        progress=MemoryProgress(),
        queue=queue,
        executor=executor,
    )
    executor.shutdown()
    for _, warehouse in sinks:
        warehouse.close()


def test_results_come_from_their_outlet_into_their_table(
    pipeline: Pipeline, bench: Bench, app: LoaderApp, queue: MemoryQueue
) -> None:
    [outlet] = outlets_of(
        pipeline,
        declarations_of(pipeline),
        session=Session(region_name="eu-central-1"),
        warn=pytest.fail,
        s3=S3Store(bench.objects.s3),
    )["hours"]
    assert outlet.send([row("AA", 7, note="N1"), row("UA", 7)], 60.0) == Sent()
    assert outlet.send([row("AA", 9, note="N2"), taken_back(row("UA"), 8)], 60.0) == Sent()
    too_long = row("DL", note="x" * 21)
    assert list(outlet.send([too_long], 60.0).refused) == [too_long.id]
    keys = bench.keys(f"{bench.schema}/warehouse.results/hours/")
    queue.announce([ObjectRef(bench.objects.bucket, key) for key in keys])
    records = [{"messageId": each.id, "receiptHandle": each.receipt, "body": each.body} for each in queue.take(10)]
    assert app.handle({"Records": records}, Context()) == {"batchItemFailures": []}
    told = app.handle({"do": "show", "by": "a test", "sink": outlet.name}, Context())
    [shown] = told["sinks"]
    assert (len(keys), shown["loaded"], shown["rows"], shown["changes"], shown["refusals"]) == (2, 2, 4, [], [])
    found = bench.run(f'SELECT carrier, flights, delay, note, version, removed FROM "{bench.schema}".hours ORDER BY 1')
    assert found == [["AA", 9, 1.5, "N2", 9, False], ["UA", None, None, None, 8, True]]
