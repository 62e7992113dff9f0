"""What is sound of a pipeline file whose form has mistakes, so that its meaning can be judged in the same run.

What a mistake points at is taken out, and what can't be without it, until the rest is a pipeline; required values that
nothing else hangs on are stood in for. A pruned file is only for finding more mistakes: it never runs.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from aetherstream.pipeline.convert import schema_mistakes
from aetherstream.pipeline.mistakes import Mistake, Path
from aetherstream.pipeline.model import PipelineFile

_ANY = None
_STAND_INS: dict[tuple[str | None, ...], Any] = {
    ("pipeline",): "pipeline",
    ("sinks",): {"sink": {"s3": {"bucket": "bucket"}}},
    ("sinks", _ANY, "s3", "bucket"): "bucket",
    ("sinks", _ANY, "opensearch", "endpoint"): "https://endpoint",
    ("sinks", _ANY, "redshift", "endpoint"): "host/database",
    ("sinks", _ANY, "redshift", "bucket"): "bucket",
    ("sinks", _ANY, "redshift", "table"): "table",
    ("sinks", _ANY, "redshift", "columns"): {"column": "super"},
    ("sinks", _ANY, "redshift", "columns", _ANY, "type"): "super",
    ("sinks", _ANY, "redshift", "distribution", "style"): "auto",
    ("quarantine", "s3", "bucket"): "bucket",
    ("event_time", "field"): "field",
    ("aggregates", _ANY, "window"): {"tumbling": 60},
    ("aggregates", _ANY, "outputs"): {"count": "count"},
    ("aggregates", _ANY, "outputs", _ANY, "kind"): "count",
    ("aggregates", _ANY, "rank", "by"): "count",
    ("aggregates", _ANY, "rank", "most"): 1,
    ("tables", _ANY, "key"): "key",
    ("transforms", _ANY, "lookup", "field"): "field",
    ("transforms", _ANY, "parse_time", "field"): "field",
    ("transforms", _ANY, "route", "otherwise"): [],
    ("transforms", _ANY, "route", "cases", _ANY, "when"): "true",
    ("transforms", _ANY, "route", "cases", _ANY, "to"): [],
}
"""Required values without which their neighbours can be judged all the same."""


class Pruned:
    """A document without what is wrong with its form. Paths are those of the whole document unless said otherwise."""

    def __init__(self, whole: dict[str, Any], mistakes: Sequence[Mistake]) -> None:
        """Take `whole`, what the file says, and the mistakes of its form."""
        self._whole = whole
        self._said = {mistake.path for mistake in mistakes}
        # Marked mistakes are those of the text, which the schema can't know: an unset variable, a second key.
        self._lost: set[Path] = {mistake.path for mistake in mistakes if mistake.mark}
        if () in self._lost:
            fields = PipelineFile.__struct_encode_fields__
            self._lost = self._lost - {()} | {(name,) for name in fields if name not in whole}
        self._kept: dict[Path, list[int]] = {}

    def file(self) -> PipelineFile | None:
        """Prune; None where nothing is left that could be judged."""
        while True:
            self._kept.clear()
            value = self._without(self._whole, (), ())
            for pattern, stand_in in _STAND_INS.items():
                self._lost.update(self.original(path) for path in _fill(value, pattern, stand_in, ()))
            wrong = {self.original(mistake.path) for mistake in schema_mistakes(value, PipelineFile)}
            if not wrong:
                break
            if () in wrong or wrong <= self._lost:
                return None
            self._lost |= wrong
        try:
            return msgspec.convert(value, PipelineFile)
        except msgspec.ValidationError:
            return None

    def original(self, path: Path) -> Path:
        """Return where a value of the pruned document stands in the whole one."""
        found: list[str | int] = []
        for depth, part in enumerate(path):
            kept = self._kept.get(path[:depth], ())
            found.append(kept[part] if isinstance(part, int) and part < len(kept) else part)
        return tuple(found)

    def lost(self, path: Path, *, below: bool = True) -> bool:
        """Whether a value is not what its writer meant: taken out, called by a wrong name, or without a part of it."""
        if any(path[: len(lost)] == lost or (below and lost[: len(path)] == path) for lost in self._lost):
            return True
        others = [str(lost[-1]) for lost in self._lost if lost[:-1] == path[:-1]]
        return not self._has(path) and bool(get_close_matches(str(path[-1]), others))

    def names(self, section: str) -> list[str] | None:
        """Return all names that a section has, those taken out too; None where the section itself is lost."""
        if (section,) in self._said or (section not in self._whole and self.lost((section,))):
            return None
        return list(self._whole.get(section, ()))

    def _has(self, path: Path) -> bool:
        value: Any = self._whole
        try:
            for part in path:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def _without(self, value: Any, new: Path, old: Path) -> Any:
        if isinstance(value, dict):
            keys = [key for key in value if (*old, key) not in self._lost]
            return {key: self._without(value[key], (*new, key), (*old, key)) for key in keys}
        if isinstance(value, list):
            indexes = [index for index in range(len(value)) if (*old, index) not in self._lost]
            self._kept[new] = indexes
            return [self._without(value[was], (*new, now), (*old, was)) for now, was in enumerate(indexes)]
        return value


def _fill(value: Any, pattern: tuple[str | None, ...], stand_in: Any, at: Path) -> Iterator[Path]:
    """Put a value wherever the pattern leads to an absent key; yield the places."""
    key, *rest = pattern
    if key is _ANY:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, item in inner:
            yield from _fill(item, tuple(rest), stand_in, (*at, name))
    elif isinstance(value, dict) and rest:
        yield from _fill(value.get(key), tuple(rest), stand_in, (*at, key))
    elif isinstance(value, dict) and key not in value:
        value[key] = stand_in
        yield (*at, key)
