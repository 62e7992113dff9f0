"""The recovery function's handler: what it takes, returns and logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aetherstream.compose import tables_of
from aetherstream.pipeline import load
from aetherstream.recovery_app import RecoveryApp, service_of
from aetherstream.settings import from_environment
from aetherstream.telemetry import Telemetry
from aetherstream.testing.events import STREAM, kinesis_event
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.pipeline.writing import write
from tests.recovery.letters import KEY, letter_of

PIPELINE = """\
pipeline: p
sinks: {archive: {s3: {bucket: data, prefix: p/archive}}}
quarantine: {s3: {bucket: data, prefix: p/quarantine}}
"""


class Context:
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture
def objects() -> MemoryObjects:
    stored = MemoryObjects()
    stored.overwrite("dead", KEY, json.dumps(letter_of(kinesis_event([{"n": 1}]))).encode(), {})
    return stored


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


def app(objects: MemoryObjects, folder: Path) -> RecoveryApp:
    """The function around a store in memory."""
    path = write(folder, PIPELINE)
    environ = {
        "AETHERSTREAM_PIPELINE": str(path),
        "AETHERSTREAM_STREAM": STREAM,
        "AETHERSTREAM_DEAD_LETTERS": "dead",
    }
    pipeline = load(path, {})
    tables = tables_of(pipeline, lambda _: b"")
    service = service_of(
        pipeline,
        tables,
        from_environment(environ),
        store=objects,
        reader=objects,
        progress=MemoryProgress(),
        executor=InlineExecutor(),
        reread=lambda letter: letter.records(),
        clock=lambda: 1_795_250_000.0,
        new_id=lambda: "a1",
    )
    return RecoveryApp(service, tables, Telemetry("p"))


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    names = ("level", "message", "do", "by", "state", "cause", "audit", "messages", "again")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [{name: line[name] for name in names if name in line} for line in lines]


def test_a_request_is_answered_and_logged(
    objects: MemoryObjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = app(objects, tmp_path).handle({"do": "dlq redrive", "key": KEY, "by": "me@here"}, Context())
    assert (answer["state"], answer["report"]["passed"]) == ("redriven", 1)
    assert logged(capsys) == [
        {
            "level": "INFO",
            "message": "request done",
            "do": "dlq redrive",
            "by": "me@here",
            "state": "redriven",
            "audit": "s3://data/p/audit/day=2026-11-21/083320.000000-a1.ndjson",
        }
    ]


def test_what_hinders_a_request_stands_in_the_answer_and_in_the_log(
    objects: MemoryObjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = app(objects, tmp_path).handle({"do": "dlq redrive", "key": "x"}, Context())
    assert answer == {"state": "unusable", "message": "s3://dead/x: there is no such object"}
    [line] = logged(capsys)
    assert (line["state"], line["cause"]) == ("unusable", "s3://dead/x: there is no such object")


def test_messages_of_the_queue_get_a_partial_batch_response(
    objects: MemoryObjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = json.dumps({"Records": [{"s3": {"bucket": {"name": "dead"}, "object": {"key": KEY}}}]})
    event = {"Records": [{"messageId": "1", "body": named}, {"messageId": "2", "body": "hello"}]}
    assert app(objects, tmp_path).handle(event, Context()) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert len([key for _, key in objects.objects if key.startswith("p/archive/")]) == 1
    assert logged(capsys)[-1] == {"level": "INFO", "message": "messages done", "messages": 2, "again": ["2"]}
