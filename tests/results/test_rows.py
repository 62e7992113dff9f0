"""Rows of results: their ids, versions and documents."""

from __future__ import annotations

from math import inf
from typing import Any

import orjson
import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.partials import load
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.errors import Rejected
from aetherstream.results.parts import Part, Row
from aetherstream.results.rows import document, line, newest, removal, row_version, rows
from aetherstream.testing.results import row
from tests.delivery.aggregate_support import HOURLY, SHARD, VISITS, Table, partials

BY_ALL = Aggregate(
    "kinds", (("text", "t"), ("number", "n"), ("flag", "f"), ("none", "x")), Tumbling(60), (Output("n", make("count")),)
)


def hourly(version: int, *values: int) -> Result:
    table = Table()
    table.fold(version, partials([("AA", 3600, value) for value in values]))
    (result,) = merged(HOURLY, table.items())
    return result


def visits(*rows: tuple[str, float, int], commit: int = 4) -> list[Result]:
    table = Table()
    table.fold(commit, partials(rows, VISITS), shard=SHARD)
    return merged(VISITS, table.items())


def test_a_result_becomes_a_row() -> None:
    assert rows(HOURLY, [hourly(4, 1, 2)], final=False) == [
        Row(
            id='hourly/1970-01-01T01:00:00Z/["AA"]',
            aggregate="hourly",
            window=Window(3600, 7200),
            version=8,
            final=False,
            group={"carrier": "AA"},
            values={"events": 2, "sum": 3},
        )
    ]


def test_the_final_row_of_a_result_is_newer_than_the_one_before_and_older_than_that_of_the_next_change() -> None:
    assert [row_version(4, final=False), row_version(4, final=True), row_version(5, final=False)] == [8, 9, 10]


def test_the_values_of_a_group_keep_their_kinds() -> None:
    key = Key("kinds", Window(0, 60), '["AA",1.5,true,null]')
    (found,) = rows(BY_ALL, [Result(key, Window(0, 60), (2,), 1)], final=True)
    assert found.group == {"text": "AA", "number": 1.5, "flag": True, "none": None}


def test_each_session_of_a_group_is_a_row_that_is_named_by_its_start() -> None:
    found = rows(VISITS, visits(("AA", 0.5, 1), ("AA", 500, 2)), final=True)
    assert [(each.id, each.window) for each in found] == [
        ('visits/1970-01-01T00:00:00.500000Z/["AA"]', Window(0.5, 60.5)),
        ('visits/1970-01-01T00:08:20Z/["AA"]', Window(500, 560)),
    ]


def test_a_session_that_is_no_more_has_the_version_of_the_one_that_it_is_part_of() -> None:
    _, gone = visits(("AA", 0, 1), ("AA", 100, 2))
    (into,) = rows(VISITS, visits(("AA", 0, 1), ("AA", 50, 3), ("AA", 100, 2), commit=7), final=True)
    assert removal(VISITS, gone, into) == Row(
        id='visits/1970-01-01T00:01:40Z/["AA"]',
        aggregate="visits",
        window=Window(100, 160),
        version=15,
        final=True,
        group={"carrier": "AA"},
        values={"events": None, "sum": None},
        removed=True,
    )


def test_a_document_has_everything_of_its_row() -> None:
    assert document(row("AA", 7)) == {
        "id": 'hours/2013-01-01T10:00:00Z/["AA"]',
        "aggregate": "hours",
        "window_start": "2013-01-01T10:00:00Z",
        "window_end": "2013-01-01T11:00:00Z",
        "carrier": "AA",
        "flights": 7,
        "delay": 1.5,
        "note": None,
        "version": 7,
        "final": True,
    }


def test_a_document_has_the_outputs_that_are_asked_for_and_what_says_whose_they_are() -> None:
    assert document(row("AA", 7), ["delay"]) == {
        "id": 'hours/2013-01-01T10:00:00Z/["AA"]',
        "aggregate": "hours",
        "window_start": "2013-01-01T10:00:00Z",
        "window_end": "2013-01-01T11:00:00Z",
        "carrier": "AA",
        "delay": 1.5,
        "version": 7,
        "final": True,
    }


def test_the_document_of_a_removed_row_has_no_results() -> None:
    removed = Row("a/w/g", "a", Window(0, 60), 9, True, {"carrier": "AA"}, {"n": 3}, removed=True)
    found = document(removed)
    assert (found["n"], found["removed"], found["carrier"]) == (None, True, "AA")


def test_the_document_of_a_ranked_row_has_its_rank() -> None:
    ranked = Row("a/w/rank-1", "a", Window(0, 60), 9, True, {}, {"n": 3}, rank=1)
    assert document(ranked)["rank"] == 1


def test_the_document_of_a_shards_part_says_what_it_is_a_part_of() -> None:
    part = Row("a/w/g/s", "a", Window(0, 60), 9, True, {}, {"n": 3}, part=Part("shard-1", "49", False, "f:AQ=="))
    found = document(part)
    assert {name: found[name] for name in ("shard", "part", "early", "state")} == {
        "shard": "shard-1",
        "part": "49",
        "early": False,
        "state": "f:AQ==",
    }


@pytest.mark.parametrize("number", [2**63, -(2**64) - 1, 10**300])
def test_an_integer_of_any_size_is_written_exactly(number: int) -> None:
    assert b'"flights":%d,' % number in line(document(row(flights=number)))


def test_what_is_no_number_in_json_is_null() -> None:
    assert orjson.loads(line(document(row(delay=inf))))["delay"] is None


@pytest.mark.parametrize("value", [object(), {"a": object()}, "\ud800", {(1, 2): 3}])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(Rejected) as caught:
        line(document(row("AA", note=value)))
    assert caught.value.reason == "can't be written as JSON"
    assert caught.value.message.startswith('the result hours/2013-01-01T10:00:00Z/["AA"] can\'t be written as JSON: ')


def test_what_refers_to_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Rejected):
        line(document(row(note=endless)))


def test_of_rows_with_one_id_the_newest_is_left_in_the_place_of_the_first() -> None:
    found = newest([row("AA", 7), row("UA", 1), row("AA", 9), row("AA", 8)])
    assert [(each.group["carrier"], each.version) for each in found] == [("AA", 9), ("UA", 1)]


def test_results_of_a_stored_state_are_those_of_what_was_folded() -> None:
    table = Table()
    table.fold(4, partials([("AA", 3600, 2**62)] * 4))
    (item,) = table.items()
    assert load(HOURLY, item.state.acc)
    (found,) = rows(HOURLY, merged(HOURLY, table.items()), final=True)
    assert found.values == {"events": 4, "sum": 2**64}
