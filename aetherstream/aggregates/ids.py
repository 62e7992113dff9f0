"""What results are called: one id for each aggregate, window and group, short enough for every sink."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aggregate import Key

LONGEST_ID = 512
"""OpenSearch: most bytes of an `_id`."""


def result_id(key: Key, window: str) -> str:
    """Name a result, for example `delays/2013-01-01T10:00:00Z/["AA","JFK"]`; a long group is replaced by its digest.

    Args:
        key: Of the partial.
        window: `Window.id`, also for a session, whose partial's key has no window.
    """
    text = f"{key.aggregate}/{window}/{key.group}"
    if len(text.encode()) <= LONGEST_ID:
        return text
    return f"{key.aggregate}/{window}/{blake2b(key.group.encode(), digest_size=16).hexdigest()}"
