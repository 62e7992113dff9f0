"""Expressions over an event: small, safe, deterministic; compiled once to a Python function.

A field that is missing is null. Ordering and arithmetic with null, and whatever else Python refuses, is a rejection
that says which operand it was. Comparing for equality never fails. Truth is Python's: null, false, 0 and what is empty
do not hold. The functions are in `FUNCTIONS`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import Rejected
from ..records import Event
from .functions import HELPERS, failure
from .grammar import ExpressionError, Writer
from .paths import EMPTY

__all__ = ["Expression", "ExpressionError", "compile_expression"]

FAILURES = (TypeError, ArithmeticError, ValueError, RecursionError, Rejected)
"""What an evaluation raises for an event that it does not suit."""
PASSING = {"coalesce", "min", "max"}
"""Functions that give one of their arguments."""
GROWING = {"round", "floor", "ceil", "abs", "concat", "replace"}
"""Functions whose result may be beyond what JSON holds."""


class Expression:
    """A compiled expression; called with an event it gives its value, or raises `Rejected`."""

    def __init__(self, text: str, writer: Writer, tree: ast.expr) -> None:
        self.text = text
        self.code = writer.write(tree)
        """Python code over the event `v`; a step's loop holds it without a call."""
        self.fields = frozenset(writer.fields)
        """Dotted paths of the fields that it reads."""
        self.names: dict[str, Any] = {**HELPERS, "EMPTY": EMPTY, **writer.patterns}
        """What the code refers to."""
        self.patterns = writer.patterns
        self.tree = tree
        self.evaluate: Callable[[Event], Any] = eval(f"lambda v: {self.code}", self.names)  # noqa: S307 - whitelisted
        """The bare function: raises `Rejected`, or what Python raises, which `explain` turns into one."""

    def __call__(self, event: Event) -> Any:
        """Evaluate.

        Raises:
            Rejected: the event has not what the expression needs.
        """
        try:
            return self.evaluate(event)
        except FAILURES as error:
            raise self.explain(event, error) from None

    def __repr__(self) -> str:
        return f"<Expression {self.text}>"

    @property
    def checked_code(self) -> str:
        """The code, with a check of the result where arithmetic could make what JSON cannot hold."""
        if isinstance(self.tree, ast.Compare | ast.Constant) or not any(map(grows, ast.walk(self.tree))):
            return self.code
        return f"_storable({self.code})"

    @property
    def may_share(self) -> bool:
        """Whether the result may be an object or list that stands in the event already."""
        return passes(self.tree)

    def explain(self, event: Event, error: Exception) -> Rejected:
        """Make the rejection of an event for which the evaluation failed: the innermost part at fault."""
        node, cause = self.culprit(self.tree, event) or (self.tree, error)
        source = ast.unparse(node)
        reason, message = failure(cause, [(ast.unparse(part), self.value(part, event)) for part in operands(node)])
        return Rejected(f"{source}: {reason}", f"`{source}`: {message}")

    def value(self, node: ast.expr, event: Event) -> Any:
        """Evaluate a part."""
        return eval(Writer(self.text, self.patterns).write(node), self.names, {"v": event})  # noqa: S307 - whitelisted

    def culprit(self, node: ast.expr, event: Event) -> tuple[ast.expr, Exception] | None:
        """Find the first part, in the order of evaluation, that fails though its own parts work."""
        for part in self.evaluated(node, event):
            found = self.culprit(part, event)
            if found:
                return found
        try:
            self.value(node, event)
        except FAILURES as error:
            return node, error
        return None

    def evaluated(self, node: ast.expr, event: Event) -> Iterator[ast.expr]:
        """Go through the parts that the evaluation of a node reaches; each must work before the next."""
        match node:
            case ast.BoolOp(op=operator, values=values):
                for part in values:
                    yield part
                    if bool(self.value(part, event)) is isinstance(operator, ast.Or):
                        return
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yield test
                yield body if self.value(test, event) else orelse
            case ast.Call(func=ast.Name(id="coalesce"), args=arguments):
                for part in arguments:
                    yield part
                    if self.value(part, event) is not None:
                        return
            case _:
                yield from operands(node)


def operands(node: ast.expr) -> list[ast.expr]:
    """The parts that a node works on, the one at fault for a null first."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
            return [right, left]
        case ast.Compare(left=left, comparators=comparators):
            return [left, *comparators]
        case ast.BoolOp(values=values):
            return values
        case ast.Call(func=ast.Name(id="exists")):
            return []
        case ast.Call(func=ast.Name(id="matches"), args=arguments):
            return arguments[:1]
        case ast.Call(args=arguments):
            return arguments
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return elements
    return []


def grows(node: ast.AST) -> bool:
    """Whether this part can make a value beyond what JSON holds."""
    match node:
        case ast.BinOp() | ast.UnaryOp(op=ast.USub()):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in GROWING
    return False


def passes(node: ast.expr) -> bool:
    """Whether this part may give an object or list of the event itself."""
    match node:
        case ast.Name(id=name):
            return name not in {"true", "false", "null"}
        case ast.Attribute() | ast.Subscript():
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return passes(body) or passes(orelse)
        case ast.Compare() | ast.UnaryOp():
            return False
        case ast.Call(func=ast.Name(id=name)) if name not in PASSING:
            return False
    return any(map(passes, operands(node)))


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Raises:
        ExpressionError: it is not of the language; the message has the column, and the nearest name of a function.
    """
    line = " ".join(text.splitlines()).strip()
    writer = Writer(line)
    try:
        return Expression(line, writer, writer.parse())
    except (RecursionError, MemoryError):
        raise ExpressionError("too deeply nested", line, 1) from None
