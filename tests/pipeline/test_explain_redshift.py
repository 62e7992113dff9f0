from pathlib import Path

import pytest

from aetherstream.pipeline.explain import explain, notes, warnings
from tests.pipeline.writing import loaded

HEAD = "pipeline: p\nvalidate: {schema: {}}\nevent_time: {field: at, not_before: 2013-01-31, max_ahead: 1h}\n"
COLUMNS = (
    "columns: {id: {type: int, null: false}, at: {type: timestamptz, null: false}, late: {type: int, from: d.dep}}"
)


def table(*options: str, place: str = "host/dev", columns: str = COLUMNS, head: str = HEAD) -> str:
    given = ", ".join((f"endpoint: '{place}'", "bucket: data-bucket", "table: public.flights", columns, *options))
    return f"{head}sinks: {{warehouse: {{redshift: {{{given}}}}}}}\n"


def plan(folder: Path, text: str) -> list[str]:
    """The lines that the plan has for the sink."""
    lines = explain(loaded(folder, text)).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("  sink warehouse"))
    rest = next(index for index, line in enumerate(lines) if line.startswith("  quarantine"))
    return [line[18:] for line in lines[first:rest]]


def warned(folder: Path, text: str) -> list[str]:
    return list(warnings(loaded(folder, text)))


def test_a_table_is_told_from_its_events_to_its_rows(tmp_path: Path) -> None:
    assert plan(tmp_path, table("secret: s", "sort: [at]")) == [
        "table public.flights; its rows are staged as",
        "s3://data-bucket/p/staging/warehouse/day=2013-01-31/shardId-000000000000-<first position>.ndjson.gz",
        "NDJSON, gzip; at most 200 partitions a batch",
        "3 columns and _event_id: id int not null, at timestamptz not null, late int from d.dep",
        "quarantined: events with values that their columns would not take or null where it may not be",
        "fields without a column: left out",
        "loaded into host/dev, as the user of a secret: COPY of up to 500 objects in one transaction",
        "append: one row an event id, however often it comes",
        "table: distribution auto, sorted by at; the loader makes what it lacks of this",
    ]


def test_an_upsert_by_the_data_api_is_told(tmp_path: Path) -> None:
    options = (
        *("auth: iam", "workgroup: w", "mode: upsert", "key: [id]", "version: at", "unknown: reject", "changes: check"),
        *("distribution: {style: key, column: id}", "partition: []", "compression: zstd", "level: 3"),
        "load: {through: data_api, style: delete_insert, objects: 1000}",
    )
    assert plan(
        tmp_path, table(*options, columns="columns: {id: {type: int, null: false}, at: {type: date, null: false}}")
    ) == [
        "table public.flights; its rows are staged as",
        "s3://data-bucket/p/staging/warehouse/shardId-000000000000-<first position>.ndjson.zst",
        "NDJSON, zstd level 3; one object a batch",
        "2 columns and _event_id: id int not null, at date not null",
        (
            "quarantined: events with values that their columns would not take or null where it may not be or fields"
            " without a column"
        ),
        (
            "loaded into host/dev, with the loader's role through the Data API: COPY of up to 1,000 objects in one"
            " transaction"
        ),
        "upsert: one row a id; the greatest at wins, by DELETE and INSERT",
        "table: distribution by id, no sort key; the loader waits for what it lacks of this",
    ]


def test_a_sink_that_is_switched_off_says_so(tmp_path: Path) -> None:
    text = table("optional: true", "unknown: rest", place="", columns="columns: {rest: super}")
    assert plan(tmp_path, text) == [
        "switched off: its endpoint is empty; with one:",
        "table public.flights; its rows are staged as",
        "s3://data-bucket/p/staging/warehouse/day=2013-01-31/shardId-000000000000-<first position>.ndjson.gz",
        "NDJSON, gzip; at most 200 partitions a batch",
        "1 column and _event_id: rest super",
        "quarantined: events with values that their columns would not take",
        "fields without a column: collected in rest",
        "loaded: COPY of up to 500 objects in one transaction",
        "append: one row an event id, however often it comes",
        "table: distribution auto, no sort key; the loader makes what it lacks of this",
    ]
    assert list(notes(loaded(tmp_path, text))) == ["sinks.warehouse is switched off: its endpoint is empty"]


def test_many_columns_go_over_several_lines(tmp_path: Path) -> None:
    columns = ", ".join(f"measurement_{number}: double precision" for number in range(5))
    assert plan(tmp_path, table("secret: s", columns=f"columns: {{{columns}}}"))[3:6] == [
        "5 columns and _event_id: measurement_0 double precision, measurement_1 double precision,",
        "  measurement_2 double precision, measurement_3 double precision, measurement_4 double precision",
        "quarantined: events with values that their columns would not take",
    ]


def test_a_sound_sink_has_no_warnings_and_no_notes(tmp_path: Path) -> None:
    text = table("secret: s")
    assert (warned(tmp_path, text), list(notes(loaded(tmp_path, text)))) == ([], [])


def test_events_that_are_told_apart_by_an_identity_are_not_by_appending(tmp_path: Path) -> None:
    assert warned(tmp_path, table("secret: s", head=f"{HEAD}identity: [id]\n")) == [
        (
            "sinks.warehouse appends by the position in the stream: an event that a producer sends twice makes two"
            " rows; `mode: upsert` with the columns of the identity as `key` keeps one"
        )
    ]


@pytest.mark.parametrize(
    ("step", "field", "column"),
    [("drop: [id]", "id", "id"), ("rename: {d: e}", "d.dep", "late")],
)
def test_a_column_of_a_field_that_a_step_takes_away_is_warned_about(
    tmp_path: Path, step: str, field: str, column: str
) -> None:
    assert warned(tmp_path, table("secret: s", head=f"{HEAD}transforms: [{{{step}}}]\n")) == [
        f"sinks.warehouse.columns.{column} reads {field!r}, which transforms[0].{step.partition(':')[0]} takes away"
    ]


def test_partitions_of_many_values_are_warned_about(tmp_path: Path) -> None:
    assert warned(tmp_path, table("secret: s", "partition: [{field: user_id}]")) == [
        (
            "sinks.warehouse is partitioned by 'user_id', which looks as if it had many values: many tiny objects, and"
            " batches that end early at max_partitions"
        )
    ]
