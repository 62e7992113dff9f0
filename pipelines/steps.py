"""The Python steps of the pipelines here: one event in; none, one or many out; `Reject` to refuse the record.

A step is a function of its event alone: no clock, no random numbers, no I/O, nothing kept from one event to the next.
"""

from aetherstream.errors import Reject
from aetherstream.records import Event

# The airlines of reference/airlines.csv (a test holds the two together). A lookup with `missing: reject` could do this
# too; it stands here to show what a step looks like.
CARRIERS = frozenset({"9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"})


def known_carrier(event: Event) -> Event:
    """Refuse an event whose carrier nobody knows."""
    carrier = event["carrier"]
    if carrier not in CARRIERS:
        raise Reject("unknown carrier", f"no airline has the code {carrier!r}")
    return event
