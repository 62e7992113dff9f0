"""Closing every window by hand: a year of flights takes seconds here, and its last hour would stay open for a while."""

from __future__ import annotations

import json
from collections.abc import Callable

from aetherstream.errors import UsageError
from aetherstream.local.stack import Stack
from demo.aggregates import END


def close_windows(stack: Stack, seconds: float, watch: Callable[[int, int], object] = lambda *_: None) -> None:
    """Have the closer function close all windows, and wait until what that changed has come to its end.

    `seconds`: the most that this may wait; `watch` is told how many windows are closed, and how many of all there are.
    Raises UsageError where the closer can't.
    """
    request = json.dumps({"upto": END}).encode()
    windows, overdue = 0, 1
    while overdue:
        answer = stack.clients.lambda_.invoke(FunctionName=stack.outputs["CloserFunctionName"], Payload=request)
        said = json.loads(answer["Payload"].read())
        if said.get("state") != "done":
            raise UsageError(f"the closer function says: {said}")
        windows, overdue = windows + said["windows"], said["overdue"]
        watch(windows, windows + overdue)
    stack.drain(seconds, loads=False)
