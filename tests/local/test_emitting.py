"""The repository's own template: what its table of states tells reaches the emitter, by the stack's own poller."""

from __future__ import annotations

import pytest

from aetherstream.local.stack import Stack

pytestmark = pytest.mark.integration

GROUP = "flights#elsewhere#carrier_hours#000000000000#2013-01-01T10:00:00Z#a"


def test_a_changed_state_reaches_the_emitter_and_the_stack_is_drained_only_then(stack: Stack) -> None:
    [poller] = stack.table_pollers.values()
    before = poller.progress()
    item = {"pk": {"S": GROUP}, "sk": {"S": "a#shardId-000000000000#000"}, "k": {"N": "1"}, "acc": {"B": b"\x01"}}
    item |= {"group": {"S": '["UA"]'}, "window": {"S": "1357034400/1357038000"}}
    stack.clients.get("dynamodb").put_item(TableName=stack.outputs["StateTableName"], Item=item)
    stack.drain(60, loads=False)
    after = poller.progress()
    found = (after.finished - before.finished, after.failed - before.failed, after.pending)
    assert found == (1, 0, 0), after.last_error


def test_the_emulator_leaves_the_streams_to_the_stack(stack: Stack) -> None:
    told = stack.clients.lambda_.list_event_source_mappings()["EventSourceMappings"]
    polled = {each["EventSourceArn"]: each["State"] for each in told}
    streams = [poller.settings.stream_arn for poller in (*stack.pollers.values(), *stack.table_pollers.values())]
    assert {arn: polled[arn] for arn in streams} == dict.fromkeys(streams, "Disabled")


def test_the_status_tells_of_the_table_too(stack: Stack) -> None:
    mappings = stack.status()["table_mappings"]
    assert {name: each["settings"]["report_batch_item_failures"] for name, each in mappings.items()} == {
        "EmitterMapping": True
    }
