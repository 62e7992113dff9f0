"""Python steps of users, good and bad."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from aetherstream.errors import Reject, Retryable

Event = dict[str, Any]
SHARED: Event = {"n": 0, "nested": {"x": 0}}
COUNT = itertools.count()


def change(event: Event) -> Event:
    event["changed"] = True
    return event


def change_nested(event: Event) -> Event:
    event["row"]["changed"] = event["row"].get("changed", 0) + 1
    return event


def drop_odd(event: Event) -> Event | None:
    return None if event["n"] % 2 else event


def repeat(event: Event) -> Iterator[Event]:
    for index in range(event["n"]):
        yield {**event, "index": index}


def twice_the_same(event: Event) -> list[Event]:
    return [event, event]


def always_the_same(event: Event) -> Event:
    SHARED["n"] = event["n"]
    return SHARED


def limit(event: Event, most: int) -> Event:
    if event["n"] > most:
        raise Reject("too large", f"{event['n']} is more than {most}")
    return event


def buggy(event: Event) -> Event:
    event["half"] = 10 / event["n"]
    return event


def buggy_generator(event: Event) -> Iterator[Event]:
    yield event
    raise KeyError("lost")


def stops(event: Event) -> Event:
    if event["n"] == 0:
        raise StopIteration
    return event


def no_memory(event: Event) -> Event:
    raise MemoryError


def interrupted(event: Event) -> Event:
    raise KeyboardInterrupt


def exits(event: Event) -> Event:
    raise SystemExit


def not_now(event: Event) -> Event:
    raise Retryable("the world is down")


def text(event: Event) -> str:
    return "event"


def texts(event: Event) -> list[str]:
    return ["event"]


def ordered(event: Event) -> OrderedDict[str, Any]:
    return OrderedDict(event, ordered=True)


def endless(event: Event) -> Iterator[Event]:
    while True:
        yield event


def counting(event: Event) -> Event:
    return {**event, "count": next(COUNT)}


def alternating(event: Event, state: list[bool] = []) -> Event:  # noqa: B006 - a step that keeps something
    """Depends on the event before."""
    state.append(event["n"] > 0)
    return {**event, "after": len(state) > 1 and state[-2]}


async def asynchronous(event: Event) -> Event:
    return event


no_function = 5
