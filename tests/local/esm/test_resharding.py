import random

from aetherstream.local.esm import FunctionError, Mapping, Returned

from .harness import START, Harness, invokes, numbers, raising_at, record, records, settings


def family(**changes: object) -> Mapping:
    """Two parents that merged into a child, which split again."""
    mapping = Mapping(settings(**changes), random.Random(3))
    mapping.add_shard("left")
    mapping.add_shard("right")
    mapping.add_shard("child", ["left", "right"])
    mapping.add_shard("grandchild", ["child"])
    return mapping


def test_children_start_only_after_all_parents_are_completely_processed() -> None:
    mapping = family(batch_size=1)
    mapping.feed("left", records([1, 2]), START)
    mapping.feed("right", [record(3)], START)
    mapping.feed("child", [record(4)], START)
    mapping.feed("grandchild", [record(5)], START)
    for shard in ("left", "right", "child", "grandchild"):
        mapping.shard_end(shard)
    run = Harness(mapping).run()
    order = [batch for (batch,) in run.batches]
    assert (sorted(order[:3]), order[3:]) == (["1", "2", "3"], ["4", "5"])


def test_a_child_is_not_read_while_a_parent_is_unfinished() -> None:
    mapping = family()
    mapping.feed("left", [record(1)], START)
    mapping.shard_end("left")
    mapping.shard_end("right")
    (parent,) = invokes(mapping, START)
    before = mapping.room("child")
    mapping.finished(parent.invocation_id, Returned(None), START)
    assert (before, mapping.room("child")) == (0, 10_000)


def test_a_parent_that_is_retrying_holds_its_children() -> None:
    mapping = family()
    mapping.feed("left", [record(1)], START)
    mapping.feed("child", [record(4)], START)
    mapping.shard_end("left")
    mapping.shard_end("right")
    (parent,) = invokes(mapping, START)
    mapping.finished(parent.invocation_id, FunctionError(), START)
    assert [numbers(invoke.event) for invoke in invokes(mapping, START + 60)] == [["1"]]


def test_a_parent_whose_last_records_are_discarded_lets_its_children_start() -> None:
    mapping = family(maximum_retry_attempts=0)
    mapping.feed("left", [record(1)], START)
    mapping.feed("child", [record(4)], START)
    mapping.shard_end("left")
    mapping.shard_end("right")
    run = Harness(mapping, raising_at("1")).run()
    assert (run.batches, run.gone) == ([["1"], ["4"]], [("RetryAttemptsExhausted", ["1"])])


def test_parents_that_are_not_known_do_not_hold_their_children() -> None:
    mapping = Mapping(settings(), random.Random(3))
    mapping.add_shard("child", ["trimmed long ago"])
    mapping.feed("child", [record(4)], START)
    assert [numbers(invoke.event) for invoke in invokes(mapping, START)] == [["4"]]


def test_a_shard_that_is_added_again_keeps_its_position() -> None:
    mapping = family()
    mapping.feed("left", [record(1)], START)
    mapping.add_shard("left")
    assert mapping.iterator("left") == {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "1"}
