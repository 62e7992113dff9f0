"""Python steps that behave as an event asks them to, for pipelines that are to fail."""

import os
import signal

from aetherstream.records import Event


def keep(event: Event) -> Event:
    """Change nothing."""
    return event


def fatal(event: Event) -> Event:
    """Kill the process at an event that says so, without a word: what a segmentation fault in a library does."""
    if event.get("do") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return event


def careless(event: Event) -> Event:
    """Count on a field that not every event has."""
    return {**event, "made_by": "careless", "half": event["weight"] / 2}


def careful(event: Event) -> Event:
    """Do the same with the bug fixed."""
    return {**event, "made_by": "careful", "half": event.get("weight", 0) / 2}
