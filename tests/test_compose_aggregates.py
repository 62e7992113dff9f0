"""What the aggregates of a pipeline file come to: the columns that a batch brings, and what folds them."""

import subprocess
import sys
from pathlib import Path

import pytest

from aetherstream.compose import core_of, tables_of
from aetherstream.compose_aggregates import aggregation_of, columns_of, declarations_of
from aetherstream.delivery.aggregates.commits import Commits
from aetherstream.pipeline import Pipeline, PipelineMistakes
from aetherstream.testing.builders import kinesis_records
from tests.pipeline.writing import ENV, loaded

SINKS = """\
pipeline: p
event_time: {field: at}
sinks:
  archive: {s3: {bucket: data-bucket}}
  search: {opensearch: {endpoint: "https://x", index: flights}}
  warehouse:
    redshift:
      endpoint: ${WAREHOUSE:-}
      optional: true
      secret: s
      bucket: data-bucket
      table: flights
      columns: {carrier: super}
"""
AGGREGATES = """\
aggregates:
  hours:
    group_by: [carrier, {expr: distance > 1000, as: far}]
    window: {tumbling: 1h}
    on_late: quarantine
    outputs: {flights: count, delay: {kind: mean, of: dep_delay}}
  minutes:
    window: {tumbling: 1m}
    state: lambda
    outputs: {routes: {kind: top_k, of: route}}
"""


def pipeline(folder: Path, aggregates: str = AGGREGATES, **env: str) -> Pipeline:
    return loaded(folder, SINKS + aggregates, {**ENV, **env})


def no_commits(_: str) -> Commits:
    raise AssertionError("nothing is folded here")


def test_all_aggregates_are_declared_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = declarations_of(pipeline(tmp_path))
    assert [(one.name, one.store, one.on_late) for one in found] == [
        ("hours", "dynamodb", "quarantine"),
        ("minutes", "lambda", "drop"),
    ]


def test_a_pipeline_without_aggregates_declares_none_and_reads_no_columns(tmp_path: Path) -> None:
    made = pipeline(tmp_path, "")
    assert (declarations_of(made), columns_of(made, [])) == ([], None)
    assert core_of(made, tables_of(made, lambda uri: b""), {}).prepare(kinesis_records([{}]), 0, 1).columns is None


def test_the_stream_function_reads_the_columns_of_what_is_kept_in_dynamodb(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    events = [
        {"at": "2013-01-01T10:00:00Z", "carrier": "UA", "distance": 2000, "dep_delay": 5, "route": "EWR-SFO"},
        {"at": "2013-01-01T10:00:01Z", "carrier": "AA", "distance": 7},
    ]
    tables = tables_of(made, lambda uri: b"")
    columns = core_of(made, tables, {}).prepare(kinesis_records(events), 0, 2).columns
    assert columns is not None
    assert columns.values == {"carrier": ["UA", "AA"], "distance > 1000": [True, False], "dep_delay": [5, None]}
    assert columns.times == [1357034400.0, 1357034401.0]
    managed = core_of(made, tables, {}, aggregates="lambda").prepare(kinesis_records(events), 0, 2).columns
    assert managed is not None
    assert managed.values == {"route": ["EWR-SFO", None]}


def test_what_folds_has_the_aggregates_whose_states_are_in_dynamodb(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    folding = aggregation_of(made, declarations_of(made), no_commits)
    assert [one.name for one in folding.aggregates] == ["hours"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "outputs: {r: {kind: top_k, of: a, k: 9, capacity: 5}}",
            (
                "26:15 aggregates.days.outputs.r: top_k: k is 9, capacity 5; k can be 1 to 1000, and capacity k to 1000"
                " (10 × k by default, 256 at least)"
            ),
        ),
        (
            "outputs: {r: {kind: mean, of: a b}}",
            "26:35 aggregates.days.outputs.r.of: not an expression (invalid syntax), at column 3 of `a b`",
        ),
    ],
)
def test_what_can_not_be_made_stops_the_start_with_its_line(tmp_path: Path, wrong: str, said: str) -> None:
    made = pipeline(tmp_path, f"{AGGREGATES}  days:\n    window: {{tumbling: 1d}}\n    {wrong}\n")
    with pytest.raises(PipelineMistakes) as raised:
        core_of(made, tables_of(made, lambda uri: b""), {})
    assert [f"{at.line}:{at.column} {at.path}: {at.message}" for at in raised.value.mistakes] == [said]


def test_a_start_without_aggregates_imports_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("pipeline: p\nsinks: {archive: {s3: {bucket: data-bucket}}}\n")
    program = """
import sys
from pathlib import Path
from aetherstream.compose import core_of, tables_of
from aetherstream.pipeline import load
made = load(Path(sys.argv[1]), {"AETHERSTREAM_BUCKET": "data-bucket"})
core_of(made, tables_of(made, None), {})
print([name for name in sys.modules if "aetherstream" in name and "aggregate" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "p.yaml")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['aetherstream.pipeline.model_aggregates', 'aetherstream.decode.aggregate']\n"
