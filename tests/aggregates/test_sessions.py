from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from aetherstream.aggregates.sessions import Accs, Sessions, SessionState, cut, merged, split

GAP = 10
TIMES = st.lists(st.integers(-60, 60).map(float), max_size=25)


def together(a: Accs, b: Accs) -> Accs:
    return (tuple(sorted((*a[0], *b[0]))),)


def sessions_of(times: Sequence[float]) -> Sessions:
    return tuple(
        SessionState(times[part[0]], times[part[-1]], (tuple(times[index] for index in part),))
        for part in cut(times, range(len(times)), GAP)
    )


def connected(times: Sequence[float]) -> list[list[float]]:
    """Brute force: join whatever overlaps, until nothing does."""
    sets = [{time} for time in times]
    while True:
        for a in sets:
            b = next((b for b in sets if b is not a and any(abs(x - y) < GAP for x in a for y in b)), None)
            if b is not None:
                a |= b
                sets = [found for found in sets if found is not b]
                break
        else:
            return sorted(sorted(time for time in times if time in found) for found in sets)


@given(TIMES)
def test_sessions_are_cut_where_nothing_happens_for_a_gap(times: list[float]) -> None:
    assert [list(session.accs[0]) for session in sessions_of(times)] == connected(times)


@given(TIMES, st.integers(0, 2**32))
@example([0.0, 18.0, 9.0], 0)
@example([0.0, 10.0], 0)
def test_sessions_merge_to_the_same_in_any_order(times: list[float], seed: int) -> None:
    rng = random.Random(seed)
    parts: list[Sessions] = [sessions_of([time]) for time in times]
    while len(parts) > 1:
        a, b = (parts.pop(rng.randrange(len(parts))) for _ in range(2))
        parts.append(merged(a, b, GAP, together))
    assert (parts[0] if parts else ()) == sessions_of(times)


def test_an_event_between_two_sessions_bridges_them() -> None:
    apart = merged(sessions_of([0.0]), sessions_of([18.0]), GAP, together)
    assert [session[:2] for session in apart] == [(0.0, 0.0), (18.0, 18.0)]
    assert [session[:2] for session in merged(apart, sessions_of([9.0]), GAP, together)] == [(0.0, 18.0)]


def test_a_gap_is_the_end_of_a_session() -> None:
    assert [session.window(GAP) for session in sessions_of([0.0, 10.0])] == [(0.0, 10.0), (10.0, 20.0)]


def test_sessions_are_split_where_the_watermark_has_passed() -> None:
    found = sessions_of([0.0, 20.0, 40.0])
    assert split(found, GAP, 35.0, 5) == (found[:2], found[2:])
    assert split(found, GAP, 34.9, 5) == (found[:1], found[1:])
    assert split(found, GAP, None, 5) == ((), found)
