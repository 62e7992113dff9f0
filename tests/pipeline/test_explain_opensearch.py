from pathlib import Path

import pytest

from aetherstream.pipeline.explain import explain, notes, warnings
from tests.pipeline.writing import loaded

HEAD = "pipeline: p\nvalidate: {schema: {}}\nevent_time: {field: at, not_before: 2013-01-31, max_ahead: 1h}\n"
MAPPED = "mappings: {origin: keyword}"


def search(*options: str, endpoint: str = "https://host", head: str = HEAD) -> str:
    return f"{head}sinks: {{search: {{opensearch: {{endpoint: '{endpoint}', {', '.join(options)}}}}}}}\n"


def plan(folder: Path, text: str) -> list[str]:
    """The lines that the plan has for the sink."""
    lines = explain(loaded(folder, text)).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("  sink search"))
    rest = next(index for index, line in enumerate(lines) if line.startswith("  quarantine"))
    return [line[15:].strip() for line in lines[first:rest]]


def warned(folder: Path, *options: str, endpoint: str = "https://host") -> list[str]:
    return list(warnings(loaded(folder, search(*options, endpoint=endpoint))))


def test_a_sink_by_event_time_is_told_with_an_example(tmp_path: Path) -> None:
    options = ("auth: es", "index: flights", "period: month", "retention: 90d", "replicas: 2", MAPPED)
    assert plan(tmp_path, search(*options)) == [
        "OpenSearch at https://host, signed for OpenSearch Service",
        "index flights-2013.01, by the month of the event time; _id: the position in the stream",
        "1 field mapped, others are mapped by their first value; 1 shard, 2 replicas",
        "an index is deleted at the age of 90d",
        "while it is down: spilled to s3://data-bucket/p/spill/search/..., brought later, 2,000 documents/s",
    ]


@pytest.mark.parametrize(
    ("period", "name"),
    [("hour", "a-2013.01.31.00"), ("day", "a-2013.01.31"), ("month", "a-2013.01"), ("year", "a-2013")],
)
def test_each_period_has_its_name(tmp_path: Path, period: str, name: str) -> None:
    assert plan(tmp_path, search("index: a", f"period: {period}"))[1] == (
        f"index {name}, by the {period} of the event time; _id: the position in the stream"
    )


def test_a_sink_that_blocks_and_has_an_identity(tmp_path: Path) -> None:
    text = search("data_stream: a", "rollover: {age: 1d, size: 30GiB}", "on_outage: block", "dynamic: strict")
    assert plan(tmp_path, f"{text}identity: [id]\n") == [
        "OpenSearch at https://host, without credentials",
        "data stream a, a new index behind it at 1d or at 30GiB; _id: the identity",
        "0 fields mapped, others refuse the document; 1 shard, 1 replica",
        "while it is down: the shard waits",
    ]


def test_a_sink_that_is_switched_off_says_so(tmp_path: Path) -> None:
    text = search("optional: true", "alias: a", "dynamic: false", endpoint="")
    assert plan(tmp_path, text) == [
        "switched off: its endpoint is empty; with one:",
        "alias a, one index behind it; _id: the position in the stream",
        "0 fields mapped, others are stored and not searched; 1 shard, 1 replica",
        "while it is down: spilled to s3://data-bucket/p/spill/search/..., brought later, 2,000 documents/s",
    ]
    assert list(notes(loaded(tmp_path, text))) == ["sinks.search is switched off: its endpoint is empty"]


def test_a_sound_sink_has_no_warnings_and_no_notes(tmp_path: Path) -> None:
    text = search("index: a", MAPPED, "retention: 1d")
    assert (list(warnings(loaded(tmp_path, text))), list(notes(loaded(tmp_path, text)))) == ([], [])


@pytest.mark.parametrize(("kind", "words"), [("alias", "an alias"), ("data_stream", "a data stream")])
def test_what_may_store_twice_is_warned_about(tmp_path: Path, kind: str, words: str) -> None:
    assert warned(tmp_path, f"{kind}: a", MAPPED, "rollover: {age: 1d}") == [
        (
            f"sinks.search writes to {words}: an event that comes again after a rollover is stored a second time;"
            " `index` names the index by event time and keeps one"
        )
    ]


def test_an_alias_that_never_rolls_over_is_warned_about(tmp_path: Path) -> None:
    assert warned(tmp_path, "alias: a", MAPPED)[1:] == [
        "sinks.search has no rollover: the one index behind 'a' grows for ever"
    ]


def test_what_serverless_lacks_is_warned_about(tmp_path: Path) -> None:
    found = warned(tmp_path, "data_stream: a", "auth: aoss", MAPPED, "retention: 1d", "rollover: {age: 1d}")
    assert found[1:] == [
        "sinks.search: OpenSearch Serverless has no data streams",
        "sinks.search: OpenSearch Serverless has no index state management: `retention` does nothing there",
        "sinks.search: OpenSearch Serverless has no index state management: `rollover` does nothing there",
    ]


BASIC = ("index: a", MAPPED, "auth: basic", "secret: s")


def test_a_password_in_clear_text_is_warned_about(tmp_path: Path) -> None:
    assert warned(tmp_path, *BASIC, endpoint="http://search.example.org:9200") == [
        "sinks.search sends its user's password unencrypted: its endpoint is no https"
    ]


@pytest.mark.parametrize("endpoint", ["http://localhost:9200", "http://127.0.0.1", "https://search.example.org"])
def test_a_password_that_nobody_can_overhear_is_fine(tmp_path: Path, endpoint: str) -> None:
    assert warned(tmp_path, *BASIC, endpoint=endpoint) == []


def test_types_that_hang_on_the_first_value_are_warned_about(tmp_path: Path) -> None:
    assert warned(tmp_path, "index: a") == [
        (
            "sinks.search has no mappings: in each index the first value of a field decides its type, and documents"
            " with another one are quarantined"
        )
    ]


def test_a_type_that_opensearch_may_not_know_is_warned_about(tmp_path: Path) -> None:
    mapped = "mappings: {a: keywrod, b: {properties: {c: {type: text, fields: {d: xyzzy}}}}}"
    assert warned(tmp_path, "index: a", mapped) == [
        (
            "sinks.search maps 'a' as 'keywrod', which is no field type that OpenSearch comes with"
            " (did you mean 'keyword'?)"
        ),
        "sinks.search maps 'b.c.d' as 'xyzzy', which is no field type that OpenSearch comes with",
    ]
