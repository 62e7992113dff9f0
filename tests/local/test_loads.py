from __future__ import annotations

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.loads import Waiting, wait_for_loads


def test_nothing_waits_once_the_queue_is_empty_for_a_moment() -> None:
    # S3 announces the last object a moment after the queue was empty.
    found = [Waiting(visible=1), Waiting(), Waiting(delayed=1), Waiting(taken=1)]
    told: list[Waiting] = []
    pauses: list[float] = []
    left = iter(found)
    wait_for_loads(lambda: next(left, Waiting()), 60, told.append, pause=pauses.append)
    assert told == [*found, *[Waiting()] * 4]


def test_dead_letters_are_not_waited_for() -> None:
    assert Waiting(visible=1, taken=2, delayed=4, dead=8).total == 7


def test_what_is_not_loaded_in_time_is_told() -> None:
    with pytest.raises(UsageError) as raised:
        wait_for_loads(lambda: Waiting(visible=1, taken=2, delayed=3), 0)
    assert str(raised.value) == (
        "after 0 s not everything is loaded: 1 messages wait, 2 are with a loader or put back for a while, 3 are new; "
        "`aetherstream redshift show` says more"
    )
