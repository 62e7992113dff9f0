"""One batch more for a window that Lambda keeps.

An event belongs to the window of the invocation, that of its record's arrival, whatever its event time says; so there
is no lateness and no limit of the future. A window has three ways to end, and each gives every event to one part:

* at its end;
* here, before its state would outgrow what Lambda keeps (`ROOM`): what came in goes out as a part, and the batch begins
  the next one;
* by Lambda, early, where one batch alone has made more than that (AWS: "If it exceeds that size, Lambda terminates the
  window early").
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.column import Places
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.fold import fold_all
from aetherstream.aggregates.partials import dump, load, merge
from aetherstream.aggregates.windows import Tumbling
from aetherstream.core import Prepared
from aetherstream.encoded import EncodedEvents
from aetherstream.managed.state import Groups, WindowState
from aetherstream.records import KinesisRecords, Sortable, sortable

ROOM = 900_000
"""Most bytes of a state that is returned willingly. AWS: 1 MB a shard, and whether that is 1,000,000 bytes is not
said."""

_ALL_TIMES = Tumbling(2 * 10**13, -(10**13))
"""One window for all event times: which window an event belongs to says Lambda."""
_THE_WINDOW = _ALL_TIMES.assign(0)[0]


@dataclass(slots=True)
class WindowCount:
    """One aggregate's share of a batch, in events."""

    events: int = 0
    folded: int = 0
    refused: int = 0
    """Left out by all aggregates; the stream function's aggregates and sinks decide for themselves."""
    skipped: int = 0
    """Values that outputs left aside."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch has made of a window."""

    state: WindowState
    closed: WindowState | None = None
    """The part that ends with this batch, without it."""
    counts: dict[str, WindowCount] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """Of what was refused, `where: reason`."""


def fresh(state: WindowState, batch: KinesisRecords) -> KinesisRecords:
    """The records that the state has not seen: Lambda may bring some again, behind the first time (AWS: at least once,
    in order the first time).
    """
    if not state.records:
        return batch
    return batch.part(bisect_right(Sortable(batch.sequences), sortable(state.last)), len(batch))


class WindowFold:
    """Folds batches into the aggregates of a pipeline whose state Lambda keeps."""

    def __init__(self, declarations: Sequence[Declaration], archives: Collection[str]) -> None:
        """`archives`: the per-object sinks; as elsewhere, events that none of them gets are not aggregated."""
        self.aggregates = tuple(one.aggregate for one in declarations)
        self._archives = frozenset(archives)
        self._timeless = tuple(
            replace(one, windows=_ALL_TIMES, lateness=0.0, correct=False, future=None) for one in self.aggregates
        )

    def __call__(self, state: WindowState, batch: KinesisRecords, prepared: Prepared) -> Step:
        """Fold a batch of fresh records into a window's state.

        Raises:
            UnreadableState: a later version wrote a partial.
        """
        if not batch.sequences:
            return Step(state)
        counts, reasons, partials = self._partials(state, batch, prepared)
        grown = WindowState(
            state.first or batch.sequences[0],
            batch.sequences[-1],
            state.records + len(batch),
            {one.name: _merged(one, state.groups.get(one.name, {}), partials[one.name]) for one in self.aggregates},
        )
        if not state.records or grown.size(self.aggregates) <= ROOM:
            return Step(grown, None, counts, reasons)
        alone = WindowState(batch.sequences[0], batch.sequences[-1], len(batch), partials)
        return Step(alone, state, counts, reasons)

    def _partials(
        self, state: WindowState, batch: KinesisRecords, prepared: Prepared
    ) -> tuple[dict[str, WindowCount], dict[str, int], dict[str, Groups]]:
        """What the batch adds to each aggregate."""
        events = prepared.events
        counts = {one.name: WindowCount() for one in self.aggregates}
        reasons: dict[str, int] = {}
        if prepared.columns is None or not len(events):
            return counts, reasons, {one.name: {} for one in self.aggregates}
        columns = Columns(prepared.columns.values, prepared.columns.times, Places(batch.shard, batch.sequences, events))
        unheld = self._unheld(events)
        folded, refused = fold_all(
            self._timeless,
            columns,
            known={name: {_THE_WINDOW: groups.keys()} for name, groups in state.groups.items()},
            aside={one.name: unheld for one in self.aggregates} if unheld else None,
        )
        for why in refused.values():
            cause = f"{why.where}: {why.reason}"
            reasons[cause] = reasons.get(cause, 0) + 1
        partials: dict[str, Groups] = {}
        for one in self.aggregates:
            found = folded[one.name]
            partials[one.name] = {key.group: dump(one, partial) for key, partial in found.partials.items()}
            count = counts[one.name]
            count.events = len(events) - len(unheld)
            count.refused = len(refused)
            count.folded = count.events - count.refused
            count.skipped = sum(found.skipped.values())
        return counts, reasons, partials

    def _unheld(self, events: EncodedEvents) -> set[int]:
        if not events.routed_somewhere:
            return set()
        return {index for index, sinks in enumerate(events.routes) if sinks is not None and not sinks & self._archives}


def _merged(aggregate: Aggregate, there: Groups, new: Groups) -> Groups:
    out = dict(there)
    for group, partial in new.items():
        before = out.get(group)
        out[group] = (
            partial
            if before is None
            else dump(aggregate, merge(aggregate, load(aggregate, before), load(aggregate, partial)))
        )
    return out
