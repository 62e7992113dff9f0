"""Generated pages are up to date, and the page of logs and metrics names what a batch publishes."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from aetherstream.app import engine_of
from aetherstream.compose import tables_of
from aetherstream.decode import read_batch
from aetherstream.delivery.ledger import Ledger
from aetherstream.pipeline import load
from aetherstream.report import AggregateCount, Report, SinkCount
from aetherstream.telemetry import Telemetry
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from scripts import make_cli_reference, make_settings_reference
from tests.docs.markdown import ROOT, spans

METRICS = ROOT / "docs/reference/metrics.md"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What the function says of a batch of which some records are bad, and of one that fails."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "docs")
    # Powertools keeps one logger a name, with the standard output of its day; and none at all beside pytest's.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"docs-{uuid.uuid4()}")
    monkeypatch.setenv("POWERTOOLS_LOG_DEDUPLICATION_DISABLED", "true")
    pipeline = load(ROOT / "pipelines/flights.yaml", {"AETHERSTREAM_BUCKET": "docs-bucket"})
    objects = MemoryObjects()
    engine = engine_of(
        pipeline,
        tables_of(pipeline, lambda uri: Path(uri).read_bytes()),
        store=objects,
        ledger=Ledger(MemoryProgress(), "docs"),
        executor=InlineExecutor(),
        secrets={},
    )
    report = engine.process(read_batch(json.loads((ROOT / "events/poison.json").read_bytes())), lambda: 900.0)
    assert (report.passed, report.quarantined, report.error) == (4, 11, None)
    failed = Report("shardId-000000000000", kinesis_records=1, first="1", last="1")
    failed.fail("Retryable: down")
    telemetry = Telemetry("docs")
    telemetry.publish(report)
    telemetry.publish(failed)
    spilling = Report("shardId-000000000000", kinesis_records=1, records_in=1, passed=1)
    spilling.sinks["archive"] = SinkCount(events=1, spilled=1)
    telemetry.publish(spilling)
    aggregating = Report("shardId-000000000000", kinesis_records=1, records_in=1, passed=1)
    aggregating.aggregates["hourly"] = AggregateCount(events=1, folded=1)
    telemetry.publish(aggregating)
    metadata = [dict.fromkeys(stored.metadata, "") for stored in objects.objects.values()]
    return [*map(json.loads, capsys.readouterr().out.splitlines()), *metadata]


def documented() -> set[str]:
    return set(spans(METRICS))


def test_the_page_of_the_command_line_is_that_of_the_commands() -> None:
    assert make_cli_reference.PAGE.read_text() == make_cli_reference.text(), "run python -m scripts.make_cli_reference"


def test_the_page_of_settings_is_that_of_the_template_and_the_code() -> None:
    page = make_settings_reference.PAGE.read_text()
    assert page == make_settings_reference.text(), "run python -m scripts.make_settings_reference"


def test_every_metric_is_documented_with_its_unit(published: list[dict[str, Any]]) -> None:
    defined = [
        metric for line in published if "_aws" in line for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    ]
    rows = dict(re.findall(r"^\| `([\w.<>]+)` \| (Count|Bytes|Milliseconds) \|", METRICS.read_text(), re.MULTILINE))
    found = {
        re.sub(
            r"^Events\.archive|^Aggregates\.hourly",
            lambda found: {"Events.archive": "Events.<sink>"}.get(found[0], "Aggregates.<aggregate>"),
            re.sub(r"^Duration\..*", "Duration.<step>", metric["Name"]),
        ): metric["Unit"]
        for metric in defined
    }
    assert found == rows


def test_every_step_that_is_timed_is_documented(published: list[dict[str, Any]]) -> None:
    steps = {step for line in published for step in line.get("milliseconds", ())}
    general = {re.sub(r"^transforms\[\d+\]\.\w+$", "transforms[<n>].<kind>", step) for step in steps}
    assert general - documented() == set()


def test_every_field_of_the_log_line_is_documented(published: list[dict[str, Any]]) -> None:
    lines = [line for line in published if "message" in line and "accounting" in line]
    fields = {field for line in lines for field in (*line, *line["accounting"])}
    shares = [counts for line in lines for part in ("sinks", "aggregates") for counts in line.get(part, {}).values()]
    fields |= {field for counts in shares for field in counts}
    assert len(lines) == 4
    assert fields - documented() == set()


def test_every_key_of_the_metadata_of_objects_is_documented(published: list[dict[str, Any]]) -> None:
    keys = {key for line in published for key in line if key.startswith("aether-")}
    assert keys == {span for span in documented() if span.startswith("aether-")}
