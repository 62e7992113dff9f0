"""What becomes of the aggregates of a pipeline file: declarations, or what can't be made of them with its line."""

from pathlib import Path

import pytest

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.windows import Hopping, Session, Tumbling
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import PipelineMistakes
from aetherstream.pipeline.compiled import check
from aetherstream.pipeline.declarations import declaration
from aetherstream.pipeline.mistakes import Path as Place
from aetherstream.pipeline.model_aggregates import DeclaredAggregate, DeclaredWindow, GroupPart
from aetherstream.pipeline.model_results import DeclaredOutput, Kind, Rank
from tests.pipeline.writing import ENV, SINKS, write

HOURLY = DeclaredWindow(tumbling="1h")
OWN = """\
from aetherstream.aggregates.accumulators import KINDS


class Own:
    max_bytes = 10

    def __init__(self, unit="km"):
        if unit == "parsec":
            raise ValueError("no unit of length for flights")
        self.spec = f"own({unit})"

    def create(self): ...
    def add(self, acc, value, time, place): ...
    def merge(self, a, b): ...
    def result(self, acc): ...
    def dump(self, acc): ...
    def load(self, data): ...


class Half:
    max_bytes = 10

    def create(self): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of accumulators, from where commands are called."""
    write(tmp_path, OWN, "own_accumulators.py")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def declared(written: DeclaredAggregate) -> Declaration:
    wrong: list[tuple[Place, ConfigurationError]] = []
    found = declaration("hours", written, lambda at, error: wrong.append((at, error)))
    assert wrong == []
    assert found is not None
    return found


def spec(output: DeclaredOutput) -> tuple[str, str | None]:
    (made,) = declared(DeclaredAggregate(window=HOURLY, outputs={"x": output})).aggregate.outputs
    return made.accumulator.spec, made.field


def said(folder: Path, *outputs: str) -> list[str]:
    """What `check` says of outputs, the first of which stands in line 9."""
    text = f"pipeline: p\n{SINKS}aggregates:\n  hours:\n    window: {{tumbling: 1h}}\n    outputs:\n"
    with pytest.raises(PipelineMistakes) as raised:
        check(write(folder, text + "".join(f"      {output}\n" for output in outputs)), ENV)
    return [
        f"{m.line}:{m.column} {m.path.removeprefix('aggregates.hours.')}: {m.message}" for m in raised.value.mistakes
    ]


def test_everything_of_an_aggregate_is_declared() -> None:
    found = declared(
        DeclaredAggregate(
            group_by=["carrier", GroupPart(field="odd name", as_="odd"), GroupPart(expr="a > 1", as_="far")],
            window=DeclaredWindow(hopping="1h", every="15m", offset="-5m"),
            lateness="10m",
            on_late="correct",
            emit="close",
            max_groups=7,
            max_ahead="1h",
            outputs={"flights": "count", "delay": DeclaredOutput(kind="mean", of="dep_delay", unusable="reject")},
            rank=Rank(by="flights", most=5, ascending=True),
        )
    )
    assert (found.on_late, found.emit, found.ranking, found.store) == (
        "correct",
        "close",
        Ranking("flights", 5, ascending=True),
        "dynamodb",
    )
    aggregate, outputs = found.aggregate, found.aggregate.outputs
    assert [(one.name, one.accumulator.spec, one.field, one.unusable) for one in outputs] == [
        ("flights", "count", None, "skip"),
        ("delay", "mean", "dep_delay", "reject"),
    ]
    assert aggregate == Aggregate(
        name="hours",
        group_by=(("carrier", "carrier"), ("odd", "event['odd name']"), ("far", "a > 1")),
        windows=Hopping(3600, 900, -300),
        outputs=outputs,
        lateness=600,
        correct=True,
        future=3600,
        max_groups=7,
    )


def test_what_lambda_keeps_goes_out_at_the_end_of_its_window_whatever_the_event_times_say() -> None:
    found = declared(DeclaredAggregate(window=HOURLY, state="lambda", outputs={"n": "count"}))
    assert (found.store, found.emit, found.aggregate.future, found.aggregate.windows) == (
        "lambda",
        "close",
        None,
        Tumbling(3600),
    )


@pytest.mark.parametrize(
    ("output", "same"),
    [
        (DeclaredOutput(kind="count", of="a"), ("count", "a")),
        (DeclaredOutput(kind="variance", of="a", population=True), ("variance", "a")),
        (DeclaredOutput(kind="distinct", of="a", precision=14, exact=9), ("distinct(14,9)", "a")),
        (DeclaredOutput(kind="quantiles", of="a", accuracy=0.02, max_bins=64), ("quantiles(0.02,64)", "a")),
        (DeclaredOutput(kind="top_k", of="a + b", k=3, capacity=9), ("top_k(9)", "a + b")),
    ],
)
def test_the_options_of_an_output_reach_its_accumulator(output: DeclaredOutput, same: tuple[str, str]) -> None:
    assert spec(output) == same


def test_a_rate_is_told_its_unit_in_seconds_and_the_length_of_its_windows() -> None:
    written = DeclaredAggregate(window=HOURLY, outputs={"x": DeclaredOutput(kind="rate", per="1m")})
    (made,) = declared(written).aggregate.outputs
    one_event = made.accumulator.add(made.accumulator.create(), None, 0.0, ("s", "1", 0, 0))
    assert made.accumulator.result(one_event) == 1 / 60


def test_sessions_are_declared() -> None:
    assert declared(
        DeclaredAggregate(window=DeclaredWindow(session="30m"), outputs={"n": "count"})
    ).aggregate.windows == Session(1800)


@pytest.mark.parametrize("kind", ["quantiles", "distinct", "top_k", "first", "rate"])
def test_every_kind_can_be_declared_without_options(kind: Kind) -> None:
    assert spec(DeclaredOutput(kind=kind, of="a"))[0].partition("(")[0] == kind


@pytest.mark.usefixtures("folder")
def test_an_accumulator_of_the_users_own_is_made_with_its_options() -> None:
    output = DeclaredOutput(kind="custom", of="a", class_="own_accumulators:Own", options={"unit": "miles"})
    assert spec(output) == ("own(miles)", "a")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{kind: top_k, of: a, k: 9, capacity: 5}", ("9:7 outputs.x: top_k: k is 9, capacity 5; k can be 1 to 1000, and"
         " capacity k to 1000 (10 × k by default, 256 at least)")),
        ("{kind: distinct, of: a, exact: 100000}", ("9:7 outputs.x: distinct: exact is 100000; with precision 12 it can"
         " be 0 to 3840")),
        ("{kind: mean, of: a >}", "9:27 outputs.x.of: not an expression (invalid syntax), at column 1 of `a >`"),
        ("{kind: custom, of: a, class: own_accumulators:Owm}", ("9:39 outputs.x.class: own_accumulators has no class"
         " 'Owm' (did you mean 'Own'?)")),
        ("{kind: custom, of: a, class: own_accumulators:Half}", ("9:39 outputs.x.class: own_accumulators:Half is no"
         " accumulator: it has no add, no merge, no result, no dump, no load")),
        ("{kind: custom, of: a, class: own_accumulators:Own, options: {unti: miles}}", ("9:39 outputs.x.class:"
         " own_accumulators:Own can't be made with {'unti': 'miles'}: Own.__init__() got an unexpected keyword argument"
         " 'unti'")),
        ("{kind: custom, of: a, class: own_accumulators:Own, options: {unit: parsec}}", ("9:39 outputs.x.class:"
         " own_accumulators:Own can't be made: ValueError: no unit of length for flights")),
    ],
)  # fmt: skip
def test_an_output_that_can_not_be_made_is_named_with_its_line(folder: Path, output: str, message: str) -> None:
    assert said(folder, f"x: {output}") == [message]


def test_what_is_wrong_with_several_outputs_is_named_at_once(folder: Path) -> None:
    found = said(
        folder,
        "a: {kind: top_k, of: a, k: 9, capacity: 5}",
        "b: {kind: mean, of: (}",
        "c: mean",
    )
    assert [line.partition(": ")[0] for line in found] == ["9:7 outputs.a", "10:27 outputs.b.of", "11:7 outputs.c"]


def test_states_that_may_not_fit_are_refused_with_what_each_output_may_take(folder: Path) -> None:
    outputs = [f"{name}: {{kind: top_k, of: a, capacity: 1000}}" for name in ("a", "b")]
    assert said(folder, *outputs) == [
        (
            "8:5 outputs: aggregate hours: the state of a group may take 538,066 bytes (a 269,016, b 269,016), and"
            " 380,000 are the most: ask for less precision or a lower capacity, or make several aggregates of it"
        )
    ]
