"""Whatever happens to a loader, and to two of them at once, every row stands in the table once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head
from aetherstream.errors import Retryable
from aetherstream.loader.finality import Finality
from aetherstream.loader.loader import Loader
from aetherstream.loader.notifications import Message
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.warehouse import MemoryWarehouse, remover
from tests.loader.world import PIPELINE, UPSERT, World, row, target


class Crash(BaseException):
    """The process is killed: nothing catches it."""


class Effects:
    """A loader whose every effect may be stopped: does something before or after the effect with a number."""

    def __init__(self, world: World, at: int | None, do: Callable[[Effects], None], *, before: bool) -> None:
        self.world = world
        self.count = 0
        self.dead = False
        self._at, self._do, self._before = at, do, before

    def effect(self, act: Callable[[], Any]) -> Any:
        if self.dead:
            raise Crash
        number, self.count = self.count, self.count + 1
        if number == self._at and self._before:
            self._do(self)
        result = act()
        if number == self._at and not self._before:
            self._do(self)
        return result

    def loader(self) -> Loader:
        world = self.world
        return world.loader(
            sinks=[(each, Watched(table, self)) for each, table in world.tables],
            finality=Finality(PIPELINE, STREAM, self),
            store=self,
            remove=lambda place: self.effect(lambda: remover(world.objects)(place)),
            queue=self,
        )

    def write(self, item: Progress, /) -> Progress | None:
        found: Progress | None = self.effect(lambda: self.world.progress.write(item))
        return found

    def head(self, bucket: str, key: str, /) -> Head | None:
        found: Head | None = self.effect(lambda: self.world.objects.head(bucket, key))
        return found

    def overwrite(self, *args: Any) -> None:
        self.effect(lambda: self.world.objects.overwrite(*args))

    def put(self, *args: Any, if_match: str | None) -> None:
        raise AssertionError("the loader puts nothing under a condition")

    def delay(self, waits: list[tuple[Message, int]], /) -> None:
        self.effect(lambda: self.world.queue.delay(waits))

    def refuse(self, message: Message, reason: str, /) -> None:
        self.effect(lambda: self.world.queue.refuse(message, reason))


class Watched:
    """A table whose every step is an effect."""

    def __init__(self, table: MemoryWarehouse, effects: Effects) -> None:
        self._table, self._effects = table, effects

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            mine = MemoryWarehouse(
                self._table.contract,
                self._table.reader,
                self._table.database,
                lambda step: self._effects.effect(lambda: None),
                self._table.refuses,
                clock=self._table.clock,
            )
            return getattr(mine, name)(*args)

        return call


def scene() -> World:
    """Objects of every fate: final, rewritten, emptied, gone, poisonous, waiting, and a message of nobody's."""
    world = World()
    final = [world.stage(world.key(number), row(number)) for number in (1, 2)]
    rewritten = world.stage(world.key(3), row(3), row(33))
    world.stage(rewritten, row(3), epoch=2)
    emptied = world.stage(world.key(4), row(4))
    world.empty(emptied)
    poison = world.stage(world.key(5), row(5))
    waiting = world.stage(world.key(6), row(6))
    world.warehouse.refuses = lambda location: "bad" if location.endswith(poison) else None
    world.note(waiting)
    world.announce(*final, emptied)
    world.announce(final[0])
    world.announce(rewritten, rewritten)
    world.announce(poison)
    world.announce(world.key(7))
    world.announce(waiting)
    world.queue.put("hello")
    return world


def ended(world: World) -> World:
    """Let the messages come until none is left."""
    world.note()
    for _ in range(8):
        world.now += 6000
        world.handle()
    return world


def settled(world: World) -> tuple[list[str], dict[str, str], int, int]:
    reasons = len({body for body, _ in world.queue.dead})
    return world.ids_in_table, world.states, len(world.queue.messages), reasons


WANTED = settled(ended(scene()))
EFFECTS = 60


def test_without_interruption_everything_comes_to_what_it_should() -> None:
    ids = [f"{SHARD}:{number}:0" for number in (1, 2, 3, 6)]
    world = World()
    failed = {world.key(5): "failed", world.key(7): "failed"}
    states = failed | {world.key(number): "loaded" for number in (1, 2, 3, 6)}
    assert settled(ended(scene())) == (ids, states, 0, 1)


def run(effects: Effects) -> None:
    world = effects.world
    taken = world.queue.take()
    try:
        done = effects.loader().handle(taken, lambda: world.left)
    except Crash:
        return
    world.queue.settle(taken, done.again)


def kill(effects: Effects) -> None:
    effects.dead = True
    raise Crash


def lose(effects: Effects) -> None:
    raise Retryable("lost")


def interleave(effects: Effects) -> None:
    """Another loader gets the same messages: their visibility has run out, say."""
    for held in effects.world.queue.messages.values():
        held.visible = effects.world.now
    run(Effects(effects.world, None, interleave, before=True))


@pytest.mark.parametrize(
    ("do", "before"),
    [(kill, True), (kill, False), (lose, True), (lose, False), (interleave, True)],
    ids=["killed before", "killed after", "refused", "answer lost", "another loader"],
)
def test_whatever_happens_at_any_effect(do: Callable[[Effects], None], before: bool) -> None:
    undisturbed = Effects(scene(), None, do, before=before)
    run(undisturbed)
    for at in range(undisturbed.count):
        effects = Effects(scene(), at, do, before=before)
        run(effects)
        assert effects.count > at
        assert settled(ended(effects.world)) == WANTED, f"at effect {at} of {undisturbed.count}"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("stage", "empty", "finish", "announce", "handle", "kill", "lose", "interleave", "wait")),
        st.integers(0, 3),
        st.integers(0, 40),
    ),
    max_size=40,
)


class Course:
    """Four keys that attempts put, rewrite and empty while they are open; each finishes once."""

    def __init__(self, *, upsert: bool) -> None:
        self.world = World(target(UPSERT) if upsert else target())
        self.keys = [self.world.key(number) for number in range(4)]
        self.epoch = 1
        self.open = dict.fromkeys(self.keys, True)
        self.held: dict[str, list[dict[str, Any]]] = {}
        self._note()
        for number, key in enumerate(self.keys):
            self.stage(key, number)
            if key in self.held:
                self.world.announce(key)

    def _note(self) -> None:
        self.world.note(*(key for key in self.keys if self.open[key]))

    def stage(self, key: str, size: int) -> None:
        if self.open[key]:
            self.epoch += 1
            number = self.keys.index(key)
            rows = [row(10 * number + n, tail=f"N{n}", version=(number * 7 + size) % 5) for n in range(size % 4)]
            if not rows:
                return self.empty(key)
            self.world.stage(key, *rows, epoch=self.epoch)
            self.held[key] = rows
        return None

    def empty(self, key: str) -> None:
        if self.open[key] and key in self.held:
            self.epoch += 1
            self.world.empty(key, self.epoch)
            self.held[key] = []

    def finish(self, key: str) -> None:
        self.open[key] = False
        self._note()

    def take(self, what: str, which: int, number: int) -> None:
        world, key = self.world, self.keys[which]
        do = {"kill": kill, "lose": lose, "interleave": interleave}.get(what)
        match what:
            case "stage":
                self.stage(key, number)
            case "empty":
                self.empty(key)
            case "finish":
                self.finish(key)
            case "announce" if key in self.held:
                world.announce(key)
            case "wait":
                world.now += 100 * number
            case "handle":
                world.handle(most=1 + number % 3)
            case _ if do is not None:
                run(Effects(world, number // 2, do, before=number % 2 == 0))


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_in_any_course_of_events_each_event_of_the_final_objects_is_loaded_once(
    steps: list[tuple[str, int, int]], upsert: bool
) -> None:
    course = Course(upsert=upsert)
    for step in steps:
        course.take(*step)
    for key in course.keys:
        course.finish(key)
        if key in course.held:
            course.world.announce(key)
    world = ended(course.world)
    rows = [each for held in course.held.values() for each in held]
    if upsert:
        newest = {each["tail"]: each for each in sorted(rows, key=lambda each: (each["version"], _number(each)))}
        assert sorted(world.warehouse.database.rows, key=lambda each: str(each["tail"])) == [
            newest[tail] for tail in sorted(newest)
        ]
    else:
        assert world.ids_in_table == sorted(each["_event_id"] for each in rows)
    assert world.queue.messages == {}


def _number(each: dict[str, Any]) -> int:
    return int(each["_event_id"].split(":")[1])
