"""What an accumulator is: a pure fold with a merge that knows no order, and bytes that later versions read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from ..column import Column, Place
from ..usable import Check, anything

A = TypeVar("A")


@runtime_checkable
class Accumulator(Protocol[A]):
    """A fold over the values of one group.

    Nothing here changes its arguments, reads a clock, draws random numbers, or does I/O.
    `aetherstream.testing.accumulators` has the tests that hold an implementation to this.
    """

    max_bytes: int
    """Most bytes that `dump` gives, whatever is folded."""

    def create(self) -> A:
        """Give the state of no values: merging it changes nothing."""

    def add(self, acc: A, value: Any, time: float, place: Place, /) -> A:
        """Give the state with one value more.

        Args:
            acc: Stays as it is.
            value: What the field or expression gave; never null.
            time: Event time, epoch seconds.
            place: Where the event stands; breaks ties, so that no order shows.
        """

    def merge(self, a: A, b: A, /) -> A:
        """Give the state of the values of both; associative and commutative."""

    def result(self, acc: A, /) -> Any:
        """Give what is delivered: values of JSON."""

    def dump(self, acc: A, /) -> bytes:
        """Write a state; equal states have equal bytes."""

    def load(self, data: bytes, /) -> A:
        """Read what this or an earlier version wrote.

        Raises:
            UnreadableState: a later version wrote it, or nobody did.
        """


class Folding(ABC, Generic[A]):
    """An accumulator that folds a whole column at once; adding one value is folding a column of one."""

    kind: ClassVar[str]
    """Its name in the pipeline file."""
    check: Check = staticmethod(anything)
    """Finds the values that it can't use."""
    takes: bool = True
    """Whether it needs a field or expression."""
    max_bytes: int

    @property
    def spec(self) -> str:
        """Its kind and whatever else decides what its states mean: states of different specs are never merged."""
        return self.kind

    def with_field(self) -> Folding[A]:
        """Give the accumulator for an output that names a field; differs where the field is optional."""
        return self

    def within(self, length: float | None, /) -> Folding[A]:  # noqa: ARG002 - few care
        """Give the accumulator for windows of so many seconds; None: sessions."""
        return self

    def create(self) -> A:
        """Give the state of no values."""
        return self.fold(Column(()))

    def add(self, acc: A, value: Any, time: float, place: Place, /) -> A:
        """Give the state with one value more."""
        return self.merge(acc, self.fold(Column((value,), (time,), (place,))))

    @abstractmethod
    def fold(self, column: Column, /) -> A:
        """Give the state of the values of a column, all of which passed `check`."""

    @abstractmethod
    def merge(self, a: A, b: A, /) -> A:
        """Give the state of the values of both."""

    @abstractmethod
    def result(self, acc: A, /) -> Any:
        """Give what is delivered."""

    @abstractmethod
    def dump(self, acc: A, /) -> bytes:
        """Write a state."""

    @abstractmethod
    def load(self, data: bytes, /) -> A:
        """Read a state."""

    def error(self, acc: A, /) -> float:  # noqa: ARG002 - what is exact needs no look at it
        """Tell the error of the result as the accumulator states it; 0 where it is exact."""
        return 0.0
