"""Windows rebuilt from the archive: equal to the states, or the difference is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Hopping, Session, Tumbling, Window, Windows
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.places import WindowPlace, scope_of
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.errors import UsageError
from aetherstream.eventtime import EventTime
from aetherstream.objects import SUFFIX, Target
from aetherstream.recovery.recompute import is_equal
from aetherstream.recovery.recomputing import Compared, Places, recompute, span_of
from aetherstream.recovery.refold import notes
from aetherstream.testing.builders import STREAM, kinesis_records
from tests.engine.harness import NOW, archive, process
from tests.recovery.redriving import Recovery
from tests.recovery.test_refold import Mending, event

EVERYTHING = (
    Output("events", make("count")),
    Output("sum", make("sum"), "v", unusable="reject"),
    Output("mean", make("mean"), "v"),
    Output("spread", make("stddev"), "v"),
    Output("first", make("first"), "v"),
    Output("last", make("last"), "v"),
    Output("distinct", make("distinct"), "v"),
    Output("delays", make("quantiles", at=[0.5, 0.95]), "v"),
    Output("top", make("top_k", k=3), "v"),
)
WIDE = Window(0, 3600)
TIME = EventTime("t", "epoch_s")
COUNT = (Output("events", make("count")),)


def declared(windows: Windows, **more: Any) -> Declaration:
    on_late = more.pop("on_late", "drop")
    return Declaration(
        Aggregate("all", (("p", "p"),), windows, more.pop("outputs", EVERYTHING), **more), on_late=on_late
    )


def bench_of(declaration: Declaration, **more: Any) -> Recovery:
    return Recovery(declarations=[declaration], core={"event_time": TIME}, **more)


def compared(bench: Recovery, span: Window = WIDE) -> Compared:
    [declaration] = bench.declarations
    return recompute(
        declaration,
        scope_of("flights#events", declaration.aggregate),
        span,
        time=TIME,
        places=Places(
            [sink.target for sink in bench.sinks],
            Target("data", "quarantine", SUFFIX["gzip"]),
            notes("data", "flights", STREAM),
        ),
        items=list(bench.progress.items.values()),
        reader=bench.objects,
        stores=Stores(bench.states, bench.windows),
        now=NOW,
    )


def run(bench: Recovery, *, shards: int = 2, batches: int = 3) -> None:
    """Several batches of several shards."""
    for shard in range(shards):
        for number in range(batches):
            events = [event(i % 2, 60 * number + 7 * i + shard, i * 0.1 + number) for i in range(9)]
            name = f"shardId-00000000000{shard}"
            process(bench.engine(), kinesis_records(events, first=100 * (number + 1), shard=name))


@pytest.mark.parametrize(
    "windows", [Tumbling(60), Hopping(120, 60), Session(20)], ids=["tumbling", "hopping", "session"]
)
def test_states_are_equal_to_what_the_archive_gives(windows: Windows) -> None:
    bench = bench_of(declared(windows, lateness=10_000))
    run(bench)
    found = compared(bench)
    assert (found.differences, found.counted.folded, found.objects, found.groups > 1) == ([], 54, 12, True)


def broken(bench: Recovery, change: Callable[[Any], Any]) -> None:
    """Change the first state."""
    address = min(bench.states.items)
    item = change(bench.states.items[address])
    if item is None:
        del bench.states.items[address]
    else:
        bench.states.items[address] = item


def test_a_state_that_is_gone_is_told() -> None:
    bench = bench_of(declared(Tumbling(60), outputs=COUNT))
    bench.run([event(1, 5), event(2, 6)])
    broken(bench, lambda _: None)
    [difference] = compared(bench).differences
    assert (difference.window, difference.recomputed, difference.stored) == (Window(0, 60), {"events": 1}, None)


def test_a_state_of_events_that_no_object_holds_is_told() -> None:
    bench = bench_of(declared(Tumbling(60), outputs=COUNT))
    bench.run([event(1, 5)])
    bench.objects.objects = {at: held for at, held in bench.objects.objects.items() if "archive" not in at[1]}
    [difference] = compared(bench).differences
    assert (difference.key, difference.recomputed, difference.stored) == (
        Key("all", Window(0, 60), "[1]"),
        None,
        {"events": 1},
    )


def test_a_state_with_another_result_is_told_with_the_output() -> None:
    bench = bench_of(declared(Tumbling(60), outputs=(*COUNT, Output("sum", make("sum"), "v"))))
    bench.run([event(1, 5, 3)])
    other = bench_of(declared(Tumbling(60), outputs=(*COUNT, Output("sum", make("sum"), "v"))))
    other.run([event(1, 5, 4)])
    bench.states.items = other.states.items
    [difference] = compared(bench).differences
    assert (difference.outputs, difference.recomputed, difference.stored) == (
        ["sum"],
        {"events": 1, "sum": 3},
        {"events": 1, "sum": 4},
    )


def test_what_stands_in_the_quarantine_is_left_out_and_what_was_replayed_is_counted_as_it_was_folded() -> None:
    bench = bench_of(declared(Tumbling(60)))
    process(bench.engine(), kinesis_records([event(1, 1, 1), event(1, 2, "x"), event(1, 3, "x")]))
    before = compared(bench)
    bench.transform = Mending()
    bench.redriver().redrive(kinesis_records([event(1, 2, "x")], first=110), origin="quarantine", subs=[0])
    after = compared(bench)
    assert (before.differences, before.counted.folded, before.counted.lacking) == ([], 1, 2)
    assert (after.differences, after.counted.folded, after.counted.refolded) == ([], 2, 1)


def test_late_events_that_were_kept_are_left_out() -> None:
    bench = bench_of(declared(Tumbling(60), on_late="quarantine"))
    bench.run([event(1, 130)])
    bench.run([event(1, 5)], first=200)
    found = compared(bench)
    assert (found.differences, found.counted.lacking) == ([], 1)


def test_late_events_that_were_dropped_are_a_difference_that_is_explained() -> None:
    bench = bench_of(declared(Tumbling(60)))
    bench.run([event(1, 130)])
    bench.run([event(1, 5)], first=200)
    found = compared(bench)
    assert [each.window for each in found.differences] == [Window(0, 60)]
    assert found.explanations[0] == (
        "1 late events were dropped by all so far (on_late: drop): they stand in the archive, and the states lack them"
    )


def test_what_no_completion_covers_is_left_out() -> None:
    bench = bench_of(declared(Tumbling(60)))
    bench.run([event(1, 1)])
    key, item = next(iter(bench.progress.items.items()))
    bench.progress.items[key] = replace(item, completed="003090")
    bench.states.items = {}
    found = compared(bench)
    assert (found.differences, found.counted.unsettled) == ([], 1)


def test_objects_of_a_redrive_that_is_not_finished_are_left_out() -> None:
    bench = bench_of(declared(Tumbling(60)))
    bench.redriver().redrive(kinesis_records([event(1, 1)]))
    key, item = next(iter(bench.progress.items.items()))
    [place] = [f"{bucket}/{name}" for bucket, name in bench.objects.objects if name.startswith("archive/")]
    bench.progress.items[key] = replace(item, redrive_keys=(place,))
    bench.states.items = {}
    assert compared(bench).differences == []


def test_an_event_that_several_sinks_hold_counts_once() -> None:
    second = archive(prefix="second")
    second.name = "second"
    bench = bench_of(declared(Tumbling(60)), sinks=[archive(), second])
    run(bench)
    assert (compared(bench).differences, compared(bench).counted.folded) == ([], 54)


def test_windows_whose_states_were_removed_are_not_compared() -> None:
    declaration = declared(Tumbling(60))
    bench = bench_of(declaration)
    bench.run([event(1, 1), event(1, 61)])
    place = WindowPlace(scope_of("flights#events", declaration.aggregate), Window(0, 60))
    bench.windows.closed[place] = Mark(expires=int(NOW) - 1)
    bench.states.items = {at: item for at, item in bench.states.items.items() if item.place.in_window != place}
    found = compared(bench)
    assert (found.differences, found.removed, found.groups) == ([], [Window(0, 60)], 1)


def test_only_the_windows_that_begin_in_the_span_are_compared() -> None:
    bench = bench_of(declared(Tumbling(60)))
    bench.run([event(1, 1), event(1, 61), event(1, 121)])
    bench.states.items = {}
    found = compared(bench, Window(60, 120))
    assert [each.window for each in found.differences] == [Window(60, 120)]


@pytest.mark.parametrize(
    ("windows", "start", "end", "expected"),
    [
        (Tumbling(60), 70, None, Window(60, 120)),
        (Hopping(120, 60), 70, None, Window(60, 120)),
        (Tumbling(60), 60, 200, Window(60, 200)),
        (Session(20), 5, 90, Window(5, 90)),
    ],
)
def test_a_span_begins_with_the_window_that_holds_a_time(
    windows: Windows, start: float, end: float | None, expected: Window
) -> None:
    assert span_of(declared(windows).aggregate, start, end) == expected


@pytest.mark.parametrize(("windows", "end"), [(Session(20), None), (Tumbling(1), 1e6)])
def test_a_span_without_bounds_is_refused(windows: Windows, end: float | None) -> None:
    with pytest.raises(UsageError):
        span_of(declared(windows).aggregate, 0, end)


def counts(values: list[str]) -> Any:
    from aetherstream.aggregates.column import Column

    own = make("top_k", k=1, capacity=2)
    return own.fold(Column.of((value, 0.0, ("s", "0", index, 0)) for index, value in enumerate(values)))


def test_counts_that_were_merged_in_another_order_are_equal_within_their_errors() -> None:
    output = Output("top", make("top_k", k=1, capacity=2), "v")
    own = output.accumulator
    parts = [counts(["a"] * 5 + ["b"]), counts(["c", "d"]), counts(["a", "e", "e"])]
    one = own.merge(own.merge(parts[0], parts[1]), parts[2])
    other = own.merge(parts[0], own.merge(parts[1], parts[2]))
    assert (own.dump(one) == own.dump(other), is_equal(output, one, other)) == (False, True)
    assert not is_equal(output, one, counts(["b"] * 50))
