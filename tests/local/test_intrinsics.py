from __future__ import annotations

from typing import Any

import pytest

from aetherstream.local.intrinsics import UNRESOLVED, Intrinsics

TEMPLATE = {
    "Conditions": {
        "Windowed": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Window"}, "0"]}]},
        "Both": {"Fn::And": [{"Condition": "Windowed"}, {"Fn::Equals": ["a", "a"]}]},
        "Either": {"Fn::Or": [{"Fn::Equals": ["a", "b"]}, {"Condition": "Windowed"}]},
    },
    "Mappings": {"Sizes": {"big": {"batch": 10000}}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (7, 7),
        ({"Ref": "Window"}, "60"),
        ({"Ref": "Bucket"}, UNRESOLVED),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, UNRESOLVED),
        ({"Fn::If": ["Windowed", {"Ref": "Window"}, 0]}, "60"),
        ({"Fn::If": ["Both", 1, 2]}, 1),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"Fn::FindInMap": ["Sizes", "big", "batch"]}, 10000),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"Filters": [{"Pattern": {"Ref": "Window"}}]}, {"Filters": [{"Pattern": "60"}]}),
    ],
)
def test_an_expression_has_its_value(expression: Any, value: Any) -> None:
    assert Intrinsics(TEMPLATE, {"Window": "60"}).value(expression) == value


def test_properties_that_name_resources_or_nothing_are_left_out() -> None:
    properties = {
        "BatchSize": {"Ref": "Size"},
        "TumblingWindowInSeconds": {"Fn::If": ["Windowed", 1, {"Ref": "AWS::NoValue"}]},
        "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Bucket", "Arn"]}}},
    }
    assert Intrinsics(TEMPLATE, {"Window": "0", "Size": "5"}).properties(properties) == {"BatchSize": "5"}
