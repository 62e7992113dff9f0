"""What a change in the sessions of a group makes of its rows: some are new, some are another's part now. Pure.

A row is named by its session's start, and sessions only unite. So the row of a start that lies inside a session is to
be removed. Such a start was visible until a write united it: it is in the old image of that write, or in an item of
another shard, inside what the write has newly covered. (It may have been hidden there from its first moment on; then
what is removed was never sent, which does no harm.) A start that is in an old image and inside no session has been
forgotten long after its session was closed, and its row stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.partials import load
from aetherstream.aggregates.sessions import Sessions, SessionState
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.changes import Images
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.aggregates.state import Item, Mark
from aetherstream.results.parts import Row
from aetherstream.results.rows import removal, row_version, rows


class Change(NamedTuple):
    """One write of an item: its sessions before and after."""

    old: Sessions
    new: Sessions

    @property
    def changed(self) -> Sessions:
        """The sessions that the write has made or changed."""
        return tuple(session for session in self.new if session not in self.old)


def changes_of(aggregate: Aggregate, images: Iterable[Images]) -> list[Change]:
    """Read the images of writes. Raises UnreadableState."""
    return [Change(load(aggregate, old) if old is not None else (), load(aggregate, new)) for old, new in images]


def may_be_final(changes: Iterable[Change], gap: float, upto: float | None) -> bool:
    """Whether any row that a change touches may be, or have been, final: nothing else matters at close."""
    return upto is not None and any(session.first + gap <= upto for change in changes for session in change.new)


def session_rows(
    aggregate: Aggregate,
    changes: Sequence[Change],
    items: Sequence[Item],
    mark: Mark,
    later: Mark,
    *,
    final_only: bool,
) -> list[Row]:
    """The rows that changes of a group touch.

    A session is final if it was closed before it was read: else it might be united with another one by now, and its
    final row would never be taken back. It is open if it was not closed after it was read: else its row could pass as
    newer than the final one, when another session of the item has raised the version. One that was closed meanwhile is
    left to the closer, which reads it again.

    Args:
        aggregate: Whose sessions they are.
        changes: The writes; none is left out.
        items: All items of the group, read after the writes.
        mark: What closing had left behind, read after the writes and before the items.
        later: The same, read after the items.
        final_only: Whether rows of sessions that are open go nowhere.

    Raises:
        UnreadableState: a later version wrote an item.
    """
    gap, upto = aggregate.gap or 0, mark.upto
    floor = later.floor
    current = [result for result in merged(aggregate, items) if floor is None or result.window.end > floor]
    changed = [session.first for change in changes for session in change.changed]
    hidden = _hidden(aggregate, changes, items, gap)
    found: list[Row] = []
    for result in current:
        window = result.window
        [row] = rows(aggregate, [result], final=_is_closed(window.end, upto))
        is_sent = row.final or not (final_only or _is_closed(window.end, later.upto))
        if is_sent and any(window.start <= first < window.end for first in changed):
            found.append(row)
        for start in sorted(start for start in hidden if window.start < start < window.end):
            # It was final if it could be: where only final rows are stored, it has to be taken back as one.
            was_final = _is_closed(start + gap, upto)
            if was_final or not final_only:
                gone = removal(aggregate, Result(result.key, Window(start, start + gap), (), 0), row)
                found.append(replace(gone, final=was_final, version=row_version(result.version, final=was_final)))
    return found


def _is_closed(end: float, upto: float | None) -> bool:
    return upto is not None and end <= upto


def _hidden(aggregate: Aggregate, changes: Iterable[Change], items: Iterable[Item], gap: float) -> set[float]:
    """Starts that changes may have hidden inside other sessions."""
    starts = {session.first for item in items for session in load(aggregate, item.state.acc)}
    found: set[float] = set()
    for change in changes:
        found |= {session.first for session in change.old} - {session.first for session in change.new}
        changed = change.changed
        found |= {start for start in starts if _covers(changed, start, gap) and not _covers(change.old, start, gap)}
    return found


def _covers(sessions: Collection[SessionState], time: float, gap: float) -> bool:
    return any(session.first <= time < session.last + gap for session in sessions)
