from dataclasses import replace

import pytest

from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.progress import Lease, Progress, peek
from aetherstream.errors import Retryable, Superseded
from aetherstream.recovery.lease import HeldLease, LeaseHeld, LeaseLost, Leases
from aetherstream.testing.stores import MemoryProgress

KEY = "flights#events#shardId-000000000000"


class Shard:
    """One shard's item, a clock, and owners."""

    def __init__(self) -> None:
        self.store = MemoryProgress()
        self.now = 1000.0

    def take(self, owner: str = "alice") -> HeldLease:
        leases = Leases(self.store, owner=owner, clock=lambda: self.now, seconds=120)
        return leases.take(peek(self.store, KEY))

    @property
    def item(self) -> Progress:
        return self.store.items[KEY]


@pytest.fixture
def shard() -> Shard:
    return Shard()


def test_a_look_at_an_item_changes_nothing(shard: Shard) -> None:
    assert (peek(shard.store, KEY), shard.store.items) == (Progress(KEY), {})
    held = shard.take()
    assert (peek(shard.store, KEY), shard.item) == (held.item, held.item)


def test_taking_a_lease_raises_the_epoch_and_names_the_owner(shard: Shard) -> None:
    held = shard.take()
    assert (held.number, shard.item) == (1, Progress(KEY, 1, 1, lease=Lease("alice", 1, 1_120_000)))


def test_a_held_lease_is_refused_with_its_holder_and_time(shard: Shard) -> None:
    shard.take("alice")
    shard.now += 119
    with pytest.raises(LeaseHeld, match="alice redrives this shard and holds its lease until 1970-01-01T00:18:40") as e:
        shard.take("bob")
    assert (e.value.who, e.value.until) == ("alice", 1120.0)


def test_a_lease_that_ran_out_is_taken_over_under_a_higher_number(shard: Shard) -> None:
    first = shard.take("alice")
    shard.now += 120
    second = shard.take("bob")
    assert (first.number, second.number, shard.item.lease) == (1, 2, Lease("bob", 2, 1_240_000))


@pytest.mark.parametrize("what", ["write", "commit", "finish", "give_up"])
def test_a_holder_that_was_taken_over_can_write_nothing_more(shard: Shard, what: str) -> None:
    first = shard.take("alice")
    shard.now += 120
    shard.take("bob")
    before = shard.item
    with pytest.raises(LeaseLost, match="redrive 1 ran out and bob has taken it"):
        first.write(lambda item: replace(item, redrive_keys=("k",))) if what == "write" else getattr(first, what)()
    assert shard.item == before


def test_a_holder_whose_successor_is_done_can_write_nothing_more(shard: Shard) -> None:
    first = shard.take("alice")
    shard.now += 120
    shard.take("bob").finish()
    with pytest.raises(LeaseLost):
        first.write(lambda item: item)


def test_a_lease_that_ran_out_but_was_not_taken_is_still_its_holders(shard: Shard) -> None:
    held = shard.take()
    shard.now += 500
    held.write(lambda item: replace(item, redrive_keys=("k",)))
    assert (shard.item.lease, shard.item.redrive_keys) == (Lease("alice", 1, 1_620_000), ("k",))


def test_a_lease_is_renewed_once_half_of_it_has_passed(shard: Shard) -> None:
    held = shard.take()
    shard.now += 59
    held.renew()
    assert shard.item.lease == Lease("alice", 1, 1_120_000)
    shard.now += 1
    held.renew()
    assert shard.item.lease == Lease("alice", 1, 1_180_000)


def test_a_commit_forgets_the_keys_and_goes_on_under_a_new_number(shard: Shard) -> None:
    held = shard.take()
    held.write(lambda item: replace(item, redrive_keys=("k",)))
    held.commit()
    assert (held.number, shard.item.epoch, shard.item.lease, shard.item.redrive_keys) == (
        2,
        2,
        Lease("alice", 2, 1_120_000),
        (),
    )


def test_an_unfinished_redrive_leaves_its_keys_and_a_finished_one_does_not(shard: Shard) -> None:
    held = shard.take()
    held.write(lambda item: replace(item, redrive_keys=("k",)))
    held.give_up()
    assert (shard.item.lease, shard.item.redrive_keys) == (None, ("k",))
    held = shard.take()
    held.finish()
    assert (shard.item.lease, shard.item.redrive_keys) == (None, ())


def test_live_attempts_leave_lease_and_keys_as_they_are_and_the_holder_goes_on(shard: Shard) -> None:
    held = shard.take()
    held.write(lambda item: replace(item, redrive_keys=("k",)))
    ledger = Ledger(shard.store, "p1")
    opening = ledger.open(KEY, ["003100"])
    claim = ledger.claim(opening, {"b/live": "003100"}, "v1")
    assert claim is not None
    assert (claim.epoch, claim.lease, claim.redrive_keys) == (2, held.item.lease, ("k",))
    held.write(lambda item: replace(item, redrive_keys=("k", "l")))
    assert ledger.complete(claim, "003100", 1, {}).redrive_keys == ("k", "l")
    held.finish()
    assert (shard.item.completed, shard.item.lease) == ("003100", None)


def test_taking_a_lease_supersedes_the_attempt_that_is_under_way(shard: Shard) -> None:
    ledger = Ledger(shard.store, "p1")
    claim = ledger.claim(ledger.open(KEY, ["003100"]), {}, "v1")
    assert claim is not None
    shard.take()
    with pytest.raises(Superseded):
        ledger.complete(claim, "003100", 1, {})


def test_a_lost_answer_to_its_own_write_is_no_loss_of_the_lease(shard: Shard) -> None:
    class SentTwice(MemoryProgress):
        def write(self, item: Progress, /) -> Progress | None:
            super().write(item)
            return super().write(item)

    shard.store = SentTwice()
    held = shard.take()
    held.write(lambda item: replace(item, redrive_keys=("k",)))
    held.finish()
    assert (shard.item.lease, shard.item.redrive_keys) == (None, ())


def test_an_unknown_outcome_of_taking_is_retryable(shard: Shard) -> None:
    class Down(MemoryProgress):
        def write(self, item: Progress, /) -> Progress | None:
            if item.lease is not None:
                raise Retryable("time-out")
            return super().write(item)

    shard.store = Down()
    with pytest.raises(Retryable, match="time-out"):
        shard.take()
