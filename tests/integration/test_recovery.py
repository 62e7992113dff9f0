"""Dead letters and quarantined records, brought back by the commands through the deployed recovery function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aetherstream.local.stack import Stack
from tests.integration.flow import Flow
from tests.integration.ground import Ground, until
from tests.integration.recovering import Recovering
from tests.integration.test_kills import hold_put_of

pytestmark = pytest.mark.integration

GIVEN_UP_AT_ONCE = {"maximum_retry_attempts": 0, "bisect": False}


def test_a_batch_that_was_given_up_half_written_is_redriven_once_however_often_it_is_asked_for(
    stack: Stack, ground: Ground, unreliable: Any, tmp_path: Path
) -> None:
    ids = ground.put([{"part": part, "n": n} for n, part in enumerate("abcabcabc")])
    unreliable.obey(hold_put_of(ids[1]))
    flow = Flow(stack, ground, endpoint=unreliable.url, mapping=GIVEN_UP_AT_ONCE)
    with flow, Recovering(stack, ground, flow, tmp_path) as recovery:
        until(lambda: len(ground.keys()) == 2, "two of three objects stand")
        unreliable.obey()
        flow.kill()
        flow.drain()
        assert len(ground.ids()) == 6

        [waiting] = recovery.lines("dlq", "list")
        assert (waiting["state"], waiting["size"], waiting["condition"]) == ("waiting", 9, "RetryAttemptsExhausted")
        [tried] = recovery.lines("dlq", "redrive", "--all")
        assert (tried["report"]["passed"], len(ground.ids())) == (9, 6)
        [done] = recovery.lines("dlq", "redrive", "--all", "--yes")
        assert (done["state"], ground.ids()) == ("redriven", ids)

        later = ground.put([{"part": "a", "n": 9}])
        flow.drain()
        assert recovery.lines("dlq", "list") == []
        [again] = recovery.lines("dlq", "redrive", ground.dead()[0], "--yes")
        assert (again["report"]["held"], again["report"]["passed"]) == (9, 0)
    assert ground.ids() == ids + later
    assert [(event["n"]) for event in ground.archived()] == list(range(10))


def test_quarantined_records_are_delivered_once_after_the_step_is_mended(
    stack: Stack, ground: Ground, tmp_path: Path
) -> None:
    [_, second] = ground.put([{"part": "a", "weight": 4}, [{"part": "a", "weight": 2}, {"part": "b"}, {"part": "c"}]])
    ground.put([b"not JSON"])
    place = second.rpartition(":")[0]
    flow = Flow(stack, ground, variables={"DRILL_STEP": "steps:careless"})
    with flow, Recovering(stack, ground, flow, tmp_path, {"DRILL_STEP": "steps:careful"}) as recovery:
        flow.drain()
        delivered = ground.ids()
        assert [envelope["id"] for envelope in ground.quarantined()][:2] == [f"{place}:1", f"{place}:2"]

        groups = recovery.lines("quarantine", "list")
        assert [(group["waiting"], group["reason"]) for group in groups] == [
            (2, "KeyError in pipelines.drill.steps:careless"),
            (1, "not JSON"),
        ]
        careless = groups[0]["fingerprint"]
        [tried] = recovery.lines("quarantine", "replay")
        assert (tried["state"], tried["finished"], ground.ids()) == ("partial", 2, delivered)
        [done] = recovery.lines("quarantine", "replay", "--fingerprint", careless, "--yes")
        assert (done["state"], done["finished"]) == ("replayed", 2)
        assert ground.ids() == [*delivered, f"{place}:1", f"{place}:2"]

        assert [(group["reason"]) for group in recovery.lines("quarantine", "list")] == ["not JSON"]
        [again] = recovery.lines("quarantine", "replay", "--yes")
        assert (again["finished"], again["state"]) == (0, "partial")
        assert ground.ids() == [*delivered, f"{place}:1", f"{place}:2"]
        [_, both] = sorted(recovery.lines("quarantine", "list", "--all"), key=lambda group: group["replayed"])
        assert (both["replayed"], both["waiting"]) == (2, 0)
    assert [(event["_event_id"], event["half"]) for event in ground.archived()][2:] == [
        (f"{place}:1", 0),
        (f"{place}:2", 0),
    ]
