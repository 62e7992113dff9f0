"""What is wrong with the `transforms` section, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import ConfigurationError


class StepMistake(NamedTuple):
    """One mistake and where it stands."""

    path: tuple[str | int, ...]
    """Keys and indexes below `transforms`, for example `(2, "cast", "delay")`."""
    message: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return f"transforms{place}: {self.message}"


class StepMistakes(ConfigurationError):
    """The steps cannot be compiled."""

    def __init__(self, mistakes: Sequence[StepMistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` where one of the known names is close, else the known names, else nothing."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (there are: {', '.join(names)})" if names else ""
