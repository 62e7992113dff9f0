"""From the text of an expression to Python code: a whitelist of syntax, everything else is a mistake with its column.

The code reads the event `v`, and otherwise only the names of `FUNCTIONS` and literals. Fields are `v.get('name')`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from .functions import FUNCTIONS
from .mistakes import nearest
from .paths import path_text, read_code

LONGEST, MOST_NODES, DEEPEST, LONGEST_LITERAL = 2_000, 300, 50, 1_000
LITERALS: dict[str, object] = {"true": True, "false": False, "null": None}
IMPURE = {"now", "today", "time", "utcnow", "random", "uuid", "rand", "env", "open", "date"}
BINARY: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Div: "/", ast.FloorDiv: "//"}
COMPARISON: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
OTHERWISE = {
    "**": "write x * x",
    "&&": "write `and`",
    "||": "write `or`",
    "===": "write ==",
    "<>": "write !=",
}


class ExpressionError(ConfigurationError):
    """An expression is not of the language; `column` counts from 1."""

    def __init__(self, message: str, text: str, column: int) -> None:
        super().__init__(f"{message}, at column {column} of `{text}`")
        self.column = column


def depth(tree: ast.expr) -> int:
    """How deeply the parts are nested."""
    level: list[ast.AST] = [tree]
    deepest = 0
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


class Writer:
    """Writes the code of one expression; collects the fields that it reads and the regular expressions."""

    def __init__(self, text: str, patterns: dict[str, Any] | None = None) -> None:
        self.text = text
        self.fields: set[str] = set()
        self.patterns: dict[str, Any] = {} if patterns is None else patterns
        self.temporaries = 0

    def _error(self, message: str, node: ast.AST) -> ExpressionError:
        offset = getattr(node, "col_offset", 0)
        return ExpressionError(message, self.text, len(self.text.encode()[:offset].decode(errors="ignore")) + 1)

    def parse(self) -> ast.expr:
        """Parse the text.

        Raises:
            ExpressionError: not the syntax, or beyond the limits.
        """
        if len(self.text) > LONGEST:
            raise ExpressionError(f"an expression has at most {LONGEST} characters", f"{self.text[:40]}…", LONGEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tree = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            raise ExpressionError(self._hint(error), self.text, max(error.offset or 1, 1)) from None
        except (ValueError, MemoryError, RecursionError) as error:
            raise ExpressionError(str(error) or "too deeply nested", self.text, 1) from None
        if sum(1 for _ in ast.walk(tree)) > MOST_NODES or depth(tree) > DEEPEST:
            raise ExpressionError(f"an expression has at most {MOST_NODES} parts; write a Python step", self.text, 1)
        return tree

    def _hint(self, error: SyntaxError) -> str:
        if "escape sequence" in str(error.msg):
            return f"{error.msg}: write r'…' for a text with backslashes"
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", self.text)
        for wrong, right in OTHERWISE.items():
            if wrong in bare:
                return f"`{wrong}` is not of the language: {right}"
        if re.search(r"(?<![=!<>])=(?!=)", bare):
            return "`=` is not of the language: write == to compare"
        if re.search(r"!(?!=)", bare):
            return "`!` is not of the language: write `not`"
        keyword = re.search(r"\b(class|from|import|def|return|global|pass|with|as|for|while|try|del|is|lambda)\b", bare)
        if keyword:
            name = keyword.group()
            return f"{name!r} is a word of Python's: write a field of this name as event[{name!r}]"
        return f"not an expression ({error.msg})"

    def write(self, node: ast.expr) -> str:
        """Return the code of a node."""
        match node:
            case ast.Constant(value=value):
                return self._constant(value, node)
            case ast.Name(id=name) if name in LITERALS:
                return repr(LITERALS[name])
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._field(node)
            case ast.BoolOp(op=operator, values=values):
                word = " and " if isinstance(operator, ast.And) else " or "
                return f"({word.join(map(self.write, values))})"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(not {self.write(operand)})"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return f"({'-' if isinstance(sign, ast.USub) else '+'}{self.write(operand)})"
            case ast.BinOp(left=left, op=ast.Mult() | ast.Mod() as operator, right=right):
                name = "_multiply" if isinstance(operator, ast.Mult) else "_modulo"
                return f"{name}({self.write(left)}, {self.write(right)})"
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY:
                return f"({self.write(left)} {BINARY[type(operator)]} {self.write(right)})"
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return f"({self.write(body)} if {self.write(test)} else {self.write(orelse)})"
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return f"[{', '.join(map(self.write, elements))}]"
            case ast.Call():
                return self._call(node)
        raise self._error(self._refusal(node), node)

    def _refusal(self, node: ast.expr) -> str:
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Pow):
                return "`**` is not of the language: write x * x"
            return "this operator is not of the language; `and`, `or`, `not` are"
        return f"{type(node).__name__} is not of the language; for more than it has, write a Python step"

    def _constant(self, value: object, node: ast.expr) -> str:
        if value is None or isinstance(value, bool):
            return repr(value)
        if isinstance(value, str) and len(value) > LONGEST_LITERAL:
            raise self._error(f"a text in an expression has at most {LONGEST_LITERAL} characters", node)
        if isinstance(value, int) and value >= 2**64:
            raise self._error("an integer has at most 64 bits", node)
        if isinstance(value, str | int) or (isinstance(value, float) and value - value == 0):
            return repr(value)
        raise self._error("only texts, numbers, true, false and null can be written so", node)

    def _parts(self, node: ast.expr) -> list[str | int] | None:
        """The parts of a field path; None where the node is something else."""
        match node:
            case ast.Name(id="event"):
                return []
            case ast.Name(id=name):
                return [name]
            case ast.Attribute(value=value, attr=name):
                before = self._parts(value)
                return None if before is None else [*before, name]
            case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as key)) if key is not True:
                before = self._parts(value)
                return None if before is None else [*before, key]
            case ast.Subscript(value=value, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as key))):
                before = self._parts(value)
                return None if before is None else [*before, -key]
        return None

    def _path(self, node: ast.expr) -> list[str | int]:
        parts = self._parts(node)
        if parts is None:
            raise self._error("in [ ] stands a field's name in quotes, or a number", node)
        if not parts:
            raise self._error("`event` alone is no value: write event['name'] for a field", node)
        if not isinstance(parts[0], str):
            raise self._error("the event has names, not numbers", node)
        self.fields.add(path_text(tuple(part for part in parts if isinstance(part, str))))
        return parts

    def _field(self, node: ast.expr) -> str:
        code, names = "", []
        for part in self._path(node):
            if isinstance(part, str) and not code:
                names.append(part)
            elif isinstance(part, int):
                code = f"_index({code or read_code(tuple(names))}, {part})"
            else:
                name = self._temporary()
                code = f"({name} if ({name} := {code}).__class__ is dict else EMPTY).get({part!r})"
        return code or read_code(tuple(names))

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"_t{self.temporaries}"

    def _comparison(self, node: ast.Compare) -> str:
        code = self.write(node.left)
        for operator, operand in zip(node.ops, node.comparators, strict=True):
            if type(operator) not in COMPARISON:
                raise self._error("`is` is not of the language: write == null or != null", node)
            code += f" {COMPARISON[type(operator)]} {self.write(operand)}"
        return f"({code})"

    def _call(self, node: ast.Call) -> str:
        if not isinstance(node.func, ast.Name):
            raise self._error("methods are not of the language: write lower(x), not x.lower()", node)
        name = node.func.id
        function = FUNCTIONS.get(name)
        if function is None:
            if name in IMPURE:
                raise self._error(
                    f"there is no {name}(): a retry has to give the same result, so nothing reads a clock, chance "
                    "or the environment; the event's own fields are what there is",
                    node,
                )
            raise self._error(f"there is no function {name!r}{nearest(name, FUNCTIONS)}", node)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._error(f"write {function.usage}", node)
        if not function.least <= len(node.args) <= function.most:
            raise self._error(f"{name} takes other arguments: {function.usage}", node)
        if name == "exists":
            return self._exists(node.args[0])
        if name == "matches":
            return self._matches(node.args[0], node.args[1])
        arguments = [self.write(argument) for argument in node.args]
        if name == "coalesce":
            *others, last = arguments
            names = [self._temporary() for _ in others]
            choices = "".join(
                f"{t} if ({t} := {code}) is not None else " for t, code in zip(names, others, strict=True)
            )
            return f"({choices}{last})"
        return f"_f_{name}({', '.join(arguments)})"

    def _exists(self, node: ast.expr) -> str:
        *before, last = self._path(node)
        names = [part for part in before if isinstance(part, str)]
        if not isinstance(last, str) or len(names) != len(before):
            raise self._error("exists takes a field, not an element of a list", node)
        if not names:
            return f"({last!r} in v)"
        name = self._temporary()
        return f"({last!r} in ({name} if ({name} := {read_code(tuple(names))}).__class__ is dict else EMPTY))"

    def _matches(self, value: ast.expr, pattern: ast.expr) -> str:
        if not (isinstance(pattern, ast.Constant) and isinstance(pattern.value, str)):
            raise self._error("the regular expression is a text in quotes", pattern)
        source = ast.get_source_segment(self.text, pattern) or ""
        if "\\" in source and source[0] not in "rR":
            raise self._error("a regular expression with backslashes stands in r'…'", pattern)
        name = f"_matches_{pattern.value.encode().hex()}"
        if name not in self.patterns:
            self.patterns[name] = self._regular_expression(pattern.value, pattern)
        return f"{name}({self.write(value)})"

    def _regular_expression(self, pattern: str, node: ast.expr) -> Callable[[Any], bool]:
        # The engine of jsonschema-rs without backtracking: any value takes linear time, which `re` cannot promise.
        import jsonschema_rs

        try:
            validator = jsonschema_rs.validator_for(
                {"type": "string", "pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, jsonschema_rs.ValidationError):
            raise self._error("not a regular expression (there is no look-around, no back-reference)", node) from None
        return validator.is_valid
