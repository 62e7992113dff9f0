from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output, expressions
from aetherstream.aggregates.columns import ColumnReader
from aetherstream.aggregates.ids import result_id
from aetherstream.aggregates.ranking import ranked
from aetherstream.aggregates.windows import Session, Tumbling, Window
from aetherstream.errors import ConfigurationError

COUNT = Output("n", make("count"))
SUM = Output("s", make("sum"), "v")
BASE = Aggregate("a", (("g", "g"),), Tumbling(60), (COUNT, SUM))


@pytest.mark.parametrize(
    "change",
    [
        {"windows": Tumbling(61)},
        {"windows": Tumbling(60, 1)},
        {"windows": Session(60)},
        {"group_by": (("g", "h"),)},
        {"outputs": (SUM, COUNT)},
        {"outputs": (COUNT,)},
        {"outputs": (COUNT, Output("s", make("mean"), "v"))},
        {"outputs": (COUNT, Output("s", make("sum"), "w"))},
        {"outputs": (COUNT, Output("s", make("distinct"), "v"))},
        {"outputs": (COUNT, Output("t", make("sum"), "v"))},
    ],
)
def test_what_states_mean_shows_in_the_fingerprint(change: dict[str, Any]) -> None:
    assert replace(BASE, **change).fingerprint != BASE.fingerprint


def test_a_sketch_of_another_precision_is_another_state() -> None:
    prints = {
        replace(BASE, outputs=(Output("d", make("distinct", precision=precision), "v"),)).fingerprint
        for precision in (10, 11)
    }
    assert len(prints) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"lateness": 5},
        {"max_groups": 5},
        {"future": 5},
        {"correct": True},
        {"group_by": (("renamed", "g"),)},
        {"outputs": (COUNT, Output("s", make("sum"), "v", "reject"))},
    ],
)
def test_what_may_change_under_way_does_not_show_in_it(change: dict[str, Any]) -> None:
    assert replace(BASE, **change).fingerprint == BASE.fingerprint


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert BASE.fingerprint == "43a344dec87374fb"


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: replace(BASE, outputs=(COUNT, COUNT)), "aggregate a: n is declared twice"),
        (lambda: replace(BASE, outputs=()), "aggregate a has no outputs"),
        (lambda: replace(BASE, lateness=-1), "lateness and the limit of the future must be 0 or more"),
        (lambda: replace(BASE, max_groups=0), "max_groups 1 or more"),
        (lambda: Output("s", make("sum")), "s: sum needs a field"),
        (lambda: Output("s", make("count", of_field=True)), "s: count needs a field"),
        (lambda: ColumnReader(["a +"]), "'a \\+' in an aggregate: "),
    ],
)
def test_a_declaration_that_cannot_work_says_why(make_it: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_it()


def test_each_expression_is_read_once() -> None:
    assert expressions([BASE, replace(BASE, group_by=(("v", "v"),))]) == ["g", "v"]


def test_a_result_is_called_by_aggregate_window_and_group() -> None:
    window = Window(0, 60)
    assert result_id(Key("a", window, '["AA"]'), window.id) == 'a/1970-01-01T00:00:00Z/["AA"]'


def test_a_long_group_is_called_by_its_digest() -> None:
    key = Key("a", None, f'["{"é" * 300}"]')
    assert result_id(key, "w") == "a/w/5c76cdb0168e2ee1f1e7e485c0e1d57d"


def test_groups_are_ranked_by_a_result_and_equal_ones_by_their_text() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("b", {"n": 2}),
        ("a", {"n": 2}),
        ("c", {"n": 5.5}),
        ("d", {"n": None}),
        ("e", {"n": 1}),
        ("f", {"n": True}),
    ]
    assert [group for group, _ in ranked(rows, "n", 3)] == ["c", "a", "b"]
    assert [group for group, _ in ranked(rows[::-1], "n", 2, ascending=True)] == ["e", "a"]
