"""How a comparison of windows with the archive reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aetherstream.aggregates.windows import time_text
from aetherstream.commands.words import count

if TYPE_CHECKING:
    from aetherstream.aggregates.aggregate import Aggregate
    from aetherstream.recovery.recomputing import Compared


def facts(done: Compared) -> dict[str, Any]:
    """For `--json`."""
    counted = done.counted
    return {
        "from": time_text(done.span.start),
        "to": time_text(done.span.end),
        "windows": done.windows,
        "groups": done.groups,
        "objects": done.objects,
        "events": counted.folded,
        "refolded": counted.refolded,
        "quarantined": counted.lacking,
        "not_settled": counted.unsettled,
        "removed": [window.id for window in done.removed],
        "differences": [
            {
                "window": each.window.id,
                "group": json.loads(each.key.group),
                "outputs": list(each.outputs),
                "recomputed": each.recomputed,
                "stored": each.stored,
            }
            for each in done.differences
        ],
        "explanations": done.explanations,
    }


def rebuilt(aggregate: Aggregate, done: Compared) -> Iterator[dict[str, Any]]:
    """Each group's results, as the archive gives them."""
    from aetherstream.aggregates.partials import results
    from aetherstream.recovery.recompute import apart

    for (key, window), accs in sorted(
        apart(aggregate, done.rebuilt).items(), key=lambda one: (one[0][1], one[0][0].group)
    ):
        yield {
            "window": window.id,
            "end": time_text(window.end),
            "group": json.loads(key.group),
            "results": results(aggregate, accs),
        }


def lines(name: str, done: Compared, most: int) -> Iterator[str]:
    """For people; `most`: so many differences are told one by one."""
    told_facts = facts(done)
    yield (
        f"{name}, windows that begin from {told_facts['from']} to {told_facts['to']}: {count(done.groups, 'group')} of "
        f"{count(done.windows, 'window')}, from {count(done.counted.folded, 'event')} of "
        f"{count(done.objects, 'object')}"
    )
    if done.counted.lacking:
        yield f"{count(done.counted.lacking, 'event')} left out that an aggregate did not take: in the quarantine"
    if done.removed:
        yield f"{count(len(done.removed), 'window')} not compared: closed so long ago that the states may be removed"
    for each in done.differences[:most]:
        where = f"{each.window.id} {each.key.group}"
        if each.stored is None or each.recomputed is None:
            which, told = ("archive", each.recomputed) if each.stored is None else ("state", each.stored)
            yield f"DIFFERENT  {where}: only the {which} has it: {json.dumps(told, default=str)}"
            continue
        for output in each.outputs:
            archived, stored = (json.dumps(side[output], default=str) for side in (each.recomputed, each.stored))
            yield f"DIFFERENT  {where}: {output} is {stored} in the state, {archived} by the archive"
    if len(done.differences) > most:
        yield f"… and {len(done.differences) - most:,} more (--json prints all)"
    if not done.differences:
        yield "every group is as the archive has it"
        return
    yield f"{count(len(done.differences), 'group')} different. What may lie behind it:"
    yield from (f"  {line}" for line in done.explanations)
