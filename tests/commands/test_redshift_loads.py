"""`aetherstream redshift` and the real loader function: queue and objects on MiniStack, tables in the stand-in."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redshift_connector.core import Connection

from aetherstream.compose_loads import load_targets_of
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.loader.load_queue import SqsLoadQueue
from aetherstream.loader.manifests import remover
from aetherstream.loader_app import loader_of, warehouse_of
from aetherstream.local.environment import Clients
from aetherstream.local.redshift import LocalRedshift
from aetherstream.pipeline import load
from tests.commands.test_redshift import call
from tests.docs.markdown import blocks

pytestmark = pytest.mark.integration

PIPELINE = """\
pipeline: p
delivery: at_least_once
sinks:
  warehouse:
    redshift:
      endpoint: {endpoint}
      auth: password
      username: {user}
      password: ${{PASSWORD}}
      tls: "off"
      copy_role: arn:aws:iam::123456789012:role/load
      bucket: {bucket}
      prefix: {schema}/staging
      table: {schema}.flights
      columns: {{origin: char(3), distance: integer}}
quarantine: {{s3: {{bucket: {bucket}}}}}
"""


PAGE_SQL = [
    block.text for block in blocks(Path(__file__).parents[2] / "docs/operations/redshift.md") if block.kind == "sql"
]


class Context:
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class Stack:
    """Plays `Deployed`, Lambda with the loader function, and its event source mapping."""

    name = "memory"

    def __init__(self, folder: Path, bucket: tuple[str, str], schema: str, server: LocalRedshift) -> None:
        self.outputs = {"LoaderFunctionName": "loader"}
        self.clients = Clients(bucket[0])
        self.bucket, self.schema = bucket[1], schema
        self.head = f"warehouse: {schema}.flights, at {server.host}:{server.port}/{server.database}"
        file = folder / "p.yaml"
        file.write_text(
            PIPELINE.format(
                endpoint=f"{server.host}:{server.port}/{server.database}",
                user=server.user,
                bucket=self.bucket,
                schema=schema,
            )
        )
        pipeline = load(file, {"PASSWORD": server.password})
        [target] = load_targets_of(pipeline)
        self.sqs = self.clients.get("sqs")
        self.queue, self.dead = (
            self.sqs.create_queue(QueueName=f"{name}-{schema}")["QueueUrl"] for name in ("loads", "dead")
        )
        self.table = warehouse_of(target, self.clients.session)
        self._function = loader_of(
            pipeline,
            [(target, self.table)],
            stream="arn:aws:kinesis:eu-central-1:123456789012:stream/p",
            store=S3Store(self.clients.s3),
            reader=S3Reader(self.clients.s3),
            remove=remover(self.clients.s3),
            progress=None,
            queue=SqsLoadQueue(self.sqs, self.queue, self.dead),
            executor=ThreadPoolExecutor(4),
        )

    def output(self, key: str) -> str:
        return self.outputs[key]

    def client(self, service: str, **_: Any) -> Any:
        assert service == "lambda"
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "loader"
        answer = self._function.handle(json.loads(Payload), Context())
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    def lines(self, name: str, *arguments: str, code: int = 0) -> list[str]:
        result = call(self, name, *arguments)  # type: ignore[arg-type]
        assert result.exit_code == code, result.exception
        return [line for line in result.output.splitlines() if not line.startswith(("{", self.head))]

    def stage(self, shard: str, *rows: dict[str, Any]) -> str:
        """Put an object as the stream function does; its place."""
        key = f"{self.schema}/staging/{shard}-0001-000001.ndjson.gz"
        full = [{"_event_id": f"{shard}:1:{number}", **row} for number, row in enumerate(rows)]
        self.clients.s3.put_object(
            Bucket=self.bucket,
            Key=key,
            Body=gzip.compress("".join(json.dumps(row) + "\n" for row in full).encode(), mtime=0),
            Metadata={"aether-count": str(len(rows))},
        )
        return f"s3://{self.bucket}/{key}"

    def load(self) -> None:
        """Hand over what is in the queue, once; what does not come again is removed."""
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for each in found
        ]
        answer = self._function.handle({"Records": records}, Context())
        again = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for each in found:
            if each["MessageId"] not in again:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])


@pytest.fixture
def stack(
    tmp_path: Path, bucket: tuple[str, str], schema: str, warehouse: LocalRedshift, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", uuid.uuid4().hex)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    made = Stack(tmp_path, bucket, schema, warehouse)
    with closing(made.table):
        yield made


def rows(connection: Connection) -> list[tuple[str, str]]:
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("SELECT _event_id, origin FROM flights ORDER BY 1")
        return [(row[0], row[1]) for row in cursor.fetchall()]


def test_from_an_empty_warehouse_to_an_object_that_is_mended(stack: Stack, connection: Connection) -> None:
    assert stack.lines("show")[:3] == [
        "queue: empty",
        f"  append, from s3://{stack.bucket}/{stack.schema}/staging/, through a connection",
        "  loaded: 0 objects with 0 rows",
    ]
    assert stack.lines("apply")[-2:] == [
        f"  done: create table {stack.schema}.flights",
        f"  done: note in {stack.schema}.aetherstream_tables that flights is kept by append",
    ]
    stack.stage("a", {"origin": "JFK"}, {"origin": "LGA"})
    bad = stack.stage("b", {"origin": "EWR", "distance": 1}, {"origin": "EWR", "distance": "far"})
    stack.stage("c", {"origin": "EWR"})
    assert stack.lines("backfill") == ["  3 staged objects = 3 not in the ledger", "  announced: 3 objects"]
    assert stack.lines("show")[0] == "queue: 1 waiting"
    stack.load()
    assert stack.lines("show")[2].startswith("  loaded: 2 objects with 3 rows, the latest at ")
    assert stack.lines("show")[3] == "  SET ASIDE  1 object: `aetherstream redshift failures` says why"
    place, why, summary = stack.lines("failures")
    assert place.endswith(bad)
    assert why.startswith("    line 2, column distance (int4): ")
    assert summary == "  1 object set aside. When the cause is mended: `aetherstream redshift retry`"

    stack.stage("b", {"origin": "EWR", "distance": 1}, {"origin": "EWR", "distance": 2})
    assert stack.lines("retry", bad) == ["warehouse: 1 object announced to the loader"]
    stack.load()
    assert stack.lines("failures") == ["  nothing is set aside"]
    assert rows(connection) == [
        ("a:1:0", "JFK"),
        ("a:1:1", "LGA"),
        ("b:1:0", "EWR"),
        ("b:1:1", "EWR"),
        ("c:1:0", "EWR"),
    ]


def test_an_object_that_is_still_wrong_is_set_aside_again(stack: Stack, connection: Connection) -> None:
    stack.lines("apply")
    stack.stage("a", {"origin": "JFK"})
    stack.stage("b", {"origin": "too long"})
    stack.lines("backfill")
    stack.load()
    stack.lines("retry", "--all")
    stack.load()
    assert stack.lines("failures")[-1].startswith("  1 object set aside.")
    assert rows(connection) == [("a:1:0", "JFK")]


def statements(chosen: str, schema: str, place: str = "") -> list[str]:
    """Those of the operations page's block that holds a text."""
    [block] = [found for found in PAGE_SQL if chosen in found]
    text = block.replace("public.", f"{schema}.").replace("<bucket/key>", place.removeprefix("s3://"))
    return [statement for statement in map(str.strip, text.split(";")) if statement]


def run(connection: Connection, statements: list[str]) -> list[list[Any]]:
    """Run each by itself, as a console does; the rows of the last one."""
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        found = [list(row) for row in cursor.fetchall()] if cursor.description else []
    connection.autocommit = False
    return found


def test_a_table_and_its_ledger_emptied_as_the_page_says_are_filled_again(stack: Stack, connection: Connection) -> None:
    stack.lines("apply")
    stack.stage("a", {"origin": "JFK"})
    stack.stage("b", {"origin": "LGA"})
    stack.lines("backfill")
    stack.load()
    run(connection, statements("LOCK public", stack.schema))
    assert rows(connection) == []
    assert stack.lines("backfill", "--dry-run")[0] == "  2 staged objects = 2 not in the ledger"
    stack.lines("backfill")
    stack.load()
    assert rows(connection) == [("a:1:0", "JFK"), ("b:1:0", "LGA")]
    assert stack.lines("backfill") == ["  2 staged objects = 2 loaded"]


def test_an_object_that_was_rewritten_is_loaded_when_its_row_is_taken_out(stack: Stack, connection: Connection) -> None:
    stack.lines("apply")
    place = stack.stage("a", {"origin": "JFK"})
    stack.lines("backfill")
    stack.load()
    stack.stage("a", {"origin": "JFK"}, {"origin": "LGA"})
    assert stack.lines("backfill") == ["  1 staged object = 1 loaded"]
    run(connection, statements("WHERE target = 'flights' AND object", stack.schema, place))
    stack.lines("backfill")
    stack.load()
    assert rows(connection) == [("a:1:0", "JFK"), ("a:1:1", "LGA")]


def test_the_record_of_a_loss_can_be_taken_out_of_the_failures(stack: Stack, connection: Connection) -> None:
    stack.lines("apply")
    stack.stage("a", {"origin": "JFK"})
    bad = stack.stage("b", {"origin": "too long"})
    stack.lines("backfill")
    stack.load()
    run(connection, statements("state = 'failed'", stack.schema, bad))
    assert stack.lines("failures") == ["  nothing is set aside"]


def test_the_ledger_tells_what_came_when_and_can_be_pruned(stack: Stack, connection: Connection) -> None:
    stack.lines("apply")
    stack.stage("a", {"origin": "JFK"}, {"origin": "LGA"})
    stack.lines("backfill")
    stack.load()
    [[_, objects, total]] = run(connection, statements("DATE_TRUNC", stack.schema))
    assert (objects, total) == (1, 2)
    run(connection, statements("INTERVAL", stack.schema))
    assert stack.lines("backfill") == ["  1 staged object = 1 loaded"]


def test_before_there_is_a_ledger_its_commands_say_what_makes_it(stack: Stack) -> None:
    stack.stage("a", {"origin": "JFK"})
    for command in ("failures", "backfill"):
        told = stack.lines(command, code=1)
        assert any("`aetherstream redshift plan` says what the table lacks, `apply` makes it" in line for line in told)
