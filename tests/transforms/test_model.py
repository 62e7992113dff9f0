from __future__ import annotations

import jsonschema_rs
import msgspec
import pytest

from aetherstream.transforms.compiler import COMPILERS, secret_names, table_columns
from aetherstream.transforms.model import Step, Steps


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "this one is empty"),
        ({"drop": ["a"], "select": ["b"]}, "this one has select and drop"),
        ({"dropp": ["a"]}, "unknown field `dropp`"),
        ({"drop": []}, "length >= 1"),
        ({"cast": {"a": "integer"}}, "Invalid enum value 'integer'"),
        ({"split": {"field": "a", "inot": "b"}}, "unknown field `inot`"),
        ({"python": "steps"}, "matching regex"),
    ],
)
def test_what_is_no_step_is_refused(step: object, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert([step], Steps)
    schema = jsonschema_rs.validator_for(msgspec.json.schema(Steps))
    assert not schema.is_valid([step])


def test_every_kind_of_step_can_be_compiled() -> None:
    assert list(COMPILERS) == list(Step.__struct_fields__)


def test_a_step_knows_its_kind_and_options() -> None:
    step = msgspec.convert({"filter": "a > 1"}, Step)
    assert (step.kind, step.options) == ("filter", "a > 1")


def test_the_steps_tell_which_secrets_and_columns_they_need() -> None:
    steps = msgspec.convert(
        [
            {"hash": {"fields": ["a"], "key_env": "ONE"}},
            {"hash": {"fields": ["b"], "key_env": "ONE"}},
            {"lookup": {"table": "t", "field": "a", "take": ["x"]}},
            {"lookup": {"table": "t", "field": "b", "take": {"y": "z", "x": "w"}}},
            {"lookup": {"table": "u", "field": "b", "into": "row"}},
        ],
        Steps,
    )
    assert secret_names(steps) == ["ONE"]
    assert table_columns(steps) == {"t": ("x", "y"), "u": ()}
