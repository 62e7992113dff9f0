import json
from pathlib import Path

from msgspec import UNSET

from aetherstream.pipeline.model import EventTime, PipelineFile, Source, Validate
from aetherstream.pipeline.model_objects import PartitionPart
from aetherstream.pipeline.model_sinks import QuarantineS3, S3Sink, Sink
from tests.pipeline.writing import ENV, SINKS, loaded, mistakes


def test_a_small_file_gets_its_defaults(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, f"pipeline: flights\n{SINKS}")
    assert pipeline.file == PipelineFile(pipeline="flights", sinks={"archive": Sink(s3=S3Sink(bucket="data-bucket"))})
    assert (pipeline.name, pipeline.path, pipeline.schema) == ("flights", tmp_path / "p.yaml", None)
    assert pipeline.file.delivery == "exactly_once"
    assert pipeline.file.source.max_expanded_bytes == 32 * 1024 * 1024
    assert pipeline.sinks == {
        "archive": Sink(
            s3=S3Sink(bucket="data-bucket", prefix="flights/archive", partition=[PartitionPart(time="day")])
        )
    }
    assert pipeline.quarantine == QuarantineS3(bucket="data-bucket", prefix="flights/quarantine")


def test_every_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "flights.schema.json").write_text('{"type": "object"}')
    pipeline = loaded(
        tmp_path,
        """\
        pipeline: flights
        description: all of it
        delivery: at_least_once
        source: {format: json, max_expanded: 1MB}
        validate: {schema: flights.schema.json}
        event_time:
          field: meta.at
          format: epoch_ms
          not_before: 2013-01-01
          not_after: 2014-01-01T12:00:00Z
          max_age: 30d
          max_ahead: 90
        identity: [carrier, flight]
        sinks:
          archive:
            s3:
              bucket: ${AETHERSTREAM_BUCKET}
              prefix: a/b
              compression: zstd
              level: 19
              max_partitions: 7
              partition:
                - {time: day}
                - {time: hour, as: h}
                - {field: place.origin}
                - {expr: distance > 1000, as: far}
        quarantine:
          s3: {bucket: other-bucket, prefix: q}
        """,
    )
    times = EventTime(
        field="meta.at",
        format="epoch_ms",
        not_before="2013-01-01",
        not_after="2014-01-01T12:00:00Z",
        max_age="30d",
        max_ahead=90.0,
    )
    sink = S3Sink(
        bucket="data-bucket",
        prefix="a/b",
        compression="zstd",
        level=19,
        max_partitions=7,
        partition=[
            PartitionPart(time="day"),
            PartitionPart(time="hour", as_="h"),
            PartitionPart(field="place.origin"),
            PartitionPart(expr="distance > 1000", as_="far"),
        ],
    )
    assert pipeline.file.source == Source(max_expanded="1MB")
    assert pipeline.file.validate == Validate(schema="flights.schema.json")
    assert pipeline.schema == {"type": "object"}
    assert pipeline.file.event_time == times
    assert (times.earliest, times.latest) == (1356998400.0, 1388577600.0)
    assert (times.max_age_seconds, times.max_ahead_seconds) == (2592000.0, 90.0)
    assert pipeline.file.identity == ["carrier", "flight"]
    assert pipeline.sinks == {"archive": Sink(s3=sink)}
    assert [part.name for part in sink.partition] == ["day", "h", "origin", "far"]
    assert pipeline.quarantine == QuarantineS3(bucket="other-bucket", prefix="q")


def test_a_schema_can_stand_in_the_file(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, f"pipeline: p\nvalidate: {{schema: {{required: [a]}}}}\n{SINKS}")
    assert pipeline.schema == {"required": ["a"]}


def test_a_table_is_found_beside_the_file_or_in_s3(tmp_path: Path) -> None:
    pipeline = loaded(
        tmp_path,
        f"pipeline: p\ntables:\n  a: {{file: r/a.csv, key: k, reload: 1h}}\n  b: {{file: 's3://b/x.json', key: k}}\n"
        f"{SINKS}",
    )
    assert pipeline.table_uri("a") == str(tmp_path / "r/a.csv")
    assert pipeline.table_uri("b") == "s3://b/x.json"
    assert pipeline.file.tables["a"].reload_seconds == 3600.0
    assert pipeline.file.tables["b"].reload is UNSET


def test_all_mistakes_of_form_come_at_once_with_their_places(tmp_path: Path) -> None:
    text = """\
    pipelin: flights
    pipeline: Flights
    delivery: exactly_onc
    source: {max_expanded: 3X}
    event_time: {not_befor: 2013-01-01, not_after: yesterday}
    tables:
      airlines: {file: a.txt, key: true, reload: 1 fortnight}
    transforms:
      - renam: {a: b}
      - drop: a
      - {rename: {a: b}, drop: [x]}
    sinks:
      Archive: {}
      archive:
        s3:
          bucket: ${NOPE}
          prefix: /x
          level: fast
          partition:
            - {time: daily}
            - {as: x}
            - field: a
              expr: b
    """
    places = [(place, path) for place, path, _ in mistakes(tmp_path, text)]
    assert places == [
        ("1:1", "pipelin"),
        ("2:11", "pipeline"),
        ("3:11", "delivery"),
        ("4:24", "source.max_expanded"),
        ("5:1", "event_time"),
        ("5:14", "event_time.not_befor"),
        ("5:48", "event_time.not_after"),
        ("7:20", "tables.airlines.file"),
        ("7:32", "tables.airlines.key"),
        ("7:46", "tables.airlines.reload"),
        ("9:5", "transforms[0].renam"),
        ("10:11", "transforms[1].drop"),
        ("11:6", "transforms[2].rename"),
        ("13:3", "sinks.Archive"),
        ("13:3", "sinks.Archive"),
        ("16:15", "sinks.archive.s3.bucket"),
        ("17:15", "sinks.archive.s3.prefix"),
        ("18:14", "sinks.archive.s3.level"),
        ("20:18", "sinks.archive.s3.partition[0].time"),
        ("21:11", "sinks.archive.s3.partition[1]"),
        ("22:11", "sinks.archive.s3.partition[2].field"),
    ]


def one(folder: Path, text: str) -> str:
    """The message of the only mistake."""
    ((_, _, message),) = mistakes(folder, text)
    return message


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    assert one(tmp_path, f"pipeline: p\ntransform: []\n{SINKS}") == "unknown key (did you mean 'transforms'?)"


def test_an_unknown_step_names_the_nearest(tmp_path: Path) -> None:
    text = f"pipeline: p\ntransforms:\n  - renames: {{a: b}}\n{SINKS}"
    assert one(tmp_path, text) == "unknown key (did you mean 'rename'?)"


def test_a_missing_key_is_named_with_its_meaning(tmp_path: Path) -> None:
    assert one(tmp_path, SINKS) == "'pipeline' is missing: Name; it stands in keys, metrics and logs."


def test_a_word_that_is_none_of_the_right_ones_names_them(tmp_path: Path) -> None:
    text = f"pipeline: p\ndelivery: exactly-once\n{SINKS}"
    assert one(tmp_path, text) == (
        "'exactly-once' is not one of at_least_once, exactly_once (did you mean 'exactly_once'?)"
    )


def test_a_boolean_where_text_was_meant_asks_for_quotes(tmp_path: Path) -> None:
    text = f"pipeline: p\ndescription: true\n{SINKS}"
    assert one(tmp_path, text) == "expected text, got the boolean true; put quotes around it to make it text"


def test_a_number_where_a_name_was_meant_asks_for_quotes(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks: {archive: {s3: {bucket: 123456789012}}}"
    assert (
        one(tmp_path, text)
        == "expected a bucket name, got the number 123456789012; put quotes around it to make it text"
    )


def test_an_empty_value_says_so(tmp_path: Path) -> None:
    assert one(tmp_path, "pipeline: p\nsinks:\n") == "expected a mapping, got nothing"


def test_an_empty_file_is_no_pipeline(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "") == [("1:1", "", "expected a mapping, got nothing")]


def test_a_list_is_no_pipeline(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "- a") == [("1:1", "", "expected a mapping, got a list")]


def test_a_bucket_that_the_environment_spoils_is_named(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks:\n  archive:\n    s3:\n      bucket: ${AETHERSTREAM_BUCKET}\n"
    assert mistakes(tmp_path, text, {"AETHERSTREAM_BUCKET": "A_B"}) == [
        ("5:15", "sinks.archive.s3.bucket", "expected a bucket name, got 'A_B'; for example ${AETHERSTREAM_BUCKET}")
    ]


def test_a_schema_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "flights.schema.json").write_text("{}")
    text = f"pipeline: p\nvalidate: {{schema: flight.schema.json}}\n{SINKS}"
    assert one(tmp_path, text) == (
        f"{tmp_path}/flight.schema.json can't be read: No such file or directory (did you mean 'flights.schema.json'?)"
    )


def test_a_schema_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{")
    assert "s.json is no JSON: " in one(tmp_path, f"pipeline: p\nvalidate: {{schema: s.json}}\n{SINKS}")


def test_a_schema_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([1]))
    text = f"pipeline: p\nvalidate: {{schema: s.json}}\n{SINKS}"
    assert one(tmp_path, text) == f"{tmp_path}/s.json is no JSON Schema: expected an object"


def test_without_a_quarantine_the_template_bucket_must_be_known(tmp_path: Path) -> None:
    text = f"pipeline: p\n{SINKS}"
    assert mistakes(tmp_path, text, {}) == [
        (
            "1:1",
            "",
            "has no quarantine, and the environment no AETHERSTREAM_BUCKET for its default; give quarantine.s3.bucket",
        )
    ]
    assert ENV["AETHERSTREAM_BUCKET"] == loaded(tmp_path, text).quarantine.bucket
