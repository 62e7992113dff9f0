from collections.abc import Callable

import pytest

from aetherstream.errors import Retryable
from aetherstream.loader.manifests import Manifests
from aetherstream.loader.narrowing import FAILED_ALONE, NO_TIME, Loads, Narrowing
from aetherstream.loader.parts import CopyFailed, Load, Loaded, Staged
from aetherstream.testing.warehouse import MemoryWarehouse, remover
from tests.loader.world import BUCKET, World, failing_at, row


def staged(world: World, number: int) -> Staged:
    key = world.stage(world.key(number), row(number))
    head = world.objects.head(BUCKET, key)
    assert head is not None
    return Staged(BUCKET, key, head.etag.strip('"'), 1)


def narrow(
    world: World,
    objects: list[Staged],
    *,
    warehouse: MemoryWarehouse | None = None,
    seconds_left: Callable[[], float] = lambda: 900.0,
    done: Loads | None = None,
) -> Loads:
    done = done or Loads()
    Narrowing(
        warehouse or world.warehouse,
        lambda load: Manifests(world.target, load, world.objects, remover(world.objects)),
        call="call",
        seconds_left=seconds_left,
        done=done,
    ).load(objects)
    return done


def counted(world: World) -> list[str]:
    """The loads that are begun from here on."""
    begun: list[str] = []
    world.warehouse.at = lambda step: begun.append(step) if step == "begin" else None
    return begun


def poison(world: World, *bad: Staged, tells: bool) -> None:
    names = {each.location for each in bad}
    world.warehouse.refuses = lambda location: f"bad {location[-10:]}" if location in names else None
    world.warehouse.tells = tells


def locations(*objects: Staged) -> set[str]:
    return {each.location for each in objects}


def test_what_loads_is_loaded_by_one_load() -> None:
    world = World()
    begun, objects = counted(world), [staged(world, number) for number in range(100)]
    done = narrow(world, objects)
    assert (done.loaded, done.rows, done.ids, begun) == (locations(*objects), 100, ["call-1"], ["begin"])


def test_an_object_that_redshift_names_is_set_aside_and_the_rest_loads() -> None:
    world = World()
    begun, objects = counted(world), [staged(world, number) for number in range(100)]
    poison(world, objects[42], tells=True)
    done = narrow(world, objects)
    assert done.loaded == locations(*objects) - locations(objects[42])
    assert list(done.set_aside) == [objects[42].location]
    assert world.states[objects[42].key] == "failed"
    assert len(begun) == 2


def test_what_is_set_aside_keeps_the_words_of_redshift() -> None:
    world = World()
    objects = [staged(world, number) for number in range(2)]
    poison(world, objects[1], tells=True)
    narrow(world, objects)
    [entry] = world.warehouse.failures(1)
    assert (entry.location, entry.etag, entry.load) == (objects[1].location, objects[1].etag, "call")
    assert entry.error == f"unknown line: bad {objects[1].location[-10:]}"


@pytest.mark.parametrize("bad", [[0], [99], [31, 32, 33], [0, 50, 99]])
def test_objects_that_nobody_names_are_found_by_taking_the_load_apart(bad: list[int]) -> None:
    world = World()
    begun, objects = counted(world), [staged(world, number) for number in range(100)]
    poison(world, *(objects[number] for number in bad), tells=False)
    done = narrow(world, objects)
    assert set(done.set_aside) == locations(*(objects[number] for number in bad))
    assert done.loaded == locations(*objects) - set(done.set_aside)
    assert len(begun) <= 1 + 14 * len(bad)


def test_one_of_two_objects_is_found() -> None:
    world = World()
    objects = [staged(world, number) for number in range(2)]
    poison(world, objects[0], tells=False)
    done = narrow(world, objects)
    assert (set(done.set_aside), done.loaded) == (locations(objects[0]), locations(objects[1]))


def test_an_object_that_fails_with_nothing_else_loaded_waits() -> None:
    world = World()
    objects = [staged(world, 1)]
    poison(world, *objects, tells=False)
    done = narrow(world, objects)
    assert (done.set_aside, done.waiting) == ({}, {objects[0].location: FAILED_ALONE})
    assert world.states == {}


def test_where_everything_fails_the_world_is_at_fault_and_nothing_is_set_aside() -> None:
    world = World()
    begun, objects = counted(world), [staged(world, number) for number in range(500)]
    poison(world, *objects, tells=False)
    done = narrow(world, objects)
    assert (done.set_aside, done.loaded, set(done.waiting)) == ({}, set(), locations(*objects))
    assert len(begun) == 24


def test_what_was_loaded_before_is_no_sign_that_the_world_is_well() -> None:
    world = World()
    objects = [staged(world, 1), staged(world, 2)]
    narrow(world, objects[:1])
    poison(world, objects[1], tells=False)
    done = narrow(world, objects)
    assert (set(done.known), done.set_aside, set(done.waiting)) == (locations(objects[0]), {}, locations(objects[1]))


def test_a_load_is_not_begun_with_too_little_time() -> None:
    world = World()
    begun, objects = counted(world), [staged(world, 1)]
    done = narrow(world, objects, seconds_left=lambda: 24.0)
    assert (done.waiting, begun) == ({objects[0].location: NO_TIME}, [])


def test_what_is_known_when_the_time_is_over_is_kept() -> None:
    world = World()
    begun, objects = counted(world), [staged(world, number) for number in range(8)]
    poison(world, objects[0], tells=False)
    done = narrow(world, objects, seconds_left=lambda: 900.0 if len(begun) < 2 else 20.0)
    assert len(done.loaded) == 4
    assert set(done.waiting.values()) == {NO_TIME}
    assert done.loaded | set(done.waiting) == locations(*objects)


def test_a_load_gets_the_time_that_is_left_without_that_for_answering() -> None:
    world = World()
    given: list[float] = []

    class Patient(MemoryWarehouse):
        def load(self, load: Load, seconds: float, /) -> Loaded:
            given.append(seconds)
            return super().load(load, seconds)

    narrow(world, [staged(world, 1)], warehouse=Patient(world.target.contract, world.objects))
    assert given == [890.0]


def test_what_hinders_a_load_ends_the_narrowing_and_what_was_done_is_told() -> None:
    world = World()
    objects = [staged(world, number) for number in range(4)]
    poison(world, objects[1], tells=False)
    done = Loads()
    hook, steps = failing_at("commit", Retryable("lost")), [0]

    def second(step: str) -> None:
        steps[0] += step == "begin"
        if steps[0] == 3:
            hook(step)

    world.warehouse.at = second
    with pytest.raises(Retryable):
        narrow(world, objects, done=done)
    assert done.failed >= 1
    assert set(done.set_aside) == set()
    assert locations(*objects) >= done.loaded == set(world.warehouse.database.ledger)


def test_a_load_that_goes_on_without_us_lets_everything_wait_for_it() -> None:
    world = World()

    class Asynchronous(MemoryWarehouse):
        def load(self, load: Load, seconds: float, /) -> Loaded:
            load.put_manifest(load.objects)
            return Loaded(waiting="load 7 runs since 12:00")

    objects = [staged(world, number) for number in range(3)]
    done = narrow(world, objects, warehouse=Asynchronous(world.target.contract, world.objects))
    assert done.waiting == dict.fromkeys(locations(*objects), "load 7 runs since 12:00")
    manifests = list(world.objects.under(BUCKET, world.target.manifests))
    assert len(manifests) == 1  # it is still to be read


def test_manifests_are_removed_after_their_load() -> None:
    world = World()
    objects = [staged(world, number) for number in range(4)]
    poison(world, objects[1], tells=False)
    narrow(world, objects)
    assert list(world.objects.under(BUCKET, world.target.manifests)) == []


def test_details_of_other_objects_name_nobody() -> None:
    world = World()
    objects = [staged(world, number) for number in range(2)]

    class Confused(MemoryWarehouse):
        def load(self, load: Load, seconds: float, /) -> Loaded:
            raise CopyFailed("no", [])

    done = narrow(world, objects, warehouse=Confused(world.target.contract, world.objects))
    assert (done.set_aside, set(done.waiting)) == ({}, locations(*objects))
