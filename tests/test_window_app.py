"""The window function under Lambda's event source mapping: whatever fails, each record is in one part of one window."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.windows import Tumbling
from aetherstream.compose import tables_of
from aetherstream.errors import ConfigurationError, Rejected, Retryable
from aetherstream.local.esm import FunctionError, Invoke, MappingSettings, Result, Returned, StreamRecord, kinesis_event
from aetherstream.local.esm import Mapping as SourceMapping
from aetherstream.local.esm.window import STATE_LIMIT
from aetherstream.managed import combine
from aetherstream.pipeline import load
from aetherstream.results.parts import Row, Sent
from aetherstream.results.rows import document
from aetherstream.settings import from_environment
from aetherstream.testing.builders import SHARD, START, STREAM
from aetherstream.window_app import WindowApp, kept_by_lambda, length_of, start_window, window_app_of
from tests.managed.support import AIRCRAFT, COUNT, DELAY, aggregate, core, declared
from tests.pipeline.writing import write

OWN = aggregate(COUNT, DELAY)
SETTINGS = MappingSettings(
    stream_arn=STREAM,
    function_arn="arn:aws:lambda:eu-central-1:123456789012:function:flights-window",
    tumbling_window=60,
    batch_size=10,
    bisect=True,
)


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


class Newest:
    """An outlet that keeps the newest row of each id, and may fail."""

    name = "aggregates.delays.to.search"
    final_only = False

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.failing = False
        self.refused: Mapping[str, Rejected] = {}

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        for row in rows:
            before = self.rows.get(row.id)
            if before is not None and before.version == row.version:
                assert before == row
            if before is None or before.version < row.version:
                self.rows[row.id] = row
        if self.failing:
            raise Retryable("the sink is down")
        return Sent(self.refused)

    def combined(self, own: Aggregate = OWN) -> list[dict[str, Any]]:
        return combine(own, [json.loads(json.dumps(document(row))) for row in self.rows.values()])


def app(outlet: Newest, *aggregates: Aggregate, **options: Any) -> WindowApp:
    own = aggregates or (OWN,)
    return WindowApp("flights", core(*own), declared(*own), {one.name: [outlet] for one in own}, **options)


CONTEXT: Any = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 60_000)


def at(number: int, second: float, **event: Any) -> StreamRecord:
    return StreamRecord(str(number), "k", json.dumps({"carrier": "AA", "delay": 1, **event}).encode(), START + second)


def invoked(function: WindowApp, invoke: Invoke) -> Result:
    """Run the function as Lambda does: JSON in, JSON out."""
    try:
        return Returned(json.loads(json.dumps(function.handle(json.loads(invoke.payload()), CONTEXT))))
    except Retryable:
        return FunctionError()


class Run:
    """A mapping over a shard in virtual time; `lose` says which invocations run and lose their answer."""

    def __init__(self, function: WindowApp, outlet: Newest, records: Sequence[StreamRecord], **changes: Any) -> None:
        self.function, self.outlet = function, outlet
        settings = {name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__} | changes
        self.mapping = SourceMapping(MappingSettings(**settings), random.Random(7))
        self.mapping.add_shard(SHARD)
        self.mapping.feed(SHARD, list(records), START)
        self.events: list[dict[str, Any]] = []

    def to_the_end(self, rng: random.Random | None = None, trouble: float = 0.0) -> Run:
        now = START
        while (wake := self.mapping.next_wake(now)) is not None:
            now = wake
            for action in self.mapping.poll(now):
                if isinstance(action, Invoke):
                    self.events.append(action.event)
                    self.mapping.finished(action.invocation_id, self._result(action, rng, trouble), now)
        return self

    def _result(self, invoke: Invoke, rng: random.Random | None, trouble: float) -> Result:
        if rng is None or rng.random() >= trouble:
            self.outlet.failing = False
            return invoked(self.function, invoke)
        self.outlet.failing = rng.random() < 0.5
        if rng.random() < 0.3:
            return FunctionError()  # killed before it did anything
        result = invoked(self.function, invoke)
        return FunctionError() if isinstance(result, Returned) else result


def expected(records: Sequence[StreamRecord]) -> dict[tuple[float, str], tuple[int, int]]:
    found: Counter[tuple[float, str]] = Counter()
    delays: Counter[tuple[float, str]] = Counter()
    for record in records:
        event = json.loads(record.data)
        key = (record.arrival // 60 * 60, event["carrier"])
        found[key] += 1
        delays[key] += event["delay"]
    return {key: (count, delays[key]) for key, count in found.items()}


def results(outlet: Newest) -> dict[tuple[float, str], tuple[int, int]]:
    return {
        (datetime.fromisoformat(row["window_start"]).timestamp(), row["carrier"]): (row["n"], row["delay"])
        for row in outlet.combined()
    }


def test_a_windows_results_go_out_at_its_end() -> None:
    outlet = Newest()
    records = [at(1, 0), at(2, 59, carrier="UA", delay=5), at(3, 60)]
    Run(app(outlet), outlet, records).to_the_end()
    assert results(outlet) == {(START, "AA"): (1, 1), (START, "UA"): (1, 5), (START + 60, "AA"): (1, 1)}


def test_the_answer_has_the_state_and_no_failures() -> None:
    outlet = Newest()
    run = Run(app(outlet), outlet, [at(1, 0)])
    (invoke,) = run.mapping.poll(START)
    assert isinstance(invoke, Invoke)
    answer = app(outlet).handle(invoke.event, CONTEXT)
    assert (answer["batchItemFailures"], answer["state"]["records"], outlet.rows) == ([], 1, {})
    assert json.loads(json.dumps(answer)) == answer


def test_after_the_final_invocation_the_state_is_empty() -> None:
    outlet = Newest()
    run = Run(app(outlet), outlet, [at(1, 0)]).to_the_end()
    assert app(outlet).handle(run.events[-1], CONTEXT) == {"state": {}, "batchItemFailures": []}


def test_a_final_invocation_that_is_repeated_sends_the_same_rows() -> None:
    outlet = Newest()
    run = Run(app(outlet), outlet, [at(1, 0), at(2, 1)]).to_the_end()
    before = dict(outlet.rows)
    app(outlet).handle(run.events[-1], CONTEXT)
    assert outlet.rows == before


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_each_record_counts_once(seed: int) -> None:
    rng = random.Random(seed)
    second = 0.0
    records = []
    for number in range(1, 120):
        second += rng.expovariate(0.5)
        records.append(at(number, second, carrier=rng.choice(["AA", "UA", "DL"]), delay=rng.randrange(9)))
    outlet = Newest()
    Run(app(outlet), outlet, records).to_the_end(rng, 0.4)
    assert results(outlet) == expected(records)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_fails_the_parts_of_a_window_are_the_whole_window(seed: int) -> None:
    rng = random.Random(seed)
    groups = [[rng.randrange(900) for _ in range(5)] for _ in range(400)]
    records = [
        StreamRecord(
            str(number),
            "k",
            json.dumps([{"carrier": f"{group:01000d}", "delay": group, "tail": number % 3} for group in some]).encode(),
            START + number / 10,
        )
        for number, some in enumerate(groups, 1)
    ]
    own = aggregate(COUNT, DELAY, AIRCRAFT)
    outlet = Newest()
    run = Run(app(outlet, own), outlet, records, batch_size=50).to_the_end(rng, 0.3)
    found = {int(row["carrier"]): (row["n"], row["delay"]) for row in outlet.combined(own)}
    counts = Counter(group for some in groups for group in some)
    assert found == {group: (count, group * count) for group, count in counts.items()}
    assert {row.part.early for row in outlet.rows.values() if row.part is not None} == {False, True}
    assert not any(event["isWindowTerminatedEarly"] for event in run.events)


def test_a_window_that_lambda_ends_early_gives_a_part() -> None:
    own = aggregate(COUNT, max_groups=100_000)
    payload = [{"carrier": f"{n:0200d}"} for n in range(5000)]
    large = StreamRecord("1", "k", json.dumps(payload).encode(), START)
    outlet = Newest()
    run = Run(app(outlet, own), outlet, [large, at(2, 1), at(3, 2)], batch_size=1).to_the_end()
    ends = [(e["isFinalInvokeForWindow"], e["isWindowTerminatedEarly"]) for e in run.events]
    assert ends == [(False, False), (True, True), (False, False), (False, False), (True, False)]
    assert len(json.dumps(run.events[1]["state"])) > STATE_LIMIT
    found = Counter((row.part.part, row.part.early) for row in outlet.rows.values() if row.part is not None)
    assert found == {("1", True): 5000, ("2", False): 1}
    assert sum(row["n"] for row in outlet.combined(own)) == 5002


def test_records_that_lambda_brings_again_within_a_window_count_once() -> None:
    outlet = Newest()
    function = app(outlet)
    run = Run(function, outlet, [at(1, 0), at(2, 1)])
    (invoke,) = run.mapping.poll(START)
    assert isinstance(invoke, Invoke)
    once = function.handle(invoke.event, CONTEXT)
    assert function.handle({**invoke.event, "state": once["state"]}, CONTEXT) == once


def test_a_row_that_is_refused_for_good_holds_nothing_up() -> None:
    outlet = Newest()
    outlet.refused = {"some": Rejected("too long")}
    run = Run(app(outlet), outlet, [at(1, 0), at(2, 60)]).to_the_end()
    assert run.mapping.idle


def test_a_dry_run_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    outlet = Newest()
    Run(app(outlet, dry_run=True), outlet, [at(1, 0)]).to_the_end()
    assert outlet.rows == {}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"]["n"] for line in lines if line.get("message") == "dry run: not sent"] == [1]


def test_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    outlet = Newest()
    records = [at(1, 0), at(2, 1, delay="late"), at(3, 2)._replace(data=b"not json")]
    Run(app(outlet), outlet, records).to_the_end()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first = next(line for line in lines if line.get("message") == "batch folded")
    told = {name: first[name] for name in ("kinesis_records", "repeated", "rejected", "rows", "final", "aggregates")}
    assert told == {
        "kinesis_records": 3,
        "repeated": 0,
        "rejected": 1,
        "rows": 0,
        "final": False,
        "aggregates": {"delays": {"groups": 1, "events": 2, "folded": 2, "skipped": 1}},
    }
    measured = {name for line in lines if "_aws" in line for name in line}
    assert {"WindowEvents", "WindowRefused", "WindowSkipped", "WindowStateBytes", "WindowRows", "WindowsCut"} < measured


def test_an_event_without_a_window_is_refused_with_what_to_change() -> None:
    event = kinesis_event(SHARD, [at(1, 0)], stream_arn=STREAM)
    with pytest.raises(ConfigurationError, match=r"needs an event source mapping .* with TumblingWindowInSeconds set"):
        app(Newest()).handle(event, CONTEXT)


def test_a_mapping_with_longer_windows_is_refused() -> None:
    outlet = Newest()
    run = Run(app(outlet), outlet, [at(1, 0)], tumbling_window=300)
    (invoke,) = run.mapping.poll(START)
    assert isinstance(invoke, Invoke)
    with pytest.raises(ConfigurationError, match=r"has windows of 300 s .* say `tumbling: 60s`: make them agree"):
        app(outlet).handle(invoke.event, CONTEXT)


def test_aggregates_of_one_function_have_windows_of_one_length() -> None:
    other = aggregate(name="other", windows=Tumbling(300))
    with pytest.raises(ConfigurationError, match="one length"):
        length_of(declared(OWN, other))
    assert length_of(declared(OWN, aggregate(name="third"))) == 60


PIPELINE = """\
pipeline: flights
event_time: {field: at}
sinks:
  archive: {s3: {bucket: data}}
  search: {opensearch: {endpoint: "https://search.example", index: flights}}
quarantine: {s3: {bucket: data}}
aggregates:
  hours: {group_by: [carrier], window: {tumbling: 1h}, outputs: {n: count}}
  delays:
    group_by: [carrier]
    window: {tumbling: 60s}
    state: lambda
    outputs: {n: count, delay: {kind: sum, of: delay}}
    to: {search: {index: delays}}
"""


def test_a_pipeline_file_says_which_aggregates_lambda_keeps(tmp_path: Path) -> None:
    pipeline = load(write(tmp_path, PIPELINE), {})
    declarations = kept_by_lambda(pipeline)
    assert [one.name for one in declarations] == ["delays"]
    outlet = Newest()
    tables = tables_of(pipeline, lambda uri: Path(uri).read_bytes())
    function = window_app_of(pipeline, declarations, tables, {"delays": [outlet]}, {})
    Run(
        function, outlet, [at(1, 0, at="2025-11-21T07:00:00Z"), at(2, 1), at(3, 2, at="2020-01-01T00:00:00Z")]
    ).to_the_end()
    assert [(row.group, row.values) for row in outlet.rows.values()] == [({"carrier": "AA"}, {"n": 2, "delay": 2})]


def test_a_pipeline_without_such_aggregates_has_no_use_for_the_function(tmp_path: Path) -> None:
    pipeline = load(write(tmp_path, PIPELINE.replace("state: lambda", "state: dynamodb")), {})
    with pytest.raises(ConfigurationError, match="declares no aggregate with `state: lambda`"):
        kept_by_lambda(pipeline)


def test_the_template_and_the_pipeline_file_have_to_agree(tmp_path: Path) -> None:
    variables = {"AETHERSTREAM_PIPELINE": str(write(tmp_path, PIPELINE)), "AETHERSTREAM_WINDOW_SECONDS": "300"}
    with pytest.raises(ConfigurationError, match=r"have windows of 60 s, but the template's .* has 300 s"):
        start_window(from_environment(variables))
