"""The example pipeline, as it is committed."""

import csv
from pathlib import Path

import pytest

from aetherstream.commands.core import core_runner
from aetherstream.pipeline.cases import Case, cases_path, load_cases, run_cases
from aetherstream.pipeline.compiled import check
from aetherstream.pipeline.explain import warnings
from aetherstream.pipeline.model_redshift import RedshiftSink
from pipelines.steps import CARRIERS
from tests.pipeline.writing import ENV, ON

FILE = Path(__file__).parents[2] / "pipelines/flights.yaml"
CASES = load_cases(cases_path(FILE)).cases


@pytest.mark.parametrize("env", [ENV, ON], ids=["off", "on"])
def test_it_has_no_mistakes_and_no_warnings(env: dict[str, str]) -> None:
    assert list(warnings(check(FILE, env))) == []


@pytest.mark.parametrize("env", [ENV, ON], ids=["off", "on"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_cases_pass(case: Case, env: dict[str, str]) -> None:
    pipeline = check(FILE, env)
    (result,) = run_cases(pipeline, [case], core_runner(pipeline, env))
    assert result.differences == []


def test_a_row_has_what_a_line_of_the_archive_has() -> None:
    sink = check(FILE, ON).sinks["warehouse"].redshift
    assert isinstance(sink, RedshiftSink)
    (archived,) = CASES[0].expect["archive"]
    assert sink.columns.keys() == archived.keys()


def test_its_python_step_knows_the_airlines_of_the_table() -> None:
    with (FILE.parent / "reference/airlines.csv").open(newline="") as file:
        assert {row["carrier"] for row in csv.DictReader(file)} == CARRIERS
