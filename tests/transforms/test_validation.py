from __future__ import annotations

from typing import Any

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.records import Events, Rejection
from aetherstream.transforms.validation import compile_validation

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["carrier", "flight"],
    "additionalProperties": False,
    "properties": {
        "carrier": {"type": "string", "pattern": "^[A-Z0-9]{2}$"},
        "flight": {"type": "integer", "minimum": 1},
        "time": {"type": "string", "format": "date-time"},
        "kind": {"enum": ["a", "b"]},
        "user": {"type": "object", "required": ["id"], "properties": {"tags": {"items": {"type": "string"}}}},
    },
}


def judged(*values: Any, schema: dict[str, Any] = SCHEMA) -> tuple[list[Any], list[tuple[int, str, str]]]:
    events = Events(list(values), list(range(len(values))), [0] * len(values))
    rejections: list[Rejection] = []
    compile_validation(schema)(events, rejections)
    assert [events.values[events.records.index(r)] for r in events.records] == events.values
    assert {(r.stage, r.where) for r in rejections} <= {("validate", "validate")}
    return events.values, [(r.record, r.reason, r.message) for r in rejections]


GOOD = {"carrier": "UA", "flight": 1}


def test_events_that_conform_stay() -> None:
    assert judged(GOOD, GOOD) == ([GOOD, GOOD], [])


def test_only_the_events_that_do_not_conform_are_rejected() -> None:
    values, rejected = judged(GOOD, {"carrier": "UA"}, GOOD, {"carrier": 1, "flight": 0})
    assert values == [GOOD, GOOD]
    assert rejected == [
        (1, "flight is missing", 'event: "flight" is a required property'),
        (
            3,
            "carrier is of the wrong type",
            'carrier: 1 is not of type "string"; flight: 0 is less than the minimum of 1',
        ),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"carrier": "united"}, "carrier does not match its pattern"),
        ({"flight": 0}, "flight breaks minimum"),
        ({"flight": -7}, "flight breaks minimum"),
        ({"time": "yesterday"}, "time is no date-time"),
        ({"kind": "c"}, "kind is none of the allowed values"),
        ({"x1": 1}, "event has a field that is not in the schema"),
        ({"x2": 1, "x3": 2}, "event has a field that is not in the schema"),
        ({"user": {}}, "user.id is missing"),
        ({"user": {"id": 1, "tags": ["a", 2, 3]}}, "user.tags.[] is of the wrong type"),
    ],
)
def test_the_reason_is_of_the_rule_and_not_of_the_values(change: dict[str, Any], reason: str) -> None:
    _, ((_, said, _),) = judged({**GOOD, **change})
    assert said == reason


def test_the_message_is_bounded() -> None:
    schema = {"items": {"type": "string"}, "properties": {"a": {"items": {"type": "string"}}}}
    _, ((_, _, message),) = judged({"a": list(range(1000))}, schema=schema)
    assert message.endswith("; and 990 more")
    _, ((_, _, message),) = judged({"carrier": "x" * 100_000, "flight": 1})
    assert len(message) < 400


def test_an_event_that_is_nested_more_deeply_than_the_validator_goes_is_judged_alone() -> None:
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "additionalProperties": {"$ref": "#/$defs/n"}}}}
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"n": deep}
    values, rejected = judged({}, deep, {"n": {}}, schema=schema)
    assert {} in values
    assert {"n": {}} in values
    assert len(values) + len(rejected) == 3


def test_an_event_that_the_validator_cannot_read_is_rejected_alone() -> None:
    values, rejected = judged({**GOOD, "flight": 2}, {"carrier": "\ud800", "flight": 1}, GOOD)
    assert values == [{**GOOD, "flight": 2}, GOOD]
    assert [(record, reason) for record, reason, _ in rejected] == [(1, "the validator cannot read it")]


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"$ref": "https://example.com/schema.json"}, {"pattern": "("}, {"$ref": "#/$defs/x"}]
)
def test_a_schema_that_cannot_be_used_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="not a JSON Schema that can be used: "):
        compile_validation(schema)


@pytest.mark.parametrize("uri", ["https://example.com/schema.json", "file:///etc/hostname"])
def test_another_document_is_not_fetched_and_the_message_says_where_it_belongs(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{uri} is another document; put what it says under `\$defs`"):
        compile_validation({"$ref": uri})


def test_integers_beyond_64_bits_are_integers() -> None:
    values, rejected = judged({"carrier": "UA", "flight": 10**25}, {"carrier": "UA", "flight": -(10**25)})
    assert values == [{"carrier": "UA", "flight": 10**25}]
    assert [(record, reason) for record, reason, _ in rejected] == [(1, "flight breaks minimum")]
