from typing import Any

import pytest

from aetherstream.local.esm.responses import FAILED, Verdict, judge, window_state

BATCH = ["98", "99", "100", "101"]


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (failures("98"), Verdict(0)),
        (failures("100"), Verdict(2)),
        (failures("101", "99", "100"), Verdict(1)),
        (failures("100", "100"), Verdict(2)),
        (failures("7"), FAILED),
        (failures("100", ""), FAILED),
        (failures(100), FAILED),
        ({"batchItemFailures": ["100"]}, FAILED),
        ({"batchItemFailures": "100"}, FAILED),
        ({"batchItemFailures": {}}, FAILED),
        ({"statusCode": 200}, Verdict(4)),
        ("done", FAILED),
        (0, FAILED),
        (False, FAILED),
        ([1], FAILED),
    ],
)
def test_a_response_says_how_many_leading_records_succeeded(payload: object, verdict: Verdict) -> None:
    assert judge(payload, BATCH, report_batch_item_failures=True) == verdict


@pytest.mark.parametrize("payload", [failures("98"), failures(""), "done"])
def test_responses_are_ignored_while_the_feature_is_off(payload: object) -> None:
    assert judge(payload, BATCH, report_batch_item_failures=False) == Verdict(4)


@pytest.mark.parametrize(
    ("payload", "state"),
    [({"state": {"n": 1}}, {"n": 1}), ({"state": {}}, {}), ({}, None), (None, None), ({"state": None}, None)],
)
def test_a_window_response_needs_a_state(payload: object, state: dict[str, Any] | None) -> None:
    assert window_state(payload) == state
