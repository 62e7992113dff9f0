"""A YAML file as plain values, with the place of each value at hand and its mistakes collected.

YAML is read as version 1.2's core schema has it, which is what editors check: `on`, `no` and `2013-01-01` are text, and
`010` is ten. Duplicate keys, tags and merge keys are mistakes. `${NAME}` and `${NAME:-default}` in values are filled
in from a given mapping; `$${` stands for `${`. An unquoted value that is filled in is read as if it had been written
there (`level: ${LEVEL}` may give a number), a quoted one stays text.
"""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import yaml

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.mistakes import Located, Mistake, Path, PipelineMistakes, dotted

if TYPE_CHECKING:
    from aetherstream.pipeline.prune import Pruned

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_TAG = "tag:yaml.org,2002:"
_DEPTH = 100
_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:ghp|gho|xox[abp])[_-][A-Za-z0-9-]{20,}"
)
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passwd|secret|secret_key|access_key|access_key_id|secret_access_key|token|api_key|private_key)$",
    re.IGNORECASE,
)
_FIELD_SECTIONS = frozenset({"transforms", "validate", "aggregates", "cases"})
"""Sections whose keys are names of event fields or results: one may be called `password`."""
_NO_SECRETS = frozenset(
    {("opensearch", "mappings"), ("opensearch", "secret"), ("redshift", "columns"), ("redshift", "secret")}
)
"""Of a sink: names of event fields or columns again, and the name of a secret."""

_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {"yaml_implicit_resolvers": {}})
for _kind, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), list(_first))


class Document:
    """One YAML file: `value` is what it says, `mistakes` what is wrong with it so far."""

    def __init__(self, text: str, file: str, env: Mapping[str, str] | None) -> None:
        """Read `text`; `file` names it in messages; `env` None leaves `${...}` as it is."""
        self.file = file
        self.mistakes: list[Mistake] = []
        self.pruned: Pruned | None = None
        """Set where the form has mistakes: paths that come in are those of its file."""
        self._env = env
        self._open: set[int] = set()
        self._root: Any = None
        self.value: Any = None
        try:
            self._root = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            self.mistakes.append(_syntax(error, text))
            return
        if self._root is not None:
            self.value = self._build(self._root, ())

    def add(self, path: Path, message: str, *, on_key: bool = False) -> None:
        """Note a mistake, unless it may only follow from another: its value, or a part of it, was taken out.

        With `on_key`, it is one of the name and holds whatever stands below.
        """
        if self.pruned:
            path = self.pruned.original(path)
            if path and self.pruned.lost(path, below=not on_key):
                return
        self.mistakes.append(Mistake(path, message, on_key))

    def lost(self, path: Path) -> bool:
        """Whether a value is not what its writer meant, or lacks a part, because of a mistake noted already."""
        return self.pruned is not None and self.pruned.lost(self.pruned.original(path))

    def raise_mistakes(self) -> None:
        """Raise `PipelineMistakes` if there are any."""
        if self.mistakes:
            raise PipelineMistakes([self.located(mistake) for mistake in self.mistakes])

    def located(self, mistake: Mistake) -> Located:
        """Return the mistake with its line and column; where a value is absent, those of what should hold it."""
        line, column = mistake.mark or self._mark(mistake)
        return Located(self.file, line, column, dotted(mistake.path), mistake.message)

    def _mark(self, mistake: Mistake) -> tuple[int, int]:
        node, mark = self._root, self._root.start_mark if self._root else None
        for depth, part in enumerate(mistake.path, 1):
            if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == part), None)
                if pair is None:
                    break
                node = pair[1]
                scalar = isinstance(node, yaml.ScalarNode) and node.value
                last = depth == len(mistake.path)
                mark = node.start_mark if scalar and not (last and mistake.on_key) else pair[0].start_mark
            else:
                break
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def _build(self, node: Any, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if len(path) > _DEPTH:
            self._at(node, path[:1], f"nested more than {_DEPTH} levels deep")
            return None
        if id(node) in self._open:
            self._at(node, path, "an alias that stands inside its own anchor")
            return None
        self._open.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            built: Any = [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            built = self._mapping(node, path)
        self._open.discard(id(node))
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self._at(node, path, f"tags such as {node.tag!r} are not read here; leave it out")
        return built

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._at(
                    key_node, path, "a key must be text; a value that holds ${...} or begins with { must be quoted"
                )
                continue
            key = str(key_node.value)
            if key_node.tag == _TAG + "merge":
                self._at(key_node, path, "merge keys (<<) are not read here; write the fields out")
            elif key in built:
                self._at(key_node, (*path, key), f"duplicate key; it stands in line {lines[key]} already")
            else:
                lines[key] = key_node.start_mark.line + 1
                built[key] = self._build(value_node, (*path, key))
        return built

    def _scalar(self, node: Any, path: Path) -> Any:
        text: str = node.value
        if _secret(text, path):
            self._at(node, path, "is a secret in the file; write ${NAME} and set NAME in the function's environment")
        tag = _TAG + "str" if node.style else _resolve(text)
        if node.tag != tag:
            self._at(node, path, f"tags such as {node.tag!r} are not read here; leave it out, or quote the text")
            return text
        if "${" in text and self._env is not None:
            text = self._filled(node, path, text)
            tag = tag if node.style else _resolve(text)
        kind = tag.removeprefix(_TAG)
        if kind == "int":
            return self._int(node, path, text)
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
        if kind == "bool":
            return text.lower() == "true"
        return None if kind == "null" else text

    def _int(self, node: Any, path: Path, text: str) -> int:
        try:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        except ValueError:
            self._at(node, path, f"a number of {len(text)} digits is too long; quote it to make it text")
            return 0

    def _filled(self, node: Any, path: Path, text: str) -> str:
        env = self._env or {}

        def fill(match: re.Match[str]) -> str:
            if match.group() == "$${":
                return "${"
            parts = _NAME.fullmatch(match[1])
            if not parts or not match.group().endswith("}"):
                self._at(
                    node,
                    path,
                    f"{match.group()!r} is neither ${{NAME}} nor ${{NAME:-default}}; for a literal ${{ write $${{",
                )
                return ""
            name, default = parts.groups()
            found = env.get(name)
            if found or (found is not None and default is None):
                return found
            if default is None:
                self._at(node, path, f"the environment has no {name}; set it, or give a default: ${{{name}:-...}}")
                return match.group()
            return str(default)

        return _VARIABLE.sub(fill, text)

    def _at(self, node: Any, path: Path, message: str) -> None:
        mark = node.start_mark
        self.mistakes.append(Mistake(path, message, mark=(mark.line + 1, mark.column + 1)))


def read(file: FilePath, env: Mapping[str, str] | None) -> Document:
    """Read a YAML file.

    Raises:
        ConfigurationError: there is no such file, it can't be read, or it is not UTF-8.
    """
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file{_beside(file)}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read: {error.strerror}") from None
    return Document(text, str(file), env)


def _beside(file: FilePath) -> str:
    from aetherstream.transforms.mistakes import nearest

    folder = file.parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either"
    return nearest(file.name, [entry.name for entry in folder.glob("*.y*ml")])


def _secret(text: str, path: Path) -> bool:
    if _SECRET.search(text):
        return True
    if not text or "${" in text or not path or path[0] in _FIELD_SECTIONS or path[2:4] in _NO_SECRETS:
        return False
    return isinstance(path[-1], str) and _SECRET_KEY.search(path[-1]) is not None


def _resolve(text: str) -> str:
    for tag, pattern in _Loader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return _TAG + "str"


def _syntax(error: yaml.YAMLError, text: str) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(getattr(error, "problem", None) or error)
    hint = ""
    before = text.split("\n")[mark.line][: mark.column + 2] if mark and mark.line <= text.count("\n") else ""
    if "did not find expected" in problem and "${" in before:
        hint = "; inside [...] and {...} a value with ${...} must be quoted"
    elif "cannot start any token" in problem:
        hint = "; YAML indents with spaces, not tabs, and a value that begins with @, ` or % must be quoted"
    elif "mapping values are not allowed" in problem:
        hint = "; is the indentation right, and is a value quoted that holds a colon and a space?"
    elif "undefined alias" in problem:
        hint = "; a value that begins with * must be quoted"
    elif "another document" in problem:
        problem, hint = "a second document begins here (---)", "; one file is one pipeline"
    elif "did not find expected" in problem:
        hint = "; is the indentation right, and is every [, {, and quote closed?"
    return Mistake((), f"not YAML: {problem}{hint}", mark=place)
