"""Folding batches, however they are cut and merged, against an oracle that goes through the events one by one."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise
from math import isfinite
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output, expressions
from aetherstream.aggregates.columns import ColumnReader, Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.groups import group_values
from aetherstream.aggregates.partials import Partials, dump, load, max_bytes, merge_all, results
from aetherstream.aggregates.windows import Hopping, Session, Tumbling, Windows
from aetherstream.testing.accumulators import place

WINDOWS = st.sampled_from([Tumbling(10), Tumbling(10, 3), Hopping(10, 4), Hopping(12, 4, 1), Session(5)])
VALUES = st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from([None, "x", True, float("nan"), 10**400])
GROUPS = st.sampled_from(["A", "B", 1, 1.0, True, None, "é", [1], 0.5])
EVENTS = st.lists(
    st.fixed_dictionaries({"g": GROUPS, "v": VALUES, "t": st.integers(-30, 30) | st.floats(-30, 30)}), max_size=30
)
Found = dict[tuple[Any, ...], dict[str, Any]]


def declared(windows: Windows, **options: Any) -> Aggregate:
    outputs = (
        Output("n", make("count")),
        Output("sum", make("sum"), "v"),
        Output("max", make("max"), "v"),
        Output("distinct", make("distinct"), "v"),
        Output("last", make("last"), "v"),
    )
    return Aggregate("a", (("g", "g"),), windows, outputs, **options)


def columns(events: list[dict[str, Any]], own: Aggregate, first: int = 0) -> Columns:
    values = ColumnReader(expressions([own])).read(events)
    return Columns(values, [event["t"] for event in events], [place(first + index) for index in range(len(events))])


def number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**1023 and isfinite(value)


def scalar(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def short(value: Any) -> bool:
    return scalar(value) and (type(value) is not int or abs(value) < 2**1023)


def expected(rows: list[tuple[Any, float, int]]) -> dict[str, Any]:
    """What the outputs are for some (value, time, index)."""
    numbers = [value for value, _, _ in rows if number(value)]
    total = make("sum")
    acc = total.create()
    for value in numbers:
        acc = total.add(acc, value, 0.0, place(0))
    kept = [(time, index, value) for value, time, index in rows if short(value)]
    different = {(type(value) is bool, value) for value, _, _ in rows if scalar(value)}
    return {
        "n": len(rows),
        "sum": total.result(acc),
        "max": (float(max(numbers)) if any(type(n) is float for n in numbers) else max(numbers)) if numbers else None,
        "distinct": len(different),
        "last": max(kept, key=lambda row: row[:2])[2] if kept else None,
    }


def oracle(events: list[dict[str, Any]], windows: Windows, watermark: float | None) -> Found:
    """One event after the other."""
    rows: defaultdict[tuple[Any, ...], list[tuple[Any, float, int]]] = defaultdict(list)
    for index, event in enumerate(events):
        group, time = event["g"], event["t"]
        if isinstance(group, list):
            continue
        name = (type(group) is bool, group)
        if isinstance(windows, Session):
            if watermark is None or time >= watermark:
                rows[name].append((event["v"], time, index))
            continue
        for window in windows.assign(time):
            if watermark is None or watermark < window.end:
                rows[*name, window.start].append((event["v"], time, index))
    if not isinstance(windows, Session):
        return {name: expected(found) for name, found in rows.items()}
    sessions: Found = {}
    for name, found in rows.items():
        found.sort(key=lambda row: row[1])
        part: list[tuple[Any, float, int]] = []
        for row in found:
            if part and row[1] >= part[-1][1] + windows.gap:
                sessions[*name, part[0][1]] = expected(part)
                part = []
            part.append(row)
        sessions[*name, part[0][1]] = expected(part)
    return sessions


def read(own: Aggregate, partials: Partials) -> Found:
    found: Found = {}
    for key, partial in partials.items():
        (group,) = group_values(key.group)
        name = (type(group) is bool, group)
        if key.window is not None:
            found[*name, key.window.start] = results(own, partial)
        else:
            found |= {(*name, session.first): results(own, session.accs) for session in partial}
    return found


@given(EVENTS, WINDOWS, st.none() | st.integers(-30, 30))
def test_a_fold_is_what_the_oracle_counts(
    events: list[dict[str, Any]], windows: Windows, watermark: float | None
) -> None:
    own = declared(windows)
    assert read(own, fold(own, columns(events, own), watermark=watermark).partials) == oracle(
        events, windows, watermark
    )


@given(EVENTS, WINDOWS, st.integers(0, 2**32))
def test_batches_merge_to_the_fold_of_all(events: list[dict[str, Any]], windows: Windows, seed: int) -> None:
    own, rng = declared(windows), random.Random(seed)
    cuts = sorted(rng.sample(range(len(events) + 1), min(3, len(events) + 1)))
    bounds = [0, *cuts, len(events)]
    parts = [fold(own, columns(events[a:b], own, a)).partials for a, b in pairwise(bounds)]
    rng.shuffle(parts)
    whole = fold(own, columns(events, own)).partials
    assert stored(own, merge_all({"a": own}, parts)) == stored(own, whole)


@given(EVENTS, WINDOWS)
def test_partials_read_back_from_their_bytes(events: list[dict[str, Any]], windows: Windows) -> None:
    own = declared(windows)
    partials = fold(own, columns(events, own)).partials
    back = {key: load(own, dump(own, partial)) for key, partial in partials.items()}
    assert (read(own, back), stored(own, back)) == (read(own, partials), stored(own, partials))


@given(EVENTS, WINDOWS, st.integers(0, 30))
def test_a_prefix_is_folded_as_if_nothing_came_behind_it(
    events: list[dict[str, Any]], windows: Windows, upto: int
) -> None:
    own = declared(windows, max_groups=2)
    assert fold(own, columns(events, own), upto=upto) == fold(own, columns(events[:upto], own))


@given(EVENTS, WINDOWS, st.integers(1, 4))
def test_no_window_gets_more_groups_than_it_may_have(events: list[dict[str, Any]], windows: Windows, most: int) -> None:
    own = declared(windows, max_groups=most)
    folded = fold(own, columns(events, own))
    groups: defaultdict[Any, int] = defaultdict(int)
    for key in folded.partials:
        groups[key.window] += 1
    rest = fold(own, columns(events, own), without=folded.refused)
    assert (max(groups.values(), default=0) <= most, rest.partials, rest.refused) == (True, folded.partials, {})


def stored(own: Aggregate, partials: Partials) -> dict[Key, bytes]:
    found = {key: dump(own, partial) for key, partial in partials.items()}
    for key, data in found.items():
        assert len(data) <= max_bytes(own) * (1 if key.window else max(1, len(partials[key])))
    return found
