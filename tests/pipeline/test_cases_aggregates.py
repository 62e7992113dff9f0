"""Config tests of aggregates: the results that a case expects, and those that come."""

from pathlib import Path
from typing import Any

import pytest

from aetherstream.commands.core import core_runner
from aetherstream.pipeline import Pipeline, PipelineMistakes
from aetherstream.pipeline.cases import Case, check_sinks, load_cases, run_cases
from tests.pipeline.writing import SINKS, loaded, write

AGGREGATES = """\
event_time: {field: at}
transforms:
  - route: {cases: [{when: carrier == 'ZZ', to: []}, {when: carrier == 'SS', to: [search]}], otherwise: [archive]}
aggregates:
  hours:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs: {flights: count, delay: {kind: mean, of: delay, unusable: reject}}
  busiest:
    group_by: [carrier]
    window: {tumbling: 1d}
    emit: close
    rank: {by: flights, most: 1}
    outputs: {flights: count}
  visits:
    window: {session: 10m}
    outputs: {flights: count}
  minutes:
    window: {tumbling: 1m}
    state: lambda
    outputs: {last: {kind: last, of: carrier}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    search = '  search: {opensearch: {endpoint: "https://x", index: flights}}\n'
    return loaded(tmp_path, f"pipeline: p\n{SINKS}{search}{AGGREGATES}")


def flight(at: str, carrier: str = "UA", **more: Any) -> dict[str, Any]:
    return {"at": f"2013-01-01T{at}:00Z", "carrier": carrier, "delay": 3, **more}


def ran(pipeline: Pipeline, input: list[dict[str, Any]], partial: bool = False, **aggregates: Any) -> list[str]:  # noqa: A002
    """What differs, of the aggregates and the rejections."""
    archived = [event for event in input if event["carrier"] not in ("ZZ", "SS")]
    searched = [event for event in input if event["carrier"] == "SS"]
    rejected = aggregates.pop("rejected", [])
    expect = {"archive": archived, "search": searched, "rejected": rejected, "aggregates": aggregates}
    dropped = sum(event["carrier"] == "ZZ" for event in input)
    case = Case(name="c", input=input, partial=partial, expect={**expect, "dropped": dropped})
    (result,) = run_cases(pipeline, [case], core_runner(pipeline, {}))
    return result.differences


def result(start: str, end: str, **fields: Any) -> dict[str, Any]:
    return {"window_start": f"2013-01-01T{start}:00Z", "window_end": f"2013-01-01T{end}:00Z", **fields}


def test_the_results_of_a_case_come_by_window_and_group(pipeline: Pipeline) -> None:
    flights = [flight("11:00"), flight("10:00"), flight("10:59", "AA", delay=1), flight("10:30", delay=4)]
    hours = [
        result("10:00", "11:00", carrier="AA", flights=1, delay=1.0),
        result("10:00", "11:00", carrier="UA", flights=2, delay=3.5),
        result("11:00", "12:00", carrier="UA", flights=1, delay=3.0),
    ]
    assert ran(pipeline, flights, hours=hours) == []


def test_a_result_that_differs_is_shown(pipeline: Pipeline) -> None:
    wanted = [result("10:00", "11:00", carrier="UA", flights=2, delay=3.0)]
    assert ran(pipeline, [flight("10:00")], hours=wanted) == [
        "aggregates.hours[0]:",
        "--- expected",
        "+++ got",
        "@@ -2,5 +2,5 @@",
        '   "carrier": "UA",',
        '   "delay": 3.0,',
        '-  "flights": 2,',
        '+  "flights": 1,',
        '   "window_end": "2013-01-01T11:00:00Z",',
        '   "window_start": "2013-01-01T10:00:00Z"',
    ]


def test_only_aggregates_that_a_case_names_are_compared(pipeline: Pipeline) -> None:
    assert ran(pipeline, [flight("10:00")]) == []
    assert ran(pipeline, [flight("10:00")], hours=[])[0] == "aggregates.hours[0]: came, and was not expected:"


def test_a_partial_case_compares_the_fields_that_it_names(pipeline: Pipeline) -> None:
    assert ran(pipeline, [flight("10:00")], partial=True, hours=[{"flights": 1}]) == []


def test_rankings_and_sessions_are_closed(pipeline: Pipeline) -> None:
    flights = [flight("10:00", "AA"), flight("10:05"), flight("10:20"), flight("10:29", "AA"), flight("10:38")]
    assert ran(
        pipeline,
        flights,
        busiest=[{**result("00:00", "00:00", carrier="UA", flights=3, rank=1), "window_end": "2013-01-02T00:00:00Z"}],
        visits=[result("10:00", "10:15", flights=2), result("10:20", "10:48", flights=3)],
    ) == []  # fmt: skip


def test_windows_that_lambda_keeps_follow_the_arrival(pipeline: Pipeline) -> None:
    minute = {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-01T00:01:00Z", "last": "AA"}
    assert ran(pipeline, [flight("10:00", "AA"), flight("09:00", "AA")], minutes=[minute]) == []


def test_events_that_no_object_holds_are_not_aggregated(pipeline: Pipeline) -> None:
    flights = [flight("10:00"), flight("10:00", "ZZ"), flight("10:00", "SS")]
    assert ran(pipeline, flights, partial=True, visits=[{"flights": 1}]) == []


def test_what_an_aggregate_refuses_is_rejected_and_reaches_the_sinks_all_the_same(pipeline: Pipeline) -> None:
    flights = [flight("10:00", delay=None), flight("10:00")]
    refused = [{"stage": "aggregate", "where": "aggregates.hours.delay", "message": "missing"}]
    assert ran(pipeline, flights, partial=True, rejected=refused, hours=[{"flights": 1}], visits=[{"flights": 1}]) == []


def test_a_case_of_no_aggregate_is_named(tmp_path: Path, pipeline: Pipeline) -> None:
    text = "cases:\n  - name: one\n    input: []\n    expect:\n      aggregates: {hour: []}\n"
    path = write(tmp_path, text, "p.test.yaml")
    with pytest.raises(
        PipelineMistakes, match=r"5:20 .*the pipeline has no aggregate 'hour' \(did you mean 'hours'\?\)"
    ):
        check_sinks(path, load_cases(path), pipeline)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("[]", "expected a mapping of aggregates to lists of their results"),
        ("{hours: 1}", "expected a list"),
        ("{hours: [1]}", "expected a mapping"),
    ],
)
def test_expected_results_have_a_form(tmp_path: Path, expected: str, said: str) -> None:
    text = f"cases:\n  - name: one\n    input: []\n    expect: {{aggregates: {expected}}}\n"
    with pytest.raises(PipelineMistakes) as raised:
        load_cases(write(tmp_path, text, "p.test.yaml"))
    assert [mistake.message for mistake in raised.value.mistakes] == [said]
