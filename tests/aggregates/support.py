"""Accumulators of users, good and bad, and what tests put together."""

from __future__ import annotations

from typing import Any

from aetherstream.aggregates.column import Column, Place
from aetherstream.errors import Reject
from aetherstream.testing.accumulators import place


def column(*values: Any) -> Column:
    """A column with ascending times and places."""
    return Column.of((value, float(index), place(index)) for index, value in enumerate(values))


class Longest:
    """The longest text; of equally long ones the least."""

    max_bytes = 1000

    def __init__(self, at_most: int = 100) -> None:
        self._at_most = at_most

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise Reject("not a text", f"it is {value!r}")

    def create(self) -> str | None:
        return None

    def add(self, acc: str | None, value: str, time: float, place: Place) -> str | None:
        return self.merge(acc, value[: self._at_most])

    def merge(self, a: str | None, b: str | None) -> str | None:
        return min((text for text in (a, b) if text is not None), key=lambda text: (-len(text), text), default=None)

    def result(self, acc: str | None) -> str | None:
        return acc

    def dump(self, acc: str | None) -> bytes:
        return b"" if acc is None else b"=" + acc.encode()

    def load(self, data: bytes) -> str | None:
        return data[1:].decode() if data else None


class Buggy(Longest):
    """Fails with some values."""

    def check(self, value: Any) -> None:
        if not value:
            raise ValueError("empty")

    def add(self, acc: str | None, value: str, time: float, place: Place) -> str | None:
        if value == "no":
            raise Reject("not that", "it is no")
        return super().add(acc, value + ("" if value.islower() else 1), time, place)  # type: ignore[operator]


class FailsTogether(Longest):
    """Fails with the second value, whatever it is."""

    def add(self, acc: str | None, value: str, time: float, place: Place) -> str | None:
        return value if acc is None else str(1 / 0)


class Unmergeable:
    max_bytes = 8

    def create(self) -> int:
        return 0


class Unbounded(Longest):
    max_bytes = 0


class LastAdded(Longest):
    """Breaks the contract: the order shows."""

    def merge(self, a: str | None, b: str | None) -> str | None:
        return a if b is None else b


class Mutating:
    """Breaks the contract: a state is changed in place."""

    max_bytes = 1000

    def create(self) -> list[str]:
        return []

    def add(self, acc: list[str], value: str, time: float, place: Place) -> list[str]:
        acc.append(value)
        acc.sort()
        return acc

    def merge(self, a: list[str], b: list[str]) -> list[str]:
        return sorted(a + b)

    def result(self, acc: list[str]) -> list[str]:
        return acc

    def dump(self, acc: list[str]) -> bytes:
        return ",".join(acc).encode()

    def load(self, data: bytes) -> list[str]:
        return data.decode().split(",") if data else []
