"""A whole column of a batch at once: whether everything in it is plainly fit, and its staged forms. Pure.

Being quick is all that these add to `aetherstream.warehouse.fields`: where they can't say at once that a column is fit,
they say nothing, and its values are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import orjson

from aetherstream.encoded import encode
from aetherstream.warehouse.fields import (
    COPY_NULL,
    FLOATS,
    INTEGERS,
    LONGEST_INNER_TEXT,
    Unfit,
    Write,
    writer,
)
from aetherstream.warehouse.types import ColumnType

_NULL = type(None)
_ESCAPED = 6
"""Most bytes of one byte of text in JSON: `\\u001f`."""
_NUMBER = 48
"""Most bytes of a number, a decimal's text or a time."""


@dataclass(frozen=True, slots=True)
class Found:
    """The values of a column, as they are in the events."""

    values: list[Any]
    kinds: set[type]
    """Their types, without that of null."""
    nulls: bool
    """Whether there is a null among them."""

    @classmethod
    def of(cls, values: list[Any]) -> Found:
        """Look at what is there."""
        kinds = set(map(type, values))
        nulls = _NULL in kinds
        kinds.discard(_NULL)
        return cls(values, kinds, nulls)

    @property
    def present(self) -> Sequence[Any]:
        """The values that are not null."""
        return [value for value in self.values if value is not None] if self.nulls else self.values

    def spread(self, made: list[Any]) -> list[Any]:
        """Put what was made of `present` where it belongs, with the nulls between."""
        if not self.nulls:
            return made
        each = iter(made)
        return [None if value is None else next(each) for value in self.values]


class Quick:
    """Of one type. The base says nothing quickly."""

    def __init__(self, column: ColumnType) -> None:
        self.write: Write = writer(column)

    def most(self, found: Found) -> int | None:
        """Most bytes that a value of the column takes in a row, where all are plainly fit; else None."""
        if not found.kinds:
            return 4
        return self._most(found.kinds, found.present)

    def written(self, found: Found) -> list[Any]:
        """The staged forms of values that are fit."""
        if not found.kinds:
            return found.values
        return self._written(found)

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:  # noqa: ARG002
        try:
            for value in present:
                self.write(value)
        except Unfit:
            return None
        return _NUMBER

    def _written(self, found: Found) -> list[Any]:
        write = self.write
        return [None if value is None else write(value) for value in found.values]


class _Integers(Quick):
    def __init__(self, column: ColumnType) -> None:
        super().__init__(column)
        self._low, self._high = INTEGERS[column.name]

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:
        if kinds != {int} or min(present) < self._low or max(present) > self._high:
            return None
        return _NUMBER

    def _written(self, found: Found) -> list[Any]:
        return found.values if found.kinds == {int} else super()._written(found)


class _Floats(Quick):
    def __init__(self, column: ColumnType) -> None:
        super().__init__(column)
        self._least, self._highest = FLOATS[column.name]

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:
        if not kinds <= {float, int}:
            return None
        low, high = min(present), max(present)
        # NaN makes the sum NaN, wherever it stands among the others.
        if low < -self._highest or high > self._highest or (total := sum(present)) != total:
            return None
        if low < self._least and high > -self._least and _subnormal(present, self._least):
            return None
        return _NUMBER

    def _written(self, found: Found) -> list[Any]:
        return found.values if found.kinds == {float} else super()._written(found)


def _subnormal(present: Sequence[Any], least: float) -> bool:
    return any(-least < value < least and value for value in present)


class _Decimals(Quick):
    def __init__(self, column: ColumnType) -> None:
        super().__init__(column)
        self._scale = column.scale
        # Floats are told by rounding as long as a double has the digits; integers always.
        self._floats = column.precision <= 15
        whole = 10 ** (column.precision - column.scale)
        self._whole = whole if column.precision != 19 else (2**63 - 1) // 10**column.scale

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:
        plain = kinds == {int} or (self._floats and kinds <= {int, float})
        if not plain or not (min(present) > -self._whole and max(present) < self._whole):
            return None if not plain or float in kinds else super()._most(kinds, present)
        scale = self._scale
        if float in kinds and [round(value, scale) for value in present] != present:
            return None
        return _NUMBER

    def _written(self, found: Found) -> list[Any]:
        if not (self._floats and found.kinds <= {int, float}):
            return super()._written(found)
        if 0 < self._scale <= 4:
            # From 0.0001 to 10**15 the shortest form has no exponent, and of what was checked it has all digits.
            return found.spread(orjson.dumps(found.present)[1:-1].decode().split(","))
        form = f"%.{self._scale}f"
        return found.spread([form % value for value in found.present])


class _Texts(Quick):
    def __init__(self, column: ColumnType) -> None:
        super().__init__(column)
        self._length, self._single = column.length, column.name == "char"

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:
        if kinds != {str}:
            return None
        together = "".join(present)
        if "\0" in together or COPY_NULL in together:
            return None
        longest = max(map(len, present))
        if together.isascii():
            size = longest
        elif self._single:
            return None
        else:
            try:
                size = longest * 4 if longest * 4 <= self._length else max(len(text.encode()) for text in present)
                together.encode()
            except UnicodeEncodeError:
                return None
        return None if size > self._length else size * _ESCAPED + 2

    def _written(self, found: Found) -> list[Any]:
        return found.values if found.kinds == {str} else super()._written(found)


class _Booleans(Quick):
    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:  # noqa: ARG002
        return _NUMBER if kinds == {bool} else None

    def _written(self, found: Found) -> list[Any]:
        return found.values if found.kinds == {bool} else super()._written(found)


class _Times(Quick):
    """The usual form is told by its places, and written from them: extended date and time, `T` or a space, `Z`."""

    def __init__(self, column: ColumnType) -> None:
        super().__init__(column)
        self._zone = "+00" if column.name == "timestamptz" else ""

    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:
        if kinds != {str} or not {text[4:5] + text[7:8] + text[10:11] for text in present} <= _SHAPES:
            return None
        # At the ends of the calendar another zone may lead out of it.
        if min(present) < "0002" or max(present) > "9999":
            return None
        try:
            for _ in map(datetime.fromisoformat, present):
                pass
        except ValueError:
            return None
        return _NUMBER

    def _written(self, found: Found) -> list[Any]:
        present = found.present
        length = len(present[0]) if found.kinds == {str} else 0
        together = "\n".join(present) if length in _FRACTIONS else ""
        if not together or not _is_usual(together, length, len(present)):
            return super()._written(found)
        # Beside these two letters there are digits and marks only.
        made = together.replace("T", " ").replace("Z", _FRACTIONS[length] + self._zone).split("\n")
        return found.spread(made)


def _is_usual(together: str, length: int, count: int) -> bool:
    """Whether these times, of one length, end like `07:00:00.25Z`: told by their places, all at once."""
    step = length + 1
    return (
        len(together) == step * count - 1
        and together[length::step] == "\n" * (count - 1)
        and together[13::step] == together[16::step] == ":" * count
        and together[length - 1 :: step] == "Z" * count
        and together[19::step] == ("Z" if length == 20 else ".") * count
    )


_SHAPES = {"--T", "-- ", "--"}
_FRACTIONS = {20: ".000000"} | {21 + digits: "0" * (6 - digits) for digits in range(1, 7)}
"""By the length of a time that ends with `Z`: what its fraction lacks of six digits."""


class _Supers(Quick):
    def _most(self, kinds: set[type], present: Sequence[Any]) -> int | None:  # noqa: ARG002
        try:
            texts = list(map(orjson.dumps, present))
        except TypeError:
            return None
        longest = max(map(len, texts))
        together = b"".join(texts)
        if longest > LONGEST_INNER_TEXT or b"\\u0000" in together:
            return None
        if b"null" in together:  # it may be a NaN that was written
            try:
                for value, text in zip(present, texts, strict=True):
                    if b"null" in text:
                        self.write(value)
            except Unfit:
                return None
        return longest

    def _written(self, found: Found) -> list[Any]:
        # By orjson, as everywhere: of what only a Python step makes, a time for one, others write another text.
        return [None if value is None else msgspec.Raw(encode(value)) for value in found.values]


_BY_NAME: dict[str, Callable[[ColumnType], Quick]] = {
    "smallint": _Integers,
    "integer": _Integers,
    "bigint": _Integers,
    "real": _Floats,
    "double precision": _Floats,
    "decimal": _Decimals,
    "boolean": _Booleans,
    "char": _Texts,
    "varchar": _Texts,
    "date": Quick,
    "timestamp": _Times,
    "timestamptz": _Times,
    "super": _Supers,
}


def quick(column: ColumnType) -> Quick:
    """Return what looks at a whole column of a type."""
    return _BY_NAME[column.name](column)
