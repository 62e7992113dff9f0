from __future__ import annotations

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Output
from aetherstream.managed.fold import ROOM, WindowCount, WindowFold, fresh
from aetherstream.managed.state import WindowState
from aetherstream.records import Events

from .support import COUNT, DELAY, aggregate, batch, core, declared, folded, found

AA, UA = {"carrier": "AA", "delay": 3}, {"carrier": "UA", "delay": 5}


def test_batches_of_a_window_are_folded_into_one_state() -> None:
    own = aggregate()
    state = folded(own, batches=[batch(AA, UA), batch(AA, first=200)]).state
    assert found(own, state) == {'["AA"]': {"n": 2, "delay": 6}, '["UA"]': {"n": 1, "delay": 5}}
    assert (state.first, state.last, state.records) == ("100", "200", 3)


def test_an_events_own_time_decides_nothing() -> None:
    own = aggregate(COUNT, Output("last", make("last"), "delay"), future=10.0, lateness=5.0)
    each = batch(*[{"carrier": "AA", "delay": delay} for delay in (1, 2, 3)])
    prepared = core(own).prepare(each, 0, 3)
    assert prepared.columns is not None
    prepared.columns.times = [4e9, 9e9, -4e9]
    step = WindowFold(declared(own), ["archive"])(WindowState(), each, prepared)
    assert found(own, step.state) == {'["AA"]': {"n": 3, "last": 2}}


def test_a_group_without_anything_new_keeps_its_bytes() -> None:
    own = aggregate()
    before = folded(own, batches=[batch(AA, UA)]).state
    after = folded(own, batches=[batch(AA, first=200)], state=before).state
    assert after.groups["delays"]['["UA"]'] is before.groups["delays"]['["UA"]']


def test_an_empty_batch_changes_nothing() -> None:
    own = aggregate()
    before = folded(own, batches=[batch(AA)]).state
    assert folded(own, batches=[batch(first=200)], state=before).state is before


def test_records_without_events_count_as_seen() -> None:
    own = aggregate()
    state = folded(own, batches=[batch("not json"), batch([], first=200)]).state
    assert (state.first, state.last, state.records, found(own, state)) == ("100", "200", 2, {})


def test_records_that_come_again_are_known() -> None:
    own = aggregate()
    state = folded(own, batches=[batch(AA, UA)]).state
    again = batch(AA, UA, AA, first=100)
    assert fresh(state, again).sequences == ["120"]
    assert fresh(state, batch(AA, first=90)).sequences == []
    assert fresh(WindowState(), again) is again


def test_sequence_numbers_are_compared_as_integers() -> None:
    own = aggregate()
    state = folded(own, batches=[batch(AA, first=90)]).state
    assert fresh(state, batch(AA, first=1000)).sequences == ["1000"]


def test_what_one_aggregate_refuses_none_counts() -> None:
    strict = aggregate(Output("delay", make("sum"), "delay", "reject"), name="strict")
    other = aggregate(COUNT, name="other")
    step = folded(strict, other, batches=[batch(AA, {"carrier": "AA", "delay": "late"})])
    assert found(other, step.state) == {'["AA"]': {"n": 1}}
    assert step.counts == {
        "strict": WindowCount(events=2, folded=1, refused=1),
        "other": WindowCount(events=2, folded=1, refused=1),
    }
    assert step.reasons == {"aggregates.strict.delay: delay is unusable: not a number": 1}


def test_a_value_left_aside_is_counted() -> None:
    own = aggregate()
    step = folded(own, batches=[batch(AA, {"carrier": "AA", "delay": "late"})])
    assert step.counts == {"delays": WindowCount(events=2, folded=2, skipped=1)}


def test_groups_beyond_the_most_of_a_window_are_refused() -> None:
    own = aggregate(max_groups=2)
    step = folded(own, batches=[batch(AA, UA), batch({"carrier": "DL"}, AA, first=200)])
    assert found(own, step.state) == {'["AA"]': {"n": 2, "delay": 6}, '["UA"]': {"n": 1, "delay": 5}}
    assert step.reasons == {"aggregates.delays: too many groups": 1}


def test_events_that_no_archive_gets_are_left_out() -> None:
    class ToSearch:
        """Sends every second event past the archive."""

        def apply(self, events: Events, rejections: object, timings: object = None, /) -> int:
            events.routes = [frozenset({"search"} if at % 2 else {"archive"}) for at in range(len(events))]
            return 0

    own = aggregate()
    routing = core(own)
    routing._transform = ToSearch()
    each = batch(AA, UA, AA)
    step = WindowFold(declared(own), ["archive"])(WindowState(), each, routing.prepare(each, 0, 3))
    assert found(own, step.state) == {'["AA"]': {"n": 2, "delay": 6}}
    assert step.counts == {"delays": WindowCount(events=2, folded=2)}


def test_a_state_that_would_outgrow_lambdas_limit_is_cut_before_the_batch() -> None:
    own = aggregate()
    many = [{"carrier": f"{at:0100d}", "delay": at} for at in range(4000)]
    before = folded(own, batches=[batch(*many)]).state
    after = folded(
        own,
        batches=[batch(*many[2000:], *[{"carrier": f"x{at:0100d}"} for at in range(2000)], first=50_000)],
        state=before,
    )
    assert after.closed is before
    assert (after.state.first, after.state.records, len(after.state.groups["delays"])) == ("50000", 4000, 4000)
    assert before.size([own]) < ROOM < before.size([own]) + after.state.size([own])


def test_a_state_that_one_batch_alone_makes_too_large_is_left_to_lambda() -> None:
    own = aggregate()
    step = folded(own, batches=[batch(*[{"carrier": f"{at:0200d}"} for at in range(4000)])])
    assert step.closed is None
    assert step.state.size([own]) > ROOM


def test_merging_knows_no_order_of_batches() -> None:
    own = aggregate(COUNT, DELAY)
    parts = [batch(AA, UA), batch(UA, first=200), batch(AA, AA, first=300)]
    together = batch(AA, UA, UA, AA, AA)
    assert folded(own, batches=parts).state.groups == folded(own, batches=[together]).state.groups
