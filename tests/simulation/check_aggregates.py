"""What the aggregates of a finished schedule have to be: recomputed from what the archive and the quarantine hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.partials import Partials, dump, load, merge_all
from aetherstream.aggregates.windows import Session, Window, too_late
from aetherstream.aggregation import FOR_ONE
from aetherstream.delivery.aggregates.results import Result
from aetherstream.delivery.aggregates.state import Item
from aetherstream.delivery.progress import progress_key
from aetherstream.records import sortable
from aetherstream.results.parts import Row
from aetherstream.results.rows import row_version, rows
from aetherstream.testing.builders import STREAM
from tests.simulation.declared import MANY_GROUPS, MOST, SESSIONS, TIME, VALUE
from tests.simulation.models import BUCKET, QUARANTINE, REFOLDED, held_lines
from tests.simulation.run import Simulation
from tests.simulation.workload import columns_of

MANY = 10**9
Lines = dict[str, dict[str, Any]]
"""Event id → the event, as a sink holds it."""


@dataclass
class Kept:
    """What the stores tell."""

    events: Lines = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Events that no aggregate may have, with the reason."""
    late: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Aggregate → events in the quarantine that it alone may not have."""
    refolded: dict[str, Lines] = field(default_factory=lambda: defaultdict(dict))
    """Aggregate → events of the quarantine that a replay has brought it, as they were then."""
    twice: list[str] = field(default_factory=list)


def check_aggregates(simulation: Simulation) -> list[str]:
    """Everything that is wrong with states and results, once every window is closed. To be asked again after replays:
    what has come since is never late.
    """
    counting = simulation.aggregates
    if not counting:
        return []
    counting.settle_all()
    kept = _read(simulation)
    _judge(simulation, kept)
    wrong = [*simulation.world.violations, *kept.twice, *_compare_refused(simulation, kept)]
    wrong += _compare_refolded(simulation, kept)
    states: list[Partials] = []
    for shard in simulation.stream.shards:
        own = {event_id: event for event_id, event in kept.events.items() if event_id.startswith(f"{shard}:")}
        partials: Partials = {}
        for declaration in counting.checked:
            partials |= _folded(simulation, declaration, own, kept, wrong)
        states.append(partials)
        wrong += _compare_states(simulation, shard, partials)
        wrong += _compare_time(simulation, shard, own, kept)
        wrong += _compare_totals(simulation, shard, own, kept)
    return wrong + _compare_rows(simulation, states)


def _read(simulation: Simulation) -> Kept:
    kept, seen = Kept(), Counter[tuple[str, str]]()
    # Beside them stands what attempts have left at records that expired then: no later one made anybody empty it.
    come = simulation.table.settled | simulation.dead
    for sink in sorted(simulation.shape.places, reverse=True):  # the archive has whole events
        for _, stored in simulation.objects.under(BUCKET, f"{sink}/"):
            kept.events |= {line["_event_id"]: line for line in held_lines(stored.body)}
    kept.events = {event_id: event for event_id, event in kept.events.items() if _record(event_id) in come}
    for _, stored in simulation.objects.under(BUCKET, f"{QUARANTINE}/"):
        for line in held_lines(stored.body):
            if line["stage"] == "aggregate" and _record(line["id"]) in come:
                event_id, name = line["event"]["_event_id"], line["where"].split(".")[1]
                if line["reason"] in FOR_ONE:
                    kept.late[name].add(event_id)
                    seen[event_id, name] += 1
                else:
                    kept.refused[event_id] = line["reason"]
                    seen[event_id, ""] += 1
    for _, stored in simulation.objects.under(BUCKET, REFOLDED):
        for note in held_lines(stored.body):
            for name in note["aggregates"]:
                kept.twice += [f"doubled: {note}"] if note["_event_id"] in kept.refolded[name] else []
                kept.refolded[name][note["_event_id"]] = note["event"]
    kept.twice += [
        f"doubled: {event_id} is refused by the aggregates {name} {times} times"
        for (event_id, name), times in seen.items()
        if times > 1
    ]
    kept.twice += [
        f"doubled: {event_id} is refused by the aggregates, and stands in no sink"
        for event_id, _ in seen
        if event_id not in kept.events
    ]
    return kept


def _record(event_id: str) -> str:
    """The name of its Kinesis record."""
    return ":".join(event_id.split(":")[:2])


def _judge(simulation: Simulation, kept: Kept) -> None:
    """Note by what time each event was judged: what attempts completed by their claim's, what was redriven by none."""
    replayed = simulation.objects.replaying
    for event_id in kept.events:
        of_claim = None if replayed else simulation.table.judged.get(_record(event_id))
        simulation.aggregates.judged.setdefault(event_id, of_claim)


def _compare_refused(simulation: Simulation, kept: Kept) -> list[str]:
    """What the declarations refuse stands in the quarantine; beside it only what would be too many groups."""
    arrivals = {sent.name: sent.arrival for sent in simulation.stream.sent()}
    declared = [one.aggregate for one in simulation.aggregates.declared]
    future = min((one.future for one in declared if one.future is not None), default=None)
    rejects = any(output.unusable == "reject" for one in declared for output in one.outputs)
    wanted = {
        event_id
        for event_id, event in kept.events.items()
        if (rejects and event[VALUE] is None)
        or (future is not None and event[TIME] - arrivals[_record(event_id)] > future)
    }
    found = {event_id for event_id, reason in kept.refused.items() if reason != "too many groups"}
    crowded = kept.refused.keys() - found
    return [] if found <= wanted <= found | crowded else [f"other: refused are {sorted(found)}, not {sorted(wanted)}"]


def _compare_refolded(simulation: Simulation, kept: Kept) -> list[str]:
    """Once the quarantine is replayed, aggregates have what was late for them. Only what passes today comes so far."""
    counting = simulation.aggregates
    if not simulation.objects.replaying or any(one.aggregate.max_groups < MANY_GROUPS for one in counting.declared):
        return []
    return [
        f"lost: {event_id} was replayed, and is not in {one.name}"
        for one in counting.checked
        for event_id in sorted(kept.late[one.name] - kept.refolded[one.name].keys())
        if kept.events[event_id]["do"] != "changing" and not event_id.startswith(tuple(counting.suspected))
    ]


def _folded(
    simulation: Simulation, declaration: Declaration, own: Lines, kept: Kept, wrong: list[str]
) -> dict[Key, Any]:
    """What one aggregate has of a shard."""
    aggregate, judged, declared = declaration.aggregate, simulation.aggregates.judged, simulation.aggregates.declared
    by_time: defaultdict[float | None, list[str]] = defaultdict(list)
    for event_id in own:
        if event_id not in kept.refused:
            by_time[judged[event_id]].append(event_id)
    late = {
        event_id
        for committed, ids in by_time.items()
        for event_id in ids
        if _is_late(aggregate, own[event_id][TIME], committed)
    }
    kept_late = {event_id for event_id in kept.late[declaration.name] if event_id in own}
    if kept_late != (late if declaration.on_late == "quarantine" else set()):
        wrong.append(f"other: {declaration.name} is late for {sorted(late)}, the quarantine has {sorted(kept_late)}")
    again = {event_id: event for event_id, event in kept.refolded[declaration.name].items() if event_id in own}
    lenient = replace(aggregate, max_groups=MANY, future=None)
    parts = [fold(lenient, _columns(declared, again)).partials]
    parts += [
        fold(lenient, _columns(declared, {event_id: own[event_id] for event_id in ids}), watermark=committed).partials
        for committed, ids in by_time.items()
    ]
    return merge_all({declaration.name: aggregate}, parts)


def _is_late(aggregate: Aggregate, time: float, committed: float | None) -> bool:
    """Whether it is late for every window that it belongs to."""
    if aggregate.correct:
        return False
    late = too_late(time, aggregate.windows, committed, aggregate.lateness) or ()
    of_all = 1 if isinstance(aggregate.windows, Session) else len(aggregate.windows.assign(time))
    return len(late) == of_all


def _columns(declared: Sequence[Declaration], events: Lines) -> Columns:
    places = []
    for event_id in events:
        shard, sequence, *rest = event_id.split(":")
        sub, nth = (*map(int, rest), 0)[:2]
        places.append((shard, sortable(sequence), sub, nth))
    values = list(events.values())
    return Columns(
        columns_of(declared).read(values), [event[TIME] for event in values], places, [event[TIME] for event in values]
    )


def _compare_states(simulation: Simulation, shard: str, partials: Partials) -> list[str]:
    counting = simulation.aggregates
    wanted = {key: dump(counting.aggregates[key.aggregate], partial) for key, partial in partials.items()}
    mine = [item for item in counting.states.items.values() if item.address.sk.split("#")[1] == shard]
    checked = {one.name for one in counting.checked}
    found = {item.place.key: item.state.acc for item in mine if item.place.key.aggregate in checked}
    progress = simulation.table.items.get(progress_key(simulation.pipeline, STREAM, shard))
    newest = progress.commit if progress else 0
    wrong = [
        f"other: {shard} {item.place.key} has commit {item.state.k}, of {newest}"
        for item in mine
        if item.state.k > newest
    ]
    return wrong + [
        f"counted: {shard} {key}: {_shown(found.get(key))}, not {_shown(wanted.get(key))}"
        for key in sorted(wanted.keys() | found.keys(), key=str)
        if wanted.get(key) != found.get(key)
    ]


def _shown(acc: bytes | None) -> str:
    return "nothing" if acc is None else acc.hex()


def _compare_time(simulation: Simulation, shard: str, own: Lines, kept: Kept) -> list[str]:
    item = simulation.table.items.get(progress_key(simulation.pipeline, STREAM, shard))
    again = {event_id for events in kept.refolded.values() for event_id in events}
    taken = (event[TIME] for event_id, event in own.items() if event_id in again or event_id not in kept.refused)
    wanted = max(taken, default=None)
    found = item.event_time if item else None
    return [] if found == wanted else [f"other: {shard} has committed the event time {found}, not {wanted}"]


def _compare_totals(simulation: Simulation, shard: str, own: Lines, kept: Kept) -> list[str]:
    """The totals of what attempts have folded; what redrives do is counted apart."""
    item = simulation.table.items.get(progress_key(simulation.pipeline, STREAM, shard))
    if item is None or simulation.objects.replaying:
        return []
    settled = [event_id for event_id in own if _record(event_id) in simulation.table.settled]
    wrong = []
    for declaration in simulation.aggregates.checked:
        name, aggregate = declaration.name, declaration.aggregate
        refused = sum(event_id in kept.refused for event_id in settled)
        late = sum(
            _is_late(aggregate, own[event_id][TIME], simulation.aggregates.judged[event_id])
            for event_id in settled
            if event_id not in kept.refused
        )
        dropped = late if declaration.on_late == "drop" else 0
        totals = {
            "events": len(settled),
            "folded": len(settled) - refused - late,
            "late": dropped,
            "quarantined": refused + late - dropped,
        }
        counted = {what: item.counters.get(f"aggregates.{name}.{what}", 0) for what in totals}
        if counted != totals:
            wrong.append(f"accounting: {shard} {name}: {counted}, not {totals}")
    return wrong


def _compare_rows(simulation: Simulation, states: Iterable[Partials]) -> list[str]:
    """Each result stands in each place as final, with everything that all shards have; nothing else does."""
    counting = simulation.aggregates
    united = merge_all(counting.aggregates, states)
    wanted = {row.id: row for declaration in counting.checked for row in _rows(simulation, declaration, united)}
    wrong, checked = [], {one.name for one in counting.checked}
    for place in counting.places:
        found = {
            row.id: _of_session(row, wanted)
            for row in place.rows.values()
            if row.aggregate in checked and not row.removed
        }
        wrong += [
            f"emitted: {place.name} has {found.get(name)}, not {wanted.get(name)}"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
    return wrong


def _of_session(row: Row, wanted: Mapping[str, Row]) -> Row:
    """A session is not sent again when another one of its items changes: the row may have an earlier version."""
    now = wanted.get(row.id)
    is_earlier = now is not None and row.aggregate == SESSIONS and row.version < now.version
    return replace(row, version=now.version) if now and is_earlier else row


def _rows(simulation: Simulation, declaration: Declaration, united: Partials) -> list[Row]:
    """The final rows of an aggregate, each with a version that counts the commits of all items that have a part."""
    aggregate, items = declaration.aggregate, defaultdict[Key, list[Item]](list)
    for item in simulation.aggregates.states.items.values():
        items[item.place.key].append(item)
    found = []
    for key, partial in united.items():
        if key.aggregate != declaration.name:
            continue
        if key.window is not None:
            found.append(Result(key, key.window, partial, sum(item.state.k for item in items[key])))
            continue
        for session in partial:
            version = sum(
                item.state.k
                for item in items[key]
                if any(session.first <= one.first <= session.last for one in load(aggregate, item.state.acc))
            )
            found.append(Result(key, session.window(aggregate.gap or 0), session.accs, version))
    return _ranked(declaration, found) if declaration.ranking else rows(aggregate, found, final=True)


def _ranked(declaration: Declaration, found: Sequence[Result]) -> list[Row]:
    """The first groups of each window: most events first, then by the text of the group."""
    by_window: defaultdict[Window, list[Result]] = defaultdict(list)
    for result in found:
        by_window[result.window].append(result)
    ranks = []
    for window, of_window in by_window.items():
        version = sum(result.version for result in of_window)
        made = zip(rows(declaration.aggregate, of_window, final=True), of_window, strict=True)
        ordered = sorted(made, key=lambda pair: (-pair[0].values["events"], pair[1].key.group))
        ranks += [
            replace(
                row,
                id=f"{declaration.name}/{window.id}/rank-{rank}",
                version=row_version(version, final=True),
                rank=rank,
            )
            for rank, (row, _) in enumerate(ordered[:MOST], 1)
        ]
    return ranks
