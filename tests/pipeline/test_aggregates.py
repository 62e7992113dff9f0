"""The aggregates of a pipeline file: what is read, and what is refused of groups, windows, outputs and rankings."""

from pathlib import Path

import pytest

from aetherstream.aggregates import accumulators
from aetherstream.aggregates.windows import Hopping, Session, Tumbling
from aetherstream.pipeline.checks_aggregates import windows_of
from aetherstream.pipeline.model_aggregates import DeclaredAggregate, DeclaredWindow, GroupPart, field_expression
from aetherstream.pipeline.model_results import KINDS, DeclaredOutput, Kind, Rank, ResultPlace
from tests.pipeline.writing import SINKS, loaded, mistakes

HEAD = f"pipeline: p\n{SINKS}aggregates:\n  hours:\n"
GROUP = "group_by: [carrier]"
WINDOW = "window: {tumbling: 1h}"
OUTPUTS = "outputs: {flights: count}"


def with_lines(*lines: str) -> str:
    """A pipeline whose aggregate `hours` is sound but for these lines, which begin in line 7."""
    given = {line.partition(":")[0] for line in lines}
    rest = [line for line in (GROUP, WINDOW, OUTPUTS) if line.partition(":")[0] not in given]
    return HEAD + "".join(f"    {line}\n" for line in (*lines, *rest))


def read(folder: Path, *lines: str) -> DeclaredAggregate:
    return loaded(folder, with_lines(*lines)).aggregates["hours"]


def wrong(folder: Path, *lines: str) -> list[str]:
    found = mistakes(folder, with_lines(*lines))
    return [f"{path.replace('aggregates.hours', '~')}: {message}" for _, path, message in found]


def output(folder: Path, text: str) -> list[str]:
    """What is said of an output `x`."""
    return wrong(folder, f"outputs: {{x: {text}}}")


def test_a_small_aggregate_gets_its_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found == DeclaredAggregate(
        group_by=["carrier"], window=DeclaredWindow(tumbling="1h"), outputs={"flights": "count"}
    )
    assert (found.lateness_seconds, found.max_ahead_seconds, found.max_groups) == (0.0, 86_400.0, 10_000)
    assert (found.on_late, found.emit, found.state, found.to) == ("drop", "updates", "dynamodb", {})
    assert found.group == [GroupPart(field="carrier")]
    assert found.full_outputs == {"flights": DeclaredOutput(kind="count")}


def test_every_field_is_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "description: by the hour",
        "group_by: [carrier, {field: meta.at, as: seen}, {expr: distance > 1000, as: far}]",
        "window: {hopping: 1h, every: 5m, offset: -90s}",
        "lateness: 10m",
        "on_late: correct",
        "emit: close",
        "max_groups: 7",
        "max_ahead: 1h",
        "outputs:",
        "  flights: count",
        "  delays: {kind: quantiles, of: dep_delay, unusable: reject, at: [0.5], accuracy: 0.02, max_bins: 64}",
        '  own: {kind: custom, of: a, class: "m:Own", options: {unit: miles}}',
        "rank: {by: flights, most: 5, ascending: true}",
        "to: {archive: {prefix: a/b, fields: [flights]}}",
    )
    assert found == DeclaredAggregate(
        description="by the hour",
        group_by=["carrier", GroupPart(field="meta.at", as_="seen"), GroupPart(expr="distance > 1000", as_="far")],
        window=DeclaredWindow(hopping="1h", every="5m", offset="-90s"),
        lateness="10m",
        on_late="correct",
        emit="close",
        max_groups=7,
        max_ahead="1h",
        outputs={
            "flights": "count",
            "delays": DeclaredOutput(
                kind="quantiles", of="dep_delay", unusable="reject", at=[0.5], accuracy=0.02, max_bins=64
            ),
            "own": DeclaredOutput(kind="custom", of="a", class_="m:Own", options={"unit": "miles"}),
        },
        rank=Rank(by="flights", most=5, ascending=True),
        to={"archive": ResultPlace(prefix="a/b", fields=["flights"])},
    )
    assert [(part.name, part.expression) for part in found.group] == [
        ("carrier", "carrier"),
        ("seen", "meta.at"),
        ("far", "distance > 1000"),
    ]
    assert found.full_outputs["own"].given == {"class": "m:Own", "options": {"unit": "miles"}}
    assert windows_of(found.window) == Hopping(3600, 300, -90)


def test_the_kinds_of_the_file_are_those_that_can_be_made() -> None:
    assert set(KINDS) == set(accumulators.KINDS)


@pytest.mark.parametrize(
    ("window", "windows"),
    [
        (DeclaredWindow(tumbling=60), Tumbling(60)),
        (DeclaredWindow(tumbling="1d", offset="-5h"), Tumbling(86_400, -18_000)),
        (DeclaredWindow(hopping="1h", every="15m"), Hopping(3600, 900)),
        (DeclaredWindow(session="30m"), Session(1800)),
    ],
)
def test_windows_are_in_seconds(window: DeclaredWindow, windows: object) -> None:
    assert windows_of(window) == windows


@pytest.mark.parametrize(
    ("path", "expression"),
    [
        ("carrier", "carrier"),
        ("meta.site", "meta.site"),
        ("odd name", "event['odd name']"),
        ("meta.class", "event['meta']['class']"),
        (r"a\.b", "event['a.b']"),
        ("true", "event['true']"),
        ("event.id", "event['event']['id']"),
    ],
)
def test_a_field_path_is_written_as_an_expression(path: str, expression: str) -> None:
    assert field_expression(path) == expression


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("{}", "~.group_by[0]: needs exactly one of: field, expr"),
        ("{field: a, expr: b}", "~.group_by[0]: needs exactly one of: field, expr"),
        ("{expr: a > 1}", "~.group_by[0]: an expression has no name of its own; give it one with `as:`"),
        (
            "a..b",
            (
                "~.group_by[0]: 'a..b' has an empty part: write names joined by single dots, and `\\.` for a dot"
                " in a name"
            ),
        ),
        (
            "odd name",
            (
                "~.group_by[0]: 'odd name' can't be the name of a field of results; give one of letters,"
                " digits and _ with `as:`"
            ),
        ),
        ("a, b.a", "~.group_by[1]: 'a' is the name of group_by[0]; give it another one with `as:`"),
        ("a, b.A", "~.group_by[1]: 'A' is the name of group_by[0]; give it another one with `as:`"),
        (
            "rank",
            ("~.group_by[0]: 'rank' is the name of a field that every result has; give it another one with `as:`"),
        ),
    ],
)
def test_each_part_of_a_group_has_a_name_and_a_value(tmp_path: Path, group: str, said: str) -> None:
    assert wrong(tmp_path, f"group_by: [{group}]") == [said]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("{carrier: count}", "~.outputs.carrier: 'carrier' is the name of group_by[0]; give it another one"),
        ("{a: count, A: count}", "~.outputs.A: 'A' is the name of outputs.a; give it another one"),
        (
            "{Final: count}",
            ("~.outputs.Final: 'Final' is the name of a field that every result has; give it another one"),
        ),
    ],
)
def test_outputs_have_names_of_their_own(tmp_path: Path, outputs: str, said: str) -> None:
    assert wrong(tmp_path, f"outputs: {outputs}") == [said]


def test_the_fields_of_a_shards_part_are_taken_only_where_there_are_parts(tmp_path: Path) -> None:
    assert read(tmp_path, "group_by: [state]").group == [GroupPart(field="state")]
    assert wrong(tmp_path, "group_by: [state]", "window: {tumbling: 1m}", "state: lambda") == [
        "~.group_by[0]: 'state' is the name of a field that every result has; give it another one with `as:`"
    ]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"count", "rate", "custom"}))
def test_most_outputs_need_a_value(tmp_path: Path, kind: Kind) -> None:
    assert output(tmp_path, kind) == [f"~.outputs.x: {kind} needs `of`: a field, or an expression over the event"]


@pytest.mark.parametrize("text", ["count", "rate", "{kind: count, of: a}", "{kind: rate, of: a, per: 1m}"])
def test_counts_and_rates_do_without_a_value(tmp_path: Path, text: str) -> None:
    assert list(read(tmp_path, f"outputs: {{x: {text}}}").full_outputs) == ["x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{kind: mean, of: a, k: 5}", "~.outputs.x.k: belongs to `kind: top_k`; mean does not take it"),
        (
            "{kind: sum, of: a, population: true}",
            ("~.outputs.x.population: belongs to `kind: variance` and `kind: stddev`; sum does not take it"),
        ),
        (
            "{kind: count, unusable: reject}",
            ("~.outputs.x.unusable: belongs to `of`: without a value, count takes every event"),
        ),
        ("{kind: custom, of: a}", "~.outputs.x: custom needs `class`: module:Class, an accumulator of your own"),
        ("{kind: rate, per: 0}", "~.outputs.x.per: must be more than 0"),
        ("{kind: quantiles, of: a, at: [0.5, 0.5]}", "~.outputs.x.at: names a quantile twice"),
        (
            "cuont",
            (
                "~.outputs.x: expected one of count, custom, distinct, first, last, max, mean, min, quantiles,"
                " rate, stddev, sum, top_k, variance or a mapping, got 'cuont' (did you mean 'count'?)"
            ),
        ),
    ],
)
def test_an_output_takes_what_its_kind_takes(tmp_path: Path, text: str, said: str) -> None:
    assert output(tmp_path, text) == [said]


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("{}", ["~.window: needs exactly one of: tumbling, hopping, session"]),
        ("{tumbling: 1h, session: 1h}", ["~.window.session: only one of tumbling, session may stand here"]),
        ("{hopping: 1h}", ["~.window.hopping: needs `every`: how often a window begins"]),
        ("{tumbling: 1h, every: 5m}", ["~.window.every: belongs to `hopping`"]),
        (
            "{session: 1h, offset: 5m}",
            [("~.window.offset: belongs to `tumbling` and `hopping`; a session begins with its events")],
        ),
        ("{tumbling: 1500ms}", ["~.window.tumbling: must be whole seconds"]),
        ("{hopping: 10, every: 0.5}", ["~.window.every: must be whole seconds"]),
        ("{tumbling: 1h, offset: -500ms}", ["~.window.offset: must be whole seconds"]),
        ("{tumbling: 0}", ["~.window.tumbling: size of a window is 0 s: it must be 1 or more whole seconds"]),
        (
            "{hopping: 1m, every: 1h}",
            [
                (
                    "~.window.hopping: a hopping window of 60 s every 3600 s would leave events"
                    " out: every must not be more than size"
                )
            ],
        ),
        (
            "{hopping: 1d, every: 1m}",
            [
                (
                    "~.window.hopping: a hopping window of 86400 s every 60 s puts each event"
                    " into 1440 windows: 300 are the most"
                )
            ],
        ),
        ("{tumbling: .inf}", ["~.window.tumbling: must be whole seconds"]),
    ],
)
def test_windows_that_there_can_not_be_are_refused(tmp_path: Path, window: str, said: list[str]) -> None:
    assert wrong(tmp_path, f"window: {window}") == said


@pytest.mark.parametrize("field", ["lateness", "max_ahead"])
def test_amounts_of_time_are_finite(tmp_path: Path, field: str) -> None:
    assert wrong(tmp_path, f"{field}: .inf") == [f"~.{field}: must be finite"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["rank: {by: flights, most: 5}"],
            "~.rank: needs `emit: close`: who is first is known when a window is closed",
        ),
        (
            ["rank: {by: flights, most: 5}", "emit: close", "window: {session: 1h}"],
            "~.rank: sessions have no window in common in which their groups could be ranked",
        ),
        (
            ["rank: {by: flights, most: 5}", "emit: close", "group_by: []"],
            "~.rank: without `group_by` there is one group, and nothing to rank",
        ),
        (
            ["rank: {by: fligths, most: 5}", "emit: close"],
            "~.rank.by: there is no output 'fligths' (did you mean 'flights'?)",
        ),
        (
            ["rank: {by: r, most: 5}", "emit: close", "outputs: {r: {kind: top_k, of: a}}"],
            "~.rank.by: r is top_k, no number to rank by",
        ),
    ],
)
def test_a_ranking_is_one_of_numbers_at_close(tmp_path: Path, lines: list[str], said: str) -> None:
    assert wrong(tmp_path, *lines) == [said]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["window: {session: 1m}"], "~.window: only tumbling windows can be had with `state: lambda`"),
        (["window: {tumbling: 16m}"], "~.window.tumbling: can be 1 second to 15 minutes with `state: lambda`"),
        (["window: {tumbling: 1m, offset: 5s}"], "~.window.offset: there is no `offset` with `state: lambda`"),
        (
            ["lateness: 1m"],
            ("~.lateness: windows follow the arrival, so nothing is late: there is no `lateness` with `state: lambda`"),
        ),
        (
            ["on_late: correct"],
            ("~.on_late: windows follow the arrival, so nothing is late: there is no `on_late` with `state: lambda`"),
        ),
        (
            ["rank: {by: flights, most: 1}", "emit: close"],
            "~.rank: each shard has results of its own: there is no `rank` with `state: lambda`",
        ),
    ],
)
def test_lambda_keeps_tumbling_windows_of_arrival_only(tmp_path: Path, lines: list[str], said: str) -> None:
    window = [] if lines[0].startswith("window") else ["window: {tumbling: 1m}"]
    assert wrong(tmp_path, *lines, "state: lambda", *window) == [said]


def test_lambda_has_one_length_of_windows(tmp_path: Path) -> None:
    text = with_lines("window: {tumbling: 1m}", "state: lambda")
    text += "  more:\n    window: {tumbling: 2m}\n    state: lambda\n    outputs: {flights: count}\n"
    text += "  other:\n    window: {tumbling: 3m}\n    outputs: {flights: count}\n"
    assert mistakes(tmp_path, text) == [
        (
            "12:24",
            "aggregates.more.window.tumbling",
            (
                "differs from that of aggregates.hours: the event source mapping has"
                " one length of windows for all with `state: lambda`"
            ),
        ),
    ]


def test_states_in_dynamodb_need_exactly_once(tmp_path: Path) -> None:
    at_least_once = "delivery: at_least_once\n"
    assert mistakes(tmp_path, at_least_once + with_lines()) == [
        (
            "1:11",
            "delivery",
            (
                "aggregates.hours needs `exactly_once`: its commits stand in the progress that"
                " `at_least_once` does without"
            ),
        )
    ]
    managed = at_least_once + with_lines("window: {tumbling: 1m}", "state: lambda")
    assert loaded(tmp_path, managed).aggregates["hours"].state == "lambda"


def test_states_in_dynamodb_need_objects_that_tell_what_was_folded(tmp_path: Path) -> None:
    search = 'pipeline: p\nsinks: {search: {opensearch: {endpoint: "https://x", index: i}}}\n'
    maybe = (
        "pipeline: p\nsinks: {warehouse: {redshift: {endpoint: '', optional: true, bucket: data-bucket, table: t,"
        " columns: {a: super}}}}\n"
    )
    said = "needs an `s3` or `redshift` sink that is not optional: its objects tell a redrive what was folded"
    for sinks in (search, maybe):
        text = f"{sinks}aggregates:\n  hours:\n    {WINDOW}\n    {OUTPUTS}\n"
        assert mistakes(tmp_path, text) == [("4:3", "aggregates.hours", said)]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("{}", "~.outputs: is empty; it needs one entry at least"),
        (
            "{x: {kind: nonsense, of: a}}",
            (
                "~.outputs.x.kind: 'nonsense' is not one of count, custom, distinct, first, last, max, mean, min,"
                " quantiles, rate, stddev, sum, top_k, variance"
            ),
        ),
    ],
)
def test_what_can_be_no_output_is_said_in_few_words(tmp_path: Path, outputs: str, said: str) -> None:
    assert wrong(tmp_path, f"outputs: {outputs}") == [said]


def test_a_result_may_be_called_like_a_secret(tmp_path: Path) -> None:
    assert list(read(tmp_path, "outputs: {token: count}").outputs) == ["token"]


def test_mistakes_of_form_and_of_meaning_are_named_together_and_none_that_only_follows(tmp_path: Path) -> None:
    text = f"""\
pipeline: p
{SINKS}aggregates:
  hours:
    group_by: [{{expr: a}}]
    windw: {{tumbling: 1h}}
    lateness: long
    outputs: {{flights: {{}}, mean: {{kind: mean, off: a}}}}
    rank: {{by: mean}}
    emit: close
    to: {{archiv: {{}}, archive: {{index: i}}}}
  Days: {{window: {{tumbling: 1d}}, outputs: {{n: count}}}}
"""
    assert [f"{at} {path}: {message}" for at, path, message in mistakes(tmp_path, text)] == [
        "6:3 aggregates.hours: 'window' is missing: Which events of a group belong together, by event time.",
        "7:16 aggregates.hours.group_by[0]: an expression has no name of its own; give it one with `as:`",
        "8:5 aggregates.hours.windw: unknown key (did you mean 'window'?)",
        "9:15 aggregates.hours.lateness: expected a duration, got 'long'; for example 10m",
        (
            "10:15 aggregates.hours.outputs.flights: 'kind' is missing: What is made of the events of a group and"
            " window, or of their values."
        ),
        "10:47 aggregates.hours.outputs.mean.off: unknown key (did you mean 'of'?)",
        "11:5 aggregates.hours.rank: 'most' is missing: How many groups.",
        "13:10 aggregates.hours.to.archiv: there is no sink 'archiv' (did you mean 'archive'?)",
        "13:32 aggregates.hours.to.archive.index: belongs to `opensearch` sinks; this one is `s3`",
        "14:3 aggregates.Days: not allowed as a name; names match ^[a-z][a-z0-9_-]{0,40}$",
    ]
