"""The rows of a part of a window: results of one shard, with the states that they were made from.

A part is named by its first record and has its number of records as version. Whoever sends it again sends the same, or,
where its invocation was repeated with fewer records, the part as it has grown since, with a greater version.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import blake2b

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.ids import LONGEST_ID
from aetherstream.aggregates.partials import load, results
from aetherstream.aggregates.windows import Window
from aetherstream.managed.state import WindowState
from aetherstream.results.parts import Part, Row
from aetherstream.results.rows import group_of, row_version


def rows_of(aggregate: Aggregate, state: WindowState, window: Window, shard: str, *, early: bool) -> list[Row]:
    """Make the rows of one aggregate, by group.

    Raises:
        UnreadableState: a later version wrote a partial.
    """
    return [
        Row(
            part_id(aggregate.name, window, group, shard, state.first),
            aggregate.name,
            window,
            row_version(state.records, final=True),
            final=True,
            group=group_of(aggregate, Key(aggregate.name, window, group)),
            values=results(aggregate, load(aggregate, data)),
            part=Part(shard, state.first, early, f"{aggregate.fingerprint}:{b64encode(data).decode()}"),
        )
        for group, data in sorted(state.groups.get(aggregate.name, {}).items())
    ]


def part_id(aggregate: str, window: Window, group: str, shard: str, first: str) -> str:
    """Name a row: `<aggregate>/<window>/<group>/<shard>/<first record>`; a long group is replaced by its digest."""
    text = f"{aggregate}/{window.id}/{group}/{shard}/{first}"
    if len(text.encode()) <= LONGEST_ID:
        return text
    digest = blake2b(group.encode(), digest_size=16).hexdigest()
    return f"{aggregate}/{window.id}/{digest}/{shard}/{first}"
