"""Accumulators of the user's own, by `module:Class`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import AetherStreamError, ConfigurationError, Rejected
from ...transforms.plugin import load
from ..column import Column
from ..usable import Check, present
from .base import Accumulator, Folding

METHODS = ("create", "add", "merge", "result", "dump", "load")


class Custom(Folding[Any]):
    """Wraps a user's accumulator (`Accumulator`): folds by its `add`, or by its `fold` where it has one.

    A class may also have `check`, called with one value: it raises `Reject` for what can't be used. Its `spec`, a text,
    stands for whatever decides what its states mean; by default that is the reference with the arguments.

    Args:
        reference: `module:Class`.
        arguments: What its constructor takes, by name.

    Raises:
        ConfigurationError: there is no such class, it doesn't take the arguments, or it lacks a method.
    """

    kind = "custom"

    def __init__(self, reference: str, arguments: Mapping[str, Any] | None = None) -> None:
        arguments = dict(arguments or {})
        try:
            own: Accumulator[Any] = load(reference, "class")(**arguments)
        except TypeError as error:
            raise ConfigurationError(f"{reference} can't be made with {arguments}: {error}") from error
        missing = [name for name in METHODS if not callable(getattr(own, name, None))]
        if missing:
            raise ConfigurationError(f"{reference} is no accumulator: it has no {', no '.join(missing)}")
        size = getattr(own, "max_bytes", None)
        if not isinstance(size, int) or size < 1:
            raise ConfigurationError(f"{reference} has no max_bytes: say how many bytes its dump has at most")
        self.max_bytes = size
        self._own = own
        self._spec = str(getattr(own, "spec", None) or f"{reference}{sorted(arguments.items())}")
        self.check = _check(getattr(own, "check", None))

    @property
    def spec(self) -> str:
        """The user's, or the reference with the arguments."""
        return self._spec

    def create(self) -> Any:
        """The user's."""
        return self._own.create()

    def add(self, acc: Any, value: Any, time: float, place: Any, /) -> Any:
        """The user's."""
        return self._own.add(acc, value, time, place)

    def fold(self, column: Column, /) -> Any:
        """The user's, if there is one; else value by value."""
        fold = getattr(self._own, "fold", None)
        if fold is not None:
            return fold(column)
        acc, add = self._own.create(), self._own.add
        for index, (value, time) in enumerate(zip(column.values, column.times, strict=True)):
            acc = add(acc, value, time, column.place(index))
        return acc

    def merge(self, a: Any, b: Any, /) -> Any:
        """The user's."""
        return self._own.merge(a, b)

    def result(self, acc: Any, /) -> Any:
        """The user's."""
        return self._own.result(acc)

    def dump(self, acc: Any, /) -> bytes:
        """The user's."""
        return self._own.dump(acc)

    def load(self, data: bytes, /) -> Any:
        """The user's."""
        return self._own.load(data)


def _check(own: Any) -> Check:
    if own is None:
        return present

    def check(values: Any) -> dict[int, Rejected]:
        found = present(values)
        for index, value in enumerate(values):
            if index not in found:
                try:
                    own(value)
                except Rejected as error:
                    found[index] = error
                except (AetherStreamError, MemoryError):
                    raise
                except Exception as error:  # noqa: BLE001 - a bug in it refuses the value, not the batch
                    found[index] = Rejected(f"check failed: {type(error).__name__}", f"its check failed: {error!r}")
        return found

    return check
