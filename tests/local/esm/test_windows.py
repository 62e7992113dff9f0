import json
import random
from typing import Any

import pytest

from aetherstream.local.esm import FunctionError, Mapping, Result, Returned, StreamRecord
from aetherstream.local.esm.window import STATE_LIMIT

from .harness import SHARD, START, Harness, harness, invokes, numbers, record, settings

Call = tuple[list[str], dict[str, Any], bool]


def count(batch: list[str], event: dict[str, Any]) -> Result:
    """A window function that counts its records."""
    return Returned({"state": {"n": event["state"].get("n", 0) + len(batch)}})


def calls(run: Harness) -> list[Call]:
    return [(numbers(e), e["state"], e["isFinalInvokeForWindow"]) for e in run.events]


def windows(run: Harness) -> list[tuple[str, str]]:
    return [(e["window"]["start"][11:], e["window"]["end"][11:]) for e in run.events]


def at(number: int, second: float) -> StreamRecord:
    return record(number, arrival=START + second)


def test_records_of_one_window_share_its_state_and_a_final_invoke_closes_it() -> None:
    run = harness(count, feed=[at(1, 0), at(2, 59), at(3, 60)], tumbling_window=60).run()
    assert calls(run) == [
        (["1", "2"], {}, False),
        ([], {"n": 2}, True),
        (["3"], {}, False),
        ([], {"n": 1}, True),
    ]
    assert windows(run) == [("08:00:00Z", "08:01:00Z")] * 2 + [("08:01:00Z", "08:02:00Z")] * 2


def test_state_is_carried_from_batch_to_batch() -> None:
    run = harness(count, feed=[at(n, n) for n in range(1, 6)], tumbling_window=60, batch_size=2).run()
    assert [state for _, state, _ in calls(run)] == [{}, {"n": 2}, {"n": 4}, {"n": 5}]


def test_an_idle_window_is_closed_two_minutes_after_its_end() -> None:
    run = harness(count, feed=[at(1, 0)], tumbling_window=60).run()
    assert [moment - START for moment, _ in run.invoked] == [0, 180]


def test_a_backlog_that_arrives_in_pieces_does_not_close_its_window_between_them() -> None:
    run = harness(count, feed=[at(1, -3600)], tumbling_window=60).run(until=START)
    run.mapping.feed(SHARD, [at(2, -3599)], START + 5)
    run.run()
    assert [state for _, state, _ in calls(run)] == [{}, {"n": 1}, {"n": 2}]


def test_the_end_of_the_shard_closes_the_window_at_once() -> None:
    run = harness(count, feed=[at(1, 0)], tumbling_window=60)
    run.mapping.shard_end(SHARD)
    run.run()
    assert (calls(run)[-1], run.now, run.mapping.done(SHARD)) == (([], {"n": 1}, True), START, True)


def test_an_open_window_keeps_the_mapping_from_being_idle() -> None:
    run = harness(count, feed=[at(1, 0)], tumbling_window=60).run(until=START)
    assert run.mapping.idle is False
    assert run.run().mapping.idle is True


def test_a_child_shard_starts_with_fresh_state() -> None:
    mapping = Mapping(settings(tumbling_window=60), random.Random(1))
    mapping.add_shard(SHARD)
    mapping.add_shard("child", [SHARD])
    mapping.feed(SHARD, [at(1, 0)], START)
    mapping.shard_end(SHARD)
    mapping.feed("child", [at(9, 1)], START)
    run = Harness(mapping, count).run()
    assert calls(run) == [(["1"], {}, False), ([], {"n": 1}, True), (["9"], {}, False), ([], {"n": 1}, True)]


@pytest.mark.parametrize("payload", [None, {}, {"batchItemFailures": []}, {"state": 1}])
def test_a_response_without_state_is_a_failed_invocation(payload: object) -> None:
    results = iter([Returned(payload), Returned({"state": {}}), Returned({"state": {}})])
    run = harness(lambda *_: next(results), feed=[at(1, 0)], tumbling_window=60).run()
    assert calls(run) == [(["1"], {}, False), (["1"], {}, False), ([], {}, True)]


def test_a_failing_final_invoke_is_repeated_and_holds_the_shard() -> None:
    failures = iter([True] * 5 + [False] * 2)

    def run_function(batch: list[str], event: dict[str, Any]) -> Result:
        return FunctionError() if event["isFinalInvokeForWindow"] and next(failures) else count(batch, event)

    run = harness(run_function, feed=[at(1, 0), at(2, 60)], tumbling_window=60, maximum_retry_attempts=1).run()
    assert [(batch, final) for batch, _, final in calls(run)] == [
        (["1"], False),
        *[([], True)] * 6,
        (["2"], False),
        ([], True),
    ]
    assert run.invoked[3][0] > run.invoked[2][0]


def test_the_state_beside_failures_is_kept_when_the_checkpoint_advances() -> None:
    answers = iter(
        [
            Returned({"state": {"n": 1}, "batchItemFailures": [{"itemIdentifier": "2"}]}),
            Returned({"state": {"n": 9}, "batchItemFailures": [{"itemIdentifier": "2"}]}),
            Returned({"state": {"n": 2}}),
            Returned({"state": {}}),
        ]
    )
    run = harness(
        lambda *_: next(answers), feed=[at(1, 0), at(2, 1)], tumbling_window=60, report_batch_item_failures=True
    ).run()
    assert calls(run) == [
        (["1", "2"], {}, False),
        (["2"], {"n": 1}, False),
        (["2"], {"n": 1}, False),
        ([], {"n": 2}, True),
    ]


def test_a_handler_that_changes_its_state_and_fails_leaves_no_trace() -> None:
    outcomes = iter([FunctionError(), None, None])
    given: list[dict[str, Any]] = []

    def mutating(batch: list[str], event: dict[str, Any]) -> Result:
        given.append(dict(event["state"]))
        event["state"]["n"] = event["state"].get("n", 0) + len(batch)
        return next(outcomes) or Returned({"state": event["state"]})

    harness(mutating, feed=[at(1, 0)], tumbling_window=60).run()
    assert given == [{}, {}, {"n": 1}]


def test_state_may_hold_integers_of_any_size() -> None:
    state = {"sequence": 49590338271490256608559692538361571095921575989136588898}
    run = harness(feed=[at(1, 0)], tumbling_window=60)
    (first,) = invokes(run.mapping, START)
    run.mapping.finished(first.invocation_id, Returned({"state": state}), START)
    (final,) = invokes(run.mapping, START + 180)
    assert json.loads(final.payload())["state"] == state


def test_state_above_one_megabyte_ends_the_window_early() -> None:
    big = {"blob": "x" * STATE_LIMIT}
    answers = iter([Returned({"state": big}), *[Returned({"state": {}})] * 3])
    run = harness(lambda *_: next(answers), feed=[at(1, 0), at(2, 1)], tumbling_window=60, batch_size=1).run()
    assert [(numbers(e), e["isFinalInvokeForWindow"], e["isWindowTerminatedEarly"]) for e in run.events] == [
        (["1"], False, False),
        ([], True, True),
        (["2"], False, False),
        ([], True, False),
    ]
    assert (run.events[1]["state"], run.events[2]["state"]) == (big, {})
    assert windows(run) == [("08:00:00Z", "08:01:00Z")] * 4


def test_a_record_that_arrives_before_the_open_window_counts_into_it() -> None:
    run = harness(count, feed=[at(1, 0), at(2, 60), at(3, 59)], tumbling_window=60, batch_size=1).run()
    assert [(batch, w[0]) for (batch, _, _), w in zip(calls(run), windows(run), strict=True)] == [
        (["1"], "08:00:00Z"),
        ([], "08:00:00Z"),
        (["2"], "08:01:00Z"),
        (["3"], "08:01:00Z"),
        ([], "08:01:00Z"),
    ]


def test_retry_and_age_limits_hold_inside_windows() -> None:
    def poison(batch: list[str], event: dict[str, Any]) -> Result:
        return FunctionError() if "2" in batch else count(batch, event)

    feed = [at(1, -100), at(2, 0), at(3, 1)]
    run = harness(
        poison, feed=feed, tumbling_window=60, batch_size=1, maximum_retry_attempts=1, maximum_record_age=60
    ).run()
    assert run.gone == [("RecordAgeExceeded", ["1"]), ("RetryAttemptsExhausted", ["2"])]
    assert calls(run)[-2:] == [(["3"], {}, False), ([], {"n": 1}, True)]


def test_an_event_with_state_stays_within_six_mebibytes() -> None:
    state = {"blob": "x" * (STATE_LIMIT - 100)}
    feed = [record(n, arrival=START, data=bytes(500_000)) for n in range(1, 20)]
    run = harness(lambda *_: Returned({"state": state}), feed=feed, tumbling_window=60)
    sizes: list[int] = []
    mapping, now = run.mapping, START
    while (wake := mapping.next_wake(now)) is not None:
        now = wake
        for invoke in invokes(mapping, now):
            sizes.append(len(invoke.payload()))
            mapping.finished(invoke.invocation_id, Returned({"state": state}), now)
    assert (max(sizes) <= 6 * 1024 * 1024, len(sizes) > 3) == (True, True)
