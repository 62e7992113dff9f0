"""What a step is compiled in: the tables, sinks and secrets there are, and the list of mistakes found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .expressions import Expression, ExpressionError, compile_expression
from .mistakes import StepMistake, nearest
from .paths import Path, parse_path
from .tables import Table


@dataclass
class Context:
    """Collects the mistakes of one step; `base` is its path, for example `(2, "cast")`."""

    tables: Mapping[str, Table]
    sinks: Sequence[str]
    secrets: Mapping[str, str]
    mistakes: list[StepMistake]
    base: tuple[str | int, ...] = ()
    owned: bool = field(default=True)
    """Whether nested values of the events are nobody else's at this step."""

    @property
    def where(self) -> str:
        """The step's name in rejections, for example `transforms[2].cast`."""
        return f"transforms[{self.base[0]}].{self.base[1]}"

    def mistake(self, message: str, *path: str | int) -> None:
        """Note a mistake below the step."""
        self.mistakes.append(StepMistake((*self.base, *path), message))

    def expression(self, text: str, *path: str | int) -> Expression | None:
        """Compile an expression; None where it is a mistake."""
        try:
            return compile_expression(text)
        except ExpressionError as error:
            self.mistake(str(error), *path)
            return None

    def path(self, text: str, *path: str | int) -> Path:
        """Parse a field path; a mistake gives the text as one name."""
        try:
            return parse_path(text)
        except ValueError as error:
            self.mistake(str(error), *path)
            return (text,)

    def known(self, what: str, name: str, names: Iterable[str], *path: str | int) -> bool:
        """Check a name against those there are."""
        names = list(names)
        if name in names:
            return True
        self.mistake(f"there is no {what} {name!r}{nearest(name, names)}", *path)
        return False
