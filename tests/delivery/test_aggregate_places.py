"""What items of the state table are called."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address, begun_address, mark_address, sortable_end
from tests.delivery.aggregate_support import HOURLY, SHARD, VISITS, place, window_place

SCOPE = f"flights#events#hourly#{HOURLY.fingerprint}"


def test_an_item_is_called_by_aggregate_window_group_and_shard() -> None:
    digest = blake2b(b'["AA"]', digest_size=16).hexdigest()
    assert place("AA").address(SHARD) == Address(f"{SCOPE}#1970-01-01T01:00:00Z#{digest[0]}", f"{digest}#{SHARD}#000")


def test_all_items_of_a_group_begin_with_its_prefix() -> None:
    pk, prefix = place("AA").prefix
    found = [place("AA").address(shard, part) for shard in ("shardId-1", "shardId-2") for part in (0, 1)]
    assert len(set(found)) == 4
    assert all(address.pk == pk and address.sk.startswith(prefix) for address in found)


def test_a_group_stands_in_one_of_the_partitions_of_its_window() -> None:
    groups = [place(f"g{number}") for number in range(200)]
    assert {group.prefix.pk for group in groups} == set(window_place().partitions)


def test_groups_windows_aggregates_and_declarations_stand_apart() -> None:
    places = [place("AA"), place("UA"), place("AA", window=Window(7200, 10800)), place("AA", VISITS)]
    assert len({each.address(SHARD) for each in places}) == 4


def test_the_longest_group_fits_into_a_key() -> None:
    address = place("x" * 20_000).address(f"shardId-{'9' * 12}", 999)
    assert (len(address.pk) <= 2048, len(address.sk) <= 1024) == (True, True)


def test_ends_of_windows_sort_as_texts() -> None:
    times = [-62_135_596_800, -1.5, -1, 0, 1, 9.5, 10, 253_402_300_799]
    assert all(sortable_end(a) < sortable_end(b) for a, b in pairwise(times))


def test_windows_that_a_shard_has_begun_are_ordered_by_their_end() -> None:
    early, late = (begun_address(window_place(window), SHARD) for window in (Window(0, 3600), Window(3600, 7200)))
    assert early == Address(f"{SCOPE}#begun", f"1000000003600#1970-01-01T00:00:00Z#{SHARD}")
    assert early < late


def test_a_mark_stands_under_the_name_of_its_window() -> None:
    assert mark_address(window_place()) == Address(f"{SCOPE}#closed", "1970-01-01T01:00:00Z")
    assert mark_address(window_place(None, VISITS)).sk == "sessions"
