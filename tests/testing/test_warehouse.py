from collections.abc import Sequence

import pytest

from aetherstream.errors import Retryable
from aetherstream.loader.parts import CopyFailed, Load, Loaded, Staged
from aetherstream.testing.warehouse import MemoryWarehouse
from aetherstream.warehouse.sql import ObjectRef, manifest
from tests.loader.world import BUCKET, World, row


def load(world: World, *numbers: int, rows: int = 1) -> Load:
    objects = tuple(Staged(BUCKET, world.stage(world.key(number), row(number)), "e", rows) for number in numbers)

    def put(chosen: Sequence[Staged]) -> ObjectRef:
        place = ObjectRef(BUCKET, "manifest")
        world.objects.overwrite(place.bucket, place.key, manifest([each.ref for each in chosen]), {})
        return place

    return Load("load1", objects, put)


def test_what_was_loaded_is_known_afterwards() -> None:
    world = World()
    first = world.warehouse.load(load(world, 1), 60)
    again = world.warehouse.load(load(world, 1, 2), 60)
    assert (set(first.fresh), first.rows) == ({f"{BUCKET}/{world.key(1)}"}, 1)
    assert (set(again.fresh), set(again.known)) == ({f"{BUCKET}/{world.key(2)}"}, {f"{BUCKET}/{world.key(1)}"})


def test_transactions_that_overlap_conflict() -> None:
    world = World()
    others: list[Loaded] = []
    other = MemoryWarehouse(world.target.contract, world.objects, world.warehouse.database)
    world.warehouse.at = lambda step: others.append(other.load(load(world, 2), 60)) if step == "commit" else None
    with pytest.raises(Retryable, match="1023"):
        world.warehouse.load(load(world, 1), 60)
    assert world.ids_in_table == [row(2)["_event_id"]]


def test_a_load_that_fails_leaves_nothing() -> None:
    world = World()
    world.warehouse.refuses = lambda location: "bad" if location.endswith(world.key(2)) else None
    with pytest.raises(CopyFailed, match="bad"):
        world.warehouse.load(load(world, 1, 2), 60)
    assert (world.ids_in_table, world.states) == ([], {})


def test_rows_that_are_missing_are_noticed() -> None:
    world = World()
    with pytest.raises(CopyFailed, match="has 1 rows, not 2"):
        world.warehouse.load(load(world, 1, rows=2), 60)


def test_what_was_set_aside_and_forgotten_is_loaded() -> None:
    world = World()
    table, made = world.warehouse, load(world, 1)
    table.set_aside({made.objects[0]: "bad"}, "load1", 60)
    assert table.load(made, 60).fresh == frozenset()
    assert table.forget([made.objects[0].location], 60) == 1
    assert table.load(made, 60).fresh == {made.objects[0].location}


def test_what_was_loaded_is_not_forgotten() -> None:
    world = World()
    made = load(world, 1)
    world.warehouse.load(made, 60)
    assert world.warehouse.forget([made.objects[0].location], 60) == 0
