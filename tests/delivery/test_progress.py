from dataclasses import replace

import pytest

from aetherstream.delivery.progress import Attempt, Death, Progress, ended, is_crasher, next_attempt, progress_key


def deaths(*sizes: int) -> tuple[Death, ...]:
    return tuple(Death(f"dead{number}", size) for number, size in enumerate(sizes))


def after(attempt: Attempt) -> Progress:
    return Progress("p#s#0", revision=3, attempt=attempt)


def test_the_key_names_pipeline_stream_and_shard() -> None:
    key = progress_key("flights", "arn:aws:kinesis:eu-central-1:123456789012:stream/events", "shardId-000000000001")
    assert key == "flights#events#shardId-000000000001"


def test_an_attempt_at_a_new_start_forgets_the_kills_of_the_last_one() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False, deaths=deaths(8, 8, 4, 2, 1)))
    assert next_attempt(before, "003200", 10, "p2") == Attempt("003200", 10, "p2", ended=False)


def test_an_attempt_that_did_not_end_was_killed_when_another_process_comes() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False))
    assert next_attempt(before, "003100", 8, "p2") == Attempt("003100", 8, "p2", ended=False, deaths=(Death("p1", 8),))


def test_a_further_attempt_by_the_same_process_proves_that_it_was_not_killed() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False))
    assert next_attempt(before, "003100", 8, "p1") == Attempt("003100", 8, "p1", ended=False)


def test_an_attempt_that_ended_with_an_error_was_not_killed() -> None:
    before = after(Attempt("003100", 8, "p1", ended=True))
    assert next_attempt(before, "003100", 8, "p2") == Attempt("003100", 8, "p2", ended=False)


def test_after_two_kills_the_attempt_takes_half() -> None:
    before = after(Attempt("003100", 8, "p2", ended=False, deaths=deaths(8)))
    wanted = Attempt("003100", 4, "p3", ended=False, deaths=(*deaths(8), Death("p2", 8)))
    assert next_attempt(before, "003100", 8, "p3") == wanted


def test_an_error_after_kills_keeps_the_size_that_the_kills_came_to() -> None:
    before = after(Attempt("003100", 4, "p3", ended=True, deaths=deaths(8, 8)))
    assert next_attempt(before, "003100", 8, "p4") == Attempt("003100", 4, "p4", ended=False, deaths=deaths(8, 8))


def test_a_smaller_batch_than_half_is_taken_whole() -> None:
    before = after(Attempt("003100", 8, "p2", ended=False, deaths=deaths(8)))
    wanted = Attempt("003100", 3, "p3", ended=False, deaths=(*deaths(8), Death("p2", 8)))
    assert next_attempt(before, "003100", 3, "p3") == wanted


def test_a_process_that_counts_as_killed_and_comes_back_was_not() -> None:
    before = after(Attempt("003100", 4, "p3", ended=True, deaths=deaths(8, 8, 4)))
    wanted = Attempt("003100", 4, "dead1", ended=False, deaths=(Death("dead0", 8), Death("dead2", 4)))
    assert next_attempt(before, "003100", 8, "dead1") == wanted


def test_a_batch_is_taken_whole_again_when_fewer_than_two_were_killed_after_all() -> None:
    before = after(Attempt("003100", 4, "p3", ended=True, deaths=deaths(8, 8)))
    wanted = Attempt("003100", 8, "dead1", ended=False, deaths=(Death("dead0", 8),))
    assert next_attempt(before, "003100", 8, "dead1") == wanted


def test_the_deaths_that_are_kept_are_bounded() -> None:
    item = after(Attempt())
    for number in range(100):
        item = replace(item, attempt=next_attempt(item, "003100", 1, f"p{number}"))
    assert item.attempt.deaths == tuple(Death(f"p{number}", 1) for number in range(67, 99))


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
    alone = Attempt("003100", 1, "p", ended=False, deaths=deaths(2, 2, 1, 1))
    others = (replace(alone, deaths=deaths(1, 1, 1)), replace(alone, deaths=deaths(4, 4, 2, 1)), replace(alone, size=2))
    assert [is_crasher(alone), *map(is_crasher, others)] == [True, False, False, False]


def test_ending_an_attempt_raises_the_revision_and_nothing_else() -> None:
    before = after(Attempt("003100", 8, "p1", ended=False, deaths=deaths(8)))
    assert ended(before, "p1") == replace(before, revision=4, attempt=replace(before.attempt, ended=True))


def test_an_attempt_that_its_successor_counts_as_killed_takes_that_back_when_it_ends() -> None:
    before = after(Attempt("003100", 4, "p3", ended=False, deaths=deaths(8, 8)))
    wanted = replace(before, revision=4, attempt=replace(before.attempt, deaths=(Death("dead0", 8),)))
    assert ended(before, "dead1") == wanted


def test_an_attempt_that_nobody_takes_for_killed_has_nothing_to_say_at_its_end() -> None:
    before = after(Attempt("003100", 4, "p3", ended=False, deaths=deaths(8, 8)))
    assert [ended(before, "p4"), ended(after(replace(before.attempt, ended=True)), "p3")] == [None, None]
