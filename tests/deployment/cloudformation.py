"""Reads the template as CloudFormation does: the short forms of its functions, its rules and its conditions."""

import re
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


def evaluate(expression: Any, parameters: dict[str, str], conditions: dict[str, Any] | None = None) -> Any:
    """The value of a rule's expression, or of a condition's among the template's `conditions`."""
    if not isinstance(expression, dict):
        return expression
    [(function, arguments)] = expression.items()
    if function == "Ref":
        return parameters[arguments]
    if function == "Condition" and conditions:
        return evaluate(conditions[arguments], parameters, conditions)
    values = [evaluate(argument, parameters, conditions) for argument in arguments]
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


def holds(template: dict[str, Any], condition: str, parameters: dict[str, str]) -> bool:
    """Whether a condition of the template is true."""
    return bool(evaluate({"Condition": condition}, parameters, template["Conditions"]))


def made(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """The resources that are made, with every `Fn::If` decided."""
    return {
        name: {key: chosen(template, value, parameters) for key, value in resource.items()}
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or holds(template, resource["Condition"], parameters)
    }


_NOTHING = {"Ref": "AWS::NoValue"}


def chosen(template: dict[str, Any], value: Any, parameters: dict[str, str]) -> Any:
    """A value with every `Fn::If` in it decided, and without what is `AWS::NoValue` then."""
    if isinstance(value, list):
        items = [chosen(template, item, parameters) for item in value]
        return [item for item in items if item != _NOTHING]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        condition, true, false = value["Fn::If"]
        return chosen(template, true if holds(template, condition, parameters) else false, parameters)
    inner = {key: chosen(template, item, parameters) for key, item in value.items()}
    return {key: item for key, item in inner.items() if item != _NOTHING}


def rendered(template: dict[str, Any], value: Any, parameters: dict[str, str]) -> Any:
    """The text (of `Fn::Split` the texts) that a value made of parameters alone comes to."""
    value = chosen(template, value, parameters)
    if not isinstance(value, dict):
        return value
    [(function, given)] = value.items()
    match function:
        case "Ref":
            return parameters[given]
        case "Fn::Join":
            items = rendered(template, given[1], parameters)
            return given[0].join(rendered(template, item, parameters) for item in items)
        case "Fn::Split":
            return rendered(template, given[1], parameters).split(given[0])
        case "Fn::Select":
            return rendered(template, given[1], parameters)[int(given[0])]
        case "Fn::Sub":
            text, own = given if isinstance(given, list) else (given, {})
            names = parameters | {name: rendered(template, item, parameters) for name, item in own.items()}
            return re.sub(r"\$\{(\w+)\}", lambda match: names[match[1]], text)
    raise AssertionError(f"{function} is not made of parameters alone")
