"""The first groups of a closed window, as rows by rank. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.partials import results as outputs_of
from aetherstream.aggregates.ranking import ranked
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.aggregates.state import Item
from aetherstream.results.parts import Row
from aetherstream.results.rows import group_of, row_version


def ranked_rows(
    declaration: Declaration, ranking: Ranking, window: Window, groups: Iterable[Sequence[Item]]
) -> list[Row]:
    """Rank a window.

    The version counts every group's commits, also those that are not among the first: any change may move the others,
    and each raises it. As rows are named by rank, what was a group's row becomes another's.

    Args:
        declaration: Of the aggregate.
        ranking: What it ranks by.
        window: The closed window.
        groups: The items of each group; all of them.

    Raises:
        UnreadableState: a later version wrote an item.
    """
    aggregate = declaration.aggregate
    version = 0
    found: dict[str, tuple[Result, dict[str, Any]]] = {}
    for items in groups:
        for result in merged(aggregate, items):
            version += result.version
            found[result.key.group] = (result, outputs_of(aggregate, result.accs))
    first = ranked(
        ((group, values) for group, (_, values) in found.items()),
        ranking.by,
        ranking.most,
        ascending=ranking.ascending,
    )
    return [
        Row(
            id=f"{aggregate.name}/{window.id}/rank-{rank}",
            aggregate=aggregate.name,
            window=window,
            version=row_version(version, final=True),
            final=True,
            group=group_of(aggregate, found[group][0].key),
            values=values,
            rank=rank,
        )
        for rank, (group, values) in enumerate(first, 1)
    ]
