import json
from pathlib import Path

import jsonschema_rs
import pytest

from aetherstream.pipeline.document import read
from aetherstream.pipeline.reference import markdown
from aetherstream.pipeline.schema import cases_schema, json_schema

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_that_of_the_model() -> None:
    committed = json.loads((ROOT / "docs/reference/pipeline.schema.json").read_text())
    assert committed == json.loads(json.dumps(json_schema())), "run `aetherstream schema >` that file"


def test_the_committed_schema_of_tests_is_that_of_the_model() -> None:
    committed = json.loads((ROOT / "docs/reference/pipeline-test.schema.json").read_text())
    assert committed == cases_schema(), "run `aetherstream schema --tests > docs/reference/pipeline-test.schema.json`"


def test_the_committed_reference_is_that_of_the_model() -> None:
    committed = (ROOT / "docs/reference/pipeline.md").read_text()
    assert committed == markdown(), "run `aetherstream schema --markdown > docs/reference/pipeline.md`"


def test_both_schemas_are_json_schemas() -> None:
    jsonschema_rs.meta.validate(json_schema())
    jsonschema_rs.meta.validate(cases_schema())


def test_an_editor_finds_nothing_wrong_with_the_example_as_written() -> None:
    document = read(ROOT / "pipelines/flights.yaml", None)
    errors = jsonschema_rs.validator_for(json_schema()).iter_errors(document.value)
    assert [error.message for error in errors] == []


def minimal(**more: object) -> dict[str, object]:
    return {"pipeline": "p", "sinks": {"archive": {"s3": {"bucket": "data-bucket"}}}, **more}


def folding(**aggregate: object) -> dict[str, object]:
    return minimal(aggregates={"a": {"window": {"tumbling": "1h"}, "outputs": {"n": "count"}, **aggregate}})


def searching(**more: object) -> dict[str, object]:
    return minimal(sinks={"search": {"opensearch": {"endpoint": "https://host", **more}}})


@pytest.mark.parametrize(
    "document",
    [
        minimal(),
        minimal(delivery="${DELIVERY}"),
        minimal(sinks={"a": {"s3": {"bucket": "${B}", "level": "${LEVEL}", "partition": [{"time": "${T}"}]}}}),
        searching(index="flights"),
        searching(endpoint="${SEARCH:-}", auth="${AUTH}", alias="a", bulk={"documents": "${N}"}, dynamic="${D}"),
        folding(group_by=["a", {"expr": "b", "as": "c"}], to={"search": {"index": "${I}"}}, max_groups="${N}"),
        folding(window={"hopping": "${W}", "every": 60, "offset": "-5m"}, outputs={"n": {"kind": "${K}", "of": "a"}}),
        searching(endpoint=None, data_stream="a", mappings={"a": "keyword", "b": {"type": "date"}}, region="${R}"),
    ],
)
def test_an_editor_takes_variables_where_values_have_a_form(document: dict[str, object]) -> None:
    assert jsonschema_rs.validator_for(json_schema()).is_valid(document)


@pytest.mark.parametrize(
    "document",
    [
        minimal(delivery="sometimes"),
        minimal(sinks={"a": {"s3": {"bucket": "B"}}}),
        minimal(sinks={"a": {}}),
        minimal(sinks={}),
        minimal(transforms=[{}]),
        minimal(transforms=[{"drop": ["a"], "select": ["b"]}]),
        minimal(sinks={"a": {"s3": {"bucket": "data-bucket", "partition": [{"time": "day", "field": "x"}]}}}),
        minimal(more=1),
        searching(),
        searching(index="a", alias="b"),
        searching(index="a", period="week"),
        searching(index="a", mappings={"a": 1}),
        searching(index="a", region="Frankfurt"),
        searching(index="a", breaker={"share": 0}),
        folding(window={}),
        folding(window={"tumbling": "1h", "session": "1h"}),
        folding(group_by=[{"as": "x"}]),
        folding(group_by=[{"field": "a", "expr": "b"}]),
        folding(outputs={}),
        folding(outputs={"n": "cuont"}),
        folding(outputs={"a-b": "count"}),
        folding(rank={"by": "n"}),
    ],
)
def test_an_editor_marks_what_the_loader_refuses(document: dict[str, object]) -> None:
    assert not jsonschema_rs.validator_for(json_schema()).is_valid(document)


def test_every_field_of_the_reference_has_a_meaning() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.replace("\\|", "/").split("|")[4].strip() == ""] == []
