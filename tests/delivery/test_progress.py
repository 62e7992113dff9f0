from dataclasses import replace

import pytest

from aetherstream.delivery.progress import Attempt, Progress, ended, is_crasher, next_attempt, progress_key


def after(attempt: Attempt) -> Progress:
    return Progress("p#s#0", revision=3, attempt=attempt)


def test_the_key_names_pipeline_stream_and_shard() -> None:
    key = progress_key("flights", "arn:aws:kinesis:eu-central-1:123456789012:stream/events", "shardId-000000000001")
    assert key == "flights#events#shardId-000000000001"


def test_an_attempt_at_a_new_start_forgets_the_kills_of_the_last_one() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False, killed=5, alone=1))
    assert next_attempt(before, "003200", 10, "p2") == Attempt("003200", 10, "p2", ended=False)


def test_an_attempt_that_did_not_end_was_killed_when_another_process_comes() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False))
    assert next_attempt(before, "003100", 8, "p2") == Attempt("003100", 8, "p2", ended=False, killed=1)


def test_a_further_attempt_by_the_same_process_proves_that_it_was_not_killed() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False))
    assert next_attempt(before, "003100", 8, "p1") == Attempt("003100", 8, "p1", ended=False)


def test_an_attempt_that_ended_with_an_error_was_not_killed() -> None:
    before = after(Attempt("003100", 8, "p1", ended=True))
    assert next_attempt(before, "003100", 8, "p2") == Attempt("003100", 8, "p2", ended=False)


def test_after_two_kills_the_attempt_takes_half() -> None:
    before = after(Attempt("003100", 8, "p2", ended=False, killed=1))
    assert next_attempt(before, "003100", 8, "p3") == Attempt("003100", 4, "p3", ended=False, killed=2)


def test_an_error_after_kills_keeps_the_size_that_the_kills_came_to() -> None:
    before = after(Attempt("003100", 4, "p3", ended=True, killed=2))
    assert next_attempt(before, "003100", 8, "p4") == Attempt("003100", 4, "p4", ended=False, killed=2)


def test_a_smaller_batch_than_half_is_taken_whole() -> None:
    before = after(Attempt("003100", 8, "p2", ended=False, killed=1))
    assert next_attempt(before, "003100", 3, "p3") == Attempt("003100", 3, "p3", ended=False, killed=2)


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
def test_a_record_that_kills_every_attempt_is_alone_and_called_a_crasher_in_bounded_time(size: int) -> None:
    item = after(Attempt())
    sizes = []
    for number in range(40):
        attempt = next_attempt(item, "003100", size, f"p{number}")
        if is_crasher(attempt):
            break
        sizes.append(attempt.size)
        item = replace(item, attempt=attempt)
    halved = [size]
    while halved[-1] > 1:
        halved.append(halved[-1] // 2)
    assert sizes == [size, size, *halved[1:], 1] if size > 1 else sizes == [1, 1, 1, 1]


def test_a_crasher_is_a_single_record_that_killed_twice_alone() -> None:
    alone = Attempt("003100", 1, "p", ended=False, killed=4, alone=2)
    assert [is_crasher(alone), is_crasher(replace(alone, alone=1)), is_crasher(replace(alone, size=2))] == [
        True,
        False,
        False,
    ]


def test_ending_an_attempt_raises_the_revision_and_nothing_else() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False, killed=1))
    assert ended(before) == replace(before, revision=4, attempt=replace(before.attempt, ended=True))
