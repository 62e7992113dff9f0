"""The OpenSearch sink of a pipeline file: what is read, what is refused, and how sinks that are off are treated."""

from pathlib import Path

import pytest

from aetherstream.pipeline.compiled import check
from aetherstream.pipeline.model_opensearch import Bulk, OpenSearchSink, Rollover, full_mapping
from aetherstream.pipeline.model_outage import BreakerRules, DrainRules, SpillPlace
from tests.pipeline.writing import ENV, loaded, mistakes, write

TIMES = "event_time: {field: at}\n"


def search(*lines: str, head: str = TIMES, endpoint: str = "https://search.example.org") -> str:
    """A pipeline whose sink `search` begins in line 5 and has these lines from line 7 on."""
    sink = [f"endpoint: {endpoint}", *lines]
    return f"pipeline: p\n{head}sinks:\n  search:\n    opensearch:\n" + "".join(f"      {line}\n" for line in sink)


def said(folder: Path, text: str) -> list[str]:
    return [f"{place} {path}: {message}" for place, path, message in mistakes(folder, text)]


def one(folder: Path, *lines: str, head: str = TIMES, endpoint: str = "https://search.example.org") -> str:
    """What is said of the one mistake, with its place below the sink."""
    (text,) = said(folder, search(*lines, head=head, endpoint=endpoint))
    return text.replace("sinks.search.opensearch", "~")


def sink_of(folder: Path, text: str, env: dict[str, str] | None = None) -> OpenSearchSink:
    sink = loaded(folder, text, {**ENV, **(env or {})}).sinks["search"].opensearch
    assert isinstance(sink, OpenSearchSink)
    return sink


def test_a_small_sink_gets_its_defaults(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, search("index: flights"))
    assert sink == OpenSearchSink(
        endpoint="https://search.example.org",
        index="flights",
        breaker=BreakerRules(),
        drain=DrainRules(),
        spill=SpillPlace(bucket="data-bucket", prefix="p/spill/search"),
    )
    assert (sink.kind, sink.target, sink.is_off) == ("index", "flights", False)
    assert sink.bulk == Bulk(documents=2000, bytes=5_000_000, parallel=4, compress=False)
    assert BreakerRules() == BreakerRules(failures=5, share=0.5, window="60s", patience="15s", probe_after="30s")
    assert DrainRules() == DrainRules(rate=2000)


def test_every_field_is_read(tmp_path: Path) -> None:
    text = search(
        "optional: true",
        "auth: basic",
        "secret: search/login",
        "region: eu-west-1",
        "alias: flights",
        "mappings: {origin: keyword, where: {type: geo_point}}",
        "dynamic: strict",
        "field_limit: 50",
        "ignore_above: 100",
        "shards: 3",
        "replicas: 0",
        "refresh: 10s",
        "retention: 90d",
        "rollover: {age: 1d, size: 30GiB}",
        "bulk: {documents: 10, bytes: 1MB, parallel: 2, compress: true}",
        "on_outage: spill",
        "breaker: {failures: 2, share: 1, window: 1m, patience: 500ms, probe_after: 5}",
        "drain: {rate: 7}",
        "spill: {bucket: other-bucket, prefix: waiting}",
    )
    sink = sink_of(tmp_path, text)
    assert sink == OpenSearchSink(
        endpoint="https://search.example.org",
        optional=True,
        auth="basic",
        secret="search/login",  # noqa: S106 - the name of one
        region="eu-west-1",
        alias="flights",
        mappings={"origin": "keyword", "where": {"type": "geo_point"}},
        dynamic="strict",
        field_limit=50,
        ignore_above=100,
        shards=3,
        replicas=0,
        refresh="10s",
        retention="90d",
        rollover=Rollover(age="1d", size="30GiB"),
        bulk=Bulk(documents=10, bytes="1MB", parallel=2, compress=True),
        breaker=BreakerRules(failures=2, share=1.0, window="1m", patience="500ms", probe_after=5.0),
        drain=DrainRules(rate=7),
        spill=SpillPlace(bucket="other-bucket", prefix="waiting"),
    )
    assert (sink.refresh_seconds, sink.retention_seconds) == (10.0, 90 * 86400.0)


def test_a_sink_that_blocks_has_no_spill(tmp_path: Path) -> None:
    assert sink_of(tmp_path, search("index: flights", "on_outage: block")) == OpenSearchSink(
        endpoint="https://search.example.org", index="flights", on_outage="block"
    )


def test_a_spill_stands_in_the_bucket_of_the_quarantine(tmp_path: Path) -> None:
    text = search("index: flights") + "quarantine: {s3: {bucket: refused-bucket}}\n"
    assert sink_of(tmp_path, text).spill == SpillPlace(bucket="refused-bucket", prefix="p/spill/search")


def test_an_endpoint_loses_its_last_slash(tmp_path: Path) -> None:
    assert sink_of(tmp_path, search("index: a", endpoint="http://h:9200/")).endpoint == "http://h:9200"


def test_the_file_that_a_version_is_made_of_has_no_password(tmp_path: Path) -> None:
    text = search("index: a", "auth: basic", "username: u", "password: ${PW}")
    first, second = (loaded(tmp_path, text, {**ENV, "PW": word}) for word in ("sesame", "mustard"))
    assert first.file == second.file
    assert [sink_of(tmp_path, text, {"PW": word}).password for word in ("sesame", "mustard")] == ["sesame", "mustard"]


OPTIONAL = search("optional: true", "auth: basic", "index: a", endpoint="${SEARCH:-}")


def test_an_optional_sink_without_an_endpoint_is_switched_off(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, OPTIONAL)
    assert (pipeline.switched_off, pipeline.sinks["search"].is_off) == (["search"], True)


@pytest.mark.parametrize("endpoint", ["''", "'  '", "null"])
def test_an_endpoint_of_nothing_is_empty(tmp_path: Path, endpoint: str) -> None:
    assert sink_of(tmp_path, search("optional: true", "index: a", endpoint=endpoint)).is_off


def test_the_credentials_of_a_sink_matter_once_it_is_on(tmp_path: Path) -> None:
    found = mistakes(tmp_path, OPTIONAL, {**ENV, "SEARCH": "https://host"})
    assert found == [
        ("8:13", "sinks.search.opensearch.auth", "`auth: basic` needs `secret`, or `username` and `password`")
    ]


def test_an_empty_endpoint_is_a_mistake_of_a_sink_that_is_not_optional(tmp_path: Path) -> None:
    assert one(tmp_path, "index: a", endpoint="${SEARCH:-}") == (
        "6:17 ~.endpoint: is empty; give the cluster's URL, or `optional: true`, which switches the sink off then"
    )


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("search.example.org", "'search.example.org' is no URL; write https://host or https://host:port"),
        ("https://", "'https:' is no URL; write https://host or https://host:port"),
        ("https://a b", "'https://a b' is no URL; write https://host or https://host:port"),
        ("ftp://host", "'ftp://host' begins with ftp://; write https://host or https://host:port"),
        ("https://host?x=1", "'https://host?x=1': leave out '?x=1'"),
        ("https://host:70000", "'https://host:70000': a port is 1 to 65535"),
        (
            "https://u:hidden@host",
            "holds a user name or password; give them as `auth: basic` with `secret`, or with `username`",
        ),
    ],
)
def test_an_endpoint_is_a_url(tmp_path: Path, endpoint: str, message: str) -> None:
    assert one(tmp_path, "index: a", endpoint=endpoint) == f"6:17 ~.endpoint: {message}"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9201", "https://[::1]:9200", "https://proxy.example.org/search"]
)
def test_a_port_an_address_and_a_path_may_stand_in_an_endpoint(tmp_path: Path, endpoint: str) -> None:
    assert sink_of(tmp_path, search("index: a", endpoint=endpoint)).endpoint == endpoint


@pytest.mark.parametrize("auth", ["es", "aoss"])
def test_signed_requests_need_https(tmp_path: Path, auth: str) -> None:
    assert one(tmp_path, "index: a", f"auth: {auth}", endpoint="http://host") == (
        f"6:17 ~.endpoint: 'http://host': `auth: {auth}` needs https, which is all that the service answers to"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("username: u",), "7:13 ~.auth: `auth: basic` lacks `password`"),
        (("password: ${PW}",), "7:13 ~.auth: `auth: basic` lacks `username`"),
        (("secret: s", "username: u"), "8:7 ~.secret: give either `secret`, or `username` and `password`"),
    ],
)
def test_a_user_comes_from_a_secret_or_with_a_password(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    text = search("auth: basic", *lines, "index: a")
    (found,) = mistakes(tmp_path, text, {**ENV, "PW": "x"})
    assert f"{found[0]} {found[1].replace('sinks.search.opensearch', '~')}: {found[2]}" == message


def test_credentials_may_stand_beside_another_auth_which_the_environment_chose(tmp_path: Path) -> None:
    text = search("auth: ${AUTH:-none}", "secret: s", "region: eu-west-1", "index: a")
    assert sink_of(tmp_path, text).auth == "none"


def test_a_password_never_stands_in_the_file(tmp_path: Path) -> None:
    assert one(tmp_path, "auth: basic", "username: u", "password: hunter2", "index: a") == (
        "9:17 ~.password: is a secret in the file; write ${NAME} and set NAME in the function's environment"
    )


def test_a_password_of_digits_is_not_repeated(tmp_path: Path) -> None:
    text = search("auth: basic", "username: u", "password: ${PW}", "index: a")
    ((_, path, message),) = mistakes(tmp_path, text, {**ENV, "PW": "12345"})
    assert (path, message) == (
        "sinks.search.opensearch.password",
        "expected text, got something else; put quotes around it to make it text",
    )


def test_fields_may_have_the_names_of_secrets(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, search("index: a", "mappings: {password: keyword, user: {properties: {token: keyword}}}"))
    assert sink.mappings == {"password": "keyword", "user": {"properties": {"token": "keyword"}}}


def test_a_sink_needs_a_target(tmp_path: Path) -> None:
    assert one(tmp_path, "shards: 1") == "5:5 ~: needs exactly one of: index, alias, data_stream"


def test_a_misspelt_target_is_one_mistake(tmp_path: Path) -> None:
    assert one(tmp_path, "indx: flights") == "7:7 ~.indx: unknown key (did you mean 'index'?)"


def test_a_sink_has_one_target(tmp_path: Path) -> None:
    assert one(tmp_path, "index: a", "data_stream: b") == (
        "8:7 ~.data_stream: only one of index, data_stream may stand here"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("alias: a", "period: day"), "8:7 ~.period: belongs to `index`; of an alias it says nothing"),
        (("data_stream: a", "period: day"), "8:7 ~.period: belongs to `index`; of a data stream it says nothing"),
        (
            ("index: a", "rollover: {age: 1d}"),
            "8:7 ~.rollover: belongs to `alias` and `data_stream`; with `index`, `period` says when a new index begins",
        ),
        (("alias: a", "rollover: {}"), "8:7 ~.rollover: needs at least one of: age, size"),
        (("alias: a", "rollover: {size: 0GB}"), "8:24 ~.rollover.size: must be more than 0"),
        (("alias: a", "rollover: {age: 0}"), "8:23 ~.rollover.age: must be more than 0"),
    ],
)
def test_period_and_rollover_belong_to_their_targets(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    assert one(tmp_path, *lines) == message


@pytest.mark.parametrize("kind", ["index", "alias", "data_stream"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Flights", "'Flights': OpenSearch takes lower-case names only; write 'flights'"),
        ("a*b c", "'a*b c' holds '* '; OpenSearch takes none of \\/*?\"<>| ,#: in a name"),
        ("_a", "'_a': OpenSearch takes no name that begins with _, - or +, and keeps those with . for itself"),
        ('"a\\tb"', "'a\\tb' holds a control character"),
    ],
)
def test_a_name_is_one_that_opensearch_takes(tmp_path: Path, kind: str, name: str, message: str) -> None:
    assert one(tmp_path, f"{kind}: {name}").partition(": ")[2] == message


@pytest.mark.parametrize(
    ("lines", "longest"),
    [
        (("period: hour", "index: "), 241),
        (("period: year", "index: "), 250),
        (("index: ",), 244),
        (("alias: ",), 248),
        (("data_stream: ",), 244),
    ],
)
def test_a_name_leaves_room_for_what_is_put_to_it(tmp_path: Path, lines: tuple[str, ...], longest: int) -> None:
    *first, last = lines
    assert len(sink_of(tmp_path, search(*first, last + "a" * longest)).target) == longest
    room = 255 - longest
    assert one(tmp_path, *first, last + "a" * (longest + 1)).partition(": ")[2] == (
        f"has {longest + 1} bytes; with the {room} behind or before it an index name would pass OpenSearch's 255"
    )


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "the documents of a data stream have their time in one field: give the pipeline `event_time`"),
        (
            "event_time: {field: at, format: '%d/%m/%Y'}\n",
            (
                "OpenSearch doesn't know the format '%d/%m/%Y' of 'at': map the field, as {type: date, format: ...}, or"
                " turn it into ISO 8601 with `parse_time`"
            ),
        ),
    ],
)
def test_a_data_stream_has_its_time_in_a_field_that_opensearch_reads(tmp_path: Path, head: str, message: str) -> None:
    assert one(tmp_path, "data_stream: a", head=head).partition(": ")[2] == message


@pytest.mark.parametrize(
    "mapped",
    ["meta.at: {type: date, format: dd/MM/yyyy}", "meta: {properties: {at: {type: date, format: dd/MM/yyyy}}}"],
)
def test_a_mapping_may_name_the_format_of_the_time(tmp_path: Path, mapped: str) -> None:
    head = "event_time: {field: meta.at, format: '%d/%m/%Y'}\n"
    assert sink_of(tmp_path, search("data_stream: a", f"mappings: {{{mapped}}}", head=head)).data_stream == "a"


def test_an_object_around_the_time_of_a_data_stream_maps_it_too(tmp_path: Path) -> None:
    head = "event_time: {field: meta.at}\n"
    assert one(tmp_path, "data_stream: a", "mappings: {meta: {properties: {from: keyword}}}", head=head) == (
        "8:18 ~.mappings.meta: has to map 'meta.at', the time of the data stream, as a date"
    )


@pytest.mark.parametrize(
    ("mapped", "message"),
    [
        ("_event_id: text", "8:18 ~.mappings._event_id: '_event_id' is mapped already, as a keyword; leave it out"),
        ("_identity: text", "8:18 ~.mappings._identity: '_identity' is mapped already, as a keyword; leave it out"),
        ("_source: text", "8:18 ~.mappings._source: '_source' is a field of OpenSearch's own; leave it out"),
        ("a..b: text", "8:18 ~.mappings.a..b: a field's name has no empty part between its dots"),
        (
            "a: Keyword",
            (
                "8:21 ~.mappings.a: 'Keyword' is no name of a field type; write one, for example keyword, or a mapping"
                " with `type`"
            ),
        ),
        (
            "a: {format: x}",
            "8:18 ~.mappings.a: needs `type` or `properties`; for example {type: date, format: epoch_second}",
        ),
        ("a: {type: 1}", "8:28 ~.mappings.a.type: expected the name of a field type, for example keyword"),
        ("a: {properties: x}", "8:34 ~.mappings.a.properties: expected a mapping of names to field types"),
        (
            "a: {properties: {b: {x: 1}}}",
            (
                "8:35 ~.mappings.a.properties.b: needs `type` or `properties`; for example {type: date, format:"
                " epoch_second}"
            ),
        ),
        (
            "a: {type: text, fields: {raw: [1]}}",
            "8:43 ~.mappings.a.fields.raw: expected the name of a field type, or a mapping with `type` or `properties`",
        ),
    ],
)
def test_a_mapping_has_the_form_that_opensearch_reads(tmp_path: Path, mapped: str, message: str) -> None:
    assert one(tmp_path, "index: a", f"mappings: {{{mapped}}}") == message


def test_more_fields_than_the_limit_are_refused_at_once(tmp_path: Path) -> None:
    mapped = "mappings: {a.b: keyword, c: {properties: {d: {type: text, fields: {raw: keyword}}}}}"
    assert sink_of(tmp_path, search("index: a", mapped, "field_limit: 7")).field_limit == 7
    assert one(tmp_path, "index: a", mapped, "field_limit: 6") == (
        "9:20 ~.field_limit: is 6, and the mappings with _event_id and _identity have 7"
    )


def test_a_type_is_short_for_a_mapping_at_every_depth() -> None:
    written = {"properties": {"city": "keyword", "name": {"type": "text", "fields": {"raw": "keyword"}}}}
    assert full_mapping("ip") == {"type": "ip"}
    assert full_mapping(written) == {
        "properties": {
            "city": {"type": "keyword"},
            "name": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        }
    }


@pytest.mark.parametrize("line", ["breaker: {failures: 1}", "drain: {rate: 1}", "spill: {prefix: a}"])
def test_what_a_spill_needs_has_no_place_in_a_sink_that_blocks(tmp_path: Path, line: str) -> None:
    name = line.partition(":")[0]
    assert one(tmp_path, "index: a", "on_outage: block", line) == (
        f"9:7 ~.{name}: belongs to `on_outage: spill`; with `block` nothing is spilled"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("breaker: {window: 0}", "8:25 ~.breaker.window: must be more than 0"),
        ("breaker: {patience: 0s}", "8:27 ~.breaker.patience: must be more than 0"),
        ("breaker: {probe_after: .inf}", "8:30 ~.breaker.probe_after: must be more than 0 and finite"),
        ("retention: 0d", "8:18 ~.retention: must be more than 0"),
        ("refresh: 0", "8:16 ~.refresh: must be more than 0"),
        (
            "bulk: {bytes: 101MiB}",
            "8:21 ~.bulk.bytes: OpenSearch takes requests of up to 100 MiB; give 1 to 104857600 bytes",
        ),
    ],
)
def test_amounts_are_some_that_can_be(tmp_path: Path, line: str, message: str) -> None:
    assert one(tmp_path, "index: a", line) == message


def two(first: str, second: str) -> str:
    sinks = "".join(f"  {name}: {{opensearch: {{{body}}}}}\n" for name, body in (("a", first), ("b", second)))
    return f"pipeline: p\nsinks:\n{sinks}"


def test_two_sinks_never_write_to_the_same_indices(tmp_path: Path) -> None:
    text = two("endpoint: 'https://host', index: x", "endpoint: 'https://host/', alias: x")
    assert said(tmp_path, text) == [
        (
            "4:54 sinks.b.opensearch.alias: sinks.a writes to 'x' of this cluster too: an event that goes to both would"
            " be stored once; give each a name of its own"
        )
    ]


def test_two_clusters_may_have_indices_of_one_name(tmp_path: Path) -> None:
    text = two("endpoint: 'https://one', index: x", "endpoint: 'https://two', index: x")
    assert list(loaded(tmp_path, text).sinks) == ["a", "b"]


def test_a_sink_has_one_kind(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks:\n  a: {s3: {bucket: data-bucket}, opensearch: {endpoint: 'https://host', index: x}}\n"
    assert said(tmp_path, text) == [
        "3:34 sinks.a.opensearch: only one of s3, opensearch may stand here; make a sink of each"
    ]


def test_a_sink_with_mistakes_of_form_has_one_kind_too(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks:\n  a: {s3: {bucket: data-bucket}, opensearch: {endpoint: 'https://host', index: 1}}\n"
    assert said(tmp_path, text) == [
        "3:7 sinks.a.s3: only one of opensearch, s3 may stand here; make a sink of each",
        ("3:80 sinks.a.opensearch.index: expected text, got the number 1; put quotes around it to make it text"),
    ]


def test_mistakes_of_form_leave_those_of_meaning_to_be_named(tmp_path: Path) -> None:
    text = search("indexx: a", "alias: A", "shards: 0", "period: day", "on_outage: wait", "breaker: {window: 0}")
    assert [line.partition(" ")[2].partition(":")[0] for line in said(tmp_path, text)] == [
        "sinks.search.opensearch.indexx",
        "sinks.search.opensearch.alias",
        "sinks.search.opensearch.shards",
        "sinks.search.opensearch.period",
        "sinks.search.opensearch.on_outage",
        "sinks.search.opensearch.breaker.window",
    ]


def test_a_spill_inside_the_data_of_a_sink_is_refused(tmp_path: Path) -> None:
    text = search("index: a", "spill: {prefix: flights/late}")
    text += "  archive: {s3: {bucket: data-bucket, prefix: flights}}\n"
    assert said(tmp_path, text) == [
        (
            "9:47 sinks.archive.s3.prefix: 'flights' and sinks.search.opensearch.spill's 'flights/late' lie in one"
            " another; readers would mix them"
        )
    ]


def test_the_default_spill_is_kept_apart_too(tmp_path: Path) -> None:
    text = search("index: a") + "  archive: {s3: {bucket: data-bucket, prefix: p/spill}}\n"
    assert [path for _, path, _ in mistakes(tmp_path, text)] == ["sinks.archive.s3.prefix"]


def test_data_that_lies_around_the_default_quarantine_is_refused(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks:\n  archive: {s3: {bucket: data-bucket, prefix: p}}\n"
    assert said(tmp_path, text) == [
        (
            "3:47 sinks.archive.s3.prefix: 'p' and quarantine.s3's 'p/quarantine' lie in one another; readers would mix"
            " them"
        )
    ]


def test_the_spill_of_a_sink_that_blocks_lies_nowhere(tmp_path: Path) -> None:
    text = search("index: a", "on_outage: block") + "  archive: {s3: {bucket: data-bucket, prefix: p/spill}}\n"
    assert list(loaded(tmp_path, text).sinks) == ["search", "archive"]


def test_a_route_may_send_to_a_sink_that_is_switched_off(tmp_path: Path) -> None:
    route = "transforms:\n  - route: {cases: [{when: late, to: [search]}], otherwise: []}\n"
    pipeline = check(write(tmp_path, OPTIONAL + route), ENV)
    assert pipeline.switched_off == ["search"]


def test_a_sink_that_has_no_endpoint_line_is_told_what_one_is(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks:\n  search:\n    opensearch:\n      index: A\n"
    assert said(tmp_path, text) == [
        (
            "4:5 sinks.search.opensearch: 'endpoint' is missing: Where the cluster answers, `https://host` or"
            " `https://host:port`; the template's is `${AETHERSTREAM_OPENSEARCH_ENDPOINT}`."
        ),
        "5:14 sinks.search.opensearch.index: 'A': OpenSearch takes lower-case names only; write 'a'",
    ]
