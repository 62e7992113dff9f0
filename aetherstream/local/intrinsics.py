"""Values of a deployed template: `Ref`, `Fn::If` and the condition functions, over the stack's parameters.

Enough for the scalar settings of an event source mapping, which name parameters and conditions; whatever names another
resource stays unresolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNRESOLVED: Any = object()
"""Stands for a value that only CloudFormation knows."""
_NO_VALUE: Any = object()


class Intrinsics:
    """Resolves expressions of one template with the parameter values of one stack."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions") or {}
        self._mappings: Mapping[str, Any] = template.get("Mappings") or {}
        self._parameters = parameters

    def properties(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The properties that can be resolved, those set to `AWS::NoValue` left out."""
        resolved = {name: self.value(expression) for name, expression in properties.items()}
        return {name: value for name, value in resolved.items() if not _holds_unresolved(value)}

    def value(self, expression: Any) -> Any:
        """The value of an expression, or `UNRESOLVED`."""
        if isinstance(expression, list):
            return [item for item in map(self.value, expression) if item is not _NO_VALUE]
        if not isinstance(expression, Mapping):
            return expression
        if len(expression) == 1:
            ((function, argument),) = expression.items()
            if function == "Ref":
                return _NO_VALUE if argument == "AWS::NoValue" else self._parameters.get(argument, UNRESOLVED)
            if function == "Fn::If":
                name, positive, negative = argument
                return self.value(positive if self.condition(name) else negative)
            if function == "Fn::FindInMap":
                keys = [self.value(part) for part in argument]
                return self._mappings[keys[0]][keys[1]][keys[2]]
            if function.startswith("Fn::"):
                return UNRESOLVED
        items = ((name, self.value(item)) for name, item in expression.items())
        return {name: item for name, item in items if item is not _NO_VALUE}

    def condition(self, name_or_expression: Any) -> bool:
        """Whether a condition holds."""
        if isinstance(name_or_expression, str):
            return self.condition(self._conditions[name_or_expression])
        ((function, argument),) = name_or_expression.items()
        match function:
            case "Condition":
                return self.condition(argument)
            case "Fn::Equals":
                left, right = map(self.value, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.condition(argument[0])
            case "Fn::And":
                return all(map(self.condition, argument))
            case "Fn::Or":
                return any(map(self.condition, argument))
            case _:
                raise ValueError(f"the condition function {function} is not known here")


def _holds_unresolved(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_unresolved, value.values()))
    if isinstance(value, list):
        return any(map(_holds_unresolved, value))
    return value is UNRESOLVED or value is _NO_VALUE
