"""The example pipeline, as it is committed."""

import csv
from pathlib import Path

import pytest

from aetherstream.commands.core import core_runner
from aetherstream.pipeline.cases import Case, cases_path, load_cases, run_cases
from aetherstream.pipeline.compiled import check
from aetherstream.pipeline.explain import warnings
from pipelines.steps import CARRIERS
from tests.pipeline.writing import ENV

FILE = Path(__file__).parents[2] / "pipelines/flights.yaml"
CASES = load_cases(cases_path(FILE)).cases


def test_it_has_no_mistakes_and_no_warnings() -> None:
    assert list(warnings(check(FILE, ENV))) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_cases_pass(case: Case) -> None:
    pipeline = check(FILE, ENV)
    (result,) = run_cases(pipeline, [case], core_runner(pipeline, ENV))
    assert result.differences == []


def test_its_python_step_knows_the_airlines_of_the_table() -> None:
    with (FILE.parent / "reference/airlines.csv").open(newline="") as file:
        assert {row["carrier"] for row in csv.DictReader(file)} == CARRIERS
