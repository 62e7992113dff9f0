"""Whatever interrupts a drain, at whichever of its effects: every document ends in the sink or in the quarantine, once.

Each test goes through all effects of a run (requests to the store, the table and the sink), before and after each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from aetherstream.delivery.put import Missing, PreconditionFailed
from aetherstream.errors import Retryable
from tests.drain.world import Crash, Hands, World, refuse

EVERYTHING = ["a", "b", "c", "d", "e"]
LEASE = 121.0


def new() -> World:
    """Two objects; the sink refuses the second document of the first."""
    world = World(most=2)
    world.open()
    world.spilled("a", "b", "c")
    world.now += 1
    world.spilled("d", "e", first=200)
    world.sink.answer = refuse("b")
    return world


def mend(world: World) -> None:
    """From now on the sink takes everything."""
    world.sink.answer = lambda name, _: None


def finish(world: World) -> None:
    """Let drains run until nothing waits, as the schedule does."""
    for _ in range(6):
        world.now += LEASE
        world.drain(probe_now=True)
    assert world.waiting() == []
    assert world.item.state != "open"


def once(world: World) -> bool:
    """Whether every document is in one of the two places, once."""
    return sorted(world.stored() + world.refused()) == EVERYTHING


Interrupt = Callable[[World, Hands], None]


def every_effect(interrupt: Interrupt, *, prompt: bool = False) -> Iterator[tuple[World, Hands]]:
    """Run drains that are interrupted at their first effect, their second, and so on; gives what then stands."""
    for before in (True, False):
        for at in range(1000):
            world = new()
            hands = Hands(at, before, prompt=prompt)
            hands.do = lambda world=world, hands=hands: interrupt(world, hands)  # type: ignore[misc]
            with suppress(Crash):
                world.drain(hands)
            if hands.count <= at:
                assert at > 15, "the scenario has become too small to say anything"
                break
            yield world, hands


def test_a_process_that_is_killed_anywhere() -> None:
    for world, _ in every_effect(lambda _, hands: hands.crash()):
        finish(world)
        assert (once(world), world.refused(), world.item.state) == (True, ["b"], "closed")


def test_a_process_that_is_killed_before_the_sink_takes_what_it_refused() -> None:
    def interrupt(world: World, hands: Hands) -> None:
        mend(world)
        hands.crash()

    for world, _ in every_effect(interrupt):
        finish(world)
        assert once(world)


def test_a_process_that_is_killed_before_the_sink_refuses_what_it_took() -> None:
    """A document that the sink had when its drain was killed may stand in the quarantine too; none is lost."""

    def interrupt(world: World, hands: Hands) -> None:
        world.sink.answer = refuse("b", "d")
        hands.crash()

    for world, _ in every_effect(interrupt):
        finish(world)
        assert set(world.stored() + world.refused()) == set(EVERYTHING)
        assert world.refused() in (["b"], ["b", "d"])


def test_a_drain_that_outlives_its_lease_undoes_nothing() -> None:
    def interrupt(world: World, _: Hands) -> None:
        world.now += LEASE
        mend(world)
        world.drain(probe_now=True)

    for world, hands in every_effect(interrupt):
        assert once(world), hands
        finish(world)
        assert once(world), hands


def test_a_drain_that_outlives_its_lease_and_finds_the_sink_stricter() -> None:
    def interrupt(world: World, _: Hands) -> None:
        world.now += LEASE
        world.drain(probe_now=True)

    for world, hands in every_effect(interrupt):
        finish(world)
        assert (once(world), world.refused()) == (True, ["b"]), hands


@pytest.mark.parametrize("mends_first", [True, False])
def test_a_successor_that_is_killed_while_its_predecessor_still_runs(mends_first: bool) -> None:
    """The predecessor does not stand still for longer than its lease between looking at it and delivering.

    No store can fence a sink: a document that the successor has in the quarantine would then be delivered.
    """
    for second in range(0, 40, 2):

        def interrupt(world: World, _: Hands, second: int = second) -> None:
            world.now += LEASE
            if mends_first:
                mend(world)
            hands = Hands(second, before=False)
            hands.do = hands.crash
            with suppress(Crash):
                world.drain(hands, probe_now=True)
            world.now += LEASE
            mend(world)
            world.drain(probe_now=True)

        for world, hands in every_effect(interrupt, prompt=True):
            finish(world)
            assert once(world), (hands, second)


def test_answers_that_are_lost_cost_nothing() -> None:
    """The effect came about, its answer did not: the run ends, and the next one finds what it did."""

    def interrupt(_: World, hands: Hands) -> None:
        hands.at = None
        raise Retryable("the answer was lost")

    for world, _ in every_effect(interrupt):
        mend(world)
        finish(world)
        assert once(world)


def test_an_object_that_somebody_removes_meanwhile_is_no_error() -> None:
    def interrupt(world: World, _: Hands) -> None:
        for key in [key for key in world.objects.objects if "spill/search" in key[1]]:
            del world.objects.objects[key]

    for world, _ in every_effect(interrupt):
        finish(world)
        assert set(world.stored()) | set(world.refused()) <= set(EVERYTHING)


def test_an_object_that_an_attempt_writes_again_meanwhile_is_not_emptied_unseen() -> None:
    def interrupt(world: World, _: Hands) -> None:
        with suppress(PreconditionFailed, Missing):
            world.spilled("a", "b", "c", "late", epoch=9)

    for world, _ in every_effect(interrupt):
        finish(world)
        assert "late" in world.stored()


def test_a_put_that_lands_late_undoes_nothing() -> None:
    """The run that sent it had given it up, and had given its lease back."""

    def interrupt(_: World, hands: Hands) -> None:
        hands.at = None
        raise Retryable("no answer in time")

    for world, hands in every_effect(interrupt):
        mend(world)
        world.drain(probe_now=True)
        with suppress(PreconditionFailed, Missing):
            hands.last_put()
        finish(world)
        assert once(world)
