"""What a function says of a batch: one log line, one set of metrics; spans only where they are asked for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from aetherstream.report import AggregateCount, Report, SinkCount
from aetherstream.telemetry import Telemetry
from aetherstream.timings import Timings

SHARD = "shardId-000000000000"


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Tests")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


def report(**changes: Any) -> Report:
    made = Report(
        SHARD,
        kinesis_records=4,
        first="100",
        last="130",
        records_in=7,
        passed=4,
        quarantined=2,
        dropped=1,
        sinks={"archive": SinkCount(events=5, delivered=4, quarantined=1)},
        reasons={"decode: not JSON": 2},
        objects=3,
        bytes=1234,
        epoch=9,
        version="abc",
        timings=Timings(decode=0.0015, put=0.25),
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def published(
    capsys: pytest.CaptureFixture[str], *reports: Report
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log lines and the metrics of these reports."""
    telemetry = Telemetry("flights")
    for each in reports:
        telemetry.publish(each)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def metrics(emf: dict[str, Any]) -> dict[str, tuple[str, list[float]]]:
    """Name → unit and values."""
    (directive,) = emf["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: (metric["Unit"], emf[metric["Name"]]) for metric in directive["Metrics"]}


def test_a_batch_is_one_log_line_with_its_facts(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    (line,), _ = published(capsys, report())
    assert {name: value for name, value in line.items() if name not in ("timestamp", "location")} == {
        "level": "INFO",
        "message": "batch done",
        "service": request.node.nodeid,
        "pipeline": "flights",
        "shard": SHARD,
        "first_sequence": "100",
        "last_sequence": "130",
        "kinesis_records": 4,
        "epoch": 9,
        "version": "abc",
        "accounting": {
            "records_in": 7,
            "passed": 4,
            "quarantined": 2,
            "dropped": 1,
            "settled": 0,
            "left": 0,
            "objects": 3,
            "emptied": 0,
        },
        "sinks": {"archive": {"events": 5, "delivered": 4, "quarantined": 1, "spilled": 0}},
        "bytes": 1234,
        "milliseconds": {"decode": 1.5, "put": 250.0},
        "rejected": {"decode: not JSON": 2},
    }


def test_a_batch_without_rejections_does_not_speak_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    (line,), _ = published(capsys, report(reasons={}))
    assert "rejected" not in line


def test_a_batch_left_for_retry_is_an_error_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    failed = report()
    failed.fail("Retryable: S3 is down")
    (line,), _ = published(capsys, failed)
    assert (line["level"], line["message"], line["failed_from"], line["cause"]) == (
        "ERROR",
        "batch left for retry",
        "100",
        "Retryable: S3 is down",
    )


def test_a_batch_cut_short_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    cut = report()
    cut.leave("120")
    (line,), _ = published(capsys, cut)
    assert (line["level"], line["message"], line["failed_from"]) == (
        "WARNING",
        "batch cut short, the rest comes again",
        "120",
    )
    assert "cause" not in line


def test_what_is_spilled_and_what_a_sinks_configuration_refused_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reasons = {"deliver: configuration: index_closed_exception": 3, "deliver: mapper_parsing_exception": 2}
    sinks = {"search": SinkCount(events=9, delivered=2, quarantined=5, spilled=2)}
    _, (emf,) = published(capsys, report(reasons=reasons, sinks=sinks))
    found = metrics(emf)
    assert (found["ConfigurationRejected"], found["Events.search.Spilled"]) == (("Count", [3.0]), ("Count", [2.0]))


def test_what_aggregates_took_is_logged_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    share = AggregateCount(events=9, folded=5, late=1, quarantined=3, corrected=2)
    reasons = {"aggregate: too many groups": 2, "aggregate: late": 1}
    (line,), (emf,) = published(capsys, report(aggregates={"hourly": share}, reasons=reasons))
    found = metrics(emf)
    assert line["aggregates"] == {
        "hourly": {"events": 9, "folded": 5, "late": 1, "quarantined": 3, "corrected": 2, "skipped": 0}
    }
    assert {name: values for name, (_, values) in found.items() if name.startswith(("Aggregates.", "Groups"))} == {
        "Aggregates.hourly.Folded": [5.0],
        "Aggregates.hourly.Late": [3.0],
        "Aggregates.hourly.Quarantined": [3.0],
        "GroupsRefused": [2.0],
    }


def test_the_metrics_of_a_batch_are_one_line_of_emf(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    _, (emf,) = published(capsys, report())
    (directive,) = emf["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], [sorted(names) for names in directive["Dimensions"]]) == (
        "Tests",
        [["pipeline", "service"]],
    )
    assert (emf["pipeline"], emf["service"]) == ("flights", request.node.nodeid)
    assert metrics(emf) == {
        "RecordsIn": ("Count", [7.0]),
        "RecordsPassed": ("Count", [4.0]),
        "RecordsQuarantined": ("Count", [2.0]),
        "RecordsDropped": ("Count", [1.0]),
        "RecordsSettled": ("Count", [0.0]),
        "ConfigurationRejected": ("Count", [0.0]),
        "RecordsLeft": ("Count", [0.0]),
        "ObjectsWritten": ("Count", [3.0]),
        "ObjectsEmptied": ("Count", [0.0]),
        "BytesWritten": ("Bytes", [1234.0]),
        "BatchesFailed": ("Count", [0.0]),
        "PartitionsCapped": ("Count", [0.0]),
        "BatchesIsolating": ("Count", [0.0]),
        "Events.archive.Delivered": ("Count", [4.0]),
        "Events.archive.Quarantined": ("Count", [1.0]),
        "Duration.decode": ("Milliseconds", [1.5]),
        "Duration.put": ("Milliseconds", [250.0]),
    }


def test_what_went_wrong_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    failed = report(capped=True, isolating=True)
    failed.fail("Retryable: S3 is down")
    _, (emf,) = published(capsys, failed)
    counted = {name: values for name, (_, values) in metrics(emf).items() if values == [1.0]}
    assert counted == {"BatchesFailed": [1.0], "PartitionsCapped": [1.0], "BatchesIsolating": [1.0]}


def test_the_metrics_of_one_batch_do_not_come_again_with_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    _, (_, second) = published(capsys, report(), report(records_in=1, sinks={}, timings=Timings()))
    assert metrics(second)["RecordsIn"] == ("Count", [1.0])
    assert "Duration.decode" not in metrics(second)
    assert second["pipeline"] == "flights"


def test_the_pipelines_of_one_process_keep_their_metrics_apart(capsys: pytest.CaptureFixture[str]) -> None:
    flights, orders = Telemetry("flights"), Telemetry("orders")
    flights.publish(report())
    orders.publish(report())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["pipeline"] for line in lines if "_aws" in line] == ["flights", "orders"]


def test_without_tracing_steps_are_timed_and_no_spans() -> None:
    assert type(Telemetry("flights").timings()) is Timings


def test_tracing_outside_lambda_times_the_steps_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMBDA_TASK_ROOT", raising=False)
    timings = Telemetry("flights", tracing=True).timings()
    with timings.step("decode"):
        pass
    assert list(timings) == ["decode"]


def run(code: str, **environ: str) -> str:
    """Run code in a process of its own, with the environment of a function."""
    base = {"PATH": os.environ["PATH"], "POWERTOOLS_SERVICE_NAME": "tests", "POWERTOOLS_METRICS_NAMESPACE": "Tests"}
    done = subprocess.run([sys.executable, "-c", code], env=base | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_where_tracing_is_off_the_xray_sdk_is_not_imported() -> None:
    code = """
import sys
from aetherstream.telemetry import Telemetry
Telemetry("flights").timings()
print([name for name in sys.modules if name.startswith("aws_xray_sdk")])
"""
    assert run(code) == "[]\n"


def test_where_tracing_is_on_each_step_is_a_subsegment(tmp_path: Any) -> None:
    code = """
from aetherstream.telemetry import Telemetry
timings = Telemetry("flights", tracing=True).timings()
with timings.step("decode"):
    pass
with timings.step("put"):
    pass
print(list(timings))
"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(30)
        said = run(
            code,
            LAMBDA_TASK_ROOT=str(tmp_path),
            AWS_XRAY_DAEMON_ADDRESS=f"127.0.0.1:{daemon.getsockname()[1]}",
            _X_AMZN_TRACE_ID="Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        )
        packets = [daemon.recv(65_536).partition(b"\n")[2] for _ in range(2)]
    assert said == "['decode', 'put']\n"
    assert [(span["name"], span["type"], span["parent_id"]) for span in map(json.loads, packets)] == [
        ("## decode", "subsegment", "53995c3f42cd8ad8"),
        ("## put", "subsegment", "53995c3f42cd8ad8"),
    ]
