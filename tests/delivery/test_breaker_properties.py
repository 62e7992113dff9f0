"""Whatever sink, table, processes and drain do: a breaker never stays shut without a probe being due."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aetherstream.delivery.breaker import LOOK_OPEN, Breaker
from aetherstream.delivery.breaker_item import (
    LONGEST_WAIT,
    OVERDUE,
    BreakerItem,
    Rules,
    breaker_key,
    closed,
    due,
    half_opened,
    opened,
)
from aetherstream.sinks.base import Answer
from aetherstream.testing.breakers import MemoryBreakers

KEY = breaker_key("flights", "search")
RULES = Rules(failures=3, probe_after=30.0)
answers = st.lists(
    st.builds(
        lambda documents, failed, refused: Answer(documents, min(documents, failed), "why", refused=refused),
        st.integers(0, 100),
        st.integers(0, 100),
        st.integers(0, 20).map(lambda number: number == 0),
    ),
    max_size=5,
)


class Machine(RuleBasedStateMachine):
    """Two processes of the stream function, a drain, and a table that may be down or lose its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.store = MemoryBreakers()
        self.breakers = [self.process(), self.process()]

    def process(self) -> Breaker:
        return Breaker(self.store, KEY, RULES, clock=lambda: self.now)

    @property
    def item(self) -> BreakerItem:
        return self.store.items.get(KEY, BreakerItem(KEY))

    @rule(which=st.integers(0, 1), what=answers)
    def a_batch(self, which: int, what: list[Answer]) -> None:
        breaker = self.breakers[which]
        if breaker.allows():
            assert breaker.note(what) == (breaker.state == "open")

    @rule(which=st.integers(0, 1))
    def a_cold_start(self, which: int) -> None:
        self.breakers[which] = self.process()

    @rule(seconds=st.sampled_from([0.5, 5.0, 29.0, 61.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(down=st.booleans(), loses=st.booleans())
    def the_table_changes(self, down: bool, loses: bool) -> None:
        self.store.down, self.store.loses_answers = down, loses

    @rule(good=st.booleans())
    def a_drain(self, good: bool) -> None:
        item = self.item
        if item.state == "half_open" and item.answered:
            self.store.items[KEY] = closed(item, self.now, "drained", "drain")
        elif due(item, self.now):
            done = half_opened(item, self.now, "probe", "drain", answered=True)
            self.store.items[KEY] = done if good else opened(item, self.now, "probe", "drain", RULES)

    @invariant()
    def an_open_one_has_a_probe_before_it(self) -> None:
        item = self.item
        if item.state == "open":
            assert item.probe_at <= (self.now + LONGEST_WAIT) * 1000
            assert item.since <= self.now * 1000 < item.probe_at + 10**9

    @invariant()
    def what_is_not_open_waits_for_nothing(self) -> None:
        item = self.item
        assert not item.held
        assert item.state != "closed" or (item.wait, item.probe_at, item.probes) == (0, 0, 0)

    def teardown(self) -> None:
        """Without any drain, and whether or not the table answers, live traffic comes to flow again."""
        for breaker in self.breakers:
            for _ in range(3):  # what was decided alone may be shared first, and then waits its own time
                self.now += LONGEST_WAIT + OVERDUE + LOOK_OPEN
                allowed = breaker.allows()
            assert allowed


Machine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase
