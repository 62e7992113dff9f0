from pathlib import Path

import pytest

from aetherstream.pipeline.explain import explain, warnings
from tests.pipeline.writing import loaded

HEAD = "pipeline: p\nvalidate: {schema: {}}\nevent_time: {field: at, not_before: 2013-01-31, max_ahead: 1h}\n"
SINKS = """\
sinks:
  archive: {s3: {bucket: data-bucket}}
  search: {opensearch: {endpoint: "https://x", index: events, mappings: {a: keyword}}}
  warehouse:
    redshift:
      {endpoint: "", optional: true, secret: s, bucket: data-bucket, table: flights, columns: {a: super}}
"""


def pipeline(*lines: str, head: str = HEAD) -> str:
    return f"{head}{SINKS}aggregates:\n  hours:\n" + "".join(f"    {line}\n" for line in lines)


def plan(folder: Path, *lines: str) -> list[str]:
    """The lines that the plan has for the aggregate."""
    found = explain(loaded(folder, pipeline(*lines))).splitlines()
    first = next(index for index, line in enumerate(found) if line.startswith("  aggregate hours"))
    rest = next(index for index, line in enumerate(found) if line.startswith("  quarantine"))
    return [line[19:] for line in found[first:rest]]


def warned(folder: Path, *lines: str, head: str = HEAD) -> list[str]:
    return list(warnings(loaded(folder, pipeline(*lines, head=head))))


def test_a_small_aggregate_is_told(tmp_path: Path) -> None:
    assert plan(tmp_path, "window: {tumbling: 90s}", "outputs: {flights: count}") == [
        "windows of 90s, all together",
        "flights = count()",
        "closed when the watermark has passed the end; an event that is late then is counted and left out",
        "results: seconds after each change, and at close",
        "quarantined: events more than 1d ahead of their arrival or of groups beyond 10,000 in a window and shard",
        "to no sink",
    ]


def test_everything_of_an_aggregate_is_told(tmp_path: Path) -> None:
    assert plan(
        tmp_path,
        "description: Flights by the hour",
        "group_by: [carrier, {field: meta.at, as: seen}, {expr: distance > 1000, as: far}]",
        "window: {hopping: 1d, every: 1h, offset: -5h}",
        "lateness: 10m",
        "on_late: correct",
        "emit: close",
        "max_groups: 999",
        "max_ahead: 1h",
        "outputs:",
        "  flights: count",
        "  delays: {kind: quantiles, of: dep_delay, unusable: reject, at: [0.5, 0.95]}",
        "  spread: {kind: custom, of: dep_delay, class: 'm:Spread', options: {unit: miles}}",
        "  rate: {kind: rate, per: 1m}",
        "  noise: {kind: variance, of: x, population: true}",
        "rank: {by: flights, most: 5}",
        "to:",
        "  archive: {fields: [flights]}",
        "  search: {index: hours}",
        "  warehouse: {table: hours}",
    ) == [
        "Flights by the hour",
        "windows of 1d every 1h, shifted by -5h, by carrier, seen = meta.at, far = distance > 1000",
        "flights = count(); delays = quantiles(dep_delay, at 0.5 0.95), unusable values are rejected;",
        "spread = m:Spread(dep_delay, options {unit: miles}); rate = rate(per 1m);",
        "noise = variance(x, population true)",
        ("closed when the watermark has passed the end by 10m; an event that is late then is folded, and the results go"
        " out again"),
        "results: at close, the 5 groups with the greatest flights",
        ("quarantined: events more than 1h ahead of their arrival or of groups beyond 999 in a window and shard"
        " or with a value that delays can't use"),
        "to archive: s3://data-bucket/p/results/hours/archive/, final results only; only flights",
        "to search: index hours, a document a result",
        ("to warehouse: switched off; with an endpoint: table hours, a row a result, staged below"
        " s3://data-bucket/p/staging/warehouse.results/hours/"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["window: {session: 30m}"], "sessions that end after 30m without events, all together"),
        (
            ["window: {tumbling: 1m}", "state: lambda"],
            "kept by Lambda in windows of arrival; results of each shard go out when its window ends",
        ),
        (["window: {tumbling: 1m}", "emit: close"], "results: at close"),
        (
            [
                "window: {tumbling: 1m}",
                "group_by: [a]",
                "emit: close",
                "rank: {by: flights, most: 5, ascending: true}",
            ],
            "results: at close, the 5 groups with the least flights",
        ),
        (
            ["window: {tumbling: 1m}", "on_late: quarantine"],
            "closed when the watermark has passed the end; an event that is late then is counted and quarantined",
        ),
    ],
)
def test_what_differs_is_told(tmp_path: Path, lines: list[str], told: str) -> None:
    assert told in plan(tmp_path, *lines, "outputs: {flights: count}")


def test_a_sound_aggregate_is_not_warned_about(tmp_path: Path) -> None:
    assert warned(tmp_path, "window: {tumbling: 1h}", "outputs: {n: count}", "to: {search: {index: hours}}") == []


def test_windows_of_arrival_are_warned_about(tmp_path: Path) -> None:
    head = "pipeline: p\nvalidate: {schema: {}}\n"
    found = warned(tmp_path, "window: {tumbling: 1h}", "outputs: {n: count}", head=head)
    assert found[1:] == ["aggregates.hours has windows of arrival time: the pipeline has no event_time"]
    managed = warned(tmp_path, "window: {tumbling: 1m}", "state: lambda", "outputs: {n: count}", head=head)
    assert managed == found[:1]


def test_updates_that_go_nowhere_are_warned_about(tmp_path: Path) -> None:
    lines = ["window: {tumbling: 1h}", "outputs: {n: count}", "to: {archive: {}}"]
    assert warned(tmp_path, *lines) == [
        "aggregates.hours has `emit: updates`, and all its results go to S3, which gets them at close only"
    ]
    assert warned(tmp_path, *lines, "emit: close") == []


def test_fields_that_a_step_takes_away_are_warned_about(tmp_path: Path) -> None:
    found = warned(
        tmp_path,
        "group_by: [gone, {expr: 'distance > lost', as: far}]",
        "window: {tumbling: 1h}",
        "outputs: {n: {kind: mean, of: gone.too}, there: {kind: mean, of: here}}",
        head=f"{HEAD}transforms: [{{drop: [gone, lost]}}]\n",
    )
    assert found == [
        "aggregates.hours.group_by[0] reads 'gone', which transforms[0].drop takes away",
        "aggregates.hours.group_by[1] reads 'lost', which transforms[0].drop takes away",
        "aggregates.hours.outputs.n reads 'gone.too', which transforms[0].drop takes away",
    ]
