"""What is declared: groups, windows, outputs, and what is done with values, times and groups that don't fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from ..errors import ConfigurationError
from .accumulators import Folding
from .windows import Session, Window, Windows

OnUnusable = Literal["skip", "reject"]


@dataclass(frozen=True, slots=True)
class Output:
    """One result of an aggregate."""

    name: str
    accumulator: Folding[Any]
    field: str | None = None
    """A field or expression that gives the value; None for accumulators that take the event as such."""
    unusable: OnUnusable = "skip"
    """What a value that is missing or of the wrong kind does: leave this output alone, or reject the event."""

    def __post_init__(self) -> None:
        if self.field is not None:
            object.__setattr__(self, "accumulator", self.accumulator.with_field())
        elif self.accumulator.takes:
            raise ConfigurationError(f"{self.name}: {self.accumulator.kind} needs a field")

    def within(self, length: float | None) -> Output:
        """Give the output for windows of so many seconds; None: sessions."""
        return replace(self, accumulator=self.accumulator.within(length))


@dataclass(frozen=True)
class Aggregate:
    """A declared aggregate. Its states belong together as long as `fingerprint` is the same."""

    name: str
    group_by: tuple[tuple[str, str], ...]
    """Name and field or expression of each part of a group; none: one group of everything."""
    windows: Windows
    outputs: tuple[Output, ...]
    lateness: float = 0.0
    """Seconds that the watermark has to pass a window's end before it is closed."""
    correct: bool = False
    """Whether events of closed windows are folded all the same (`on_late: correct`)."""
    future: float | None = None
    """Seconds that an event time may lie behind the record's arrival; None: any."""
    max_groups: int = 10_000
    """Most groups of a window, in one shard."""

    def __post_init__(self) -> None:
        length = None if isinstance(self.windows, Session) else self.windows.size
        object.__setattr__(self, "outputs", tuple(output.within(length) for output in self.outputs))
        names = [output.name for output in self.outputs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigurationError(f"aggregate {self.name}: {', '.join(sorted(twice))} is declared twice")
        if not names:
            raise ConfigurationError(f"aggregate {self.name} has no outputs")
        if self.lateness < 0 or self.max_groups < 1 or (self.future is not None and self.future < 0):
            raise ConfigurationError(
                f"aggregate {self.name}: lateness and the limit of the future must be 0 or more, max_groups 1 or more"
            )

    @property
    def gap(self) -> float | None:
        """Seconds between sessions; None where windows are fixed."""
        return self.windows.gap if isinstance(self.windows, Session) else None

    @cached_property
    def fingerprint(self) -> str:
        """Stands for all that decides what its states mean: a state of another fingerprint is never merged with one of
        this.

        Lateness, limits, names of groups and what is done with unusable values may change under way.
        """
        outputs = [f"{output.name}={output.accumulator.spec}:{output.field}" for output in self.outputs]
        text = "\n".join([repr(self.windows), *(expression for _, expression in self.group_by), "", *outputs])
        return blake2b(text.encode(), digest_size=8).hexdigest()


class Key(NamedTuple):
    """Where a partial belongs."""

    aggregate: str
    window: Window | None
    """None: the partial holds the sessions of the group."""
    group: str
    """The values of the group as a JSON array (`aetherstream.aggregates.groups`)."""


def expressions(aggregates: Sequence[Aggregate]) -> list[str]:
    """Every field or expression that some aggregates read, once."""
    found: dict[str, None] = {}
    for aggregate in aggregates:
        found |= dict.fromkeys(expression for _, expression in aggregate.group_by)
        found |= dict.fromkeys(output.field for output in aggregate.outputs if output.field is not None)
    return list(found)
