# ruff: noqa: S101 - these are tests, shipped
"""What every accumulator has to hold to, as tests: subclass, say what it is and takes, and pytest runs the rest.

class TestLongest(AccumulatorContract):
    def subject(self) -> Accumulator[Any]:
        return Longest()

    def values(self) -> list[Any]:
        return ["a", "abc", "ab", "abc", ""]
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import orjson

from aetherstream.aggregates.accumulators import Accumulator
from aetherstream.aggregates.column import Column, Place

Row = tuple[Any, float, Place]


def place(index: int) -> Place:
    """A place in a shard: the greater the index, the later."""
    return ("shardId-000000000000", f"{len(str(index)):03d}{index}", 0, 0)


class AccumulatorContract:
    """The obligations of an accumulator (`aetherstream.aggregates.accumulators.Accumulator`)."""

    def subject(self) -> Accumulator[Any]:
        """The accumulator."""
        raise NotImplementedError

    def values(self) -> list[Any]:
        """Four or more values that it takes, with repetitions, and those at its limits."""
        raise NotImplementedError

    def rows(self) -> list[Row]:
        """The values with event times, among them equal ones and some before 1970, and with places."""
        return [(value, float(index % 3 - 1), place(index)) for index, value in enumerate(self.values())]

    def test_merging_nothing_changes_nothing(self) -> None:
        """The state of no values is neutral."""
        own = self.subject()
        acc = folded(own, self.rows())
        expected = own.dump(acc)
        assert (own.dump(own.merge(acc, own.create())), own.dump(own.merge(own.create(), acc))) == (expected, expected)

    def test_nothing_merged_with_nothing_is_nothing(self) -> None:
        """A shard without events adds none."""
        own = self.subject()
        assert own.dump(own.merge(own.create(), own.create())) == own.dump(own.create())

    def test_the_order_of_values_does_not_show(self) -> None:
        """A retry is cut otherwise; shards finish in any order."""
        own, rows = self.subject(), self.rows()
        expected = own.dump(folded(own, rows))
        assert {own.dump(folded(own, order)) for order in permutations(rows[:4])} == {own.dump(folded(own, rows[:4]))}
        assert own.dump(folded(own, rows[::-1])) == expected

    def test_the_order_of_merging_does_not_show(self) -> None:
        """Whatever tree the parts are merged in, the bytes are the same."""
        own, rows = self.subject(), self.rows()
        expected = own.dump(folded(own, rows))
        rng = random.Random(7)  # noqa: S311 - no secret
        found = {own.dump(merged_anyhow(own, [folded(own, [row]) for row in rows], rng)) for _ in range(20)}
        assert found == {expected}

    def test_adding_changes_no_state(self) -> None:
        """A state that was read is written again under a condition: it must still be what it was."""
        own, rows = self.subject(), self.rows()
        acc = folded(own, rows[1:])
        before = own.dump(acc)
        own.add(acc, *rows[0])
        assert own.dump(acc) == before

    def test_merging_changes_no_state(self) -> None:
        """Both sides stay as they are."""
        own, rows = self.subject(), self.rows()
        a, b = folded(own, rows[:2]), folded(own, rows[2:])
        before = own.dump(a), own.dump(b)
        own.merge(a, b)
        assert (own.dump(a), own.dump(b)) == before

    def test_asking_for_the_result_changes_no_state(self) -> None:
        """Results are asked for at every update."""
        own = self.subject()
        acc = folded(own, self.rows())
        before = own.dump(acc)
        own.result(acc)
        assert own.dump(acc) == before

    def test_a_state_reads_back(self) -> None:
        """Bytes, state, bytes: the same; and the same result."""
        own = self.subject()
        for rows in ([], self.rows()[:1], self.rows()):
            acc = folded(own, rows)
            back = own.load(own.dump(acc))
            assert (own.dump(back), own.result(back)) == (own.dump(acc), own.result(acc))

    def test_a_state_that_was_read_goes_on(self) -> None:
        """What is merged into it afterwards counts."""
        own, rows = self.subject(), self.rows()
        expected = own.dump(folded(own, rows))
        for cut in range(len(rows) + 1):
            back = own.load(own.dump(folded(own, rows[:cut])))
            assert own.dump(own.merge(back, folded(own, rows[cut:]))) == expected

    def test_a_state_stays_within_its_bound(self) -> None:
        """The store refuses items that are too large; so the bound must hold."""
        own = self.subject()
        assert len(own.dump(folded(own, self.rows()))) <= own.max_bytes

    def test_results_are_values_of_json(self) -> None:
        """Also the result of nothing."""
        own = self.subject()
        for acc in (own.create(), folded(own, self.rows())):
            result = own.result(acc)
            assert orjson.loads(orjson.dumps(result)) == result

    def test_folding_a_column_is_adding_its_values(self) -> None:
        """An accumulator may fold by column; it must come to the same."""
        own, rows = self.subject(), self.rows()
        fold = getattr(own, "fold", None)
        if fold is not None:
            assert [own.dump(fold(Column.of(part))) for part in ([], rows)] == [
                own.dump(folded(own, part)) for part in ([], rows)
            ]


def folded(own: Accumulator[Any], rows: Sequence[Row]) -> Any:
    """Add rows one by one."""
    acc = own.create()
    for value, time, where in rows:
        acc = own.add(acc, value, time, where)
    return acc


def merged_anyhow(own: Accumulator[Any], parts: Sequence[Any], rng: random.Random) -> Any:
    """Merge states in a random tree, leaves in random order."""
    parts = list(parts)
    while len(parts) > 1:
        a = parts.pop(rng.randrange(len(parts)))
        b = parts.pop(rng.randrange(len(parts)))
        parts.append(own.merge(a, b))
    return parts[0] if parts else own.create()
