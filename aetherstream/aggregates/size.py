"""How large a state may be: what an item of the state table takes, and an aggregate may ask for. Pure.

DynamoDB: an item has up to 400 KB.
"""

from __future__ import annotations

from ..errors import ConfigurationError
from .aggregate import Aggregate
from .partials import max_bytes

MOST_STATE = 380_000
"""Most bytes of a state in one item; the rest is for its names."""
MOST_SESSIONS = 150_000
"""Most bytes of sessions that one batch may bring for one group: they fit behind what is not yet full."""


def check_size(aggregate: Aggregate) -> None:
    """Refuse an aggregate that may not fit, when the pipeline is loaded.

    Raises:
        ConfigurationError: says what each output may take.
    """
    limit = most_partial(aggregate)
    if (most := max_bytes(aggregate)) > limit:
        parts = ", ".join(f"{output.name} {output.accumulator.max_bytes:,}" for output in aggregate.outputs)
        what = "group" if aggregate.gap is None else "session"
        raise ConfigurationError(
            f"aggregate {aggregate.name}: the state of a {what} may take {most:,} bytes ({parts}), "
            f"and {limit:,} are the most: ask for less precision or a lower capacity, or make several aggregates of it"
        )


def most_partial(aggregate: Aggregate) -> int:
    """Most bytes that one batch may bring for one group."""
    return MOST_STATE if aggregate.gap is None else MOST_SESSIONS
