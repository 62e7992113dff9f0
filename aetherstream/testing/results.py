# ruff: noqa: S101 - these are tests, shipped
"""A place for results in memory, and what every such place has to hold to, as tests: subclass and say what it is.

class TestSearch(OutletContract):
    def subject(self) -> OutletSubject:
        return MySubject()
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Protocol

import orjson
import pytest

from aetherstream.aggregates.windows import Window
from aetherstream.errors import AetherStreamError, Rejected, Retryable
from aetherstream.results.parts import Outlet, Row, Sent
from aetherstream.results.rows import document, line, newest

HOUR = 3600.0
NEW_YEAR = 1_356_998_400.0
"""2013-01-01T00:00:00Z."""


def take_all(row: Row) -> Rejected | None:  # noqa: ARG001
    """Refuse nothing."""
    return None


class MemoryOutlet:
    """`Outlet` in memory, which fails on request. `refuse` may be replaced at any time."""

    def __init__(
        self,
        name: str = "aggregates.hours.to.memory",
        *,
        final_only: bool = False,
        refuse: Callable[[Row], Rejected | None] = take_all,
    ) -> None:
        self.name = name
        self.final_only = final_only
        self.refuse = refuse
        self.down: AetherStreamError | None = None
        """What `send` raises; None: it works."""
        self.rows: dict[str, Row] = {}
        """The newest of each id, removed ones too."""
        self.sent: list[Sequence[Row]] = []
        """What each call brought."""

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """What is to be seen, by id."""
        return {key: orjson.loads(line(document(row))) for key, row in sorted(self.rows.items()) if not row.removed}

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """See `Outlet.send`."""
        self.sent.append(tuple(rows))
        if self.down is not None:
            raise self.down
        if rows and seconds_left <= 0:
            raise Retryable(f"{self.name}: no time left")
        refused: dict[str, Rejected] = {}
        for row in newest(rows):
            try:
                line(document(row))
            except Rejected as error:
                refused[row.id] = error
                continue
            if (why := self.refuse(row)) is not None:
                refused[row.id] = why
            elif row.id not in self.rows or self.rows[row.id].version < row.version:
                self.rows[row.id] = row
        return Sent(refused)


class OutletSubject(Protocol):
    """An outlet under test, with the levers that make its service fail."""

    @property
    def outlet(self) -> Outlet:
        """The outlet, of an aggregate with the group `carrier` and the outputs of `row`."""

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        """What a reader finds by id: documents with the fields of `aetherstream.results.rows.document`."""

    def take_down(self) -> None:
        """Make the service unreachable."""

    def bring_up(self) -> None:
        """Make it answer again."""


def row(carrier: str = "AA", version: int = 7, *, hour: int = 10, final: bool = True, **values: Any) -> Row:
    """Make a row as an hourly aggregate has it, with the outputs `flights`, `delay` and `note`."""
    window = Window(NEW_YEAR + hour * HOUR, NEW_YEAR + (hour + 1) * HOUR)
    return Row(
        id=f'hours/{window.id}/["{carrier}"]',
        aggregate="hours",
        window=window,
        version=version,
        final=final,
        group={"carrier": carrier},
        values={"flights": version, "delay": 1.5, "note": None, **values},
    )


def taken_back(gone: Row, version: int) -> Row:
    """Make the row that removes another."""
    return replace(gone, version=version, values=dict.fromkeys(gone.values), removed=True)


class OutletContract:
    """The obligations of an outlet (`aetherstream.results.parts.Outlet`)."""

    ROWS = (row("AA"), row("UA", hour=11), row("é/\"'☂", hour=36))

    def subject(self) -> OutletSubject:
        """The outlet, new for each test."""
        raise NotImplementedError

    def unstorable(self) -> Row:
        """A row that can never be stored."""
        return row("XX", note=object())

    def test_nothing_is_stored_of_nothing(self) -> None:
        """No rows, no request that could fail."""
        subject = self.subject()
        assert (subject.outlet.send((), 60.0), subject.stored()) == (Sent(), {})

    def test_each_row_is_stored_under_its_id(self) -> None:
        """Whole documents."""
        subject = self.subject()
        assert subject.outlet.send(self.ROWS, 60.0) == Sent()
        assert subject.stored() == shown(*self.ROWS)

    def test_rows_that_come_twice_are_stored_once(self) -> None:
        """A repeated emission is harmless."""
        subject = self.subject()
        subject.outlet.send(self.ROWS, 60.0)
        assert subject.outlet.send(self.ROWS, 60.0) == Sent()
        assert subject.stored() == shown(*self.ROWS)

    def test_rows_that_come_again_among_others_are_stored_once(self) -> None:
        """As a retry is cut otherwise."""
        subject = self.subject()
        subject.outlet.send(self.ROWS[:2], 60.0)
        subject.outlet.send(self.ROWS[1:], 60.0)
        assert subject.stored() == shown(*self.ROWS)

    def test_a_newer_row_replaces_an_older_one(self) -> None:
        """An update."""
        subject = self.subject()
        subject.outlet.send([row(version=7)], 60.0)
        subject.outlet.send([row(version=8)], 60.0)
        assert subject.stored() == shown(row(version=8))

    def test_an_older_row_after_a_newer_one_changes_nothing(self) -> None:
        """Emissions may overtake each other."""
        subject = self.subject()
        subject.outlet.send([row(version=8)], 60.0)
        assert subject.outlet.send([row(version=7)], 60.0) == Sent()
        assert subject.stored() == shown(row(version=8))

    @pytest.mark.parametrize("versions", [(7, 8, 9), (9, 8, 7), (8, 9, 7)])
    def test_of_rows_with_one_id_in_one_call_the_newest_stays(self, versions: Sequence[int]) -> None:
        """Whatever their order."""
        subject = self.subject()
        subject.outlet.send([row(version=version) for version in versions], 60.0)
        assert subject.stored() == shown(row(version=9))

    def test_the_largest_version_of_64_bits_is_taken(self) -> None:
        """Versions are sums of numbers that begin with the clock's milliseconds."""
        subject = self.subject()
        subject.outlet.send([row(version=2**63 - 2, flights=1)], 60.0)
        subject.outlet.send([row(version=2**63 - 1, flights=2)], 60.0)
        assert subject.stored() == shown(row(version=2**63 - 1, flights=2))

    def test_a_removed_row_is_not_to_be_seen(self) -> None:
        """A late event united its session with another."""
        subject = self.subject()
        first, other = row("AA"), row("UA")
        subject.outlet.send([first, other], 60.0)
        assert subject.outlet.send([taken_back(first, 9)], 60.0) == Sent()
        assert subject.stored() == shown(other)

    def test_a_row_that_is_older_than_its_removal_stays_away(self) -> None:
        """The removal was quicker."""
        subject = self.subject()
        subject.outlet.send([taken_back(row(version=7), 9)], 60.0)
        subject.outlet.send([row(version=8)], 60.0)
        assert subject.stored() == {}

    def test_a_row_that_is_removed_twice_is_removed(self) -> None:
        """A removal is repeated like any other row."""
        subject = self.subject()
        subject.outlet.send([row(version=7)], 60.0)
        for _ in range(2):
            assert subject.outlet.send([taken_back(row(), 9)], 60.0) == Sent()
        assert subject.stored() == {}

    def test_an_older_removal_changes_nothing(self) -> None:
        """Sessions may begin at the same time again."""
        subject = self.subject()
        subject.outlet.send([row(version=9)], 60.0)
        assert subject.outlet.send([taken_back(row(), 8)], 60.0) == Sent()
        assert subject.stored() == shown(row(version=9))

    def test_rows_and_removals_come_together(self) -> None:
        """One emission brings the session that is left and the one that is not."""
        subject = self.subject()
        subject.outlet.send([row("AA", 6), row("UA", 6)], 60.0)
        sent = subject.outlet.send([row("AA", 9), taken_back(row("UA"), 9), taken_back(row("ZZ"), 9)], 60.0)
        assert (sent, subject.stored()) == (Sent(), shown(row("AA", 9)))

    @pytest.mark.parametrize("seed", range(4))
    def test_in_whatever_order_rows_and_removals_come_the_newest_is_left(self, seed: int) -> None:
        """Emitters and the closer run side by side, and each repeats what failed."""
        subject, chance = self.subject(), random.Random(seed)  # noqa: S311 - a schedule, no secret
        every = [row(carrier, version) for carrier in ("AA", "UA", "DL") for version in range(1, 6)]
        every = [taken_back(each, each.version) if chance.random() < 0.3 else each for each in every]
        left = chance.sample(every, len(every)) + chance.sample(every, 6)
        while left:
            count = chance.randint(1, 5)
            assert subject.outlet.send(left[:count], 60.0) == Sent()
            del left[:count]
        last = [each for each in every if each.version == 5]
        assert subject.stored() == shown(*(each for each in last if not each.removed))

    def test_a_row_that_can_never_be_stored_is_refused_alone(self) -> None:
        """It would hold up all others."""
        subject = self.subject()
        wrong = self.unstorable()
        sent = subject.outlet.send([*self.ROWS, wrong], 60.0)
        assert list(sent.refused) == [wrong.id]
        assert sent.refused[wrong.id].reason
        assert subject.stored() == shown(*self.ROWS)

    def test_an_unavailable_service_is_retryable_and_the_retry_stores_everything(self) -> None:
        """Nothing is called sent."""
        subject = self.subject()
        subject.take_down()
        with pytest.raises(Retryable):
            subject.outlet.send(self.ROWS, 60.0)
        subject.bring_up()
        assert subject.outlet.send(self.ROWS, 60.0) == Sent()
        assert subject.stored() == shown(*self.ROWS)

    def test_without_time_nothing_is_called_sent(self) -> None:
        """What does not raise counts as stored."""
        subject = self.subject()
        with pytest.raises(Retryable):
            subject.outlet.send(self.ROWS, 0.0)

    def test_rows_are_not_changed(self) -> None:
        """They go to other outlets too."""
        subject = self.subject()
        before = deepcopy(self.ROWS)
        subject.outlet.send(self.ROWS, 60.0)
        assert before == self.ROWS


def shown(*rows: Row) -> dict[str, dict[str, Any]]:
    """What a reader is to find of rows, by id."""
    return {row.id: orjson.loads(line(document(row))) for row in rows}
