from dataclasses import replace

import pytest

from aetherstream.delivery.ledger import Ledger, Opening
from aetherstream.delivery.progress import Attempt, Death, Noted, Progress
from aetherstream.errors import ConfigurationError, Retryable, Superseded
from aetherstream.testing.stores import MemoryProgress

KEY = "flights#events#shardId-000000000000"
BATCH = ["003100", "003110", "003120"]


class Stumbling:
    """A store of which the coming writes go wrong, one entry each: before or after they are stored."""

    def __init__(self, inner: MemoryProgress) -> None:
        self.inner = inner
        self.script: list[str] = []

    def write(self, item: Progress, /) -> Progress | None:
        step = self.script.pop(0) if self.script else "ok"
        if step == "throttled":
            raise Retryable("throttled")
        if step == "misconfigured":
            raise ConfigurationError("no such table")
        answer = self.inner.write(item)
        if step == "lost":
            raise Retryable("time-out")
        if step == "lost and sent again":
            return self.inner.write(item)
        return answer


def claimed(ledger: Ledger, keys: dict[str, str] | None = None, version: str = "v1") -> tuple[Opening, Progress]:
    opening = ledger.open(KEY, BATCH)
    claim = ledger.claim(opening, keys or {}, version)
    assert claim is not None
    return opening, claim


def run(ledger: Ledger, batch: list[str]) -> None:
    opening = ledger.open(KEY, batch)
    claim = ledger.claim(opening, {f"b/k{batch[0]}": batch[0]}, "v1")
    assert claim is not None
    ledger.complete(claim, batch[-1], 1000, {})


def test_a_warm_batch_costs_two_writes() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, ["003100", "003110"])
    before = store.writes
    run(ledger, ["003120", "003130"])
    assert store.writes - before == 2


def test_the_first_batch_of_a_new_shard_costs_three_writes() -> None:
    store = MemoryProgress()
    run(Ledger(store, "p1"), BATCH)
    assert store.writes == 3


def test_a_cold_process_finds_the_item_by_its_first_write_failing() -> None:
    store = MemoryProgress()
    run(Ledger(store, "p1"), ["003100"])
    before = store.writes
    run(Ledger(store, "p2"), ["003110"])
    assert store.writes - before == 4


def test_a_warm_batch_that_is_settled_as_a_whole_costs_one_write() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, BATCH)
    before = store.writes
    opening = ledger.open(KEY, BATCH)
    ledger.settle(opening.item, {"settled": 3})
    assert (opening.attempt.size, opening.settled, store.writes - before) == (0, 3, 1)
    assert store.items[KEY].counters == {"settled": 3}


def test_a_warm_batch_without_events_costs_one_write() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, ["003090"])
    before = store.writes
    assert ledger.finish(ledger.open(KEY, BATCH), "003120", 2000, {"dropped": 3})
    assert store.writes - before == 1
    assert store.items[KEY] == Progress(
        KEY,
        revision=4,
        epoch=2,
        completed="003120",
        completed_arrival=2000,
        attempt=Attempt("003100", 3, "p1", ended=True),
        counters={"dropped": 3},
    )


def test_the_first_batch_of_a_process_is_noted_before_it_is_decoded() -> None:
    store = MemoryProgress()
    Ledger(store, "p1").open(KEY, BATCH)
    assert store.items[KEY] == Progress(KEY, revision=1, attempt=Attempt("003100", 3, "p1", ended=False))


def test_records_up_to_the_mark_are_settled() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, ["003100", "003110"])
    opening = ledger.open(KEY, ["003100", "003110", "003120"])
    assert (opening.settled, opening.attempt.start, opening.attempt.size) == (2, "003120", 1)


def test_a_claim_raises_the_epoch_and_notes_its_keys() -> None:
    store = MemoryProgress()
    _, claim = claimed(Ledger(store, "p1"), {"bucket/a": "003100", "bucket/b": "003110"})
    assert claim == Progress(
        KEY,
        revision=2,
        epoch=1,
        open={"bucket/a": Noted("003100", "v1"), "bucket/b": Noted("003110", "v1")},
        attempt=Attempt("003100", 3, "p1", ended=False),
    )
    assert store.items[KEY] == claim


def test_a_claim_keeps_the_keys_that_were_noted_before() -> None:
    store = MemoryProgress()
    claimed(Ledger(store, "p1"), {"bucket/a": "003100"})
    _, claim = claimed(Ledger(store, "p2"), {"bucket/b": "003110"})
    assert claim.open == {"bucket/a": Noted("003100", "v1"), "bucket/b": Noted("003110", "v1")}


def test_a_key_that_two_versions_noted_belongs_to_neither() -> None:
    store = MemoryProgress()
    claimed(Ledger(store, "p1"), {"bucket/a": "003100"}, "v1")
    claimed(Ledger(store, "p2"), {"bucket/a": "003100"}, "v2")
    _, claim = claimed(Ledger(store, "p3"), {"bucket/a": "003100"}, "v1")
    assert claim.open["bucket/a"].version not in {"v1", "v2"}


def test_a_warm_claim_on_an_item_that_had_moved_on_has_to_open_again() -> None:
    store = MemoryProgress()
    first = Ledger(store, "p1")
    run(first, ["003090"])
    opening = first.open(KEY, BATCH)
    run(Ledger(store, "p2"), ["003100"])
    assert first.claim(opening, {}, "v1") is None
    assert first.open(KEY, BATCH).item == store.items[KEY]


def test_an_attempt_after_whose_start_another_one_began_is_superseded() -> None:
    store = MemoryProgress()
    first = Ledger(store, "p1")
    opening = first.open(KEY, BATCH)
    _, newer = claimed(Ledger(store, "p2"))
    with pytest.raises(Superseded, match="another attempt has begun after this one"):
        first.claim(opening, {}, "v1")
    assert store.items[KEY] == newer


def test_completion_moves_the_mark_and_lets_go_of_the_keys_below_it() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    _, claim = claimed(ledger, {"bucket/a": "003100", "bucket/b": "003110", "bucket/c": "003120"})
    ledger.complete(claim, "003110", 1763712000000, {"records": 2})
    assert store.items[KEY] == Progress(
        KEY,
        revision=3,
        epoch=1,
        completed="003110",
        completed_arrival=1763712000000,
        open={"bucket/c": Noted("003120", "v1")},
        attempt=Attempt("003100", 3, "p1", ended=True),
        counters={"records": 2},
    )


def test_completion_under_a_newer_epoch_is_superseded() -> None:
    store = MemoryProgress()
    old, new = Ledger(store, "p1"), Ledger(store, "p2")
    _, claim = claimed(old)
    _, newer = claimed(new)
    with pytest.raises(Superseded, match="epoch 2 has claimed the shard, this attempt is 1"):
        old.complete(claim, "003120", 1000, {})
    assert store.items[KEY] == newer


def test_completion_goes_through_where_another_process_has_only_noted_its_start() -> None:
    store = MemoryProgress()
    old = Ledger(store, "p1")
    _, claim = claimed(old)
    Ledger(store, "p2").open(KEY, BATCH)
    old.complete(claim, "003120", 1000, {})
    assert (store.items[KEY].completed, store.items[KEY].attempt.ended) == ("003120", True)


def test_completion_never_moves_the_mark_back() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    _, claim = claimed(ledger)
    ledger.complete(claim, "003120", 2000, {})
    ledger.complete(claim, "003110", 1000, {})
    assert (store.items[KEY].completed, store.items[KEY].completed_arrival) == ("003120", 2000)


@pytest.mark.parametrize("step", ["open", "claim", "complete"])
def test_a_write_whose_answer_was_lost_and_that_was_sent_again_counts_as_written(step: str) -> None:
    store = Stumbling(MemoryProgress())
    ledger = Ledger(store, "p1")

    def mark(name: str) -> None:
        store.script = ["lost and sent again"] if name == step else []

    mark("open")
    opening = ledger.open(KEY, BATCH)
    mark("claim")
    claim = ledger.claim(opening, {}, "v1")
    assert claim is not None
    mark("complete")
    ledger.complete(claim, "003120", 1000, {})
    assert (store.inner.items[KEY].revision, store.inner.items[KEY].completed) == (3, "003120")


def test_after_an_unknown_outcome_the_process_knows_nothing_and_looks_again() -> None:
    store = Stumbling(MemoryProgress())
    ledger = Ledger(store, "p1")
    _, claim = claimed(ledger)
    store.script = ["lost"]
    with pytest.raises(Retryable, match="time-out"):
        ledger.complete(claim, "003120", 1000, {})
    assert ledger.open(KEY, BATCH).attempt.size == 0


def test_a_claim_of_unknown_outcome_by_the_same_process_is_no_kill() -> None:
    store = Stumbling(MemoryProgress())
    ledger = Ledger(store, "p1")
    opening = ledger.open(KEY, BATCH)
    store.script = ["lost"]
    with pytest.raises(Retryable):
        ledger.claim(opening, {}, "v1")
    ledger.give_up(KEY)
    assert ledger.open(KEY, BATCH).attempt == Attempt("003100", 3, "p1", ended=False)


def test_giving_up_notes_that_the_attempt_ended_by_itself() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    _, claim = claimed(ledger)
    ledger.give_up(KEY)
    assert store.items[KEY] == replace(claim, revision=3, attempt=replace(claim.attempt, ended=True))


def test_giving_up_after_being_superseded_tells_the_other_attempt_that_nobody_was_killed() -> None:
    store = MemoryProgress()
    old, new = Ledger(store, "p1"), Ledger(store, "p2")
    _, claim = claimed(old)
    _, newer = claimed(new)
    assert newer.attempt == Attempt("003100", 3, "p2", ended=False, deaths=(Death("p1", 3),))
    with pytest.raises(Superseded):
        old.complete(claim, "003120", 1000, {})
    old.give_up(KEY)
    told = replace(newer, revision=newer.revision + 1, attempt=Attempt("003100", 3, "p2", ended=False))
    assert store.items[KEY] == told
    assert new.complete(newer, "003120", 1000, {}).completed == "003120"


def test_an_attempt_that_is_told_of_another_ones_end_before_its_claim_opens_the_batch_again() -> None:
    store = MemoryProgress()
    old, new = Ledger(store, "p1"), Ledger(store, "p2")
    claimed(old)
    opening = new.open(KEY, BATCH)
    old.give_up(KEY)
    assert new.claim(opening, {}, "v1") is None
    _, claim = claimed(new)
    assert claim.attempt == Attempt("003100", 3, "p2", ended=False)


def test_an_attempt_that_opened_the_batch_again_is_superseded_all_the_same() -> None:
    store = MemoryProgress()
    old, new = Ledger(store, "p1"), Ledger(store, "p2")
    claimed(old)
    opening = new.open(KEY, BATCH)
    old.give_up(KEY)
    assert new.claim(opening, {}, "v1") is None
    opening = new.open(KEY, BATCH)
    claimed(Ledger(store, "p3"))
    with pytest.raises(Superseded, match="another attempt has begun after this one"):
        new.claim(opening, {}, "v1")


def test_an_earlier_attempt_of_the_process_does_not_make_the_next_one_superseded() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, BATCH[:1])
    store.items[KEY] = replace(store.items[KEY], attempt=Attempt(BATCH[1], 2, "p1", ended=False))
    assert ledger.settle(store.items[KEY], {})
    run(Ledger(store, "p2"), BATCH[1:2])
    assert ledger.claim(ledger.open(KEY, BATCH[2:]), {}, "v1") is None
    run(ledger, BATCH[2:])
    assert store.items[KEY].completed == BATCH[2]


def test_after_giving_up_to_a_successor_the_next_attempt_notes_its_start() -> None:
    store = MemoryProgress()
    old = Ledger(store, "p1")
    claimed(old)
    claimed(Ledger(store, "p2"))
    old.give_up(KEY)
    opening = old.open(KEY, BATCH)
    assert (opening.noted, store.items[KEY].attempt.process) == (True, "p1")


def test_keys_of_an_attempt_that_calls_its_record_a_crasher_belong_to_no_version() -> None:
    store = MemoryProgress()
    for number in range(4):
        Ledger(store, f"p{number}").open(KEY, BATCH[:1])
    ledger = Ledger(store, "p4")
    claim = ledger.claim(ledger.open(KEY, BATCH[:1]), {"bucket/q": "003100"}, "v1")
    assert claim is not None
    assert claim.open["bucket/q"].version != "v1"


def test_an_attempt_that_died_counts_as_killed_also_to_its_own_process() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    for _ in range(2):
        claimed(ledger)
        ledger.died(KEY)
    _, claim = claimed(ledger)
    assert claim.attempt == Attempt("003100", 1, "p1/3", ended=False, deaths=(Death("p1", 3), Death("p1/2", 3)))


def test_giving_up_does_not_fail_when_the_table_is_gone() -> None:
    store = Stumbling(MemoryProgress())
    ledger = Ledger(store, "p1")
    claimed(ledger)
    store.script = ["misconfigured"]
    ledger.give_up(KEY)


def test_giving_up_without_an_attempt_writes_nothing() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    ledger.give_up(KEY)
    run(ledger, BATCH)
    before = store.writes
    ledger.give_up(KEY)
    assert store.writes == before


def test_an_item_that_was_deleted_begins_anew() -> None:
    store = MemoryProgress()
    ledger = Ledger(store, "p1")
    run(ledger, ["003100"])
    store.items.clear()
    assert ledger.claim(ledger.open(KEY, BATCH[1:]), {}, "v1") is None
    run(ledger, BATCH[1:])
    assert (store.items[KEY].completed, store.items[KEY].epoch) == ("003120", 1)


def test_fields_of_a_later_version_are_written_back_as_they_came() -> None:
    store = MemoryProgress()
    run(Ledger(store, "p1"), ["003100"])
    store.items[KEY] = replace(store.items[KEY], others={"lease": {"S": "somebody"}})
    run(Ledger(store, "p2"), ["003110"])
    assert store.items[KEY].others == {"lease": {"S": "somebody"}}
