"""Mistakes in a file that a person wrote: where each one is, what is wrong, what was expected. All at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aetherstream.errors import ConfigurationError

Path = tuple[str | int, ...]
"""Keys and indexes from the top of a document down to a value."""


class Mistake(NamedTuple):
    """One mistake, before its place in the file is looked up."""

    path: Path
    message: str
    """What is wrong, what was expected, and the nearest right name."""
    on_key: bool = False
    """The last key itself is wrong, rather than its value."""
    mark: tuple[int, int] | None = None
    """Line and column, both from 1, where they are known from elsewhere (syntax errors, duplicate keys)."""


class Located(NamedTuple):
    """One mistake with its place in the file."""

    file: str
    line: int
    column: int
    path: str
    """For example `sinks.archive.s3.partition[0]`; empty for the document itself."""
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}  {self.path + '  ' if self.path else ''}{self.message}"


class PipelineMistakes(ConfigurationError):
    """Everything that is wrong with a pipeline file or its tests; the text has one mistake a line."""

    def __init__(self, mistakes: Iterable[Located]) -> None:
        self.mistakes = sorted(set(mistakes))
        count = len(self.mistakes)
        head = f"{count} mistake{'' if count == 1 else 's'} in {', '.join(sorted({m.file for m in self.mistakes}))}:"
        super().__init__("\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)]))


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as people read it: `transforms[2].rename`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
