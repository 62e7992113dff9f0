import pytest

from aetherstream.delivery.progress import Progress
from aetherstream.errors import Retryable
from aetherstream.loader.finality import OPEN, REDRIVEN, UNKNOWN_SHARD, Finality
from aetherstream.testing.builders import SHARD, STREAM
from tests.loader.world import BUCKET, PIPELINE, World

OTHER = "shardId-000000000001"


def finality(world: World) -> Finality:
    return Finality(PIPELINE, STREAM, world.progress)


def test_an_object_that_no_item_notes_is_final() -> None:
    assert finality(World()).waiting({f"{BUCKET}/a": SHARD}) == {}


def test_an_object_that_an_attempt_may_write_waits() -> None:
    world = World()
    world.note("a")
    assert finality(world).waiting({f"{BUCKET}/a": SHARD, f"{BUCKET}/b": SHARD}) == {f"{BUCKET}/a": OPEN}


def test_an_object_that_a_redrive_may_write_waits() -> None:
    world = World()
    world.note(redrive=["a"])
    assert finality(world).waiting({f"{BUCKET}/a": SHARD, f"{BUCKET}/b": SHARD}) == {f"{BUCKET}/a": REDRIVEN}


def test_an_object_of_a_shard_without_an_item_waits() -> None:
    assert finality(World()).waiting({f"{BUCKET}/a": OTHER, f"{BUCKET}/b": SHARD}) == {f"{BUCKET}/a": UNKNOWN_SHARD}


def test_each_call_reads_each_item_once_and_anew() -> None:
    world = World()
    asked = finality(world)
    before = world.progress.writes
    assert asked.waiting({f"{BUCKET}/a": SHARD, f"{BUCKET}/b": SHARD}) == {}
    world.note("a")
    assert asked.waiting({f"{BUCKET}/a": SHARD}) == {f"{BUCKET}/a": OPEN}
    assert world.progress.writes - before == 2


def test_looking_changes_no_item() -> None:
    world = World()
    world.note("a")
    before = dict(world.progress.items)
    finality(world).waiting({f"{BUCKET}/a": SHARD, f"{BUCKET}/b": OTHER})
    assert world.progress.items == before


def test_without_items_every_object_is_final() -> None:
    assert Finality(PIPELINE, STREAM, None).waiting({f"{BUCKET}/a": SHARD}) == {}


class Down:
    def write(self, item: Progress, /) -> Progress | None:
        raise Retryable("throttled")


def test_a_table_that_does_not_answer_is_no_answer() -> None:
    with pytest.raises(Retryable):
        Finality(PIPELINE, STREAM, Down()).waiting({f"{BUCKET}/a": SHARD})
