from __future__ import annotations

from base64 import b64encode

from aetherstream.managed.rows import part_id, rows_of
from aetherstream.results.parts import Part, Row
from aetherstream.results.rows import document
from aetherstream.testing.builders import SHARD

from .support import WINDOW, aggregate, batch, folded

OWN = aggregate()


def test_a_part_of_a_window_gives_a_row_a_group_with_its_merge_state() -> None:
    state = folded(OWN, batches=[batch({"carrier": "UA", "delay": 1}, {"carrier": "AA", "delay": 2})]).state
    rows = rows_of(OWN, state, WINDOW, SHARD, early=False)
    assert [row.group for row in rows] == [{"carrier": "AA"}, {"carrier": "UA"}]
    data = state.groups["delays"]['["AA"]']
    assert rows[0] == Row(
        f'delays/2025-11-21T08:00:00Z/["AA"]/{SHARD}/100',
        "delays",
        WINDOW,
        5,
        True,
        {"carrier": "AA"},
        {"n": 1, "delay": 2},
        part=Part(SHARD, "100", False, f"{OWN.fingerprint}:{b64encode(data).decode()}"),
    )


def test_the_document_of_a_row_has_the_part_whatever_fields_are_chosen() -> None:
    state = folded(OWN, batches=[batch({"carrier": "AA", "delay": 2})]).state
    (row,) = rows_of(OWN, state, WINDOW, SHARD, early=True)
    assert row.part is not None
    assert document(row, ["n"]) == {
        "id": f'delays/2025-11-21T08:00:00Z/["AA"]/{SHARD}/100',
        "aggregate": "delays",
        "window_start": "2025-11-21T08:00:00Z",
        "window_end": "2025-11-21T08:01:00Z",
        "carrier": "AA",
        "n": 1,
        "version": 3,
        "final": True,
        "shard": SHARD,
        "part": "100",
        "early": True,
        "state": row.part.state,
    }


def test_a_part_that_has_grown_has_the_same_id_and_a_greater_version() -> None:
    small = folded(OWN, batches=[batch({"carrier": "AA"})]).state
    grown = folded(OWN, batches=[batch({"carrier": "UA"}, first=200)], state=small).state
    (before,) = rows_of(OWN, small, WINDOW, SHARD, early=True)
    after = rows_of(OWN, grown, WINDOW, SHARD, early=False)[0]
    assert (before.id, before.version, after.version) == (after.id, 3, 5)


def test_no_id_is_longer_than_sinks_take() -> None:
    own = aggregate(by="a b c")
    group = dict.fromkeys("abc", "ü" * 200)
    state = folded(own, batches=[batch(group)]).state
    (row,) = rows_of(own, state, WINDOW, SHARD, early=False)
    assert len(row.id.encode()) <= 512
    assert row.id == part_id("delays", WINDOW, next(iter(state.groups["delays"])), SHARD, "100")
    assert row.id.endswith(f"/{SHARD}/100")


def test_nothing_gives_no_rows() -> None:
    state = folded(OWN, batches=[batch("not json")]).state
    assert rows_of(OWN, state, WINDOW, SHARD, early=False) == []
