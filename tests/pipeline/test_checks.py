from pathlib import Path

import pytest

from tests.pipeline.writing import SINKS, mistakes


def s3(*lines: str) -> str:
    return "pipeline: p\nsinks:\n  archive:\n    s3:\n      bucket: data-bucket\n" + "".join(
        f"      {x}\n" for x in lines
    )


def said(folder: Path, text: str) -> list[str]:
    return [f"{place} {path}: {message}" for place, path, message in mistakes(folder, text)]


def test_bounds_that_nothing_can_pass_are_refused(tmp_path: Path) -> None:
    text = f"pipeline: p\nevent_time: {{field: t, not_before: 2014-01-01, not_after: 2013-01-01}}\n{SINKS}"
    assert said(tmp_path, text) == [
        "2:59 event_time.not_after: '2013-01-01' is not after not_before, '2014-01-01': nothing would pass"
    ]


def test_a_date_that_the_calendar_lacks_is_refused(tmp_path: Path) -> None:
    text = f"pipeline: p\nevent_time: {{field: t, not_before: 2013-02-30}}\n{SINKS}"
    assert said(tmp_path, text) == [
        (
            "2:36 event_time.not_before: '2013-02-30' is no date or timestamp; write for example 2013-01-01 or "
            "2013-01-01T10:00:00Z"
        )
    ]


@pytest.mark.parametrize(
    ("format_", "message"),
    [
        (
            "iso",
            "'iso' is neither iso8601, epoch_s, epoch_ms nor a strptime pattern (did you mean 'iso8601'?)",
        ),
        (
            "epoch_m",
            "'epoch_m' is neither iso8601, epoch_s, epoch_ms nor a strptime pattern (did you mean 'epoch_ms'?)",
        ),
        ("'%Q'", "'%Q' is no strptime pattern: 'Q' is a bad directive in format '%Q'"),
    ],
)
def test_a_format_that_reads_no_time_is_refused(tmp_path: Path, format_: str, message: str) -> None:
    text = f"pipeline: p\nevent_time: {{field: t, format: {format_}}}\n{SINKS}"
    assert said(tmp_path, text) == [f"2:32 event_time.format: {message}"]


def test_a_field_that_stands_twice_in_the_identity_is_refused(tmp_path: Path) -> None:
    assert said(tmp_path, f"pipeline: p\nidentity: [a, b, a]\n{SINKS}") == ["2:18 identity[2]: 'a' stands here twice"]


@pytest.mark.parametrize(
    ("compression", "level", "message"),
    [("gzip", 9, "gzip has the levels 0 to 3, not 9"), ("zstd", 0, "zstd has the levels 1 to 22, not 0")],
)
def test_a_level_belongs_to_its_compression(tmp_path: Path, compression: str, level: int, message: str) -> None:
    text = s3(f"compression: {compression}", f"level: {level}")
    assert said(tmp_path, text) == [f"7:14 sinks.archive.s3.level: {message}"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            "[{expr: a > 1}]",
            "sinks.archive.s3.partition[0]: an expression has no name of its own; give it one with `as:`",
        ),
        (
            "[{field: odd-name}]",
            (
                "sinks.archive.s3.partition[0]: 'odd-name' can't be the name of a partition column; give one of "
                "letters, digits and _ with `as:`"
            ),
        ),
        (
            "[{time: day}, {field: day}]",
            "sinks.archive.s3.partition[1]: a second partition is called 'day'; give it another name with `as:`",
        ),
        (
            "[{time: hour}]",
            "sinks.archive.s3.partition: `time: hour` is only the hour of the day; put `- {time: day}` before it",
        ),
    ],
)
def test_partitions_have_one_plain_name_each(tmp_path: Path, parts: str, message: str) -> None:
    (said_,) = said(tmp_path, s3("max_partitions: 9", f"partition: {parts}"))
    assert said_.partition(" ")[2] == message


def test_prefixes_that_lie_in_one_another_are_refused(tmp_path: Path) -> None:
    text = s3("prefix: flights") + "quarantine:\n  s3: {bucket: data-bucket, prefix: flights/quarantine}\n"
    assert said(tmp_path, text) == [
        (
            "8:37 quarantine.s3.prefix: 'flights/quarantine' and sinks.archive.s3's 'flights' lie in one another; "
            "readers would mix them"
        )
    ]


def test_prefixes_that_only_begin_alike_are_fine(tmp_path: Path) -> None:
    text = s3("prefix: flights", "level: 9") + "quarantine:\n  s3: {bucket: data-bucket, prefix: flights2}\n"
    assert [path for _, path, _ in mistakes(tmp_path, text)] == ["sinks.archive.s3.level"]


def test_names_with_a_meaning_of_their_own_are_no_sinks(tmp_path: Path) -> None:
    assert said(tmp_path, "pipeline: p\nsinks:\n  rejected: {s3: {bucket: data-bucket}}\n") == [
        "3:3 sinks.rejected: 'rejected' has a meaning of its own; give the sink another name"
    ]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("/etc/a.csv", "'/etc/a.csv' leaves the pipeline's folder, and only that is deployed; put the table into it"),
        ("../a.csv", "'../a.csv' leaves the pipeline's folder, and only that is deployed; put the table into it"),
        ("https://x/a.csv", "'https://x/a.csv' is neither a relative path nor s3://bucket/key"),
        ("s3://a.csv", "'s3://a.csv' has no key; expected s3://bucket/key"),
    ],
)
def test_a_table_is_in_the_folder_or_in_s3(tmp_path: Path, file: str, message: str) -> None:
    text = f"pipeline: p\ntables: {{a: {{file: '{file}', key: k}}}}\n{SINKS}"
    assert said(tmp_path, text) == [f"2:20 tables.a.file: {message}"]
