"""Reads the template as CloudFormation does: the short forms of its functions, and its rules."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


class _Loader(yaml.SafeLoader):
    pass


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def load_template() -> dict[str, Any]:
    """The template with every `!Name` as `{"Fn::Name": ...}`."""
    template: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), Loader=_Loader)  # noqa: S506
    return template


def defaults(template: dict[str, Any], **parameters: object) -> dict[str, str]:
    """The parameters as rules and conditions see them: text, defaults unless given."""
    values = {name: str(about["Default"]) for name, about in template["Parameters"].items()}
    return values | {name: str(value) for name, value in parameters.items()}


def refused(template: dict[str, Any], parameters: dict[str, str]) -> list[str]:
    """Names of the rules that refuse the parameters."""
    names = []
    for name, rule in template["Rules"].items():
        applies = evaluate(rule.get("RuleCondition", True), parameters)
        if applies and not all(evaluate(each["Assert"], parameters) for each in rule["Assertions"]):
            names.append(name)
    return names


def evaluate(expression: Any, parameters: dict[str, str]) -> Any:
    """The value of a rule's expression."""
    if not isinstance(expression, dict):
        return expression
    [(function, arguments)] = expression.items()
    if function == "Ref":
        return parameters[arguments]
    values = [evaluate(argument, parameters) for argument in arguments]
    match function:
        case "Fn::Equals":
            return values[0] == values[1]
        case "Fn::Not":
            return not values[0]
        case "Fn::And":
            assert len(values) <= 10
            return all(values)
        case "Fn::Or":
            assert len(values) <= 10
            return any(values)
        case "Fn::Contains":
            return values[1] in values[0]
    raise AssertionError(f"{function} is not allowed in rules")
